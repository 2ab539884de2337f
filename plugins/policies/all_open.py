"""Link every open record of everybody in the thread: nothing is missed, at the price of mail on many records.

The kinds are an option; a record of another kind is skipped without being offered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.types import Link, LinkCase, LinkPolicy, Skip


class Options(BaseModel):
    kinds: list[Literal["deal", "lead", "project"]] = Field(
        ["deal", "lead", "project"],
        min_length=1,
        title="Kinds of records",
        description="Records of other kinds are never linked by this policy.",
    )


def decide(case: LinkCase) -> Iterator[Link | Skip]:
    options = Options.model_validate(dict(case.options))
    for record in case.eligible_records:
        if record.kind in options.kinds:
            yield Link(record, reason="every-open")
        else:
            yield Skip(record, reason="kind-not-linked", offer=False)


@hookimpl
def register_link_policies() -> list[LinkPolicy]:
    return [LinkPolicy("all-open", "Every open record of the thread's contacts", decide, options=Options)]
