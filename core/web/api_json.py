"""Values of the store as the JSON of the API: the shapes of the public interface, to the letter."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from core.store.links import CandidateView, LinkView
from core.store.outcomes import InboundView
from core.store.paging import Page
from core.store.rows import ThreadRow
from core.store.threads import Conversation, MessageView
from core.types import Mailbox
from core.web.frame import remedy, sentence


def plain(value: Any) -> dict[str, Any]:
    """A view whose fields are named as the API names them."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def page_of(page: Page[Any], each: Any = plain) -> dict[str, Any]:
    return {"items": [each(item) for item in page.items], "next": page.next}


def mailbox(box: Mailbox) -> dict[str, Any]:
    return {"name": box.name, "address": box.address}


def link(view: LinkView) -> dict[str, Any]:
    return {
        "id": view.id, "kind": view.kind, "target_id": view.target_id, "external_id": view.external_id, "title": view.title, "reason": view.reason,
        "because": sentence(view.reason, {"title": view.title, "kind": view.kind, **view.params}), "made_by": view.made_by, "created_at": view.created_at,
    }  # fmt: skip


def candidate(view: CandidateView) -> dict[str, Any]:
    return {
        "kind": view.kind, "target_id": view.target_id, "external_id": view.external_id, "title": view.title, "status": view.status, "reason": view.reason,
        "because": sentence(view.reason, {"title": view.title, "kind": view.kind, **view.params}), "offer": view.offer,
    }  # fmt: skip


def forward(kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A forwarded block as kept, with its author under `from`, all the way down the chain; `claimed`, for nobody can prove it."""
    if not kept:
        return None
    named = {("from" if name == "sender" else name): value for name, value in kept.items()}
    chain = named.get("chain") or []
    return {**named, "claimed": True, "chain": [forward(link) for link in chain]}


def _told(code: str, params: Mapping[str, Any]) -> dict[str, str]:
    """A code's sentence and what would mend it, each empty when there is none."""
    return {"sentence": sentence(code, params) if code else "", "remedy": remedy(code, params)}


def message(view: MessageView) -> dict[str, Any]:
    checks = [{**check, **_told(check.get("reason") or "", check.get("params") or {})} for check in view.checks]
    return {
        "id": view.id, "inbound_id": view.inbound_id, "thread_id": view.thread_id, "message_id": view.message_id, "from": mailbox(view.sender),
        "to": [mailbox(box) for box in view.to], "cc": [mailbox(box) for box in view.cc], "date": view.date, "subject": view.subject, "text": view.text,
        "html": view.html, "forward": forward(view.forward), "authentication": {"decision": view.decision, "checks": checks},
        "attachments": [{name: value for name, value in plain(item).items() if name not in ("message_id", "part")} for item in view.attachments],
    }  # fmt: skip


def thread_row(row: ThreadRow, links: list[LinkView]) -> dict[str, Any]:
    return {
        "id": row.id, "subject": row.subject, "owner": row.owner, "sharing": row.sharing, "started_at": row.started_at, "last_at": row.last_at,
        "waiting": row.waiting, "waiting_reason": row.waiting_reason, "conversation_id": row.conversation_id, "who": row.who, "snippet": row.snippet,
        "message_count": row.message_count, "linked": row.linked, "has_attachment": row.has_attachment, "unread": row.unread, "archived": row.archived,
        "metadata_only": row.redacted, "links": [] if row.redacted else [link(view) for view in links],
    }  # fmt: skip


def thread(found: Conversation) -> dict[str, Any]:
    return {
        **thread_row(found.row, found.links),
        "messages": [message(view) for view in found.messages],
        "more": found.more,
        "candidates": [candidate(view) for view in found.candidates],
        "related": [row.id for row in found.related],
        "openings": [plain(view) for view in found.openings],
    }


def inbound(view: InboundView) -> dict[str, Any]:
    return {
        "id": view.id, "state": view.state, "reason": view.reason, "sentence": sentence(view.reason, view.params), "remedy": remedy(view.reason, view.params),
        "source": view.source, "received_at": view.received_at, "message_id": view.message_id, "mail_from": view.mail_from, "rcpt_to": view.rcpt_to,
        "sender": view.sender, "subject": view.subject, "rep": view.rep, "rule": view.rule, "thread_id": view.thread_id, "duplicate_of": view.duplicate_of,
        "size": view.size,
    }  # fmt: skip


def trace(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "step": entry.get("step", ""), "outcome": entry.get("outcome", ""), "reason": entry.get("reason", ""),
            "params": entry.get("params") or {}, **_told(entry.get("reason", ""), entry.get("params") or {}),
        }
        for entry in entries
    ]  # fmt: skip
