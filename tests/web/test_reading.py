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
