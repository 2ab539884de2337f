"""Whoever comes back to the list finds the place that was left; keys of one letter can be switched off."""

from __future__ import annotations

import datetime as dt

from core.store.database import connected
from core.store.models import Thread
from core.web.inbox import PAGE
from tests.web.world import World

MANY = 120


def fill(world: World) -> None:
    """More conversations than several pages hold, without sending each."""
    world.mail("The first of many")
    with connected():
        row = Thread.select().order_by(Thread.id.desc()).dicts().get()
        owner, conversation = row["owner"], row["conversation_id"]
        now = world.house.now() - dt.timedelta(hours=1)
        for number in range(MANY):
            at = now - dt.timedelta(minutes=number)
            Thread.create(owner=owner, conversation_id=f"{conversation}-{number}", subject=f"Chair {number}", base_subject=f"chair {number}", started_at=at, last_at=at, who="Bo Berg", message_count=1)


def test_back_and_forward_keep_the_place_in_a_long_list(world: World, visit) -> None:
    fill(world)
    page = visit("ana").page
    page.reload()
    page.locator("#more a").click()
    page.wait_for_function("count => document.querySelectorAll('.row').length >= count", arg=2 * PAGE)
    for count in (*range(3 * PAGE, MANY + 1, PAGE), MANY + 1):  # the next ones come by themselves to who reads on
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("count => document.querySelectorAll('.row').length >= count", arg=count)
    assert f"pages={MANY // PAGE + 1}" in page.url
    wanted = page.get_by_role("link", name="Chair 101", exact=True)
    wanted.scroll_into_view_if_needed()
    before = page.evaluate("window.scrollY")
    assert before > 1000
    wanted.click()
    page.wait_for_selector("a.crumb")
    page.go_back()
    page.wait_for_function("() => document.querySelectorAll('.row').length > 100")
    page.wait_for_function("y => Math.abs(window.scrollY - y) < 200", arg=before)
    page.go_forward()
    page.wait_for_selector("a.crumb")
    page.locator("a.crumb").click()
    page.wait_for_function("() => document.querySelectorAll('.row').length > 100")
    page.wait_for_function("y => Math.abs(window.scrollY - y) < 200", arg=before)


def test_single_letters_can_be_switched_off_and_stay_so(world: World, visit) -> None:
    page = visit("ana").page
    page.keyboard.press("?")
    page.locator("[data-single-keys]").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    assert page.locator(".row.here").count() == 0
    page.reload()
    page.keyboard.press("j")
    assert page.locator(".row.here").count() == 0
    page.keyboard.press("Control+k")
    assert page.locator("#palette[open]").count() == 1
