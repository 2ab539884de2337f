"""Whose mail it is: the rules of F18 to F23 in their order, and nobody when none decides."""

from __future__ import annotations

import itertools

import pytest

from core import reasons
from core.steps.attribute import attribute, entry
from core.types import SenderFact
from tests.steps.world import ANA, day


def fact(rep: int, kind: str, since: float | None = 0, suspended: bool = False) -> SenderFact:
    return SenderFact(rep, f"rep{rep}@sales.example", kind, None if since is None else day(since), suspended)


CASES = {
    "nobody has the address": ([], None, "unattributed", "unknown-sender"),
    "one rep connected it": ([fact(1, "connected")], 1, "connected-address", ""),
    "a confirmed alternative ranks as connected": ([fact(1, "alternative")], 1, "connected-address", ""),
    "connected comes before the account address": ([fact(2, "account"), fact(1, "connected")], 1, "connected-address", ""),
    "connected comes before an alias": ([fact(2, "alias"), fact(1, "alternative")], 1, "connected-address", ""),
    "one rep has it as account address": ([fact(1, "account")], 1, "account-address", ""),
    "the account address comes before an alias": ([fact(2, "alias"), fact(1, "account")], 1, "account-address", ""),
    "one rep has it as alias": ([fact(1, "alias")], 1, "alias", ""),
    "several connected, one account: the account decides": (
        [fact(1, "connected", -9), fact(2, "connected", -5), fact(3, "account")],
        3,
        "account-address",
        "",
    ),
    "several connected, one alias: the alias decides": (
        [fact(1, "connected", -9), fact(2, "alternative", -5), fact(3, "alias")],
        3,
        "alias",
        "",
    ),
    "several connected: who did so longest ago": (
        [fact(1, "connected", -2), fact(2, "connected", -5), fact(3, "alternative", -3)],
        2,
        "longest-connected",
        "",
    ),
    "a known day comes before an unknown one": ([fact(1, "connected", None), fact(2, "connected", -1)], 2, "longest-connected", ""),
    "several connected at the same moment": (
        [fact(1, "connected"), fact(2, "connected")],
        None,
        "unattributed",
        "ambiguous-sender",
    ),
    "nobody knows who connected first": (
        [fact(1, "connected", None), fact(2, "connected", None)],
        None,
        "unattributed",
        "ambiguous-sender",
    ),
    "several accounts and nobody connected": ([fact(1, "account"), fact(2, "account")], None, "unattributed", "ambiguous-sender"),
    "several aliases": ([fact(1, "alias"), fact(2, "alias")], None, "unattributed", "ambiguous-sender"),
    "several accounts, one alias": ([fact(1, "account"), fact(2, "account"), fact(3, "alias")], 3, "alias", ""),
    "one rep in two ways is still one rep": ([fact(1, "connected"), fact(1, "alternative", -3)], 1, "connected-address", ""),
    "a team address goes to who connected it": ([fact(1, "team")], 1, "team-address", ""),
    "a team address always does": ([fact(1, "team"), fact(2, "connected"), fact(3, "account")], 1, "team-address", ""),
    "of two who connected a team address the first": ([fact(1, "team", -1), fact(2, "team", -4)], 2, "team-address", ""),
    "a suspended rep's mail is nobody's": ([fact(1, "account", suspended=True)], None, "unattributed", "suspended-rep"),
    "a suspended team owner's mail is nobody's": ([fact(1, "team", suspended=True)], None, "unattributed", "suspended-rep"),
    "a suspended rep stands in nobody's way": (
        [fact(1, "account", suspended=True), fact(2, "alternative")],
        2,
        "connected-address",
        "",
    ),
    "a suspended rep is no tie": (
        [fact(1, "connected", -9, suspended=True), fact(2, "connected", -1)],
        2,
        "connected-address",
        "",
    ),
    "two suspended reps": (
        [fact(1, "connected", suspended=True), fact(2, "alias", suspended=True)],
        None,
        "unattributed",
        "suspended-rep",
    ),
}


@pytest.mark.parametrize("facts, rep, rule, reason", CASES.values(), ids=CASES)
def test_the_rule(facts, rep, rule, reason):
    found = attribute(ANA, facts)
    assert (found.rep_id, found.rule, found.reason) == (rep, rule, reason)
    assert found.rep_id is None or found.rep_email == f"rep{rep}@sales.example"


@pytest.mark.parametrize("facts, rep, rule, reason", CASES.values(), ids=CASES)
def test_the_order_of_the_rows_does_not_matter(facts, rep, rule, reason):
    for order in itertools.permutations(facts):
        assert attribute(ANA, order).rep_id == rep


@pytest.mark.parametrize("facts, rep, rule, reason", CASES.values(), ids=CASES)
def test_the_trace_says_the_rule_in_a_whole_sentence(facts, rep, rule, reason):
    said = entry(ANA, attribute(ANA, facts))
    assert said.reason == (rule if rep else reason)
    assert said.outcome == ("pass" if rep else "hold")
    assert "…" not in reasons.sentence(said.reason, said.params)
