"""Organisations: whom the contacts work for."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.errors import BadInput
from core.store import people, records
from core.store.people import OrganisationView
from core.web import hx
from core.web.access import signed_in
from core.web.creating import create
from core.web.frame import complaint, house, viewer

pages = Blueprint("organisations", __name__, url_prefix="/organisations")


@pages.get("")
@signed_in
def page() -> Response:
    return _list()


def _list(status: int = 200, where: str = "", wrong: str = "") -> Response:
    q = request.args.get("q", "").strip()[:200]
    found = people.organisations(request.args.get("cursor") or None, 50, q=q or None)
    return hx.render("organisations/list.html", "organisations/list.html", status, found=found, q=q, where=where, wrong=wrong)


@pages.post("")
@signed_in
def add() -> Response:
    values = {name: request.form.get(name, "").strip() for name in ("title", "domain")}
    try:
        made = create("organisation", values)
    except BadInput as error:
        return _list(422, {"name": "title", "domains": "domain"}.get(error.where.partition(".")[0], error.where), complaint(error))
    hx.toast(_("Created."))
    return hx.redirect(url_for("organisations.show", organisation_id=made))


def _organisation(organisation_id: int) -> OrganisationView:
    found = people.get_organisation(organisation_id)
    if found is None:
        abort(404)
    return found


@pages.get("/<int:organisation_id>")
@signed_in
def show(organisation_id: int) -> Response:
    return _show(_organisation(organisation_id))


def _show(organisation: OrganisationView, status: int = 200, where: str = "", wrong: str = "") -> Response:
    return hx.render(
        "organisations/page.html", "organisations/page.html", status, organisation=organisation, contacts=people.contacts(None, 100, organisation=organisation.id).items,
        mail=records.exchanges(viewer(), "organisation", organisation.id, request.args.get("cursor") or None),
        records=people.organisation_records(organisation.id, house().seal), where=where, wrong=wrong,
    )  # fmt: skip


@pages.post("/<int:organisation_id>")
@signed_in
def change(organisation_id: int) -> Response:
    organisation = _organisation(organisation_id)
    domains = [line.strip() for line in request.form.get("domains", "").replace(",", "\n").splitlines() if line.strip()]
    try:
        people.update_organisation(viewer(), organisation_id, {"name": request.form.get("name", ""), "domains": domains})
    except BadInput as error:
        return _show(organisation, 422, error.where.partition(".")[0], complaint(error))
    hx.toast(_("Saved."))
    return hx.redirect(url_for("organisations.show", organisation_id=organisation_id))


@pages.post("/<int:organisation_id>/delete")
@signed_in
def delete(organisation_id: int) -> Response:
    token = people.delete_organisation(viewer(), organisation_id)
    if token is None:
        abort(404)
    back = url_for("inbox.take_back", token=token, to=url_for("organisations.show", organisation_id=organisation_id))
    hx.toast(_("The organisation is deleted; its people, records and mail stay."), back)
    return hx.redirect(url_for("organisations.page"))
