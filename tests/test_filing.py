"""What a logged mail leaves behind: people, links, candidates, events, search; whole or not at all."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from core.errors import BadInput
from core.store import company as company_settings
from core.store import dialect, drops, filing, inbound, people, records, reps, threads
from core.store.database import connected, is_sqlite, main_db, run_sql
from core.store.load import load
from core.store.models import (
    Attachment,
    Audit,
    Candidate,
    Contact,
    ContactAddress,
    Event,
    Link,
    Message,
    Organisation,
    OrganisationDomain,
    Outcome,
    Participant,
    Pulse,
    Record,
    Rep,
    Thread,
    ThreadId,
    Trace,
)
from core.store.visibility import viewer_of
from tests.spine import Company

pytest_plugins = ["tests.spine"]

FORWARD = "FYI\n\n---------- Forwarded message ---------\nFrom: Di <di@new.example>\nDate: Thu, 19 Nov 2026 at 09:00\nSubject: Price\nTo: Ana <ana@sales.example>\nCc: El <el@new.example>\n\nHow much?\n"


def log(company: Company, raw: bytes, to: str = "acme@drop.example") -> Message:
    ident = company.send(raw, to=[to])
    company.work()
    assert inbound.counts(company.at)["logged"] >= 1, company.ends()
    return Message.get(Message.inbound_id == ident)


def titles(thread: Any, kind: str) -> set[str]:
    query = Link.select().where(Link.thread == thread, Link.kind == kind, Link.removed_at.is_null())
    found = {"contact": lambda one: one.contact.name, "organisation": lambda one: one.organisation.name}.get(kind, lambda one: one.record.title)
    return {found(link) for link in query}


def test_everybody_named_is_a_participant_and_strangers_become_contacts(company: Company) -> None:
    message = log(company, company.mail(to="Bo <bo@cust.example>, Di <di@new.example>", headers=["Cc: Ben <ben@sales.example>, info@new.example"]))
    people = {(row.role, row.address, row.contact.name if row.contact else None) for row in Participant.select().where(Participant.message == message.id)}
    assert people == {
        ("from", "ana@sales.example", None), ("to", "bo@cust.example", "Bo"), ("to", "di@new.example", "Di"), ("cc", "ben@sales.example", None),
        ("cc", "info@new.example", None),
    }  # fmt: skip
    assert {row.address for row in ContactAddress.select()} == {"bo@cust.example", "di@new.example"}
    assert titles(message.thread_id, "contact") == {"Bo", "Di"}
    assert titles(message.thread_id, "organisation") == {"Cust Ltd", "new.example"}


def test_a_mistyped_drop_address_becomes_no_contact(company: Company) -> None:
    """Also where the admin has named the internal domains; a mailbox at a free-mail provider makes nobody there internal."""
    for named in ((), ("sales.example",)):
        company_settings.change_company({"internal_domains": named})
        company.fresh()
        message = log(company, company.mail(f"Typo {len(named)}", to="Bo <bo@cust.example>, acmee@drop.example, r-aaaabbbbccccdddd@drop.example"))
        assert titles(message.thread_id, "contact") == {"Bo"}
        assert titles(message.thread_id, "organisation") == {"Cust Ltd"}
    below = log(company, company.mail("A host below it is somebody else's", to="cy@shop.drop.example"))
    assert titles(below.thread_id, "contact") == {"cy@shop.drop.example"}
    company_settings.change_company({"mail_domain": "gmail.com"})
    company.fresh()
    assert reps.drop_domain() == ""


def test_a_file_that_comes_later_takes_over_whom_mail_made(company: Company) -> None:
    """The contact, its mail and its organisation are the other program's from then on; a second address of one person makes no second contact."""
    company_settings.change_company({"internal_domains": ["sales.example"]})
    first = log(company, company.mail("One", to="di@new.example"))
    second = log(company, company.mail("Two", to="Di Home <di@home.example>"))
    file: dict[str, Any] = {
        "organisations": [{"external_id": "o9", "name": "New Ltd", "domains": ["new.example"]}],
        "contacts": [{"external_id": "c9", "name": "Di", "addresses": ["di@new.example"], "organisation": "o9"}],
        "deals": [{"external_id": "d9", "title": "Nine", "contacts": ["c9"], "created_at": "2026-01-01T00:00:00Z"}],
    }
    load(file, company.at)
    file["contacts"][0]["addresses"].append("di@home.example")
    for _ in range(2):
        load(file, company.at)
    contact = Contact.get(Contact.external_id == "c9")
    assert (contact.name, contact.organisation.name, contact.organisation.external_id) == ("Di", "New Ltd", "o9")
    assert {row.address for row in ContactAddress.select().where(ContactAddress.contact == contact.id)} == {"di@new.example", "di@home.example"}
    assert titles(first.thread_id, "contact") == titles(second.thread_id, "contact") == {"Di"}
    assert {chip["title"] for chip in Thread.get_by_id(first.thread_id).chips} == {"Di", "New Ltd"}
    assert titles(log(company, company.mail("Three", to="di@home.example")).thread_id, "deal") == {"Nine"}
    with pytest.raises(BadInput, match="belongs to another contact"):
        load({"contacts": [{"external_id": "c10", "name": "Ed", "addresses": ["di@home.example"]}]}, company.at)


