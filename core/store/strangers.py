"""Valid senders nobody knows, and the domains of which an admin wants to see none (F22)."""

from __future__ import annotations

import datetime as dt

from core.errors import BadInput
from core.reasons import N_
from core.store import inbound, plain
from core.store.company import beat
from core.store.database import write
from core.store.fields import to_micros


def blocked_by(domain: str) -> str | None:
    """The blocked domain under which this one stands, itself or a parent; None when there is none."""
    labels = domain.lower().rstrip(".").split(".")[-20:]
    names = [".".join(labels[start:]) for start in range(len(labels))]
    found = {row[0] for row in plain.rows(f"SELECT domain FROM blocked_domain WHERE domain IN ({plain.marks(names)})", *names)}
    return next((name for name in names if name in found), None)


def block(domain: str, by: str, now: dt.datetime) -> int:
    """List no strangers of this domain any more, nor those that are listed; how many of these there were. Raises BadInput."""
    name = domain.strip().strip(".").lower()
    if "." not in name or any(ch in name for ch in " @/:*%_"):
        raise BadInput("domain", N_("write a domain such as spam.example"))
    with write():
        plain.insert("blocked_domain", {"domain": name, "added_by": by, "created_at": now}, ending=" ON CONFLICT (domain) DO NOTHING")
        listed = plain.rows(
            "UPDATE outcome SET state = 'ignored', reason = 'blocked-domain', decided_at = ? WHERE state = 'held' AND reason IN ('unattributed', 'unknown-sender')"
            " AND (sender_domain = ? OR sender_domain LIKE ?) RETURNING inbound_id",
            to_micros(now), name, f"%.{name}",
        )  # fmt: skip
        beat("mail", "settings")
    for (inbound_id,) in listed:
        inbound.put_aside(inbound_id, "blocked-domain")
    return len(listed)


def unblock(domain: str) -> bool:
    """Strangers of this domain are listed again from now on."""
    with write():
        return plain.do("DELETE FROM blocked_domain WHERE domain = ?", domain.strip().strip(".").lower()) > 0
