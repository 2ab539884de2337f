"""Who may ask which page. Every view declares its rule; a view without one is refused, and a test names it.

The rules here are about the route alone. What a rep may see of a thread is decided by the one visibility predicate of the
store, and foreign or missing things are both 404 there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Response, abort, current_app, request, url_for
from flask_login import current_user

from core.store.company import is_set_up
from core.web import hx

View = TypeVar("View", bound=Callable[..., Any])

# Requests that bring their own proof (tokens, signatures) or hold no data: their views check it, no cookie counts there.
WITHOUT_COOKIE = ("/api/", "/in/", "/livez", "/readyz", "/metrics")


def public(view: View) -> View:
    """Anybody may ask: sign-in, set-up, one-time links. Such a page shows no data of the company."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def signed_in(view: View) -> View:
    """Any active rep."""
    view.access = "rep"  # type: ignore[attr-defined]
    return view


def admin_only(view: View) -> View:
    """Admins; for everybody else the page does not exist."""
    view.access = "admin"  # type: ignore[attr-defined]
    return view


def rule_of(endpoint: str | None) -> str | None:
    """The declared rule of a route: public, rep, admin; None when its view declares none."""
    if endpoint is None:
        return None
    if endpoint == "static":
        return "public"
    return getattr(current_app.view_functions.get(endpoint), "access", None)


def without_cookie() -> bool:
    return request.path.startswith(WITHOUT_COOKIE)


def is_local_path(target: str) -> bool:
    """Only a path of this site may be the place to go on to: no scheme, no `//host`, no `/\\host`, no control character."""
    if not target.startswith("/") or target[1:2] in ("/", "\\") or any(ord(ch) < 32 for ch in target) or "\\" in target:
        return False
    parts = urlsplit(target)
    return not parts.scheme and not parts.netloc


def guard() -> Response | None:
    """Before every request: set-up first, then the rule of the route."""
    if request.endpoint is None or without_cookie():
        return None
    rule = rule_of(request.endpoint)
    if rule is None:
        abort(404)
    if request.endpoint != "static" and not is_set_up() and not request.endpoint.startswith("setup."):
        return hx.redirect(url_for("setup.page"))
    if rule == "public":
        return None
    if not current_user.is_authenticated:
        here = request.full_path.rstrip("?") if request.method == "GET" and not hx.is_htmx() else ""
        return hx.redirect(url_for("auth.login", next=here if here != "/" and here else None))
    if rule == "admin" and current_user.role != "admin":
        abort(404)
    return None
