"""The inbox, conversations, and what people do with threads, on both databases."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import BadInput, NotAllowed
from core.store import links, rows, threads, undo
from core.store.database import connected, hold, is_sqlite, main_db, run_sql, write
from core.store.models import Audit, Message, Outcome, T, Thread, ThreadId
from core.store.visibility import Viewer, live_version, may_link, may_read, visible
from tests.store.small_world import START, World


@pytest.fixture
def company(any_store: World) -> tuple[World, Viewer, Viewer, Viewer]:
    world = any_store
    return world, world.rep("ana"), world.rep("bo"), world.rep("eve", "admin")


def subjects(viewer: Viewer, **asked: object) -> list[str]:
    return [row.subject for row in threads.page(viewer, **asked).items]


# --- the one rule -------------------------------------------------------------------------------------------------


def test_a_thread_is_seen_by_its_owner_and_once_shared_by_all(company):
    world, ana, bo, eve = company
    private, shared = world.thread(ana, "private"), world.thread(ana, "shared", "company")
    seen = {viewer.email: {row.id for row in T.select().where(visible(viewer))} for viewer in (ana, bo, eve)}
    assert seen == {ana.email: {private, shared}, bo.email: {shared}, eve.email: {shared}}
    row = Thread.get_by_id(private)
    assert (may_read(ana, row), may_read(bo, row), may_read(eve, row)) == (True, False, False)
    assert (may_link(ana, row), may_link(bo, row), may_link(eve, row)) == (True, False, True)


def test_the_tabs_of_the_inbox(company):
    world, ana, bo, eve = company
    world.thread(ana, "mine")
    world.thread(ana, "choose", waiting="needs-choice", waiting_reason="several-open")
    world.thread(bo, "his private", waiting="needs-choice")
    world.thread(bo, "his shared", "company")
    old = world.thread(ana, "old")
    threads.archive(ana, [old])
    assert subjects(ana) == ["his shared", "choose", "mine"]
    assert subjects(ana, tab="mine") == ["choose", "mine"]
    assert subjects(ana, tab="shared") == ["his shared"]
    assert subjects(ana, tab="needs-choice") == ["choose"]
    assert subjects(ana, tab="archived") == ["old"]
    assert subjects(ana, tab="everything") == ["old", "his shared", "choose", "mine"]
    assert subjects(ana, owner=bo.rep_id) == ["his shared"]
    assert subjects(bo) == ["his shared", "his private"]
    waiting = threads.page(eve, tab="needs-choice").items
    assert [(row.owner, row.subject, row.redacted) for row in waiting] == [(bo.email, "", True), (ana.email, "", True)]
    with pytest.raises(BadInput):
        threads.page(ana, tab="other")


def test_pages_go_on_by_key_also_when_threads_share_a_moment(company):
    world, ana, bo, _ = company
    at = world.later()
    made = [
        Thread.create(owner=(ana if n % 3 else bo).rep_id, conversation_id=str(n), sharing="company" if n % 2 else "private", subject=str(n), started_at=at, last_at=at).id
        for n in range(20)
    ]
    wanted = [row.id for row in T.select().where(visible(ana)).order_by(T.last_at.desc(), T.id.desc())]
    assert set(wanted) < set(made)
    seen, cursor = [], None
    while True:
        page = threads.page(ana, cursor=cursor, limit=3)
        seen += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == wanted
    for bad in ("x", "W10", "WzFd", "WzEsMiwzXQ", "W251bGwsMV0", "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OSwxXQ", "é", "\x00"):
        with pytest.raises(BadInput):
            threads.page(ana, cursor=bad)


def test_a_page_costs_the_same_number_of_queries_however_long_it_is(company, caplog):
    world, ana, bo, _ = company
    for number in range(30):
        world.mail(ana if number % 2 else bo, subject=str(number), sharing="company", contact=world.contact("Cy"))

    def cost(limit: int) -> int:
        with caplog.at_level(logging.DEBUG, logger="peewee"):
            caplog.clear()
            assert len(threads.page(ana, limit=limit).items) == limit
            return len([record for record in caplog.records if record.name == "peewee"])

    assert cost(30) == cost(2) <= 3  # two walks, and the rows of what they found


def test_unread_and_archived_are_each_reader_s_own(company):
    world, ana, bo, _ = company
    mail = world.mail(ana, sharing="company")
    assert threads.row(ana, mail.thread_id).unread
    assert threads.mark_seen(ana, mail.thread_id)
    assert not threads.row(ana, mail.thread_id).unread
    assert threads.row(bo, mail.thread_id).unread
    world.mail(ana, "a newer one", thread=mail.thread_id, date=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    assert threads.row(ana, mail.thread_id).unread
    assert threads.mark_seen(ana, mail.thread_id, seen=False)
    assert not threads.mark_seen(bo, world.thread(ana))
    token = threads.archive(bo, [mail.thread_id, 999999])
    assert threads.row(bo, mail.thread_id).archived
    assert not threads.row(ana, mail.thread_id).archived
    assert undo.take_back(bo, token) == "archive"
    assert not threads.row(bo, mail.thread_id).archived


def test_the_badges_count_what_waits(company):
    world, ana, bo, eve = company
    world.mail(ana)
    world.thread(ana, waiting="needs-choice")
    world.thread(bo, waiting="needs-choice")
    world.inbound(ana, "held", "auth-nothing-published")
    world.inbound(ana, "ignored", "auth-rejected")
    world.inbound(None, "held", "unknown-sender")
    assert threads.counts(ana) == threads.Counts(unread=2, needs_choice=1, held=1, not_accepted=1, strangers=0)
    assert threads.counts(bo) == threads.Counts(unread=1, needs_choice=1, held=0, not_accepted=0, strangers=0)
    assert threads.counts(eve) == threads.Counts(unread=0, needs_choice=2, held=1, not_accepted=1, strangers=1)


# --- a conversation -----------------------------------------------------------------------------------------------


def test_a_conversation_shows_its_mails_oldest_first_and_pages_backwards(company):
    world, ana, bo, _ = company
    first = world.mail(ana, "1", files=("a.pdf",))
    for number in range(2, 6):
        world.mail(ana, str(number), thread=first.thread_id)
    newest = threads.conversation(ana, first.thread_id, limit=2)
    assert [mail.text for mail in newest.messages] == ["4", "5"]
    older = threads.conversation(ana, first.thread_id, before=newest.more, limit=2)
    assert [mail.text for mail in older.messages] == ["2", "3"]
    oldest = threads.conversation(ana, first.thread_id, before=older.more, limit=2)
    assert [mail.text for mail in oldest.messages] == ["1"]
    assert oldest.more is None
    assert oldest.messages[0].attachments[0].filename == "a.pdf"
    assert threads.conversation(bo, first.thread_id) is None
    assert threads.conversation(bo, 999999) is None
    assert threads.conversation(bo, 2**70) is None


def test_an_admin_s_opening_of_a_private_thread_is_shown_to_its_owner(company):
    world, ana, _, eve = company
    mail = world.mail(ana, "secret", files=("secret.pdf",))
    closed = threads.conversation(eve, mail.thread_id)
    assert closed.row.redacted
    assert (closed.messages, closed.links, closed.candidates) == ([], [], [])
    assert threads.message(eve, mail.id) is None
    attachment = threads.conversation(ana, mail.thread_id).messages[0].attachments[0]
    assert threads.attachment(eve, attachment.id) is None
    assert threads.attachment(ana, attachment.id) == (attachment, None, mail.sha256)
    before = live_version(ana)
    opened = threads.conversation(eve, mail.thread_id, opening=True)
    assert opened.messages[0].text == "secret"
    assert opened.row.subject == "Chairs"
    assert live_version(ana) != before
    assert [(view.who, view.act) for view in threads.conversation(ana, mail.thread_id).openings] == [(eve.email, "thread-opened")]


def test_the_row_follows_its_mails(company):
    world, ana, _, _ = company
    contact = world.contact("Cy", "cy@cust.example")
    first = world.mail(ana, "  Ten\n chairs ", contact=contact, files=("a.pdf",))
    row = threads.row(ana, first.thread_id)
    assert (row.snippet, row.who, row.message_count, row.has_attachment, row.badge, row.linked) == ("Ten chairs", "Cy", 1, True, "dkim", False)
    second = world.mail(ana, "newest", thread=first.thread_id)
    assert threads.row(ana, first.thread_id).snippet == "newest"
    threads.delete_message(ana, second.id)
    row = threads.row(ana, first.thread_id)
    assert (row.snippet, row.message_count, row.last_at) == ("Ten chairs", 1, first.date)


def test_the_row_of_a_long_thread_knows_the_mails_that_it_does_not_read(company):
    world, ana, bo, _ = company
    first = world.mail(ana, "the oldest", files=("a.pdf",))
    world.mail(bo, "an answer", thread=first.thread_id)
    row = threads.row(ana, first.thread_id)
    assert (row.who, row.message_count, row.has_attachment) == ("Bo, Ana", 2, True)
    for number in range(60):
        world.mail(ana, f"answer {number}", thread=first.thread_id)
    row = threads.row(ana, first.thread_id)
    assert (row.snippet, row.who, row.message_count, row.has_attachment) == ("answer 59", "Ana", 62, True)
    assert Thread.get_by_id(row.id).oldest_at == first.date
    late = world.mail(ana, "from before all of them", thread=row.id, date=START - dt.timedelta(days=9))
    assert (threads.row(ana, row.id).snippet, Thread.get_by_id(row.id).oldest_at) == ("answer 59", late.date)
    contact = world.contact("Cy", "cy@cust.example")
    world.mail(ana, "to somebody known", thread=row.id, contact=contact)
    assert threads.row(ana, row.id).who == "Cy"


# --- sharing, deleting, splitting ---------------------------------------------------------------------------------


def test_sharing_can_be_taken_back(company):
    world, ana, bo, eve = company
    mail = world.mail(ana)
    before = live_version(bo)
    assert threads.set_sharing(bo, mail.thread_id, "company") is None
    with pytest.raises(NotAllowed):
        threads.set_sharing(eve, mail.thread_id, "company")
    token = threads.set_sharing(ana, mail.thread_id, "company")
    assert threads.row(bo, mail.thread_id) is not None
    assert live_version(bo) != before
    with pytest.raises(NotAllowed):
        threads.delete_thread(bo, mail.thread_id)
    assert undo.take_back(bo, token) is None
    assert undo.take_back(ana, token) == "sharing"
    assert undo.take_back(ana, token) is None
    assert threads.row(bo, mail.thread_id) is None


def test_an_undo_ends_with_its_window(company):
    world, ana, _, _ = company
    token = threads.delete_thread(ana, world.mail(ana).thread_id)
    assert undo.take_back(ana, token, dt.datetime.now(dt.UTC) + undo.WINDOW + dt.timedelta(seconds=1)) is None
    assert undo.forget_old(dt.datetime.now(dt.UTC) + undo.WINDOW + dt.timedelta(seconds=1)) == 1


def test_a_mail_deleted_before_its_thread_stays_deleted_when_the_thread_comes_back(company):
    world, ana, _, _ = company
    first, second = (mail := world.mail(ana)), world.mail(ana, thread=mail.thread_id)
    threads.delete_message(ana, second.id)
    token = threads.delete_thread(ana, first.thread_id)
    assert threads.conversation(ana, first.thread_id) is None
    assert undo.take_back(ana, token) == "delete-thread"
    assert [mail.id for mail in threads.conversation(ana, first.thread_id).messages] == [first.id]
    assert Message.get_by_id(second.id).deleted_by == "rep:ana@sales.example"


def test_a_split_moves_mails_with_their_ids_and_people_and_can_be_undone(company):
    world, ana, bo, _ = company
    contact, deal = world.contact("Cy", "cy@cust.example"), world.record("Deal")
    first = world.mail(ana, "one", contact=contact)
    second = world.mail(ana, "two", thread=first.thread_id, contact=contact)
    for mail in (first, second):
        ThreadId.create(owner=ana.rep_id, message_id=mail.message_id, thread=first.thread_id)
    links.link(ana, first.thread_id, "contact", contact)
    links.link(ana, first.thread_id, "deal", deal)
    assert threads.split(bo, [second.id]) is None
    with pytest.raises(BadInput):
        threads.split(ana, [first.id, second.id])
    with pytest.raises(BadInput):
        threads.split(ana, [first.id, world.mail(ana).id])
    fresh, token = threads.split(ana, [second.id])
    made = threads.conversation(ana, fresh)
    assert [mail.text for mail in made.messages] == ["two"]
    assert [(link.kind, link.target_id) for link in made.links] == [("contact", contact)]
    assert [row.id for row in made.related] == [first.thread_id]
    assert ThreadId.get(ThreadId.message_id == second.message_id).thread_id == fresh
    assert Outcome.get_by_id(second.inbound_id).thread_id == fresh
    assert undo.take_back(ana, token) == "split"
    assert threads.row(ana, fresh) is None
    assert [mail.text for mail in threads.conversation(ana, first.thread_id).messages] == ["one", "two"]
    assert ThreadId.get(ThreadId.message_id == second.message_id).thread_id == first.thread_id


# --- links --------------------------------------------------------------------------------------------------------


def test_a_link_made_by_hand_ends_the_waiting(company):
    world, ana, bo, _eve = company
    mail = world.mail(ana)
    Thread.update(waiting="needs-choice", waiting_reason="several-open").where(Thread.id == mail.thread_id).execute()
    first, second = world.record("First"), world.record("Second")
    assert links.link(ana, mail.thread_id, "contact", world.contact("Cy")).made_by == "rep:ana@sales.example"
    assert threads.row(ana, mail.thread_id).waiting == "needs-choice"
    links.link(ana, mail.thread_id, "deal", first)
    row = threads.row(ana, mail.thread_id)
    assert (row.waiting, row.linked, [chip["title"] for chip in row.chips]) == (None, True, ["First", "Cy"])
    conflict = links.link(ana, mail.thread_id, "deal", second)
    assert isinstance(conflict, links.Conflict)
    assert conflict.present.target_id == first
    assert links.link(ana, mail.thread_id, "deal", second, exclusive=False).target_id == second
    third = links.link(ana, mail.thread_id, "deal", world.record("Third"), replace=True)
    assert [link.id for link in links.of_thread(mail.thread_id) if link.kind == "deal"] == [third.id]
    assert links.link(bo, mail.thread_id, "deal", first) is None
    assert links.link(ana, mail.thread_id, "lead", first) is None
    threads.set_sharing(ana, mail.thread_id, "company")
    with pytest.raises(NotAllowed):
        links.link(bo, mail.thread_id, "deal", first)


def test_linking_the_same_again_changes_nothing(company):
    world, ana, _, _ = company
    mail, deal = world.mail(ana), world.record("Deal")
    kept = world.policy_link(mail.thread_id, deal)
    again = links.link(ana, mail.thread_id, "deal", deal)
    assert (again.id, again.made_by) == (kept, "policy:single-open")


def test_unlinking_is_undone_as_it_was(company):
    world, ana, bo, eve = company
    mail, deal = world.mail(ana), world.record("Deal")
    kept = world.policy_link(mail.thread_id, deal)
    assert links.unlink(bo, mail.thread_id, kept) is None
    token = links.unlink(eve, mail.thread_id, kept)
    assert not threads.row(ana, mail.thread_id).linked
    assert Audit.get(Audit.act == "thread-unlinked").who == eve.email
    assert undo.take_back(eve, token) == "unlink"
    assert [(link.id, link.made_by) for link in links.of_thread(mail.thread_id)] == [(kept, "policy:single-open")]


def test_typing_a_name_offers_what_holds_it(company):
    world, _ana, _, _ = company
    organisation = world.organisation("Müller & Söhne")
    world.contact("Mia Müller", "mia@cust.example", organisation=organisation)
    world.record("Müller chairs", status="lost")
    world.record("Chairs for MÜLLER".replace("Ü", "ü"))
    world.record("Gone müller", status="deleted")
    found = [(target.kind, target.title, target.detail) for target in links.targets("müller")]
    assert found[0] == ("deal", "Chairs for MüLLER", "open")
    assert ("contact", "Mia Müller", "mia@cust.example") in found
    assert "Gone müller" not in [title for _, title, _ in found]
    assert [target.kind for target in links.targets("mia@cust")] == ["contact"]
    contact = world.contact("Kim Oda", "kim@far.example")
    world.record("Framework", organisation=organisation)
    world.record("Framework", contacts=(contact,))
    assert {target.whom for target in links.targets("framework")} == {"Müller & Söhne", "Kim Oda"}
    assert links.targets("100%") == []
    assert links.targets("  ") == []


def test_redacted_rows_hold_no_words(company):
    world, ana, _, eve = company
    mail = world.mail(ana, "secretword", subject="secretword", to=(("secretword", "secretword@cust.example"),), contact=world.contact("secretword"))
    row = threads.row(eve, mail.thread_id)
    assert row.redacted
    assert "secretword" not in repr(row)
    assert rows.many(eve, [mail.thread_id]) == []


def test_a_mail_that_is_filed_while_another_is_deleted_stands_in_the_row(any_store: World) -> None:
    ana = any_store.rep("ana")
    first = any_store.mail(ana, subject="alpha")
    second = any_store.mail(ana, subject="alpha", thread=first.thread_id)
    long_ago = START - dt.timedelta(days=300)
    filing, waits = threading.Event(), "SELECT COUNT(*) FROM pg_locks WHERE NOT granted"

    def delete() -> None:
        filing.wait(10)
        with connected():
            threads.delete_message(ana, second.id)

    with ThreadPoolExecutor(1) as beside:
        deleted = beside.submit(delete)
        with write():
            hold("thread", first.thread_id)
            any_store.mail(ana, subject="alpha", thread=first.thread_id, date=long_ago)
            filing.set()
            while not is_sqlite() and not deleted.done() and not run_sql(main_db, waits).fetchone()[0]:
                time.sleep(0.01)
        deleted.result(20)
    assert threads.row(ana, first.thread_id).message_count == 2
    assert [row.id for row in threads.page(ana, q=f"before:{(long_ago + dt.timedelta(days=1)).date()}").items] == [first.thread_id]
