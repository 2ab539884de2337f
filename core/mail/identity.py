"""Who sent the mail: ONE function on the raw bytes. Alignment, attribution and the page all use its answer."""

from __future__ import annotations

import re

from core.mail.addresses import read_list
from core.mail.headers import Head, read_head, readable
from core.types import Identity

MAX_FROM = 10_000  # bytes of a From value; an honest one is below 1 000
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# What makes programs disagree about who the sender is.
_FATAL = frozenset(("comment-depth", "two-angles", "trailing-address", "unclosed", "unreadable", "loose"))


def read_identity(raw: bytes) -> Identity:
    """The one sender of a mail. Exactly one From field with exactly one mailbox, else a reason: no-from, multiple-from, bad-from.

    `ceo@v.example <a@x.example>` is a@x.example: only the bracket counts, never an address in the display name.
    """
    readable_raw = readable(raw)
    return identity_of(read_head(readable_raw))


def identity_of(head: Head) -> Identity:
    """The same for a header block that was read before."""
    values = head.all("from")
    if len(values) > 1:
        return Identity(None, "multiple-from")
    if not values:
        return Identity(None, "no-from")
    value = values[0]
    if not value.strip():
        return Identity(None, "no-from")
    if len(value) > MAX_FROM or _CONTROL.search(value):
        return Identity(None, "bad-from")
    found = read_list(value)
    if "comment-depth" in found.odd:
        return Identity(None, "bad-from")
    if found.groups or found.entries == 0:
        return Identity(None, "no-from")
    if found.entries > 1 or found.cut:
        return Identity(None, "multiple-from")
    if found.odd & _FATAL or len(found.mailboxes) != 1:
        return Identity(None, "bad-from")
    return Identity(found.mailboxes[0])
