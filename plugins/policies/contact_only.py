"""Link contacts and organisations, never a record: for teams that file on records by hand or by a record's own address.

The core links contacts and organisations under every policy, so there is nothing to choose here. `offer=False` says
that nobody needs to be asked: the thread does not wait for a choice.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.hookspecs import hookimpl
from core.types import Link, LinkCase, LinkPolicy, Skip


def decide(case: LinkCase) -> Iterator[Link | Skip]:
    for record in case.eligible_records:
        yield Skip(record, reason="contacts-only", offer=False)


@hookimpl
def register_link_policies() -> list[LinkPolicy]:
    return [LinkPolicy("contact-only", "Contacts and organisations only", decide)]
