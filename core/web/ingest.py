"""`/in/<instance>-<token>`: where webhook providers post. Bytes go to the plugin untouched, within its bound."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from flask import Blueprint, Response, current_app, request

from core import sources
from core.errors import BadInput, Sentence
from core.house import House
from core.reasons import N_
from core.store.database import connected, write
from core.store.models import SourceInstance, SourceRequest
from core.types import Source, WebAnswer, WebRequest
from core.web.access import public

log = logging.getLogger("dropcopy.ingest")
pages = Blueprint("ingest", __name__)

MARK = "X-Dropcopy-Source"  # which source answered: shows the "Test" button that the address leads here
_KEPT_REQUESTS = 20
_RETRY_SECONDS = "60"


def _house() -> House:
    return current_app.extensions["dropcopy"]


@pages.route("/in/<path:name>", methods=["GET", "HEAD", "POST"])
@public
def receive(name: str) -> Response:
    """The provider's request, proved and read by the plugin of the instance that the token names."""
    house = _house()
    row = sources.by_path(name)
    source = house.plugins.sources.get(row.kind) if row is not None else None
    if row is None or source is None or source.handle is None:
        return _answer(WebAnswer(404, N_("There is no such source. Copy its address from the sources page.")))
    if not row.enabled:
        return _answer(WebAnswer(503, N_("The source is paused."), {"Retry-After": _RETRY_SECONDS, MARK: str(row.id)}))
    began = house.now()
    kept: list[int] = []
    answer = _handled(row, source, kept)
    facts = {"type": (request.content_type or "")[:200], "bytes": request.content_length or 0, "from": request.remote_addr or "", "inbound": kept}
    response = _answer(answer)
    response.headers[MARK] = str(row.id)
    if request.method == "POST":  # who only looks at the address is no trouble of the source
        # The provider waits for the mail's commit only: the note on the source's page is a second one, and comes after the answer.
        response.call_on_close(lambda: _remember(house, row, answer, began, facts))
    return response


def _handled(row: SourceInstance, source: Source, kept: list[int]) -> WebAnswer:
    """The plugin's answer; `kept` takes the ids of the mails that came with the request."""
    house = _house()
    limit = int(house.intake.message_limit * source.body_factor) + source.body_extra
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        return WebAnswer(415, N_("Send the request without Content-Encoding."))
    if request.content_length is not None and request.content_length > limit:
        return WebAnswer(413, Sentence(N_("The request is larger than %(limit)s bytes."), limit=limit))
    body = _read(limit)
    if body is None:
        return WebAnswer(413, Sentence(N_("The request is larger than %(limit)s bytes."), limit=limit))
    asked = WebRequest(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers={key.lower(): value for key, value in request.headers.items()},
        body=body,
        client_ip=request.remote_addr,
    )
    try:
        assert source.handle is not None
        context = sources.context_of(row, source, house)
        answer = source.handle(asked, context)
        kept += context.intake.ids if isinstance(context.intake, sources.NotedIntake) else []
        return answer
    except BadInput as error:
        log.error("the settings of the source %s do not fit: %s", row.name, error)
        return WebAnswer(503, N_("The source's settings do not fit; an admin must mend them."), {"Retry-After": _RETRY_SECONDS})
    except Exception:
        log.exception("the source %s failed", row.name)
        return WebAnswer(503, N_("The mail could not be taken just now."), {"Retry-After": _RETRY_SECONDS})


def _read(limit: int) -> bytes | None:
    """The whole body, however small the pieces in which it comes; None when it is larger than `limit`."""
    body = bytearray()
    while piece := request.stream.read(min(limit + 1 - len(body), 1 << 20)):
        body += piece
        if len(body) > limit:
            return None
    return bytes(body)


def _remember(house: House, row: SourceInstance, answer: WebAnswer, began: dt.datetime, facts: dict[str, Any]) -> None:
    """The last requests stand on the source's page: when, which answer, how large; nothing of their content."""
    try:
        now = house.now()
        with connected(), write():
            SourceRequest.create(instance=row.id, at=now, status=answer.status, sentence=answer.text, facts=facts)
            old = SourceRequest.select(SourceRequest.id).where(SourceRequest.instance == row.id).order_by(SourceRequest.id.desc()).offset(_KEPT_REQUESTS)
            SourceRequest.delete().where(SourceRequest.id.in_([r[0] for r in old.tuples()] or [-1])).execute()
            if 200 <= answer.status < 300:
                if facts["inbound"]:
                    SourceInstance.update(last_mail_at=now).where(SourceInstance.id == row.id).execute()
                # What the plugin reported while it answered stands; older trouble is over.
                SourceInstance.update(last_error="", last_error_at=None).where(SourceInstance.id == row.id, SourceInstance.last_error_at < began).execute()
            else:
                SourceInstance.update(last_error=answer.text, last_error_at=now).where(SourceInstance.id == row.id).execute()
    except Exception:
        log.exception("the request could not be noted on the source's page")


def _answer(answer: WebAnswer) -> Response:
    response = Response(answer.text, answer.status, mimetype="text/plain")
    response.headers.update(dict(answer.headers))
    return response
