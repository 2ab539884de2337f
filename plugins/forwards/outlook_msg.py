"""Originals attached as Outlook .msg files. Needs extract-msg, which you install yourself (GPL-3): pip install extract-msg"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from core.hookspecs import hookimpl
from core.mail.forward import split_note
from core.mail.forward_people import read_people, read_sender
from core.mail.labels import subject_prefix
from core.mail.parse import attachment_bytes
from core.types import Attachment, Email, Forward

try:
    import extract_msg
except ImportError:  # the plugin then answers nothing
    extract_msg = None

MAX_FILES = 10
MAX_SIZE = 25_000_000


def is_msg(attachment: Attachment) -> bool:
    return attachment.content_type == "application/vnd.ms-outlook" or attachment.filename.lower().endswith(".msg")


def original(data: bytes) -> Forward:
    """The mail that a .msg file holds. Raises whatever the library raises for a broken file."""
    with extract_msg.openMsg(data) as message:
        sender, name = read_sender(_text(message.sender))
        date = message.date.astimezone(dt.UTC) if isinstance(message.date, dt.datetime) else None
        return Forward(
            unreadable=sender is None,
            client="outlook_msg",
            sender=sender,
            sender_name=name or None if sender is None else None,
            to=read_people(_text(message.to)).mailboxes,
            cc=read_people(_text(message.cc)).mailboxes,
            subject=_text(message.subject) or None,
            date=date,
            date_raw=None,
            message_id=_text(message.messageId).strip("<> ") or None,
            body=_text(message.body).strip(),
            evidence="attachment",
        )


def _text(value: Any) -> str:
    return value.replace("\x00", "").replace("\r\n", "\n") if isinstance(value, str) else ""


@hookimpl
def read_forward(email: Email, raw: bytes) -> Forward | None:
    """The first .msg of a mail that is no reply; further ones are its `others`."""
    if extract_msg is None or subject_prefix(email.subject)[0] == "reply":
        return None
    files = [one for one in email.attachments if is_msg(one) and one.size <= MAX_SIZE][:MAX_FILES]
    found = [original(attachment_bytes(raw, one.part)) for one in files]
    first = next((one for one in found if not one.unreadable), None)
    if first is None:
        return None
    note, signature = split_note(email.text)
    return replace(first, note=note, signature=signature, others=tuple(one for one in found if one is not first))
