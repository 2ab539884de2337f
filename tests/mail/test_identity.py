"""One sender or none: nothing in a mail may make it look as if somebody else wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.identity import read_identity
from core.mail.parse import parse
from core.types import Mailbox

BOSS = "ceo@victim.example"


def mail(*lines: bytes) -> bytes:
    return b"\r\n".join((*lines, b"To: cust@cust.example", b"Subject: hello", b"", b"text"))


def sender(*lines: bytes) -> str:
    found = read_identity(mail(*lines))
    return found.mailbox.address if found.mailbox else found.reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"rep@sender.example", "rep@sender.example"),
        (b"<rep@sender.example>", "rep@sender.example"),
        (b"Rep <Rep@Sender.Example.>", "Rep@sender.example"),
        (b'"Rep, Ana" <rep@sender.example>', "rep@sender.example"),
        (b"rep@sender.example (Rep)", "rep@sender.example"),
        (b"Rep (the (one) and only) <rep@sender.example>", "rep@sender.example"),
        (b"(ceo@victim.example) rep@sender.example", "rep@sender.example"),
        (b"=?utf-8?q?J=C3=B6rg?= <joerg@sender.example>", "joerg@sender.example"),
        (b"rep @ sender . example", "rep@sender.example"),
        (b"<@relay.example,@other.example:rep@sender.example>", "rep@sender.example"),
        ("ana@bücher.example".encode(), "ana@xn--bcher-kva.example"),
        (b'"rep"@sender.example', "rep@sender.example"),
        (b"ceo@victim.example <rep@sender.example>", "rep@sender.example"),
        (b'"ceo@victim.example" <rep@sender.example>', "rep@sender.example"),
        (b"=?utf-8?q?ceo=40victim.example?= <rep@sender.example>", "rep@sender.example"),
        (b"=?utf-8?q?=3Cceo=40victim.example=3E?= <rep@sender.example>", "rep@sender.example"),
        (b"=?utf-8?q?ceo=40victim.example=2C?= <rep@sender.example>", "rep@sender.example"),
    ],
)
def test_an_ordinary_from_names_its_sender(value: bytes, expected: str) -> None:
    assert sender(b"From: " + value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "no-from"),
        (b"   ", "no-from"),
        (b"(only a comment)", "no-from"),
        (b"undisclosed-recipients:;", "no-from"),
        (b"Team: ceo@victim.example;", "no-from"),
        (b"ceo@victim.example, rep@sender.example", "multiple-from"),
        (b"ceo@victim.example; rep@sender.example", "multiple-from"),
        (b"<ceo@victim.example>, <rep@sender.example>", "multiple-from"),
        (b"<ceo@victim.example> <rep@sender.example>", "bad-from"),
        (b"<<ceo@victim.example> rep@sender.example>", "bad-from"),
        (b"<ceo@victim.example> rep@sender.example", "bad-from"),
        (b"ceo@victim.example rep@sender.example", "bad-from"),
        (b"Ana Smith ana@sender.example", "bad-from"),
        (b"<rep@sender.example", "bad-from"),
        (b'"Rep <rep@sender.example>', "bad-from"),
        (b"rep", "bad-from"),
        (b"<ce o@victim.example>", "bad-from"),
        (b"ceo@victim.example@sender.example", "bad-from"),
        (b"=?utf-8?q?ceo=40victim.example?=", "bad-from"),
        (b"<=?utf-8?q?ceo=40victim.example?=>", "bad-from"),
        (b"ceo@victim.example\x00 <rep@sender.example>", "bad-from"),
        (b"(" * 20_000 + b"rep@sender.example", "bad-from"),
        (b"(" * 11 + b"x" + b")" * 11 + b" rep@sender.example", "bad-from"),
        (b"a" * 20_000 + b"@sender.example", "bad-from"),
    ],
)
def test_a_from_that_can_be_read_in_two_ways_names_nobody(value: bytes, reason: str) -> None:
    found = read_identity(mail(b"From: " + value))
    assert (found.mailbox, found.reason) == (None, reason)


@pytest.mark.parametrize(
    "address",
    ["сеo@victim.example", "ceo@vіctim.example", "ceo\u200b@victim.example", "ceo@victim\u200b.example", "\u202eceo@victim.example"]
    + ["ceo@victim\u3002example", "ceo@ｖictim.example", "ceo@victim.exam\u212ale", "\u212aceo@victim.example", "ceo@VİCTIM.example", "ceo@vic\u00adtim.example"],
)
def test_an_address_that_looks_like_another_is_never_that_one(address: str) -> None:
    found = read_identity(mail(b"From: " + address.encode()))
    assert found.mailbox is None or found.mailbox.address.lower() != BOSS


def test_two_from_fields_name_nobody_even_when_they_agree() -> None:
    for second in (b"From: ceo@victim.example", b"FROM : ceo@victim.example", b"from:ceo@victim.example", b"From: rep@sender.example"):
        assert sender(b"From: rep@sender.example", second) == "multiple-from"


@pytest.mark.parametrize("hidden", [b"X: y\rFrom: ceo@victim.example", b"Subject: x\r\rFrom: ceo@victim.example", b"X: y\x0bFrom: ceo@victim.example"])
def test_a_from_behind_a_bare_return_is_never_the_sender(hidden: bytes) -> None:
    assert sender(b"From: rep@sender.example", hidden) == "rep@sender.example"
    assert sender(hidden, b"From: rep@sender.example") == "rep@sender.example"
    assert sender(hidden) == "no-from"
    assert sender(b"From: rep@sender.example\rFrom: ceo@victim.example") == "bad-from"
    if b"\r" in hidden:
        assert "bare-cr-in-header" in parse(mail(b"From: rep@sender.example", hidden)).defects


def test_a_nul_in_the_field_name_leaves_no_sender() -> None:
    raw = mail(b"Fro\x00m: ceo@victim.example")
    assert read_identity(raw).reason == "no-from"
    assert "nul-in-header" in parse(raw).defects


def test_reply_to_and_sender_never_count() -> None:
    assert sender(b"Sender: ceo@victim.example", b"Reply-To: ceo@victim.example", b"X-Original-From: ceo@victim.example") == "no-from"


def test_a_from_in_the_body_never_counts() -> None:
    assert read_identity(b"Subject: x\r\n\r\nFrom: ceo@victim.example\r\n\r\n").reason == "no-from"


def test_a_second_from_beyond_every_limit_is_still_seen() -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(30_000))
    raw = b"From: rep@sender.example\r\n" + many + b"From: ceo@victim.example\r\n\r\ntext"
    assert read_identity(raw).reason == "multiple-from"
    assert read_identity(many + b"From: rep@sender.example\r\n\r\n").mailbox is not None


def test_a_from_field_with_a_blank_before_its_colon_is_no_mbox_line() -> None:
    first = b"From " + b" " * 200 + b": ceo@victim.example\r\n"
    assert read_identity(first + b"Subject: x\r\n\r\n").mailbox == Mailbox(None, "ceo@victim.example")
    assert read_identity(first + b"From: rep@sender.example\r\n\r\n").reason == "multiple-from"
    assert read_identity(b"From rep Mon Mar  2 10:00:00 2026\r\nFrom: rep@sender.example\r\n\r\n").mailbox == Mailbox(None, "rep@sender.example")


def test_duplicate_singletons_are_named_unless_they_agree() -> None:
    raw = mail(b"From: rep@sender.example", b"Subject: other", b"Date: x", b"Date: x")
    assert parse(raw).defects == ("duplicate-header:subject", "bad-date")


def test_bare_line_feeds_count_only_among_others() -> None:
    assert "bare-lf-in-header" in parse(b"From: a@b.example\r\nSubject: x\nTo: c@d.example\r\n\r\n").defects
    assert parse(b"From: a@b.example\nSubject: x\n\ntext").defects == ()


pieces = st.sampled_from(
    [b"ceo@victim.example", b"rep@sender.example", b"<", b">", b",", b";", b":", b"(", b")", b'"', b"\\", b" ", b"@", b"\r", b"\t", b"a", b"=?utf-8?q?x?=", b"[", b"]", b"\xe9", b"\0"]
)


@given(st.lists(pieces, max_size=12).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_a_named_sender_is_a_plain_address_and_the_same_for_the_page(value: bytes) -> None:
    raw = mail(b"From: " + value)
    found = read_identity(raw)
    assert (found.mailbox is None) == bool(found.reason)
    assert parse(raw).identity == found
    if found.mailbox is not None:
        assert found.mailbox.address.encode() in value.replace(b" ", b"").replace(b"\t", b"") or b"(" in value or b'"' in value or b"\\" in value
        assert found.mailbox.address.rpartition("@")[0]


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_in_other_fields_add_a_sender(noise: bytes, before: bool) -> None:
    other = b"X-Noise: " + noise.replace(b"\n", b"")
    lines = (other, b"From: rep@sender.example") if before else (b"From: rep@sender.example", other)
    assert sender(*lines) == "rep@sender.example"
