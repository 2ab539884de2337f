"""Needs a choice: the conversations that no policy could decide, with the candidates as buttons. One click files one."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core.reasons import N_
from core.store import links, threads
from core.store.database import write
from core.store.models import Thread
from core.store.visibility import beat_thread, demand, may_link, thread_for
from core.web import hx
from core.web.access import signed_in
from core.web.frame import viewer
from core.web.links import link_from_form

pages = Blueprint("choices", __name__, url_prefix="/choices")


@pages.get("")
@signed_in
def page() -> Response:
    found = threads.page(viewer(), "needs-choice", request.args.get("cursor") or None, 20)
    # Of another's private conversation an admin sees who, when and state: what could be chosen is content.
    offered = {row.id: [one for one in links.candidates(row.id) if one.offer][:9] for row in found.items if not row.redacted}
    return hx.render("choices/page.html", "choices/_list.html", found=found, offered=offered)


@pages.post("/<int:thread_id>")
@signed_in
def choose(thread_id: int) -> Response:
    """File the conversation on the chosen record and go on with the next one."""
    question = link_from_form(thread_id)
    return hx.redirect(url_for("threads.page", thread_id=thread_id) if question else url_for("choices.page"))


@pages.post("/<int:thread_id>/none")
@signed_in
def none_of_these(thread_id: int) -> Response:
    """None of the candidates is right: the conversation stays unlinked and asks no more."""
    with write():
        thread = thread_for(viewer(), thread_id)
        if thread is None:
            abort(404)
        demand(may_link(viewer(), thread), N_("Only the owner of a conversation and admins can decide that."))
        Thread.update(waiting=None, waiting_reason="").where(Thread.id == thread_id).execute()
        beat_thread(thread.owner_id, thread.sharing)
    hx.toast(_("It stays unlinked. You can link it by hand at any time."))
    return hx.redirect(url_for("choices.page"))
