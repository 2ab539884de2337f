"""Drop addresses: made from templates, found by a keyed hash, retired with a grace period."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from string import Formatter

from core.errors import BadInput
from core.mail.addresses import normalise, without_plus_tag
from core.reasons import N_
from core.store.company import Company, beat, change_company, company
from core.store.database import hold, write
from core.store.fields import to_micros
from core.store.models import DropAddress, Record
from core.store.plain import insert_many, marks, rows
from core.store.seal import Seal, fresh_token
from core.types import Drop

MOST_LOOKED_UP = 600  # addresses of one mail
_GAPS = ("slug", "domain", "token", "mailbox")
_PORTION = 500  # rows of one statement
_GAP = "0token0"  # letters that every template takes


def normal(address: str) -> str:
    """As drop addresses are compared: lower case, the domain in A-labels, no trailing dot, no brackets."""
    plain = address.strip().strip("<>").rstrip(".")
    return plain.lower() if plain.isascii() else (normalise(plain) or plain).lower()


def _write_out(name: str, settings: Company, token: str = "") -> str:
    """The address that a template makes, by the name of its setting. Raises BadInput."""
    template = getattr(settings, name)
    try:
        if not all(gap in (None, *_GAPS) and not how and not turned for _text, gap, how, turned in Formatter().parse(template)):
            raise ValueError
        made: str = template.format(slug=settings.slug, domain=settings.mail_domain, token=token, mailbox=settings.mailbox)
    except (KeyError, IndexError, ValueError, AttributeError):
        raise BadInput(name, N_("use only {slug}, {domain}, {token} and {mailbox} between braces")) from None
    return normal(made)


def _check_templates(settings: Company) -> None:
    """Each template makes an address, and each record gets one of its own. Raises BadInput that names the template."""
    for name in ("bcc_template", "forward_template", "record_template"):
        made = _write_out(name, settings, "one")
        if "{mailbox}" in getattr(settings, name) and not settings.mailbox.strip():
            raise BadInput(name, N_("{mailbox} stands for your existing mailbox, and the field for it (mailbox) is empty: fill in the part before its @"))
        if normalise(made) is None:
            raise BadInput(name, N_("this makes “%(made)s”, which is no e-mail address"), made=made[:100])
    if made == _write_out("record_template", settings, "other"):
        raise BadInput("record_template", N_("it must hold {token}, so that each record has an address of its own"))


def universal(settings: Company | None = None) -> tuple[str, str]:
    """The BCC address and the forwarding address of the company, as they are now."""
    settings = settings or company()
    return _write_out("bcc_template", settings), _write_out("forward_template", settings)


def _enter(address: str, kind: str, seal: Seal, now: dt.datetime, record_id: int | None = None) -> None:
    DropAddress.insert(kind=kind, lookup=seal.lookup(address), sealed=seal.close(address), record=record_id, created_at=now).on_conflict(
        conflict_target=[DropAddress.lookup],
        update={DropAddress.kind: kind, DropAddress.retired_at: None, DropAddress.works_until: None},
    ).execute()


def _retire(kind: str, keep: str, until: dt.datetime, now: dt.datetime, record_id: int | None = None) -> None:
    query = DropAddress.update(retired_at=now, works_until=until).where(DropAddress.kind == kind, DropAddress.lookup != keep, DropAddress.retired_at.is_null())
    if record_id is not None:
        query = query.where(DropAddress.record == record_id)
    query.execute()


def enter_universal(seal: Seal, now: dt.datetime) -> None:
    """Enter the universal addresses and those of records as the settings make them; the ones before go on working for the grace period."""
    settings = company()
    until = now + dt.timedelta(days=settings.grace_days)
    bcc, forward = universal(settings)
    _check_templates(settings)
    if bcc == forward:
        raise BadInput("forward_template", N_("the forwarding address must differ from the BCC address"))
    with write():
        for address, kind in ((bcc, "bcc"), (forward, "forward")):
            _enter(address, kind, seal, now)
            _retire(kind, seal.lookup(address), until, now)
        _renew_records(seal, until, now)
        beat("settings")


def set_slug(slug: str, seal: Seal, now: dt.datetime) -> None:
    """Change the company's slug and with it the addresses (F3). Raises BadInput."""
    if not slug.strip():
        raise BadInput("slug", N_("give a short name such as acme"))
    with write():
        change_company({"slug": slug})
        enter_universal(seal, now)


