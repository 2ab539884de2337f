"""The API of mail: what came in and where it ended, threads, their mails and their links."""

from __future__ import annotations

import re
from typing import Any

from flask import Response

from core.store import links, outcomes, staff, threads, undo
from core.store.company import company
from core.store.links import Conflict
from core.store.rows import ThreadRow
from core.store.visibility import Viewer
from core.web import api_json as json
from core.web import api_shapes as shapes
from core.web.api_contract import changes_of, house, operation
from core.web.problem import Problem, missing

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")

# --- inbound ------------------------------------------------------------------------------------------------------


@operation("GET", "/inbound", "Accepted mails and where each ended, newest first.", query=shapes.InboundQuery, answer=shapes.InboundList)
def inbound_list(viewer: Viewer, query: shapes.InboundQuery) -> Any:
    found = outcomes.page(viewer, query.state, query.reason, query.message_id, cursor=query.cursor, limit=query.limit)
    return json.page_of(found, json.inbound)


@operation("GET", "/inbound/<int:inbound_id>", "One accepted mail with its trace.", answer=shapes.InboundWithTrace)
def inbound_one(viewer: Viewer, inbound_id: int) -> Any:
    view = outcomes.get(viewer, inbound_id)
    if view is None:
        raise missing()
    return {**json.inbound(view), "trace": json.trace(outcomes.trace(viewer, inbound_id) or [])}


