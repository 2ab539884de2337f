"""Whose mail is it? The rules stand in the order in which they are asked; the first that names exactly one rep decides.

Only the authenticated From address is asked, never a name, a Reply-To or the sender of a forwarded block.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.types import Attribution, SenderFact, TraceEntry

STEP = "attribute"

# A confirmed alternative address counts as connected when it was confirmed (F20).
CONNECTED = ("connected", "alternative")
SOLE_RULES = (("connected-address", CONNECTED), ("account-address", ("account",)), ("alias", ("alias",)))


def attribute(address: str, facts: Sequence[SenderFact]) -> Attribution:
    """Find the rep of a sender address.

    `facts` are all rows that tie this address to a rep; unconfirmed addresses are no facts. A team address always goes
    to the rep who connected it first (F21). A suspended rep's claim counts only against nobody: another rep who has
    confirmed the address gets the mail, else the answer is `suspended-rep`.
    """
    active = [fact for fact in facts if not fact.suspended]
    found = _team(active) or _sole(active) or _longest(active)
    if found is not None:
        return found
    if active:
        return Attribution("unattributed", reason="ambiguous-sender")
    if facts:
        return Attribution("unattributed", rep_email=facts[0].rep_email, reason="suspended-rep")
    return Attribution("unattributed", reason="unknown-sender")


def entry(address: str, attribution: Attribution) -> TraceEntry:
    """What the trace says: the rule that decided, or why none did."""
    params = {"address": address, "rep": attribution.rep_email or ""}
    if attribution.rep_id is None:
        return TraceEntry(STEP, "hold", attribution.reason, params)
    return TraceEntry(STEP, "pass", attribution.rule, params)


def _sole(facts: Sequence[SenderFact]) -> Attribution | None:
    """Rules 1 to 3: exactly one rep has the address as connected, as account address, as alias."""
    for rule, kinds in SOLE_RULES:
        reps = {fact.rep_id: fact for fact in facts if fact.kind in kinds}
        if len(reps) == 1:
            return _rep(rule, next(iter(reps.values())))
    return None


def _longest(facts: Sequence[SenderFact]) -> Attribution | None:
    """Rule 4: of several who connected it, the one who did so longest ago."""
    first = _first([fact for fact in facts if fact.kind in CONNECTED])
    return _rep("longest-connected", first) if first is not None else None


def _team(facts: Sequence[SenderFact]) -> Attribution | None:
    team = [fact for fact in facts if fact.kind == "team"]
    if len({fact.rep_id for fact in team}) == 1:
        return _rep("team-address", team[0])
    first = _first(team)
    return _rep("team-address", first) if first is not None else None


def _first(facts: Sequence[SenderFact]) -> SenderFact | None:
    """The rep who connected first; None when two did so at the same moment or nobody knows when."""
    dated = [(fact.connected_at, fact) for fact in facts if fact.connected_at is not None]
    if not dated:
        return None
    moment = min(when for when, _ in dated)
    reps = {fact.rep_id: fact for when, fact in dated if when == moment}
    return next(iter(reps.values())) if len(reps) == 1 else None


def _rep(rule: str, fact: SenderFact) -> Attribution:
    return Attribution(rule, fact.rep_id, fact.rep_email)
