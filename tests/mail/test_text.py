"""What of a mail is shown, found and previewed as text."""

from __future__ import annotations

import pytest

from core.mail.parse import parse
from core.mail.text import index_text, shown_text, snippet, unflow, without_quotes
from core.types import Email


def mail(text: str = "", html: str = "") -> Email:
    parts = [f"--b\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n{body}\r\n" for kind, body in (("plain", text), ("html", html)) if body]
    return parse(("MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" + "".join(parts) + "--b--").encode())


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        ("> one \n> two\nthree", "> one two\nthree"),
        (">> one \n> two", ">> one \n> two"),
        (" From here \non", "From here on"),
        ("bye \n-- \nAna", "bye \n-- \nAna"),
        ("one \n\ntwo", "one \ntwo"),
        ("", ""),
    ],
)
def test_flowed_lines_are_joined(flowed: str, text: str) -> None:
    assert unflow(flowed).replace(" \n\n", " \n") == text


def test_shown_text_is_the_text_part_unless_it_says_nothing() -> None:
    assert shown_text(mail("hello", "<p>other</p>")) == "hello"
    assert shown_text(mail("", "<p>hello</p>")) == "hello"
    assert shown_text(mail(" \r\n", "<p>hello</p>")) == "hello"
    assert shown_text(mail("This message must be viewed in HTML mode.", "<p>hello</p>")) == "hello"
    assert shown_text(mail("Please write the HTML for our new page, Bo. " * 20, "<p>x</p>")).startswith("Please write")
    assert shown_text(mail()) == ""


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Hello Bo,\n\nthank you.", "Hello Bo, thank you."),
        ("> old\nnew", "new"),
        ("> only old", "> only old"),
        ("", ""),
        ("word " * 100, "word " * 26 + "word…"),
        ("x" * 500, "x" * 139 + "…"),
    ],
)
def test_a_snippet_is_one_short_line(text: str, short: str) -> None:
    assert snippet(text) == short
    assert len(snippet(text)) <= 140


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("new\n\nOn Mon, 2 Mar 2026 Bo wrote:\n> old\n> old", "new"),
        ("new\n\nAm 02.03.2026 um 10:00 schrieb Bo:\n\n> alt", "new"),
        ("Our prices:\n> 10 chairs\nsee above", "Our prices:\nsee above"),
        ("new\n-----Original Message-----\nFrom: Bo\nold", "new"),
        ("new\n________________________________\nFrom: Bo\nold", "new"),
        ("> answered inline\nyes\n> another\nno", "yes\nno"),
        ("> nothing but a quote", "> nothing but a quote"),
        ("", ""),
    ],
)
def test_quoted_history_is_left_out_of_the_index(text: str, new: str) -> None:
    assert without_quotes(text) == new


def test_the_index_is_bounded_in_bytes() -> None:
    assert len(index_text(mail("ü" * 300_000)).encode()) <= 200_000
    assert index_text(mail("", "<p>new</p><blockquote>old</blockquote>")) == "new"
