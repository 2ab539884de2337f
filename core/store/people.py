"""Contacts and organisations: made, changed, merged and listed. They are known to the whole company (F53)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import fn

from core.errors import BadInput, Sentence
from core.mail.addresses import is_free_mail, normalise, normalise_domain
from core.reasons import N_
from core.store import dialect, links, records, undo
from core.store.company import beat
from core.store.database import write
from core.store.fields import UTC, from_micros, to_micros
from core.store.models import (
    Contact,
    ContactAddress,
    Event,
    Link,
    Message,
    Organisation,
    OrganisationDomain,
    Participant,
    Record,
    RecordContact,
    Thread,
)
from core.store.paging import Page, cursor_of, read_cursor, sensible
from core.store.records import RecordView
from core.store.rows import ThreadRow
from core.store.seal import Seal
from core.store.visibility import COMPANY_PULSE, Viewer, is_id, note

MOST_ADDRESSES = 100
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class ContactView:
    id: int
    external_id: str | None
    name: str
    addresses: list[str]
    organisation: int | None
    created_at: dt.datetime
    updated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class OrganisationView:
    id: int
    external_id: str | None
    name: str
    domains: list[str]
    created_at: dt.datetime
    updated_at: dt.datetime


# --- what may be written ------------------------------------------------------------------------------------------


def address_of(text: str, place: str = "address") -> str:
    """An address as contacts carry it: lower case. Raises BadInput."""
    address = normalise(text)
    if address is None:
        raise BadInput(place, N_("write an address such as bo@cust.example"))
    return address.lower()


def domain_of(text: str, place: str = "domain") -> str:
    """A domain as organisations carry it. Raises BadInput; a free-mail domain stands for nobody (F27)."""
    domain = normalise_domain(text.strip().removeprefix("@"))
    if domain is None or "." not in domain:
        raise BadInput(place, N_("write a domain such as cust.example"))
    if is_free_mail(domain):
        raise BadInput(place, N_("anybody can have a mailbox at %(domain)s, so it stands for no organisation"), domain=domain)
    return domain


def _name(value: Any, place: str = "name", *, needed: bool = True) -> str:
    name = " ".join(str(value or "").split())
    if needed and not name:
        raise BadInput(place, N_("give a name"))
    if len(name) > _LONGEST:
        raise BadInput(place, N_("use at most %(number)s characters"), number=_LONGEST)
    return name


def _name_or_address(value: Any, addresses: Sequence[str]) -> str:
    """The name of a contact; without one it goes by its first address, as one that mail made does. Raises BadInput when it has neither."""
    return _name(value, needed=not addresses) or addresses[0][:_LONGEST]


def _free_external_id(table: Any, external_id: str | None, own: int | None) -> None:
    """Raises BadInput when another one has it. A contact that was merged leaves its own to the one it became, and to anybody once that is deleted."""
    taken = table.select(table.id).where(table.external_id == external_id).tuples().first() if external_id else None
    if taken is None or taken[0] == own:
        return
    holder = _contact_row(taken[0]) if table is Contact else taken
    if holder is not None and (table is not Contact or holder.id != own):
        raise BadInput("external_id", N_("another one has this already"))
    Contact.update(external_id=None).where(Contact.id == taken[0]).execute()


def _tell(name: str, ident: int, viewer: Viewer, now: dt.datetime) -> None:
    Event.insert(name=name, at=now, facts={"id": ident, "by": f"rep:{viewer.email}"}).execute()
    beat(COMPANY_PULSE)


# --- contacts -----------------------------------------------------------------------------------------------------


def _contact_views(found: Sequence[Any]) -> list[ContactView]:
    ids = [contact.id for contact in found]
    addresses: dict[int, list[str]] = {ident: [] for ident in ids}
    if ids:
        query = ContactAddress.select(ContactAddress.contact, ContactAddress.address).where(ContactAddress.contact.in_(ids))
        for contact_id, address in query.order_by(ContactAddress.id).tuples():
            addresses[contact_id].append(address)
    return [ContactView(c.id, c.external_id, c.name, addresses[c.id], c.organisation_id, c.created_at, c.updated_at) for c in found]


def get_contact(contact_id: int) -> ContactView | None:
    """A contact; of a merged one the contact that it became."""
    found = _contact_row(contact_id)
    return None if found is None else _contact_views([found])[0]


def some_contacts(contact_ids: Sequence[int]) -> list[ContactView]:
    """These contacts, in the given order, without those that are deleted or were merged into another."""
    query = Contact.select().where(Contact.id.in_(list(contact_ids)), Contact.deleted_at.is_null(), Contact.merged_into.is_null())
    found = {view.id: view for view in _contact_views(list(query))} if contact_ids else {}
    return [found[ident] for ident in contact_ids if ident in found]


def _contact_row(contact_id: int) -> Any:
    for _ in range(10):  # merged into one that was merged later
        found = Contact.select().where(Contact.id == contact_id).first() if is_id(contact_id) else None
        if found is None or (found.deleted_at is not None and found.merged_into_id is None):
            return None
        if found.merged_into_id is None:
            return found
        contact_id = found.merged_into_id
    return None


def _known_as(external_id: str) -> int:
    """The contact of this external id, also when that is a merged one's; 0 when there is none."""
    row = Contact.select(Contact.id).where(Contact.external_id == external_id).tuples().first()
    found = _contact_row(row[0]) if row else None
    return 0 if found is None else int(found.id)


