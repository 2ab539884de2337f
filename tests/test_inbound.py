"""Inbound messages: kept, claimed by lease, given back, marked, swept, sent on the way again, repaired."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from core.store import filing, inbound, leases
from core.store.database import intake_db, write
from core.store.inbound import CLAIMS, LEASE, Claim, End
from core.store.models import Inbound, Outcome, Raw
from core.types import Envelope
from core.worker import Worker
from tests.mailmaker import make_mail
from tests.spine import NOW, Company, at_once, until
from tests.store.small_world import World

pytest_plugins = ["tests.spine"]


def keep(*texts: bytes, key: str | None = None, instance: str = "") -> list[int]:
    return inbound.keep([(text, Envelope("smtp", ("acme@drop.example",), key=key, instance=instance)) for text in texts], NOW)


def row(ident: int) -> Inbound:
    return Inbound.get_by_id(ident)


def end(claim: Claim, state: str = "held") -> None:
    """The outcome as the pipeline would write it, without the mark in the intake."""
    filing.write_bare_outcome(claim, state, "unprocessable", {"attempts": 1}, NOW)


def aside(ident: int) -> None:
    """The outcome of a mail that a person puts aside, without the mark in the intake."""
    Outcome.update(state="ignored", reason="dismissed").where(Outcome.inbound_id == ident).execute()


# --- keeping ------------------------------------------------------------------------------------------------------


def test_bytes_are_kept_once_by_their_hash_and_untouched(any_store: World) -> None:
    raw = bytes(range(256)) * 3
    first, second = keep(raw, raw)
    assert first != second
    assert Raw.select().count() == 1
    assert inbound.raw_of(first) == inbound.raw_of(second) == raw


def test_the_same_delivery_twice_is_one(any_store: World) -> None:
    (first,) = keep(b"a", key="uid:7", instance="post")
    assert keep(b"a", key="uid:7", instance="post") == [first]
    assert keep(b"a", key="uid:7", instance="other") != [first]
    assert Inbound.select().count() == 2


def test_ids_are_never_used_again(any_store: World) -> None:
    (first,) = keep(b"a")
    Inbound.delete().execute()
    (second,) = keep(b"a")
    assert second > first


def test_the_same_delivery_by_many_at_once_is_one(any_store: World) -> None:
    ids = at_once([lambda: keep(b"a", key="k")[0] for _ in range(8)])
    assert len(set(ids)) == 1


# --- claims and leases --------------------------------------------------------------------------------------------


def test_a_claim_counts_the_attempt_before_the_work(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    assert (claim.id, claim.attempts, row(ident).state, row(ident).attempts) == (ident, 1, "processing", 1)
    assert inbound.holds(claim)
    assert inbound.claim("w2", NOW) == []


def test_claims_come_in_order_and_in_batches(any_store: World) -> None:
    ids = keep(*(str(number).encode() for number in range(20)))
    assert [claim.id for claim in inbound.claim("w1", NOW)] == ids[:16]
    assert [claim.id for claim in inbound.claim("w2", NOW)] == ids[16:]


def test_an_expired_lease_is_claimed_by_another_and_the_first_can_do_nothing_any_more(any_store: World) -> None:
    (ident,) = keep(b"a")
    (slow,) = inbound.claim("slow", NOW)
    after = NOW + LEASE + dt.timedelta(seconds=1)
    (fast,) = inbound.claim("fast", after)
    assert (fast.id, fast.attempts) == (ident, 2)
    assert not inbound.holds(slow)
    inbound.later(slow, "intake-trouble", after)
    inbound.mark([End(ident, slow.token, "held", "x")])
    assert (row(ident).state, inbound.holds(fast)) == ("processing", True)


def test_nobody_waits_for_times_of_a_clock_that_was_a_year_ahead(any_store: World) -> None:
    ahead = NOW + dt.timedelta(days=365)
    begun, later = keep(b"begun"), keep(b"later")
    first, second = sorted(inbound.claim("died", ahead), key=lambda claim: claim.id)
    assert (first.id, second.id) == (begun[0], later[0])
    inbound.later(second, "auth-dns", ahead + dt.timedelta(minutes=5))
    assert leases.take("sweeper", "died", ahead, 30)
    assert inbound.anything_due(NOW)
    assert {claim.id for _ in range(2) for claim in inbound.claim("lives", NOW)} == {begun[0], later[0]}
    assert leases.take("sweeper", "lives", NOW, 30)
    assert not leases.take("sweeper", "third", NOW - dt.timedelta(minutes=30), 30)  # clocks of machines may differ


def test_a_living_worker_keeps_its_lease(any_store: World) -> None:
    keep(b"a")
    inbound.claim("w1", NOW)
    assert inbound.renew("w1", NOW + LEASE) == 1
    assert inbound.claim("w2", NOW + LEASE + dt.timedelta(seconds=1)) == []


def test_an_orderly_stop_gives_back_and_counts_no_attempt(any_store: World) -> None:
    (ident,) = keep(b"a")
    inbound.claim("w1", NOW)
    assert inbound.give_back("w1") == 1
    assert (row(ident).state, row(ident).attempts) == ("received", 0)
    assert len(inbound.claim("w2", NOW)) == 1


@pytest.mark.parametrize("give_back", [lambda claim: inbound.give_back("w2"), lambda claim: inbound.hand_back([claim])], ids=["stop", "hand-back"])
def test_what_was_tried_before_and_is_given_back_is_claimed_again(any_store: World, give_back: Callable[[Claim], object]) -> None:
    (ident,) = keep(b"a")
    inbound.claim("dies", NOW)
    after = NOW + 2 * LEASE
    (second,) = inbound.claim("w2", after)
    give_back(second)
    assert (row(ident).state, row(ident).attempts) == ("received", 1)
    keep(*(b"fresh %d" % number for number in range(20)))
    assert inbound.anything_due(after)
    assert ident in [claim.id for claim in inbound.claim("w3", after)]


def test_what_an_older_version_gave_back_after_a_crash_is_found(any_store: World) -> None:
    (ident,) = keep(b"a")
    Inbound.update(attempts=1).execute()
    inbound.resume()
    assert [claim.id for claim in inbound.claim("w", NOW)] == [ident]


def test_what_is_tried_again_is_not_looked_for_among_all_that_waits(store: World) -> None:
    asked = f"EXPLAIN QUERY PLAN SELECT id FROM inbound WHERE {inbound._AGAIN} ORDER BY id LIMIT 1"
    plan = [step[3] for step in intake_db.execute_sql(asked, inbound._bounds(NOW)).fetchall()]
    received = [step for step in plan if "SEARCH" in step][:2]
    assert received == [f"SEARCH inbound USING INDEX inbound_state_due_at (state=? AND due_at{sign}?)" for sign in "<>"]


def test_what_was_tried_before_shares_no_batch_with_others_of_its_kind(any_store: World) -> None:
    """What may be poison takes at most itself down."""
    keep(b"a", b"b", b"c")
    inbound.claim("dies", NOW)
    keep(b"d", b"e")
    after = NOW + 2 * LEASE
    claims = inbound.claim("w2", after)
    assert sorted(claim.attempts for claim in claims) == [1, 1, 2]


def test_a_mail_waits_until_it_is_due(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    inbound.later(claim, "auth-dns-trouble", NOW + dt.timedelta(minutes=1))
    assert (row(ident).state, row(ident).reason, row(ident).retries, row(ident).attempts) == ("received", "auth-dns-trouble", 1, 0)
    assert not inbound.anything_due(NOW)
    assert inbound.anything_due(NOW + dt.timedelta(minutes=1))
    (again,) = inbound.claim("w1", NOW + dt.timedelta(minutes=1))
    assert (again.retries, again.crashes) == (1, 0)


def test_a_crash_is_counted_apart(any_store: World) -> None:
    keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    inbound.later(claim, "unprocessable", NOW, crashed=True)
    (again,) = inbound.claim("w1", NOW)
    assert (again.retries, again.crashes) == (0, 1)


def test_the_back_off_grows_to_days() -> None:
    assert list(inbound.BACKOFF) == sorted(inbound.BACKOFF)
    assert dt.timedelta(days=4) <= inbound.GIVE_UP
    assert CLAIMS > inbound.CRASHES


def test_an_envelope_comes_back_as_it_was_given(any_store: World) -> None:
    given = Envelope("imap", ("a@b.example",), "", "2001:db8::1", "h", NOW, instance="post", key="7", bare_lf=3)
    inbound.keep([(b"a", given)], NOW)
    assert inbound.claim("w1", NOW)[0].envelope == given


# --- marks, sweeping, repair --------------------------------------------------------------------------------------


def test_what_ended_without_a_mark_is_found_and_marked(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("dies", NOW)
    end(claim)
    ends = inbound.unmarked()
    assert [(one.id, one.state) for one in ends] == [(ident, "held")]
    inbound.mark(ends)
    inbound.mark(ends)
    assert (row(ident).state, inbound.unmarked()) == ("held", [])


def test_a_mark_that_comes_too_late_changes_nothing(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    end(claim)
    ends = inbound.unmarked()
    assert inbound.release(ident, "root@sales.example")
    inbound.mark(ends)
    assert row(ident).state == "received"
    (again,) = inbound.claim("w2", NOW)
    assert (again.released_by, again.attempts) == ("root@sales.example", 1)


def test_a_crash_in_the_middle_of_a_release_loses_nothing(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome is taken back in one file, the mail sent on its way in the other; the process dies between."""
    ident = company.send(make_mail("Ana <ana@sales.example>"))
    company.work()
    with monkeypatch.context() as dying:
        dying.setattr(inbound, "_AFRESH", {"state": None})  # the second write fails
        with pytest.raises(Exception, match=r"(?i)null"):
            inbound.release(ident, "root@sales.example")
    assert Outcome.select().count() == 0
    assert inbound.resume() == 1
    company.work()
    assert company.ends() == ["logged"]
    assert inbound.resume() == 0


