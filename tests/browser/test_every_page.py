"""Every page in a real browser: nothing stands in anybody's way, and no language is too long for a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.store import one_time
from core.store.database import connected
from core.store.models import Message, Outcome, Rep
from tests.web.places import pages
from tests.web.world import PNG, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

AXE = (Path(__file__).parent / "axe.min.js").read_text()
LOOK = "axe.run({exclude: [['iframe']]}, {resultTypes: ['violations']}).then(found => found.violations.map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node => node.html.slice(0, 200))]))"
# What lies outside of the screen and is neither hidden nor in a box that scrolls by itself.
WIDER = "[...document.querySelectorAll('body *')].filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, .tabs, pre, .rail, svg, .line, .unseen, [hidden], dialog:not([open])')).slice(0, 3).map(one => one.outerHTML.slice(0, 120))"


@pytest.fixture(scope="module")
def places(world: World) -> dict[str | None, list[str]]:
    """The pages of each person, with mail of every kind behind them."""
    first = world.mail("Offer for ten chairs", html="<p>Dear Bo, here is the <b>offer</b>.</p>", picture=PNG, files=[("Offer 2026-117.pdf", "application/pdf", b"%PDF-1.7")])
    world.mail("Which of the two first, the desks or the lamps, and when?", to="Kim Oda <kim@far.example>")
    held = world.mail("Contract", sender="Ana Sand <ana@unproved.example>")
    world.mail("Special price for you", ip="198.51.100.7")
    world.mail("Your enquiry", sender="Sales Bot <news@far.example>", ip="192.0.2.30")
    cleo = world.client("cleo")
    world.post(cleo, "/settings/never-log", pattern="newsletter.example")
    world.post(cleo, "/settings/people/team", address="team@sales.example", rep="2")
    source = world.post(cleo, "/sources/new/mailgun", **{"name": "Mailgun EU", "s-secret": "key-of-mailgun"}).location.rpartition("/")[2]
    world.post(world.client("ana"), "/account/addresses", address="ana@home.example")
    with connected():
        message = Message.get(Message.inbound_id == first)
        token = one_time.make("password", world.rep("ben").id, world.house.seal, world.house.now())
        assert Outcome.select().where(Outcome.inbound_id == held).count() == 1
    ids = {"thread_id": message.thread_id, "message_id": message.id, "inbound_id": held, "record_id": world.chairs, "contact_id": world.bo, "source_id": source, "token": token}
    found: dict[str | None, list[str]] = {None: pages(world, None, ids)}
    found["ana"] = pages(world, "ana", ids)
    found["cleo"] = pages(world, "cleo", ids)
    assert {"/login", "/forgotten"} <= set(found[None])
    assert {"/settings/preset/hubspot", "/settings/outgoing", "/settings/data", "/sources", "/plugins"} <= set(found["cleo"])
    assert len(found["ana"]) > 25
    return found


@pytest.fixture
def _languages_back(world: World) -> Iterator[None]:
    yield
    with connected():
        Rep.update(language="en").execute()


def each(visit: Any, base: str, places: dict[str | None, list[str]], who: str | None, **look: Any) -> Iterator[tuple[Any, str]]:
    page = visit(who, **look).page
    for path in places[who]:
        page.goto(base + path)
        yield page, path


@pytest.mark.parametrize("who", [None, "ana", "cleo"])
def test_nothing_stands_in_the_way_of_anybody_on_any_page(world: World, visit, base: str, places, who: str | None) -> None:
    """axe finds no fault at all, whatever it calls serious, in either theme; each page is loaded once and shown in both."""
    faults = []
    for page, path in each(visit, base, places, who):
        page.evaluate(AXE)
        colours = set()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colours.add(page.evaluate("getComputedStyle(document.body).color"))
            faults += [(path, scheme, *found) for found in page.evaluate(LOOK)]
        assert len(colours) == 2, f"{path} looks the same in both themes"
    assert faults == []


@pytest.mark.parametrize("who", [None, "ana", "cleo"])
@pytest.mark.parametrize("language", ["en", "it", "sv", "ja"])
@pytest.mark.usefixtures("_languages_back")
def test_no_page_is_wider_than_a_phone_in_any_language(world: World, visit, base: str, places, language: str, who: str | None) -> None:
    with connected():
        Rep.update(language=language).execute()
    wide = []
    for page, path in each(visit, base, places, who, width=390):
        assert page.evaluate("document.documentElement.lang") == (language if who else "en"), path
        width, outside = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(WIDER)
        if width > 390 or outside:
            wide.append((path, width, outside))
    assert wide == []


def test_the_bar_of_a_phone_shows_where_the_reader_is(world: World, visit, base: str) -> None:
    page = visit("cleo", width=390).page
    for path in ("/inbox", "/reports", "/settings"):
        page.goto(base + path)
        place = page.locator(".rail [aria-current]").bounding_box()
        assert 0 <= place["x"] <= 390 - place["width"], path


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_word_without_end_makes_no_page_wider(world: World, visit, base: str, width: int) -> None:
    word = "Rindfleischetikettierungsueberwachung" * 5
    with connected():
        before = Message.select().count()
    world.mail(word, to="Kim Oda <kim@far.example>")
    held = world.mail(word, sender="Ana Sand <ana@unproved.example>")
    deal = world.post(world.client("cleo"), "/deals", title=word, address="kim@long.example").location
    person = world.post(world.client("cleo"), "/contacts", title=word, address=f"{word[:60].lower()}@{width}.example").location
    with connected():
        message = Message.select().order_by(Message.id.desc()).get()
        assert Message.select().count() == before + 1
    paths = {
        "ana": ["/inbox", f"/inbox?q={word}", f"/threads/{message.thread_id}", f"/messages/{message.id}/why", deal, "/deals", "/choices", f"/find?subject={word}", f"/contacts/{world.bo}", "/reports", person, "/contacts"],
        "cleo": [f"/inbound/{held}", "/held?tab=strangers", "/settings/audit"],
    }  # fmt: skip
    wide = []
    for who in paths:
        page = visit(who, width=width).page
        for path in paths[who]:
            page.goto(base + path)
            if page.evaluate("document.documentElement.scrollWidth") > width or page.evaluate(WIDER):
                wide.append((path, page.evaluate("document.documentElement.scrollWidth"), page.evaluate(WIDER)))
    assert wide == []


def test_the_test_mail_to_a_long_address_keeps_to_a_phone(world: World, visit, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "cleopatra.philopator-ptolemy@sales-department.example"
    monkeypatch.setattr("core.notices.relay_configured", lambda settings: True)
    page = visit("cleo", width=390).page
    with connected():
        cleo = world.rep("cleo").id
        Rep.update(email=long).where(Rep.id == cleo).execute()
    try:
        page.goto(base + "/settings/outgoing")
        assert long in page.inner_text(".button.main")
        assert page.evaluate(WIDER) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        with connected():
            Rep.update(email="cleo@sales.example").where(Rep.id == cleo).execute()
