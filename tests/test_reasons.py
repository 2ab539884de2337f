"""Reason codes: every one that is used is entered, and every sentence is a full one."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import core.reasons as reasons
from core.plugins import Plugins
from core.reasons import REASONS

Plugins()  # plugins enter codes of their own when they are loaded

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for folder in ("core", "plugins") for path in sorted((ROOT / folder).rglob("*.py")) if path.name != "reasons.py"]
# Calls whose first string is a code, and the place of the code among the arguments.
PLACES = {"Refused": 0, "Held": 0, "Ignored": 0, "Retry": 0, "Broken": 0, "sentence": 0, "remedy": 0, "TraceEntry": 2, "Link": 1, "Skip": 1}
# What a call may name besides codes of reasons: findings of checks are words of RFC 8601 where they carry no code.
OTHER_WORDS = {"thread-index", "contact-only"}  # a header field, a policy
WORD = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*$")


def _codes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name in PLACES and len(node.args) > PLACES[name]:
            yield from _strings(node.args[PLACES[name]])
        for keyword in node.keywords:
            if keyword.arg == "reason" and name in ("AuthResult", "Judgement", "Attribution", "Link", "Skip", "Identity", "Choice", "PlannedLink"):
                yield from _strings(keyword.value)


def _strings(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value, node.lineno
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)


def test_every_code_that_is_used_is_entered() -> None:
    used = [(code, f"{path.relative_to(ROOT)}:{line}") for path in SOURCES for code, line in _codes(ast.parse(path.read_text("utf-8")))]
    assert len({code for code, _ in used}) > 40
    assert [where for where in used if where[0] not in REASONS] == []


def test_what_looks_like_a_code_in_a_step_or_a_check_is_one() -> None:
    """Codes often pass through a function or a table: whatever begins like a family of codes and is joined by hyphens."""
    families = {code.partition("-")[0] for code in REASONS if "-" in code}
    rooms = [path for path in SOURCES if path.parent.name in ("steps", "checks", "policies") or path.name == "parse.py"]
    strange = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value}"
        for path in rooms
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORD.match(node.value) and "-" in node.value
        if node.value.partition("-")[0] in families and node.value not in REASONS and node.value not in OTHER_WORDS
    }
    assert strange == set()


def test_a_code_is_words_joined_by_hyphens() -> None:
    assert [code for code in REASONS if not WORD.match(code)] == []


@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_sentence_is_a_full_one_and_its_parameters_have_names(code: str) -> None:
    entered = REASONS[code]
    for text in filter(None, (entered.sentence, entered.remedy)):
        assert text[0].isupper() or text[0] in "{“", text
        # What is to be copied stands last, without a full stop that would be copied along.
        assert text[-1] in ".!?…" or text.endswith("}") or ": v=spf1 " in text, text
        assert "  " not in text
        for _, field, spec, conversion in string.Formatter().parse(text):
            assert field is None or field.isidentifier(), text
            assert not spec
            assert not conversion


def test_a_sentence_never_raises() -> None:
    for code in REASONS:
        assert reasons.sentence(code)
        assert reasons.sentence(code, {"address": "{nothing} {0} {"})
    assert reasons.sentence("no-such-code") == "no-such-code"
    assert reasons.remedy("no-such-code") == ""


def test_a_code_cannot_be_entered_twice() -> None:
    with pytest.raises(ValueError, match="entered twice"):
        reasons.reason("logged", "Again.")


def test_sentences_come_in_the_reader_s_language() -> None:
    assert reasons.sentence("logged", gettext=lambda text: text.upper()) == REASONS["logged"].sentence.upper()


def test_the_word_for_a_kind_is_in_the_readers_language() -> None:
    words = {"It is the only open {kind} of the thread's contacts.": "Det är den enda öppna {kind}.", "deal": "affären"}
    assert reasons.sentence("only-open-of-kind", {"kind": "deal"}, lambda text: words.get(text, text)) == "Det är den enda öppna affären."
    assert reasons.sentence("only-open-of-kind", {"kind": ["deal"]}, str) == "It is the only open ['deal'] of the thread's contacts."


def test_a_clause_inside_a_sentence_is_said_in_the_readers_language_too() -> None:
    words = {
        "The mail could not prove that it comes from {domain}: {detail}.": "Beweis für {domain} fehlt: {detail}.",
        "the SPF record of {domain} forbids the server {ip}": "SPF von {domain} verbietet {ip}",
        "it is no RSA key": "kein RSA",
    }
    params = {
        "domain": "sales.example", "detail": "the SPF record of bounce.example forbids the server 192.0.2.1",
        "detail_of": "the SPF record of {domain} forbids the server {ip}", "detail_domain": "bounce.example", "detail_ip": "192.0.2.1",
    }  # fmt: skip
    german = lambda text: words.get(text, text)  # noqa: E731
    assert reasons.sentence("auth-rejected", params, german) == "Beweis für sales.example fehlt: SPF von bounce.example verbietet 192.0.2.1."
    assert reasons.sentence("auth-rejected", params) == f"The mail could not prove that it comes from sales.example: {params['detail']}."
    assert "kein RSA" in reasons.sentence("dkim-key-wrong", {"detail": "it is no RSA key"}, german)
    # What came with a mail is text: its braces are left alone, and it is never looked up as a sentence with gaps.
    assert "{0.__class__}" in reasons.sentence("bad-case", {"detail": "{0.__class__}"}, german)
