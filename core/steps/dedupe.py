"""What makes two deliveries one mail. Asked after authentication, so that a stranger cannot pre-empt a rep's mail."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from core.types import Email


def key(owner_id: int, email: Email, body_hash: str) -> str:
    """The unique key of a logged mail: the day of its Date, then sha256 hex of owner, Message-ID, From, Date and the hash of the decoded body.

    A Message-ID alone is no key: it can be forged and is reused. A mail without one is told apart by its subject and
    recipients as well, because From, Date and a short body ("Thanks!") may well repeat. The day stands in front so that the mail
    of one day stands together in the index: each filed mail would else touch a page of its own.
    """
    sender = email.identity.mailbox
    date = email.date.astimezone(dt.UTC) if email.date else None
    parts: list[object] = [
        owner_id,
        email.message_id or "",
        sender.address.lower() if sender else "",
        date.isoformat() if date else "",
        body_hash,
    ]
    if not email.message_id:
        parts.append(email.subject)
        parts.append([box.address.lower() for box in (*email.to, *email.cc)])
    # JSON keeps the parts apart: no two different lists are written the same.
    return f"{date.date() if date else ''} {hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def without_day(key: str) -> str:
    """The key as it was before it began with the day: mail that was logged then has it still."""
    return key.rpartition(" ")[2]