def among(addresses: Iterable[str], seal: Seal, now: dt.datetime) -> list[Drop]:
    """The living drop addresses among these, in one query, as they were written."""
    return ever(addresses, seal, now)[0]


def ever(addresses: Iterable[str], seal: Seal, now: dt.datetime) -> tuple[list[Drop], list[str]]:
    """The living drop addresses among these, and those whose time is over: they take no mail, and are nobody's address either.

    Over one mailbox a plus tag leads to the mailbox, so `acme+chairs@…` is `acme@…` unless it is an address of its own.
    They are found by their keyed hash alone, so every answer takes the same time.
    """
    written = list(dict.fromkeys(normal(address) for address in addresses))[:MOST_LOOKED_UP]
    hashes = {form: _hash(seal, form) for form in {*written, *map(without_plus_tag, written)}}
    if not hashes:
        return [], []
    stamp = to_micros(now)
    living: dict[str, tuple[str, int | None, bool]] = {}
    over: set[str] = set()
    for lookup, kind, record_id, retired_at, works_until in rows(
        f"SELECT lookup, kind, record_id, retired_at, works_until FROM drop_address WHERE lookup IN ({marks(hashes)})", *hashes.values()
    ):
        if works_until is None or works_until > stamp:
            living[lookup] = (kind, record_id, retired_at is not None)
        else:
            over.add(lookup)
    found, ended = [], []
    for address in written:
        forms = (hashes[address], hashes[without_plus_tag(address)])
        held = living.get(forms[0]) or living.get(forms[1])
        if held is not None:
            found.append(Drop(address, *held))
        elif not over.isdisjoint(forms):
            ended.append(address)
    return found, ended


@lru_cache(maxsize=1000)  # the company's own stand in every mail
def _hash(seal: Seal, form: str) -> str:
    return seal.lookup(form)


def find(address: str, seal: Seal, now: dt.datetime) -> Drop | None:
    """The living drop address, or None."""
    return next(iter(among([address], seal, now)), None)


def universal_rows(seal: Seal) -> list[dict[str, object]]:
    """The universal addresses with their kind, and until when a retired one works."""
    rows = DropAddress.select().where(DropAddress.record.is_null()).order_by(DropAddress.id)
    return [
        {"kind": row.kind, "address": seal.open(row.sealed), "retired_at": row.retired_at, "works_until": row.works_until} for row in rows
    ]  # fmt: skip


def record_address(record_id: int, seal: Seal, now: dt.datetime) -> str:
    """The unguessable address of a record; made when it has none yet."""
    return _known_address(record_id, seal) or _first_address(record_id, seal, now)


def _known_address(record_id: int, seal: Seal) -> str:
    row = _living_of(record_id)
    return "" if row is None else seal.open(row.sealed)


def _first_address(record_id: int, seal: Seal, now: dt.datetime) -> str:
    with write():  # others may have looked at the same moment: all of them see one address
        hold("record", record_id)
        return _known_address(record_id, seal) or rotate(record_id, seal, now)


def give_addresses(seal: Seal, now: dt.datetime) -> None:
    """Make an address for each record that has none yet, so that looking at it writes nothing."""
    with write():
        lacking = rows("SELECT r.id FROM record r WHERE NOT EXISTS (SELECT 1 FROM drop_address d WHERE d.record_id = r.id AND d.retired_at IS NULL)")
        _enter_fresh([record_id for (record_id,) in lacking], seal, now)


