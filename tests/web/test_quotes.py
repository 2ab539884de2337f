"""Quotes of an HTML mail are folded, whatever they hold; the frame takes the room that the mail needs."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from core.mail.html import safe_html
from core.store.database import connected
from core.store.models import Message
from core.web.quotes import folded, room
from tests.web.world import World

FOLD = "<details><summary>Quoted</summary>"


def parts(html: str) -> str:
    return re.sub(r"\s*style=\"[^\"]*\"", "", folded(html, "Quoted"))


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>Yes.</p><blockquote>Old</blockquote>", f"<p>Yes.</p>{FOLD}<blockquote>Old</blockquote></details>"),
        ("<p>Yes.</p><blockquote>A<blockquote>B</blockquote></blockquote><p>Bye</p>", f"<p>Yes.</p>{FOLD}<blockquote>A<blockquote>B</blockquote></blockquote></details><p>Bye</p>"),
        ("<blockquote>A</blockquote>in between<blockquote>B</blockquote>", f"{FOLD}<blockquote>A</blockquote></details>in between{FOLD}<blockquote>B</blockquote></details>"),
        ("<div><blockquote>All of it</blockquote>&nbsp;<br></div>", "<div><blockquote>All of it</blockquote>&nbsp;<br></div>"),
        ('<p title="<blockquote>">x</p><blockquote title="</blockquote>">A</blockquote>', f'<p title="<blockquote>">x</p>{FOLD}<blockquote title="</blockquote>">A</blockquote></details>'),
        ("<p>No quote</p>", "<p>No quote</p>"),
        ("<p>x</p><blockquote>never closed", "<p>x</p><blockquote>never closed"),
        ("<p>x</p></blockquote><p>y</p>", "<p>x</p></blockquote><p>y</p>"),
    ],
)
def test_each_outermost_quote_is_folded(html: str, shown: str) -> None:
    assert parts(html) == shown


def test_the_word_is_text() -> None:
    assert "<b>" not in folded("<p>x</p><blockquote>y</blockquote>", "<b>")


def test_what_was_made_safe_stays_balanced() -> None:
    wild = "<div>x<blockquote><p>a<blockquote>b</div></blockquote></p><table><tr><td><blockquote>c</table>d</blockquote>"
    out = folded(safe_html(wild), "Quoted")
    for tag in ("details", "blockquote", "summary"):
        assert out.count(f"<{tag}") == out.count(f"</{tag}>"), tag


def test_a_short_mail_takes_little_room() -> None:
    quote = "<blockquote>" + "<p>old</p>" * 80 + "</blockquote>"
    assert room("<p>Thank you!</p>" + quote) == "low"
    assert room("<p>One</p>" * 12) == "half"
    assert room("<p>One</p>" * 40) == ""
    assert room('<p>One</p><img src="cid:x">') == ""


def test_a_reply_shows_what_was_written_and_a_forward_all_of_it(world: World, mail: SimpleNamespace) -> None:
    html = "<div>That is settled.</div><div>On Monday Bo wrote:<blockquote>Is it settled?</blockquote></div>"
    ids = [world.mail("Re: settled", html=html), world.mail("Fwd: settled", rcpt="chairs-fwd@drop.example", to="chairs-fwd@drop.example", text="---------- Forwarded message ---------\nFrom: Bo Berg <bo@cust.example>\nDate: Tue, 17 Nov 2026 at 09:12\nSubject: settled\nTo: Ana Sand <ana@sales.example>\n\nIs it settled?\n", html="<div>---------- Forwarded message ---------<br>From: <b>Bo Berg</b> &lt;bo@cust.example&gt;<br>Date: Tue, 17 Nov 2026 at 09:12<br>Subject: settled<br>To: Ana Sand &lt;ana@sales.example&gt;<br><br><blockquote>Is it settled?</blockquote></div>")]
    client = world.client("ana")
    with connected():
        reply, forward = (Message.get(Message.inbound_id == one) for one in ids)
    assert "<details><summary>Quoted text</summary><blockquote>" in client.get(f"/messages/{reply.id}/body").text
    assert "<details>" not in client.get(f"/messages/{forward.id}/body").text
    assert f'class="frame low" id="frame-{reply.id}"' in client.get(f"/threads/{reply.thread_id}").text