def test_a_domain_of_an_organisation_that_mail_made_goes_to_the_loaded_one(company: Company) -> None:
    """With its people, records and links, also when the loaded one is there already or has several such domains."""
    company_settings.change_company({"internal_domains": ["sales.example"]})
    first = log(company, company.mail("One", to="di@new.example"))
    second = log(company, company.mail("Two", to="Di Home <di@new.test>"))
    both = log(company, company.mail("Both", to="di@new.example, di@new.test"))
    unclaimed = Organisation.get(Organisation.name == "new.example")
    Record.create(kind="lead", title="A lead", organisation=unclaimed, created_at=company.at, updated_at=company.at)
    file: dict[str, Any] = {"organisations": [{"external_id": "o9", "name": "New Ltd"}]}
    load(file, company.at)
    file["organisations"][0]["domains"] = ["new.example", "new.test"]
    for _ in range(2):
        load(file, company.at)
    loaded = Organisation.get(Organisation.external_id == "o9")
    assert {row.domain for row in OrganisationDomain.select().where(OrganisationDomain.organisation == loaded.id)} == {"new.example", "new.test"}
    assert {row.organisation_id for row in Contact.select().join(ContactAddress).where(ContactAddress.address.startswith("di@"))} == {loaded.id}
    assert Record.get(Record.title == "A lead").organisation_id == loaded.id
    for message in (first, second, both):
        assert titles(message.thread_id, "organisation") == {"New Ltd"}
        assert [chip["title"] for chip in Thread.get_by_id(message.thread_id).chips].count("New Ltd") == 1
    assert {view.name for view in people.organisations().items} == {"Cust Ltd", "New Ltd"}
    assert titles(log(company, company.mail("Three", to="ed@new.test")).thread_id, "organisation") == {"New Ltd"}
    with pytest.raises(BadInput, match="belongs to another organisation"):
        load({"organisations": [{"external_id": "o10", "name": "Other", "domains": ["new.test"]}]}, company.at)


def test_the_only_open_deal_is_linked_and_its_last_activity_moves(company: Company) -> None:
    message = log(company, company.mail())
    link = Link.get(Link.kind == "deal")
    assert (link.made_by, link.policy_version, link.message_id) == ("policy:single-open", "1", message.id)
    assert Record.get().last_activity_at == message.date
    assert message.thread.linked


def test_with_two_open_deals_nothing_is_guessed_and_both_are_offered(company: Company) -> None:
    load({"deals": [{"external_id": "d2", "title": "Sofa", "contacts": ["c1"], "created_at": "2026-01-01T00:00:00Z"}]}, company.at)
    message = log(company, company.mail())
    thread = Thread.get_by_id(message.thread_id)
    assert (thread.waiting, thread.linked) == ("needs-choice", False)
    assert {(row.record.title, row.reason, row.offer) for row in Candidate.select()} == {("Ten chairs", "several-open", True), ("Sofa", "several-open", True)}


