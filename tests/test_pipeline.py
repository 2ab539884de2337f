"""One mail brought to its end: every state, every stop, and what two workers at once must never double."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter

import pytest

from core.fence import Broken
from core.reasons import remedy
from core.steps.dedupe import without_day
from core.store import drops, filing, inbound, outcomes, reps, retention, undo
from core.store.company import pulse
from core.store.database import connected
from core.store.models import (
    Contact,
    ContactAddress,
    Link,
    Message,
    NeverLog,
    Organisation,
    OrganisationDomain,
    Outcome,
    Record,
    Rep,
    Thread,
    Trace,
)
from core.store.visibility import viewer_of
from core.types import Envelope
from tests.dnsserver import DnsServer
from tests.mailmaker import make_mail, spare_signer
from tests.spine import Company, at_once

pytest_plugins = ["tests.spine"]


def doubles(values: list[object]) -> list[object]:
    return [value for value, number in Counter(values).items() if number > 1]


def test_a_proved_mail_of_a_rep_is_logged_and_linked(company: Company) -> None:
    company.send(company.mail())
    assert company.work() == 1
    assert company.ends() == ["logged"]
    assert sorted(Link.select(Link.kind).tuples()) == [("contact",), ("deal",), ("organisation",)]
    message = Message.get()
    assert (message.from_address, message.decision, message.thread.owner.email) == ("ana@sales.example", "pass", "ana@sales.example")
    assert [entry["step"] for entry in Trace.get().entries][:2] == ["parse", "authenticate"]


def test_a_mail_that_proves_nothing_is_never_logged(company: Company, dns: DnsServer) -> None:
    company.send(make_mail("Ana <ana@sales.example>"))  # unsigned, and sales.example has no SPF record
    dns.zone = {**dns.zone, "evil.example": {"TXT": ["v=spf1 -all"]}}
    company.send(make_mail("Eve <eve@evil.example>"), mail_from="eve@evil.example")
    company.work()
    assert [end.partition("(")[0] for end in company.ends()] == ["held", "ignored"]
    assert company.messages() == 0


def test_a_held_mail_shows_each_finding_and_the_dns_record_that_would_mend_it(company: Company) -> None:
    company.send(company.mail(sender="Zoe <zoe@nowhere.example>"), mail_from="zoe@nowhere.example")
    company.work()
    [trace] = [row.entries for row in Trace.select()]
    findings = {entry["reason"]: entry["params"] for entry in trace if entry["step"] == "check"}
    assert "spf-none" in findings
    assert "v=spf1 ip4:203.0.113.9 ~all" in remedy("spf-none", findings["spf-none"])


def test_a_proved_stranger_is_held_without_a_thread(company: Company) -> None:
    company.send(company.mail(sender="Cy <cy@sales.example>"))
    company.work()
    assert company.ends() == ["held(unattributed)"]
    assert company.threads() == 0


def test_a_mail_without_a_drop_address_is_held(company: Company) -> None:
    company.send(company.mail(), to=["somebody@drop.example"])
    company.work()
    assert company.ends() == ["held(no-drop-address)"]


def test_a_mail_that_is_too_deep_is_held_with_its_header_shown(company: Company) -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 400
    raw = make_mail("Ana <ana@sales.example>", subject="Deep", body="x").replace(b"Content-Type: text/plain; charset=utf-8\r\n\r\n", deep)
    company.send(spare_signer("sales.example").sign(raw))
    company.work()
    assert company.ends() == ["held(too-complex)"]
    assert (Outcome.get().subject, Outcome.get().sender) == ("Deep", "ana@sales.example")


def test_only_never_log_people_make_it_ignored(company: Company) -> None:
    NeverLog.create(pattern="cust.example", created_at=company.at)
    company.fresh()
    company.send(company.mail())
    company.work()
    assert company.ends() == ["ignored(never-log)"]


def test_dns_trouble_waits_and_backs_off_and_is_held_at_last(company: Company, dns: DnsServer) -> None:
    zone = dns.zone
    dns.zone = {**zone, "slow.example": "SERVFAIL"}
    try:
        raw = make_mail("Dee <dee@slow.example>")
        ident = company.send(raw, mail_from="dee@slow.example")
        company.work()
        assert company.ends() == ["received(auth-dns-trouble)"]
        waits = []
        for _ in range(8):
            row = inbound.Inbound.get_by_id(ident)
            waits.append(row.due_at - company.at)
            company.at = row.due_at
            company.work()
        assert waits == sorted(waits)
        assert waits[:5] == list(inbound.BACKOFF)
        company.at += inbound.GIVE_UP
        company.work()
        assert company.ends() == ["held(auth-dns-gave-up)"]
        assert company.messages() == 0
    finally:
        dns.zone = zone


def test_a_temporary_trouble_ends_by_itself(company: Company, dns: DnsServer) -> None:
    zone = dns.zone
    dns.zone = {"late.example": "SERVFAIL", **zone}
    reps.create_rep("ben@late.example", "Ben", company.at)
    company.fresh()
    company.send(make_mail("Ben <ben@late.example>"), mail_from="ben@late.example")
    company.work()
    assert company.ends() == ["received(auth-dns-trouble)"]
    assert company.work() == 0  # not before its time
    dns.zone = {"late.example": {"TXT": ["v=spf1 ip4:203.0.113.0/24 -all"]}, **zone}
    company.at += dt.timedelta(minutes=2)
    company.work()
    dns.zone = zone
    assert company.ends() == ["logged"]


def test_a_released_mail_is_logged_by_a_persons_word(company: Company) -> None:
    ident = company.send(make_mail("Ana <ana@sales.example>"))
    company.work()
    assert company.ends()[0].startswith("held(")
    assert inbound.release(ident, "root@sales.example")
    company.work()
    assert company.ends() == ["logged"]
    assert "root@sales.example" in json.dumps(Trace.get().entries)


def test_a_claimed_mail_belongs_to_who_claimed_it(company: Company) -> None:
    ident = company.send(company.mail(sender="Cy <cy@sales.example>"))
    company.work()
    ben = Rep.get(Rep.email == "ben@sales.example")
    assert inbound.again(ident, claimed_for=ben.id)
    company.work()
    assert company.ends() == ["logged"]
    assert Thread.get().owner_id == ben.id


def test_releasing_before_the_worker_has_marked_the_end_loses_nothing(company: Company) -> None:
    """The outcome stands as soon as it is committed; the marks in the intake follow for the whole batch."""
    ident = company.send(make_mail("Ana <ana@sales.example>"))
    pipeline = company.pipeline()
    (claim,) = inbound.claim("w1", company.at)
    end = pipeline.run(claim)
    assert end is not None
    assert inbound.release(ident, "root@sales.example")
    inbound.mark([inbound.End(claim.id, claim.token, *end)])  # what the slow worker does now
    company.work("w2")
    assert company.ends() == ["logged"]


@pytest.mark.parametrize("filed", ["before it is claimed", "while it is claimed", "while it is filed", "before it is marked"])
def test_a_mail_that_one_puts_aside_while_another_lets_it_in_ends_the_same_in_both_files(company: Company, monkeypatch: pytest.MonkeyPatch, filed: str) -> None:
    ident = company.send(make_mail("Ana <ana@sales.example>"))
    company.work()
    root = viewer_of(Rep.get(Rep.email == "root@sales.example"))
    decided, go_on = threading.Event(), threading.Event()
    settle, write = inbound.settle, filing.write

    def settle_late(inbound_id: int) -> None:
        decided.set()
        go_on.wait(30)
        settle(inbound_id)

    def put_aside() -> None:
        with connected():
            outcomes.put_aside(root, ident, "Root")

    def write_beside(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        if filed == "while it is filed":
            go_on.set()

    monkeypatch.setattr(inbound, "settle", settle_late)
    monkeypatch.setattr(filing, "write", write_beside)
    person = threading.Thread(target=put_aside)
    person.start()
    assert decided.wait(30)
    assert inbound.release(ident, root.email)
    if filed == "before it is claimed":
        settled(go_on, person)
    (claim,) = inbound.claim("w2", company.at)
    if filed == "while it is claimed":
        settled(go_on, person)
    end = company.pipeline("w2").run(claim)
    assert end is not None
    settled(go_on, person)
    inbound.mark([inbound.End(claim.id, claim.token, *end)])
    assert company.ends() == ["logged"]
    assert not any(inbound.orphans().values())


def settled(go_on: threading.Event, person: threading.Thread) -> None:
    go_on.set()
    person.join(30)
    assert not person.is_alive()


def test_many_who_put_aside_take_back_let_in_and_file_at_once_leave_both_files_of_one_mind(company: Company) -> None:
    mails = [company.send(make_mail("Ana <ana@sales.example>", subject=f"Chairs {number}")) for number in range(8)]
    company.work()
    root = viewer_of(Rep.get(Rep.email == "root@sales.example"))
    pipelines = [company.pipeline(f"w{number}") for number in range(2)]

    def decide_and_take_back() -> None:
        for ident in mails:
            if token := outcomes.put_aside(root, ident, "Root"):
                undo.take_back(root, token)

    def remove() -> None:
        for ident in mails[::3]:
            retention.remove(ident)

    def let_in() -> None:
        for ident in reversed(mails):
            inbound.release(ident, root.email)

    def sweep() -> None:
        for _ in mails:
            inbound.mark(inbound.unmarked())
            inbound.resume()

    at_once([decide_and_take_back, decide_and_take_back, remove, let_in, sweep, *(pipeline.work for pipeline in pipelines)])
    company.work()
    assert {end.partition("(")[0] for end in company.ends()} <= {"logged", "held", "ignored"}
    assert not any(inbound.orphans()[name] for name in ("ended_without_outcome", "ended_differently", "outcome_without_inbound"))


def test_a_mail_whose_reading_breaks_three_times_is_held_and_nobody_waits_behind_it(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = company.send(company.mail("Poison"))
    company.send(company.mail("Healthy"))
    pipeline = company.pipeline()
    read = pipeline._reader.read

    def breaking(raw: bytes, *rest: object, **more: object) -> object:
        if b"Poison" in raw:
            raise Broken("unprocessable", "it died")
        return read(raw, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline._reader, "read", breaking)
    pipeline.work()
    assert company.ends() == ["received(unprocessable)", "logged"]
    for _ in range(2):
        company.at += dt.timedelta(minutes=10)
        pipeline.work()
    assert company.ends() == ["held(unprocessable)", "logged"]
    assert inbound.raw_of(poison) is not None


@pytest.mark.parametrize("code", ["read-timeout", "read-memory"])
def test_a_mail_that_is_stopped_by_the_fence_says_why(company: Company, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    company.send(company.mail())
    pipeline = company.pipeline()

    def stopped(*_: object, **__: object) -> object:
        raise Broken(code)

    monkeypatch.setattr(pipeline._reader, "read", stopped)
    for _ in range(3):
        pipeline.work()
        company.at += dt.timedelta(minutes=10)
    assert company.ends() == ["held(unprocessable)"]
    assert Outcome.get().params["cause"] == code


def test_a_mail_that_takes_every_worker_down_is_held_in_the_end(company: Company) -> None:
    company.send(company.mail())
    for number in range(inbound.CLAIMS):
        assert len(inbound.claim(f"dies{number}", company.at)) == 1
        company.at += 2 * inbound.LEASE
    company.work("careful")
    assert company.ends() == ["held(unprocessable)"]


def test_a_loser_of_a_race_never_overwrites_how_the_mail_ended(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    company.send(company.mail())
    (slow,) = inbound.claim("slow", company.at)
    company.at += 2 * inbound.LEASE
    company.work("fast")
    assert company.ends() == ["logged"]
    lost = company.pipeline("slow")
    monkeypatch.setattr(lost._reader, "read", lambda *_, **__: (_ for _ in ()).throw(Broken("unprocessable")))
    for crashes in range(inbound.CRASHES):
        end = lost._failed(inbound.Claim(**{**vars(slow), "crashes": crashes}), Broken("unprocessable"))
        assert end in (None, ("logged", "logged"))
    assert company.ends() == ["logged"]


def test_the_same_mail_again_is_a_duplicate_and_joins_its_drop_addresses(company: Company) -> None:
    deal = Record.get()
    Link.delete().execute()
    address = drops.record_address(deal.id, company.house.seal, company.at)
    raw = company.mail(to="New <new@other.example>")
    company.send(raw)
    company.send(raw, to=[address])
    company.work()
    assert company.ends() == ["logged", "ignored(duplicate)"]
    assert company.messages() == 1
    assert [(link.made_by, link.record_id) for link in Link.select().where(Link.kind == "deal")] == [("address", deal.id)]
    assert Outcome.get_by_id(2).duplicate_of == 1


def test_a_mail_that_an_older_version_has_logged_is_known(company: Company) -> None:
    raw = company.mail()
    company.send(raw)
    company.work()
    Message.update(dedupe_key=without_day(Message.get().dedupe_key)).execute()
    assert " " not in Message.get().dedupe_key
    company.send(raw)
    company.work()
    assert company.ends() == ["logged", "ignored(duplicate)"]


def test_what_is_new_stands_together_in_the_indexes(company: Company) -> None:
    for number in range(5):
        company.send(company.mail(subject=f"Number {number}"))
        company.work()
        company.at += dt.timedelta(minutes=1)
    conversations = [thread.conversation_id for thread in Thread.select().order_by(Thread.id)]
    assert len(conversations) == 5 == len(set(conversations))
    assert conversations == sorted(conversations)
    assert len({message.dedupe_key.split()[0] for message in Message.select()}) == 1  # the day of their Date


def test_a_held_copy_does_not_suppress_a_passing_one(company: Company) -> None:
    signed = company.mail()
    unsigned = signed[signed.index(b"From:") :]
    company.send(unsigned)
    company.send(signed)
    company.work()
    assert [end.partition("(")[0] for end in company.ends()] == ["held", "logged"]


def test_a_mail_whose_text_holds_nul_is_logged_on_every_database(company: Company) -> None:
    company.send(company.mail(body=b"Hello\0Bo\r\n", to='"B\0o" <bo@cust.example>'))
    company.work()
    assert company.ends()[0].partition("(")[0] in ("logged", "held")
    company.send(company.mail(body=b"Hello\0Bo again\r\n"))
    company.work()
    assert company.ends()[1] == "logged"


def test_a_new_mail_moves_what_pages_poll(company: Company) -> None:
    ana, ben = Rep.get(Rep.email == "ana@sales.example"), Rep.get(Rep.email == "ben@sales.example")
    root = Rep.get(Rep.email == "root@sales.example")
    before = {name: pulse(name) for name in (f"rep:{ana.id}", f"rep:{ben.id}", f"rep:{root.id}", "company")}
    company.send(company.mail())
    company.work()
    moved = {name for name, number in before.items() if pulse(name) > number}
    assert moved == {f"rep:{ana.id}", f"rep:{root.id}"}  # a private thread moves nothing for Ben
    Rep.update(default_sharing="company").where(Rep.id == ana.id).execute()
    company.send(company.mail("Twenty tables", to="Di <di@else.example>"))
    company.work()
    assert pulse("company") > before["company"]


# --- races --------------------------------------------------------------------------------------------------------


def test_twenty_parallel_deliveries_of_one_mail_make_one_logged_mail(company: Company) -> None:
    raw = company.mail(to="Bo <bo@cust.example>, New <new@fresh.example>")
    at_once([lambda: company.send(raw) for _ in range(20)])
    at_once([company.pipeline(f"w{number}").work for number in range(4)])
    company.work()
    ends = Counter(company.ends())
    assert ends == {"logged": 1, "ignored(duplicate)": 19}
    assert (company.messages(), company.threads()) == (1, 1)


def test_workers_on_one_thread_never_double_a_contact_a_thread_or_a_link(company: Company) -> None:
    """Twelve answers of one conversation, of two reps, with new people in every order, worked on by four at once."""
    people = ["a@north.example", "b@south.example", "c@north.example", "d@south.example"]
    for number in range(12):
        names = people[number % 4 :] + people[: number % 4]
        sender = ("Ana <ana@sales.example>", "Ben <ben@sales.example>")[number % 2]
        company.send(company.mail("Re: Chairs", sender=sender, to=", ".join(names), headers=[f"References: <root@cust.example> <m{number}@cust.example>"]))
    at_once([company.pipeline(f"w{number}").work for number in range(4)])
    for _ in range(3):  # what a deadlock sent back, if there was any
        company.at += dt.timedelta(minutes=10)
        company.work()
    assert set(company.ends()) == {"logged"}
    assert company.threads() == 2
    assert doubles([row.address for row in ContactAddress.select()]) == []
    assert {row.address for row in ContactAddress.select()} >= set(people)
    assert Contact.select().count() == 5
    assert {row.domain for row in OrganisationDomain.select()} == {"cust.example", "north.example", "south.example"}
    assert Organisation.select().count() == 3
    assert doubles([(row.thread_id, row.target) for row in Link.select()]) == []


def test_no_deadlock_stopped_a_mail_for_long(company: Company, caplog: pytest.LogCaptureFixture) -> None:
    """Everything is locked in one order, so that nothing has to be tried again."""
    for number in range(16):
        sender = ("Ana <ana@sales.example>", "Ben <ben@sales.example>")[number % 2]
        order = ["x@one.example", "bo@cust.example", "y@two.example"]
        company.send(company.mail(f"Offer {number}", sender=sender, to=", ".join(order if number % 3 else order[::-1])))
    at_once([company.pipeline(f"w{number}").work for number in range(4)])
    assert Counter(company.ends()) == {"logged": 16}
    assert not [record for record in caplog.records if "waits for the database" in record.message]


def test_one_mail_is_worked_on_by_one_worker(company: Company) -> None:
    for number in range(10):
        company.send(company.mail(f"Mail {number}"))
    claims = at_once([lambda name=f"w{number}": inbound.claim(name, company.at, 5) for number in range(4)])
    ids = [claim.id for claimed in claims for claim in claimed]
    assert doubles(ids) == []
    assert len(ids) == 10


def test_an_envelope_with_bytes_that_are_no_text_is_kept_all_the_same(company: Company) -> None:
    company.house.intake.receive(company.mail(), Envelope("smtp", ("acme@drop.example",), "caf\udce9@sales.example", "203.0.113.9", "h\udcffst"))
    company.work()
    assert company.ends() == ["logged"]
