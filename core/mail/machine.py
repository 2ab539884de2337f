"""Is it a person's mail or a machine's? Told by headers and structure only, never by words of subject or body."""

from __future__ import annotations

import re

from core.mail.charsets import decode
from core.mail.headers import FWS, Head
from core.mail.html import html_to_text
from core.mail.tree import Part, decoded
from core.types import Identity

_SYSTEM = frozenset(("mailer-daemon", "postmaster", "mail-daemon", "mailerdaemon"))
_WORD = re.compile(rb"[a-z0-9-]+")
_WRAPPERS = ("multipart/mixed", "multipart/signed")
_MAX_WRAPPED = 2
_MAX_BLANK = 500  # bytes of a part that may be a text without a word
_REPORTS = {"delivery-status": "bounce", "disposition-notification": "report", "feedback-report": "report", "tlsrpt": "report"}


def machine_kind(raw: bytes, head: Head, root: Part | None, identity: Identity) -> str:
    """ "", "bounce", "report", "auto-reply", "auto-generated", "list" or "bulk": the strongest that applies.

    `head` and `root` are offsets into `raw`.
    """
    return _report(head, root and _unwrapped(raw, root), identity) or _automatic(head) or _many(head)


def _first_word(head: Head, name: str) -> str:
    value = head.first(name)
    match = _WORD.search(value[:200].lower()) if value else None
    return match[0].decode("ascii") if match else ""


def _report(head: Head, root: Part | None, identity: Identity) -> str:
    if root is not None:
        if root.content_type == "multipart/report":
            # RFC 6522: the kind is told by report-type, in its absence by what the second part is.
            kind = (root.params.raw("report-type") or b"").decode("latin-1").strip(FWS).lower()
            return _REPORTS.get(kind) or _by_children(root) or "report"
        if root.content_type == "message/delivery-status" or _by_children(root) == "bounce":
            return "bounce"
        if root.content_type in ("message/disposition-notification", "message/feedback-report") or _by_children(root) == "report":
            return "report"
    if head.first("x-failed-recipients") is not None:
        return "bounce"
    if _null_return_path(head) and _is_system(head, identity):
        return "bounce"
    return ""


def _unwrapped(raw: bytes, root: Part) -> Part:
    """The report that a gateway or a mailing list wrapped to sign it or to add its lines below; the root itself when there is none.

    A person who passes a report on writes above it or attaches it as a mail: then it is not the first thing in the mail.
    """
    part = root
    for _ in range(_MAX_WRAPPED):
        if part.content_type not in _WRAPPERS:
            break
        first = next((child for child in part.children[:20] if not _is_blank(raw, child)), None)
        if first is None:
            break
        part = first
    return part if part.content_type == "multipart/report" else root


def _is_blank(raw: bytes, part: Part) -> bool:
    """True for a text in which nothing is written."""
    if part.content_type not in ("text/plain", "text/html") or not part.leaf() or part.end - part.start > _MAX_BLANK:
        return False
    data, _ = decoded(raw, part)
    text = decode(data, (part.params.raw("charset") or b"").decode("latin-1"))[0]
    return not (html_to_text(text) if part.content_type == "text/html" else text).strip()


def _by_children(root: Part) -> str:
    kinds = {child.content_type for child in root.children[:20]}
    if "message/delivery-status" in kinds or "message/global-delivery-status" in kinds:
        return "bounce"
    if "message/disposition-notification" in kinds or "message/feedback-report" in kinds:
        return "report"
    return ""


def _null_return_path(head: Head) -> bool:
    value = head.first("return-path")
    return value is not None and not value.strip(b" \t<>")


def _is_system(head: Head, identity: Identity) -> bool:
    if identity.mailbox is not None:
        return identity.mailbox.local.lower() in _SYSTEM
    value = (head.first("from") or b"")[:500].lower()
    return any(name.encode() in value for name in _SYSTEM)


def _automatic(head: Head) -> str:
    submitted = _first_word(head, "auto-submitted")
    if submitted in ("auto-replied", "auto-notified"):  # RFC 3834 section 5, RFC 5436
        return "auto-reply" if submitted == "auto-replied" else "auto-generated"
    if submitted and submitted != "no":
        return "auto-generated"
    precedence = _first_word(head, "precedence")
    if any(head.first(name) is not None for name in ("x-autoreply", "x-autorespond", "x-auto-reply", "x-autoresponder", "x-autoreply-from")):
        return "auto-reply"
    value = (head.first("precedence") or b"")[:50].strip().lower()
    if value in (b"auto_reply", b"auto-reply"):
        return "auto-reply"
    return "auto-generated" if precedence == "junk" else ""


def _many(head: Head) -> str:
    if any(head.first(name) is not None for name in ("list-id", "list-post", "list-unsubscribe")):
        return "list"
    precedence = _first_word(head, "precedence")
    if precedence == "list":
        return "list"
    return "bulk" if precedence == "bulk" else ""


def is_loop(head: Head) -> bool:
    """True when the mail carries our own mark: `X-Loop: dropcopy …`."""
    return any(value[:100].strip().lower().startswith(b"dropcopy") for value in head.all("x-loop")[:20])