def test_a_record_made_after_the_thread_began_is_not_linked(company: Company) -> None:
    load({"deals": [{"external_id": "d1", "title": "Ten chairs", "status": "won", "closed_at": "2026-02-01T00:00:00Z"}]}, company.at)
    load({"deals": [{"external_id": "d3", "title": "Late", "contacts": ["c1"], "created_at": "2026-11-20T10:00:04Z"}]}, company.at)
    message = log(company, company.mail())
    assert titles(message.thread_id, "deal") == set()
    assert {(row.record.title, row.reason) for row in Candidate.select()} == {("Late", "created-after-thread"), ("Ten chairs", "not-open")}


def test_a_record_made_in_the_very_second_of_a_mail_that_had_arrived_is_younger_than_its_thread(company: Company) -> None:
    """A Date holds whole seconds, so the arrival tells which of the two was first."""
    load({"deals": [{"external_id": "d1", "title": "Ten chairs", "status": "won", "closed_at": "2026-02-01T00:00:00Z"}]}, company.at)
    company.at = dt.datetime(2026, 11, 20, 10, 0, 0, 300_000, tzinfo=dt.UTC)
    first = log(company, company.mail(message_id="<one@sales.example>"))
    load({"deals": [{"external_id": "d3", "title": "Late", "contacts": ["c1"], "created_at": "2026-11-20T10:00:00.800Z"}]}, company.at)
    company.at += dt.timedelta(seconds=1)
    second = log(company, company.mail("Re: Ten chairs", body="Twelve.", headers=["In-Reply-To: <one@sales.example>"]))
    assert second.thread_id == first.thread_id
    assert titles(first.thread_id, "deal") == set()
    assert ("Late", "created-after-thread") in {(row.record.title, row.reason) for row in Candidate.select()}
    fresh = log(company, company.mail("Something else"))  # of this one it cannot be told: it is taken as there before
    assert titles(fresh.thread_id, "deal") == {"Late"}


def test_mail_to_a_record_s_own_address_is_filed_there_though_it_is_closed(company: Company) -> None:
    address = drops.record_address(Record.get().id, company.house.seal, company.at)
    load({"deals": [{"external_id": "d1", "title": "Ten chairs", "status": "lost", "closed_at": "2026-02-01T00:00:00Z"}]}, company.at)
    message = log(company, company.mail(to="Di <di@new.example>"), address)
    assert [(link.made_by, link.reason) for link in Link.select().where(Link.thread == message.thread_id, Link.kind == "deal")] == [("address", "by-address")]


def test_an_answer_joins_the_thread_and_its_row_shows_the_newest(company: Company) -> None:
    first = log(company, company.mail(message_id="<one@sales.example>"))
    second = log(company, company.mail("Re: Ten chairs", body="Twelve, please.\n", date="Fri, 20 Nov 2026 10:00:04 +0000", headers=["In-Reply-To: <one@sales.example>"]))
    assert first.thread_id == second.thread_id
    thread = Thread.get_by_id(first.thread_id)
    assert (thread.message_count, thread.last_at, thread.started_at, thread.snippet) == (2, second.date, first.date, "Twelve, please.")
    assert {row.message_id for row in ThreadId.select()} >= {"one@sales.example", second.message_id}


def test_another_rep_s_thread_is_never_joined(company: Company) -> None:
    first = log(company, company.mail(message_id="<one@sales.example>"))
    other = log(company, company.mail("Re: Ten chairs", sender="Ben <ben@sales.example>", headers=["In-Reply-To: <one@sales.example>"]))
    assert first.thread_id != other.thread_id


