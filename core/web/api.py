"""The REST API at /api/v1: its document, its reading page, and how every error becomes a problem (docs/api.md)."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from flask import Flask, Response, render_template_string, request
from peewee import IntegrityError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from core.errors import BadInput, NotAllowed
from core.house import House
from core.store import disk
from core.store.database import is_busy
from core.store.visibility import Viewer
from core.web import api_crm, api_house, api_mail, problem
from core.web.api_contract import BODY_LIMIT, OPERATIONS, Allowance, blueprint, openapi, operation
from core.web.problem import Problem

log = logging.getLogger("dropcopy.api")

NOUNS = (api_mail, api_crm, api_house)  # importing them declares their routes
PREFIX = "/api/v1"


def _version() -> str:
    try:
        return version("dropcopy")
    except PackageNotFoundError:
        return "0.1.0"


@operation("GET", "/openapi.json", "This document.", rule="public", answer="application/json", name="openapi_document")
def document(viewer: Viewer | None) -> Response:
    return Response(msgspec.json.encode(openapi("Dropcopy", _version())), mimetype="application/json")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Dropcopy API</title><link rel="icon" type="image/svg+xml" href="/static/mark.svg"></head>
<body><main><h1>Dropcopy API</h1>
<p>Send <code>Authorization: Bearer TOKEN</code> and JSON. Lists are paged: give the value of <code>next</code> as <code>cursor</code>. Errors are
<code>application/problem+json</code>. The whole description for programs: <a href="{{ prefix }}/openapi.json">openapi.json</a>.</p>
{% for tag, operations in groups.items() %}<h2>{{ tag }}</h2><dl>
{% for one in operations %}<dt><code>{{ one.method }} {{ prefix }}{{ one.open_path }}</code></dt>
<dd>{{ one.summary }}{% if one.rule == "admin" %} <em>Admins only.</em>{% endif %}
{% if one.query %}<br>Parameters: {% for name in one.query.model_fields %}<code>{{ name }}</code> {% endfor %}{% endif %}
{% if one.body %}<br>Body: {% for name in one.body.model_fields %}<code>{{ name }}</code> {% endfor %}{% endif %}</dd>
{% endfor %}</dl>{% endfor %}</main></body></html>"""


@operation("GET", "/docs", "This API for people.", rule="public", answer="text/html", name="docs_page")
def docs_page(viewer: Viewer | None) -> str | Response:
    groups: dict[str, list[Any]] = {}
    for declared in OPERATIONS:
        groups.setdefault(declared.path.split("/")[1], []).append(declared)
    return Response(render_template_string(_PAGE, groups=groups, prefix=PREFIX), mimetype="text/html")


# --- errors -------------------------------------------------------------------------------------------------------


@blueprint.before_app_request
def _routing_trouble() -> Response | None:
    """Addresses and methods below /api/ that no route answers; the blueprint's own handlers never see these."""
    trouble = request.routing_exception
    if trouble is None or isinstance(trouble, RequestRedirect) or not request.path.startswith("/api/"):
        return None
    return problem.from_http(trouble)


@blueprint.before_request
def _bounded() -> None:
    request.max_content_length = BODY_LIMIT


@blueprint.errorhandler(Problem)
def _on_problem(error: Problem) -> Response:
    return problem.response_of(error)


@blueprint.errorhandler(BadInput)
def _on_bad_input(error: BadInput) -> Response:
    status = 400 if request.method == "GET" else 422
    return problem.response_of(Problem(status, str(error), where=error.where))


@blueprint.errorhandler(NotAllowed)
def _on_not_allowed(error: NotAllowed) -> Response:
    return problem.response_of(Problem(403, str(error)))


@blueprint.errorhandler(HTTPException)
def _on_http(error: HTTPException) -> Response:
    return problem.from_http(error)


@blueprint.errorhandler(Exception)
def _on_fault(error: Exception) -> Response:
    if isinstance(error, IntegrityError):  # two asked for the same at the same moment; the second was rolled back whole
        return problem.response_of(Problem(409, "Somebody entered the same at this moment; look at what is there and try again."))
    kind = disk.kind_of(error)
    if kind is not None:
        log.warning("an API request could not be done: %s %s: %s", request.method, request.path, disk.cause_of(error))
        return problem.response_of(Problem(503, problem.CANNOT_WRITE[kind], headers={"Retry-After": "60"}))
    if is_busy(error):
        return problem.response_of(Problem(503, "The database is busy just now; try again in a moment.", headers={"Retry-After": "2"}))
    log.exception("an API request failed: %s %s", request.method, request.path)
    return problem.response_of(Problem(500, "Something went wrong on our side; it is written in the log. Nothing was changed by halves."))


def install(app: Flask, house: House) -> None:
    """Put the API on an app whose house hangs at `app.extensions["dropcopy"]`."""
    app.extensions["dropcopy-api"] = Allowance()
    app.register_blueprint(blueprint, url_prefix=PREFIX)
