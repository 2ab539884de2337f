"""What makes two deliveries one mail. Asked after authentication, so that a stranger cannot pre-empt a rep's mail."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from core.types import Email


def key(owner_id: int, email: Email, body_hash: str) -> str:
    """The unique key of a logged mail: sha256 hex of owner, Message-ID, From, Date and the hash of the decoded body.

    A Message-ID alone is no key: it can be forged and is reused. A mail without one is told apart by its subject and
    recipients as well, because From, Date and a short body ("Thanks!") may well repeat.
    """
    sender = email.identity.mailbox
    parts: list[object] = [
        owner_id,
        email.message_id or "",
        sender.address.lower() if sender else "",
        email.date.astimezone(dt.UTC).isoformat() if email.date else "",
        body_hash,
    ]
    if not email.message_id:
        parts.append(email.subject)
        parts.append([box.address.lower() for box in (*email.to, *email.cc)])
    # JSON keeps the parts apart: no two different lists are written the same.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
