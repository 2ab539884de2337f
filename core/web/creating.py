"""New deals, leads, projects, contacts and organisations, from wherever a page offers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask_babel import gettext as _

from core.errors import BadInput
from core.store import links, people, records
from core.types import RECORD_KINDS
from core.web import hx
from core.web.frame import house, viewer
from core.web.refusals import number


def create(kind: str, values: Mapping[str, str], contact_ids: Sequence[int] = ()) -> int:
    """Make one of the five kinds from a posted form and give its id. Raises BadInput with the sentence.

    values: `title` (the name, for people and organisations), `address`, `domain`, `organisation` (an id or "").
    """
    if kind in RECORD_KINDS:
        wanted: dict[str, Any] = {"title": values.get("title"), "contacts": list(contact_ids), "organisation": number(values.get("organisation"))}
        return records.create(viewer(), kind, wanted, house().seal).id
    if kind == "contact":
        addresses = [values["address"]] if values.get("address") else []
        return people.create_contact(viewer(), {"name": values.get("title"), "addresses": addresses, "organisation": number(values.get("organisation"))}).id
    domains = [values["domain"]] if values.get("domain") else []
    return people.create_organisation(viewer(), {"name": values.get("title"), "domains": domains}).id


def organisation_named(name: str) -> int | None:
    """The organisation of this name, made when there is none; None for an empty name."""
    wanted = " ".join(name.split())
    if not wanted:
        return None
    known = next((one for one in links.targets(wanted, ("organisation",), 20) if one.title.casefold() == wanted.casefold()), None)
    if known:
        return known.id
    try:
        made = create("organisation", {"title": wanted})
    except BadInput as error:
        raise BadInput("organisation", error.sentence) from None
    hx.toast(_("“%(name)s” was not there yet, so it is a new organisation.", name=wanted))
    return made
