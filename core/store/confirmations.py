"""Gmail's questions whether a drop address takes forwarded mail: they come as mail, and an admin must see code and link."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass

from core.store import inbound
from core.store.models import Outcome

SENDER = "forwarding-noreply@google.com"
READ = 200_000  # bytes of the mail in which the link is looked for
KEPT = dt.timedelta(days=7)
_LINK = re.compile(r"https://(?:mail|mail-settings)\.google\.com/mail/vf-[\w%.~=-]{1,500}")
_CODE = re.compile(r"\(#(\d{6,12})\)")


@dataclass(frozen=True)
class Confirmation:
    """Gmail asks whether a drop address takes forwarded mail: its code and its link, each "" where it was not found."""

    inbound_id: int
    received_at: dt.datetime
    subject: str
    code: str
    link: str


def newest(now: dt.datetime, text_of: Callable[[bytes], str], limit: int = 5) -> list[Confirmation]:
    """Gmail's questions of the last week, proved to be Gmail's, newest first; for an admin to answer. `text_of` reads a mail."""
    query = (
        Outcome.select(Outcome.inbound_id, Outcome.received_at, Outcome.subject)
        .where(Outcome.sender == SENDER, Outcome.decision == "pass", Outcome.received_at > now - KEPT)
        .order_by(Outcome.inbound_id.desc())
        .limit(limit)
    )
    found = []
    for ident, at, subject in query.tuples():
        raw_mail = (inbound.raw_of(ident) or b"")[:READ]
        text = text_of(raw_mail) if raw_mail else ""
        code, link = _CODE.search(subject), _LINK.search(text)
        found.append(Confirmation(ident, at, subject, code[1] if code else "", link[0] if link else ""))
    return found
