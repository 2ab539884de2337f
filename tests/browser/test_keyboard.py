"""The whole way from the sign-in to a linked mail with the keyboard alone, and the same without any script."""

from __future__ import annotations

import re

import pytest

from core.store.database import connected
from core.store.models import Thread
from tests.web.world import PASSWORD, World

pytestmark = pytest.mark.browser


def focused(page) -> str:
    """What has the focus, by its name or its text."""
    return str(page.evaluate("document.activeElement.name || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"))


def test_a_rep_works_with_the_keyboard_alone(world: World, visit, base: str) -> None:
    for subject, name in (("Older letter", "Una <una@keys.example>"), ("Newer letter", "Vito <vito@keys.example>")):
        world.mail(subject, to=name)
    page = visit(None).page
    keys = page.keyboard
    page.goto(base + "/login")
    page.locator("#email:focus").wait_for()  # the first field has the focus
    keys.type("ana@sales.example")
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    page.wait_for_url("**/inbox")

    keys.press("?")
    page.locator("dialog#keys[open]").wait_for()
    keys.press("Escape")
    page.locator("dialog#keys[open]").wait_for(state="hidden")

    keys.press("j")
    page.locator("a:focus", has_text="Newer letter").wait_for()
    keys.press("j")
    page.locator("a:focus", has_text="Older letter").wait_for()
    keys.press("k")
    keys.press("x")
    assert page.locator(".row input:checked").count() == 1
    keys.press("x")
    assert page.locator(".row input:checked").count() == 0

    keys.press("Enter")
    page.wait_for_url(re.compile(r"/threads/\d+"))
    assert page.get_by_role("heading", name="Newer letter").is_visible()
    keys.press("l")
    page.locator("#find:focus").wait_for()
    keys.type("lamps")
    page.locator("#found button.entry").first.wait_for()
    keys.press("ArrowDown")
    keys.press("Enter")
    page.locator("#links a.name", has_text="Lamps for Far Ltd").wait_for()
    keys.press("s")
    page.get_by_text("Everybody in the company can read this conversation now.").wait_for()
    page.locator('#links form[action$="/unlink"] button').last.focus()
    keys.press("Enter")
    page.get_by_text("The link is removed.").wait_for()
    page.locator("#links h2:focus").wait_for()
    keys.press("u")
    page.wait_for_url("**/inbox")

    keys.press("/")
    page.locator("#search:focus").wait_for()
    keys.type("Older letter")
    keys.press("Enter")
    page.locator(".row", has_text="Newer letter").wait_for(state="detached")
    page.locator(".row", has_text="Older letter").wait_for()
    keys.press("j")
    keys.press("l")
    page.locator(".row .finder input:focus").wait_for()
    keys.type("desks")
    page.locator(".row button.entry", has_text="Desks for Far Ltd").wait_for()
    keys.press("ArrowDown")
    keys.press("Enter")
    page.locator(".row", has_text="Older letter").get_by_role("link", name="Desks for Far Ltd").wait_for()
    keys.press("j")
    keys.press("e")
    page.get_by_text("1 conversation is archived. It stays on its records.").wait_for()
    keys.press("z")
    page.get_by_text("Undone.").wait_for()

    keys.press("Control+k")
    page.locator("dialog#palette[open]").wait_for()
    keys.type("Ten chairs")
    page.locator("dialog#palette .found a.entry", has_text="Ten chairs").first.wait_for()
    keys.press("ArrowDown")
    keys.press("Enter")
    page.wait_for_url(re.compile(r"/deals/\d+"))
    with connected():
        assert {thread.linked for thread in Thread.select().where(Thread.subject.in_(["Older letter", "Newer letter"]))} == {True}


def test_the_focus_is_always_seen(world: World, visit) -> None:
    """Whatever the Tab key reaches on the inbox shows that it has the focus."""
    page = visit("ana").page
    unseen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        # A row's link draws the outline around the whole row.
        if page.evaluate("[null, '::after'].every(part => getComputedStyle(document.activeElement, part).outlineStyle === 'none')"):
            unseen.append(focused(page))
    assert unseen == []


