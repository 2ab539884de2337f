"""Mails made to break a reader: bounded work, bounded memory, and never another sender."""

from __future__ import annotations

import importlib.util
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.mail.addresses import read_mailboxes
from core.mail.dates import read_date
from core.mail.headers import Params, decode_header, fields, ids
from core.mail.html import html_to_text, safe_html, too_much
from core.mail.identity import read_identity
from core.mail.parse import parse
from core.mail.text import body_hash, index_text, shown_text, snippet, unflow, without_quotes


def read_all(raw: bytes) -> Any:
    email = parse(raw)
    safe_html(email.html)
    snippet(shown_text(email))
    index_text(email)
    body_hash(email)
    return email


def test_every_hostile_mail_names_the_right_sender_or_none(corpora: Path) -> None:
    folder = corpora / "hostile"
    expected = {row["id"]: row for row in map(json.loads, (folder / "expected.jsonl").read_text("utf-8").splitlines())}
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
    assert len(cases) > 30
    for case in cases:
        start = time.process_time()
        email = read_all((folder / case["raw_path"]).read_bytes())
        row = expected[case["id"]]
        assert time.process_time() - start < row.get("max_seconds", 5), case["id"]
        sender = email.identity.mailbox.address if email.identity.mailbox else None
        assert sender not in row.get("sender_not", []), case["id"]
        if "sender_any_of" in row:
            assert sender in row["sender_any_of"], case["id"]


