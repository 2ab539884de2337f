"""The first visit: the company, its drop addresses and its first admin."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.errors import BadInput
from core.reasons import N_
from core.store import reps
from core.store.company import is_set_up
from core.store.models import Rep
from core.store.setup import set_up
from core.web import access, hx
from core.web.auth import begin_session, client_network
from core.web.frame import complaint, house, now
from core.web.limits import too_many

pages = Blueprint("setup", __name__)


def _render(values: dict[str, str], status: int = 200, where: str = "", wrong: str = "") -> Response:
    context: dict[str, Any] = {"values": values, "where": where, "wrong": wrong, "policies": list(house().plugins.policies.values())}
    return hx.render("setup/page.html", "setup/page.html", status, **context)


@pages.get("/setup")
@access.public
def page() -> Response:
    if is_set_up():
        return hx.redirect(url_for("inbox.page"))
    domain = house().settings.mail_domain
    return _render({"mail_domain": domain, "policy": "single-open"})


@pages.post("/setup")
@access.public
def save() -> Response:
    if is_set_up():
        abort(404)
    names = ("company", "slug", "mail_domain", "admin_email", "policy")
    values = {name: request.form.get(name, "").strip()[:320] for name in names}
    password = request.form.get("password", "")
    if too_many(f"setup:from:{client_network()}", 30, 900.0):
        return _render(values, 429, "", _("There were too many tries. Wait a quarter of an hour, then try again."))
    try:
        if password != request.form.get("again", ""):
            raise BadInput("again", N_("the two passwords differ"))
        # no token: this page shows none, and one that nobody has seen would only stand in the list for ever
        set_up(**values, password=password, policies=house().plugins.policies, seal=house().seal, now=now(), with_token=False)
    except BadInput as error:
        return _render(values, 422, error.where.replace("-", "_"), complaint(error))
    begin_session(Rep.get(Rep.email == reps.address_of(values["admin_email"])))
    hx.toast(_("Dropcopy is ready. Send your first mail with the address on this page in Bcc."))
    return hx.redirect(url_for("inbox.page"))
