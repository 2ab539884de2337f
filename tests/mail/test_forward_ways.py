"""What mail programs do to a forwarded block on its way: whole mails, wrapped, flowed, glued and starred, with people of every kind."""

from __future__ import annotations

import datetime as dt
import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail import forward
from core.mail.forward_dates import read_block_date
from core.mail.parse import parse
from core.types import Forward, Mailbox
from tests.mail.forwards_made import Original, Words, email, shown, text_forward, word_sets

WORDS = list(word_sets())
LINED = [words for words in WORDS if words.client != "yahoo" and all(label[-1].isalpha() for label in words.labels.values())]
PEOPLE = [
    Mailbox("Ana Müller-Costa", "ana.costa@customer.example"),
    Mailbox("O'Neill, Séan (Sales)", "sean.oneill@initech.example"),
    Mailbox("Jean-Luc: Achats", "jl@achats.example"),
    Mailbox("Date Aan To", "to.from@da.example"),
    Mailbox("Von Trapp", "von@an.example"),
    Mailbox("Peter van den Berg-Jansen van Rensburg tot Oudewater", "peter.van.den.berg-jansen@a-very-long-company-name.example"),
    Mailbox("山田 太郎", "yamada@nihon.example"),
    Mailbox("דוד כהן", "david@hevra.example"),
    Mailbox("محمد علي", "m.ali@sharika.example"),
    Mailbox("Ana 🎉 Pérez", "ana+crm@cliente.example"),
    Mailbox("Support [ACME]", "support@acme.example"),
    Mailbox(None, "plain@customer.example"),
]
SUBJECTS = [
    "Quote for 40 seats",
    "Re: Re: onboarding call",
    "FW: Contract v3 – comments?",
    "From: our side",
    "Re: *urgent* _now_",
    "Very long subject that goes on and on about the planning, the renewal of the contract, and the to-do list for everybody who is in it",
]


def wrapped(width: int, *, marked: bool, lost: bool = False) -> Callable[[list[str]], list[str]]:
    """Wrap at spaces, as mail programs do; `marked`: quoted first, and `lost`: the lines that come of it have no quote mark."""

    def way(lines: list[str]) -> list[str]:
        out = []
        for line in lines:
            mark = "> " if marked or line.startswith(">") else ""
            pieces = textwrap.wrap(line.removeprefix("> "), width, break_long_words=False, break_on_hyphens=False) or [""]
            out += [mark + pieces[0], *(("" if lost else mark) + piece for piece in pieces[1:])]
        return out

    return way


def starred(opening: str, closing: str) -> Callable[[list[str]], list[str]]:
    def star(line: str) -> str:
        mark = "> " if line.startswith("> ") else ""
        parts = re.split(r":[ \t]", line.removeprefix(mark), maxsplit=1)
        return f"{mark}{opening}{parts[0]}{closing}{parts[1]}" if len(parts) == 2 else line

    return lambda lines: [star(line) for line in lines]


def flowed(text: str) -> str:
    """RFC 3676 4.2: a soft break is a space at the end of the line."""
    out = []
    for line in text.split("\n"):
        pieces = textwrap.wrap(line, 70, break_long_words=False, break_on_hyphens=False, drop_whitespace=True) or [""]
        out += [*(piece + " " for piece in pieces[:-1]), pieces[-1]]
    return "\n".join(out)


WAYS: dict[str, Callable[[list[str]], list[str]]] = {
    "as it is": lambda lines: lines,
    "wrapped at 72": wrapped(72, marked=False),
    "quoted and wrapped at 60": wrapped(60, marked=True),
    "quoted and wrapped, marks lost": wrapped(72, marked=True, lost=True),
    "indented with quote marks": lambda lines: [f"    > {line}" for line in lines],
    "quoted twice": lambda lines: [f">> {line}" for line in lines],
    "isolated": lambda lines: [f"\u2067{line}\u2069" if line else line for line in lines],
    "zero-width spaces": lambda lines: [f"\u200b{line}\u200b" if line else line for line in lines],
}
BY_LINE = {
    "a star around the label": starred("*", ":* "),
    "stars around the label, not the colon": starred("**", "**: "),
    "underscored": starred("_", ":_ "),
    "a blank line below every line": lambda lines: [piece for line in lines for piece in (line, "")],
}


def mail(text: str, subject: str, **parameters: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Bo Seller <bo@seller.example>"
    message["To"] = "box@drop.example"
    message["Subject"] = f"Fwd: {subject}"
    message["Message-ID"] = "<forward@seller.example>"
    message.set_content(text, cte="quoted-printable")
    for name, value in parameters.items():
        message.set_param(name, value)
    return message.as_bytes()


def answer(found: Forward | None) -> tuple[object, ...]:
    if found is None or found.unreadable:
        return ("nobody",)
    people = [person.address for person in found.to], [person.address for person in found.cc]
    return found.sender, (found.subject or "").split(), *people


def wanted(original: Original) -> tuple[object, ...]:
    return original.sender, original.subject.split(), [person.address for person in original.to], [person.address for person in original.cc]


originals = st.builds(
    lambda sender, to, cc, subject: Original(sender, (to,), tuple(person for person in cc if person != to), subject),
    st.sampled_from(PEOPLE),
    st.sampled_from(PEOPLE),
    st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=4, unique=True).filter(lambda people: len(people) > 1),
    st.sampled_from(SUBJECTS),
)


