"""Forms and JSON of webhooks: every byte arrives, and nothing a stranger sends costs more than its size."""

from __future__ import annotations

import time
import tracemalloc
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail import webform
from core.types import WebRequest
from tests.plugins.sources.cases import EIGHT_BIT, as_text, mail, multipart, post, signed


@given(st.dictionaries(st.text("abcdefgh-[]_", min_size=1, max_size=12), st.binary(max_size=400), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_multipart_form_keeps_every_byte(fields: dict[str, bytes]) -> None:
    body, kind = multipart(dict(fields))
    if fields:
        assert webform.form(post(body, kind)) == fields


@given(st.dictionaries(st.text("abcdefgh-[]_", min_size=1, max_size=12), st.binary(max_size=400), max_size=6))
@settings(max_examples=100, deadline=None)
def test_an_urlencoded_form_keeps_every_byte(fields: dict[str, bytes]) -> None:
    body = "&".join(f"{quote_from_bytes(name.encode())}={quote_from_bytes(value)}" for name, value in fields.items()).encode()
    assert webform.form(post(body, "application/x-www-form-urlencoded")) == fields


@given(st.binary(max_size=300), st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_steps_of_the_decoder_never_cut_an_escape(value: bytes, shift: int) -> None:
    padding = b"a" * (65536 - shift)
    body = b"x=" + padding + quote_from_bytes(value).encode()
    assert webform.form(post(body, "application/x-www-form-urlencoded"))["x"] == padding + value


def outcome(request: WebRequest) -> object:
    try:
        return "fields" if isinstance(webform.form(request), dict) else None
    except webform.Unusable as no:
        return no.status


@given(st.binary(max_size=500))
@settings(max_examples=150, deadline=None)
def test_no_body_is_more_than_a_wrong_request(body: bytes) -> None:
    for kind in ('multipart/form-data; boundary="x"', "multipart/form-data", "multipart/form-data; boundary=", "application/x-www-form-urlencoded", "text/plain", ""):
        assert outcome(post(body, kind)) in ("fields", 400, 413, 415)


def test_a_file_part_is_as_good_as_a_field() -> None:
    raw = bytes(range(256)) * 9000
    body = b'--b\r\nContent-Disposition: form-data; name="email"; filename="m.eml"\r\nContent-Type: message/rfc822\r\n\r\n' + raw + b"\r\n--b--\r\n"
    assert webform.form(post(body, "multipart/form-data; boundary=b")) == {"email": raw}


def test_a_form_that_was_cut_off_is_refused() -> None:
    body, kind = multipart({"email": b"x" * 5000})
    for length in (len(body) - 3, len(body) // 2, 10):
        with pytest.raises(webform.Unusable):
            webform.form(post(body[:length], kind))


def test_of_a_repeated_name_the_first_one_counts() -> None:
    assert webform.form(post(b"token=1&token=2", "application/x-www-form-urlencoded"))["token"] == b"1"


def hostile_urlencoded(size: int) -> WebRequest:
    return post(b"x=" + b"%41" * (size // 3), "application/x-www-form-urlencoded")


def hostile_multipart(size: int) -> WebRequest:
    head = b'--bound\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
    return post(head + b"\r\n--boun" * (size // 8) + b"\r\n--bound--\r\n", "multipart/form-data; boundary=bound")


@pytest.mark.parametrize("make", [hostile_urlencoded, hostile_multipart])
def test_time_grows_with_the_size_and_not_faster(make: object) -> None:
    def seconds(size: int) -> float:
        request = make(size)  # type: ignore[operator]
        began = time.process_time()
        webform.form(request)
        return time.process_time() - began

    small = min(seconds(500_000) for _ in range(3))
    assert seconds(4_000_000) < 30 * max(small, 0.001)


def test_decoding_needs_no_multiple_of_the_memory() -> None:
    request = hostile_urlencoded(1_500_000)
    tracemalloc.start()
    webform.form(request)
    assert tracemalloc.get_traced_memory()[1] < 10 * len(request.body)
    tracemalloc.stop()


@pytest.mark.parametrize("charset", EIGHT_BIT)
def test_a_mail_that_came_as_text_becomes_the_bytes_that_were_signed(charset: str) -> None:
    raw = signed(EIGHT_BIT[charset])
    assert webform.text_to_raw(as_text(raw)) == raw


@pytest.mark.parametrize("charset", ["utf-8", "utf-8 that would also be latin-1", "latin-1", "windows-1252"])
def test_without_a_signature_the_declared_charset_decides(charset: str) -> None:
    assert webform.text_to_raw(as_text(EIGHT_BIT[charset])) == EIGHT_BIT[charset]


def test_a_mail_with_bare_line_feeds_keeps_them() -> None:
    raw = signed(mail("Größe\r\n".encode("latin-1"))).replace(b"\r\n", b"\n")
    assert webform.text_to_raw(as_text(raw)) == raw


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_text_becomes_bytes(text: str) -> None:
    assert isinstance(webform.text_to_raw(text), bytes)


def test_looking_for_the_body_hash_takes_time_linear_in_the_mail() -> None:
    def seconds(size: int) -> float:
        raw = b"DKIM-Signature: a=rsa-sha256; c=relaxed/relaxed; bh=AAAA\r\n" * 3 + b"\r\n" + b" \t" * (size // 2) + b"\xff"
        began = time.process_time()
        webform.body_hash_fits(raw)
        return time.process_time() - began

    small = min(seconds(100_000) for _ in range(3))
    assert seconds(800_000) < 30 * max(small, 0.001)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff", b"", b'"\\ud800', b"{'a': 1}"]
)
def test_json_that_is_none_is_a_wrong_request(body: bytes) -> None:
    with pytest.raises(webform.Unusable) as no:
        webform.read_json(body)
    assert no.value.status == 400
