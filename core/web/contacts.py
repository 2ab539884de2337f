"""Contacts: the people mail was exchanged with. Known to the whole company; the mail with them only where it may be read."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.errors import BadInput
from core.store import people, records
from core.store.people import ContactView
from core.web import hx
from core.web.access import signed_in
from core.web.creating import create, organisation_named
from core.web.frame import complaint, house, viewer
from core.web.refusals import number

pages = Blueprint("contacts", __name__, url_prefix="/contacts")


@pages.get("")
@signed_in
def page() -> Response:
    return _list()


def _list(status: int = 200, where: str = "", wrong: str = "") -> Response:
    q = request.args.get("q", "").strip()[:200]
    found = people.contacts(request.args.get("cursor") or None, 50, q=q or None)
    names = people.organisation_names(c.organisation for c in found.items if c.organisation)
    return hx.render("contacts/list.html", "contacts/list.html", status, found=found, q=q, organisations=names, where=where, wrong=wrong)


@pages.post("")
@signed_in
def add() -> Response:
    values = {name: request.form.get(name, "").strip() for name in ("title", "address")}
    try:
        made = create("contact", values)
    except BadInput as error:
        return _list(422, {"name": "title", "addresses": "address"}.get(error.where.partition(".")[0], error.where), complaint(error))
    hx.toast(_("Created."))
    return hx.redirect(url_for("contacts.show", contact_id=made))


def _contact(contact_id: int) -> ContactView:
    found = people.get_contact(contact_id)
    if found is None:
        abort(404)
    return found


@pages.get("/<int:contact_id>")
@signed_in
def show(contact_id: int) -> Response:
    contact = _contact(contact_id)
    if contact.id != contact_id:
        return hx.redirect(url_for("contacts.show", contact_id=contact.id))
    return _show(contact)


def _show(contact: ContactView, status: int = 200, where: str = "", wrong: str = "") -> Response:
    asked = request.args.get("merge", "").strip()[:200]
    others = [one for one in people.contacts(None, 9, q=asked).items if one.id != contact.id] if asked else []
    return hx.render(
        "contacts/page.html", "contacts/page.html", status, contact=contact, organisation=people.get_organisation(contact.organisation) if contact.organisation else None,
        mail=records.exchanges(viewer(), "contact", contact.id, request.args.get("cursor") or None), records=people.contact_records(contact.id, house().seal),
        asked=asked, others=others, where=where, wrong=wrong,
    )  # fmt: skip


@pages.post("/<int:contact_id>")
@signed_in
def change(contact_id: int) -> Response:
    contact = _contact(contact_id)
    changes: dict[str, Any] = {"name": request.form.get("name", "")}
    if "addresses" in request.form:
        changes["addresses"] = [line.strip() for line in request.form["addresses"].replace(",", "\n").splitlines() if line.strip()]
    try:
        if "organisation" in request.form:
            changes["organisation"] = organisation_named(request.form["organisation"])
        people.update_contact(viewer(), contact.id, changes)
    except BadInput as error:
        return _show(contact, 422, error.where.partition(".")[0], complaint(error))
    hx.toast(_("Saved."))
    return hx.redirect(url_for("contacts.show", contact_id=contact.id))


@pages.post("/<int:contact_id>/merge")
@signed_in
def merge(contact_id: int) -> Response:
    """Make another contact part of this one."""
    other = number(request.form.get("other"))
    token = people.merge(viewer(), contact_id, other) if other is not None else None
    if token is None:
        abort(404)
    hx.toast(_("The two are one contact now."), url_for("inbox.take_back", token=token))
    return hx.redirect(url_for("contacts.show", contact_id=contact_id))


@pages.post("/<int:contact_id>/delete")
@signed_in
def delete(contact_id: int) -> Response:
    token = people.delete_contact(viewer(), contact_id)
    if token is None:
        abort(404)
    back = url_for("inbox.take_back", token=token, to=url_for("contacts.show", contact_id=contact_id))
    hx.toast(_("The contact is deleted; the mail with it stays in the conversations."), back)
    return hx.redirect(url_for("contacts.page"))
