"""Address lists as people and programs write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.addresses import FREE_MAIL, is_free_mail, is_role, normalise, read_mailboxes, without_plus_tag


def names(value: bytes) -> list[tuple[str | None, str]]:
    return [(one.name, one.address) for one in read_mailboxes(value)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@x.example, B <b@x.example>", [(None, "a@x.example"), ("B", "b@x.example")]),
        (b'"Smith, Ann" <a@x.example>', [("Smith, Ann", "a@x.example")]),
        (b"Smith=?utf-8?q?=2C?= Ann <a@x.example>", [("Smith, Ann", "a@x.example")]),
        (b'"=?utf-8?q?J=C3=B6rg?=" <a@x.example>', [("Jörg", "a@x.example")]),
        (b'"An \\"A\\" B" <a@x.example>', [('An "A" B', "a@x.example")]),
        (b"Friends: a@x.example, b@x.example;, c@x.example", [(None, "a@x.example"), (None, "b@x.example"), (None, "c@x.example")]),
        (b"undisclosed-recipients:;", []),
        (b"a@x.example; b@x.example", [(None, "a@x.example"), (None, "b@x.example")]),
        (b",, a@x.example,,", [(None, "a@x.example")]),
        (b"Ann a@x.example", [("Ann", "a@x.example")]),
        (b"a@x.example b@x.example", [(None, "a@x.example"), (None, "b@x.example")]),
        (b"a@x.example (Ann (home))", [("Ann (home)", "a@x.example")]),
        (b"<mailto:a@x.example>", [(None, "a@x.example")]),
        (b"Ann <a@x.example", [("Ann", "a@x.example")]),
        ("Jörg <jörg@bücher.example>".encode(), [("Jörg", "jörg@xn--bcher-kva.example")]),
        (b"J\xf6rg <j@x.example>", [("Jörg", "j@x.example")]),
        (b'"two words"@x.example', [(None, '"two words"@x.example')]),
        (b"Ann [Sales] <a@x.example>", [("Ann [Sales]", "a@x.example")]),
        (b"nobody, a@x.example", [(None, "a@x.example")]),
        (b"", []),
    ],
)
def test_a_list_gives_its_mailboxes(value: bytes, expected: list[tuple[str | None, str]]) -> None:
    assert names(value) == expected


def test_names_lose_controls_and_direction_marks() -> None:
    assert names("\"A\u202eB\x07\u2066\" <a@x.example>".encode()) == [("AB", "a@x.example")]


def test_at_most_500_are_read() -> None:
    assert len(read_mailboxes(b", ".join(b"a%d@x.example" % number for number in range(2000)))) == 500
    assert len(read_mailboxes(b" ".join(b"a%d@x.example" % number for number in range(2000)))) <= 500


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Ana@Sales.Example", "Ana@sales.example"),
        ("ana@sales.example.", "ana@sales.example"),
        ("ana@sales.example..", None),
        ("ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("ana@XN--BCHER-KVA.example", "ana@xn--bcher-kva.example"),
        ("ana", None),
        ("@x.example", None),
        ("ana@", None),
        ("a b@x.example", None),
        ("ana@x..example", None),
        ("ana@-x.example", None),
        ("a..b@x.example", "a..b@x.example"),
        ("ana@[192.0.2.1]", "ana@[192.0.2.1]"),
        ("ana@localhost", "ana@localhost"),
        ("a" * 400 + "@x.example", None),
        ("ana@" + "x" * 64 + ".example", None),
        ("ana@x\u3002example", None),
    ],
)
def test_one_written_form(written: str, expected: str | None) -> None:
    assert normalise(written) == expected


@given(st.text(max_size=60))
@settings(max_examples=400, deadline=None)
def test_normalising_twice_changes_nothing_and_lower_case_never_merges_alphabets(text: str) -> None:
    for candidate in (text, f"{text}@x.example", f"ana@{text}.example"):
        once = normalise(candidate)
        if once is not None:
            assert normalise(once) == once
            assert once.lower().isascii() == once.isascii()


@given(st.binary(max_size=400))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_list(value: bytes) -> None:
    for one in read_mailboxes(value):
        assert normalise(one.address) == one.address
        assert "\0" not in (one.name or "")
        (one.name or "").encode()


def test_tags_roles_and_free_mail() -> None:
    assert without_plus_tag("ana+crm@x.example") == "ana@x.example"
    assert without_plus_tag("+crm@x.example") == "+crm@x.example"
    assert without_plus_tag("ana@x.example") == "ana@x.example"
    for role in ("info", "No-Reply", "noreply", "donotreply", "bounces+12-ab", "sales-request", "MAILER-DAEMON", "no-reply-7f3", "info+x"):
        assert is_role(f"{role}@x.example"), role
    for person in ("ana", "ana.info", "informatik", "noel", "salesman", "nora.reply"):
        assert not is_role(f"{person}@x.example"), person
    assert len(FREE_MAIL) > 300
    assert is_free_mail("GMAIL.com.")
    assert not is_free_mail("cust.example")
