"""The network may cut the stream anywhere: the same mails come out, and the same replies in the same order."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import logging
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.types import Envelope, SourceContext
from plugins.sources import smtp
from plugins.sources.lmtp import LmtpSession
from plugins.sources.smtp import Edge, Session, SmtpSettings
from tests.plugins.sources.smtp_world import ENVELOPE, HELLO, MAIL, MemoryIntake, MemoryState
from tests.plugins.sources.test_smtp_talks import steps, talks


class InstantIntake(MemoryIntake):
    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        future: Future[int] = Future()
        self.kept.append((raw, envelope))
        future.set_result(len(self.kept))
        return future


class Wire(asyncio.Transport):
    """A transport that hands every piece to the session exactly as cut and collects what it writes."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 4025)})
        self.written = b""
        self.ended = self.reading = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def made(kind: type[Session], intake: MemoryIntake) -> tuple[Edge, Session, Wire]:
    context = SourceContext(
        instance="mx", settings=SmtpSettings(hostname="mx.crm.example"), intake=intake, state=MemoryState(), dns=None, http=None,
        clock=lambda: dt.datetime(2026, 11, 20, tzinfo=dt.UTC), log=logging.getLogger("test.smtp"),
    )  # type: ignore[arg-type]  # fmt: skip
    edge = Edge("smtp", context, asyncio.get_running_loop())
    edge.known = lambda address: intake.accepts(address)  # type: ignore[method-assign]  # as if just looked up
    session, wire = kind(edge), Wire()
    session.connection_made(wire)
    return edge, session, wire


async def _speak(pieces: list[bytes], kind: type[Session]) -> tuple[list[str], MemoryIntake]:
    intake = InstantIntake()
    edge, session, wire = made(kind, intake)
    for piece in pieces:
        if wire.ended:
            break
        session.data_received(piece)
        while edge._finished or edge._woken:
            await asyncio.sleep(0)
    edge.close()
    return wire.written.decode("ascii").split("\r\n"), intake


def speak(pieces: list[bytes], kind: type[Session] = Session) -> tuple[list[str], list[tuple[bytes, Envelope]]]:
    replies, intake = asyncio.run(_speak(pieces, kind))
    return replies, intake.kept


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted({min(place, len(octets)) for place in places}), len(octets)]
    return [octets[a:b] for a, b in itertools.pairwise(marks) if a < b]


def groups() -> list[tuple[str, list[bytes]]]:
    """The talks short enough to be cut at many places."""
    found = [(talk["id"], [send for send, _ in steps(talk)]) for talk in talks() if talk["id"] != "S060"]
    return [(name, sends) for name, sends in found if sum(map(len, sends)) < 20_000]


@pytest.mark.corpora
@pytest.mark.parametrize("name, sends", groups(), ids=[name for name, _ in groups()])
def test_a_talk_in_single_octets_is_the_same_talk(name: str, sends: list[bytes]) -> None:
    whole = speak(sends)
    single = speak([bytes([octet]) for send in sends for octet in send])
    assert single == whole


@pytest.mark.corpora
@pytest.mark.parametrize("name, sends", groups(), ids=[name for name, _ in groups()])
def test_a_talk_cut_around_its_line_ends_is_the_same_talk(name: str, sends: list[bytes]) -> None:
    whole = speak(sends)
    for number, send in enumerate(sends):
        ends = [at + shift for at in range(len(send)) if send[at : at + 1] in (b".", b"\n") for shift in (-1, 0, 1, 2)]
        for place in ends[-60:]:
            if 0 < place < len(send):
                assert speak([*sends[:number], send[:place], send[place:], *sends[number + 1 :]]) == whole


@pytest.mark.corpora
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(groups() or [("", [b""])]), st.lists(st.integers(0, 400), max_size=10))
def test_a_talk_cut_at_random_is_the_same_talk(talk: tuple[str, list[bytes]], places: list[int]) -> None:
    _, sends = talk
    assert speak([piece for send in sends for piece in cut(send, places)]) == speak(sends)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"a", b".", b"\r\n", b"..", b"\r", b"\n", b"\r\n.\r", b"\0"]), max_size=12), st.lists(st.integers(0, 80), max_size=6))
