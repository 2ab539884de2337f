"""Linking by hand: find something by its name, link it, replace what is there after a question, unlink, create new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.errors import BadInput
from core.mail.addresses import is_free_mail
from core.store import links, outcomes, people, records, threads
from core.store.company import company
from core.store.database import write
from core.store.links import Conflict, LinkView, Target
from core.store.models import Contact, Organisation, Record
from core.store.threads import Conversation
from core.types import LINK_KINDS, RECORD_KINDS
from core.web import hx
from core.web.access import signed_in
from core.web.creating import create
from core.web.frame import complaint, house, viewer
from core.web.refusals import number

pages = Blueprint("links", __name__)


@dataclass(frozen=True, slots=True)
class Question:
    """The policy allows one record and the conversation holds another: which two are meant. `id` 0: the wanted one is made on a yes."""

    kind: str
    id: int
    wanted: str
    present: str


def is_exclusive() -> bool:
    """True when the policy in force allows one record for each conversation."""
    policy = house().plugins.policies.get(company().policy.name)
    return policy.exclusive if policy is not None else True


def title_of(kind: str, target_id: int) -> str:
    """The name of something that can be linked; "" when there is none such."""
    table, column = {"contact": (Contact, Contact.name), "organisation": (Organisation, Organisation.name)}.get(kind, (Record, Record.title))
    row = table.select(column).where(table.id == target_id).tuples().first()
    return str(row[0]) if row else ""


def link_from_form(thread_id: int) -> Question | None:
    """Link what the form names; a question when something must be replaced first. 404 for what is not there."""
    kind, target_id = request.form.get("kind", ""), number(request.form.get("id"))
    if kind not in LINK_KINDS or target_id is None:
        abort(404)
    found = links.link(viewer(), thread_id, kind, target_id, replace=request.form.get("replace") == "1", exclusive=is_exclusive())
    if found is None:
        abort(404)
    if isinstance(found, Conflict):
        return Question(kind, target_id, title_of(kind, target_id), found.present.title)
    _say_linked(found)
    return None


def _say_linked(made: LinkView) -> None:
    hx.toast(_("Linked to %(title)s.", title=made.title), url_for("inbox.take_back", token=made.undo) if made.undo else None)


# --- the right panel ----------------------------------------------------------------------------------------------


def panel_context(thread_id: int, talk: Conversation | None = None) -> dict[str, Any]:
    """What the panel shows; 404 when the thread is not for this reader. The opened state is of the threads view."""
    from core.web.threads import conversation

    talk = talk or conversation(thread_id)
    facts = records.facts(viewer(), [one.target_id for one in talk.candidates if one.offer])
    return {"talk": talk, "facts": facts, "row": talk.row, "exclusive": is_exclusive(), "why_unlinked": _why_unlinked(talk), "question": None, "making": None, "found": None, "find": "", "values": {}, "where": "", "wrong": "", "made": None, "earlier": []}


def _why_unlinked(talk: Conversation) -> dict[str, Any] | None:
    """What the newest mail's trace says of a conversation on no record; None where nothing says more than that."""
    if talk.row.linked or talk.row.redacted or talk.row.waiting_reason or not talk.messages:
        return None
    entries = outcomes.trace(viewer(), talk.messages[-1].inbound_id) or []
    said = [entry for entry in entries if entry.get("reason") == "no-counterparty" or (entry.get("step") == "link" and entry.get("outcome") != "link")]
    return said[0] if said else None


def panel(thread_id: int, status: int = 200, talk: Conversation | None = None, **more: Any) -> Response:
    """The panel with the links of a conversation, whatever its state; without htmx the whole conversation around it."""
    context = {**panel_context(thread_id, talk), **more}
    return hx.render("threads/page.html", "threads/_links.html", status, **context)


@pages.get("/threads/<int:thread_id>/links")
@signed_in
def show(thread_id: int) -> Response:
    """The panel, or one of its other states: ?new=deal draws the form for a new deal."""
    making = request.args.get("new")
    if making is not None and making not in LINK_KINDS:
        abort(404)
    from core.web.threads import conversation

    talk = conversation(thread_id)
    typed = request.args.get("title", "").strip()[:200]  # what was looked for in vain
    return panel(thread_id, talk=talk, making=making, values=(_guess(talk, making) if making else {}) | ({"title": typed} if typed else {}))


def _guess(talk: Conversation, kind: str) -> dict[str, str]:
    """What a new thing of this kind would be called, from the conversation: somebody who takes part and is no contact yet, or where they are."""
    from core.web.threads import participants

    if talk.row.redacted:
        return {}
    if kind in RECORD_KINDS:
        return {"title": talk.row.subject[:200]}
    others = [person for person in participants(talk) if not person.why]
    if kind == "contact":
        return next(({"title": person.name or "", "address": person.address} for person in others if person.contact_id is None), {})
    domains = (person.address.rpartition("@")[2] for person in others)
    return next(({"title": domain, "domain": domain} for domain in domains if not is_free_mail(domain) and not people.organisations(None, 1, domain=domain).items), {})


