"""The pipe command: what a mail server gives it reaches a source byte for byte, and its exit code loses no mail."""

from __future__ import annotations

import datetime as dt
import http.server
import threading
from collections.abc import Iterator

import pytest

from core.deliver import deliver
from core.errors import Refused
from core.types import WebRequest
from plugins.sources import generic
from tests.plugins.sources.cases import RCPT, SENDER, World, mail

ENV = {"SENDER": SENDER, "RECIPIENT": RCPT}


class House:
    """The generic source behind a real HTTP server."""

    def __init__(self, secret: str) -> None:
        self.world = World(generic.Settings(secret=secret))
        self.status = 0  # answer this instead
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fields = {name.lower(): value for name, value in self.headers.items()}
                answer = generic.handle(WebRequest("POST", self.path, "", fields, body), outer.world.context)
                self.send_response(outer.status or answer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in/test-token"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def house() -> Iterator[House]:
    running = House("a-bearer-token")
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.mark.parametrize("secret", ["a-bearer-token", "drop:a-password", "whsec_" + "a" * 32])
def test_a_mail_arrives_with_its_envelope(house: House, secret: str) -> None:
    house.world = World(generic.Settings(secret=secret))
    house.world.now = dt.datetime.now(dt.UTC)
    env = {**ENV, "CLIENT_ADDRESS": "192.0.2.9", "CLIENT_HELO": "mail.sales.example"}
    assert deliver(house.url, secret, mail(b"Gr\xf6\xdfe\r\n"), env) == 0
    kept = house.world.kept[0]
    assert kept.raw == mail(b"Gr\xf6\xdfe\r\n")
    assert (kept.envelope.mail_from, kept.envelope.rcpt_to) == (SENDER, (RCPT,))
    assert (kept.envelope.client_ip, kept.envelope.helo) == ("192.0.2.9", "mail.sales.example")


@pytest.mark.parametrize(
    "env, rcpt, sender",
    [
        ({"RECIPIENT": "a@drop.example b@drop.example"}, ("a@drop.example", "b@drop.example"), None),
        ({"ORIGINAL_RECIPIENT": "r-x@drop.example", "RECIPIENT": "pipe@localhost.example", "SENDER": ""}, ("r-x@drop.example",), ""),
        ({"RECIPIENT": RCPT, "SENDER": "MAILER-DAEMON"}, (RCPT,), ""),
        ({"RECIPIENT": RCPT, "SENDER": "ok@bücher.example"}, (RCPT,), "ok@xn--bcher-kva.example"),
        ({"RECIPIENT": RCPT + "\r\nX-Evil: 1", "SENDER": SENDER}, (), SENDER),
    ],
)
def test_the_envelope_is_that_of_the_mail_server(house: House, env: dict[str, str], rcpt: tuple[str, ...], sender: str | None) -> None:
    assert deliver(house.url, "a-bearer-token", mail(), env) == 0
    assert (house.world.kept[0].envelope.rcpt_to[: len(rcpt)], house.world.kept[0].envelope.mail_from) == (rcpt, sender)


def test_the_mbox_line_of_some_transports_is_no_part_of_the_mail(house: House) -> None:
    assert deliver(house.url, "a-bearer-token", b"From ada@sales.example Sun Nov 22 09:30:00 2026\n" + mail(), ENV) == 0
    assert house.world.kept[0].raw == mail()


@pytest.mark.parametrize("status, code", [(200, 0), (202, 0), (400, 75), (401, 75), (403, 75), (404, 75), (406, 69), (413, 69), (415, 75), (422, 69), (429, 75), (500, 75), (502, 75), (503, 75), (302, 75)])
def test_what_is_not_clearly_refused_is_tried_again(house: House, status: int, code: int) -> None:
    house.status = status
    assert deliver(house.url, "a-bearer-token", mail(), ENV) == code


def test_a_refusal_of_the_house_is_final_and_trouble_is_not(house: House) -> None:
    house.world.intake.refuses = Refused("unknown-recipient", address=RCPT)
    assert deliver(house.url, "a-bearer-token", mail(), ENV) == 69
    house.world.intake.refuses = Refused("intake-trouble", permanent=False)
    assert deliver(house.url, "a-bearer-token", mail(), ENV) == 75
    assert deliver(house.url, "wrong", mail(), ENV) == 75


def test_nobody_there_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver("http://127.0.0.1:1/in/x", "token", mail(), ENV) == 75
    assert "could not be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url, token, raw, env",
    [
        ("ftp://x/", "t", b"x", ENV),
        ("nonsense", "t", b"x", ENV),
        ("http://[::1/", "t", b"x", ENV),
        ("http://h:99999/", "t", b"x", ENV),
        ("http://h/", "", b"x", ENV),
        ("http://h/", "t", b"", ENV),
        ("http://h/", "t", b"x", {}),
    ],
)
def test_a_wrong_call_says_so(url: str, token: str, raw: bytes, env: dict[str, str]) -> None:
    assert deliver(url, token, raw, env) == 64
