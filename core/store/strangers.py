"""Valid senders nobody knows, and the domains of which an admin wants to see none (F22)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from core.errors import BadInput
from core.mail.addresses import normalise_domain
from core.reasons import N_
from core.store import inbound, plain
from core.store.company import beat
from core.store.database import write
from core.store.fields import from_micros
from core.store.models import Outcome

_MOST_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class BlockedDomainView:
    domain: str
    added_by: str
    created_at: dt.datetime


def blocked_by(domain: str) -> str | None:
    """The blocked domain under which this one stands, itself or a parent; None when there is none."""
    labels = domain.lower().rstrip(".").split(".")[-20:]
    names = [".".join(labels[start:]) for start in range(len(labels))]
    found = {row[0] for row in plain.rows(f"SELECT domain FROM blocked_domain WHERE domain IN ({plain.marks(names)})", *names)}
    return next((name for name in names if name in found), None)


def block(domain: str, by: str, now: dt.datetime) -> int:
    """List no strangers of this domain any more, nor those that are listed; how many of these there were. Raises BadInput."""
    name = normal(domain)
    if "." not in name or any(ch in name for ch in " @/:*%_"):
        raise BadInput("domain", N_("write a domain such as spam.example"))
    with write():
        plain.insert("blocked_domain", {"domain": name, "added_by": by, "created_at": now}, ending=" ON CONFLICT (domain) DO NOTHING")
        under = (Outcome.sender_domain == name) | (Outcome.sender_domain ** f"%.{name}")
        waits = (Outcome.state == "held") & Outcome.reason.in_(("unattributed", "unknown-sender"))
        listed = []
        for ident, sender in list(Outcome.select(Outcome.inbound_id, Outcome.sender).where(waits, under).tuples()):
            said = {"address": sender, "domain": name}
            # Asked again: on PostgreSQL somebody may have let it in since.
            if Outcome.update(state="ignored", reason="blocked-domain", params=said, decided_at=now).where(Outcome.inbound_id == ident, waits).execute():
                listed.append(ident)
        beat("mail", "settings")
    for inbound_id in listed:
        inbound.settle(inbound_id)
    return len(listed)


def unblock(domain: str) -> bool:
    """Strangers of this domain are listed again from now on; False when it was not blocked."""
    with write():
        gone = plain.do("DELETE FROM blocked_domain WHERE domain = ?", normal(domain)) > 0
        beat("mail", "settings")
    return gone


def blocked() -> list[BlockedDomainView]:
    """The blocked domains in the order of their names, at most 1000."""
    return _views("ORDER BY domain LIMIT ?", _MOST_SHOWN)


def blocked_one(domain: str) -> BlockedDomainView | None:
    return next(iter(_views("WHERE domain = ?", normal(domain))), None)


def _views(ending: str, value: str | int) -> list[BlockedDomainView]:
    found = plain.rows(f"SELECT domain, added_by, created_at FROM blocked_domain {ending}", value)
    return [BlockedDomainView(domain, added_by, from_micros(created_at)) for domain, added_by, created_at in found]


def normal(domain: str) -> str:
    """As blocked domains are kept: "" for what is no domain."""
    return (normalise_domain(domain.strip().strip(".")) or "").lower()