def test_reading_and_linking_work_without_any_script(world: World, visit) -> None:
    world.mail("Without script", to="Wim <wim@plain.example>", text="Read me without script.", html="<p>Read me without script.</p>")
    page = visit("ana", script=False).page
    page.locator(".row", has_text="Without script").get_by_role("link", name="Without script").click()
    page.wait_for_url(re.compile(r"/threads/\d+"))
    place = page.url
    assert page.frame_locator("iframe").get_by_text("Read me without script.").is_visible() or page.get_by_text("Read me without script.").first.is_visible()
    page.fill("#find", "lamps")
    page.get_by_role("button", name="Search").last.click()
    page.locator("#found button.entry", has_text="Lamps for Far Ltd").click()
    page.locator("#links a.name", has_text="Lamps for Far Ltd").wait_for()
    page.get_by_text("Linked to Lamps for Far Ltd.").wait_for()

    page.fill("#find", "desks")  # another one: the same question as with script
    page.get_by_role("button", name="Search").last.click()
    page.locator("#found button.entry", has_text="Desks for Far Ltd").click()
    page.get_by_text("Replace “Lamps for Far Ltd” with “Desks for Far Ltd”?").wait_for()
    page.get_by_role("button", name="Replace it").click()
    page.locator("#links a.name", has_text="Desks for Far Ltd").wait_for()

    page.get_by_role("button", name="Unlink Desks for Far Ltd").click()
    page.get_by_text("The link is removed.").wait_for()
    page.get_by_role("button", name="Undo").first.click()
    page.goto(place)
    page.locator("#links a.name", has_text="Desks for Far Ltd").wait_for()
    page.get_by_role("link", name="Create new").click()
    page.fill("#new-title", "Made without script")
    page.get_by_role("button", name="Create and link").click()
    page.get_by_role("button", name="Replace it").click()
    page.locator("#links a.name", has_text="Made without script").wait_for()
    page.get_by_role("button", name="Archive").click()
    page.wait_for_url("**/inbox")
    assert page.locator(".row", has_text="Without script").count() == 0


def test_keys_act_on_what_is_ticked(world: World, visit, base: str) -> None:
    for number in range(3):
        world.mail(f"Ticked {number}", to="Tia <tia@ticked.example>")
    page = visit("ana").page
    keys = page.keyboard
    page.goto(base + "/inbox")

    def tick_two() -> None:
        for key in "jxjx":
            keys.press(key)
        assert page.locator(".row input:checked").count() == 2

    tick_two()
    keys.press("s")
    page.get_by_text("2 conversations are shared with the company.").wait_for()
    page.goto(base + "/inbox")
    tick_two()
    keys.press("l")
    page.locator("#find-many:focus").wait_for()
    page.goto(base + "/inbox")
    tick_two()
    keys.press("e")
    page.get_by_text("2 conversations are archived.").wait_for()
    assert page.locator(".row", has_text="Ticked").count() == 1
    keys.press("z")
    page.locator(".row", has_text="Ticked 2").wait_for()
    page.goto(base + "/inbox")
    keys.press("j")
    keys.press("#")  # nothing is ticked: the row under the cursor
    page.get_by_text("1 conversation is deleted.").wait_for()
    assert page.locator(".row", has_text="Ticked").count() == 2


def test_a_refused_form_comes_with_its_first_wrong_field_in_sight(world: World, visit, base: str) -> None:
    seen = visit("ana")
    page = seen.page
    page.goto(base + "/account")
    page.locator("input[name=old]").fill("not the password")
    for name in ("password", "again"):
        page.locator(f"input[name={name}]").fill("a long new password")
    page.locator("input[name=again]").press("Enter")
    page.locator("input[name=old]:focus").wait_for()
    assert page.evaluate("document.activeElement.getBoundingClientRect().top < innerHeight")
    assert page.title().startswith("Error:")
    seen.complaints.clear()  # Chromium calls an answer of 422 an error
