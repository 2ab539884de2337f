"""The oracles over whatever hypothesis thinks of: pieces that have meaning somewhere in a mail, put together without any."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.identity import read_identity
from tests.judging import decide
from tests.mail.oracles import check_headers, check_identity, check_mail, check_stream
from tests.mailmaker import make_mail

ME, CEO = b"me@evil.example", b"ceo@victim.example"
BOUNDED = settings(max_examples=400, deadline=None)


def joined(*pieces: bytes, most: int = 14) -> st.SearchStrategy[bytes]:
    """Some of these pieces and some bytes of any kind, in any order."""
    return st.lists(st.one_of(st.sampled_from(pieces), st.binary(max_size=4)), max_size=most).map(b"".join)


senders = joined(
    ME, CEO, b"<", b">", b'"', b"(", b")", b",", b";", b":", b"@", b"\\", b" ", b"\t", b"\r\n ", b"\r", b"\n", b"\0", b"=?utf-8?q?", b"?=", b"=?utf-8?b?Y2VvQHZpY3RpbS5leGFtcGxl?=",
    b"Ceo", "ｃeo@victim.example".encode(), "\u200b".encode(), "\u202e".encode(), "é".encode(), b"xn--", b".", b"%", b"mailto:", b"@a,@b:",
)  # fmt: skip
lines = joined(b"From: ", b"From: " + ME, b"from : " + CEO, b"\r\n", b"\n", b"\r", b"\r\n ", b"\r\n\r\n", b"To: x", b"Subject: ", b"\0", b"From ", b":", b"\xef\xbb\xbf", b"Sender: " + CEO)
unstructured = joined(
    b"=?utf-8?q?", b"=?iso-2022-jp?b?", b"?=", b"=1B$B", b"=0D=0A", b"_", b"=", b"\x1b$B", b"+AD4-", b" ", b"\r\n ", b"<a@b>", b"; filename*0*=utf-8''%", b"; filename*1=", b'"', b"\\", b"; boundary=",
    b"Fri, 20 Nov 2026 ", b"10:00:00", b" +0000", b" (UTC)", b"24:60", "\u202e".encode(), b"*2*=", b"%E2%80%AE",
)  # fmt: skip
mails = joined(
    b"From: a@b.example\r\n", b"Content-Type: multipart/", b"mixed", b"alternative", b"related", b"signed", b"digest", b"; boundary=b\r\n", b"\r\n", b"\r\n\r\n", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"--b",
    b"Content-Type: text/html; charset=utf-7\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename=", b'"../x.exe"\r\n', b"Subject: Fwd: x\r\n", "Subject: 見積書\r\n".encode() * 3, b"begin 644 x\n#0V%T\n`\nend\n", b"AAAA", b"=3D=\r\n", b"<script>", b"<p onclick=x>", b"<!--",
    b"---------- Forwarded message ---------\r\nFrom: Bo <bo@c.example>\r\nSubject: y\r\n", b"> ", b"Content-ID: <c>\r\n", b"<img src=cid:c>", b"\0", most=24,
)  # fmt: skip
streams = joined(b"\r\n.\r\n", b"\r\n..\r\n", b"\n.\n", b"\r.\r", b"\r\n.\n", b".", b"\r", b"\n", b"\r\n", b"\0", b"x", b"\r\n.\r", b"QUIT\r\n")


@given(senders)
@BOUNDED
def test_any_from_value_has_one_sender_or_none(value: bytes) -> None:
    check_identity(b"From: " + value + b"\r\nTo: x@y.example\r\n\r\nhi")


@given(lines)
@BOUNDED
def test_any_header_has_one_sender_or_none(head: bytes) -> None:
    check_identity(head + b"\r\n\r\nhi")


# Quotes and comments that are closed: nothing of these can take the bracket in.
whole = st.lists(
    st.sampled_from([CEO, b'"' + CEO + b'"', b"(" + CEO + b")", b'"a, <' + CEO + b'>"', b"((<" + CEO + b">))", b'"\\" <' + CEO + b'> \\""', b"Ceo", b",", b";", b":", b"@", b" ", b".", b"=?utf-8?q?ceo=40victim.example?="]),
    max_size=6,
).map(b"".join)  # fmt: skip
behind = st.lists(st.sampled_from([CEO, b"<" + CEO + b">", b"(" + CEO + b")", b",", b'"' + CEO + b'"', b" ", b";", b">"]), max_size=4).map(b"".join)


@given(whole, behind)
@BOUNDED
def test_beside_a_bracket_nothing_else_is_the_sender(before: bytes, after: bytes) -> None:
    """Whatever stands around `<me@…>`, in quotes, comments, words or brackets: the sender is that address or nobody."""
    found = read_identity(b"From: " + before + b" <" + ME + b">" + after + b"\r\n\r\nhi").mailbox
    assert found is None or found.address.encode() == ME


@given(st.sampled_from(["ana@sales.example", "Ana <ana@SALES.example>", '"x@y.example" <ana@sales.example.>', "ana@bücher.example", "(a@b.example) ana@sales.example", "ana@[192.0.2.1]"]), st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_alignment_looks_at_the_senders_own_domain(sender: str, name: str) -> None:
    raw = make_mail(sender, headers=["X-Name: " + name.encode("unicode_escape").decode()])
    identity = read_identity(raw)
    assert identity.mailbox is not None
    assert decide(raw, {}).params["domain"] == identity.mailbox.domain.strip("[]") or decide(raw, {}).params["domain"] == identity.mailbox.domain


@given(unstructured)
@BOUNDED
def test_any_header_value_is_clean_text(data: bytes) -> None:
    check_headers(data)


@given(mails)
@BOUNDED
def test_any_pieces_are_a_mail(raw: bytes) -> None:
    check_mail(raw)


@given(streams)
@BOUNDED
def test_any_stream_has_its_one_end(data: bytes) -> None:
    check_stream(data)
