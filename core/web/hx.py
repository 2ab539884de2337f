"""The one place that knows htmx by its headers, so that a move to its next major version is mechanical.

Views say what they want to happen (`render`, `redirect`, `toast`, `nothing_new`); they never branch on element ids or on
the page a request came from.
"""

from __future__ import annotations

import json
from typing import Any

from flask import Response, flash, g, make_response, render_template
from flask import redirect as plain_redirect
from flask_htmx import HTMX

VARY = "HX-Request, HX-Boosted, HX-History-Restore-Request"


htmx = HTMX()  # reads the request's headers; it holds nothing of its own


def is_htmx() -> bool:
    return bool(htmx)


def wants_partial() -> bool:
    """True for an htmx request that will swap a fragment: a boosted visit and a history restore want the whole page."""
    return is_htmx() and not htmx.boosted and not htmx.history_restore_request


def render(page: str, partial: str, status: int = 200, /, **context: Any) -> Response:
    """One of the two templates: the partial for htmx, the page that includes it for everybody else."""
    g.whole_page = not wants_partial()
    return _marked(make_response(render_template(page if g.whole_page else partial, **context), status))


def fragment(partial: str, status: int = 200, /, **context: Any) -> Response:
    """A partial by itself, for routes that only the script asks."""
    return _marked(make_response(render_template(partial, **context), status))


def _marked(response: Response) -> Response:
    response.headers["Vary"] = VARY
    response.headers["Cache-Control"] = "private, no-store"
    return response


def redirect(url: str) -> Response:
    """Go elsewhere: a 303 would be followed silently by htmx and land in the target, so it gets a header instead."""
    if is_htmx():
        response = make_response("", 200)
        response.headers["HX-Redirect"] = url
        return _marked(response)
    return _marked(make_response(plain_redirect(url, 303)))


def reswap(response: Response, how: str) -> Response:
    response.headers["HX-Reswap"] = how
    return response


def reselect(response: Response, selector: str) -> Response:
    response.headers["HX-Reselect"] = selector
    return response


def push_url(response: Response, url: str) -> Response:
    response.headers["HX-Push-Url"] = url
    return response


def event(response: Response, name: str, detail: Any = None) -> Response:
    """Tell the page's script something. The header is ASCII JSON, so no text of a mail can break out of it."""
    known: dict[str, Any] = json.loads(response.headers.get("HX-Trigger", "{}"))
    known[name] = detail
    response.headers["HX-Trigger"] = json.dumps(known, ensure_ascii=True)
    return response


def toast(text: str, undo: str | None = None, kind: str = "done") -> None:
    """One sentence for the reader, with an Undo when the act can be taken back.

    An htmx answer carries it in a header; a full page shows it at the top after the redirect.
    kind: "done" or "wrong".
    """
    if wants_partial():
        g.toasts = [*g.get("toasts", []), {"text": text, "undo": undo, "kind": kind}]
    else:
        flash(json.dumps({"text": text, "undo": undo, "kind": kind}), "toast")


def with_toasts(response: Response) -> Response:
    """Called once after each request: hands the toasts of this request to the script, or keeps them for the next page."""
    waiting = g.pop("toasts", [])
    if waiting and "HX-Redirect" in response.headers:
        for one in waiting:
            flash(json.dumps(one), "toast")
    elif waiting:
        event(response, "toast", waiting)
    return response


def nothing_new() -> Response:
    """The answer of a poll that has nothing to tell: 204, because a 304 reaches the script as a 200 and would be swapped."""
    return _marked(make_response("", 204))
