"""Mail that a page needs read again is read inside a fence: a mail that hangs or swells holds up nothing but itself."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.fence import Fence
from core.web import reading
from core.web.reading import CHILDREN, Rereader, Unreadable
from tests.spine import until
from tests.web.world import World

ROOT = Path(__file__).resolve().parent.parent.parent


class Stuck:
    """A reader whom every mail holds fast."""

    def __init__(self, config: dict[str, str]) -> None:
        self.how = config["how"]

    def work(self, job: bytes, raw: bytes) -> bytes:
        if self.how == "swell":
            bytearray(2 * 1024 * 1024 * 1024)
        while self.how == "hang":
            time.sleep(0.01)
        raise ValueError("no luck")


@pytest.fixture(params=["hang", "swell", "raise"])
def stuck(request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The house with such a reader behind its pages."""
    monkeypatch.setattr(reading, "SECONDS", 0.5)
    made = Rereader(Fence("tests.web.test_reading:Stuck", {"how": request.param}))
    true, world.app.extensions["dropcopy-reading"] = world.app.extensions["dropcopy-reading"], made
    yield request.param
    world.app.extensions["dropcopy-reading"] = true
    made.close()


def test_a_mail_that_cannot_be_read_again_is_said_and_nothing_breaks(world: World, mail: SimpleNamespace, stuck: str) -> None:
    client = world.client("ana")
    for path in (f"/attachments/{mail.pdf}", f"/attachments/{mail.picture}/preview"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "Download the raw mail instead" in answer.text
    body = client.get(f"/messages/{mail.message}/body?images=1")
    assert "The pictures cannot be shown" in body.text
    assert "<b>bold</b>" in body.text
    assert "https:" not in body.headers["Content-Security-Policy"]
    assert client.get(f"/messages/{mail.message}/raw").status_code == 200


def test_who_decides_on_a_mail_may_read_its_beginning(world: World, mail: SimpleNamespace) -> None:
    long = world.mail("Please pay", sender="Ana <ana@unproved.example>", html="<p>Dear <b>Ben</b><script>alert(1)</script></p>", text="Dear Ben <script>, " + "x" * 3000)
    admin = world.client("cleo")
    assert f'href="/inbound/{long}/text"' in admin.get(f"/inbound/{long}").text
    whole, part = admin.get(f"/inbound/{long}/text"), admin.get(f"/inbound/{long}/text", headers={"HX-Request": "true"})
    for answer in (whole, part):
        assert "Dear Ben &lt;script&gt;, xxx" in answer.text
        assert "x" * 2000 not in answer.text
        assert "These are its first 2000 characters." in answer.text
    assert "<h1>" in whole.text
    assert "<html" not in part.text
    for name in ("ana", "ben", "cleo"):
        client = world.client(name)
        for ident in (long, mail.held, mail.rejected, mail.stranger, 999999):
            text, raw = (client.get(f"/inbound/{ident}/{what}").status_code for what in ("text", "raw"))
            assert text == raw == (200 if name == "cleo" and ident != 999999 else raw), (name, ident)
    assert world.client("ben").get(f"/inbound/{long}/text").status_code == 404, "a stranger's mail is no rep's to read"
    assert admin.get(f"/inbound/{mail.inbound}/text").status_code == 404, "a logged mail is read in its conversation, where that is written down"


def test_a_held_mail_that_cannot_be_read_again_says_so(world: World, mail: SimpleNamespace, stuck: str) -> None:
    answer = world.client("cleo").get(f"/inbound/{mail.stranger}/text")
    assert answer.status_code == 200
    assert "Download the raw mail instead." in answer.text


def test_mails_that_hang_wait_for_one_another_and_hold_up_no_page(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SECONDS", 60.0)
    monkeypatch.setattr(reading, "QUEUE_SECONDS", 0.1)
    made = Rereader(Fence("tests.web.test_reading:Stuck", {"how": "hang"}))
    ends: list[str] = []

    def ask() -> None:
        try:
            made.text(b"From: a@b.example\r\n\r\nx")
        except Unreadable as error:
            ends.append(str(error))

    hanging = [threading.Thread(target=ask) for _ in range(CHILDREN)]
    try:
        for thread in hanging:
            thread.start()
        until(lambda: made._free.empty())
        ask()
        assert ends == ["every reader is busy"]
        assert world.client("ana").get("/inbox").status_code == 200
    finally:
        made.close()
    for thread in hanging:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert ends[1:] == ["unprocessable"] * CHILDREN


def test_the_true_reader_gives_what_was_asked_for(world: World) -> None:
    made = world.app.extensions["dropcopy-reading"]
    raw = (
        b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n"
        b"<p>Hi<img src=https://t.example/a.png><script>1</script></p>\r\n--x\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--x--\r\n"
    )
    assert made.html_with_images(raw) == '<p>Hi<img src="https://t.example/a.png"></p>'
    assert made.text(b"From: a@b.example\r\n\r\nIt is me.\r\n").strip() == "It is me."
    assert made.text(raw).strip() == "Hi"
    found = {part: made.attachment(raw, part) for part in range(4)}
    assert b"%PDF" in found.values()
    assert None in found.values()


def test_no_page_parses_mail_in_the_web_process() -> None:
    """The parser and the sanitiser are imported behind the fence only."""
    for path in [*sorted((ROOT / "core" / "web").glob("*.py")), ROOT / "core" / "store" / "confirmations.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            wanted = ("core.mail.parse", "core.mail.html", "core.mail.tree", "email.parser", "email")
            assert not [name for name in names if name in wanted], path