def contacts(
    cursor: str | None = None, limit: int = 50, q: str | None = None, external_id: str | None = None, address: str | None = None, organisation: int | None = None
) -> Page[ContactView]:  # fmt: skip
    """Contacts, newest first; `q` looks at names and addresses."""
    query = Contact.select().where(Contact.deleted_at.is_null(), Contact.merged_into.is_null())
    if external_id is not None:
        query = query.where(Contact.id == _known_as(external_id))
    if address is not None:
        query = query.where(Contact.id.in_(ContactAddress.select(ContactAddress.contact).where(ContactAddress.address == (normalise(address) or "").lower())))
    if (q or "").strip():
        pattern = dialect.contains((q or "").strip()[:200])
        by_address = ContactAddress.select(ContactAddress.contact).where(dialect.like(ContactAddress.address, pattern))
        query = query.where(dialect.like(Contact.name, pattern) | Contact.id.in_(by_address))
    if organisation is not None:
        query = query.where(Contact.organisation == organisation)
    found, after = _page(query, Contact, cursor, limit)
    return Page(_contact_views(found), after)


def _page(query: Any, table: Any, cursor: str | None, limit: int) -> tuple[list[Any], str | None]:
    after = read_cursor(cursor, 1)
    limit = sensible(limit)
    if after is not None:
        query = query.where(table.id < after[0])
    found = list(query.order_by(table.id.desc()).limit(limit + 1))
    return found[:limit], cursor_of(found[limit - 1].id) if len(found) > limit else None


def create_contact(viewer: Viewer, values: Mapping[str, Any]) -> ContactView:
    """A new contact: name, addresses, organisation, external_id. Raises BadInput that names the place.

    With an external id it takes over the contact that mail made of one of the addresses, as a loaded one does.
    """
    now = dt.datetime.now(UTC)
    with write():
        addresses = _addresses(values.get("addresses") or ())
        _free_external_id(Contact, values.get("external_id"), None)
        records.demand_id(Organisation, values.get("organisation"), "organisation", N_("there is no such organisation"))
        if values.get("external_id") and (unclaimed := unclaimed_contact(addresses)) is not None:
            return _take_over(viewer, unclaimed, values, addresses, now)
        row = Contact.create(
            name=_name_or_address(values.get("name"), addresses), external_id=values.get("external_id"), organisation=values.get("organisation"),
            created_at=now, updated_at=now,
        )  # fmt: skip
        _put_addresses(row.id, addresses)
        _tell("contact.created", row.id, viewer, now)
        return _contact_views([row])[0]


def unclaimed_contact(addresses: Sequence[str]) -> Any:
    """The contact of the first of these addresses that belongs to one without an external id, such as mail makes; None when there is none."""
    held = dict(
        ContactAddress.select(ContactAddress.address, ContactAddress.contact).join(Contact).where(ContactAddress.address.in_(list(addresses)), Contact.external_id.is_null()).tuples()
    )  # fmt: skip
    first = next((held[address] for address in addresses if address in held), None)
    return None if first is None else Contact.get_by_id(first)


