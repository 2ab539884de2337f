"""Header text, ids, parameters and dates."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.charsets import decode
from core.mail.dates import read_date
from core.mail.headers import Params, decode_header, fields, ids
from core.mail.names import safe_name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe_an_alle?=", "Grüße an alle"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?iso-8859-1?q?=FC?=", "aü"),
        (b"Re: =?utf-8?q?a?= and b", "Re: a and b"),
        (b"=?utf-8?b?w7w=?= =?utf-8?b?w7w?=", "üü"),
        (b"=?utf-8?b?4pyT4pw=?= =?utf-8?b?kw==?=", "✓✓"),
        (b"=?utf-8*en?q?hi?=", "hi"),
        (b"=?utf-8?Q?two words?=", "two words"),
        (b"=?utf-8?Q?what?_no?=", "what? no"),
        (b"=?nonsense?q?caf=E9?=", "café"),
        (b"=?us-ascii?q?=93x=94?=", "“x”"),
        (b"=?gb2312?b?xOO6ww==?=", "你好"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=", "=?utf-8?q?x?="),
        (b"=?utf-8?q?never closed", "=?utf-8?q?never closed"),
        (b"=?zlib?b?eJwDAAAAAAE=?=", "x\x9c\x03\x00\x00\x00\x00\x01"),
        ("Grüße".encode(), "Grüße"),
        (b"Gr\xfc\xdfe", "Grüße"),
        ("a\u202eb\u2066c".encode(), "abc"),
        (b"a\x00b\x07", "ab"),
        (b"u\xcc\x88", "ü"),
    ],
)
def test_header_text_is_decoded(value: bytes, text: str) -> None:
    if "\x03" in text:
        assert "\0" not in decode_header(value)
        assert len(decode_header(value)) < 10
    else:
        assert decode_header(value) == text


def test_raw_text_may_be_in_the_charset_of_the_mail() -> None:
    assert decode_header("счёт".encode("koi8-r"), "koi8-r") == "счёт"
    assert decode_header("счёт".encode(), "koi8-r") == "счёт"


@given(st.binary(max_size=300), st.sampled_from([None, "utf-7", "utf-16", "hz", "iso-2022-jp", "zlib", "idna", "unknown-8bit", "ks_c_5601-1987", "x" * 500]))
@settings(max_examples=400, deadline=None)
def test_any_bytes_in_any_charset_are_text_for_the_database(data: bytes, label: str | None) -> None:
    for text in (decode(data, label)[0], decode_header(data, label), decode_header(b"=?" + (label or "x").encode() + b"?q?" + data + b"?=")):
        assert "\0" not in text
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("data", "label", "text"),
    [
        (b"\xff\xfeh\0i\0", "us-ascii", "hi"),
        (b"\0h\0i", "utf-16", "hi"),
        (b"h\0i\0", "utf-16", "hi"),
        (b"\x93hi\x94", "iso-8859-1", "“hi”"),
        ("größe".encode(), "iso-8859-1", "größe"),
        (b"+ADw-b+AD4-", "unicode-1-1-utf-7", "<b>"),
        ("Žluť".encode("cp1250"), '"windows-1250"', "Žluť"),
        ("שלום".encode("iso8859-8"), "ISO-8859-8-I", "שלום"),
        ("привет".encode("mac-cyrillic"), "x-mac-cyrillic", "привет"),
        ("テスト①".encode("cp932"), "shift_jis", "テスト①"),
        (b"\xe9t\xe9", "charset=us-ascii", "été"),
        ("見積".encode("euc_jp"), "x-euc-jp", "見積"),
        ("Привет".encode("koi8-r"), "koi8", "Привет"),
        ("Привет".encode("cp1251"), "win-1251", "Привет"),
        ("Привет".encode("cp1251"), "x-cp1251", "Привет"),
        ("Привет".encode("cp866"), "dos-866", "Привет"),
        ("Łódź".encode("iso8859-2"), "iso88592", "Łódź"),
        ("Łódź".encode("mac-latin2"), "x-mac-ce", "Łódź"),
        ("سلام".encode("iso8859-6"), "ISO-8859-6-I", "سلام"),
        ("안녕".encode("cp949"), "ks_c_5601-1989", "안녕"),
        ("測試".encode("big5"), "csBig5", "測試"),
        ("你好".encode("gb18030"), "csGB2312", "你好"),
        (b"hi\x80", "x-rot13", "hi€"),
    ],
)
def test_charsets_mean_what_senders_mean(data: bytes, label: str, text: str) -> None:
    assert decode(data, label)[0] == text


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"<a@b>", ("a@b",)),
        (b"<a@b> <c@d>\r\n\t<a@b>", ("a@b", "c@d")),
        (b"<[abc]@x>", ("[abc]@x",)),
        (b"<a b@\r\n c>", ("ab@c",)),
        (b"a@b", ("a@b",)),
        (b"no id", ()),
        (b"", ()),
        (b"<" * 5000, ()),
        (b"<A@b> (comment) <a@b>", ("A@b", "a@b")),
    ],
)
def test_ids_are_taken_as_they_stand(value: bytes, found: tuple[str, ...]) -> None:
    assert ids(value) == found


def test_of_many_ids_the_first_and_the_last_are_kept() -> None:
    found = ids(b" ".join(b"<%d@x>" % number for number in range(1000)))
    assert (len(found), found[0], found[19], found[20], found[-1]) == (200, "0@x", "19@x", "820@x", "999@x")


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (b'text/plain; charset="utf-8"', "charset", "utf-8"),
        (b"text/plain;charset=utf-8;format=flowed", "format", "flowed"),
        (b"a/b; name=two words.pdf; x=y", "name", "two words.pdf"),
        (b'a/b; name="never closed.pdf; x=y', "name", "never closed.pdf"),
        (b'a/b; name="first"; name="second"', "name", "first"),
        (b'a/b; name="a\\"b"', "name", 'a"b'),
        (b"a/b; name*=utf-8''%E2%82%AC%20rates.pdf", "name", "€ rates.pdf"),
        (b"a/b; name=plain.pdf; name*=utf-8''starred.pdf", "name", "starred.pdf"),
        (b"a/b; name*1*=%AC.pdf; name*0*=utf-8''%E2%82", "name", "€.pdf"),
        (b'a/b; name*0="one "; name*1="two"; name*3="never"', "name", "one two"),
        (b'a/b; name="=?utf-8?q?J=C3=B6rg?=.pdf"', "name", "Jörg.pdf"),
        (b"a/b; name=J\xf6rg.pdf", "name", "Jörg.pdf"),
        (b"a/b; x; ; =; name=n", "name", "n"),
        (b"a/b; name = spaced", "name", "spaced"),
        (b"a/b; name=offer (2).pdf; x=y", "name", "offer (2).pdf"),
        (b"a/b; name=offer (a comment)", "name", "offer"),
        (b"a/b", "name", None),
    ],
)
def test_parameters(value: bytes, name: str, text: str | None) -> None:
    assert Params(value).text(name) == text


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Temp\\offer.pdf", "offer.pdf"),
        ("C:offer.pdf", "offer.pdf"),
        ("V: offer.pdf", "V: offer.pdf"),
        (".htaccess", "htaccess"),
        ("offer\u202efdp.exe", "offerfdp.exe"),
        ("a\r\nb.txt", "ab.txt"),
        ("folder/", "folder"),
        ("...", ""),
        ("x" * 500 + ".pdf", "x" * 196 + ".pdf"),
        ("ü" * 500 + ".pdf", "ü" * 98 + ".pdf"),
    ],
)
def test_file_names_are_safe_to_save(written: str, name: str) -> None:
    assert safe_name(written) == name


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", (1997, 11, 21, 15, 55, 6)),
        ("21 Nov 97 09:55 GMT", (1997, 11, 21, 9, 55, 0)),
        ("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", (1969, 2, 14, 3, 2, 0)),
        ("Tue,  1 Jul 2003 10:52:37 +0200 (CEST)", (2003, 7, 1, 8, 52, 37)),
        ("Fri Nov 21 09:55:06 1997", (1997, 11, 21, 9, 55, 6)),
        ("2026-03-02T10:00:00+01:00", (2026, 3, 2, 9, 0, 0)),
        ("2026-03-02 10:00:00", (2026, 3, 2, 10, 0, 0)),
        ("Mon, 2 Mar 2026 10:00:00 EST", (2026, 3, 2, 15, 0, 0)),
        ("Mon, 2 Mar 2026 10:00:00 GMT+1", (2026, 3, 2, 9, 0, 0)),
        ("Mon, 2 Mar 2026 10:00:00 -0000", (2026, 3, 2, 10, 0, 0)),
        ("Mon, 2 Mar 2026 10:00:00 XYZ", (2026, 3, 2, 10, 0, 0)),
        ("Mon, 2 Mar 2026 10:00:60 +0000", (2026, 3, 2, 10, 0, 59)),
        ("Mon, 2 Mar 2026 3:04:05 PM +0000", (2026, 3, 2, 15, 4, 5)),
        ("2 Mar 126 10:00:00 +0000", (2026, 3, 2, 10, 0, 0)),
        ("Mon, 2 Mar 2026 10.05.06 +0100", (2026, 3, 2, 9, 5, 6)),
        ("Mon, 2 Mar 2026 9.05 GMT", (2026, 3, 2, 9, 5, 0)),
        ("Mon , 2 Mar 2026 10 : 05 : 06 -0800", (2026, 3, 2, 18, 5, 6)),
    ],
)
def test_dates_of_many_programs(written: str, moment: tuple[int, ...]) -> None:
    assert read_date(written) == datetime(*moment, tzinfo=UTC)
    assert read_date(written.encode()) == datetime(*moment, tzinfo=UTC)


@pytest.mark.parametrize("written", ["", "yesterday", "Mon, 32 Mar 2026 10:00:00 +0000", "Mon, 2 Mar 2026 25:00:00", "1 Jan 1 00:00:00", "31 Dec 9999 23:59:59 -1200", "0" * 999])
def test_what_is_no_date_is_none(written: str) -> None:
    found = read_date(written)
    assert found is None or found.year > 1900


@given(st.text(alphabet="0123456789:+-/,. JanFebMonTueGMTapm\t()é", max_size=60))
@settings(max_examples=400, deadline=None)
def test_no_text_breaks_the_date_reader(text: str) -> None:
    found = read_date(text)
    assert found is None or found.utcoffset() is not None


def test_fields_are_unfolded_and_end_at_the_empty_line() -> None:
    raw = b"From mbox line\r\nSubject: one\r\n two\r\nX-Y :\tz\r\n\r\nTo: body\r\n"
    assert fields(raw) == [("Subject", b"one two"), ("X-Y", b"z")]
    assert fields(b"\xef\xbb\xbfSubject: x\n\n") == [("Subject", b"x")]
    assert fields(b"Subject: x\rTo: y\r\rbody") == [("Subject", b"x"), ("To", b"y")]
    assert fields(b"Subject: x\n broken line follows\nnot a field at all\nDate: y\n\n") == [("Subject", b"x broken line follows"), ("Date", b"y")]
    assert fields(b"Subject: x\nHello Bo,\nhow are you?\n") == [("Subject", b"x")]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16le", "ucs-4", "utf-7"])
def test_raw_text_that_the_charset_of_the_body_does_not_fit_is_a_guess(charset: str) -> None:
    assert decode_header("Frösche".encode("latin-1"), charset) == "Frösche"