def test_only_held_and_ignored_mails_walk_again(any_store: World) -> None:
    (ident,) = keep(b"a")
    assert not inbound.retry(ident)
    assert not inbound.retry(9999)
    (claim,) = inbound.claim("w1", NOW)
    Outcome.create(inbound_id=ident, state="logged", reason="logged", received_at=NOW, decided_at=NOW)
    inbound.mark([End(ident, claim.token, "logged", "logged")])
    assert not inbound.retry(ident)
    assert row(ident).state == "logged"


def test_a_mail_put_aside_stays_aside_though_its_worker_marks_later(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    end(claim)
    aside(ident)
    inbound.settle(ident)
    inbound.mark([End(ident, claim.token, "held", "unprocessable")])
    assert (row(ident).state, row(ident).reason) == ("ignored", "dismissed")


def test_a_mail_put_aside_stays_aside_though_the_sweeper_has_sent_it_on_its_way_meanwhile(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    end(claim)
    Inbound.update(state="received", lease_token=None).where(Inbound.id == ident).execute()  # what `resume` does after a crash
    stale = inbound.unmarked()
    aside(ident)
    inbound.settle(ident)
    inbound.mark(stale)
    assert (row(ident).state, row(ident).reason) == ("ignored", "dismissed")


def test_a_mark_without_a_lease_that_comes_too_late_leaves_a_mail_on_its_way(any_store: World) -> None:
    """It was found unmarked, then marked by another one, then let in again: without a lease it looks as it did when it was found."""
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    end(claim)
    Inbound.update(state="received", lease_token=None, due_at=NOW).where(Inbound.id == ident).execute()
    stale = inbound.unmarked()
    assert [one.token for one in stale] == [None]
    inbound.mark(stale)
    assert (row(ident).state, row(ident).due_at) == ("held", None)
    assert inbound.release(ident, "root@sales.example")
    inbound.mark(stale)
    assert row(ident).state == "received"
    assert inbound.orphans()["ended_without_outcome"] == []
    assert [one.id for one in inbound.claim("w2", NOW)] == [ident]


def test_settling_leaves_a_mail_on_its_way_to_its_worker(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    inbound.settle(ident)
    assert (row(ident).state, inbound.holds(claim)) == ("processing", True)
    inbound.settle(9999)


def test_a_mail_that_ended_differently_in_the_two_files_ends_as_its_outcome_says(any_store: World) -> None:
    (ident,) = keep(b"a")
    (claim,) = inbound.claim("w1", NOW)
    end(claim)
    inbound.mark(inbound.unmarked())
    aside(ident)  # and a crash before the intake knows
    assert inbound.orphans()["ended_differently"] == [ident]
    assert inbound.repair(NOW) == 1
    assert inbound.orphans()["ended_differently"] == []
    assert (row(ident).state, row(ident).reason) == ("ignored", "dismissed")


def test_orphans_are_named_and_mended(any_store: World) -> None:
    first, second, third = keep(b"a", b"b", b"c")
    with write(intake_db):
        Inbound.update(state="held").where(Inbound.id == first).execute()  # a crash between the two steps of a release
        Raw.delete().where(Raw.sha256 == row(third).sha256).execute()
    Outcome.create(inbound_id=777, state="held", reason="x", received_at=NOW, decided_at=NOW)
    assert inbound.orphans() == {"ended_without_outcome": [first], "ended_differently": [], "outcome_without_inbound": [777], "waiting_without_raw": [third]}
    assert inbound.repair(NOW) == 1
    assert inbound.orphans()["ended_without_outcome"] == []
    assert {claim.id for claim in inbound.claim("w1", NOW)} == {first, second, third}


def test_a_mail_whose_bytes_are_gone_is_held(company: Company) -> None:
    company.send(company.mail())
    Raw.delete().execute()
    company.work()
    assert company.ends() == ["held(unprocessable)"]


def test_accepted_is_the_sum_of_the_states(any_store: World) -> None:
    keep(b"a", b"b", b"c")
    inbound.claim("w1", NOW, 1)
    counts = inbound.counts(NOW + dt.timedelta(seconds=5))
    assert (counts["accepted"], counts["received"], counts["processing"], counts["oldest_waiting_s"]) == (3, 2, 1, 5.0)
    assert counts["accepted"] == sum(counts[state] for state in ("received", "processing", "logged", "held", "ignored"))


def test_a_lease_is_held_by_one(any_store: World) -> None:
    taken = at_once([lambda name=f"m{number}": leases.take("sweeper", name, NOW, 30) for number in range(6)])
    assert taken.count(True) == 1
    holder = f"m{taken.index(True)}"
    assert leases.take("sweeper", holder, NOW, 30)
    assert leases.take("sweeper", "next", NOW + dt.timedelta(seconds=31), 30)
    leases.drop("sweeper", "next")
    assert leases.take("sweeper", "last", NOW, 30)


def test_the_sweeper_rings_for_what_is_due_and_marks_what_ended(company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up may be lost at any time; the rows are the truth."""
    rung: list[int] = []
    monkeypatch.setattr(company.house.bell, "ring", lambda: rung.append(1))
    done = company.send(company.mail("Ended"))
    (claim,) = inbound.claim("dies", company.at)
    end(claim)
    company.send(company.mail("Forgotten"))
    rung.clear()
    swept: list[int] = []
    worker = Worker(company.house, lambda: swept.append(1))
    worker._sweep()
    assert row(done).state == "held"
    assert (len(rung), len(swept)) == (1, 1)
    Worker(company.house, lambda: swept.append(2))._sweep()  # another machine: the lease is taken
    assert swept == [1]
    worker._fence.close()


def test_a_worker_that_is_rung_files_and_stops_in_order(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company.fence, "close", lambda: None)  # it is shared between the tests
    worker = Worker(company.house)
    worker._fence = company.fence
    worker.start()
    company.send(company.mail())
    until(lambda: inbound.counts(company.at)["logged"] == 1)
    worker.stop()
    assert worker.work() == 0
    assert company.ends() == ["logged"]
    assert leases.take("sweeper", "next", company.at, 30)  # given back
