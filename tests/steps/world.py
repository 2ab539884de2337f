"""One small world for the steps: Ana sells, Bo and Cy buy, and the drop addresses of acme."""

from __future__ import annotations

import datetime as dt
from typing import Any

from core.steps.facts import Admission, House, Unwrapped
from core.types import Contact, Drop, Email, Envelope, Forward, Identity, Mailbox, Participant, Record, TraceEntry

NOW = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
ANA = "ana@sales.example"
BEN = "ben@sales.example"
BO = "bo@cust.example"
CY = "cy@other.example"
BCC_DROP = Drop("acme@drop.example", "bcc")
FORWARD_DROP = Drop("acme-fwd@drop.example", "forward")
BCC = Admission((BCC_DROP,), "bcc")
FORWARDING = Admission((FORWARD_DROP,), "forward")
HOUSE = House(
    rep_addresses=frozenset({ANA, BEN, "ana.private@home.example"}),
    team_addresses=frozenset({"team@shared.example"}),
    drop_addresses=frozenset({BCC_DROP.address, FORWARD_DROP.address}),
    internal_domains=frozenset({"sales.example"}),
)


def day(number: float) -> dt.datetime:
    """So many days after NOW."""
    return NOW + dt.timedelta(days=number)


def box(address: str, name: str | None = None) -> Mailbox:
    return Mailbox(name, address)


def boxes(*addresses: str) -> tuple[Mailbox, ...]:
    return tuple(box(address) for address in addresses)


def mail(
    sender: str | None = ANA,
    to: tuple[str, ...] = (BO,),
    *,
    cc: tuple[str, ...] = (),
    id: str | None = "m1@sales.example",
    refs: tuple[str, ...] = (),
    subject: str = "Ten oak chairs",
    date: dt.datetime | None = NOW,
    **other: Any,
) -> Email:
    facts: dict[str, Any] = {"reply_to": (), "text": "Hello", "html": "", "attachments": (), **other}
    identity = Identity(box(sender)) if sender else Identity(None, "no-from")
    ids = facts.pop("ids", (id,) if id else ())
    return Email(
        identity=identity,
        message_id=id,
        ids=ids,
        references=refs,
        subject=subject,
        date=date,
        to=boxes(*to),
        cc=boxes(*cc),
        **facts,
    )


def block(sender: str | None = BO, **facts: Any) -> Forward:
    """A readable forwarded block."""
    facts.setdefault("to", boxes(ANA))
    facts.setdefault("subject", "Re: Ten oak chairs")
    facts.setdefault("date", day(1))
    facts.setdefault("evidence", "both")
    return Forward(sender=box(sender) if sender else None, **facts)


def forwarded(forward: Forward | None = None) -> Unwrapped:
    forward = forward or block()
    return Unwrapped(is_forward=True, forward=forward, sender=forward.sender)


def written(email: Email) -> Unwrapped:
    return Unwrapped(sender=email.identity.mailbox)


def envelope(*rcpt_to: str, **facts: Any) -> Envelope:
    facts.setdefault("mail_from", ANA)
    return Envelope("smtp", rcpt_to or (BCC_DROP.address,), **facts)


def contact(number: int, *addresses: str, name: str = "", organisation: int | None = None) -> Contact:
    return Contact(number, name or f"Contact {number}", organisation, addresses)


def takes_part(number: int, address: str = BO, **facts: Any) -> Participant:
    return Participant(address, contact=contact(number, address, **facts))


def record(number: int, *contacts: int, kind: Any = "deal", created: float = -30, **facts: Any) -> Record:
    facts.setdefault("title", f"Record {number}")
    return Record(number, kind, contact_ids=contacts or (1,), created_at=day(created), **facts)


def reasons(trace: tuple[TraceEntry, ...]) -> list[str]:
    return [entry.reason for entry in trace]
