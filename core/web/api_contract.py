"""How a route of the API is declared: its rule, what it reads, what it answers. From these declarations the requests are
checked, the OpenAPI document is written, and the tests know every route.

Each view gets the viewer first, then the ids of the path, and `query` and `body` as checked models where they are declared.
What it returns is sent as JSON; a Problem (core.web.problem) ends the request.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from flask import Blueprint, Response, current_app, g, request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import models_json_schema

from core.house import House
from core.store import throttle, tokens
from core.store.complaints import first_complaint
from core.store.visibility import Viewer
from core.web.problem import Problem

blueprint = Blueprint("api", __name__)

BODY_LIMIT = 1024 * 1024  # bytes
CALLS, CALLS_PER_SECOND = 2000, 50  # a token may make this many calls at once, and this many a second for ever
HANDFUL = 20  # calls a process takes from the database at a time
WRONG, WRONG_PER_SECOND = 60, 0.2  # wrong tokens from one address


@dataclass(frozen=True)
class Operation:
    """One route as declared. `answer` None: it sends no content. `rule`: public, rep or admin."""

    method: str
    path: str  # as Flask writes it
    name: str
    summary: str
    rule: str
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    body_needed: bool
    answer: type[BaseModel] | str | None
    status: int
    also: tuple[int, ...]

    @property
    def open_path(self) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.path)

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<(?:\w+:)?(\w+)>", self.path)


class _NoField(BaseModel):
    """The query of a route that takes none."""

    model_config = ConfigDict(extra="forbid")


OPERATIONS: list[Operation] = []
View = TypeVar("View", bound=Callable[..., Any])


def operation(
    method: str, path: str, summary: str, *, rule: str = "rep", query: type[BaseModel] | None = None, body: type[BaseModel] | None = None,
    body_needed: bool = True, answer: type[BaseModel] | str | None = None, status: int = 200, also: tuple[int, ...] = (), name: str = "",
) -> Callable[[View], View]:  # fmt: skip
    """Declare a route. `answer`: the model of what it sends, or a media type; `also`: further statuses worth documenting."""

    def declare(view: View) -> View:
        declared = Operation(method, path, name or view.__name__, summary, rule, query, body, body_needed, answer, status, also)
        OPERATIONS.append(declared)

        @functools.wraps(view)
        def answer_request(**ids: Any) -> Response:
            viewer = _whoever(rule)
            if query is not None:
                ids["query"] = _read_query(query)
            elif rule != "public":
                _read_query(_NoField)
            if body is not None:
                ids["body"] = _read_body(body, body_needed)
            return _sent(view(viewer, **ids), status)

        answer_request.access = rule  # type: ignore[attr-defined]
        blueprint.add_url_rule(path, declared.name, answer_request, methods=[method])
        return view

    return declare


def house() -> House:
    return current_app.extensions["dropcopy"]


# --- who asks -----------------------------------------------------------------------------------------------------


class Allowance:
    """Calls that a process may still make, taken from the bucket in the database by the handful."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._lock = threading.Lock()

    def spend(self, key: str) -> bool:
        with self._lock:
            left = self._left.get(key, 0)
            if left > 0:
                self._left[key] = left - 1
                return True
        if not throttle.take(key, house().now(), size=CALLS, per_second=CALLS_PER_SECOND, cost=HANDFUL):
            return False
        with self._lock:
            if len(self._left) > 10_000:
                self._left.clear()
            self._left[key] = HANDFUL - 1
        return True


_TOO_OFTEN = "Too many requests; wait a little and go on more slowly."


def _whoever(rule: str) -> Viewer | None:
    """The rep whose token came along. Raises a Problem where the rule asks for more."""
    if rule == "public":
        return None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    viewer = tokens.viewer_for(token.strip(), house().seal) if scheme.lower() == "bearer" else None
    if viewer is None:
        if token and not throttle.take(f"api-wrong:{request.remote_addr}", house().now(), size=WRONG, per_second=WRONG_PER_SECOND):
            raise Problem(429, _TOO_OFTEN, headers={"Retry-After": "60"})
        raise Problem(401, "Send a valid token: Authorization: Bearer TOKEN. Tokens are made in the settings.", headers={"WWW-Authenticate": "Bearer"})
    g.token_rep = viewer.rep_id
    if not current_app.extensions["dropcopy-api"].spend(f"api:{viewer.rep_id}"):
        raise Problem(429, _TOO_OFTEN, headers={"Retry-After": "1"})
    if rule == "admin" and not viewer.is_admin:
        raise Problem(403, "Only an admin's token may do this.")
    return viewer


# --- what is read -------------------------------------------------------------------------------------------------


def _complain(error: ValidationError, status: int) -> Problem:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Problem(400, f"The body is no JSON: {first['ctx']['error']}.", where="body")
    complaint = first_complaint(error)
    where = complaint.where or "body"
    sentence = {
        "missing": "this field is needed",
        "extra_forbidden": "there is no such field",
        "model_type": "send a JSON object",
        "model_attributes_type": "send a JSON object",
    }.get(first["type"], complaint.sentence)
    return Problem(status, f"{where}: {sentence}", where=where)