@settings(max_examples=400, deadline=None)
@given(words=st.sampled_from(WORDS), original=originals, way=st.sampled_from(list(WAYS)))
def test_a_block_comes_through_whole_on_every_way(words: Words, original: Original, way: str) -> None:
    if words.client == "yahoo" and len(original.subject) > 60:
        original = replace(original, subject="Quote")
    text = "Please log.\n\n" + "\n".join(WAYS[way](text_forward(words, original).split("\n")))
    assert answer(forward.read(parse(mail(text, original.subject)))) == wanted(original)


@settings(max_examples=200, deadline=None)
@given(words=st.sampled_from(LINED), original=originals, way=st.sampled_from(list(BY_LINE)))
def test_stars_and_blank_lines_stay_out_of_the_values(words: Words, original: Original, way: str) -> None:
    block = text_forward(words, original).split("\n")
    end = next(at for at, line in enumerate(block) if "Hello" in line)
    text = "\n".join([*BY_LINE[way](block[:end]), *block[end:]])
    assert answer(forward.read(parse(mail(text, original.subject)))) == wanted(original)


@settings(max_examples=150, deadline=None)
@given(words=st.sampled_from(WORDS), original=originals)
def test_flowed_text_reads_as_if_it_were_not(words: Words, original: Original) -> None:
    raw = mail(flowed(text_forward(words, original)), original.subject, format="flowed")
    assert answer(forward.read(parse(raw))) == wanted(original)


def test_a_break_that_delsp_put_into_a_word_leaves_no_space() -> None:
    text = "---------- Forwarded message ---------\nFrom: Ana <ana.costa@cust \nomer.example>\nSubject: 見積書の件につい \nて\nTo: <bo@seller.example>\n\nHello"
    found = forward.read(email(text, subject="Fwd: x", flowed="delsp"))
    assert found is not None
    assert (found.sender, found.subject) == (Mailbox("Ana", "ana.costa@customer.example"), "見積書の件について")


# --- the whole block in one line ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "Begin forwarded message: From: {from} Subject: Quote Date: 3 June 2024 at 09:26:50 GMT+2 To: {to}",
        "----- Forwarded Message ----- From: {from}To: {to}Sent: Monday, June 3, 2024, 9:26 AMSubject: Quote",
        "---------- Forwarded message ---------- From: {from}Date: June 3, 2024 9:26 AMTo: {to}Subject: Quote",
        "----- Пересылаемое сообщение ----- От: {from}Кому: {to}Отправлено: понедельник, 3 июня 2024\xa0г., 09:26:50 GMT+2Тема: Quote",
        "----- Mensagem encaminhada ----- De: {from}Para: {to}Enviado: segunda-feira, 3 de junho de 2024 09:26:50 GMT+2Assunto Quote",
    ],
)
@pytest.mark.parametrize("sender", PEOPLE[:5], ids=lambda person: person.address)
def test_a_block_in_one_line_is_cut_at_its_labels_and_nowhere_else(line: str, sender: Mailbox) -> None:
    text = line.replace("{from}", shown(sender)).replace("{to}", shown(PEOPLE[3])) + "\nHello"
    assert answer(forward.read(email(text, subject="Fwd: Quote"))) == (sender, ["Quote"], [PEOPLE[3].address], [])


def test_a_block_in_one_line_with_an_empty_subject_ends_there() -> None:
    text = "----- Messaggio inoltrato ----- Da: Ana <ana@customer.example>A: Bo <bo@seller.example>Inviato: giovedì 7 marzo 2019 13:50 GMT+1Oggetto: \nHello,\n\nAna"
    found = forward.read(email(text, subject="Fwd: "))
    assert answer(found) == (Mailbox("Ana", "ana@customer.example"), [], ["bo@seller.example"], [])
    assert found is not None
    assert found.body == "Hello,\n\nAna"


def test_many_recipients_in_one_line_are_all_read() -> None:
    many = [f"Person {number} <p{number}@customer.example>" for number in range(90)]
    text = f"----- Forwarded Message ----- From: Ana <ana@customer.example>To: {'; '.join(many)}Sent: Monday, June 3, 2024, 9:26 AMSubject: Quote\nHello"
    found = forward.read(email(text, subject="Fwd: Quote"))
    assert found is not None
    assert (len(found.to), found.subject) == (90, "Quote")


def test_an_invisible_character_inside_an_address_names_nobody_in_one_line_either() -> None:
    text = "----- Forwarded Message ----- From: Ana <ana@cust\u200bomer.example>To: bo@seller.exampleSent: June 3, 2024Subject: Quote\nHello"
    found = forward.read(email(text, subject="Fwd: Quote"))
    assert found is not None
    assert found.unreadable


