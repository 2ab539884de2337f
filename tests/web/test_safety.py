"""Text of strangers on our pages: shown, never obeyed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from core.store.database import connected
from core.store.models import Message, Thread
from tests.web.conftest import EVIL
from tests.web.world import PNG, World

ROOT = Path(__file__).resolve().parent.parent.parent


class Active(HTMLParser):
    """Finds what would act: scripts without the nonce, handlers, styles, addresses of other sites."""

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self.nonce, self.found = nonce, []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script" and given.get("nonce") != self.nonce:
            self.found.append(f"script {given}")
        for name, value in given.items():
            if name.startswith(("on", "hx-on")) or name == "style":
                self.found.append(f"{tag} {name}")
            if name in ("src", "href", "action") and (value or "").startswith(("http:", "//", "javascript:")) and "localhost" not in (value or ""):
                self.found.append(f"{tag} {name}={value}")


def active(text: str) -> list[str]:
    nonce = re.search(r'nonce="([^"]+)"', text)
    reader = Active(nonce[1] if nonce else "")
    reader.feed(text)
    return reader.found


def test_markup_in_subjects_names_and_files_acts_on_no_page(world: World, mail: SimpleNamespace) -> None:
    ana, admin = world.client("ana"), world.client("cleo")
    # Names that people type are as little to be trusted as those of mail.
    world.post(ana, "/leads", title=EVIL)
    world.post(ana, "/contacts", title=EVIL, address="evil@other.example")
    world.post(ana, "/organisations", title=EVIL)
    world.post(admin, "/settings/tokens", name=EVIL[:90], rep="1")
    seen = 0
    for client, paths in (
        (ana, ["/inbox", "/inbox?q=script", f"/inbox?q={EVIL}", f"/threads/{mail.evil_thread}", f"/messages/{mail.evil}/why", f"/messages/{mail.evil}/headers",
               "/leads", "/leads?q=" + EVIL, "/contacts", "/organisations", "/contacts/1", f"/find?subject={EVIL}", f"/anything?q={EVIL}", "/deals/1", f"/threads/{mail.evil_thread}/find?q={EVIL}",
               f"/threads/{mail.evil_thread}/links?new=deal", f"/deals/1/find?find={EVIL}", f"/contacts?q={EVIL}"]),
        (admin, ["/held", "/held?tab=ignored", "/held?tab=strangers", f"/inbound/{mail.held}", "/settings/tokens", "/settings/audit", f"/settings/never-log?address={EVIL}", "/find?subject=script", "/reports"]),
    ):  # fmt: skip
        for path in paths:
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert active(answer.text) == [], path
            assert "<script>alert" not in answer.text, path
            assert "49" not in re.findall(r"onerror=alert\(2\)&gt;(\w+)", answer.text), path
            seen += "&lt;script&gt;" in answer.text
    assert seen > 12


def test_every_answer_carries_a_strict_policy_with_a_fresh_nonce(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    nonces = set()
    for path in ("/inbox", "/inbox", "/threads/1", "/account", "/threads/999999", "/live/rail"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "object-src 'none'" in policy
        assert "base-uri 'none'" in policy
        nonces.add(re.search(r"nonce-([\w-]+)", policy)[1])
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "no-store" in headers["Cache-Control"]
        assert "HX-Request" in headers["Vary"]
    assert len(nonces) == 6


def test_static_files_may_be_kept_for_ever(world: World) -> None:
    page = world.client().get("/login").text
    address = re.search(r'href="(/static/house\.css\?v=\w+)"', page)[1]
    assert "immutable" in world.client().get(address).headers["Cache-Control"]


def test_a_mail_body_has_a_frame_and_a_policy_of_its_own(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    page = client.get(f"/threads/{mail.thread}").text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "srcdoc" not in page
    body = client.get(f"/messages/{mail.message}/body")
    policy = body.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox allow-popups allow-popups-to-escape-sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy
    assert body.headers["Referrer-Policy"] == "no-referrer"
    assert "<b>bold</b>" in body.text
    assert "<script" not in body.text
    assert "track.example" not in body.text


def test_pictures_from_elsewhere_come_only_when_the_reader_asks(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    assert f'href="/messages/{mail.message}/body?images=1" target="frame-{mail.message}"' in client.get(f"/threads/{mail.thread}").text
    asked = client.get(f"/messages/{mail.message}/body?images=1")
    assert 'src="https://track.example/x.png"' in asked.text
    assert "<script" not in asked.text
    assert "img-src 'self' data: https:;" in asked.headers["Content-Security-Policy"]
    assert "allow-scripts" not in asked.headers["Content-Security-Policy"]
    assert asked.headers["Referrer-Policy"] == "no-referrer"
    assert re.search(r'src="/pictures/', asked.text)
    again = client.get(f"/messages/{mail.message}/body")
    assert "track.example" not in again.text
    assert "https:" not in again.headers["Content-Security-Policy"]


def test_a_reader_who_asks_sees_one_senders_pictures_always_and_nobody_else_does(world: World, mail: SimpleNamespace) -> None:
    ana, frame = world.client("ana"), f'src="/messages/{mail.message}/body?images=1"'
    page = f"/threads/{mail.thread}"
    assert frame not in ana.get(page).text
    assert world.post(world.client("ben"), f"/messages/{mail.message}/images", always="1").status_code == 404
    assert world.post(ana, f"/messages/{mail.message}/images", always="1").location == f"{page}#mail-{mail.message}"
    assert frame in ana.get(page).text
    assert "ana@sales.example" in ana.get("/account").text
    # The same author in another mail, which somebody else may read too: it is remembered for the one who asked.
    world.mail("With pictures for all", html='<p>Hi<img src="https://track.example/y.png"></p>')
    with connected():
        other = Message.get(Message.subject == "With pictures for all")
        Thread.update(sharing="company").where(Thread.id == other.thread_id).execute()
    assert "images=1\" title" not in world.client("ben").get(f"/threads/{other.thread_id}").text
    assert f'src="/messages/{other.id}/body"' in world.client("ben").get(f"/threads/{other.thread_id}").text
    assert f'src="/messages/{other.id}/body?images=1"' in ana.get(f"/threads/{other.thread_id}").text
    # What a person released has proved nobody: it asks.
    with connected():
        Message.update(decision="hold").where(Message.id == other.id).execute()
    released = ana.get(f"/threads/{other.thread_id}").text
    assert f'src="/messages/{other.id}/body"' in released
    assert "Always for this sender" not in released
    world.post(ana, "/account/images/hide", address="ANA@sales.example")
    assert frame not in ana.get(page).text
    assert "Images in mail" not in ana.get("/account").text


def test_only_a_true_picture_is_shown_in_place(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    shown = client.get(f"/attachments/{mail.picture}/preview")
    assert (shown.status_code, shown.headers["Content-Type"], shown.data) == (200, "image/png", PNG)
    assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert client.get(f"/attachments/{mail.pdf}/preview").status_code == 404
    for address in re.findall(r'href="(/attachments/\d+)"', client.get(f"/threads/{mail.evil_thread}").text):
        assert client.get(address + "/preview").status_code == 404


def test_an_inline_picture_is_asked_by_a_signed_address_without_cookie(world: World, mail: SimpleNamespace) -> None:
    body = world.client("ana").get(f"/messages/{mail.message}/body").text
    address = re.search(r'src="(/pictures/[^"]+)"', body)[1]
    picture = world.client().get(address)
    assert picture.status_code == 200
    assert picture.data == PNG
    assert picture.headers["Content-Type"] == "image/png"
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert world.client().get(address[:-2] + "xx").status_code == 404


def test_attachments_are_downloads_whatever_they_say_they_are(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    page = client.get(f"/threads/{mail.evil_thread}").text
    files = re.findall(r'href="(/attachments/\d+)"', page)
    assert len(files) == 2
    for address in files:
        answer = client.get(address)
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment; ")
        assert "\n" not in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\temp\\x.exe", "a\r\nSet-Cookie: x=1", "inv\u202egpj.exe", 'a"; filename="b', "", "." * 300, "r\u00e9sum\u00e9.pdf"])
def test_a_file_name_cannot_break_out_of_its_header(name: str) -> None:
    from core.web.threads import disposition

    header = disposition("attachment", name)
    header.encode("ascii")
    assert "\r" not in header
    assert "\n" not in header
    assert header.count('"') == 2
    assert "/" not in header
    assert "\\" not in header
    assert "%E2%80%AE" not in header


def test_templates_use_htmx_only_as_far_as_it_is_safe() -> None:
    """No handlers, no filters, no inherited attributes, no inline style or script."""
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = path.read_text()
        assert not re.search(r"\s(hx-on|on\w+)\s*[:=]", text), path
        assert not re.search(r'hx-trigger="[^"]*\[', text), path
        assert not re.search(r":inherited|hx-vals|hx-boost|hx-confirm", text), path
        assert "|safe" not in text.replace(" ", ""), path
        if path.name != "body.html":
            assert not re.search(r"\sstyle=|<style", text), path
        for tag in re.findall(r"<script\b[^>]*>", text):
            assert re.search(r"nonce=.*src=", tag), path
        for form in re.findall(r"<form\b[^>]*method=\"post\"[^>]*>.*?</form>", text, re.S):
            assert "csrf()" in form, (path, form[:200])
        for tag in re.findall(r"<\w+\b[^>]*\bhx-(?:get|post)=[^>]*>", text):
            assert "hx-target=" in tag or path.name in ("_list.html",), (path, tag[:200])


def test_every_icon_stands_in_the_sprite_and_no_other() -> None:
    sprite = (ROOT / "static" / "icons.svg").read_text()
    have = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    sources = "".join(path.read_text() for path in [*(ROOT / "templates").rglob("*.html"), *(ROOT / "core" / "web").glob("*.py")])
    quoted = set(re.findall(r"['\"]([a-z][a-z0-9-]*)['\"]", sources))
    asked = set(re.findall(r"icon\('([a-z0-9-]+)'", sources))
    assert asked <= have
    assert have <= quoted | set(drawn_by_style())


def drawn_by_style() -> dict[str, str]:
    """The icons that the style sheet draws, by name: what stands inside the svg."""
    style = (ROOT / "static" / "house.css").read_text()
    found = re.findall(r'--drawn: url\("data:image/svg\+xml,([^"]+)"\); } /\* ([a-z0-9-]+) \*/', style)
    assert len(found) == style.count("--drawn: url(")
    return {name: re.sub(r"</?svg[^>]*>", "", unquote(text)) for text, name in found}


def test_the_icons_of_the_style_sheet_are_those_of_the_sprite() -> None:
    sprite = dict(re.findall(r'<symbol id="([^"]+)"[^>]*>(.*?)</symbol>', (ROOT / "static" / "icons.svg").read_text()))

    def parts(text: str) -> list[str]:
        return re.findall(r"[a-z]+|-?[0-9.]+", text)

    drawn = drawn_by_style()
    assert drawn
    for name, text in drawn.items():
        assert parts(text) == parts(sprite[name]), name
