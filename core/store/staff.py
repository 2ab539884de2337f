"""Reps as admins manage them: listed, entered, changed, suspended, removed; and the addresses by which their mail is known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput, NotAllowed
from core.reasons import N_
from core.store import passwords, reps
from core.store.company import beat
from core.store.database import write
from core.store.fields import UTC
from core.store.models import ApiToken, Outcome, Rep, SenderAddress, TeamAddress, Thread
from core.store.paging import Page, cursor_of, read_cursor, sensible
from core.store.visibility import Viewer, is_id, note

KINDS = ("connected", "account", "alias", "alternative")


@dataclass(frozen=True, slots=True)
class AddressView:
    address: str
    kind: str
    verified: bool
    connected_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class RepView:
    id: int
    external_id: str | None
    email: str
    name: str
    role: str
    status: str
    default_sharing: str
    auto_link: bool
    addresses: list[AddressView]
    created_at: dt.datetime


def _views(found: Sequence[Any]) -> list[RepView]:
    addresses: dict[int, list[AddressView]] = {row.id: [] for row in found}
    if found:
        s = SenderAddress
        query = s.select(s.rep, s.address, s.kind, s.verified_at, s.connected_at).where(s.rep.in_(list(addresses))).order_by(s.id)
        for rep_id, address, kind, verified_at, connected_at in query.tuples():
            addresses[rep_id].append(AddressView(address, kind, verified_at is not None, connected_at))
    return [
        RepView(
            r.id, r.external_id, r.email, r.name, r.role, r.status, r.default_sharing, r.auto_link,
            sorted(addresses[r.id], key=lambda one: one.address != r.email), r.created_at,
        )
        for r in found
    ]  # fmt: skip


def _row(viewer: Viewer, rep_id: int) -> Any:
    """The rep: for admins anybody, else only oneself."""
    if not is_id(rep_id) or (rep_id != viewer.rep_id and not viewer.is_admin):
        return None
    return Rep.select().where(Rep.id == rep_id).first()


def get(viewer: Viewer, rep_id: int) -> RepView | None:
    row = _row(viewer, rep_id)
    return None if row is None else _views([row])[0]


def page(viewer: Viewer, cursor: str | None = None, limit: int = 50, external_id: str | None = None, email: str | None = None) -> Page[RepView]:
    """The reps, oldest first; for others than admins oneself."""
    after = read_cursor(cursor, 1)
    limit = sensible(limit)
    query = Rep.select() if viewer.is_admin else Rep.select().where(Rep.id == viewer.rep_id)
    if after is not None:
        query = query.where(Rep.id > after[0])
    if external_id is not None:
        query = query.where(Rep.external_id == external_id)
    if email is not None:
        query = query.where(Rep.email == email.strip().lower())
    found = list(query.order_by(Rep.id).limit(limit + 1))
    return Page(_views(found[:limit]), cursor_of(found[limit - 1].id) if len(found) > limit else None)


def by_email(email: str) -> int | None:
    """The id of the rep with this account address."""
    row = Rep.select(Rep.id).where(Rep.email == email.strip().lower()).tuples().first()
    return None if row is None else int(row[0])


# --- writing ------------------------------------------------------------------------------------------------------


def _email(value: Any, place: str = "email") -> str:
    address = reps.address_of(str(value or ""))
    if address is None:
        raise BadInput(place, N_("write an address such as ana@sales.example"))
    return address


def _checked(values: Mapping[str, Any], own: int | None) -> dict[str, Any]:
    checked = {name: values[name] for name in ("role", "status", "default_sharing", "auto_link", "name", "external_id") if name in values}
    if "email" in values:
        checked["email"] = _email(values["email"])
        taken = Rep.select(Rep.id).where(Rep.email == checked["email"]).tuples().first()
        if taken is not None and taken[0] != own:
            raise BadInput("email", N_("%(email)s is another rep's account address"), email=checked["email"])
    if checked.get("external_id"):
        taken = Rep.select(Rep.id).where(Rep.external_id == checked["external_id"]).tuples().first()
        if taken is not None and taken[0] != own:
            raise BadInput("external_id", N_("another rep has this one already"))
    if values.get("password") is not None:
        checked["password_hash"] = passwords.hash_password(passwords.check_strength(values["password"]))
    return checked


def _enter_addresses(rep_id: int, addresses: Sequence[Mapping[str, Any]], now: dt.datetime) -> None:
    """Let the rep have exactly these addresses beside the account address. An admin's word confirms one (`verified`)."""
    known = {row.address: row for row in SenderAddress.select().where(SenderAddress.rep == rep_id)}
    written = []
    for at, item in enumerate(addresses):
        address = _email(item.get("address"), f"addresses.{at}.address")
        kind = item.get("kind") or "alternative"
        if kind not in KINDS:
            raise BadInput(f"addresses.{at}.kind", N_("use one of %(choices)s"), choices=", ".join(KINDS))
        connected_at = item.get("connected_at")
        verified_at = (connected_at or now) if reps.is_confirmed(kind, item.get("verified")) else None
        held = known.get(address)
        if held is not None and item.get("verified") is None and held.kind == kind:  # what its rep confirmed meanwhile stays so
            verified_at, connected_at = held.verified_at or verified_at, connected_at or held.connected_at
        reps.enter_address(rep_id, address, kind, now, verified_at=verified_at, connected_at=connected_at)
        written.append(address)
    SenderAddress.delete().where(SenderAddress.rep == rep_id, SenderAddress.kind != "account", SenderAddress.address.not_in(written or [""])).execute()