@pytest.mark.parametrize("body", ["Contact me at other@elsewhere.example or\nCc: boss@elsewhere.example", "Line one\nSent: yesterday"])
def test_a_body_right_below_the_block_is_no_part_of_it(body: str) -> None:
    for block in (
        "From: Ana <ana@customer.example>\nSent: June 3, 2024\nTo: Bo <bo@seller.example>\nSubject: Quote",
        "From: Ana <ana@customer.example>\nDate: June 3, 2024\nSubject: Quote\nTo: Bo <bo@seller.example>",
    ):
        found = forward.read(email(f"---------- Forwarded message ---------\n{block}\n{body}", subject="Fwd: Quote"))
        assert answer(found) == (Mailbox("Ana", "ana@customer.example"), ["Quote"], ["bo@seller.example"], [])


@pytest.mark.parametrize("kind", ["message/rfc822", "application/octet-stream", "text/plain"])
def test_an_original_attached_as_an_eml_file_is_read_whatever_its_type_is_called(kind: str) -> None:
    original = b"From: Ana <ana@customer.example>\r\nTo: bo@seller.example\r\nSubject: Quote\r\nMessage-ID: <o@customer.example>\r\n\r\nHello"
    head = b'From: Bo <bo@seller.example>\r\nSubject: Fwd: Quote\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    note = b"--b\r\nContent-Type: text/plain\r\n\r\nPlease log.\r\n"
    attached = b'--b\r\nContent-Type: ' + kind.encode() + b'; name="Quote.eml"\r\nContent-Disposition: attachment; filename="Quote.eml"\r\n\r\n'
    found = forward.read(parse(head + note + attached + original + b"\r\n--b--\r\n"))
    assert found is not None
    assert (found.sender, found.evidence, found.note) == (Mailbox("Ana", "ana@customer.example"), "attachment", "Please log.")


# --- half a block above a whole one --------------------------------------------------------------------------------------

HALF = "From: Eve <eve@partner.example>\nSent: Monday, June 3, 2024 9:00 AM\nSubject: {}\n\nsee below\n\n"
BELOW = "From: Ana <ana@customer.example>\nDate: Mon, Jun 3, 2024 at 9:00 AM\nSubject: {}\nTo: Bo <bo@seller.example>\n\nHello"
SEPARATED = "---------- Forwarded message ---------\n" + BELOW


@pytest.mark.parametrize(
    ("half", "whole", "below", "who"),
    [
        ("Quote", "Older things", SEPARATED, "eve@partner.example"),  # sent without To: the forwarded mail, which forwards another
        ("RE: Quote", "Quote", SEPARATED, None),  # Outlook makes "FW: Quote" of both: nobody can tell
        ("x", "y", SEPARATED, None),
        ("what she wrote", "Quote", SEPARATED, "ana@customer.example"),  # words of a note
        ("what she wrote", "RE: Quote", BELOW, "ana@customer.example"),
        ("Quote", "Quote", BELOW, "eve@partner.example"),  # the older mail of the same conversation
    ],
)
@pytest.mark.parametrize("prefix", ["FW: ", "Fwd: RE: "])
def test_of_half_a_block_and_a_whole_one_the_subject_tells_which_was_forwarded(half: str, whole: str, below: str, who: str | None, prefix: str) -> None:
    found = forward.read(email(HALF.format(half) + below.format(whole), subject=f"{prefix}Quote"))
    assert found is not None
    assert (found.sender.address if found.sender else None) == who


@pytest.mark.parametrize("tag", ["[EXTERNAL] ", "{EXT} ", "(External) ", "[ext]: ", "EXTERNAL: ", "*** SPAM *** ", "[a] [b] "])
def test_what_a_gateway_puts_before_the_prefix_hides_neither_a_reply_nor_a_forward(tag: str) -> None:
    text = SEPARATED.format("Quote")
    assert forward.read(email(text, subject=f"{tag}Re: Quote")) is None
    assert forward.read(email("see below", subject=f"{tag}Fwd: Quote")) is not None
    assert answer(forward.read(email(text, subject=f"{tag}Fwd: Quote")))[0] == Mailbox("Ana", "ana@customer.example")


# --- dates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "language", "day"),
    [
        ("الأربعاء، 11 ديسمبر 2019 3:40 م", "ar", dt.datetime(2019, 12, 11, 15, 40)),
        ("13‏/04‏/2025، 5:46:00 م", "ar", dt.datetime(2025, 4, 13, 17, 46)),
        ("2023(e)ko otsailaren 5(a), igandea 13:52", "eu", dt.datetime(2023, 2, 5, 13, 52)),
        ("2019 оны арван хоёрдугаар сарын 12, пүрэв гараг 16:39", "mn", dt.datetime(2019, 12, 12, 16, 39)),
        ("3 Awst 2024 18:16:00", "cy", dt.datetime(2024, 8, 3, 18, 16)),
        ("mardi 27 juin 2023 08:14", "es", dt.datetime(2023, 6, 27, 8, 14)),
        ("Fri, 3 Mar 2023 05:44:00 +0200", "fi", dt.datetime(2023, 3, 3, 5, 44, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
    ],
)
def test_the_words_of_a_date_are_read_in_its_language(written: str, language: str, day: dt.datetime) -> None:
    assert read_block_date(written, (language,)) == day
