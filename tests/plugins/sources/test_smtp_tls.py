"""STARTTLS: what was said in plain text is forgotten, and nothing can be slipped in before the handshake."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.sources import smtp
from tests.plugins.sources.certificates import make_certificate
from tests.plugins.sources.smtp_world import ENVELOPE, HELLO, MAIL, Client, World, serving


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def world(files: dict[str, str]) -> Iterator[World]:
    with serving(handshake_timeout=5, **files) as world:
        yield world


def secured(client: Client, cafile: str) -> Client:
    context = ssl.create_default_context(cafile=cafile)
    return Client(context.wrap_socket(client.sock, server_hostname="mx.crm.example"))


def test_a_mail_comes_over_tls(world: World, files: dict[str, str]) -> None:
    plain = world.connect()
    plain.reply()
    assert "STARTTLS" in plain.say(HELLO)
    assert plain.say(b"STARTTLS now\r\n").startswith("501")
    assert plain.say(b"STARTTLS\r\n").startswith("220")
    with secured(plain, files["tls_cert"]) as client:
        assert client.say(ENVELOPE[0]).startswith("503"), "the greeting before TLS is forgotten"
        assert "STARTTLS" not in client.say(HELLO)
        assert client.say(b"STARTTLS\r\n").startswith("503")
        assert client.deliver(MAIL + b"x" * 3_000_000 + b"\r\n").startswith("250")
        assert client.deliver().startswith("250")
        assert client.say(b"QUIT\r\n").startswith("221")
        assert client.closed()
    assert [len(raw) for raw, _ in world.intake.kept] == [len(MAIL) + 3_000_002, len(MAIL)]


def test_the_envelope_said_before_tls_is_forgotten(world: World, files: dict[str, str]) -> None:
    plain = world.connect()
    plain.reply()
    plain.says(HELLO, *ENVELOPE, b"STARTTLS\r\n")
    with secured(plain, files["tls_cert"]) as client:
        assert client.say(b"DATA\r\n").startswith("503")
        client.say(HELLO)
        assert client.say(b"DATA\r\n").startswith("503")


@pytest.mark.parametrize("injected", [b"EHLO evil.example\r\nMAIL FROM:<evil@victim.example>\r\nRCPT TO:<drop@crm.example>\r\n", b"RSET\r\n", b"NOOP"])
def test_what_is_slipped_in_behind_starttls_is_never_taken(world: World, files: dict[str, str], injected: bytes) -> None:
    plain = world.connect()
    plain.reply()
    plain.say(HELLO)
    assert plain.say(b"STARTTLS\r\n" + injected).startswith("220")
    try:
        client = secured(plain, files["tls_cert"])
    except (ssl.SSLError, OSError):
        return  # the octets came apart and broke the handshake: as good
    with client:
        assert client.say(b"DATA\r\n").startswith("503")
        client.say(HELLO)
        assert client.say(ENVELOPE[0]) == "250 2.1.0 OK\r\n", "no injected sender, no injected reply"


def test_a_broken_handshake_ends_the_connection_and_nothing_else(world: World) -> None:
    with world.connect() as client:
        client.reply()
        client.says(HELLO, b"STARTTLS\r\n")
        client.send(b"NOOP this is no TLS\r\n" * 10)
        while client.reply():
            pass
    with world.connect() as client:
        client.reply()
        client.say(HELLO)
        assert client.deliver().startswith("250")


def test_a_handshake_that_does_not_come_is_cut(files: dict[str, str]) -> None:
    with serving(handshake_timeout=0.2, **files) as world, world.connect() as client:
        client.reply()
        client.says(HELLO, b"STARTTLS\r\n")
        assert client.closed()


def test_a_mail_cut_off_over_tls_is_no_mail(world: World, files: dict[str, str]) -> None:
    plain = world.connect()
    plain.reply()
    plain.says(HELLO, b"STARTTLS\r\n")
    with secured(plain, files["tls_cert"]) as client:
        client.says(HELLO, *ENVELOPE, b"DATA\r\n")
        client.send(MAIL)
    with world.connect() as client:
        client.reply()
        client.say(HELLO)
        assert client.deliver().startswith("250")
    assert len(world.intake.kept) == 1


def test_a_renewed_certificate_is_noticed_and_a_broken_one_is_not_taken(tmp_path: Path) -> None:
    settings = smtp.SmtpSettings(**make_certificate(tmp_path))
    reports: list[str] = []

    class Context:
        log = None
        report = staticmethod(reports.append)

    Context.settings = settings  # type: ignore[attr-defined]
    edge = smtp.Edge("smtp", Context(), None)  # type: ignore[arg-type]
    first = edge.tls
    make_certificate(tmp_path, "mx2.crm.example")
    os.utime(tmp_path / "cert.pem", (1, 1))
    edge.tick(edge._tls_checked + 61)
    second = edge.tls
    assert second is not first
    (tmp_path / "cert.pem").write_text("broken")
    edge.tick(edge._tls_checked + 61)
    assert edge.tls is second
    assert reports[-1].startswith("The renewed certificate cannot be used")
    edge.close()