def test_any_body_arrives_octet_for_octet(parts: list[bytes], places: list[int]) -> None:
    body = MAIL + b"".join(parts) + b"\r\n"
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    replies, kept = speak([HELLO, *ENVELOPE, b"DATA\r\n", *cut(stuffed + b".\r\n", places), b"NOOP\r\n"])
    assert [raw for raw, _ in kept] == [body]
    assert replies[-3:] == ["250 2.0.0 Kept as 1", "250 2.0.0 OK", ""]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([HELLO, b"LHLO x\r\n", *ENVELOPE, b"DATA\r\n", MAIL, b".\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"\r\n", b"\n", b"STARTTLS\r\n", b"XFORWARD ADDR=192.0.2.1\r\n"]),
            st.binary(max_size=30),
        ),
        max_size=20,
    ),
    st.sampled_from([Session, LmtpSession]),
)
def test_no_sequence_of_octets_breaks_the_conversation(pieces: list[bytes], kind: type[Session]) -> None:
    replies, kept = speak(pieces, kind)
    assert all(reply == "" or reply[:3].isdigit() for reply in replies)
    assert not any("4.3.0" in reply for reply in replies), "nothing went wrong on our side"
    assert all(envelope.rcpt_to for _, envelope in kept)


class SlowIntake(MemoryIntake):
    """Ends no future by itself."""

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        self.future: Future[int] = Future()
        return self.future


def test_a_client_that_closes_only_its_sending_side_still_gets_its_answer() -> None:
    async def talk() -> bytes:
        intake = SlowIntake()
        edge, session, wire = made(Session, intake)
        for step in (HELLO, *ENVELOPE, b"DATA\r\n", MAIL + b".\r\n"):
            session.data_received(step)
        assert session.eof_received(), "the connection stays open for the answer"
        intake.future.set_result(7)
        while not wire.ended:
            await asyncio.sleep(0)
        edge.close()
        return wire.written

    assert asyncio.run(talk()).endswith(b"354 End the mail with <CR><LF>.<CR><LF>\r\n250 2.0.0 Kept as 7\r\n")


def test_more_commands_than_may_wait_hold_the_reading_until_the_answer() -> None:
    async def talk() -> bytes:
        intake = SlowIntake()
        edge, session, wire = made(Session, intake)
        for step in (HELLO, *ENVELOPE, b"DATA\r\n", MAIL + b".\r\n", b"NOOP " + b"x" * 70_000):
            session.data_received(step)
        assert not wire.reading
        intake.future.set_result(7)
        while b"Kept" not in wire.written:
            await asyncio.sleep(0)
        assert wire.reading
        session.data_received(b"\r\nQUIT\r\n")
        edge.close()
        return wire.written

    assert asyncio.run(talk()).endswith(b"250 2.0.0 Kept as 7\r\n500 5.5.2 The line is too long\r\n221 2.0.0 Bye\r\n")


def test_the_octets_in_flight_are_bounded_over_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "DISK", 3_000_000)

    async def talk() -> tuple[bytes, bytes]:
        edge, first, wire = made(Session, InstantIntake())
        second, other = Session(edge), Wire()
        second.connection_made(other)
        for session in (first, second):
            for step in (HELLO, *ENVELOPE, b"DATA\r\n"):
                session.data_received(step)
        first.data_received(b"x" * 2_500_000)
        second.data_received(b"y" * 2_500_000)
        second.data_received(b"\r\n.\r\n")
        first.data_received(b"\r\n.\r\n")
        while edge._finished or edge._woken:
            await asyncio.sleep(0)
        edge.close()
        return wire.written, other.written

    first, second = asyncio.run(talk())
    assert first.endswith(b"250 2.0.0 Kept as 1\r\n")
    assert second.endswith(b"452 4.3.1 Not enough room just now, please try again later\r\n")
