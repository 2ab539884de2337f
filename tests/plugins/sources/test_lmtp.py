"""LMTP: the conversation of SMTP with LHLO and one answer for each recipient after the mail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from plugins.sources.lmtp import LmtpSettings, register_sources
from tests.plugins.sources.smtp_world import DROP, ENVELOPE, MAIL, Client, MemoryIntake, World, refusal, serving, trouble

LHLO = b"LHLO relay.crm.example\r\n"
OTHER = b"RCPT TO:<other@crm.example>\r\n"
NOBODY = b"RCPT TO:<nobody@crm.example>\r\n"


@pytest.fixture
def world() -> Iterator[World]:
    with serving(kind="lmtp") as world:
        yield world


def greeted(world: World) -> Client:
    client = world.connect()
    assert client.reply() == "220 mx.crm.example LMTP Dropcopy\r\n"
    assert client.say(LHLO).startswith("250-mx.crm.example\r\n250-PIPELINING\r\n")
    return client


def answers(client: Client, mail: bytes = MAIL + b".\r\n", most: int = 9) -> list[str]:
    """Every reply after the mail, up to a NOOP that is sent behind it."""
    client.send(mail + b"NOOP\r\n")
    replies: list[str] = []
    while len(replies) <= most and (not replies or "OK" not in replies[-1]):
        replies.append(client.reply())
    return [reply[:9] for reply in replies[:-1]]


def test_each_accepted_recipient_gets_its_own_answer(world: World) -> None:
    with greeted(world) as client:
        assert [r[:3] for r in client.says(*ENVELOPE, NOBODY, OTHER, ENVELOPE[1], b"DATA\r\n")] == ["250", "250", "550", "250", "250", "354"]
        assert answers(client) == ["250 2.0.0"] * 3
    [(raw, envelope)] = world.intake.kept
    assert raw == MAIL
    assert envelope.source == "lmtp"
    assert envelope.rcpt_to == (DROP, "other@crm.example")


@pytest.mark.parametrize(
    "intake, mail, answer",
    [
        (MemoryIntake(before=trouble(RuntimeError("secret"))), MAIL, "451 4.3.0"),
        (MemoryIntake(before=refusal("disk-full", permanent=False)), MAIL, "451 4.3.1"),
        (MemoryIntake(message_limit=10), MAIL, "552 5.3.4"),
        (MemoryIntake(), b"Received: x\r\n" * 60 + MAIL, "554 5.4.6"),
        (MemoryIntake(), b"", "554 5.6.0"),
    ],
)
def test_a_mail_that_is_not_taken_is_answered_for_each_recipient_too(intake: MemoryIntake, mail: bytes, answer: str) -> None:
    with serving(intake, kind="lmtp") as world, greeted(world) as client:
        client.says(*ENVELOPE, OTHER, b"DATA\r\n")
        assert answers(client, mail + b".\r\n") == [answer] * 2


def test_a_mail_for_nobody_is_not_begun(world: World) -> None:
    with greeted(world) as client:
        assert [r[:3] for r in client.says(ENVELOPE[0], NOBODY, b"DATA\r\n")] == ["250", "550", "503"]
        assert client.say(b"RSET\r\n").startswith("250")
        assert client.deliver().startswith("250")


def test_a_whole_transaction_may_be_sent_in_groups(world: World) -> None:
    with greeted(world) as client:
        for _ in range(3):
            client.send(b"".join(ENVELOPE) + NOBODY + OTHER + b"DATA\r\n")
            assert [client.reply()[:3] for _ in range(5)] == ["250", "250", "550", "250", "354"]
            client.send(MAIL + b".\r\n" + b"RSET\r\n")
            assert [client.reply()[:3] for _ in range(3)] == ["250", "250", "250"]
    assert len(world.intake.kept) == 3


@pytest.mark.parametrize("greeting", [b"HELO x\r\n", b"EHLO x\r\n"])
def test_the_greetings_of_smtp_are_unknown(world: World, greeting: bytes) -> None:
    with world.connect() as client:
        client.reply()
        assert client.say(greeting).startswith("500")
        assert client.say(ENVELOPE[0]) == "503 5.5.1 Send LHLO first\r\n"
        assert client.say(b"LHLO\r\n").startswith("501")


def test_the_mail_server_beside_us_is_not_taken_for_the_sender(world: World) -> None:
    with greeted(world) as client:
        client.deliver()
        assert client.say(b"XFORWARD ADDR=192.0.2.7 HELO=mail.sender.example\r\n").startswith("250")
        client.deliver()
    told = [(envelope.client_ip, envelope.helo) for _, envelope in world.intake.kept]
    assert told == [(None, None), ("192.0.2.7", "mail.sender.example")]


def test_xforward_is_offered_to_loopback_whatever_else_is_trusted(world: World) -> None:
    with greeted(world) as client:
        assert "XFORWARD NAME ADDR" in client.say(LHLO)
    with serving(kind="lmtp", trusted_peers=["192.0.2.0/24"]) as other, greeted(other) as client:
        assert "XFORWARD NAME ADDR" in client.say(LHLO)


def test_lmtp_is_a_source_with_settings_of_its_own() -> None:
    [source] = register_sources()
    assert (source.name, source.settings) == ("lmtp", LmtpSettings)
    assert LmtpSettings().port == 8024
    with pytest.raises(ValidationError, match="port 25"):
        LmtpSettings(port=25)
