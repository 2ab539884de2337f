"""`load FILE.json`: reps, addresses, organisations, contacts, records and never-log entries; idempotent by external_id, all or nothing."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from peewee import IntegrityError
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadInput, Sentence
from core.mail.addresses import normalise, normalise_domain
from core.reasons import N_
from core.store import passwords, people, records, reps
from core.store.company import beat
from core.store.complaints import sentence_of
from core.store.database import write
from core.store.fields import in_utc
from core.store.models import (
    Contact,
    ContactAddress,
    Link,
    NeverLog,
    Organisation,
    OrganisationDomain,
    Record,
    RecordContact,
    RecordHistory,
    Rep,
    SenderAddress,
    TeamAddress,
)
from core.store.never_log import pattern_of
from core.types import RecordKind


def _address(value: str) -> str:
    plain = normalise(value.strip())
    if plain is None:
        raise ValueError(Sentence(N_("%(address)s is no e-mail address"), address=repr(value)))
    return plain.lower()


def _domain(value: str) -> str:
    plain = normalise_domain(value.strip())
    if not plain:
        raise ValueError(Sentence(N_("%(domain)s is no domain name"), domain=repr(value)))
    return plain


def _pattern(value: str) -> str:
    try:
        return pattern_of(value)
    except BadInput:
        raise ValueError(Sentence(N_("%(pattern)s is neither an address nor a domain"), pattern=repr(value))) from None


def _no_nul(value: str) -> str:
    if "\0" in value:  # PostgreSQL keeps none
        raise ValueError(Sentence(N_("it holds a NUL character")))
    return value


Address = Annotated[str, AfterValidator(_address)]
Domain = Annotated[str, AfterValidator(_domain)]
Key = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Name = Annotated[str, Field(max_length=1000), AfterValidator(_no_nul)]
Title = Annotated[Name, Field(min_length=1)]
Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AddressRow(_Row):
    address: Address
    kind: Literal["connected", "account", "alias", "alternative"] = "alternative"
    verified: bool | None = None  # unless told, as the kind has it: only an alternative address waits for its confirmation
    connected_at: Moment | None = None


class RepRow(_Row):
    external_id: Key
    email: Address
    name: Name = ""
    role: Literal["member", "admin"] = "member"
    status: Literal["active", "suspended"] = "active"
    password: str | None = None
    default_sharing: Literal["private", "company"] = "private"
    auto_link: bool = True
    addresses: list[AddressRow] = []


class TeamRow(_Row):
    address: Address
    connected_by: Key
    connected_at: Moment | None = None


class OrganisationRow(_Row):
    external_id: Key
    name: Title
    domains: list[Domain] = []


class ContactRow(_Row):
    external_id: Key
    name: Name = ""
    addresses: list[Address] = []
    organisation: Key | None = None


class _RecordRow(_Row):
    external_id: Key
    title: Title
    contacts: list[Key] = []
    organisation: Key | None = None
    owner: Key | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    closed_at: Moment | None = None
    last_activity_at: Moment | None = None


class DealRow(_RecordRow):
    status: Literal["open", "won", "lost", "deleted"] = "open"


class LeadRow(_RecordRow):
    status: Literal["open", "converted", "archived", "deleted"] = "open"


class ProjectRow(_RecordRow):
    status: Literal["open", "completed", "canceled", "deleted"] = "open"


class LoadFile(_Row):
    reps: list[RepRow] = []
    team_addresses: list[TeamRow] = []
    organisations: list[OrganisationRow] = []
    contacts: list[ContactRow] = []
    deals: list[DealRow] = []
    leads: list[LeadRow] = []
    projects: list[ProjectRow] = []
    never_log: list[Annotated[str, AfterValidator(_pattern)]] = []

def read_file(content: Any) -> LoadFile:
    """Check a decoded JSON file. Raises BadInput that names the row and its position."""
    if not isinstance(content, dict):
        raise BadInput("file", N_("it must hold one JSON object with lists such as reps, contacts and deals"))
    try:
        return LoadFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise BadInput(where or "file", N_("there is no such field") if first["type"] == "extra_forbidden" else sentence_of(first)) from None


def load(content: Any, now: dt.datetime) -> dict[str, int]:
    """Enter everything, all or nothing; how many rows of each kind. Raises BadInput."""
    rows = read_file(content)
    with write():
        _Loader(now).run(rows)
        beat("settings", "people")
    return {name: len(getattr(rows, name)) for name in LoadFile.model_fields}


def _given(row: BaseModel, values: dict[str, Any]) -> dict[str, Any]:
    """What a file says about a row that is there already; what it leaves out stays as it is."""
    return {name: value for name, value in values.items() if name in row.model_fields_set or name not in type(row).model_fields}


def _contact_of(key: str) -> tuple[Any, bool]:
    """The contact of this external id, and whether it stands in for one that was merged into it; None when there is none."""
    named = Contact.get_or_none(Contact.external_id == key)
    found = named
    while found is not None and found.merged_into_id is not None:
        found = Contact.get_by_id(found.merged_into_id)
    if found is not None and found.deleted_at is not None:  # the name is free again
        Contact.update(external_id=None).where(Contact.id == named.id).execute()
        return None, False
    return found, found is not None and found.id != named.id


class _Loader:
    def __init__(self, now: dt.datetime) -> None:
        self.now = now

    def run(self, rows: LoadFile) -> None:
        for name, step in (
            ("reps", self._rep),
            ("team_addresses", self._team),
            ("organisations", self._organisation),
            ("contacts", self._contact),
            ("deals", lambda row, where: self._record("deal", row, where)),
            ("leads", lambda row, where: self._record("lead", row, where)),
            ("projects", lambda row, where: self._record("project", row, where)),
            ("never_log", self._never_log),
        ):
            seen: dict[str, int] = {}
            for position, row in enumerate(getattr(rows, name)):
                where = f"{name}[{position}]"
                key = getattr(row, "external_id", None)
                if key is not None and seen.setdefault(key, position) != position:
                    raise BadInput(f"{where}.external_id", N_("%(key)s stands in this file already, at %(place)s"), key=repr(key), place=f"{name}[{seen[key]}]")
                try:
                    step(row, where)
                except IntegrityError as error:
                    raise BadInput(where, N_("it clashes with another row: %(why)s"), why=str(error).splitlines()[0]) from error

    def _known(self, model: Any, key: str, where: str, *conditions: Any) -> int:
        row = model.select(model.id).where(model.external_id == key, *conditions).tuples().first()
        if row is None:
            raise BadInput(where, N_("there is no %(noun)s with the external_id %(key)s"), noun=model.__name__.lower(), key=repr(key))
        return int(row[0])

    def _contact_known(self, key: str, where: str) -> int:
        found, _ = _contact_of(key)
        return int(found.id) if found is not None else self._known(Contact, key, where)

    def _rep(self, row: RepRow, where: str) -> None:
        values: dict[str, Any] = {
            "external_id": row.external_id, "email": row.email, "name": row.name, "role": row.role, "status": row.status,
            "default_sharing": row.default_sharing, "auto_link": row.auto_link,
        }  # fmt: skip
        if row.password is not None:
            values["password_hash"] = passwords.hash_password(passwords.check_strength(row.password, f"{where}.password"))
        rep = Rep.get_or_none(Rep.external_id == row.external_id) or Rep.get_or_none((Rep.email == row.email) & Rep.external_id.is_null())
        if rep is None:
            if Rep.get_or_none(Rep.email == row.email) is not None:
                raise BadInput(f"{where}.email", N_("%(email)s is another rep's account address"), email=row.email)
            rep = Rep.create(created_at=self.now, **values)
        else:
            if rep.email != row.email:
                SenderAddress.delete().where(SenderAddress.rep == rep.id, SenderAddress.address == rep.email, SenderAddress.kind == "account").execute()
            Rep.update(**_given(row, values)).where(Rep.id == rep.id).execute()
        if not any(item.address == row.email for item in row.addresses):
            self._address(rep.id, AddressRow(address=row.email, kind="account"))
        for item in row.addresses:
            self._address(rep.id, item)

    def _address(self, rep_id: int, item: AddressRow) -> None:
        """Since when an address is confirmed and connected stays as it is, unless the file says otherwise: it decides whose mail it is."""
        held = SenderAddress.get_or_none(SenderAddress.rep == rep_id, SenderAddress.address == item.address)
        verified, connected = (held.verified_at, held.connected_at) if held is not None else (None, None)
        if verified is None and reps.is_confirmed(item.kind, item.verified):
            verified = item.connected_at or self.now
        reps.enter_address(rep_id, item.address, item.kind, self.now, verified_at=verified, connected_at=item.connected_at or connected or verified)

    def _team(self, row: TeamRow, where: str) -> None:
        rep_id = self._known(Rep, row.connected_by, f"{where}.connected_by")
        changes: dict[str, Any] = {"rep": rep_id, **({"connected_at": row.connected_at} if row.connected_at else {})}
        values = {"connected_at": self.now, **changes}
        TeamAddress.insert(address=row.address, **values).on_conflict(conflict_target=[TeamAddress.address], update=changes).execute()

    def _organisation(self, row: OrganisationRow, where: str) -> None:
        found = Organisation.get_or_none(Organisation.external_id == row.external_id) or self._adopted_organisation(row)
        if found is None:
            found = Organisation.create(external_id=row.external_id, name=row.name, created_at=self.now, updated_at=self.now)
        elif found.name != row.name:
            Organisation.update(name=row.name, updated_at=self.now).where(Organisation.id == found.id).execute()
            records.refresh_chips(Link.organisation == found.id)
        for position, domain in enumerate(row.domains):
            held = OrganisationDomain.get_or_none(OrganisationDomain.domain == domain)
            if held is not None and held.organisation_id != found.id:
                if held.organisation.external_id is None:  # mail made it of this domain before
                    people.absorb_organisation(found.id, held.organisation_id, self.now)
                    continue
                raise BadInput(f"{where}.domains[{position}]", N_("%(domain)s belongs to another organisation"), domain=domain)
            if held is None:
                OrganisationDomain.create(domain=domain, organisation=found.id)

    def _adopted_organisation(self, row: OrganisationRow) -> Any:
        """The organisation that mail made of one of the domains before the file came; None when there is none."""
        found = people.unclaimed_organisation(row.domains)
        if found is None:
            return None
        Organisation.update(external_id=row.external_id).where(Organisation.id == found.id).execute()
        return Organisation.get_by_id(found.id)

    def _contact(self, row: ContactRow, where: str) -> None:
        organisation = self._known(Organisation, row.organisation, f"{where}.organisation") if row.organisation else None
        name = row.name or next(iter(row.addresses), "")[:300]  # as one that mail made, it goes by its address
        found, merged = _contact_of(row.external_id)
        if found is None:
            found = self._adopted(row)
        if found is None:
            found = Contact.create(external_id=row.external_id, name=name, organisation=organisation, created_at=self.now, updated_at=self.now)
        elif not merged:  # of one that a person merged into another the addresses count, which the other has
            changes = _given(row, {"name": name or found.name, "organisation": organisation})
            if any(getattr(found, "organisation_id" if column == "organisation" else column) != value for column, value in changes.items()):
                Contact.update(**changes, updated_at=self.now).where(Contact.id == found.id).execute()
                records.refresh_chips(Link.contact == found.id)
        for position, address in enumerate(row.addresses):
            held = ContactAddress.get_or_none(ContactAddress.address == address)
            if held is not None and held.contact_id != found.id:
                if held.contact.external_id is None:  # mail made it of this address before
                    people.absorb(Contact.get_by_id(found.id), held.contact, self.now)
                    continue
                raise BadInput(f"{where}.addresses[{position}]", N_("%(address)s belongs to another contact"), address=address)
            if held is None:
                ContactAddress.create(address=address, contact=found.id)

    def _adopted(self, row: ContactRow) -> Any:
        """The contact that mail made of one of the addresses before the file came, now with its external id; None when there is none."""
        found = people.unclaimed_contact(row.addresses)
        if found is None:
            return None
        Contact.update(external_id=row.external_id).where(Contact.id == found.id).execute()
        return Contact.get_by_id(found.id)

    def _record(self, kind: RecordKind, row: Any, where: str) -> None:
        organisation = self._known(Organisation, row.organisation, f"{where}.organisation") if row.organisation else None
        owner = self._known(Rep, row.owner, f"{where}.owner") if row.owner else None
        standing = list(dict.fromkeys(self._contact_known(key, f"{where}.contacts[{i}]") for i, key in enumerate(row.contacts)))
        found = Record.get_or_none((Record.kind == kind) & (Record.external_id == row.external_id))
        created = row.created_at or (found.created_at if found else self.now)
        values = {
            "title": row.title, "status": row.status, "organisation": organisation, "owner": owner, "created_at": created,
            "updated_at": row.updated_at or created, "closed_at": row.closed_at, "last_activity_at": row.last_activity_at,
        }  # fmt: skip
        if found is None:
            found = Record.create(kind=kind, external_id=row.external_id, **values)
        else:
            Record.update(**_given(row, values)).where(Record.id == found.id).execute()
            if found.title != row.title:
                records.refresh_chips(Link.record == found.id)
        if "status" in row.model_fields_set or not RecordHistory.select().where(RecordHistory.record == found.id).exists():
            self._history(found.id, row.status, created, row.closed_at or row.updated_at)
        if "contacts" in row.model_fields_set:
            self._people(found.id, standing, created)

    def _history(self, record_id: int, status: str, created: dt.datetime, since: dt.datetime | None) -> None:
        """`since` is None where the file does not tell. Of a new record that is closed it is then never known to have been open."""
        last = RecordHistory.select().where(RecordHistory.record == record_id).order_by(RecordHistory.valid_from.desc(), RecordHistory.id.desc()).first()
        if last is None:
            RecordHistory.create(record=record_id, status="open", valid_from=created, learned_at=self.now)
            if status != "open":
                RecordHistory.create(record=record_id, status=status, valid_from=max(since or created, created), learned_at=self.now)
        elif last.status != status:
            RecordHistory.create(record=record_id, status=status, valid_from=max(since or self.now, last.valid_from), learned_at=self.now)

    def _people(self, record_id: int, people: list[int], added_at: dt.datetime) -> None:
        standing = {row.contact_id: row for row in RecordContact.select().where(RecordContact.record == record_id)}
        for contact in people:
            if contact not in standing:
                RecordContact.create(record=record_id, contact=contact, added_at=added_at)
            elif standing[contact].removed_at is not None:
                RecordContact.update(removed_at=None).where(RecordContact.id == standing[contact].id).execute()
        for contact, row in standing.items():
            if contact not in people and row.removed_at is None:
                RecordContact.update(removed_at=self.now).where(RecordContact.id == row.id).execute()

    def _never_log(self, pattern: str, where: str) -> None:
        NeverLog.insert(pattern=pattern, added_by="load", created_at=self.now).on_conflict_ignore().execute()
