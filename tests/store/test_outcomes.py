"""Where mails ended, who may know, and what people may do about it; tokens, the never-log list and rate limits."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import BadInput, NotAllowed
from core.store import never_log, outcomes, threads, throttle, tokens
from core.store.database import connected
from core.store.models import ApiToken, Audit, Inbound, NeverLog, Outcome, Rep
from core.store.visibility import Viewer
from tests.store.small_world import START, World


@pytest.fixture
def company(any_store: World) -> tuple[World, Viewer, Viewer, Viewer]:
    world = any_store
    return world, world.rep("ana"), world.rep("bo"), world.rep("eve", "admin")


def ids(viewer: Viewer, **asked: object) -> list[int]:
    return [view.id for view in outcomes.page(viewer, **asked).items]


def test_the_first_mail_of_a_time_is_found_also_beside_mail_of_a_clock_that_was_behind(company):
    world, ana, _bo, _eve = company
    now, arrived = world.later(), [*range(90, 60, -1), *(400,) * 8, *range(60, -1, -1)]  # days ago
    ends = [world.inbound(ana) for _each in arrived]
    for ident, days in zip(ends, arrived, strict=True):
        Outcome.update(received_at=now - dt.timedelta(days=days)).where(Outcome.inbound_id == ident).execute()
    for days in (10, 58, 61, 65, 80, 89, 200):
        first = outcomes.first_since(now - dt.timedelta(days=days))
        assert all(ident >= first for ident, ago in zip(ends, arrived, strict=True) if ago <= days), days
        assert sum(ident >= first for ident in ends) <= sum(ago <= days + 1 for ago in arrived) + 8
    assert outcomes.first_since(now + dt.timedelta(days=5)) >= ends[-1]


def test_a_rep_sees_what_is_theirs_and_what_is_shared(company):
    world, ana, bo, eve = company
    held = world.inbound(ana, "held", "auth-nothing-published")
    private, shared = world.mail(ana, subject="secret"), world.mail(ana, sharing="company")
    stranger = world.inbound(None, "held", "unknown-sender", sender_domain="stranger.example")
    waiting = world.inbound(None, "received", "received")
    assert ids(ana) == [shared.inbound_id, private.inbound_id, held]
    assert ids(bo) == [shared.inbound_id]
    assert ids(eve) == [waiting, stranger, shared.inbound_id, private.inbound_id, held]
    assert ids(eve, strangers=True) == [stranger]
    assert ids(eve, state="held", strangers=False) == [held]
    assert ids(eve, reason="unknown-sender") == [stranger]
    for viewer, subject, sent_to in ((eve, "", []), (ana, "secret", ["acme@drop.example"])):
        listed = [view for view in outcomes.page(viewer).items if view.id == private.inbound_id]
        found = outcomes.find(viewer, sender=ana.email)
        alone = outcomes.get(viewer, private.inbound_id)
        for view in (*listed, *(one for one in found if one.id == private.inbound_id), alone, *outcomes.views(viewer, [private.inbound_id]).values()):
            assert (view.subject, view.rcpt_to, view.sender, view.state) == (subject, sent_to, ana.email, "logged")
    assert outcomes.get(eve, held).rcpt_to == outcomes.get(eve, stranger).rcpt_to == outcomes.get(eve, shared.inbound_id).rcpt_to == ["acme@drop.example"]
    assert outcomes.get(bo, private.inbound_id) is None
    assert outcomes.raw(bo, held) is None
    assert outcomes.trace(bo, held) is None
    assert outcomes.raw(ana, held).startswith(b"From:")
    assert outcomes.opened(bo, private.inbound_id) is None
    assert outcomes.opened(eve, waiting).state == "received"
    assert not Audit.select().where(Audit.act == "thread-opened").exists()
    assert (outcomes.opened(eve, private.inbound_id).subject, outcomes.opened(eve, private.inbound_id).rcpt_to) == ("secret", ["acme@drop.example"])
    assert [view.who for view in threads.conversation(ana, private.thread_id).openings] == [eve.email]
    assert outcomes.raw(eve, private.inbound_id) is not None
    assert [view.who for view in threads.conversation(ana, private.thread_id).openings] == [eve.email]
    assert outcomes.raw(eve, stranger) is not None
    assert not Audit.select().where(Audit.act == "mail-read").exists()
    for _again in range(2):
        assert outcomes.raw(eve, held) is not None
    assert [(row.who, row.about) for row in Audit.select().where(Audit.act == "mail-read")] == [(eve.email, f"inbound:{held}")]
    assert outcomes.waiting_number(eve) == 1
    assert [(domain, number) for domain, number, _ in outcomes.stranger_domains()] == [("stranger.example", 1)]


def test_a_mail_whose_end_is_not_marked_in_the_intake_yet_has_one_state(company):
    world, ana, _, eve = company
    mail = world.inbound(ana, "held", "auth-nothing-published")
    Inbound.update(state="processing").where(Inbound.id == mail).execute()
    assert [(view.id, view.state) for view in outcomes.page(eve).items] == [(mail, "held")]
    assert ids(eve, state="processing") == []
    assert outcomes.get(eve, mail).state == "held"


def test_letting_mail_in_is_for_those_who_may(company):
    world, ana, bo, eve = company
    unproved = world.inbound(ana, "held", "auth-not-provable", decision="hold")
    proved = world.inbound(ana, "held", "machine-mail", decision="pass")
    with pytest.raises(NotAllowed):
        outcomes.release(ana, unproved)
    assert outcomes.release(bo, proved) is None
    assert outcomes.release(ana, proved).state == "received"
    row = Inbound.get_by_id(proved)
    assert (row.released_by, row.claimed_for) == (ana.email, ana.rep_id)
    assert outcomes.release(eve, unproved, bo.rep_id).state == "received"
    assert Inbound.get_by_id(unproved).claimed_for == bo.rep_id
    assert outcomes.release(eve, unproved) is None
    with pytest.raises(BadInput):
        outcomes.release(eve, world.inbound(ana, "held", "auth-not-provable"), 999)
    assert {row.act for row in Audit.select()} == {"mail-released"}


def test_a_confirmed_address_claims_its_mail(company):
    world, ana, bo, _ = company
    held = world.inbound(None, "held", "unknown-sender", sender=ana.email, decision="pass")
    forged = world.inbound(None, "held", "unknown-sender", sender=ana.email, decision="hold")
    assert outcomes.claim(bo, held) is None
    with pytest.raises(NotAllowed):
        outcomes.claim(ana, forged)
    assert outcomes.claim(ana, held).state == "received"
    row = Inbound.get_by_id(held)
    assert (row.claimed_for, row.released_by) == (ana.rep_id, None)


def test_the_box_says_what_became_of_a_mail(company):
    world, ana, bo, eve = company
    world.mail(ana, subject="Offer 100% secret")
    world.inbound(ana, "ignored", "auth-rejected", subject="Your OFFER", message_id="a@b.example")
    assert [view.reason for view in outcomes.find(ana, message_id=" <a@b.example> ")] == ["auth-rejected"]
    assert len(outcomes.find(ana, subject="offer")) == 2
    assert len(outcomes.find(ana, sender="ANA@sales.example", subject="100%")) == 1
    assert outcomes.find(ana, subject="100_") == []
    assert outcomes.find(bo, subject="offer") == []
    assert [view.reason for view in outcomes.find(eve, subject="offer")] == ["auth-rejected"]
    with pytest.raises(BadInput):
        outcomes.find(ana, subject="  ")


def test_the_box_takes_a_part_of_the_senders_address_when_no_sender_is_called_so(company):
    world, ana, bo, eve = company
    world.mail(ana, subject="Secret offer")  # private, from ana@sales.example
    turned_away = world.inbound(ana, "ignored", "auth-rejected", sender="susana@sales.example", mail_from="susana@sales.example")
    bounced = world.inbound(None, "held", "machine-mail", sender="robot@far.example", mail_from="Bounce+ana_1@far.example")

    def ids(viewer, sender, **more):
        return [view.id for view in outcomes.find(viewer, sender=sender, **more)]

    assert ids(ana, "USANA@") == [turned_away]
    assert turned_away not in ids(ana, "ana@sales.example")  # a whole address is that one alone
    assert len(ids(ana, "Sales.Example")) == len(ids(ana, "sales.exam")) == 2
    assert ids(eve, "@far.example") == ids(eve, "bounce+ana") == [bounced]
    assert ids(ana, "@far.example") == ids(bo, "sales.example") == []  # a part shows nobody more than the whole does
    assert ids(eve, "ana_1@far") == [bounced]
    assert ids(eve, "ana_@far") == ids(eve, "an%a") == ids(eve, "%") == ids(eve, "nobody.example") == []
    assert ids(ana, "sales.example", subject="secret") == [one for one in ids(ana, "sales.example") if one != turned_away]


# --- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_is_kept_as_a_hash_and_dies_with_its_rep(company):
    world, ana, bo, eve = company
    ident, token = tokens.create(ana, ana.rep_id, " my  script ", world.seal)
    assert tokens.viewer_for(token, world.seal) == ana
    assert token not in str(list(ApiToken.select().tuples()))
    assert [view.name for view in tokens.of_rep(eve, ana.rep_id)] == ["my script"]
    assert tokens.of_rep(bo, ana.rep_id) == []
    assert tokens.create(bo, ana.rep_id, "", world.seal) is None
    assert tokens.create(eve, 999, "", world.seal) is None
    for wrong in ("", token[:-1], token + "x", "x" * 500):
        assert tokens.viewer_for(wrong, world.seal) is None
    Rep.update(status="suspended").where(Rep.id == ana.rep_id).execute()
    assert tokens.viewer_for(token, world.seal) is None
    Rep.update(status="active").where(Rep.id == ana.rep_id).execute()
    assert not tokens.revoke(bo, ident)
    assert tokens.revoke(eve, ident)
    assert tokens.viewer_for(token, world.seal) is None


# --- the never-log list -------------------------------------------------------------------------------------------


def test_the_never_log_list_takes_addresses_domains_and_simple_globs(company):
    _, _, _, eve = company
    for typed, kept in (("Spam.Example", "spam.example"), ("@spam2.example", "spam2.example"), ("X@y.example", "x@y.example"), ("*@news.example", "*@news.example")):
        assert never_log.add(eve, typed).pattern == kept
    assert never_log.add(eve, "spam.example").id == never_log.add(eve, "SPAM.example").id
    assert NeverLog.select().count() == 4
    assert not never_log.would_log("a@sub.spam.example")
    assert not never_log.would_log("any@news.example")
    assert never_log.would_log("y@y.example")
    assert never_log.would_log("a@notspam.example")
    for bad in ("", "*", "*@*", "@", "word", "a b.example", "(a+)+$", "a@b@c.example", "x" * 400 + "*.example", "münchen*.example"):
        with pytest.raises(BadInput):
            never_log.add(eve, bad)
    entry = never_log.page().items[-1]
    assert never_log.remove(eve, entry.id)
    assert not never_log.remove(eve, entry.id)
    assert never_log.would_log("a@spam.example")


# --- rate limits --------------------------------------------------------------------------------------------------


def test_a_bucket_empties_fills_and_never_overflows(any_store):
    def take(seconds: float, **more: float) -> bool:
        return throttle.take("k", START + dt.timedelta(seconds=seconds), size=2, per_second=1, **more)

    assert [take(0), take(0), take(0)] == [True, True, False]
    assert [take(1), take(1)] == [True, False]
    assert [take(1000), take(1000), take(1000)] == [True, True, False]
    assert not take(2000, cost=3)
    assert take(2000)
    assert take(900), "a clock that goes back takes nothing away"
    assert throttle.forget(START + dt.timedelta(days=1)) == 1


def test_two_who_come_at_once_never_share_a_token(any_store):
    def take(_: int) -> bool:
        with connected():
            return throttle.take("shared", START, size=5, per_second=0.0)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(40))) == 5
