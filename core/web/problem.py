"""Errors of the API as `application/problem+json` (RFC 9457): one clear sentence, and the place where there is one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException


class Problem(Exception):
    """Ends a request of the API. `where` names the field; `more` stands beside the usual members."""

    def __init__(self, status: int, detail: str, where: str = "", headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.where = where
        self.headers = headers or {}
        self.more = more


NOT_HERE = "There is nothing here: it never existed, was deleted, or is not for you."

CANNOT_WRITE = {
    "full": "The disk is full, so nothing can be written just now; nothing was changed. Reading works: try again when there is room.",
    "failed": "The disk gave an error, so nothing is written until it was proved sound. Reading works: try again in a moment.",
}


def missing() -> Problem:
    """The one answer for what does not exist and for what may not be seen."""
    return Problem(404, NOT_HERE)


def response_of(problem: Problem) -> Response:
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.where:
        content["where"] = problem.where
    response = Response(msgspec.json.encode({**content, **problem.more}), problem.status, mimetype="application/problem+json")
    response.headers.update(problem.headers)
    response.headers["Cache-Control"] = "no-store"
    return response


_SENTENCES = {
    400: "The request could not be understood.",
    404: NOT_HERE,
    405: "This cannot be done here; the Allow header names what can.",
    413: "The body is larger than an API request may be.",
    414: "The address is too long.",
}


def from_http(error: HTTPException) -> Response:
    """Werkzeug's own errors in the same form, with the headers that belong to them (Allow, Retry-After)."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after", "www-authenticate")}
    return response_of(Problem(status, _SENTENCES.get(status, error.description or HTTPStatus(status).description), headers=headers))