@pages.get("/threads/<int:thread_id>/find")
@signed_in
def find(thread_id: int) -> Response:
    """What can be linked, while its name is typed: the candidates of the policy while nothing is typed yet."""
    row = threads.row(viewer(), thread_id)
    if row is None:
        abort(404)
    into = "row" if request.args.get("into") == "row" else "panel"
    typed = (request.args.get("find") or request.args.get("q") or "").strip()[:200]
    return hx.fragment("threads/_found.html", found=suggestions(thread_id, typed), typed=typed, thread_id=thread_id, into=into)


def suggestions(thread_id: int, typed: str) -> list[Target]:
    if typed:
        return links.targets(typed)
    row = threads.row(viewer(), thread_id)
    if row is None or row.redacted:
        return []
    offered = [one for one in links.candidates(thread_id) if one.offer][:8]
    whom = links.with_whom([one.target_id for one in offered])
    return [Target(one.kind, one.target_id, one.title, one.status, whom.get(one.target_id, "")) for one in offered]


@pages.post("/threads/<int:thread_id>/links")
@signed_in
def link(thread_id: int) -> Response:
    question = link_from_form(thread_id)
    if question is None and not hx.wants_partial():
        return hx.redirect(url_for("threads.page", thread_id=thread_id))
    return panel(thread_id, question=question)


@pages.post("/threads/<int:thread_id>/links/<int:link_id>/unlink")
@signed_in
def unlink(thread_id: int, link_id: int) -> Response:
    token = links.unlink(viewer(), thread_id, link_id)
    if token is None and hx.wants_partial() and threads.row(viewer(), thread_id) is not None:
        hx.toast(_("This link is gone already: somebody else has removed it meanwhile."), kind="wrong")
        return panel(thread_id)
    if token is None:
        abort(404)
    hx.toast(_("The link is removed. No policy brings it back; you can link it again by hand."), url_for("inbox.take_back", token=token))
    if not hx.wants_partial():
        return hx.redirect(url_for("threads.page", thread_id=thread_id))
    return panel(thread_id)


class _Holds(Exception):
    """The conversation holds a record already, and whether to replace it was not asked yet."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__()
        self.conflict = conflict


@pages.post("/threads/<int:thread_id>/create")
@signed_in
def make(thread_id: int) -> Response:
    """Create a deal, lead, project, contact or organisation and link the conversation to it; nothing is made before the same question is answered."""
    kind = request.form.get("kind", "")
    if kind not in LINK_KINDS:
        abort(404)
    from core.web.threads import conversation

    talk = conversation(thread_id)
    values = {name: request.form.get(name, "").strip() for name in ("title", "address", "domain")}
    people_in = [one.target_id for one in talk.links if one.kind == "contact"]
    try:
        with write():  # who is asked first, or may not link the conversation, leaves nothing behind
            target_id = create(kind, values | {"organisation": _organisation_in(talk.links)}, people_in)
            found = links.link(viewer(), thread_id, kind, target_id, replace=request.form.get("replace") == "1", exclusive=is_exclusive())
            if isinstance(found, Conflict):
                raise _Holds(found)
    except _Holds as holds:
        return panel(thread_id, question=Question(kind, 0, values["title"], holds.conflict.present.title))
    except BadInput as error:
        where = {"name": "title", "addresses": "address", "domains": "domain"}.get(error.where.partition(".")[0], error.where)
        return panel(thread_id, 422, making=kind, values=values, where=f"new-{where}", wrong=complaint(error))
    if found is None:
        abort(404)
    _say_linked(found)
    if not hx.wants_partial():
        return hx.redirect(url_for("threads.page", thread_id=thread_id, made=target_id if kind in RECORD_KINDS else None))
    return panel(thread_id, **(earlier_of(target_id) if kind in RECORD_KINDS else {}))


def earlier_of(record_id: int | None) -> dict[str, Any]:
    """What the panel offers right after a record was made: the reader's own conversations that were there before it (F41)."""
    wanted = [] if record_id is None else [records.get(kind, record_id, house().seal) for kind in RECORD_KINDS]
    found = next((one for one in wanted if one is not None), None)
    return {"made": found, "earlier": records.eligible_earlier_threads(viewer(), found.id, 5) if found is not None else []}


def _organisation_in(standing: Sequence[LinkView]) -> str:
    """The organisation that a new record begins with: the one that the conversation is linked to."""
    found = [one.target_id for one in standing if one.kind == "organisation"]
    return str(found[0]) if len(found) == 1 else ""
