"""The list while it is worked through: the keyboard keeps its place, nothing jumps, nothing covers what is to be clicked."""

from __future__ import annotations

import re

import pytest

from core.store.database import connected
from core.store.models import Message
from tests.web.world import World

pytestmark = pytest.mark.browser

SUBJECTS = [f"Worked through {number}" for number in range(6)]
# Whether the middle of this element belongs to it, and not to something that lies above.
ON_TOP = "one => { const r = one.getBoundingClientRect(); const top = document.elementFromPoint(r.left + r.width / 2, r.top + r.height / 2); return one === top || one.contains(top) || top?.outerHTML.slice(0, 90); }"


@pytest.fixture(scope="module", autouse=True)
def _filled(world: World) -> None:
    for number, subject in enumerate(reversed(SUBJECTS)):
        world.mail(subject, to=f"Person {number} <p{number}@list{number}.example>, Bo Berg <bo@cust.example>")


def here(page) -> str:
    return "".join(page.locator(".row.here .subject").all_inner_texts())


def test_what_is_done_to_a_row_by_key_leaves_the_keyboard_there(world: World, visit) -> None:
    page = visit("ana").page
    keys = page.keyboard
    for _ in range(3):
        keys.press("j")
    assert here(page) == SUBJECTS[2]
    keys.press("s")
    page.get_by_text("Everybody in the company can read this conversation now.").wait_for()
    assert here(page) == SUBJECTS[2]
    page.locator("a:focus", has_text=SUBJECTS[2]).wait_for()
    keys.press("l")
    page.locator(".row .finder input:focus").wait_for()
    keys.type("lamps")
    page.locator(".row button.entry", has_text="Lamps for Far Ltd").wait_for()
    keys.press("Enter")
    page.locator("button:focus", has_text="Replace it").wait_for()
    keys.press("Enter")
    page.locator(".row", has_text=SUBJECTS[2]).get_by_role("link", name="Lamps for Far Ltd").wait_for()
    assert here(page) == SUBJECTS[2]
    keys.press("e")
    page.get_by_text("1 conversation is archived.").wait_for()
    assert here(page) == SUBJECTS[3], "the next one, so that the work goes on"
    keys.press("j")
    assert here(page) == SUBJECTS[4]
    keys.press("z")
    page.get_by_text("Undone.").wait_for()
    page.locator(".row", has_text=SUBJECTS[2]).wait_for()
    assert here(page) == SUBJECTS[4], "the reload of an undo keeps it too"
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/threads/\d+"))
    assert page.get_by_role("heading", name=SUBJECTS[4]).is_visible()
    keys.press("u")
    page.wait_for_url("**/inbox")
    page.locator(".row.here").wait_for()
    assert here(page) == SUBJECTS[4]
    keys.press("k")
    assert here(page) == SUBJECTS[3]


def test_no_row_moves_when_one_is_ticked(world: World, visit) -> None:
    for width in (1280, 390):
        page = visit("ana", width=width).page
        row = page.locator(".row", has_text=SUBJECTS[1])
        before = row.bounding_box()
        row.locator("input").check()
        button = page.locator(".bulk button", has_text="Make private")
        button.wait_for()
        assert row.bounding_box() == before, width
        assert button.evaluate(ON_TOP) is True
        row.locator("input").uncheck()
        button.wait_for(state="hidden")


def test_the_chips_of_other_rows_do_not_shine_through_a_menu(world: World, visit) -> None:
    page = visit("ana", width=900).page
    page.locator(".row", has_text=SUBJECTS[0]).hover()
    page.locator(".row", has_text=SUBJECTS[0]).get_by_text("Link item").click()
    page.locator(".row .finder input:focus").fill("e")
    entries = page.locator(".row .found .entry:visible")
    entries.nth(3).wait_for()
    assert [entries.nth(number).evaluate(ON_TOP) for number in range(4)] == [True] * 4
    corner = page.locator(".row .sheet").first
    edge = corner.evaluate("one => { const r = one.getBoundingClientRect(); const seen = []; for (let y = r.top + 4; y < r.bottom - 4; y += 6) { const top = document.elementFromPoint(r.left + 3, y); if (!one.contains(top)) seen.push(top.outerHTML.slice(0, 80)); } return seen; }")
    assert edge == []