def _take_over(viewer: Viewer, contact: Any, values: Mapping[str, Any], addresses: Sequence[str], now: dt.datetime) -> ContactView:
    """The contact is from now on what another program says of it. Its other addresses stay, and others that nobody has claimed become a part of it."""
    given = {name: values[name] for name in ("external_id", "organisation") if values.get(name) is not None}
    name = _name_or_address(values.get("name") or contact.name, addresses)
    Contact.update(**given, name=name, updated_at=now).where(Contact.id == contact.id).execute()
    while (other := unclaimed_contact(addresses)) is not None:
        absorb(_contact_row(contact.id), other, now)
    _put_addresses(contact.id, list(dict.fromkeys([*addresses, *_contact_views([contact])[0].addresses])))
    records.refresh_chips(Link.contact == contact.id)
    _tell("contact.changed", contact.id, viewer, now)
    return _contact_views([_contact_row(contact.id)])[0]


def _addresses(values: Iterable[str]) -> list[str]:
    written = list(dict.fromkeys(address_of(value, f"addresses.{at}") for at, value in enumerate(values)))
    if len(written) > MOST_ADDRESSES:
        raise BadInput("addresses", N_("give at most %(number)s addresses"), number=MOST_ADDRESSES)
    return written


def _put_addresses(contact_id: int, addresses: Sequence[str]) -> None:
    """Let the contact have exactly these addresses. Raises BadInput when one is another's."""
    for at, address in enumerate(addresses):
        holder = ContactAddress.select(ContactAddress.contact).where(ContactAddress.address == address).tuples().first()
        if holder is not None and holder[0] != contact_id:
            name = Contact.select(Contact.name).where(Contact.id == holder[0]).tuples().first()
            english = f"{address} belongs to contact {holder[0]} already; merge the two instead"  # programs know it by its number
            known = {"address": address, "name": (name and name[0]) or address}
            raise BadInput(f"addresses.{at}", Sentence.for_programs(english, N_("%(address)s belongs to %(name)s already; merge the two instead"), **known))
        if holder is None:
            ContactAddress.insert(address=address, contact=contact_id).execute()
            Participant.update(contact=contact_id).where(Participant.address == address, Participant.contact.is_null()).execute()
    ContactAddress.delete().where(ContactAddress.contact == contact_id, ContactAddress.address.not_in(list(addresses) or [""])).execute()


def update_contact(viewer: Viewer, contact_id: int, changes: Mapping[str, Any]) -> ContactView | None:
    """Change what is given; None when there is no such contact. Raises BadInput; nothing is half-done."""
    now = dt.datetime.now(UTC)
    with write():
        row = _contact_row(contact_id)
        if row is None:
            return None
        values: dict[str, Any] = {"updated_at": now}
        if "external_id" in changes:
            _free_external_id(Contact, changes["external_id"], row.id)
            values["external_id"] = changes["external_id"]
        if "organisation" in changes:
            records.demand_id(Organisation, changes["organisation"], "organisation", N_("there is no such organisation"))
            values["organisation"] = changes["organisation"]
        if changes.get("addresses") is not None:
            _put_addresses(row.id, _addresses(changes["addresses"]))
        if "name" in changes:
            values["name"] = _name_or_address(changes["name"], _contact_views([row])[0].addresses)
        Contact.update(**values).where(Contact.id == row.id).execute()
        records.refresh_chips(Link.contact == row.id)
        _tell("contact.changed", row.id, viewer, now)
        return _contact_views([_contact_row(row.id)])[0]


def delete_contact(viewer: Viewer, contact_id: int) -> str | None:
    """Remove a contact and its addresses from the pages; mail with it stays. The undo token, or None: no such contact."""
    with write():
        row = _contact_row(contact_id)
        if row is None or row.id != contact_id:
            return None
        now = dt.datetime.now(UTC)
        facts: dict[str, Any] = {
            "contact": row.id, "at": to_micros(now), "external_id": row.external_id, "addresses": _contact_views([row])[0].addresses,
            "participants": _ids(Participant, Participant.contact == row.id),
        }  # fmt: skip
        Contact.update(deleted_at=now, external_id=None).where(Contact.id == contact_id).execute()
        ContactAddress.delete().where(ContactAddress.contact == contact_id).execute()
        Participant.update(contact=None).where(Participant.contact == contact_id).execute()
        RecordContact.update(removed_at=now).where(RecordContact.contact == contact_id, RecordContact.removed_at.is_null()).execute()
        _unlink_everywhere(viewer, Link.contact == contact_id, now)
        note(viewer, "contact-deleted", f"contact:{contact_id}", now)
        _tell("contact.deleted", contact_id, viewer, now)
        return undo.offer(viewer, "delete-contact", facts)