def test_a_late_parent_joins_two_threads_into_one(company: Company) -> None:
    first = log(company, company.mail("Chairs", to="Di <di@new.example>", message_id="<a@sales.example>"))
    second = log(company, company.mail("Lamps", to="El <el@new.example>", message_id="<b@sales.example>"))
    assert first.thread_id != second.thread_id
    Audit.create(at=company.at, who="root@sales.example", act="thread-opened", about=f"thread:{second.thread_id}")
    parent = log(company, company.mail("Both", to="Di <di@new.example>", headers=["References: <a@sales.example> <b@sales.example>"]))
    assert Thread.select().count() == 1
    assert Audit.select(Audit.about).scalar() == f"thread:{parent.thread_id}", "who has looked in stays to be seen"
    assert Message.select().where(Message.thread == parent.thread_id).count() == 3
    assert titles(parent.thread_id, "contact") == {"Di", "El"}


def test_a_forward_is_filed_on_who_wrote_the_original_and_copies_are_not_added(company: Company) -> None:
    message = log(company, company.mail("Fwd: Price", to="acme-fwd@drop.example", body=FORWARD), "acme-fwd@drop.example")
    assert titles(message.thread_id, "contact") == {"Di"}
    assert {row.address for row in ContactAddress.select()} == {"bo@cust.example", "di@new.example"}
    assert message.forward["sender"]["address"] == "di@new.example"
    assert Thread.get_by_id(message.thread_id).subject == "Price"


def test_the_rep_s_default_decides_who_sees_a_new_thread(company: Company) -> None:
    ana, ben = (Rep.get(Rep.email == f"{name}@sales.example") for name in ("ana", "ben"))
    private = log(company, company.mail("Secret"))
    Rep.update(default_sharing="company").where(Rep.id == ana.id).execute()
    shared = log(company, company.mail("Open"))
    seen = [row.id for row in threads.page(viewer_of(ben)).items]
    assert seen == [shared.thread_id]
    assert {row.id for row in threads.page(viewer_of(ana)).items} == {private.thread_id, shared.thread_id}
    assert [row.id for row in threads.page(viewer_of(ben), q="secret").items] == []


def test_a_logged_mail_is_found_at_once(company: Company) -> None:
    ana = viewer_of(Rep.get(Rep.email == "ana@sales.example"))
    message = log(company, company.mail(body="The walnut veneer is ready.\n"))
    assert [row.id for row in threads.page(ana, q="walnut").items] == [message.thread_id]


def test_automatic_linking_can_be_switched_off(company: Company) -> None:
    Rep.update(auto_link=False).where(Rep.email == "ana@sales.example").execute()
    message = log(company, company.mail())
    assert titles(message.thread_id, "deal") == set()
    assert titles(message.thread_id, "contact") == {"Bo"}


def test_what_a_person_unlinked_no_later_mail_brings_back(company: Company) -> None:
    message = log(company, company.mail(message_id="<one@sales.example>"))
    Link.update(removed_at=company.at, removed_by="rep:ana@sales.example").where(Link.kind == "deal").execute()
    log(company, company.mail("Re: Ten chairs", headers=["In-Reply-To: <one@sales.example>"]))
    assert titles(message.thread_id, "deal") == set()


def test_what_still_answers_a_deleted_thread_stays_together(company: Company) -> None:
    first = log(company, company.mail("One", message_id="<one@sales.example>"))
    ana = viewer_of(Rep.get_by_id(first.owner_id))
    threads.delete_thread(ana, first.thread_id)
    answers = [log(company, company.mail("Re: One", body=f"Answer {n}", headers=["In-Reply-To: <one@sales.example>"])) for n in range(2)]
    assert answers[0].thread_id == answers[1].thread_id != first.thread_id
    assert threads.restore_thread(ana, first.thread_id)
    again = log(company, company.mail("Re: One", body="To the first", headers=["In-Reply-To: <one@sales.example>"]))
    assert again.thread_id == first.thread_id  # it has the names of its mails back
    assert {row.id for row in threads.conversation(ana, first.thread_id).related} == {answers[0].thread_id}  # type: ignore[union-attr]


