"""Link a record only when it is the only open one of everybody in the thread; otherwise a person chooses.

This is the shape of every policy: `decide` gets a `LinkCase` and yields one `Link` or `Skip` for each record of
`case.eligible_records` (those that were open at the time of the mail and are not younger than the thread; the core has
skipped the others with their reasons). It must be pure: no clock, no database, nothing remembered between two cases, so
that the simulator may ask it about any past mail. The reason is a code from `core.reasons`; a plugin may enter its own
with `core.reasons.reason(...)`. `exclusive=True` tells the core that a thread holds one record at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.types import Link, LinkCase, LinkPolicy, Skip


class Options(BaseModel):
    """Drawn as a form on the settings page: the titles are labels, the descriptions stand below the fields."""

    count: Literal["together", "per-kind"] = Field(
        "together",
        title="Count open records",
        description="Together: one open deal and one open lead are two records, and nothing is chosen. "
        "Per kind: a record is also chosen when it is the only open one of its kind and no other kind has just one.",
    )


def decide(case: LinkCase) -> Iterator[Link | Skip]:
    """One record between all recipients is linked; with two different ones nothing is guessed and both are offered."""
    options = Options.model_validate(dict(case.options))
    records = case.eligible_records
    chosen = list(records)
    if options.count == "per-kind" and len(records) > 1:
        counted = Counter(record.kind for record in records)
        chosen = [record for record in records if counted[record.kind] == 1]
    several_people = len(case.participants) > 1
    for record in records:
        if [record] != chosen:
            yield Skip(record, reason="several-open")
        elif len(records) > 1:
            yield Link(record, reason="only-open-of-kind", params={"kind": record.kind})
        else:
            yield Link(record, reason="only-recipient-open" if several_people else "only-open")


@hookimpl
def register_link_policies() -> list[LinkPolicy]:
    return [LinkPolicy("single-open", "Only when it is unambiguous", decide, exclusive=True, options=Options)]