def test_the_menu_of_a_person_is_seen_whole_at_the_foot_of_the_panel(world: World, visit, base: str) -> None:
    with connected():
        thread = Message.select().order_by(Message.id).first().thread_id
    admin = visit("cleo").page
    admin.goto(f"{base}/threads/{thread}")
    if admin.get_by_role("button", name="Open it and have that written down").count():
        admin.get_by_role("button", name="Open it and have that written down").click()
    admin.set_viewport_size({"width": 1280, "height": 620})
    admin.locator("aside details.menu summary").last.evaluate("one => { one.scrollIntoView({ block: 'end' }); one.click(); }")
    entry = admin.locator("aside details.menu[open] button.entry").last
    assert entry.evaluate(ON_TOP) is True
    assert entry.evaluate("one => one.getBoundingClientRect().bottom <= one.closest('.aside').getBoundingClientRect().bottom")


def test_a_conversation_leads_to_its_neighbours_and_back_to_the_tab_it_was_opened_from(world: World, visit, base: str) -> None:
    page = visit("ana").page
    keys = page.keyboard

    def shown(subject: str) -> None:
        page.get_by_role("heading", name=subject).wait_for()

    page.goto(f"{base}/inbox?tab=mine")
    page.locator(".row", has_text=SUBJECTS[1]).get_by_role("link", name=SUBJECTS[1]).click()
    shown(SUBJECTS[1])
    after = SUBJECTS[2]
    keys.press("]")
    shown(after)
    page.get_by_role("link", name="Previous conversation").click()
    shown(SUBJECTS[1])
    page.get_by_role("link", name="Next conversation").click()
    shown(after)
    keys.press("u")
    page.wait_for_url("**/inbox?tab=mine")
    page.locator(".row.here").wait_for()
    assert here(page) == after
    keys.press("Enter")
    shown(after)
    keys.press("e")
    page.get_by_text("1 conversation is archived.").wait_for()
    assert page.url.endswith("/inbox?tab=mine")
    assert here(page) == SUBJECTS[3], "the one after it"
    elsewhere = visit("ana").page
    elsewhere.goto(f"{base}/threads/{_thread_of(SUBJECTS[2])}")
    assert elsewhere.locator('[data-key="]"]').is_hidden(), "no list was seen before"


def _thread_of(subject: str) -> int:
    with connected():
        return int(Message.get(Message.subject == subject).thread_id)


def test_choices_are_walked_through_and_made_by_key(world: World, visit, base: str) -> None:
    for number in range(3):
        world.mail(f"Undecided {number}", to="Kim Oda <kim@far.example>")
    page = visit("ana").page
    keys = page.keyboard
    page.goto(f"{base}/choices")
    keys.press("j")
    keys.press("j")
    assert page.locator(".choice.here h2").inner_text() == "Undecided 1"
    page.locator("a:focus", has_text="Undecided 1").wait_for()
    keys.press("2")
    page.get_by_text("Linked to").wait_for()
    assert page.locator(".choice", has_text="Undecided 1").count() == 0
    assert page.locator(".choice", has_text="Undecided 2").count() == 1
    keys.press("j")
    keys.press("Enter")
    page.get_by_role("heading", name="Undecided 2").wait_for()


def test_several_rows_are_linked_at_once(world: World, visit) -> None:
    world.mail("Bundle one", to="B1 <b1@bundle.example>")
    world.mail("Bundle two", to="B2 <b2@bundle.example>")
    page = visit("ana").page
    for subject in ("Bundle one", "Bundle two"):
        page.locator(".row", has_text=subject).locator("input").first.check()
    page.locator(".bulk summary", has_text="Link item").click()
    field = page.locator("#find-many:focus")
    field.fill("zzzz")
    page.get_by_text("Nothing is called “zzzz”.").wait_for()
    field.press("Enter")
    assert page.locator(".row input:checked").count() == 2, "nothing was sent"
    field.fill("desks")
    entry = page.locator("#found-many .entry", has_text="Desks for Far Ltd")
    entry.wait_for()
    assert entry.evaluate(ON_TOP) is True
    field.press("Enter")
    page.get_by_text("2 conversations are linked to Desks for Far Ltd.").wait_for()
    page.locator(".row", has_text="Bundle one").get_by_role("link", name="Desks for Far Ltd").wait_for()