def test_a_deleted_mail_is_not_resurrected(company: Company) -> None:
    raw = company.mail()
    message = log(company, raw)
    Message.update(deleted_at=company.at).where(Message.id == message.id).execute()
    company.send(raw)
    company.work()
    assert company.ends() == ["logged", "ignored(deleted-before)"]


def test_attachments_are_listed_with_their_place_in_the_raw_mail(company: Company) -> None:
    body = '--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="a.pdf"\r\n\r\n%PDF\r\n--b--\r\n'
    from tests.mailmaker import make_mail, spare_signer

    raw = make_mail(body=body).replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=b")
    message = log(company, spare_signer("sales.example").sign(raw))
    (row,) = Attachment.select().where(Attachment.message == message.id)
    assert (row.filename, row.size, row.inline, row.content) == ("a.pdf", 4, False, None)
    assert Thread.get_by_id(message.thread_id).has_attachment


def test_the_time_of_a_mail_is_its_date_only_when_that_is_believable(company: Company) -> None:
    believed = log(company, company.mail("A", date="Thu, 19 Nov 2026 08:00:00 +0000"))
    future = log(company, company.mail("B", date="Sun, 20 Dec 2026 08:00:00 +0000"))
    ancient = log(company, company.mail("C", date="Mon, 19 Nov 2012 08:00:00 +0000"))
    assert believed.date == dt.datetime(2026, 11, 19, 8, tzinfo=dt.UTC)
    assert future.date == ancient.date == company.at


def test_events_tell_of_what_has_happened(company: Company) -> None:
    log(company, company.mail(to="Bo <bo@cust.example>, Di <di@new.example>"))
    assert sorted(row.name for row in Event.select()) == ["contact.created", "link.added", "mail.logged"]


