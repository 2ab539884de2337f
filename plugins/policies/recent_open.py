"""Link the most recent open records of each contact: five deals unless the options say otherwise.

A many-record policy: `exclusive` stays False, so the core links every record that gets a `Link`. Each contact is asked
for its own most recent records (`case.records_of(participant)`); a record that two contacts share is answered once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.types import Link, LinkCase, LinkPolicy, Record, Skip

LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


class Options(BaseModel):
    number: int = Field(5, ge=1, le=50, title="How many", description="The greatest number of records linked for each contact.")
    by: Literal["created", "updated", "activity"] = Field(
        "created",
        title="Recent means",
        description="Created: the newest records. Updated: those changed last. Activity: those where something happened last.",
    )
    kinds: list[Literal["deal", "lead", "project"]] = Field(
        ["deal"], min_length=1, title="Kinds of records", description="Records of other kinds are never linked by this policy."
    )


def decide(case: LinkCase) -> Iterator[Link | Skip]:
    """Answer every eligible record: among the recent ones of some contact, beyond them, or of a kind that is not linked."""
    options = Options.model_validate(dict(case.options))
    recent: dict[tuple[str, int], str] = {}
    older: dict[tuple[str, int], str] = {}
    for participant in case.participants:
        if participant.contact is None:
            continue
        records = [record for record in case.records_of(participant) if record.kind in options.kinds]
        records.sort(key=lambda record: (moment(record, options.by), record.id), reverse=True)
        for place, record in enumerate(records):
            names = recent if place < options.number else older
            names.setdefault((record.kind, record.id), participant.contact.name)
    for record in case.eligible_records:
        key = (record.kind, record.id)
        if record.kind not in options.kinds:
            yield Skip(record, reason="kind-not-linked", offer=False)
        elif key in recent:
            yield Link(record, reason="recent-open", params={"number": str(options.number), "contact": recent[key]})
        elif key in older:
            yield Skip(record, reason="not-recent", params={"number": str(options.number), "contact": older[key]})
        else:
            yield Skip(record, reason="not-of-participant")


def moment(record: Record, by: str) -> dt.datetime:
    """When the record was last created, changed or active; what is unknown falls back to the next older fact."""
    known = {
        "created": (record.created_at,),
        "updated": (record.updated_at, record.created_at),
        "activity": (record.last_activity_at, record.updated_at, record.created_at),
    }[by]
    return next((when for when in known if when is not None), LONG_AGO)


@hookimpl
def register_link_policies() -> list[LinkPolicy]:
    return [LinkPolicy("recent-open", "The most recent open records of each contact", decide, options=Options)]
