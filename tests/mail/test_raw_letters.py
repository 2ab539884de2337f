"""Letters that stand as raw UTF-8 in a header (RFC 6532): whatever their bytes are, none is cut and none becomes another."""

from __future__ import annotations

import pytest

from core.mail import forward
from core.mail.addresses import normalise, read_list, read_mailboxes
from core.mail.commands import BadCommand, read_mail, read_xforward
from core.mail.headers import Params, clean
from core.mail.identity import read_identity
from core.mail.names import safe_name
from core.mail.parse import parse
from core.mail.received import read_hop
from core.types import Mailbox

LETTERS = [chr(code) for code in range(0x80, 0x500)] + list("漢字東京酅日本한국ไทย。　👍🎅😀🅰") + ["e\u0301", "\u2028", "\ufeff"]
# Words as people have them, whose letters hold 0x85 or 0xA0.
WORDS = ("Åsa", "Qualità", "à", "Малых", "Рита", "хор", "Natàlia Puig", "ÅÄÖ")
# Copied from a page they stand beside an address in a list; elsewhere they are part of a word that is no address.
NO_BREAK = "\u00a0"


def found(value: str) -> list[tuple[str | None, str]]:
    return [(one.name, one.address) for one in read_mailboxes(value.encode())]


def only(address: str, name: str | None = None) -> list[tuple[str | None, str]]:
    """The one mailbox, or none where the letter cannot stand in an address."""
    written = normalise(address)
    return [] if written is None else [(name, written)]


def named(name: str) -> list[tuple[str | None, str]]:
    return [(clean(name) or None, "a@x.example")]


@pytest.mark.parametrize("form", ["{}@x.example", "{}sa@x.example", "a{}b@x.example", "ab{}@x.example", "a@{}.example", "a@{}b.example", "a@b{}.example"])
def test_a_letter_anywhere_in_an_address_is_kept(form: str) -> None:
    for letter in LETTERS:
        address = form.format(letter)
        assert found(f"<{address}>") == only(address), (letter, hex(ord(letter[0])))
        assert found(f"Ann <{address}>, b@x.example") == [*only(address, "Ann"), (None, "b@x.example")], hex(ord(letter[0]))
        assert found(f"Team: {address}, b@x.example;")[-1:] == [(None, "b@x.example")]
        if letter != NO_BREAK:
            assert found(address) == only(address), (letter, hex(ord(letter[0])))


@pytest.mark.parametrize("form", ["{}@x.example", "{}sa@x.example", "ab{}@x.example", "a@{}.example", "<ab{}@x.example>", "A <a@x.example{}>", "a@x.example{}", "{}a@x.example"])
def test_the_sender_is_who_is_written_or_nobody(form: str) -> None:
    for letter in LETTERS:
        value = form.format(letter)
        sender = read_identity(f"From: {value}\r\n\r\n".encode())
        written = normalise(value.rpartition("<")[2].rstrip(">"))
        assert (sender.mailbox and sender.mailbox.address, sender.reason) == ((written, "") if written else (None, "bad-from")), hex(ord(letter[0]))


@pytest.mark.parametrize("form", ["{}", "{}nn", "A{}n", "An{}", "{} Ann", "Ann {}", "Ann {} Smith", "Ann {}{}"])
def test_a_letter_anywhere_in_a_name_is_kept(form: str) -> None:
    for letter in (*LETTERS, *WORDS):
        name = form.format(letter, letter)
        for value in (f"{name} <a@x.example>", f'"{name}" <a@x.example>', f"{name}<a@x.example>", f"a@x.example ({name})", f"({name}) a@x.example", f"\t{name}\t<a@x.example>"):
            assert found(value) == named(name), (value, hex(ord(letter[0])))
        assert found(f"{name}: a@x.example, B <b@x.example>;") == [(None, "a@x.example"), ("B", "b@x.example")]
        assert read_identity(f"From: {name} <a@x.example>\r\n\r\n".encode()).mailbox == Mailbox(clean(name) or None, "a@x.example")


def test_a_name_without_brackets_is_kept_beside_its_address() -> None:
    for letter in LETTERS:
        if clean(letter):
            assert found(f"{letter}nn {letter}n a@x.example") == named(f"{letter}nn {letter}n"), hex(ord(letter[0]))


def test_no_break_spaces_beside_an_address_are_no_part_of_it() -> None:
    assert found("a@x.example,\u00a0b@x.example\u00a0") == [(None, "a@x.example"), (None, "b@x.example")]
    assert found("Åsa\u00a0Berg\u00a0<å@x.example>") == [("Åsa\u00a0Berg", "å@x.example")]