@undo.reverses("delete-contact")
def _contact_back(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """The contact is back with what nobody has taken meanwhile; not at all when all its addresses are somebody else's by now."""
    ident, at = facts["contact"], from_micros(facts["at"])
    if not Contact.select().where(Contact.id == ident, Contact.deleted_at == at, Contact.merged_into.is_null()).exists():
        return False
    taken = {address for (address,) in ContactAddress.select(ContactAddress.address).where(ContactAddress.address.in_(facts["addresses"])).tuples()}
    free = [address for address in facts["addresses"] if address not in taken]
    if taken and not free:
        return False
    now = dt.datetime.now(UTC)
    Contact.update(deleted_at=None, external_id=_still_free(Contact, facts["external_id"]), updated_at=now).where(Contact.id == ident).execute()
    for address in free:
        ContactAddress.insert(address=address, contact=ident).on_conflict(conflict_target=[ContactAddress.address], action="IGNORE").execute()
    for some in _portions(facts["participants"]):
        Participant.update(contact=ident).where(Participant.id.in_(some), Participant.contact.is_null(), Participant.address.not_in(sorted(taken))).execute()
    RecordContact.update(removed_at=None).where(RecordContact.contact == ident, RecordContact.removed_at == at).execute()
    _link_again(Link.contact == ident, at)
    note(viewer, "contact-restored", f"contact:{ident}", now)
    _tell("contact.changed", ident, viewer, now)
    return True


def _ids(table: Any, condition: Any) -> list[int]:
    return [int(ident) for (ident,) in table.select(table.id).where(condition).tuples()]


def _portions(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Not more at once than a statement may hold."""
    return (ids[at : at + 500] for at in range(0, len(ids), 500))


def _still_free(table: Any, external_id: str | None) -> str | None:
    """The id that another program gave it, unless another row has it by now."""
    return external_id if external_id and not table.select().where(table.external_id == external_id).exists() else None


def _unlink_everywhere(viewer: Viewer, linked: Any, now: dt.datetime) -> None:
    threads = [ident for (ident,) in Link.select(Link.thread).where(linked & Link.removed_at.is_null()).tuples()]
    Link.update(removed_at=now, removed_by=f"rep:{viewer.email}").where(linked & Link.removed_at.is_null()).execute()
    _refresh(threads)


def _link_again(linked: Any, removed_at: dt.datetime) -> None:
    """What `_unlink_everywhere` took away at this moment."""
    together = linked & (Link.removed_at == removed_at)
    threads = [ident for (ident,) in Link.select(Link.thread).where(together).tuples()]
    Link.update(removed_at=None, removed_by=None).where(together).execute()
    _refresh(threads)


def _refresh(thread_ids: Iterable[int]) -> None:
    for ident in thread_ids:
        Thread.update(chips=links.chips(ident)).where(Thread.id == ident).execute()


def ensure_contact(address: str, name: str | None = None, organisation: int | None = None, now: dt.datetime | None = None) -> tuple[int, bool]:
    """The contact of an address, made when it is unknown: (id, whether it is new).

    Two who come at the same time get the same contact: the unique address decides, and the loser's empty row goes.
    """
    key = address_of(address)
    moment = now or dt.datetime.now(UTC)
    with write():
        known = _holder(key)
        if known is not None:
            return known, False
        fresh = Contact.insert(name=(name or key)[:_LONGEST], organisation=organisation, created_at=moment, updated_at=moment).execute()
        ContactAddress.insert(address=key, contact=fresh).on_conflict(conflict_target=[ContactAddress.address], action="IGNORE").execute()
        holder = _holder(key)
        if holder == fresh:
            beat(COMPANY_PULSE)
            return int(fresh), True
        Contact.delete().where(Contact.id == fresh).execute()
        return int(holder or 0), False


def _holder(address: str) -> int | None:
    row = ContactAddress.select(ContactAddress.contact).where(ContactAddress.address == address).tuples().first()
    return None if row is None else int(row[0])


def contact_threads(viewer: Viewer, contact_id: int, cursor: str | None = None, limit: int = 50) -> Page[ThreadRow]:
    """The threads with this contact that the viewer may read, newest first."""
    return records.threads_of(viewer, Link.contact, contact_id, cursor, limit)


def contact_records(contact_id: int, seal: Seal) -> list[RecordView]:
    """The records on which the contact stands, open ones first."""
    standing = RecordContact.select(RecordContact.record).where(RecordContact.contact == contact_id, RecordContact.removed_at.is_null())
    query = Record.select().where(Record.id.in_(standing), Record.status != "deleted")
    return records.views(list(query.order_by((Record.status == "open").desc(), Record.updated_at.desc()).limit(200)), seal)


# --- merging ------------------------------------------------------------------------------------------------------


def merge(viewer: Viewer, keep_id: int, other_id: int) -> str | None:
    """Make two contacts one (F28): addresses, mails, records and links of the other move over. The undo token, or None."""
    with write():
        keep, other = _contact_row(keep_id), _contact_row(other_id)
        if keep is None or other is None or keep.id == other.id:
            return None
        now = dt.datetime.now(UTC)
        facts = absorb(keep, other, now)
        note(viewer, "contacts-merged", f"contact:{keep.id}", now, other=other.id)
        _tell("contact.changed", keep.id, viewer, now)
        return undo.offer(viewer, "merge", facts)


def absorb(keep: Any, other: Any, now: dt.datetime) -> dict[str, Any]:
    """Move everything of one contact to another, inside the caller's transaction; what is needed to part them again."""
    last = Participant.select(fn.MAX(Participant.id)).scalar() or 0
    facts: dict[str, Any] = {"keep": keep.id, "other": other.id, "external_id": other.external_id, "at": to_micros(now), "last": last}
    for name, table, column in (("addresses", ContactAddress, "contact"), ("participants", Participant, "contact")):
        field = getattr(table, column)
        facts[name] = [ident for (ident,) in table.select(table.id).where(field == other.id).tuples()]
        table.update(**{column: keep.id}).where(field == other.id).execute()
    facts["records"] = _move_records(keep.id, other.id, now)
    facts["links"] = _move_links("contact", keep.id, other.id, now)
    if keep.organisation_id is None and other.organisation_id is not None:
        Contact.update(organisation=other.organisation_id).where(Contact.id == keep.id).execute()
        facts["organisation"] = True
    # The other program goes on calling it so: the name leads to the contact that it became, as its own where that has none.
    facts["named"] = keep.external_id is None and other.external_id is not None
    kept = None if facts["named"] else other.external_id
    Contact.update(merged_into=keep.id, deleted_at=now, external_id=kept).where(Contact.id == other.id).execute()
    Contact.update(updated_at=now, external_id=other.external_id if facts["named"] else keep.external_id).where(Contact.id == keep.id).execute()
    return facts


def _move_records(keep: int, other: int, now: dt.datetime) -> dict[str, list[int]]:
    moved: dict[str, list[int]] = {"added": [], "removed": []}
    for row in list(RecordContact.select().where(RecordContact.contact == other, RecordContact.removed_at.is_null())):
        known = RecordContact.select().where(RecordContact.record == row.record_id, RecordContact.contact == keep).first()
        if known is None:
            fresh = RecordContact.create(record=row.record_id, contact=keep, added_at=row.added_at)
            moved["added"].append(fresh.id)
        RecordContact.update(removed_at=now).where(RecordContact.id == row.id).execute()
        moved["removed"].append(row.id)
    return moved


def _move_links(kind: str, keep: int, other: int, now: dt.datetime) -> dict[str, list[Any]]:
    """Links follow to the one that is kept. Where one of the two stands on a thread the kept one does, also when its own link had been removed."""
    moved: dict[str, list[Any]] = {"moved": [], "removed": [], "revived": []}
    touched = []
    for row in list(Link.select().where(getattr(Link, kind) == other)):
        touched.append(row.thread_id)
        known = Link.select().where(Link.thread == row.thread_id, Link.target == f"{kind}:{keep}").first()
        if known is not None:
            if row.removed_at is None:
                Link.update(removed_at=now, removed_by="merge").where(Link.id == row.id).execute()
                moved["removed"].append(row.id)
                if known.removed_at is not None:
                    Link.update(removed_at=None, removed_by=None).where(Link.id == known.id).execute()
                    moved["revived"].append([known.id, to_micros(known.removed_at), known.removed_by])
        else:
            Link.update(**{kind: keep}, target=f"{kind}:{keep}").where(Link.id == row.id).execute()
            moved["moved"].append(row.id)
    _refresh(touched)
    return moved


@undo.reverses("merge")
def _part(viewer: Viewer, facts: dict[str, Any]) -> bool:
    keep, other = facts["keep"], facts["other"]
    if not Contact.select().where(Contact.id == other, Contact.merged_into == keep).exists():
        return False
    if facts.get("named"):
        Contact.update(external_id=None).where(Contact.id == keep, Contact.external_id == facts["external_id"]).execute()
    Contact.update(external_id=None).where(Contact.id == other).execute()
    Contact.update(merged_into=None, deleted_at=None, external_id=_still_free(Contact, facts["external_id"])).where(Contact.id == other).execute()
    ContactAddress.update(contact=other).where(ContactAddress.id.in_(facts["addresses"]), ContactAddress.contact == keep).execute()
    for some in _portions(facts["participants"]):
        Participant.update(contact=other).where(Participant.id.in_(some)).execute()
    RecordContact.delete().where(RecordContact.id.in_(facts["records"]["added"])).execute()
    RecordContact.update(removed_at=None).where(RecordContact.id.in_(facts["records"]["removed"])).execute()
    Link.update(contact=other, target=f"contact:{other}").where(Link.id.in_(facts["links"]["moved"])).execute()
    Link.update(removed_at=None, removed_by=None).where(Link.id.in_(facts["links"]["removed"])).execute()
    for ident, removed_at, removed_by in facts["links"].get("revived", ()):
        Link.update(removed_at=from_micros(removed_at), removed_by=removed_by).where(Link.id == ident).execute()
    if facts.get("organisation"):
        Contact.update(organisation=None).where(Contact.id == keep).execute()
    if "last" in facts:  # a merge of the version before does not say
        _part_mail_since(keep, other, facts["last"], from_micros(facts["at"]))
    _refresh({ident for (ident,) in Link.select(Link.thread).where(Link.contact.in_([keep, other])).tuples()})
    beat(COMPANY_PULSE)
    return True


def _part_mail_since(keep: int, other: int, last: int, merged_at: dt.datetime) -> None:
    """Mail that came to the other one's addresses while the two were one is the other's, and so is what the policy linked for it."""
    addresses = ContactAddress.select(ContactAddress.address).where(ContactAddress.contact == other)
    since = Participant.select(Participant.id, Message.thread).join(Message).where(Participant.address.in_(addresses), Participant.contact == keep, Participant.id > last)
    found = list(since.tuples())
    for some in _portions([ident for ident, _thread in found]):
        Participant.update(contact=other).where(Participant.id.in_(some)).execute()
    name = Contact.get_by_id(other).name
    for thread_id in {thread for _ident, thread in found}:
        policy = Link.made_by.startswith("policy:")
        known = Link.select().where(Link.thread == thread_id, Link.target == f"contact:{keep}", Link.removed_at.is_null(), policy).first()
        if known is None:
            continue
        links.copy(known, thread_id, target=f"contact:{other}", contact=other, params={**known.params, "title": name})
        takes_part = Participant.select().join(Message).where(Message.thread == thread_id, Participant.contact == keep)
        if known.created_at >= merged_at and not takes_part.exists():
            Link.delete().where(Link.id == known.id).execute()


# --- organisations ------------------------------------------------------------------------------------------------


def _organisation_views(found: Sequence[Any]) -> list[OrganisationView]:
    ids = [row.id for row in found]
    domains: dict[int, list[str]] = {ident: [] for ident in ids}
    if ids:
        query = OrganisationDomain.select(OrganisationDomain.organisation, OrganisationDomain.domain).where(OrganisationDomain.organisation.in_(ids))
        for ident, domain in query.order_by(OrganisationDomain.domain).tuples():
            domains[ident].append(domain)
    return [OrganisationView(o.id, o.external_id, o.name, domains[o.id], o.created_at, o.updated_at) for o in found]


def organisation_names(ids: Iterable[int]) -> dict[int, str]:
    """The names of these organisations by id, without those that are deleted."""
    wanted = list(set(ids))
    return dict(Organisation.select(Organisation.id, Organisation.name).where(Organisation.id.in_(wanted), Organisation.deleted_at.is_null()).tuples()) if wanted else {}


def _organisation_row(ident: int) -> Any:
    return Organisation.select().where(Organisation.id == ident, Organisation.deleted_at.is_null()).first() if is_id(ident) else None


def get_organisation(organisation_id: int) -> OrganisationView | None:
    found = _organisation_row(organisation_id)
    return None if found is None else _organisation_views([found])[0]


def organisations(cursor: str | None = None, limit: int = 50, q: str | None = None, external_id: str | None = None, domain: str | None = None) -> Page[OrganisationView]:
    """Organisations, newest first."""
    query = Organisation.select().where(Organisation.deleted_at.is_null())
    if external_id is not None:
        query = query.where(Organisation.external_id == external_id)
    if domain is not None:
        query = query.where(Organisation.id.in_(OrganisationDomain.select(OrganisationDomain.organisation).where(OrganisationDomain.domain == domain.lower())))
    if (q or "").strip():
        query = query.where(dialect.like(Organisation.name, dialect.contains((q or "").strip()[:200])))
    found, after = _page(query, Organisation, cursor, limit)
    return Page(_organisation_views(found), after)


def create_organisation(viewer: Viewer, values: Mapping[str, Any]) -> OrganisationView:
    """A new organisation: name, domains, external_id. Raises BadInput that names the place.

    With an external id it takes over the organisation that mail made of one of the domains, as a loaded one does.
    """
    now = dt.datetime.now(UTC)
    with write():
        _free_external_id(Organisation, values.get("external_id"), None)
        name, domains = _name(values.get("name")), _domains(values.get("domains") or ())
        row = unclaimed_organisation(domains) if values.get("external_id") else None
        known = row is not None
        if row is None:
            row = Organisation.create(name=name, external_id=values.get("external_id"), created_at=now, updated_at=now)
        else:
            Organisation.update(name=name, external_id=values["external_id"], updated_at=now).where(Organisation.id == row.id).execute()
            while (other := unclaimed_organisation(domains)) is not None:
                absorb_organisation(row.id, other.id, now)
            records.refresh_chips(Link.organisation == row.id)
        _put_domains(row.id, [*domains, *_organisation_views([row])[0].domains])
        _tell("organisation.changed" if known else "organisation.created", row.id, viewer, now)
        return _organisation_views([_organisation_row(row.id)])[0]


def unclaimed_organisation(domains: Sequence[str]) -> Any:
    """The organisation of the first of these domains that belongs to one without an external id, such as mail makes; None when there is none."""
    unclaimed = Organisation.external_id.is_null() & Organisation.deleted_at.is_null()
    held = dict(
        OrganisationDomain.select(OrganisationDomain.domain, OrganisationDomain.organisation).join(Organisation).where(OrganisationDomain.domain.in_(list(domains)), unclaimed).tuples()
    )  # fmt: skip
    first = next((held[domain] for domain in domains if domain in held), None)
    return None if first is None else Organisation.get_by_id(first)


def absorb_organisation(keep: int, other: int, now: dt.datetime) -> None:
    """Move everything of one organisation to another, inside the caller's transaction; its empty row goes from the pages."""
    for table in (OrganisationDomain, Contact, Record):
        table.update(organisation=keep).where(table.organisation == other).execute()
    _move_links("organisation", keep, other, now)
    Organisation.update(deleted_at=now).where(Organisation.id == other).execute()
    Organisation.update(updated_at=now).where(Organisation.id == keep).execute()


def _domains(values: Iterable[str]) -> list[str]:
    written = list(dict.fromkeys(domain_of(value, f"domains.{at}") for at, value in enumerate(values)))
    if len(written) > MOST_ADDRESSES:
        raise BadInput("domains", N_("give at most %(number)s domains"), number=MOST_ADDRESSES)
    return written


def _put_domains(organisation_id: int, domains: Iterable[str]) -> None:
    """Let the organisation have exactly these domains. Raises BadInput when one is another's."""
    OrganisationDomain.delete().where(OrganisationDomain.organisation == organisation_id).execute()
    for at, domain in enumerate(dict.fromkeys(domains)):
        if OrganisationDomain.select().where(OrganisationDomain.domain == domain).exists():
            raise BadInput(f"domains.{at}", N_("%(domain)s belongs to another organisation already"), domain=domain)
        OrganisationDomain.insert(domain=domain, organisation=organisation_id).execute()


def update_organisation(viewer: Viewer, organisation_id: int, changes: Mapping[str, Any]) -> OrganisationView | None:
    """Change what is given; None when there is no such organisation. Raises BadInput; nothing is half-done."""
    now = dt.datetime.now(UTC)
    with write():
        row = _organisation_row(organisation_id)
        if row is None:
            return None
        values: dict[str, Any] = {"updated_at": now}
        if "name" in changes:
            values["name"] = _name(changes["name"])
        if "external_id" in changes:
            _free_external_id(Organisation, changes["external_id"], row.id)
            values["external_id"] = changes["external_id"]
        if changes.get("domains") is not None:
            _put_domains(row.id, _domains(changes["domains"]))
        Organisation.update(**values).where(Organisation.id == row.id).execute()
        records.refresh_chips(Link.organisation == row.id)
        _tell("organisation.changed", row.id, viewer, now)
        return _organisation_views([_organisation_row(row.id)])[0]


def delete_organisation(viewer: Viewer, organisation_id: int) -> str | None:
    """Remove an organisation from the pages; its people and records stay. The undo token, or None: no such organisation."""
    with write():
        row = _organisation_row(organisation_id)
        if row is None:
            return None
        now = dt.datetime.now(UTC)
        facts: dict[str, Any] = {
            "organisation": row.id, "at": to_micros(now), "external_id": row.external_id, "domains": _organisation_views([row])[0].domains,
            "contacts": _ids(Contact, Contact.organisation == row.id), "records": _ids(Record, Record.organisation == row.id),
        }  # fmt: skip
        Organisation.update(deleted_at=now, external_id=None).where(Organisation.id == organisation_id).execute()
        OrganisationDomain.delete().where(OrganisationDomain.organisation == organisation_id).execute()
        Contact.update(organisation=None).where(Contact.organisation == organisation_id).execute()
        Record.update(organisation=None).where(Record.organisation == organisation_id).execute()
        _unlink_everywhere(viewer, Link.organisation == organisation_id, now)
        note(viewer, "organisation-deleted", f"organisation:{organisation_id}", now)
        _tell("organisation.deleted", organisation_id, viewer, now)
        return undo.offer(viewer, "delete-organisation", facts)


@undo.reverses("delete-organisation")
def _organisation_back(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """The organisation is back, on the people and records that were given no other meanwhile."""
    ident, at = facts["organisation"], from_micros(facts["at"])
    if not Organisation.select().where(Organisation.id == ident, Organisation.deleted_at == at).exists():
        return False
    now = dt.datetime.now(UTC)
    Organisation.update(deleted_at=None, external_id=_still_free(Organisation, facts["external_id"]), updated_at=now).where(Organisation.id == ident).execute()
    for domain in facts["domains"]:
        OrganisationDomain.insert(domain=domain, organisation=ident).on_conflict_ignore().execute()
    for table, name in ((Contact, "contacts"), (Record, "records")):
        for some in _portions(facts[name]):
            table.update(organisation=ident).where(table.id.in_(some), table.organisation.is_null()).execute()
    _link_again(Link.organisation == ident, at)
    note(viewer, "organisation-restored", f"organisation:{ident}", now)
    _tell("organisation.changed", ident, viewer, now)
    return True


def organisation_threads(viewer: Viewer, organisation_id: int, cursor: str | None = None, limit: int = 50) -> Page[ThreadRow]:
    """The threads on this organisation that the viewer may read, newest first."""
    return records.threads_of(viewer, Link.organisation, organisation_id, cursor, limit)


def organisation_records(organisation_id: int, seal: Seal) -> list[RecordView]:
    """The organisation's records, open ones first."""
    query = Record.select().where(Record.organisation == organisation_id, Record.status != "deleted")
    return records.views(list(query.order_by((Record.status == "open").desc(), Record.updated_at.desc()).limit(200)), seal)
