"""What a mail in the quarantine says: shown to whoever decides on it, as plain text and no further than its beginning."""

from __future__ import annotations

from flask import Blueprint, Response, abort

from core.store import outcomes
from core.web import hx
from core.web.access import signed_in
from core.web.frame import reading, viewer
from core.web.reading import Unreadable

pages = Blueprint("previews", __name__)

SHOWN = 2000  # characters


@pages.get("/inbound/<int:inbound_id>/text")
@signed_in
def text(inbound_id: int) -> Response:
    """The beginning of its text, for whoever may have the raw mail, and written down in the same way; a logged mail stands in its conversation."""
    view = outcomes.get(viewer(), inbound_id)
    if view is None or view.state == "logged" or view.thread_id is not None:
        abort(404)
    content = outcomes.raw(viewer(), inbound_id)
    if content is None:
        abort(404)
    try:
        found: str | None = reading().text(content).strip()
    except Unreadable:
        found = None
    return hx.render("held/text.html", "held/_text.html", view=view, text=found, most=SHOWN)
