"""What was done with one click is taken back with one click, however much it was."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from core.store.database import connected
from core.store.models import Link, Thread, Undo
from tests.web.test_pages import HTMX, toasts
from tests.web.world import World


def thread_of(subject: str) -> int:
    with connected():
        return int(Thread.get(Thread.subject == subject).id)


def undo_on(page: str) -> str:
    return re.search(r'action="(/undo/[\w-]+)"', page)[1]


@pytest.mark.parametrize("act", ["company", "private", "delete", "archive"])
def test_an_act_on_many_rows_is_taken_back_as_one(world: World, mail: SimpleNamespace, act: str) -> None:
    client = world.client("ana")
    ids = []
    for number in range(3):
        subject = f"Many {act} {number}"
        world.mail(subject)
        ids.append(thread_of(subject))
    before = client.get("/inbox").text
    with connected():
        Thread.update(sharing="company" if act == "private" else "private").where(Thread.id.in_(ids)).execute()
        states = list(Thread.select(Thread.id, Thread.sharing, Thread.deleted_at).where(Thread.id.in_(ids)).tuples())
    answer = world.post(client, "/inbox/many", act=act, thread=[str(ident) for ident in ids])
    page = client.get(answer.location).text
    assert page.count("data-undo>") == 1, "one sentence, one undo"
    assert "3 conversations" in page
    token = undo_on(page)
    assert world.client("ben").get("/inbox").status_code == 200
    world.post(world.client("ben"), token)
    with connected():
        assert Undo.select().where(Undo.token == token.rpartition("/")[2]).exists(), "it is nobody else's"
    assert "Undone." in client.get(world.post(client, token).location).text
    with connected():
        assert list(Thread.select(Thread.id, Thread.sharing, Thread.deleted_at).where(Thread.id.in_(ids)).tuples()) == states
    rows = client.get("/inbox").text
    for ident in ids:
        assert (f'id="row-{ident}"' in rows) == (f'id="row-{ident}"' in before)
    again = world.post(client, token)
    assert "This cannot be undone any more." in client.get(again.location).text


def test_what_another_changed_meanwhile_stays_and_the_rest_is_taken_back(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    ids = []
    for number in range(2):
        world.mail(f"Shared twice {number}")
        ids.append(thread_of(f"Shared twice {number}"))
    page = client.get(world.post(client, "/inbox/many", act="company", thread=[str(ident) for ident in ids]).location).text
    with connected():
        Thread.update(deleted_at=world.house.now()).where(Thread.id == ids[0]).execute()
    world.post(client, undo_on(page))
    with connected():
        assert Thread.get_by_id(ids[1]).sharing == "private"
        assert Thread.get_by_id(ids[0]).sharing == "company"


def test_a_link_that_is_taken_back_makes_the_thread_wait_again(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Taken back", to="Kim Oda <kim@far.example>")
    thread = thread_of("Taken back")
    done = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.lamps))
    world.post(client, toasts(done)[0]["undo"])
    with connected():
        row = Thread.get_by_id(thread)
        assert (row.waiting, row.linked) == ("needs-choice", False)
        assert not Link.select().where(Link.thread == thread, Link.record.is_null(False)).exists()
    # What a person unlinked stays unlinked when a later link to it is taken back.
    done = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.lamps))
    with connected():
        link = Link.get(Link.thread == thread, Link.record == world.lamps)
    world.post(client, f"/threads/{thread}/links/{link.id}/unlink")
    done = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.lamps))
    world.post(client, toasts(done)[0]["undo"])
    with connected():
        assert Link.get_by_id(link.id).removed_by == "rep:ana@sales.example"


def test_several_conversations_linked_from_a_record_are_taken_back_together(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    ids = []
    for number in range(2):
        world.mail(f"For the record {number}", to="Una <una@record.example>")
        ids.append(thread_of(f"For the record {number}"))
    answer = world.post(client, f"/deals/{world.desks}/threads", thread=[str(ident) for ident in ids])
    linked = Link.select().where(Link.record == world.desks, Link.thread.in_(ids), Link.removed_at.is_null())
    with connected():
        assert linked.count() == 2
    world.post(client, undo_on(client.get(answer.location).text))
    with connected():
        assert linked.count() == 0


def test_linking_what_is_linked_already_offers_nothing_to_take_back(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Linked twice")
    thread = thread_of("Linked twice")
    done = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.chairs))
    assert toasts(done)[0]["undo"] is None
