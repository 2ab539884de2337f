"""Reps and the addresses by which their mail is known."""

from __future__ import annotations

import datetime as dt

from core.mail.addresses import is_free_mail, normalise
from core.store.company import beat, company
from core.store.database import main_db, write
from core.store.fields import from_micros
from core.store.models import Rep, SenderAddress
from core.store.plain import row, rows
from core.types import SenderFact


def address_of(typed: str) -> str | None:
    """A typed address as it is stored and compared: normalised and in lower case; None when it is none."""
    plain = normalise(typed.strip())
    return plain.lower() if plain else None


def by_id(rep_id: int) -> Rep | None:
    """A rep's row. Every request asks for it, so the SQL is plain."""
    return next(iter(Rep.raw(f"SELECT * FROM rep WHERE id = {main_db.obj.param}", rep_id)), None)


def language_of(rep_id: int) -> str:
    """The language that a rep reads; "" for nobody."""
    found = row("SELECT language FROM rep WHERE id = ?", rep_id)
    return str(found[0]) if found else ""


def create_rep(email: str, name: str, now: dt.datetime, **more: object) -> Rep:
    """Enter a rep; the account address counts from the start. Inside the caller's transaction or in one of its own."""
    with write():
        rep = Rep.create(email=email, name=name, created_at=now, **more)
        enter_address(rep.id, email, "account", now, verified_at=now, connected_at=now)
        beat("settings")
    return rep


def enter_address(
    rep_id: int, address: str, kind: str, now: dt.datetime, *, verified_at: dt.datetime | None, connected_at: dt.datetime | None
) -> None:
    """Add or change one address of a rep."""
    values = {"kind": kind, "verified_at": verified_at, "connected_at": connected_at or verified_at}
    with write():
        SenderAddress.insert(rep=rep_id, address=address, **values).on_conflict(
            conflict_target=[SenderAddress.rep, SenderAddress.address], update=values
        ).execute()
        beat("settings")


def is_confirmed(kind: str, told: bool | None) -> bool:
    """Whether an address that an admin enters counts at once: as told, else all but an alternative one; account and alias always."""
    return kind in ("account", "alias") or (kind == "connected" if told is None else told)


def sender_facts(address: str) -> list[SenderFact]:
    """Every row that ties an address to a rep: confirmed addresses only, team addresses with the rep who connected them (F18–F22).

    An account address that its rep has connected, too, is both: among several who connected it, it is still one rep's account.
    """
    plain = address.lower()
    facts = [
        SenderFact(rep_id, email, kind, None if connected is None else from_micros(connected), status == "suspended")
        for rep_id, email, kind, connected, status in rows(
            "SELECT a.rep_id, r.email, a.kind, a.connected_at, r.status FROM sender_address a JOIN rep r ON r.id = a.rep_id"
            " WHERE a.address = ? AND a.verified_at IS NOT NULL UNION ALL"
            " SELECT r.id, r.email, 'account', r.created_at, r.status FROM rep r WHERE r.email = ? UNION ALL"
            " SELECT t.rep_id, r.email, 'team', t.connected_at, r.status FROM team_address t JOIN rep r ON r.id = t.rep_id WHERE t.address = ?",
            plain,
            plain,
            plain,
        )
    ]
    return facts


def rep_addresses() -> frozenset[str]:
    """Every address of any rep, confirmed or pending: none of them is ever a contact (F27)."""
    return frozenset(address for (address,) in rows("SELECT address FROM sender_address UNION SELECT email FROM rep"))


def team_addresses() -> frozenset[str]:
    return frozenset(address for (address,) in rows("SELECT address FROM team_address"))


def internal_domains() -> frozenset[str]:
    """The company's own domains: those the admin named, else the domains of the reps' account addresses, free-mail apart."""
    named = company().internal_domains
    if named:
        return frozenset(named)
    domains = {email.rpartition("@")[2] for (email,) in rows("SELECT email FROM rep")}
    return frozenset(domain for domain in domains if domain and not is_free_mail(domain))


def drop_domain() -> str:
    """The domain of the drop addresses: what stands there and is none of ours is a mistyped one, and nobody's. "" for a mailbox at a free-mail provider."""
    domain = company().mail_domain
    return "" if is_free_mail(domain) else domain