@pytest.mark.parametrize("value", [b"\xc3 sa@x.example", b"\xa0sa@x.example", b"sa@x.example\xa0", b"\x85sa@x.example", b"<\xa0sa@x.example>", b"\x1csa@x.example"])
def test_bytes_that_are_no_letter_never_leave_the_rest_of_an_address_as_its_sender(value: bytes) -> None:
    assert read_identity(b"From: " + value + b"\r\n\r\n").mailbox is None
    assert b" " in value or not read_list(value).mailboxes


def test_a_name_in_latin_1_is_still_read() -> None:
    assert [(one.name, one.address) for one in read_mailboxes(b"Qualit\xe0\xa0caf\xe9\xa0<q@x.example>")] == [("Qualità\u00a0café", "q@x.example")]


@pytest.mark.parametrize("form", ["{}", "{}.pdf", "a{}", "a{}b.pdf", "{} b.txt", "a {} (1).pdf", "a {}"])
@pytest.mark.parametrize("field", ["attachment; filename={}", "attachment; filename= {} ; size=1", 'attachment; filename="{}"', 'attachment; x=y; filename="{}'])
def test_a_letter_anywhere_in_a_file_name_is_kept(form: str, field: str) -> None:
    for letter in (*LETTERS, *WORDS):
        name = form.format(letter)
        assert Params(field.format(name).encode()).text("filename") == clean(name), hex(ord(letter[0]))


def test_a_letter_in_the_name_of_a_parameter_makes_it_another_parameter() -> None:
    for letter in LETTERS:
        params = Params(f"attachment; {letter}filename=a; filename{letter}=b; filename=c".encode())
        assert params.text("filename") == "c", hex(ord(letter[0]))


@pytest.mark.parametrize("name", WORDS)
def test_a_mail_keeps_the_names_of_its_people_and_files(name: str) -> None:
    raw = (
        f"From: {name} <х@z9.example>\r\nTo: {name} <Åsa@x.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n"
        f"--b\r\nContent-Type: application/pdf; name={name}\r\n\r\nx\r\n--b\r\nContent-Type: a/b\r\nContent-Disposition: attachment; filename={name}.pdf\r\n\r\nx\r\n--b--\r\n"
    )
    mail = parse(raw.encode())
    assert (mail.identity.mailbox, mail.to) == (Mailbox(name, "х@z9.example"), (Mailbox(name, "Åsa@x.example"),))
    assert [one.filename for one in mail.attachments] == [safe_name(name), safe_name(f"{name}.pdf")]


@pytest.mark.parametrize("name", WORDS)
def test_an_attached_original_names_its_sender(name: str) -> None:
    inner = f"From: {name} <х@z9.example>\r\nTo: ana@sales.example\r\nSubject: {name}\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@z9.example>\r\n\r\nHello\r\n"
    outer = "From: ana@sales.example\r\nSubject: Fwd: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nFYI\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    read = forward.read(parse(f"{outer}{inner}--b--\r\n".encode()))
    assert read is not None
    assert (read.unreadable, read.sender, read.subject) == (False, Mailbox(name, "х@z9.example"), name)


def test_a_name_given_by_a_client_never_cuts_into_what_a_relay_wrote() -> None:
    for gap in ("\u00a0", "\u0085", "à", "\u2003"):
        hop = read_hop(f"from x{gap}by{gap}127.0.0.1{gap}with{gap}lmtp (rdns.example [192.0.2.1]) by mx.drop.example with ESMTP id 1".encode())
        assert (str(hop.address), hop.by, hop.local, hop.helo) == ("192.0.2.1", None, False, f"x{gap}by{gap}127.0.0.1{gap}with{gap}lmtp")
    raw = b"from x\xa0by\xa0127.0.0.1\x85with\xa0lmtp (rdns.example [192.0.2.1]) by mx.drop.example with ESMTP id 1"
    assert (str(read_hop(raw).address), read_hop(raw).by, read_hop(raw).local) == ("192.0.2.1", None, False)


@pytest.mark.parametrize("gap", [b"\xa0", b"\x85", b"\x1c"])
def test_words_of_a_command_are_parted_by_spaces_only(gap: bytes) -> None:
    with pytest.raises(BadCommand):
        read_xforward(b"HELO=x" + gap + b"ADDR=127.0.0.1")
    with pytest.raises(BadCommand):
        read_mail("FROM:<å@x.example> SMTPUTF8\u00a0SIZE=1".encode())
