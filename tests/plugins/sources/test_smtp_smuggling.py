"""Ends of data that are none, in whatever spelling: what is hidden behind them never becomes a mail of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.mail.scanner import END
from tests.plugins.sources.smtp_world import DROP, HELLO, World, serving

ENVELOPE = (b"MAIL FROM:<rep@sender.example>\r\n", f"RCPT TO:<{DROP}>\r\n".encode(), b"DATA\r\n")
HIDDEN = b"MAIL FROM:<ceo@victim.example>\r\nRCPT TO:<" + DROP.encode() + b">\r\nDATA\r\nFrom: ceo@victim.example\r\n\r\nsmuggled"
ends = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\0", b" ", b"\t", b"\x0b", b"\x0c", b"\x85", b"\xc2\x85", b"\r\n", b"..", b"\xe2\x80\xa8", b"\x1a", b"\x04"]), min_size=1, max_size=7).map(b"".join)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with serving() as world:
        yield world


@given(ends, st.lists(st.integers(1, 200), max_size=6))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_but_the_one_end_ends_a_mail(world: World, end: bytes, cuts: list[int]) -> None:
    body = b"From: rep@sender.example\r\n\r\nhello" + end + HIDDEN
    if END in body:
        return  # then it is the true end, and what follows is honest
    world.intake.kept.clear()
    with world.connect() as client:
        client.reply()
        client.says(HELLO, *ENVELOPE)
        stuffed, at = body + END, 0
        for cut in [*cuts, len(stuffed)]:
            if stuffed[at : at + cut]:
                client.send(stuffed[at : at + cut])
            at += cut
        assert client.reply().startswith("250")
        assert client.say(b"NOOP\r\n").startswith("250")
    [(raw, envelope)] = world.intake.kept
    assert envelope.mail_from == "rep@sender.example"
    assert envelope.rcpt_to == (DROP,)
    assert raw == (body + b"\r\n").replace(b"\r\n.", b"\r\n")