@operation("GET", "/inbound/<int:inbound_id>/raw", "The mail as received, byte for byte.", answer="message/rfc822")
def inbound_raw(viewer: Viewer, inbound_id: int) -> Response:
    content = outcomes.raw(viewer, inbound_id)
    if content is None:
        raise missing()
    headers = {
        "Content-Disposition": f'attachment; filename="mail-{inbound_id}.eml"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, mimetype="message/rfc822", headers=headers)


def _act(view: outcomes.InboundView | None) -> Any:
    if view is None:
        raise missing()
    house().bell.ring()
    return json.inbound(view)


@operation(
    "POST", "/inbound/<int:inbound_id>/release", "Log a held or not accepted mail by a person's word.", body=shapes.ReleaseWanted, body_needed=False,
    answer=shapes.InboundShape, also=(403,),
)  # fmt: skip
def inbound_release(viewer: Viewer, inbound_id: int, body: shapes.ReleaseWanted) -> Any:
    rep_id = body.rep
    if isinstance(rep_id, str):
        rep_id = staff.by_email(rep_id)
        if rep_id is None:
            raise Problem(422, "rep: there is no such rep", where="rep")
    return _act(outcomes.release(viewer, inbound_id, rep_id))


@operation("POST", "/inbound/<int:inbound_id>/retry", "Judge a held or not accepted mail once more.", answer=shapes.InboundShape)
def inbound_retry(viewer: Viewer, inbound_id: int) -> Any:
    return _act(outcomes.retry(viewer, inbound_id))


@operation("POST", "/inbound/<int:inbound_id>/claim", "Take an unattributed mail as one's own.", answer=shapes.InboundShape, also=(403,))
def inbound_claim(viewer: Viewer, inbound_id: int) -> Any:
    return _act(outcomes.claim(viewer, inbound_id))


@operation("GET", "/find", "Why is my mail not here?", query=shapes.FindQuery, answer=shapes.FindAnswer)
def find(viewer: Viewer, query: shapes.FindQuery) -> Any:
    found = outcomes.find(viewer, query.message_id, query.sender, query.subject, query.limit)
    return {"items": [json.inbound(view) for view in found], "next": None, "waiting": outcomes.waiting_number(viewer)}


# --- threads ------------------------------------------------------------------------------------------------------


def thread_page(items: list[ThreadRow], after: str | None) -> dict[str, Any]:
    """Rows with their links, in one query for all of them."""
    known = links.of_threads([row.id for row in items if not row.redacted])
    return {"items": [json.thread_row(row, known.get(row.id, [])) for row in items], "next": after}


def _owner(value: str | None) -> int | None:
    """A rep by id or account address; -1 for nobody."""
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return staff.by_email(value) or -1


@operation("GET", "/threads", "Threads, newest first; `q` searches.", query=shapes.ThreadsQuery, answer=shapes.ThreadList)
def thread_list(viewer: Viewer, query: shapes.ThreadsQuery) -> Any:
    found = threads.page(viewer, query.tab, query.cursor, query.limit, query.q, _owner(query.owner), query.linked)
    return {**thread_page(found.items, found.next), "understood": found.understood, "notes": list(found.notes)}


def _thread(viewer: Viewer, thread_id: int, before: int | None = None) -> Any:
    found = threads.conversation(viewer, thread_id, opening=True, before=before)
    if found is None:
        raise missing()
    return json.thread(found)


@operation(
    "GET", "/threads/<int:thread_id>", "A thread with its mails, links and candidates. An admin's look at another's private thread is audited.",
    query=shapes.ThreadQuery, answer=shapes.ThreadShape,
)  # fmt: skip
def thread_one(viewer: Viewer, thread_id: int, query: shapes.ThreadQuery) -> Any:
    return _thread(viewer, thread_id, query.before)


def _redacted_or_whole(viewer: Viewer, thread_id: int) -> Any:
    """The thread after an act; an act is no opening."""
    found = threads.conversation(viewer, thread_id)
    if found is None:
        raise missing()
    return json.thread(found)


@operation("PATCH", "/threads/<int:thread_id>", "Share a thread, archive it, or mark it read.", body=shapes.ThreadChange, answer=shapes.ThreadShape, also=(403,))
def thread_change(viewer: Viewer, thread_id: int, body: shapes.ThreadChange) -> Any:
    given = {name: value for name, value in changes_of(body).items() if value is not None}
    if threads.row(viewer, thread_id) is None or ("sharing" in given and threads.set_sharing(viewer, thread_id, given["sharing"]) is None):
        raise missing()
    if "archived" in given:
        threads.archive(viewer, [thread_id], given["archived"])
    if "seen" in given:
        threads.mark_seen(viewer, thread_id, given["seen"])
    return _redacted_or_whole(viewer, thread_id)


@operation("DELETE", "/threads/<int:thread_id>", "Delete a thread with its mails; it can be restored.", also=(403,))
def thread_delete(viewer: Viewer, thread_id: int) -> None:
    if threads.delete_thread(viewer, thread_id) is None:
        raise missing()


@operation("POST", "/threads/<int:thread_id>/restore", "Bring a deleted thread back.", answer=shapes.ThreadShape)
def thread_restore(viewer: Viewer, thread_id: int) -> Any:
    if not threads.restore_thread(viewer, thread_id):
        raise missing()
    return _redacted_or_whole(viewer, thread_id)


@operation("POST", "/threads/<int:thread_id>/split", "Take mails out of a thread into a new one.", body=shapes.SplitWanted, answer=shapes.ThreadSplit, status=201, also=(403,))
def thread_split(viewer: Viewer, thread_id: int, body: shapes.SplitWanted) -> Any:
    found = [threads.message(viewer, ident) for ident in body.messages]
    if any(view is None or view.thread_id != thread_id for view in found):
        raise missing()
    made = threads.split(viewer, body.messages)
    if made is None:
        raise missing()
    fresh, token = made
    return {**_redacted_or_whole(viewer, fresh), "undo": token}


@operation("POST", "/undo/<token>", "Take back one act of one's own, once and within half an hour, by the `undo` of its answer.", answer=shapes.Undone)
def undo_act(viewer: Viewer, token: str) -> Any:
    act = undo.take_back(viewer, token, house().now()) if _TOKEN.fullmatch(token) else None
    if act is None:
        raise missing()
    return {"act": act}


@operation("GET", "/messages/<int:message_id>", "One mail of a thread.", answer=shapes.MessageShape)
def message_one(viewer: Viewer, message_id: int) -> Any:
    view = threads.message(viewer, message_id, opening=True)
    if view is None:
        raise missing()
    return json.message(view)


@operation("DELETE", "/messages/<int:message_id>", "Delete one mail; it can be restored.", also=(403,))
def message_delete(viewer: Viewer, message_id: int) -> None:
    if threads.delete_message(viewer, message_id) is None:
        raise missing()


@operation("POST", "/messages/<int:message_id>/restore", "Bring a deleted mail back.", answer=shapes.MessageShape)
def message_restore(viewer: Viewer, message_id: int) -> Any:
    view = threads.message(viewer, message_id) if threads.restore_message(viewer, message_id) else None
    if view is None:
        raise missing()
    return json.message(view)


# --- links --------------------------------------------------------------------------------------------------------


def _one_record_only() -> bool:
    """Whether the chosen policy lets a thread hold one record only; when it is missing, the careful answer."""
    policy = house().plugins.policies.get(company().policy.name)
    return policy is None or policy.exclusive


@operation(
    "POST", "/threads/<int:thread_id>/links", "Link a thread by hand.", body=shapes.LinkWanted, answer=shapes.LinkShape, status=201, also=(403, 409)
)
def link_add(viewer: Viewer, thread_id: int, body: shapes.LinkWanted) -> Any:
    made = links.link(viewer, thread_id, body.kind, body.id, body.replace, _one_record_only())
    if made is None:
        raise missing()
    if isinstance(made, Conflict):
        present = made.present
        raise Problem(
            409, f"The thread is linked to the {present.kind} “{present.title}” already, and the policy allows one record. Send replace: true to replace it.",
            where="replace", link=json.link(present),
        )  # fmt: skip
    return json.link(made)


@operation("DELETE", "/threads/<int:thread_id>/links/<int:link_id>", "Remove a link by hand; no policy brings it back.", also=(403,))
def link_remove(viewer: Viewer, thread_id: int, link_id: int) -> None:
    if links.unlink(viewer, thread_id, link_id) is None:
        raise missing()
