"""What open pages ask while somebody looks at them: has anything changed, and the counts of the rail."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, request
from flask_login import current_user

from core.store import visibility
from core.web import hx
from core.web.access import public, signed_in
from core.web.frame import viewer

pages = Blueprint("live", __name__)


@pages.get("/live")
@public
def version() -> Response:
    """204 while nothing has changed for this reader, else the new version; 401 after signing out, without a redirect."""
    if not current_user.is_authenticated:
        return make_response("", 401)
    known = visibility.live_version(viewer())
    if request.args.get("v") == known:
        return hx.nothing_new()
    return jsonify(version=known)


@pages.get("/live/rail")
@signed_in
def rail() -> Response:
    return hx.fragment("_shared/_rail.html")
