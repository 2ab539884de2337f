"""Deals, leads and projects: lists, one record with its mail, its people and its own BCC address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from core.errors import BadInput
from core.store import drops, links, people, records, removals, threads, undo
from core.store.company import company
from core.store.database import write
from core.store.links import Conflict
from core.store.models import Contact, Rep
from core.store.records import STATUSES, RecordView
from core.web import access, hx
from core.web.access import signed_in
from core.web.account import qr
from core.web.creating import create, organisation_named
from core.web.frame import complaint, house, now, viewer
from core.web.links import is_exclusive
from core.web.refusals import number, numbers

pages = Blueprint("records", __name__)

KINDS = {"deals": "deal", "leads": "lead", "projects": "project"}
NOUN = "<any(deals, leads, projects):noun>"
TITLES = {"deals": _l("Deals"), "leads": _l("Leads"), "projects": _l("Projects")}
NEW = {"deals": _l("New deal"), "leads": _l("New lead"), "projects": _l("New project")}
STATUS_WORDS = {
    "open": _l("open"), "won": _l("won"), "lost": _l("lost"), "converted": _l("converted"), "archived": _l("archived"), "completed": _l("completed"),
    "canceled": _l("canceled"), "deleted": _l("deleted"),
}  # fmt: skip
STATUS_LOOK = {"open": "good", "won": "good", "completed": "good", "converted": "good", "lost": "bad", "deleted": "bad"}


def _words() -> dict[str, Any]:
    return {"TITLES": TITLES, "NEW": NEW, "STATUS_WORDS": STATUS_WORDS, "STATUS_LOOK": STATUS_LOOK}


@pages.get(f"/{NOUN}")
@signed_in
def page(noun: str) -> Response:
    return _list(noun)


def _list(noun: str, status_code: int = 200, where: str = "", wrong: str = "") -> Response:
    kind = KINDS[noun]
    status, q = request.args.get("status", "open"), request.args.get("q", "").strip()[:200]
    if status not in (*STATUSES[kind], "any"):
        abort(404)
    found = records.page(kind, house().seal, request.args.get("cursor") or None, 50, q=q or None, status=None if status == "any" else status)
    found = replace(found, items=records.as_known_to(viewer(), found.items))
    return hx.render(
        "records/list.html", "records/list.html", status_code, noun=noun, kind=kind, found=found, q=q, status=status, statuses=STATUSES[kind],
        people=_people_of(found.items), organisations=_organisations(found.items), where=where, wrong=wrong, **_words(),
    )  # fmt: skip


def _people_of(items: list[RecordView]) -> dict[int, str]:
    ids = {ident for item in items for ident in item.contacts[:3]}
    rows = Contact.select(Contact.id, Contact.name).where(Contact.id.in_(list(ids))).tuples() if ids else []
    return dict(rows)


def _organisations(items: list[RecordView]) -> dict[int, str]:
    found = (people.get_organisation(ident) for ident in {item.organisation for item in items if item.organisation})
    return {one.id: one.name for one in found if one}


@pages.post(f"/{NOUN}")
@signed_in
def add(noun: str) -> Response:
    """A new record by its title, perhaps with a person and an organisation, who are made when they are not known yet."""
    title, address, organisation = (request.form.get(name, "").strip() for name in ("title", "address", "organisation"))
    place = ""
    try:
        with write():
            place = "organisation"
            known = organisation_named(organisation[:300])
            place = "address"
            people_of_it = [people.ensure_contact(address[:320])[0]] if address else []
            place = "title"
            made = create(KINDS[noun], {"title": title, "organisation": str(known or "")}, people_of_it)
    except BadInput as error:
        return _list(noun, 422, place, complaint(error))
    hx.toast(_("Created. Its own BCC address is beside it."))
    return hx.redirect(url_for("records.show", noun=noun, record_id=made))


# --- one record ---------------------------------------------------------------------------------------------------


def _record(noun: str, record_id: int) -> RecordView:
    found = records.get(KINDS[noun], record_id, house().seal)
    if found is None:
        abort(404)
    return found


@pages.get(f"/{NOUN}/<int:record_id>")
@signed_in
def show(noun: str, record_id: int) -> Response:
    return _show(noun, record_id)


def _show(noun: str, record_id: int, status_code: int = 200, where: str = "", wrong: str = "", question: Any = None) -> Response:
    record = _record(noun, record_id)
    asked = request.args.get("find", "").strip()[:200]
    contacts = people.some_contacts(record.contacts[:100])
    return hx.render(
        "records/page.html", "records/page.html", status_code, noun=noun, kind=KINDS[noun], record=record, contacts=contacts,
        organisation=people.get_organisation(record.organisation) if record.organisation else None,
        owner=Rep.get_or_none(Rep.id == record.owner) if record.owner else None, mail=records.exchanges(viewer(), KINDS[noun], record_id, request.args.get("cursor") or None),
        earlier=records.eligible_earlier_threads(viewer(), record_id, 10) if record.status == "open" else [], history=records.history(record_id),
        statuses=STATUSES[KINDS[noun]], code=qr("mailto:" + record.bcc_address), grace=company().grace_days, where=where, wrong=wrong, question=question,
        asked=asked, hits=_own_hits(asked) if asked else None, **_words(),
    )  # fmt: skip


@pages.post(f"/{NOUN}/<int:record_id>")
@signed_in
def change(noun: str, record_id: int) -> Response:
    """Title, status, organisation (by its name; a new one is made): whatever the form names."""
    _record(noun, record_id)
    changes: dict[str, Any] = {name: request.form[name] for name in ("title", "status") if name in request.form}
    try:
        if "organisation" in request.form:
            changes["organisation"] = organisation_named(request.form["organisation"])
        records.update(viewer(), KINDS[noun], record_id, changes, house().seal)
    except BadInput as error:
        return _show(noun, record_id, 422, error.where, complaint(error))
    hx.toast(_("Saved."))
    return hx.redirect(url_for("records.show", noun=noun, record_id=record_id))


@pages.post(f"/{NOUN}/<int:record_id>/delete")
@signed_in
def delete(noun: str, record_id: int) -> Response:
    token = removals.delete_record(viewer(), KINDS[noun], record_id)
    if token is None:
        abort(404)
    back = url_for("inbox.take_back", token=token, to=url_for("records.show", noun=noun, record_id=record_id))
    hx.toast(_("Deleted. Its mail stays in the conversations, and its address goes on working."), back)
    return hx.redirect(url_for("records.page", noun=noun))


@pages.post(f"/{NOUN}/<int:record_id>/people")
@signed_in
def add_person(noun: str, record_id: int) -> Response:
    """Put a contact on the record: a known one by address or id, a new one by address."""
    record = _record(noun, record_id)
    contact_id, address = number(request.form.get("contact")), request.form.get("address", "").strip()[:320]
    try:
        contact_id = people.ensure_contact(address)[0] if contact_id is None else contact_id
        records.update(viewer(), record.kind, record_id, {"contacts": [*record.contacts, contact_id]}, house().seal)
    except BadInput as error:
        return _show(noun, record_id, 422, "address", complaint(error))
    hx.toast(_("Added."))
    return hx.redirect(url_for("records.show", noun=noun, record_id=record_id))


@pages.post(f"/{NOUN}/<int:record_id>/people/<int:contact_id>/remove")
@signed_in
def remove_person(noun: str, record_id: int, contact_id: int) -> Response:
    record = _record(noun, record_id)
    if contact_id not in record.contacts:
        abort(404)
    records.update(viewer(), record.kind, record_id, {"contacts": [ident for ident in record.contacts if ident != contact_id]}, house().seal)
    hx.toast(_("Removed from this record. The contact and the mail stay."))
    return hx.redirect(url_for("records.show", noun=noun, record_id=record_id))


@pages.post(f"/{NOUN}/<int:record_id>/rotate")
@signed_in
def rotate(noun: str, record_id: int) -> Response:
    """A new address for the record; the old one works for the grace period."""
    _record(noun, record_id)
    drops.rotate(record_id, house().seal, now())
    hx.toast(_("The record has a new address. The old one works for %(days)s more days.", days=company().grace_days))
    return hx.redirect(url_for("records.show", noun=noun, record_id=record_id))


# --- linking from here --------------------------------------------------------------------------------------------


def _own_hits(text: str) -> list[Any]:
    """Conversations that the reader may read and link, by a search: others' are linked by admins alone."""
    return threads.page(viewer(), "all" if viewer().is_admin else "mine", None, 10, q=text).items


