"""Originals inside winmail.dat (TNEF). Needs tnefparse, which you install yourself (LGPL-3): pip install tnefparse"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from core.hookspecs import hookimpl
from core.mail import forward
from core.mail.forward_people import read_sender
from core.mail.labels import subject_prefix
from core.mail.parse import attachment_bytes
from core.types import Attachment, Email, Forward

try:
    import tnefparse
except ImportError:  # the plugin then answers nothing
    tnefparse = None

MAX_SIZE = 25_000_000
# MS-OXPROPS: PidTagSentRepresentingSmtpAddress, …EmailAddress, PidTagSenderSmtpAddress, PidTagSenderEmailAddress
_ADDRESSES = (0x5D02, 0x0065, 0x5D01, 0x0C1F)
_NAMES = (0x0042, 0x0C1A)  # PidTagSentRepresentingName, PidTagSenderName
_SUBJECT, _SUBMITTED, _MESSAGE_ID = 0x0037, 0x0039, 0x1035


def is_winmail(attachment: Attachment) -> bool:
    return attachment.content_type in ("application/ms-tnef", "application/vnd.ms-tnef") or attachment.filename.lower() == "winmail.dat"


def original(message: Any) -> Forward:
    """The mail that an embedded TNEF message holds."""
    properties = {one.name: one.data for one in message.mapiprops}
    address = next((text for number in _ADDRESSES if "@" in (text := _text(properties.get(number)))), "")
    name = next((text for number in _NAMES if (text := _text(properties.get(number)))), "")
    sender, shown = read_sender(f'"{name}" <{address}>' if name else address)
    submitted = properties.get(_SUBMITTED)
    return Forward(
        unreadable=sender is None,
        client="outlook_tnef",
        sender=sender,
        sender_name=(shown or name) or None if sender is None else None,
        subject=_text(properties.get(_SUBJECT)) or None,
        date=submitted.replace(tzinfo=dt.UTC) if isinstance(submitted, dt.datetime) and submitted.tzinfo is None else None,
        message_id=_text(properties.get(_MESSAGE_ID)).strip("<> ") or None,
        body=_text(message.body).strip(),
        evidence="attachment",
    )


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.replace("\x00", "").replace("\r\n", "\n") if isinstance(value, str) else ""


@hookimpl
def read_forward(email: Email, raw: bytes) -> Forward | None:
    """The mail attached inside winmail.dat; else the block in the text that winmail.dat holds, read by the core's reader."""
    holder = next((one for one in email.attachments if is_winmail(one) and one.size <= MAX_SIZE), None)
    if tnefparse is None or holder is None or subject_prefix(email.subject)[0] == "reply":
        return None
    opened = tnefparse.TNEF(attachment_bytes(raw, holder.part))
    found = [original(one.embed) for one in opened.attachments if getattr(one, "embed", None) is not None][:10]
    note, signature = forward.split_note(email.text)
    first = next((one for one in found if not one.unreadable), None)
    if first is not None:
        return replace(first, note=note, signature=signature, others=tuple(one for one in found if one is not first))
    inner = replace(email, text=_text(opened.body) or email.text, html=_text(opened.htmlbody) or email.html)
    read = forward.read(inner) if inner != email else None
    return read if read is not None and not read.unreadable else None
