"""What the reader makes of the structures of mail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail import forward
from core.mail.parse import attachment_bytes, header_block, parse
from core.mail.text import body_hash, index_text, shown_text
from core.types import Email

TOP = "From: Ana <ana@sales.example>\r\nTo: bo@cust.example\r\nSubject: Offer\r\nMessage-ID: <1@sales.example>\r\nMIME-Version: 1.0\r\n"


def mail(content_type: str, body: str, more: str = "") -> bytes:
    return (TOP + more + f"Content-Type: {content_type}\r\n\r\n" + body.replace("\n", "\r\n")).encode()


def multi(kind: str, *parts: str, mark: str = "b", more: str = "") -> str:
    return f'Content-Type: multipart/{kind}; boundary="{mark}"{more}\n\n' + "".join(f"--{mark}\n{part}\n" for part in parts) + f"--{mark}--\n"


def read(kind: str, *parts: str, more: str = "") -> Email:
    head, _, body = multi(kind, *parts, more=more).partition("\n\n")
    return parse(mail(head.removeprefix("Content-Type: "), body))


TEXT = "Content-Type: text/plain\n\nhello"
HTML = "Content-Type: text/html\n\n<p>hello</p>"
PICTURE = "Content-Type: image/png; name=a.png\nContent-ID: <pic@x>\nContent-Transfer-Encoding: base64\n\niVBORw=="
FILE = "Content-Type: application/pdf\nContent-Disposition: attachment; filename=offer.pdf\n\nx"


def files(email: Email) -> list[tuple[str, str, bool]]:
    return [(one.filename, one.content_type, one.inline) for one in email.attachments]


def test_alternative_keeps_both_forms() -> None:
    email = read("alternative", TEXT, HTML)
    assert (email.text, email.html, email.attachments, email.defects) == ("hello", "<p>hello</p>", (), ())


def test_alternative_with_a_related_inside_marks_the_picture_that_is_shown() -> None:
    html = 'Content-Type: text/html\n\n<img src="cid:pic%40x"><p>hello</p>'
    unused = PICTURE.replace("pic@x", "other@x").replace("a.png", "b.png")
    email = read("alternative", TEXT, multi("related", html, PICTURE, unused, mark="r"))
    assert email.text == "hello"
    assert files(email) == [("a.png", "image/png", True), ("b.png", "image/png", False)]


def test_related_root_is_the_part_that_start_names() -> None:
    root = "Content-Type: text/html\nContent-ID: <root@x>\n\n<p>root</p>"
    assert read("related", PICTURE, root, more='; start="<root@x>"').html == "<p>root</p>"


def test_mixed_joins_texts_and_lists_files() -> None:
    email = read("mixed", TEXT, FILE, "Content-Type: text/plain\n\nfooter", "Content-Type: text/plain; name=notes.txt\n\nnotes")
    assert email.text == "hello\nfooter"
    assert files(email) == [("offer.pdf", "application/pdf", False), ("notes.txt", "text/plain", False)]


def test_mixed_text_and_html_lose_nothing_in_either_form() -> None:
    email = read("mixed", "Content-Type: text/plain\n\n1 < 2", "Content-Type: text/html\n\n<p>footer</p>")
    assert email.text == "1 < 2\nfooter"
    assert "1 &lt; 2" in email.html
    assert "footer" in email.html


def test_a_calendar_is_an_invitation_and_never_the_body() -> None:
    email = read("alternative", TEXT, "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR")
    assert email.text == "hello"
    assert [(one.filename, one.note) for one in email.attachments] == [("part-2.ics", "invitation")]


def test_signed_shows_its_content_and_hides_the_signature() -> None:
    email = read("signed", TEXT, "Content-Type: application/pgp-signature; name=s.asc\n\nxx")
    assert (email.text, email.attachments) == ("hello", ())


def test_encrypted_says_so_and_keeps_the_parts() -> None:
    email = read("encrypted", "Content-Type: application/pgp-encrypted\n\nVersion: 1", "Content-Type: application/octet-stream\n\nxx")
    assert "encrypted" in email.defects
    assert [one.note for one in email.attachments] == ["encrypted", "encrypted"]
    sealed = parse(mail("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", "xx"))
    assert ("encrypted" in sealed.defects, sealed.attachments[0].note) == (True, "encrypted")
    assert parse(mail("application/pkcs7-mime; smime-type=signed-data", "xx")).attachments[0].note == "signed"


def test_a_report_is_a_bounce_and_its_status_a_file() -> None:
    email = read("report", TEXT, "Content-Type: message/delivery-status\n\nAction: failed", "Content-Type: text/rfc822-headers\n\nFrom: a@b", more="; report-type=delivery-status")
    assert (email.text, email.machine) == ("hello", "bounce")
    assert [kind for _, kind, _ in files(email)] == ["message/delivery-status", "text/rfc822-headers"]


REPORT = multi(
    "report", TEXT, "Content-Type: message/delivery-status\n\nAction: failed", "Content-Type: message/rfc822\n\nFrom: bo@cust.example\n\nback",
    mark="r", more="; report-type=delivery-status",
)  # fmt: skip
RECEIPT = multi("report", TEXT, mark="r", more="; report-type=disposition-notification")
FOOTER = "Content-Type: text/plain\n\n-- \nChecked on its way in"
SEAL = "Content-Type: application/pkcs7-signature; name=smime.p7s\n\nxx"
NOTHING = "Content-Type: text/plain\n\n \n"
NO_WORD = "Content-Type: text/html\n\n<div><br>&nbsp;</div>"


@pytest.mark.parametrize(
    ("kind", "parts", "machine"),
    [
        ("mixed", [REPORT], "bounce"),
        ("mixed", [REPORT, FOOTER], "bounce"),
        ("mixed", [RECEIPT, FOOTER], "report"),
        ("mixed", [NOTHING, REPORT], "bounce"),
        ("mixed", [NO_WORD, REPORT, FOOTER], "bounce"),
        ("signed", [REPORT, SEAL], "bounce"),
        ("mixed", [multi("mixed", REPORT, FOOTER, mark="m"), FOOTER], "bounce"),
        ("signed", [multi("mixed", REPORT, FOOTER, mark="m"), SEAL], "bounce"),
        ("mixed", [multi("mixed", multi("mixed", REPORT, mark="n"), mark="m")], ""),  # nobody wraps thrice
    ],
)
def test_a_report_that_was_wrapped_on_its_way_is_one(kind: str, parts: list[str], machine: str) -> None:
    email = read(kind, *parts)
    assert email.machine == machine
    if machine:
        assert forward.read(email) is None


@pytest.mark.parametrize(
    "parts",
    [
        [TEXT, REPORT],  # a person writes above what is passed on
        [NOTHING, TEXT, REPORT],
        [HTML, REPORT, FOOTER],
        [f"Content-Type: message/rfc822\n\nFrom: MAILER-DAEMON@x.example\n{REPORT}"],
        [TEXT, f"Content-Type: message/rfc822\n\nFrom: MAILER-DAEMON@x.example\n{REPORT}"],
    ],
)
def test_a_report_that_a_person_passes_on_is_a_forward(parts: list[str]) -> None:
    email = read("mixed", *parts)
    assert email.machine == ""
    assert forward.read(email) is not None


def test_an_attached_mail_is_an_original_byte_for_byte() -> None:
    inner = "From: Bo <bo@cust.example>\nSubject: Question\nMessage-ID: <q@cust.example>\n\nHow much?"
    raw = mail("multipart/mixed; boundary=b", f"--b\n{TEXT}\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n")
    email = parse(raw)
    assert [one.identity.mailbox.address for one in email.originals if one.identity.mailbox] == ["bo@cust.example"]
    assert (email.originals[0].text, email.originals[0].message_id) == ("How much?", "q@cust.example")
    assert email.attachments[0].filename == "Question.eml"
    assert attachment_bytes(raw, email.attachments[0].part) == inner.replace("\n", "\r\n").encode()


def test_an_encoded_attached_mail_and_an_eml_file_are_originals_too() -> None:
    import base64

    inner = base64.b64encode(b"From: bo@cust.example\r\nSubject: Question\r\n\r\nHow much?").decode()
    for head in ("message/rfc822", "application/octet-stream; name=question.eml"):
        email = read("mixed", TEXT, f"Content-Type: {head}\nContent-Transfer-Encoding: base64\n\n{inner}")
        assert [one.subject for one in email.originals] == ["Question"]


def test_a_digest_holds_mails() -> None:
    assert [one.subject for one in read("digest", "\nSubject: one\n\nx", "\nSubject: two\n\ny").originals] == ["one", "two"]


def test_uuencoded_files_leave_the_text() -> None:
    body = "see below\nbegin 644 cat.txt\n#0V%T\n`\nend\nbye"
    raw = mail("text/plain", body)
    email = parse(raw)
    assert email.text == "see below\nbye"
    assert [(one.filename, one.size) for one in email.attachments] == [("cat.txt", 3)]
    assert attachment_bytes(raw, email.attachments[0].part) == b"Cat"
    for broken in ("begin 644 cat.txt\n#0V%T\n`\n", "begin 644 cat.txt\nnot uuencoded at all!\nend\n", "I begin 644 x\nend\n"):
        assert parse(mail("text/plain", broken)).text == broken


def test_every_listed_attachment_can_be_fetched() -> None:
    head, _, body = multi("mixed", TEXT, FILE, multi("related", HTML, PICTURE, mark="r")).partition("\n\n")
    raw = mail(head.removeprefix("Content-Type: "), body)
    for one in parse(raw).attachments:
        data = attachment_bytes(raw, one.part)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one.size, one.sha256)
    for wrong in (99, -1, 10_000, 1 << 40):
        with pytest.raises(KeyError):
            attachment_bytes(raw, wrong)


def test_more_than_500_attachments_are_cut_and_counted() -> None:
    email = read("mixed", TEXT, *[FILE] * 600)
    assert len(email.attachments) == 500
    assert "attachments-cut:100" in email.defects


def test_a_body_that_is_only_a_named_text_is_shown_and_listed() -> None:
    email = read("mixed", "Content-Type: text/plain; name=letter.txt\nContent-Disposition: inline\n\nDear Bo")
    assert (email.text, files(email)) == ("Dear Bo", [("letter.txt", "text/plain", False)])


def test_a_multipart_without_its_boundary_is_shown_as_text() -> None:
    email = parse(mail("multipart/mixed; boundary=nowhere", "some text"))
    assert (email.text, email.defects) == ("some text", ("boundary-missing",))
    assert parse(mail("multipart/mixed", "some text")).text == "some text"


def test_an_unclosed_multipart_keeps_its_last_part() -> None:
    assert parse(mail("multipart/mixed; boundary=b", f"--b\n{TEXT}")).text == "hello"


def test_inner_boundaries_that_begin_like_the_outer_one() -> None:
    email = parse(mail("multipart/mixed; boundary=b", f"--b\n{multi('alternative', TEXT, HTML, mark='bb')}\n--b\n{FILE}\n--b--\n"))
    assert (email.text, len(email.attachments)) == ("hello", 1)


def test_unknown_types_and_encodings_are_kept_as_they_stand() -> None:
    email = parse(mail("text/plain", "caf=C3=A9", "Content-Transfer-Encoding: x-mystery\r\n"))
    assert (email.text, email.defects) == ("caf=C3=A9", ("bad-encoding",))
    assert files(parse(mail("signature/plain", "x"))) == [("part-1.bin", "signature/plain", False)]
    assert parse(mail("text/plain", "====!!!", "Content-Transfer-Encoding: base64\r\n")).text == "====!!!"
    assert parse(mail("nonsense", "x")).text == "x"


def test_html_in_an_undeclared_charset_follows_its_meta() -> None:
    raw = mail("text/html", '<meta charset="koi8-r"><p>').replace(b"<p>", "<p>счёт".encode("koi8-r"))
    assert "счёт" in parse(raw).html


def test_flowed_is_noted_and_lines_are_kept() -> None:
    email = parse(mail("text/plain; format=flowed; delsp=yes", "one \ntwo\n"))
    assert (email.flowed, email.text, shown_text(email)) == ("delsp", "one \ntwo\n", "onetwo\n")


def test_ids_references_and_thread_index() -> None:
    more = "In-Reply-To: <p@x>\r\nReferences: <g@x> <p@x>\r\nX-Google-Original-Message-ID: <o@x>\r\nThread-Index: AdZ0000000000000000000000000000000=\r\n"
    email = parse(mail("text/plain", "x", more))
    assert (email.message_id, email.ids, email.references) == ("1@sales.example", ("1@sales.example", "o@x"), ("g@x", "p@x"))
    assert email.thread_index is not None
    assert len(email.thread_index) == 44


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Auto-Submitted: auto-replied", "auto-reply"),
        ("Auto-Submitted: auto-generated; x=y", "auto-generated"),
        ("Auto-Submitted: no", ""),
        ("X-Autoreply: yes", "auto-reply"),
        ("Precedence: bulk", "bulk"),
        ("Precedence: list", "list"),
        ("Precedence: auto_reply", "auto-reply"),
        ("List-Id: <l.x.example>", "list"),
        ("List-Unsubscribe: <mailto:u@x.example>", "list"),
        ("X-Failed-Recipients: a@x.example", "bounce"),
        ("X-Auto-Response-Suppress: All", ""),
        ("Return-Path: <>", ""),
        ("X-Other: y", ""),
    ],
)
def test_machines_are_told_by_headers(header: str, kind: str) -> None:
    assert parse(mail("text/plain", "x", header + "\r\n")).machine == kind


def test_a_mailer_daemon_with_a_null_path_is_a_bounce_and_our_own_mark_a_loop() -> None:
    assert parse(b"Return-Path: <>\r\nFrom: MAILER-DAEMON@x.example\r\n\r\nx").machine == "bounce"
    assert parse(mail("text/plain", "x", "X-Loop: dropcopy crm.example\r\n")).loop
    assert not parse(mail("text/plain", "x", "X-Loop: other\r\n")).loop


def test_the_same_letter_has_one_hash_however_it_was_carried() -> None:
    import base64
    import quopri

    words = "Grüße  \nan alle\n\n"
    carried = [
        mail("text/plain; charset=utf-8", words),
        mail("text/plain; charset=utf-8", words).replace(b"\r\n", b"\n"),
        mail("text/plain; charset=utf-8", base64.encodebytes(words.encode()).decode(), "Content-Transfer-Encoding: base64\r\n"),
        mail("text/plain; charset=iso-8859-1", quopri.encodestring(words.encode("latin-1")).decode(), "Content-Transfer-Encoding: quoted-printable\r\n"),
        mail("text/plain; charset=utf-8", words.replace("  \n", "\n").rstrip()),
    ]
    assert len({body_hash(parse(raw)) for raw in carried}) == 1
    assert body_hash(parse(mail("text/plain", "other"))) != body_hash(parse(carried[0]))
    assert body_hash(read("mixed", TEXT, FILE)) != body_hash(read("mixed", TEXT))
    assert body_hash(parse(mail("text/plain", "ab"))) != body_hash(parse(mail("text/html", "ab")))


def test_the_header_block_is_as_it_stands() -> None:
    assert header_block(b"From x\r\nA: b\r\n c\r\n\r\nbody") == b"A: b\r\n c\r\n"


def texts_in(value: object) -> Iterator[str]:
    """Every string anywhere inside a parsed mail."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from texts_in(pair)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from texts_in(one)


