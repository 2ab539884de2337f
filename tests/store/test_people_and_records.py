"""Contacts, organisations, deals, leads and projects, on both databases."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Thread as Colleague

import pytest

from core.errors import BadInput
from core.store import drops, filing, links, lookups, people, records, rows, threads, undo
from core.store.company import change_company
from core.store.database import connected, write
from core.store.load import load
from core.store.models import Contact, ContactAddress, DropAddress, Participant, Record, RecordContact, Thread
from core.store.visibility import Viewer
from tests.store.small_world import World


@pytest.fixture
def company(any_store: World) -> tuple[World, Viewer]:
    change_company({"slug": "acme", "mail_domain": "drop.example"})
    return any_store, any_store.rep("ana")


def test_an_address_belongs_to_one_contact_in_any_spelling(company):
    _, ana = company
    bo = people.create_contact(ana, {"name": "  Bo   B ", "addresses": ["Bo@Cust.example", "bo@cust.EXAMPLE", "bo@münchen.example"]})
    assert (bo.name, bo.addresses) == ("Bo B", ["bo@cust.example", "bo@xn--mnchen-3ya.example"])
    with pytest.raises(BadInput, match="belongs to contact"):
        people.create_contact(ana, {"addresses": ["BO@cust.example"]})
    with pytest.raises(BadInput):
        people.create_contact(ana, {})
    with pytest.raises(BadInput):
        people.create_contact(ana, {"name": "x", "addresses": ["no address"]})
    assert people.ensure_contact("BO@cust.example") == (bo.id, False)
    assert [view.id for view in people.contacts().items] == [bo.id]
    changed = people.update_contact(ana, bo.id, {"addresses": ["new@cust.example"], "name": ""})
    assert (changed.name, changed.addresses) == ("new@cust.example", ["new@cust.example"])
    assert people.ensure_contact("bo@cust.example", "Bo")[1] is True


def test_a_new_address_is_found_in_earlier_mail(company):
    world, ana = company
    mail = world.mail(ana, to=(("Cy", "cy@cust.example"),))
    contact = people.create_contact(ana, {"name": "Cy", "addresses": ["cy@cust.example"]})
    assert Participant.get((Participant.message == mail.id) & (Participant.role == "to")).contact_id == contact.id


def test_many_who_come_at_once_make_one_contact(company):
    _world, _ = company

    def come(_: int) -> tuple[int, bool]:
        with connected():
            return people.ensure_contact("same@cust.example", "Same")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(come, range(24)))
    assert len({ident for ident, _ in found}) == 1
    assert sum(new for _, new in found) == 1
    assert Contact.select().count() == ContactAddress.select().count() == 1


def test_a_merge_moves_everything_and_can_be_undone(company):
    world, ana = company
    organisation, deal, other_deal = world.organisation("Cust"), world.record("One"), world.record("Two")
    keep, other = world.contact("Bo", "bo@cust.example"), world.contact("Bosse", "b@home.example", organisation=organisation)
    mail, second = world.mail(ana, contact=other), world.mail(ana, contact=other)
    links.link(ana, mail.thread_id, "contact", other)
    links.link(ana, second.thread_id, "contact", other)
    links.link(ana, second.thread_id, "contact", keep)
    for record, contact in ((deal, keep), (deal, other), (other_deal, other)):
        RecordContact.create(record=record, contact=contact, added_at=world.now)
    token = people.merge(ana, keep, other)
    merged = people.get_contact(keep)
    assert (merged.addresses, merged.organisation) == (["bo@cust.example", "b@home.example"], organisation)
    assert people.get_contact(other).id == keep
    assert [view.id for view in people.contacts().items] == [keep]
    assert {row.id for row in people.contact_threads(ana, keep).items} == {mail.thread_id, second.thread_id}
    assert [chip["id"] for chip in threads.row(ana, second.thread_id).chips] == [keep]
    assert {view.id for view in people.contact_records(keep, world.seal)} == {deal, other_deal}
    assert people.ensure_contact("b@home.example") == (keep, False)
    assert undo.take_back(ana, token) == "merge"
    assert people.get_contact(keep).addresses == ["bo@cust.example"]
    assert people.get_contact(keep).organisation is None
    assert people.get_contact(other).addresses == ["b@home.example"]
    assert {chip["id"] for chip in threads.row(ana, second.thread_id).chips} == {keep, other}
    assert {view.id for view in people.contact_records(keep, world.seal)} == {deal}
    assert {view.id for view in people.contact_records(other, world.seal)} == {deal, other_deal}
    assert people.merge(ana, keep, keep) is None
    assert people.merge(ana, keep, 999999) is None


def test_a_merge_leaves_a_conversation_on_the_contact_where_one_of_the_two_stood(company):
    world, ana = company
    keep, other = world.contact("Bo", "bo@cust.example"), world.contact("Bosse", "b@home.example")
    mail = world.mail(ana)
    for contact in (keep, other):
        links.link(ana, mail.thread_id, "contact", contact)
    links.unlink(ana, mail.thread_id, next(view.id for view in links.of_thread(mail.thread_id) if view.target_id == keep))
    token = people.merge(ana, keep, other)
    assert [chip["id"] for chip in threads.row(ana, mail.thread_id).chips] == [keep]
    assert undo.take_back(ana, token) == "merge"
    assert [chip["id"] for chip in threads.row(ana, mail.thread_id).chips] == [other]


def test_mail_that_comes_between_a_merge_and_its_undo_is_the_one_s_whom_it_names(company):
    """Filed as ever in between: its people are the contact that was kept. A link that a person removed does not come back."""
    world, ana = company
    keep, other = world.contact("Bo", "bo@cust.example"), world.contact("Bosse", "b@home.example")
    older = world.mail(ana, to=(("Bo", "bo@cust.example"),), contact=keep)
    world.people_link(older.thread_id, keep)
    world.later()
    token = people.merge(ana, keep, other)
    bosse, refused = (world.mail(ana, to=(("Bosse", "b@home.example"),), contact=keep) for _ in range(2))
    both = world.mail(ana, to=(("Bo", "bo@cust.example"), ("Bosse", "b@home.example")), contact=keep)
    world.mail(ana, thread=older.thread_id, to=(("Bosse", "b@home.example"),), contact=keep)
    for mail in (bosse, refused, both):
        world.people_link(mail.thread_id, keep)
    links.unlink(ana, refused.thread_id, links.of_thread(refused.thread_id)[0].id)
    assert undo.take_back(ana, token) == "merge"

    def linked(thread_id: int) -> set[tuple[int, str]]:
        return {(view.target_id, view.title) for view in links.of_thread(thread_id)}

    assert linked(bosse.thread_id) == {(other, "Bosse")}
    assert [chip["id"] for chip in threads.row(ana, bosse.thread_id).chips] == [other]
    assert linked(both.thread_id) == linked(older.thread_id) == {(keep, "Bo"), (other, "Bosse")}
    assert linked(refused.thread_id) == set()
    people_of = {row.address: row.contact_id for row in Participant.select().where(Participant.message == both.id, Participant.role == "to")}
    assert people_of == {"bo@cust.example": keep, "b@home.example": other}
    assert next(view for view in links.of_thread(bosse.thread_id)).params["title"] == "Bosse"


def test_another_program_s_contacts_are_loaded_again_after_a_merge(company):
    """Both names lead to the contact that was kept, and nothing that was merged comes back."""
    world, ana = company
    file = {
        "contacts": [{"external_id": "k", "name": "Bo", "addresses": ["bo@cust.example"]}, {"external_id": "o", "name": "Bosse", "addresses": ["b@home.example"]}],
        "deals": [{"external_id": "d", "title": "Chairs", "contacts": ["k", "o"]}],
    }
    load(file, world.now)
    keep, other = (people.contacts(external_id=name).items[0].id for name in ("k", "o"))
    token = people.merge(ana, keep, other)
    load(file, world.now)
    load({"contacts": [{**file["contacts"][1], "addresses": ["b@home.example", "bosse@home.example"]}]}, world.now)
    assert [people.contacts(external_id=name).items[0].id for name in ("k", "o")] == [keep, keep]
    (merged,) = people.contacts().items
    assert (merged.name, merged.addresses) == ("Bo", ["bo@cust.example", "b@home.example", "bosse@home.example"])
    assert records.page("deal", world.seal).items[0].contacts == [keep]
    assert undo.take_back(ana, token) == "merge"
    assert [people.contacts(external_id=name).items[0].id for name in ("k", "o")] == [keep, other]
    people.merge(ana, keep, other)
    people.delete_contact(ana, keep)
    load(file, world.now)
    assert {(view.external_id, view.name) for view in people.contacts().items} == {("k", "Bo"), ("o", "Bosse")}


def test_a_contact_without_a_name_elsewhere_takes_that_of_the_one_merged_into_it(company):
    world, ana = company
    load({"contacts": [{"external_id": "o", "name": "Bosse", "addresses": ["b@home.example"]}]}, world.now)
    keep, other = world.contact("Bo", "bo@cust.example"), people.contacts(external_id="o").items[0].id
    token = people.merge(ana, keep, other)
    assert people.get_contact(keep).external_id == "o"
    assert undo.take_back(ana, token) == "merge"
    assert (people.get_contact(keep).external_id, people.get_contact(other).external_id) == (None, "o")


def test_the_name_of_a_merged_contact_goes_to_the_one_it_became_and_is_free_once_that_is_deleted(company):
    _, ana = company
    keep, other = (people.create_contact(ana, {"name": name, "external_id": name}).id for name in ("k", "o"))
    people.merge(ana, keep, other)
    with pytest.raises(BadInput):
        people.create_contact(ana, {"name": "New", "external_id": "o"})
    assert people.update_contact(ana, keep, {"external_id": "o"}).external_id == "o"
    assert [one.id for one in people.contacts(external_id="o").items] == [keep]
    third = people.create_contact(ana, {"name": "Third", "external_id": "t"}).id
    people.merge(ana, keep, third)
    people.delete_contact(ana, keep)
    assert [people.create_contact(ana, {"name": "New", "external_id": name}).external_id for name in ("o", "t")] == ["o", "t"]
    with pytest.raises(BadInput):
        people.create_contact(ana, {"name": "New", "external_id": "t"})


def test_a_merge_is_undone_without_a_name_that_another_has_by_now(company):
    world, ana = company
    load({"contacts": [{"external_id": "o", "name": "Bosse", "addresses": ["b@home.example"]}]}, world.now)
    keep, other = world.contact("Bo", "bo@cust.example"), people.contacts(external_id="o").items[0].id
    token = people.merge(ana, keep, other)
    people.update_contact(ana, keep, {"external_id": None})
    third = people.create_contact(ana, {"name": "Third", "external_id": "o"})
    assert undo.take_back(ana, token) == "merge"
    assert (people.get_contact(other).external_id, people.get_contact(other).addresses) == (None, ["b@home.example"])
    assert people.get_contact(third.id).external_id == "o"


def test_a_deleted_contact_leaves_every_page_and_its_mail_stays(company):
    world, ana = company
    contact = world.contact("Cy", "cy@cust.example")
    mail = world.mail(ana, contact=contact)
    links.link(ana, mail.thread_id, "contact", contact)
    assert people.delete_contact(ana, contact)
    assert not people.delete_contact(ana, contact)
    assert people.get_contact(contact) is None
    assert threads.row(ana, mail.thread_id).chips == []
    assert people.ensure_contact("cy@cust.example")[1] is True


def test_organisations_have_domains_of_their_own(company):
    _, ana = company
    cust = people.create_organisation(ana, {"name": "Cust", "domains": ["Cust.example", "@cust.example", "münchen.example"]})
    assert cust.domains == ["cust.example", "xn--mnchen-3ya.example"]
    with pytest.raises(BadInput, match="another organisation"):
        people.create_organisation(ana, {"name": "Other", "domains": ["cust.example"]})
    assert [view.name for view in people.organisations().items] == ["Cust"]
    with pytest.raises(BadInput, match="no organisation"):
        people.update_organisation(ana, cust.id, {"domains": ["gmail.com"]})
    assert people.get_organisation(cust.id).domains == cust.domains
    assert people.organisations(domain="CUST.example").items[0].id == cust.id
    assert people.delete_organisation(ana, cust.id)
    assert people.create_organisation(ana, {"name": "Other", "domains": ["cust.example"]}).domains == ["cust.example"]


def test_a_record_keeps_the_history_of_its_status(company):
    world, ana = company
    made = records.create(ana, "deal", {"title": " Ten   chairs ", "created_at": world.now}, world.seal)
    assert (made.title, made.status, made.owner) == ("Ten chairs", "open", ana.rep_id)
    closing = world.now + dt.timedelta(days=3)
    records.update(ana, "deal", made.id, {"status": "lost", "closed_at": closing}, world.seal)
    records.update(ana, "deal", made.id, {"title": "Eleven chairs"}, world.seal)
    records.update(ana, "deal", made.id, {"status": "open"}, world.seal)
    told = records.history(made.id)
    assert [(status, since) for status, since, _ in told[:2]] == [("open", world.now), ("lost", closing)]
    assert told[2][0] == "open"
    assert records.get("deal", made.id, world.seal).closed_at is None
    closed = records.create(ana, "project", {"title": "Done", "status": "completed", "created_at": world.now, "closed_at": closing}, world.seal)
    assert [(status, since) for status, since, _ in records.history(closed.id)] == [("open", world.now), ("completed", closing)]


def test_a_record_s_address_is_its_own_and_stays(company):
    world, ana = company
    one, two = (records.create(ana, "lead", {"title": "x"}, world.seal) for _ in range(2))
    assert one.bcc_address != two.bcc_address
    assert records.get("lead", one.id, world.seal).bcc_address == one.bcc_address
    loaded = world.record("loaded without one", "lead")
    assert records.get("lead", loaded, world.seal).bcc_address.endswith("@drop.example")


def test_a_bad_record_leaves_nothing_behind(company):
    world, ana = company
    for bad in ({"title": "x", "contacts": [1]}, {"title": ""}, {"title": "x", "status": "won"}, {"title": "x" * 501}, {"title": "x", "owner": 999}):
        with pytest.raises(BadInput):
            records.create(ana, "lead", bad, world.seal)
    assert Record.select().count() == 0


def test_the_title_in_the_inbox_follows_the_record(company):
    world, ana = company
    mail, deal = world.mail(ana), world.record("Old")
    links.link(ana, mail.thread_id, "deal", deal)
    records.update(ana, "deal", deal, {"title": "New"}, world.seal)
    assert threads.row(ana, mail.thread_id).chips[0]["title"] == "New"


def test_who_is_taken_off_a_record_may_come_back(company):
    world, ana = company
    cy, di = world.contact("Cy"), world.contact("Di")
    deal = records.create(ana, "deal", {"title": "x", "contacts": [cy, di]}, world.seal)
    assert records.update(ana, "deal", deal.id, {"contacts": [di]}, world.seal).contacts == [di]
    assert RecordContact.get(RecordContact.contact == cy).removed_at is not None
    assert records.update(ana, "deal", deal.id, {"contacts": [cy, di]}, world.seal).contacts == [cy, di]


def test_lists_of_records_are_filtered_and_paged(company):
    world, ana = company
    cy, cust = world.contact("Cy"), world.organisation("Cust")
    for number in range(5):
        values = {"title": f"Deal {number}", "contacts": [cy] if number % 2 else [], "organisation": cust if number == 4 else None, "external_id": f"d{number}"}
        records.create(ana, "deal", values, world.seal)
    first = records.page("deal", world.seal, limit=3)
    second = records.page("deal", world.seal, cursor=first.next, limit=3)
    assert [view.title for view in (*first.items, *second.items)] == [f"Deal {n}" for n in (4, 3, 2, 1, 0)]
    assert second.next is None
    assert [view.title for view in records.page("deal", world.seal, contact=cy).items] == ["Deal 3", "Deal 1"]
    assert [view.title for view in records.page("deal", world.seal, organisation=cust).items] == ["Deal 4"]
    assert [view.title for view in records.page("deal", world.seal, q="deal 2").items] == ["Deal 2"]
    assert [view.title for view in records.page("deal", world.seal, external_id="d1").items] == ["Deal 1"]


def test_earlier_threads_are_offered_to_a_new_record_unless_they_were_unlinked(company):
    world, ana = company
    bo = world.rep("bo")
    cy = world.contact("Cy", "cy@cust.example")
    mine, his, elsewhere, refused = (world.mail(viewer, contact=cy) for viewer in (ana, bo, ana, ana))
    for viewer, mail in ((ana, mine), (bo, his), (ana, elsewhere), (ana, refused)):
        links.link(viewer, mail.thread_id, "contact", cy)
    links.link(ana, elsewhere.thread_id, "deal", world.record("Other"))
    deal = records.create(ana, "deal", {"title": "New", "contacts": [cy]}, world.seal)
    link = links.link(ana, refused.thread_id, "deal", deal.id)
    links.unlink(ana, refused.thread_id, link.id)
    assert [row.id for row in records.eligible_earlier_threads(ana, deal.id)] == [mine.thread_id]
    Thread.update(started_at=deal.created_at + dt.timedelta(days=1)).where(Thread.id == mine.thread_id).execute()
    assert records.eligible_earlier_threads(ana, deal.id) == []


def test_a_record_s_page_shows_readable_mail_only(company):
    world, ana = company
    bo, eve = world.rep("bo"), world.rep("eve", "admin")
    deal = world.record("Deal")
    for viewer, sharing in ((ana, "private"), (bo, "private"), (bo, "company")):
        mail = world.mail(viewer, subject=f"{viewer.email} {sharing}", sharing=sharing)
        links.link(viewer, mail.thread_id, "deal", deal)
    assert [row.subject for row in records.threads(ana, deal).items] == ["bo@sales.example company", "ana@sales.example private"]
    assert [row.subject for row in records.threads(eve, deal).items] == ["bo@sales.example company"]


def test_that_a_private_mail_came_to_a_record_is_told_to_nobody_else(company):
    world, ana = company
    bo, eve = world.rep("bo"), world.rep("eve", role="admin")
    deal, quiet = world.record("Chairs"), world.record("Sofa")
    shared, private = world.mail(bo, "one", sharing="company"), world.mail(bo, "two")
    for mail in (shared, private):
        world.policy_link(mail.thread_id, deal)
        records.touch([deal], mail.date)
    world.policy_link(world.mail(bo, "three").thread_id, quiet)
    records.touch([quiet], private.date)

    def known(viewer):
        found = [records.get("deal", ident, world.seal) for ident in (deal, quiet)]
        told = [record.last_activity_at for record in records.as_known_to(viewer, found)]
        beside_candidates = records.facts(viewer, [deal, quiet])
        assert [beside_candidates[ident].last_activity_at for ident in (deal, quiet)] == told
        return told

    assert known(ana) == [shared.date, None]
    assert known(bo) == known(eve) == [private.date, private.date]  # the owner, and the admin who knows who and when
    threads.set_sharing(bo, private.thread_id, "company")
    assert known(ana) == [private.date, None]


def test_copies_of_one_exchange_stand_below_the_newest_on_whichever_page_they_are(company):
    world, ana = company
    bo = world.rep("bo")
    deal = world.record("Deal")

    def logged(viewer: Viewer, conversation: str) -> int:
        mail = world.mail(viewer, sharing="company")
        Thread.update(conversation_id=conversation).where(Thread.id == mail.thread_id).execute()
        links.link(viewer, mail.thread_id, "deal", deal)
        return int(mail.thread_id)

    oldest, alone, split, copied, newest = logged(bo, "one"), logged(ana, "two"), logged(ana, "one"), logged(bo, "one"), logged(ana, "one")
    pages, cursor = [], None
    while True:
        page = records.exchanges(ana, "deal", deal, cursor, 1)
        pages.append([(one.row.id, [copy.id for copy in one.copies]) for one in page.items])
        if (cursor := page.next) is None:
            break
    # What Ana split off is no copy of her own thread, and Bo's copies are hers already.
    assert pages == [[(newest, [copied, oldest])], [(split, [])], [(alone, [])]]
    assert [[one.row.id for one in records.exchanges(ana, "deal", deal).items]] == [[newest, split, alone]]


def test_no_thread_is_missing_on_a_record_where_one_conversation_has_more_than_are_folded(company, monkeypatch):
    world, ana = company
    monkeypatch.setattr(records, "_MOST_COPIES", 4)
    deal = world.record("Deal")
    logged = [world.mail(ana).thread_id for _ in range(9)]
    for thread_id in logged:
        Thread.update(conversation_id="one").where(Thread.id == thread_id).execute()
        world.policy_link(thread_id, deal)
    shown, copies = shown_and_folded(ana, deal)
    assert shown == logged[::-1]
    assert copies == []


def shown_and_folded(viewer, deal):
    """The threads of a deal that have entries of their own, and those that stand below another, on all pages."""
    shown, copies, cursor = [], [], None
    while True:
        page = records.exchanges(viewer, "deal", deal, cursor, 2)
        shown += [one.row.id for one in page.items]
        copies += [copy.id for one in page.items for copy in one.copies]
        if (cursor := page.next) is None:
            return shown, copies


def test_each_copy_stands_somewhere_however_many_colleagues_have_logged_an_exchange(company, monkeypatch):
    world, ana = company
    monkeypatch.setattr(records, "_MOST_COPIES", 4)
    deal = world.record("Deal")
    colleagues = [world.rep(f"rep{number}") for number in range(3)]
    logged = []
    for number in range(24):  # three conversations, each logged by all of them, and the oldest eight times by one
        owner = colleagues[number % 3] if number >= 8 else colleagues[0]
        thread_id = world.mail(owner, sharing="company").thread_id
        Thread.update(conversation_id=f"c{number // 8}").where(Thread.id == thread_id).execute()
        world.policy_link(thread_id, deal)
        logged.append(thread_id)
    shown, copies = shown_and_folded(ana, deal)
    assert sorted([*shown, *copies]) == sorted(logged)
    assert copies


def test_a_link_made_while_its_thread_is_shared_is_found_by_all(company, monkeypatch):
    world, ana = company
    bo, deal, thread_id = world.rep("bo"), world.record("Deal"), world.mail(ana).thread_id

    def share() -> None:
        with connected():
            threads.set_sharing(ana, thread_id, "company")

    colleague = Colleague(target=share)
    known = links.target_exists

    def meanwhile(kind: str, target_id: int) -> bool:
        colleague.start()
        colleague.join(1)
        return known(kind, target_id)

    monkeypatch.setattr(links, "target_exists", meanwhile)
    links.link(ana, thread_id, "deal", deal)
    colleague.join()
    assert [row.id for row in records.threads(bo, deal).items] == [thread_id]


def test_the_page_of_a_record_is_the_same_whether_its_threads_are_sorted_or_walked(company, monkeypatch):
    world, ana = company
    bo = world.rep("bo")
    deal, other = world.record("Deal"), world.record("Other")
    for number in range(12):
        mail = world.mail((ana, bo)[number % 2], subject=str(number), sharing=("private", "company")[number // 2 % 2])
        viewer = (ana, bo)[number % 2]
        links.link(viewer, mail.thread_id, "deal", other if number in (3, 4) else deal)
    sorted_ones = [row.subject for row in records.threads(ana, deal).items]
    monkeypatch.setattr(rows, "MOST_SORTED", 3)
    assert [row.subject for row in records.threads(ana, deal).items] == sorted_ones == ["11", "10", "8", "7", "6", "2", "0"]
    first = records.threads(ana, deal, None, 4)
    assert [row.subject for row in (*first.items, *records.threads(ana, deal, first.next, 4).items)] == sorted_ones


def test_links_follow_who_may_read_their_thread(company):
    """They are found by it; a link that says otherwise than its thread would hide mail from a record's page."""
    world, ana = company
    bo = world.rep("bo")
    cy = world.contact("Cy")
    deal = world.record("Deal")
    first, second = world.mail(ana, contact=cy), world.mail(ana, contact=cy)
    links.link(ana, first.thread_id, "contact", cy)
    links.link(ana, first.thread_id, "deal", deal)

    def seen(viewer: Viewer) -> set[int]:
        return {row.id for row in records.threads(viewer, deal).items} | {row.id for row in people.contact_threads(viewer, cy).items}

    assert (seen(ana), seen(bo)) == ({first.thread_id}, set())
    token = threads.set_sharing(ana, first.thread_id, "company")
    assert seen(bo) == {first.thread_id}
    added = world.mail(ana, thread=first.thread_id, contact=cy)
    split, _undo = threads.split(ana, [added.id])
    assert seen(bo) == {first.thread_id, split}, "what is split off is shared as it was"
    undo.take_back(ana, token)
    assert seen(bo) == {split}
    with write():
        filing.merge_threads(second.thread_id, split)
    assert seen(bo) == set(), "a thread that another one is joined to has the other's sharing"
    assert seen(ana) == {first.thread_id, second.thread_id}


def test_all_who_look_at_once_at_a_record_that_has_no_address_yet_see_one(company):
    world, ana = company
    made = records.create(ana, "deal", {"title": "Ten chairs"}, world.seal)
    DropAddress.delete().where(DropAddress.record == made.id).execute()

    def look(_: int) -> str:
        with connected():
            return drops.record_address(made.id, world.seal, world.now)

    with ThreadPoolExecutor(6) as pool:
        seen = set(pool.map(look, range(6)))
    assert len(seen) == 1
    assert seen == {drops.record_address(made.id, world.seal, world.now)} != {made.bcc_address}


def test_of_very_many_records_the_open_ones_are_looked_at_first(any_store, monkeypatch):
    contact = any_store.contact("Cy", "cy@cust.example")
    opened = any_store.record("Old and open", contacts=(contact,))
    for number in range(4):
        any_store.record(f"Won {number}", contacts=(contact,), status="won")
    monkeypatch.setattr(lookups, "MOST_RECORDS", 3)
    found = lookups.records_of([contact], any_store.later())
    assert len(found) == 3
    assert opened in [one.id for one in found]
