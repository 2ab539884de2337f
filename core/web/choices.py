"""Needs a choice: the conversations that no policy could decide, with the candidates as buttons. One click files one."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.store import links, records, threads
from core.web import hx
from core.web.access import signed_in
from core.web.frame import viewer
from core.web.links import link_from_form, panel

pages = Blueprint("choices", __name__, url_prefix="/choices")


@pages.get("")
@signed_in
def page() -> Response:
    found = threads.page(viewer(), "needs-choice", request.args.get("cursor") or None, 10)
    # Of another's private conversation an admin sees who, when and state: what could be chosen is content.
    considered = links.candidates_of([row.id for row in found.items if not row.redacted])
    offered = {ident: [one for one in candidates if one.offer][:9] for ident, candidates in considered.items()}
    facts = records.facts(viewer(), {one.target_id for candidates in offered.values() for one in candidates})
    return hx.render("choices/page.html", "choices/_list.html", found=found, offered=offered, facts=facts)


@pages.post("/<int:thread_id>")
@signed_in
def choose(thread_id: int) -> Response:
    """File the conversation on the chosen record and go on with the next one."""
    question = link_from_form(thread_id)
    return panel(thread_id, question=question) if question else hx.redirect(url_for("choices.page"))


@pages.post("/<int:thread_id>/none")
@signed_in
def none_of_these(thread_id: int) -> Response:
    """None of the candidates is right: the conversation stays unlinked and asks no more."""
    token = links.none_of(viewer(), thread_id)
    if token is None:
        abort(404)
    hx.toast(_("It stays as it is. You can link it by hand at any time."), url_for("inbox.take_back", token=token) if token else None)
    return hx.redirect(url_for("choices.page"))