def everything(email: Email) -> str:
    return "\n".join([*texts_in(asdict(email)), index_text(email), shown_text(email), body_hash(email)])


lines = st.sampled_from(
    [b"From: a@b.example", b"Subject: =?utf-8?q?x", b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: message/rfc822", b"--b", b"--b--", b"--bb", b"", b" folded"]
    + [b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"Content-Type: text/html; charset=utf-7", b"begin 644 x", b"end", b"\0", b"<div><p>", b"caf\xe9"]
    + [b"Content-Type: multipart/alternative; boundary=bb", b"Content-Disposition: attachment; filename*0*=utf-8''%00", b"=ED=A0=80", b"Date: x", b"To: (((", b"References: <a@b> <c"]
)
structured = st.tuples(st.lists(lines, max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"])).map(lambda pair: pair[1].join(pair[0]))


@given(st.one_of(st.binary(max_size=600), structured))
@settings(max_examples=600, deadline=None)
def test_any_bytes_are_a_mail_for_the_database(raw: bytes) -> None:
    email = parse(raw)
    text = everything(email)
    assert "\0" not in text
    text.encode("utf-8")  # a lone surrogate would raise
    for one in email.attachments:
        assert hashlib.sha256(attachment_bytes(raw, one.part)).hexdigest() == one.sha256


@pytest.mark.parametrize("charset", ["", "; charset=utf-8"])
def test_a_text_that_is_cut_is_read_as_one_that_is_not(charset: str) -> None:
    line = "€" * 30 + "x\n"  # 92 bytes: the limit falls into a letter
    raw = f"From: a@b.example\nContent-Type: text/plain{charset}\n\n".encode() + line.encode() * 100_000
    email = parse(raw)
    assert email.text.startswith(line * 10_000)
    assert "\ufffd" not in email.text
    assert email.defects == ("text-cut",)
