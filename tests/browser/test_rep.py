"""A rep's day in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.mail.parse import parse
from core.store.database import connected
from core.store.models import Message, Thread
from tests.web.world import PNG, World

pytestmark = pytest.mark.browser

HOSTILE = (
    '<p id="x" onclick="window.top.pwned=1">Hello</p><script>window.top.pwned=1;fetch("http://canary.example/s")</script>'
    '<img src="http://canary.example/a.png" onerror="window.top.pwned=1"><img src="/logout"><svg onload="window.top.pwned=1"></svg>'
    '<style>@import url("http://canary.example/c.css");body{background:url(http://canary.example/d.png)}</style>'
    '<div hx-get="/inbox" hx-trigger="load" data-hx-post="/logout">x</div><iframe src="http://canary.example/f"></iframe>'
    '<form action="http://canary.example/p"><button>go</button></form><a href="javascript:window.top.pwned=1">link</a>'
    '<link rel="stylesheet" href="http://canary.example/l.css"><base href="http://canary.example/"><meta http-equiv="refresh" content="0;url=http://canary.example/m">'
    '<table background="http://canary.example/t.png"><tr><td style="background-image:url(http://canary.example/u.png)">cell</td></tr></table><video src="http://canary.example/v" autoplay></video>'
)


def thread_of(subject: str) -> int:
    with connected():
        return int(Thread.get(Thread.subject == subject).id)


def test_a_rep_signs_in_and_sees_a_mail_come_in_linked(world: World, visit) -> None:
    ana = visit("ana").page
    assert ana.get_by_role("heading", name="Waiting for your first mail").is_visible()
    world.mail("Ten oak chairs")
    ana.get_by_role("link", name="Ten oak chairs").wait_for()  # without a reload
    row = ana.locator(".row", has_text="Ten oak chairs")
    assert row.get_by_role("link", name="Ten chairs", exact=True).is_visible()
    ana.keyboard.press("j")
    ana.keyboard.press("Enter")
    ana.wait_for_url(re.compile(r"/threads/\d+"))
    assert ana.get_by_text("It is the only open record of the thread's contacts.").is_visible()


def test_linking_replacing_and_taking_back_in_the_panel(world: World, visit) -> None:
    world.mail("Which chairs", to="Bo Berg <bo@cust.example>")
    ana = visit("ana").page
    ana.goto(re.sub(r"/inbox.*", f"/threads/{thread_of('Which chairs')}", ana.url))
    ana.keyboard.press("l")
    ana.fill("#find", "lamps")
    ana.locator("#found button.entry").first.wait_for()
    ana.locator("#find").press("ArrowDown")
    ana.keyboard.press("Enter")
    ana.get_by_role("button", name="Replace it").click()
    ana.locator("#links a.name", has_text="Lamps for Far Ltd").wait_for()
    ana.get_by_text("Linked to Lamps for Far Ltd.").wait_for()
    ana.keyboard.press("z")
    ana.wait_for_load_state()
    ana.get_by_text("Undone.").wait_for()
    assert ana.locator("#links .linked.deal a.name").all_inner_texts()[:1] == ["Ten chairs"], "what was replaced is back"


def test_new_mail_waits_behind_a_pill_and_rows_stay_where_they_are(world: World, visit) -> None:
    ana = visit("ana").page
    first = ana.locator(".row .subject").first.inner_text()
    world.mail("While you look", to="Pia <pia@pill.example>")
    ana.get_by_role("link", name="1 new").wait_for()
    assert ana.locator(".row .subject").first.inner_text() == first
    ana.get_by_role("link", name="1 new").click()
    ana.get_by_role("link", name="While you look").wait_for()


def test_the_row_links_in_place_and_archives(world: World, visit) -> None:
    world.mail("From the list", to="Liv <liv@list.example>")
    ana = visit("ana").page
    row = ana.locator(".row", has_text="From the list")
    row.hover()
    row.get_by_text("Link item").click()
    row.locator("input[type=search]").fill("desks")
    row.locator("button.entry", has_text="Desks for Far Ltd").click()
    ana.locator(".row", has_text="From the list").get_by_role("link", name="Desks for Far Ltd").wait_for()
    ana.locator(".row", has_text="From the list").hover()
    ana.locator(".row", has_text="From the list").get_by_role("button", name="Archive").click()
    ana.get_by_text("1 conversation is archived. It stays on its records.").wait_for()
    assert ana.locator(".row", has_text="From the list").count() == 0


def test_hostile_mail_runs_nothing_and_asks_nobody(world: World, visit) -> None:
    inbound = world.mail("Look at this", html=HOSTILE + '<img src="cid:logo@sales.example">', picture=PNG)
    with connected():
        message = Message.get(Message.inbound_id == inbound)
    ana = visit("ana")
    page = ana.page
    ana.asked.clear()
    page.goto(re.sub(r"/inbox.*", f"/threads/{message.thread_id}", page.url))
    frame = page.frame_locator(f"#frame-{message.id}")
    frame.get_by_text("Hello").wait_for()
    frame.locator("img").last.wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.pwned") is None
    assert [url for url in ana.asked if "canary" in url] == []
    assert [url for url in ana.asked if url.endswith(("/logout", "/inbox"))] == []
    assert frame.locator("script, form, iframe, svg, style:nth-of-type(2), [onclick], [onerror], [hx-get]").count() == 0
    assert any("/pictures/" in url for url in ana.asked)


def test_the_hostile_mails_of_the_corpus_act_on_nothing_in_a_browser(world: World, visit, corpora: Path) -> None:
    """Each mail that is hostile by its HTML, opened as a rep opens it: no script, no request elsewhere, nothing changed."""
    ana = visit("ana")
    page = ana.page
    page.add_init_script("for (const name of ['alert', 'confirm', 'prompt']) window[name] = () => { window.top.pwned = name }")
    ours = "/".join(page.url.split("/")[:3])
    seen = framed = 0
    for path in sorted((corpora / "hostile" / "eml").glob("html_*.eml")):
        html = parse(path.read_bytes()).html
        assert html, path.name
        inbound = world.mail(f"Hostile {path.name}", html=html)
        with connected():
            message = Message.get(Message.inbound_id == inbound)
            before = world.rep("ana").session_epoch
        ana.asked.clear()
        page.goto(f"{ours}/threads/{message.thread_id}")
        page.wait_for_load_state("networkidle")  # where nothing is left of the HTML, there is no frame
        assert page.evaluate("window.pwned") is None, path.name
        assert [url for url in ana.asked if not url.startswith(ours) or url.endswith(("/logout", "/delete"))] == [], path.name
        frame = page.frame_locator(f"#frame-{message.id}")
        assert frame.locator("script, form, iframe, svg, math, object, embed, base[href], meta[http-equiv=refresh], [onclick], [onerror], [hx-get], [style*=url]").count() == 0, path.name
        with connected():
            assert world.rep("ana").session_epoch == before
        seen += 1
        framed += page.locator(f"#frame-{message.id}").count()
    assert (seen, framed > 8) == (19, True)
    assert page.goto(f"{ours}/inbox").status == 200  # still signed in


def test_a_phone_shows_the_inbox_without_scrolling_sideways(world: World, visit) -> None:
    ana = visit("ana", width=390).page
    for path in ("/inbox", "/threads/1", "/deals/1", "/account", "/held"):
        ana.goto(re.sub(r"/(inbox|threads|deals|account|held).*", path, ana.url))
        assert ana.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert ana.get_by_role("navigation", name="Main").is_visible()