BOMBS = ("parts1M", "parts100k", "headers100k", "fold_subject_1MB", "ct_params20k", "empty_lines_19MB", "b64_bad_5MB", "zip_bomb") + (
    "exactly_20MiB",
    "attachments10k",
    "encoded_word_unclosed",
    "open_paren100k",
)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_little(corpora: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location("make_bombs", corpora / "hostile" / "make_bombs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    raw = module.MAILS[name]()
    tracemalloc.start()
    start = time.process_time()
    email = read_all(raw)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 10, "traced, so several times slower than in use"
    assert peak < 150_000_000 + len(raw)
    assert len(email.attachments) <= 500
    cut = {"parts1M": "parts-cut", "attachments10k": "attachments-cut:9501", "headers100k": "too-complex", "fold_subject_1MB": "too-complex", "empty_lines_19MB": "text-cut"}
    assert cut.get(name, "") in " ".join(email.defects)
    assert email.identity.mailbox is not None or email.identity.reason == "bad-from"


def wide(parts: int) -> bytes:
    return b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * parts


def deep(depth: int) -> bytes:
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(depth))
    return b"From: a@b.example\r\n" + head + b"Content-Type: text/plain\r\n\r\nbottom"


def test_depth_is_bounded() -> None:
    assert parse(deep(40)).text == "bottom"
    for depth in (60, 5000):
        email = parse(deep(depth))
        assert email.defects == ("too-complex",)
        assert email.identity.mailbox is not None


def test_attached_mails_in_attached_mails_are_bounded() -> None:
    raw = b"From: a@b.example\r\nSubject: s\r\nContent-Type: message/rfc822\r\n\r\n" * 5000 + b"end"
    email, depth = parse(raw), 0
    assert "too-complex" in email.defects
    while email.originals:
        email, depth = email.originals[0], depth + 1
    assert depth == 9


Make = Callable[[int], Any]
SCANS: dict[str, tuple[Callable[[Any], Any], Make]] = {
    "From, brackets": (read_identity, lambda n: b"From: " + b"<" * n),
    "list, quotes": (read_mailboxes, lambda n: b'"\\' * (n // 2)),
    "list, open quotes": (read_mailboxes, lambda n: b'"a\\"' * (n // 4)),
    "list, comments": (read_mailboxes, lambda n: b"(a)" * (n // 3)),
    "list, at signs": (read_mailboxes, lambda n: b"a@" * (n // 2)),
    "list, blanks": (read_mailboxes, lambda n: b"a " * (n // 2)),
    "list, one word": (read_mailboxes, lambda n: b"a" * n + b"@"),
    "list, addresses": (read_mailboxes, lambda n: b"a@b.c " * (n // 6)),
    "words, unclosed": (decode_header, lambda n: b"=?utf-8?q?" * (n // 10)),
    "words, closed once": (decode_header, lambda n: b"=?utf-8?q?" * (n // 10) + b"?="),
    "words": (decode_header, lambda n: b"=?utf-8?q?a?= " * (n // 14)),
    "words, marks": (decode_header, lambda n: b"=?" * (n // 2)),
    "ids, brackets": (ids, lambda n: b"<a" * (n // 2)),
    "ids, blanks": (ids, lambda n: b"< " * (n // 2) + b"@>"),
    "fields, blanks": (fields, lambda n: b"A:" + b" " * n),
    "fields, folds": (fields, lambda n: b"A: b\r\n " + b"\r\n " * (n // 3)),
    "fields, returns": (fields, lambda n: b"A: b\r" * (n // 5) + b"\n"),
    "fields, junk": (fields, lambda n: b"A: b\n" + b"junk\n" * (n // 5)),
    "parameters, semicolons": (lambda v: Params(v).text("x"), lambda n: b"a/b" + b";" * n),
    "parameters, pieces": (lambda v: Params(v).text("n"), lambda n: b"a/b; " + b"n*1*=x;" * (n // 7)),
    "parameters, quotes": (lambda v: Params(v).text("n"), lambda n: b"a/b; " + b'n="\\' * (n // 4)),
    "date, digits": (read_date, lambda n: b"1 " * (n // 2)),
    "parse, boundaries": (parse, lambda n: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\n--bx" * (n // 5)),
    "parse, dashes": (parse, lambda n: b"Content-Type: multipart/mixed; boundary=" + b"-" * 70 + b"\n\n" + b"-" * n),
    "parse, boundary blanks": (parse, lambda n: b"Content-Type: multipart/mixed; boundary=b\n\n--b" + b" " * n),
    "parse, uuencode": (parse, lambda n: b"\n\nbegin 644 x\n" * (n // 14)),
    "parse, uuencoded lines": (parse, lambda n: b"\n\nbegin 644 x\n" + b"#0V%T\n" * (n // 6)),
    "parse, base64": (parse, lambda n: b"Content-Transfer-Encoding: base64\n\n" + b"=a" * (n // 2)),
    "parse, quoted-printable": (parse, lambda n: b"Content-Transfer-Encoding: quoted-printable\n\n" + b"= " * (n // 2)),
    "parse, meta": (parse, lambda n: b"Content-Type: text/html\n\n" + b"<meta " * (n // 6) + b"\xff"),
    "parse, cid": (parse, lambda n: b"Content-Type: text/html\n\n" + b"cid:" * (n // 4)),
    "HTML depth, open": (too_much, lambda n: "<" * n),
    "HTML depth, end tags": (too_much, lambda n: "<b>" + "<div>" * 150 + "</b>" * (n // 4)),
    "HTML depth, quotes": (too_much, lambda n: "<a b='" * (n // 6)),
    "HTML depth, attributes": (too_much, lambda n: "<a" + " " * n + "=" * n),
    "HTML depth, comments": (too_much, lambda n: "<!--" * (n // 4) + "<br>" * 300),
    "HTML depth, raw text": (too_much, lambda n: "<br>" * 300 + "<style></" * (n // 9)),
    "HTML depth, noscript": (too_much, lambda n: "<br>" * 300 + "<noscript></noscript>" * (n // 21)),
    "HTML depth, names": (too_much, lambda n: "<a" * (n // 2)),
    "safe, attributes": (safe_html, lambda n: "<p " + "style=color:red " * (n // 16)),
    "safe, paragraphs": (safe_html, lambda n: "<p>" * (n // 3)),
    "safe, style": (safe_html, lambda n: "<p style='" + "color:" * (n // 6) + "'>"),
    "safe, style blanks": (safe_html, lambda n: "<p style='color" + " " * n + "(:red'>"),
    "safe, too deep": (safe_html, lambda n: "<div>" * (n // 5)),
    "safe, too deep, scripts": (safe_html, lambda n: "<div>" * 300 + "<script>" * (n // 8)),
    "safe, too deep, open": (safe_html, lambda n: "<div>" * 300 + "<" * n),
    "text, list items": (html_to_text, lambda n: "<li>a" * (n // 5)),
    "text, blanks": (html_to_text, lambda n: "a" + " \n" * (n // 2) + "b"),
    "text, blocks": (html_to_text, lambda n: "<p> " * (n // 4)),
    "text, breaks": (html_to_text, lambda n: "<pre>" + " \t" * (n // 2) + "x"),
    "text, hidden": (html_to_text, lambda n: "<p style='" + "display :" * (n // 9) + "'>x"),
    "flowed": (unflow, lambda n: "> a \n" * (n // 5)),
    "flowed, quotes": (unflow, lambda n: ">" * n),
    "quotes": (without_quotes, lambda n: "a:\n> b\n" * (n // 7)),
    "quotes, introductions": (without_quotes, lambda n: "1:\n" * (n // 3) + "> x\n" * (n // 4)),
    "snippet": (snippet, lambda n: " \n" * (n // 2)),
}


@pytest.mark.parametrize("name", SCANS)
def test_four_times_the_input_takes_about_four_times_the_work(name: str) -> None:
    work, make = SCANS[name]

    short, long = make(25_000), make(100_000)

    def cost(given: Any) -> float:
        start = time.process_time()
        work(given)
        return time.process_time() - start

    best_short = best_long = 9.0
    for _ in range(12):  # taken in turns, so that a busy machine slows both
        best_short = min(best_short, cost(short))
        best_long = min(best_long, cost(long))
        if best_long < 0.02 or best_long < 6 * best_short:
            return
    raise AssertionError(f"not linear: {best_short:.4f} s, then {best_long:.4f} s")
