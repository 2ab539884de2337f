"""The end of a mail is CR LF . CR LF and nothing else, however the network cuts it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.scanner import DataScanner


def reference(stream: bytes) -> tuple[bytes, bytes, int, int] | None:
    """(mail, rest, bare CRs, bare LFs), octet by octet as RFC 5321 says it; None when the mail does not end."""
    at, mail, line_start = 0, bytearray(), True
    while at < len(stream):
        if line_start and stream.startswith(b".\r\n", at):
            clean = bytes(mail)
            ends = clean.count(b"\r\n")
            return clean, stream[at + 3 :], clean.count(b"\r") - ends, clean.count(b"\n") - ends
        if line_start and stream[at : at + 1] == b".":
            at += 1
            line_start = False
            continue
        mail.append(stream[at])
        line_start = stream[max(0, at - 1) : at + 1] == b"\r\n"
        at += 1
    return None


def scan(stream: bytes, cuts: list[int]) -> tuple[DataScanner, bytes]:
    scanner, mail, begin = DataScanner(), b"", 0
    for cut in [*sorted(cuts), len(stream)]:
        if scanner.done:
            scanner.rest += stream[begin:]
            break
        mail += scanner.feed(stream[begin:cut])
        begin = cut
    return scanner, mail


PIECES = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"..", b"\r\n.", b"\r\n.\r\n", b"\0", b" ", b"a", b"\xff", b"text"]), max_size=24)


@settings(max_examples=1500, deadline=None)
@given(PIECES, st.lists(st.integers(0, 60), max_size=8))
def test_scanner_agrees_with_a_plain_reading_however_it_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    scanner, mail = scan(stream, [min(c, len(stream)) for c in cuts])
    expected = reference(stream)
    if expected is None:
        assert not scanner.done
    else:
        assert (mail, scanner.rest, scanner.bare_cr, scanner.bare_lf) == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_what_is_stuffed_comes_back_octet_for_octet(body: bytes) -> None:
    stuffed = (b"\r\n" + body + b"\r\n").replace(b"\r\n.", b"\r\n..")[2:]
    for size in (1, 3, 1000):
        scanner = DataScanner()
        stream = stuffed + b".\r\nNOOP\r\n"
        mail, at = b"", 0
        while not scanner.done:
            mail += scanner.feed(stream[at : at + size])
            at += size
        assert mail == body + b"\r\n"
        assert scanner.rest + stream[at:] == b"NOOP\r\n"


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r", b"\r.\n", b"\r.\r", b"\n.\r\n", b"\r.\r\n", b"\r\n\0.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n. \r\n", b"\r\n..\r\n"],
)
def test_nothing_else_ends_a_mail(end: bytes) -> None:
    for cut in range(4 + len(end)):
        scanner, _ = scan(b"body" + end + b"MAIL FROM:<x@example.org>", [cut])
        assert not scanner.done


def test_a_dot_at_once_ends_an_empty_mail() -> None:
    for cut in range(3):
        scanner, mail = scan(b".\r\nQUIT\r\n", [cut])
        assert (scanner.done, mail) == (True, b"")


@pytest.mark.parametrize("line", [b"\r\n", b".", b"\r\n.", b"\r\n..\r", b"\r", b"\n", b"y" * 77 + b"\r\n"])
def test_scanning_is_linear_for_hostile_lines(line: bytes) -> None:
    def seconds(octets: int) -> float:
        stream = (b"x" + line * (octets // len(line)))[:octets]
        best = 9.0
        for _ in range(3):
            scanner, begin = DataScanner(), time.thread_time()
            for at in range(0, octets, 65536):
                scanner.feed(stream[at : at + 65536])
            best = min(best, time.thread_time() - begin)
        return best

    assert seconds(4_000_000) < 12 * seconds(1_000_000) + 0.05
