"""What a person deleted or decided is taken back with one click, whatever happened meanwhile, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from core.store import inbound, links, outcomes, people, records, removals, retention, threads, undo
from core.store.company import change_company
from core.store.database import connected
from core.store.models import Audit, Inbound, Link, Organisation, Outcome, Participant, Record, RecordContact, Thread
from core.store.visibility import Viewer
from tests.store.small_world import World


@pytest.fixture
def company(any_store: World) -> tuple[World, Viewer]:
    change_company({"slug": "acme", "mail_domain": "drop.example"})
    return any_store, any_store.rep("ana")


def at_once(viewer: Viewer, token: str, times: int = 6) -> list[str | None]:
    """Several browsers of one rep that undo the same act at the same time."""

    def once(_: int) -> str | None:
        with connected():
            return undo.take_back(viewer, token)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(once, range(times)))


# --- records ------------------------------------------------------------------------------------------------------


def test_a_deleted_record_comes_back_as_if_it_had_never_been_deleted(company):
    world, ana = company
    made = records.create(ana, "deal", {"title": "Ten chairs", "created_at": world.now}, world.seal)
    told = records.history(made.id)
    token = removals.delete_record(ana, "deal", made.id)
    assert records.get("deal", made.id, world.seal) is None
    assert removals.delete_record(ana, "deal", made.id) is None
    assert removals.delete_record(ana, "lead", made.id) is None
    assert at_once(ana, token).count("delete-record") == 1
    back = records.get("deal", made.id, world.seal)
    assert (back.status, back.closed_at, back.bcc_address) == ("open", None, made.bcc_address)
    assert records.history(made.id) == told


def test_a_closed_record_comes_back_closed(company):
    world, ana = company
    made = records.create(ana, "deal", {"title": "Ten chairs", "created_at": world.now}, world.seal)
    lost = records.update(ana, "deal", made.id, {"status": "lost"}, world.seal)
    assert undo.take_back(ana, removals.delete_record(ana, "deal", made.id)) == "delete-record"
    back = records.get("deal", made.id, world.seal)
    assert (back.status, back.closed_at) == ("lost", lost.closed_at)


def test_a_record_that_somebody_decided_on_meanwhile_stays_as_they_left_it(company):
    world, ana = company
    made = records.create(ana, "deal", {"title": "Ten chairs", "created_at": world.now}, world.seal)
    token = removals.delete_record(ana, "deal", made.id)
    bo = world.rep("bo")
    records.update(bo, "deal", made.id, {"status": "won"}, world.seal)
    assert undo.take_back(ana, token) is None
    assert records.get("deal", made.id, world.seal).status == "won"
    first = removals.delete_record(ana, "deal", made.id)
    records.update(bo, "deal", made.id, {"status": "open"}, world.seal)
    second = removals.delete_record(bo, "deal", made.id)
    assert undo.take_back(ana, first) is None, "it was deleted once more, by another"
    assert undo.take_back(ana, second) is None, "the undo of another"
    assert undo.take_back(bo, second) == "delete-record"
    assert Record.get_by_id(made.id).status == "open"


# --- contacts and organisations -----------------------------------------------------------------------------------


def a_contact(world: World, ana: Viewer) -> tuple[int, int, int]:
    """A contact with two addresses on a record and in a thread: (contact, record, thread)."""
    contact = people.create_contact(ana, {"name": "Cy", "addresses": ["cy@cust.example", "cy@home.example"], "external_id": "7"}).id
    record = world.record("Ten chairs", contacts=(contact,))
    mail = world.mail(ana, contact=contact)
    links.link(ana, mail.thread_id, "contact", contact)
    return contact, record, mail.thread_id


def standing(contact: int, record: int, thread: int, ana: Viewer) -> tuple[object, ...]:
    """Everything that a page shows of the contact."""
    view = people.get_contact(contact)
    on = [row.record_id for row in RecordContact.select().where(RecordContact.contact == contact, RecordContact.removed_at.is_null())]
    took_part = Participant.select().where(Participant.contact == contact).count()
    return (view and (view.name, view.addresses, view.external_id)), on, took_part, [chip["title"] for chip in threads.row(ana, thread).chips]


def test_a_deleted_contact_comes_back_with_all_that_it_had(company):
    world, ana = company
    contact, record, thread = a_contact(world, ana)
    before = standing(contact, record, thread, ana)
    token = people.delete_contact(ana, contact)
    assert standing(contact, record, thread, ana) == (None, [], 0, [])
    assert at_once(ana, token).count("delete-contact") == 1
    assert standing(contact, record, thread, ana) == before
    assert [row.act for row in Audit.select().order_by(Audit.id)] == ["contact-deleted", "contact-restored"]


def test_a_contact_comes_back_without_the_address_that_mail_gave_to_another_meanwhile(company):
    world, ana = company
    contact, _record, thread = a_contact(world, ana)
    other_mail = world.mail(ana, to=(("Cy", "cy@home.example"),), contact=contact)
    token = people.delete_contact(ana, contact)
    fresh, _new = people.ensure_contact("cy@cust.example")
    taken = people.create_contact(ana, {"name": "Other", "external_id": "7"})
    assert undo.take_back(ana, token) == "delete-contact"
    assert people.get_contact(contact).addresses == ["cy@home.example"]
    assert people.get_contact(fresh).addresses == ["cy@cust.example"]
    assert people.get_contact(taken.id).external_id == "7"
    assert people.get_contact(contact).external_id is None
    in_thread = {row.address: row.contact_id for row in Participant.select().where(Participant.role == "to")}
    assert in_thread == {"cy@home.example": contact, "cy@cust.example": None}
    assert other_mail.thread_id != thread


def test_a_contact_whose_every_address_is_anothers_by_now_does_not_come_back_as_a_ghost(company):
    _world, ana = company
    contact = people.create_contact(ana, {"name": "Cy", "addresses": ["cy@cust.example"]}).id
    token = people.delete_contact(ana, contact)
    people.ensure_contact("cy@cust.example")
    assert undo.take_back(ana, token) is None
    assert people.get_contact(contact) is None


def test_a_link_that_was_removed_before_the_contact_stays_removed(company):
    world, ana = company
    contact, _record, thread = a_contact(world, ana)
    link = Link.get(Link.contact == contact)
    links.unlink(ana, thread, link.id)
    undo.take_back(ana, people.delete_contact(ana, contact))
    assert Link.get_by_id(link.id).removed_at is not None
    assert threads.row(ana, thread).chips == []


def test_a_deleted_organisation_comes_back_on_those_that_were_given_no_other(company):
    world, ana = company
    cust = people.create_organisation(ana, {"name": "Cust", "domains": ["cust.example", "cust.test"]}).id
    stays, leaves = (people.create_contact(ana, {"name": name, "organisation": cust}).id for name in ("Cy", "Di"))
    record = world.record("Ten chairs", organisation=cust)
    token = people.delete_organisation(ana, cust)
    other = people.create_organisation(ana, {"name": "Other", "domains": ["cust.test"]}).id
    people.update_contact(ana, leaves, {"organisation": other})
    assert at_once(ana, token).count("delete-organisation") == 1
    assert people.get_organisation(cust).domains == ["cust.example"]
    assert (people.get_contact(stays).organisation, people.get_contact(leaves).organisation, Record.get_by_id(record).organisation_id) == (cust, other, cust)
    assert undo.take_back(ana, token) is None
    assert Organisation.select().where(Organisation.deleted_at.is_null()).count() == 2


# --- needs a choice -----------------------------------------------------------------------------------------------


def waiting(world: World, ana: Viewer) -> int:
    thread = world.mail(ana).thread_id
    Thread.update(waiting="needs-choice", waiting_reason="several-open").where(Thread.id == thread).execute()
    return int(thread)


def test_none_of_these_is_taken_back_and_the_thread_asks_again(company):
    world, ana = company
    thread = waiting(world, ana)
    token = links.none_of(ana, thread)
    assert threads.row(ana, thread).waiting is None
    assert links.none_of(ana, thread) == "", "it asks no more, so nothing was done"
    assert at_once(ana, token).count("none-of") == 1
    assert (threads.row(ana, thread).waiting, threads.row(ana, thread).waiting_reason) == ("needs-choice", "several-open")


def test_a_thread_that_was_filed_meanwhile_does_not_ask_again(company):
    world, ana = company
    thread = waiting(world, ana)
    token = links.none_of(ana, thread)
    links.link(ana, thread, "deal", world.record("Ten chairs"))
    assert undo.take_back(ana, token) is None
    assert threads.row(ana, thread).waiting is None


def test_an_admin_who_chooses_none_for_somebody_is_seen_to_have_done_so(company):
    world, ana = company
    eve, thread = world.rep("eve", "admin"), waiting(world, ana)
    assert links.none_of(eve, thread)
    assert [(row.who, row.act) for row in Audit.select().where(Audit.about == f"thread:{thread}")] == [("eve@sales.example", "choice-refused")]
    assert [(act.who, act.act) for act in threads.conversation(ana, thread).openings] == [("eve@sales.example", "choice-refused")]
    own = waiting(world, ana)
    links.none_of(ana, own)
    assert not Audit.select().where(Audit.about == f"thread:{own}").exists()


# --- put aside ----------------------------------------------------------------------------------------------------


def ends(ident: int) -> tuple[str, str, str, str]:
    kept, outcome = Inbound.get_by_id(ident), Outcome.get(Outcome.inbound_id == ident)
    return kept.state, kept.reason, outcome.state, outcome.reason


def test_a_mail_that_was_put_aside_waits_again(company):
    world, _ana = company
    eve = world.rep("eve", "admin")
    mail = world.inbound(None, "held", "unknown-sender", params={"address": "x@stranger.example"})
    before = ends(mail)
    token = outcomes.put_aside(eve, mail, "Eve")
    assert ends(mail) == ("ignored", "dismissed", "ignored", "dismissed")
    assert outcomes.put_aside(eve, mail, "Eve") is None
    assert at_once(eve, token).count("put-aside") == 1
    assert ends(mail) == before
    assert outcomes.get(eve, mail).params == {"address": "x@stranger.example"}


def test_a_mail_whose_content_was_removed_after_it_was_put_aside_stays_removed(company):
    world, _ana = company
    eve = world.rep("eve", "admin")
    mail = world.inbound(None, "held", "unknown-sender", size=20)
    token = outcomes.put_aside(eve, mail, "Eve")
    assert retention.remove(mail)
    assert undo.take_back(eve, token) is None
    assert ends(mail) == ("ignored", "removed", "ignored", "removed")


def test_a_mail_that_was_released_after_it_was_put_aside_is_left_alone(company):
    world, _ana = company
    eve = world.rep("eve", "admin")
    mail = world.inbound(None, "held", "unknown-sender")
    token = outcomes.put_aside(eve, mail, "Eve")
    assert inbound.release(mail, eve.email)
    assert undo.take_back(eve, token) is None
    assert Inbound.get_by_id(mail).state == "received"