def create(viewer: Viewer, values: Mapping[str, Any]) -> RepView:
    """Enter a rep. Raises BadInput that names the place; nothing is half-done."""
    now = dt.datetime.now(UTC)
    with write():
        checked = _checked(values, None)
        row = reps.create_rep(checked.pop("email", None) or _email(None), checked.pop("name", None) or "", now, **checked)
        _enter_addresses(row.id, values.get("addresses") or (), now)
        note(viewer, "rep-created", f"rep:{row.id}", now)
        return _views([Rep.get_by_id(row.id)])[0]


OWN = ("name", "default_sharing", "auto_link", "password")  # what reps may change of themselves


def update(viewer: Viewer, rep_id: int, changes: Mapping[str, Any]) -> RepView | None:
    """Change what is given: admins anybody, reps themselves in part. Raises BadInput, NotAllowed."""
    now = dt.datetime.now(UTC)
    with write():
        row = _row(viewer, rep_id)
        if row is None:
            return None
        if not viewer.is_admin and set(changes) - set(OWN):
            raise NotAllowed(N_("Only an admin can change this of a rep."))
        checked = _checked(changes, row.id)
        _keep_an_admin(row, checked)
        if "password_hash" in checked or checked.get("status") == "suspended":
            checked["session_epoch"] = row.session_epoch + 1
        if checked:
            Rep.update(**checked).where(Rep.id == rep_id).execute()
        if "email" in checked and checked["email"] != row.email:
            SenderAddress.delete().where(SenderAddress.rep == rep_id, SenderAddress.kind == "account").execute()
            reps.enter_address(rep_id, checked["email"], "account", now, verified_at=now, connected_at=now)
        if changes.get("addresses") is not None:
            _enter_addresses(rep_id, changes["addresses"], now)
        note(viewer, "rep-changed", f"rep:{rep_id}", now, changed=sorted(set(changes) - {"password"}), password="password" in changes)
        beat("settings", f"rep:{rep_id}")
        return _views([Rep.get_by_id(rep_id)])[0]


def _keep_an_admin(row: Any, checked: Mapping[str, Any]) -> None:
    stays = checked.get("role", row.role) == "admin" and checked.get("status", row.status) == "active"
    others = Rep.select().where(Rep.role == "admin", Rep.status == "active", Rep.id != row.id)
    if row.role == "admin" and row.status == "active" and not stays and not others.exists():
        raise BadInput("role", N_("make somebody else an admin first: this is the last one"))


def delete(viewer: Viewer, rep_id: int) -> bool:
    """Remove a rep who has no mail; with mail, suspend instead, or it would be lost. False when there is no such rep."""
    with write():
        row = _row(viewer, rep_id)
        if row is None:
            return False
        _keep_an_admin(row, {"status": "suspended"})
        if Thread.select().where(Thread.owner == rep_id).exists() or Outcome.select().where(Outcome.rep == rep_id).exists():
            raise BadInput("id", N_("this rep has mail; set the status to suspended instead, so that it stays"))
        ApiToken.delete().where(ApiToken.rep == rep_id).execute()
        TeamAddress.delete().where(TeamAddress.rep == rep_id).execute()
        Rep.delete().where(Rep.id == rep_id).execute()
        note(viewer, "rep-deleted", f"rep:{rep_id}", dt.datetime.now(UTC), email=row.email)
        beat("settings")
    return True