def _read_query(model: type[BaseModel]) -> BaseModel:
    given = {name: value for name, value in request.args.items() if name not in model.model_fields or value != ""}
    if any("\x00" in text for pair in given.items() for text in pair):
        raise Problem(400, "A parameter holds a NUL character.", where="query")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _complain(error, 400) from None


def _read_body(model: type[BaseModel], needed: bool) -> BaseModel:
    content = request.get_data(cache=False)
    if not content.strip() and not needed:
        content = b"{}"
    if not content.strip():
        raise Problem(400, "Send a JSON object as the body.", where="body")
    if b"\\u0000" in content or b"\x00" in content:
        raise Problem(400, "The body holds a NUL character, which no text here may have.", where="body")
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise _complain(error, 422) from None
    except UnicodeError:
        raise Problem(400, "The body is not in UTF-8.", where="body") from None


def changes_of(body: BaseModel) -> dict[str, Any]:
    """The fields that were given."""
    return body.model_dump(exclude_unset=True)


# --- what is sent -------------------------------------------------------------------------------------------------


def _odd(value: Any) -> Any:
    """What the encoder does not know: a Sentence is told to programs in English."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent")


_encode = msgspec.json.Encoder(enc_hook=_odd)


def _sent(content: Any, status: int) -> Response:
    if isinstance(content, Response):
        return content
    response = Response(b"" if content is None else _encode.encode(content), 204 if content is None else status, mimetype="application/json")
    if content is None:
        del response.headers["Content-Type"]
    response.headers["Cache-Control"] = "no-store"
    return response


# --- the document -------------------------------------------------------------------------------------------------

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for a person."},
        "where": {"type": "string", "description": "The field or parameter that is wrong."},
    },
}
_TROUBLE = {
    400: "The request cannot be read.",
    401: "No valid token came along.",
    403: "It is not theirs to do.",
    404: "It does not exist, or is not for them: both look alike.",
    409: "It clashes with what is there.",
    413: "The body is too large.",
    422: "A field is wrong; `where` names it.",
    429: "Too many requests.",
    502: "The other side could not be reached.",
}


def openapi(title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every declared route."""
    wanted: dict[tuple[Any, Any], None] = {}
    for declared in OPERATIONS:
        for model in (declared.query, declared.body):
            if model is not None:
                wanted[(model, "validation")] = None
        if isinstance(declared.answer, type):
            wanted[(declared.answer, "serialization")] = None
    refs, definitions = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for declared in OPERATIONS:
        paths.setdefault("/api/v1" + declared.open_path, {})[declared.method.lower()] = _described(declared, refs, definitions.get("$defs", {}))
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": "Lists are paged: give the value of `next` as `cursor`. Times are RFC 3339 in UTC."},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _described(declared: Operation, refs: Mapping[Any, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1} if f"<int:{name}>" in declared.path else {"type": "string", "minLength": 1}}
        for name in declared.parameters
    ]  # fmt: skip
    if declared.query is not None:
        schema = schemas[refs[(declared.query, "validation")]["$ref"].rpartition("/")[2]]
        for name, field in schema.get("properties", {}).items():
            parameters.append({"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": _without_null(field)})
    described: dict[str, Any] = {
        "operationId": declared.name,
        "summary": declared.summary,
        "tags": [declared.path.split("/")[1]],
        "parameters": parameters,
        "responses": _responses(declared, refs),
        "x-rule": declared.rule,
    }
    if declared.body is not None:
        schema = refs[(declared.body, "validation")]
        described["requestBody"] = {"required": declared.body_needed, "content": {"application/json": {"schema": schema}}}
    if declared.rule == "public":
        described["security"] = []
    return described


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is given or left out; it is never null."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
    plain = {name: value for name, value in field.items() if name not in ("anyOf", "default")}
    return {**plain, **kinds[0]} if len(kinds) == 1 else field


def _responses(declared: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    if declared.answer is None:
        fine: dict[str, Any] = {"description": "Done."}
        status = 204
    else:
        kind = declared.answer if isinstance(declared.answer, str) else "application/json"
        schema = {} if isinstance(declared.answer, str) else {"schema": refs[(declared.answer, "serialization")]}
        fine, status = {"description": "Done.", "content": {kind: schema}}, declared.status
    trouble = {429} if declared.rule == "public" else {400, 401, 429}
    trouble |= {403} if declared.rule == "admin" else set()
    trouble |= {404} if declared.parameters else set()
    trouble |= {413, 422} if declared.body is not None else set()
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): fine,
        **{str(code): {"description": _TROUBLE[code], "content": content} for code in sorted(trouble | set(declared.also))},
    }  # fmt: skip