def _renew_records(seal: Seal, until: dt.datetime, now: dt.datetime) -> None:
    """Another address for each record whose present one the settings would not make; that one works until then. Inside the caller's transaction.

    One that the settings made before and that was given up with them comes back: a slip that is put right costs nobody an address.
    """
    form = re.compile("(.+)".join(map(re.escape, _write_out("record_template", company(), _GAP).split(_GAP))))
    living = rows("SELECT id, record_id, sealed FROM drop_address WHERE kind = 'record' AND record_id IS NOT NULL AND retired_at IS NULL")
    former = [(ident, record_id) for ident, record_id, sealed in living if not form.fullmatch(seal.open(sealed))]
    for start in range(0, len(former), _PORTION):
        portion = former[start : start + _PORTION]
        records = list(dict.fromkeys(record_id for _ident, record_id in portion))
        back = _given_up_with_the_settings(records, form, seal, now)
        DropAddress.update(retired_at=now, works_until=until).where(DropAddress.id.in_([ident for ident, _record in portion])).execute()
        DropAddress.update(retired_at=None, works_until=None).where(DropAddress.id.in_(list(back.values()))).execute()
        _enter_fresh([record_id for record_id in records if record_id not in back], seal, now)


def _given_up_with_the_settings(record_ids: Sequence[int], form: re.Pattern[str], seal: Seal, now: dt.datetime) -> dict[int, int]:
    """Of these records the newest retired address of this form that still works: record -> its row. One that was replaced by another of the same form was rotated and stays away."""
    known = DropAddress.select().where(DropAddress.record.in_(record_ids)).order_by(DropAddress.id)
    fitting = [row for row in known if form.fullmatch(seal.open(row.sealed))]
    begun = {(row.record_id, row.created_at) for row in fitting}
    return {
        row.record_id: row.id
        for row in fitting
        if row.retired_at is not None and (row.record_id, row.retired_at) not in begun and row.works_until is not None and row.works_until > now
    }


def _enter_fresh(record_ids: Sequence[int], seal: Seal, now: dt.datetime) -> None:
    """One new address for each of these records, inside the caller's transaction."""
    settings = company()
    made = [(record_id, _write_out("record_template", settings, fresh_token())) for record_id in record_ids]
    values = [("record", seal.lookup(address), seal.close(address), record_id, now) for record_id, address in made]
    insert_many("drop_address", ("kind", "lookup", "sealed", "record_id", "created_at"), values)


def record_addresses(record_ids: list[int], seal: Seal) -> dict[int, str]:
    """The addresses of many records in one query; those that have none are left to `record_address`."""
    living = DropAddress.select(DropAddress.record, DropAddress.sealed).where(DropAddress.record.in_(record_ids), DropAddress.retired_at.is_null())
    return {record_id: seal.open(sealed) for record_id, sealed in living.order_by(DropAddress.id).tuples()}


def _living_of(record_id: int) -> DropAddress | None:
    return DropAddress.select().where(DropAddress.record == record_id, DropAddress.retired_at.is_null()).order_by(DropAddress.id.desc()).first()


def _fresh(record_id: int, seal: Seal, now: dt.datetime) -> str:
    settings = company()
    with write():
        if Record.select().where(Record.id == record_id).first() is None:
            raise BadInput("record", N_("there is no such record"))
        address = _write_out("record_template", settings, fresh_token())
        _enter(address, "record", seal, now, record_id)
        DropAddress.update(record=record_id).where(DropAddress.lookup == seal.lookup(address)).execute()
    return address


def rotate(record_id: int, seal: Seal, now: dt.datetime) -> str:
    """A new address for a record; the old one works until the end of the grace period."""
    until = now + dt.timedelta(days=company().grace_days)
    with write():
        address = _fresh(record_id, seal, now)
        _retire("record", seal.lookup(address), until, now, record_id)
    return address