def test_a_failure_while_filing_leaves_nothing_behind(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("no luck")

    company.send(company.mail(to="Di <di@new.example>"))
    tables = (Message, Thread, Contact, Organisation, Link, Outcome, Trace, Event)
    before = [model.select().count() for model in tables]
    with monkeypatch.context() as broken:
        broken.setattr(filing, "_write_outcome", failing)
        company.work()
    assert [model.select().count() for model in tables] == before
    assert company.ends() == ["received(unprocessable)"]
    company.at += dt.timedelta(minutes=5)
    company.work()
    assert company.ends() == ["logged"]
    assert Contact.select().count() == 2


# --- threads that meet --------------------------------------------------------------------------------------------


def linked(thread: Any) -> dict[str, str]:
    """The living links to records of a thread: title and who made them."""
    return {link.record.title: link.made_by for link in Link.select().where(Link.thread == thread, Link.record.is_null(False), Link.removed_at.is_null())}


def two_deals(company: Company) -> None:
    """Di and El, each with an open deal of their own."""
    load(
        {
            "contacts": [{"external_id": "di", "name": "Di", "addresses": ["di@new.example"]}, {"external_id": "el", "name": "El", "addresses": ["el@new.example"]}],
            "deals": [{"external_id": "el", "title": "Lamps", "contacts": ["el"], "created_at": "2026-01-01T00:00:00Z"}],
        },
        company.at,
    )


def test_when_a_late_parent_joins_threads_what_the_younger_one_holds_counts(company: Company) -> None:
    two_deals(company)
    first = log(company, company.mail("Chairs", to="Di <di@new.example>", message_id="<a@sales.example>"))
    second = log(company, company.mail("Lamps", to="El <el@new.example>", message_id="<b@sales.example>"))
    assert (linked(first.thread_id), linked(second.thread_id)) == ({}, {"Lamps": "policy:single-open"})
    load({"deals": [{"external_id": "di", "title": "Desks", "contacts": ["di"], "created_at": "2026-01-01T00:00:00Z"}]}, company.at)
    log(company, company.mail("Both", to="Di <di@new.example>", headers=["References: <a@sales.example> <b@sales.example>"]))
    assert linked(first.thread_id) == {"Lamps": "policy:single-open"}, "a thread holds one record under this policy (F42)"
    assert titles(first.thread_id, "contact") == {"Di", "El"}


def test_when_a_late_parent_joins_threads_what_was_unlinked_from_the_younger_one_stays_off(company: Company) -> None:
    two_deals(company)
    first = log(company, company.mail("Chairs", to="Di <di@new.example>", message_id="<a@sales.example>"))
    second = log(company, company.mail("Lamps", to="El <el@new.example>", message_id="<b@sales.example>"))
    Link.update(removed_at=company.at, removed_by="rep:ana@sales.example").where(Link.thread == second.thread_id, Link.kind == "deal").execute()
    log(company, company.mail("Both", to="El <el@new.example>", headers=["References: <a@sales.example> <b@sales.example>"]))
    assert Thread.select().count() == 1
    assert linked(first.thread_id) == {}, "what a person unlinked, no policy brings back (F49)"


def conversations() -> int:
    return len({thread.conversation_id for thread in Thread.select()})


def test_mails_that_are_filed_together_are_found_and_told_each_by_itself(company: Company) -> None:
    """What they have in common is written in one go: one part of SQLite's search index, one step of the counters, an event for each."""
    idents = [company.send(company.mail(f"Chairs {n}", message_id=f"<{n}@sales.example>")) for n in range(4)]
    ana = viewer_of(Rep.get(Rep.email == "ana@sales.example"))
    before = int(Pulse.get(Pulse.name == "mail").number) if Pulse.select().where(Pulse.name == "mail").exists() else 0
    company.work()
    assert {row.subject for row in threads.page(ana, q="chairs").items} == {f"Chairs {n}" for n in range(4)}
    assert [row.facts["inbound"] for row in Event.select().where(Event.name == "mail.logged").order_by(Event.id)] == idents
    raised = int(Pulse.get(Pulse.name == "mail").number) - before
    if is_sqlite():
        assert run_sql(main_db, "SELECT COUNT(DISTINCT segid) FROM search_idx").fetchone()[0] == 1
        assert raised == 1
    else:
        assert raised == 4, "there each mail is a transaction"


def test_a_mail_that_breaks_the_transaction_leaves_the_others_found(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    idents = [company.send(company.mail(f"Chairs {n}", message_id=f"<{n}@sales.example>")) for n in range(3)]
    write = dialect.write_entries

    def breaking(entries: Sequence[dialect.Entry]) -> None:
        if any("1" in entry.columns["subject"] for entry in entries):
            raise ValueError
        write(entries)

    monkeypatch.setattr(dialect, "write_entries", breaking)
    company.work()
    ana = viewer_of(Rep.get(Rep.email == "ana@sales.example"))
    assert {row.subject for row in threads.page(ana, q="chairs").items} == {"Chairs 0", "Chairs 2"}
    assert {row.inbound_id for row in Outcome.select()} == {idents[0], idents[2]}, "a mail whose words cannot be written is not logged"
    assert [row.facts["inbound"] for row in Event.select().where(Event.name == "mail.logged").order_by(Event.id)] == [idents[0], idents[2]]


def test_an_answer_of_another_rep_shares_the_conversation(company: Company) -> None:
    log(company, company.mail(message_id="<one@sales.example>"))
    log(company, company.mail("Re: Ten chairs", sender="Ben <ben@sales.example>", message_id="<two@sales.example>", headers=["In-Reply-To: <one@sales.example>"]))
    log(company, company.mail("Re: Ten chairs", date="Fri, 20 Nov 2026 10:00:03 +0000", headers=["References: <two@sales.example>"]))
    assert (Thread.select().count(), conversations()) == (3, 1), "Ana's second mail names none that is hers, so it begins a thread of the conversation"
    log(company, company.mail("Re: Ten chairs", date="Fri, 20 Nov 2026 10:00:04 +0000", headers=["References: <one@sales.example> <two@sales.example>"]))
    assert (Thread.select().count(), conversations()) == (3, 1), "both of hers carry a record, so they stay apart (F36)"


def test_a_mail_that_names_two_conversations_makes_them_one_whoever_owns_the_threads(company: Company) -> None:
    log(company, company.mail("Chairs", message_id="<a@sales.example>"))
    log(company, company.mail("Lamps", sender="Ben <ben@sales.example>", message_id="<b@sales.example>"))
    assert conversations() == 2
    log(company, company.mail("Both", headers=["References: <b@sales.example> <a@sales.example>"]))
    assert (Thread.select().count(), conversations()) == (2, 1)


def test_threads_that_must_stay_apart_show_as_related(company: Company) -> None:
    first = log(company, company.mail("Chairs", to="Di <di@new.example>", message_id="<a@sales.example>"))
    second = log(company, company.mail("Lamps", to="El <el@new.example>", message_id="<b@sales.example>"))
    Thread.update(sharing="company").where(Thread.id == second.thread_id).execute()
    log(company, company.mail("Both", to="Di <di@new.example>", headers=["References: <a@sales.example> <b@sales.example>"]))
    conversation = threads.conversation(viewer_of(Rep.get(Rep.email == "ana@sales.example")), first.thread_id)
    assert conversation is not None
    assert [row.id for row in conversation.related] == [second.thread_id]


# --- who becomes a contact ----------------------------------------------------------------------------------------


def test_everybody_of_two_hundred_becomes_a_contact(company: Company) -> None:
    crowd = [f"p{number}@crowd.example" for number in range(200)]
    message = log(company, company.mail(to=", ".join(crowd[:120]), headers=["Cc: " + ", ".join(crowd[120:])]))
    assert titles(message.thread_id, "contact") == set(crowd)
    assert titles(message.thread_id, "organisation") == {"crowd.example"}


def test_a_drop_address_of_the_past_is_nobody(company: Company) -> None:
    old = drops.record_address(Record.get().id, company.house.seal, company.at)
    company_settings.change_company({"grace_days": 0})
    drops.rotate(Record.get().id, company.house.seal, company.at - dt.timedelta(days=1))
    drops.set_slug("newname", company.house.seal, company.at - dt.timedelta(days=1))
    company.fresh()
    assert drops.find(old, company.house.seal, company.at) is None
    message = log(company, company.mail(to=f"Bo <bo@cust.example>, {old}, Acme@drop.example"), "newname@drop.example")
    assert titles(message.thread_id, "contact") == {"Bo"}
    assert not Organisation.select().where(Organisation.name == "drop.example").exists()


@pytest.mark.parametrize("named", ["münster.example", "MÜNSTER.example", "xn--mnster-3ya.example"])
def test_an_internal_domain_counts_in_both_its_forms_and_with_what_stands_below_it(company: Company, named: str) -> None:
    company_settings.change_company({"internal_domains": [named]})
    company.fresh()
    message = log(company, company.mail(to="a@münster.example, b@eu.xn--mnster-3ya.example, c@notmünster.example"))
    assert titles(message.thread_id, "contact") == {"c@xn--notmnster-t9a.example"}


@pytest.mark.parametrize("wrong", ["no domain", "a@b.example", "@b.example", "*.b.example", "local"])
def test_what_is_no_domain_is_no_internal_one(company: Company, wrong: str) -> None:
    with pytest.raises(BadInput) as raised:
        company_settings.change_company({"internal_domains": ["sales.example", wrong]})
    assert raised.value.where == "internal_domains"


def test_a_mail_domain_in_its_own_script_takes_mail_in_both_its_forms(company: Company) -> None:
    company_settings.change_company({"mail_domain": "Dröp.example"})
    drops.enter_universal(company.house.seal, company.at)
    company.fresh()
    assert drops.universal()[0] == "acme@xn--drp-tna.example"
    for address in ("acme@xn--drp-tna.example", "ACME@dröp.example"):
        assert drops.find(address, company.house.seal, company.at) is not None


# --- what was there when the mail was written ---------------------------------------------------------------------


def test_a_record_of_the_same_second_was_there_before_the_mail(company: Company) -> None:
    """A Date holds whole seconds: whoever makes a deal and writes at once must find the mail on it."""
    load(
        {
            "contacts": [{"external_id": "di", "name": "Di", "addresses": ["di@new.example"]}],
            "deals": [
                {"external_id": "new", "title": "Just made", "contacts": ["di"], "created_at": "2026-11-20T10:00:00.700Z"},
                {"external_id": "won", "title": "Just won", "contacts": ["di"], "created_at": "2026-01-01T00:00:00Z", "status": "won", "closed_at": "2026-11-20T10:00:00.600Z"},
                {"external_id": "late", "title": "A second later", "contacts": ["di"], "created_at": "2026-11-20T10:00:01Z"},
            ],
        },
        company.at,
    )
    message = log(company, company.mail(to="di@new.example", date="Fri, 20 Nov 2026 10:00:00 +0000"))
    assert linked(message.thread_id) == {"Just made": "policy:single-open"}
    assert {row.record.title: row.reason for row in Candidate.select()} == {"Just won": "not-open", "A second later": "created-after-thread"}
    assert message.date == dt.datetime(2026, 11, 20, 10, 0, tzinfo=dt.UTC), "the mail's own time is told as it is"


def test_a_closed_record_nobody_knows_since_when_is_never_chosen(company: Company) -> None:
    """Loaded today, mail of yesterday: it is not open, and when it was, nobody has said (F39)."""
    made = "2026-01-01T00:00:00Z"
    load(
        {
            "contacts": [{"external_id": "di", "name": "Di", "addresses": ["di@new.example"]}],
            "deals": [{"external_id": "w", "title": "Won", "contacts": ["di"], "status": "won", "created_at": made}, {"external_id": "o", "title": "Open", "contacts": ["di"], "created_at": made}],
            "leads": [{"external_id": "a", "title": "Archived", "contacts": ["di"], "status": "archived", "created_at": made}],
            "projects": [{"external_id": "c", "title": "Closed later", "contacts": ["di"], "status": "completed", "created_at": made, "closed_at": "2026-11-19T00:00:00Z"}],
        },
        company.at + dt.timedelta(days=1),
    )
    admin = viewer_of(Rep.get(Rep.role == "admin"))
    records.create(admin, "deal", {"title": "Entered as lost", "status": "lost", "contacts": [Contact.get(Contact.name == "Di").id], "created_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, company.house.seal)
    message = log(company, company.mail(to="di@new.example"))
    assert linked(message.thread_id) == {"Open": "policy:single-open"}
    earlier = log(company, company.mail("Before", to="di@new.example", date="Wed, 18 Nov 2026 10:00:00 +0000"))
    assert {row.record.title for row in Candidate.select().where(Candidate.thread == earlier.thread_id, Candidate.offer)} == {"Open", "Closed later"}, "this one was open then"


def test_a_mail_filed_while_its_thread_is_shared_is_found_by_all(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    first = log(company, company.mail(subject="Chairs", message_id="<first@sales.example>"))
    owner = viewer_of(Rep.get(Rep.email == "ana@sales.example"))

    def share() -> None:
        with connected():
            threads.set_sharing(owner, first.thread_id, "company")

    colleague = threading.Thread(target=share)
    known = filing.reader_of

    def meanwhile(owner_id: int, sharing: str) -> int:
        colleague.start()
        colleague.join(1)
        return known(owner_id, sharing)

    monkeypatch.setattr(filing, "reader_of", meanwhile)
    second = log(company, company.mail(subject="Re: Chairs", to="di@new.example", headers=["In-Reply-To: <first@sales.example>"], message_id="<second@sales.example>"))
    colleague.join()
    assert second.thread_id == first.thread_id
    assert {link.reader for link in Link.select().where(Link.thread == first.thread_id)} == {0}