@pages.get(f"/{NOUN}/<int:record_id>/find")
@signed_in
def find(noun: str, record_id: int) -> Response:
    """Conversations to link to this record, while their subject is typed."""
    _record(noun, record_id)
    asked = request.args.get("find", "").strip()[:200]
    return hx.fragment("records/_hits.html", noun=noun, record_id=record_id, hits=_own_hits(asked) if asked else [], asked=asked)


@pages.post(f"/{NOUN}/<int:record_id>/threads")
@signed_in
def link(noun: str, record_id: int) -> Response:
    """Link conversations to this record: one, or several earlier ones at once."""
    record = _record(noun, record_id)
    ids = numbers("thread", 100)
    replace = request.form.get("replace") == "1"
    done: list[str] = []
    for thread_id in ids:
        made = links.link(viewer(), thread_id, record.kind, record_id, replace=replace, exclusive=is_exclusive())
        if made is None:
            abort(404)
        if isinstance(made, Conflict):
            row = threads.row(viewer(), thread_id)
            return _show(noun, record_id, question={"thread": thread_id, "subject": row.subject if row else "", "present": made.present.title})
        done.append(made.undo)
    token = undo.together(viewer(), [token for token in done if token], now())
    back = url_for("inbox.take_back", token=token) if token else None
    hx.toast(_("Linked.") if done else _("Choose a conversation first."), back, kind="done" if done else "wrong")
    back_to = request.form.get("back", "")
    return hx.redirect(back_to if access.is_local_path(back_to) else url_for("records.show", noun=noun, record_id=record_id))
