"""The company's own settings: kept in the database, changed at run time, seen by every process within a second."""

from __future__ import annotations

import copy
import ipaddress
import logging
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import BadInput
from core.mail.addresses import normalise_domain
from core.reasons import N_
from core.store.complaints import first_complaint
from core.store.database import main_db, run_sql, write
from core.store.models import Pulse, Setting

log = logging.getLogger("dropcopy.company")

MEGABYTE = 1024 * 1024
_SLUG = set("abcdefghijklmnopqrstuvwxyz0123456789-")
_SERVER = re.compile(r"[\w.-]{1,253}")
_AGES = 365_000  # days, a thousand years: from the day of today no calendar can take many more
_MOST = 1_000_000_000  # of what is counted, so that every product of it is a number of the database


def _domain(typed: str) -> str:
    """A domain as the addresses of mails have it. Raises ValueError."""
    found = normalise_domain(typed.strip().strip("."))
    if found is None or "." not in found:
        raise ValueError(N_("write domains such as sales.example"))
    return found


class PolicyChoice(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "single-open"
    options: dict[str, Any] = Field(default_factory=dict)


class Company(BaseModel):
    """Every setting an admin can change in the browser, with its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", max_length=200)
    slug: str = Field("", max_length=63)
    mail_domain: str = Field("", max_length=253)
    bcc_template: str = "{slug}@{domain}"
    forward_template: str = "{slug}-fwd@{domain}"
    record_template: str = "r-{token}@{domain}"
    mailbox: str = ""  # for templates over one existing mailbox: {mailbox}+{token}@{domain}
    grace_days: int = Field(90, ge=0, le=3650)  # how long a retired drop address goes on working
    policy: PolicyChoice = PolicyChoice()
    message_limit: int = Field(20 * MEGABYTE, ge=64 * 1024, le=200 * MEGABYTE)
    attachment_limit: int = Field(50 * MEGABYTE, ge=1024, le=200 * MEGABYTE)
    internal_domains: tuple[str, ...] = ()
    role_addresses_are_contacts: bool = False
    fold_plus_tags: bool = False
    strict_forwards: bool = False
    softfail_holds: bool = False
    authserv_ids: tuple[str, ...] = ()
    trusted_networks: tuple[str, ...] = ()
    arc_sealers: tuple[str, ...] = ()
    extra_signers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    keep_raw_days: int = Field(0, ge=0, le=_AGES)  # 0 = for ever
    keep_held_days: int = Field(90, ge=1, le=_AGES)
    keep_ignored_days: int = Field(30, ge=1, le=_AGES)
    strangers_limit: int = Field(1000, ge=10, le=_MOST)  # mails of strangers that are kept, the newest
    strangers_megabytes: int = Field(500, ge=1, le=_MOST)  # and how large they may be together
    keep_strangers_days: int = Field(30, ge=1, le=_AGES)
    event_webhook_url: str = Field("", max_length=2000)  # where events are posted; its signing secret is kept apart, sealed
    event_webhook_networks: tuple[str, ...] = ()  # private networks (CIDR) that may be reached for that
    preset: Literal["pipedrive", "hubspot", "own"] = "pipedrive"

    @field_validator("slug")
    @classmethod
    def _plain_slug(cls, value: str) -> str:
        slug = value.strip().lower()
        if slug and (not set(slug) <= _SLUG or slug[0] == "-" or slug[-1] == "-"):
            raise ValueError(N_("use small letters, digits and hyphens only, such as acme-sales"))
        return slug

    @field_validator("mail_domain")
    @classmethod
    def _plain_domain(cls, value: str) -> str:
        plain = value.strip().strip(".").lower()
        return normalise_domain(plain) or plain  # what is no domain is refused with the address that it would make

    @field_validator("event_webhook_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(str(ipaddress.ip_network(network.strip())) for network in value)
        except ValueError:
            raise ValueError(N_("write networks such as 10.0.0.0/8")) from None

    @field_validator("trusted_networks")
    @classmethod
    def _relays(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Networks as the machine's own setting takes them: an address in one stands for it."""
        try:
            return tuple(dict.fromkeys(str(ipaddress.ip_network(network.strip(), strict=False)) for network in value if network.strip()))
        except ValueError:
            raise ValueError(N_("write networks such as 10.0.0.0/8")) from None

    @field_validator("authserv_ids")
    @classmethod
    def _names_of_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """An authserv-id is a name of a server by custom, and one word in any case (RFC 8601 section 2.5)."""
        names = tuple(dict.fromkeys(name.strip().lower() for name in value if name.strip()))
        if not all(_SERVER.fullmatch(name) for name in names):
            raise ValueError(N_("write names of mail servers such as mx.sales.example"))
        return names

    @field_validator("extra_signers")
    @classmethod
    def _plain_signers(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {_domain(home): tuple(dict.fromkeys(_domain(name) for name in names)) for home, names in value.items()}

    @field_validator("event_webhook_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value.strip())
        if value.strip() and (parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None):
            raise ValueError(N_("write a web address such as https://hooks.example.com/dropcopy, without user and password"))
        return value.strip()

    @model_validator(mode="after")
    def _http_only_at_home(self) -> Company:
        if self.event_webhook_url.startswith("http://") and not self.event_webhook_networks:
            raise ValueError(N_("write an https:// address for the event webhook; http:// goes to the networks that are named for it only"))
        return self

    @field_validator("internal_domains", "arc_sealers", mode="before")
    @classmethod
    def _plain_domains(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return tuple(dict.fromkeys(_domain(str(item)) for item in value if str(item).strip()))
        return value


_cache: tuple[Any, float, Company] | None = None  # the database itself: its id may be another one's later
_cache_lock = threading.Lock()
_LOOK_AGAIN = 1.0  # seconds: a change reaches every process within this time


def pulse(name: str) -> int:
    """The counter of this name; 0 when nothing has happened yet."""
    row = Pulse.select(Pulse.number).where(Pulse.name == name).tuples().first()
    return int(row[0]) if row else 0


def beat(*names: str) -> None:
    """Raise counters, inside the caller's transaction; in one order everywhere, so that two transactions never wait for each other."""
    ordered = sorted(set(names))
    if ordered:
        values = ", ".join(["(?, 1)"] * len(ordered))
        run_sql(main_db, f"INSERT INTO pulse (name, number) VALUES {values} ON CONFLICT (name) DO UPDATE SET number = pulse.number + 1", ordered)


def company() -> Company:
    """The settings as they stand, at most a second old."""
    global _cache
    with _cache_lock:
        now = time.monotonic()
        key = main_db.obj
        if _cache is not None and _cache[0] is key and now - _cache[1] < _LOOK_AGAIN:
            return _cache[2]
        _cache = (key, now, Company.model_validate(_stored()))
        return _cache[2]


def _stored() -> dict[str, Any]:
    """The settings in the database. One that an older version took and this one cannot mean is left out, so that its default holds and mail goes on."""
    known = {name: value for name, value in Setting.select(Setting.name, Setting.value).tuples() if name in Company.model_fields}
    try:
        Company.model_validate(known)
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors() if one["loc"]}
        log.warning("settings that cannot be meant are passed over until an admin changes them: %s", ", ".join(sorted(wrong)))
        return {name: value for name, value in known.items() if name not in wrong}
    return known


def forget_cache() -> None:
    global _cache
    _cache = None


_LONGEST_TOLD = 500  # characters of a setting that the audit keeps


def differences(before: Company, after: Company) -> dict[str, list[bool | int | str]]:
    """What changed, as the audit keeps it: old and new value of each setting that differs."""
    return {
        name: [_told(name, getattr(before, name)), _told(name, getattr(after, name))]
        for name in Company.model_fields
        if getattr(before, name) != getattr(after, name)
    }


def _told(name: str, value: Any) -> bool | int | str:
    if name == "policy":
        return str(value.name)  # its options are the plugin's own, and may be anything
    if name == "event_webhook_url":
        return urlsplit(value).hostname or ""  # the rest of such an address is often as good as a password
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, Mapping):
        value = [f"{key} {' '.join(names)}" for key, names in value.items()]
    text = value if isinstance(value, str) else ", ".join(value)
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}…"


def change_company(changes: Mapping[str, Any]) -> Company:
    """Change some settings, all or none. Raises BadInput that names the setting."""
    unknown = next((name for name in changes if name not in Company.model_fields), None)
    if unknown:
        raise BadInput(unknown, N_("there is no such setting"))
    try:
        checked = Company.model_validate({**_stored(), **changes})
    except ValidationError as error:
        raise first_complaint(error) from None
    plain = checked.model_dump(mode="json")
    with write():
        for name in changes:
            Setting.insert(name=name, value=plain[name]).on_conflict(conflict_target=[Setting.name], update={Setting.value: plain[name]}).execute()
        beat("settings")
    forget_cache()
    return checked


# What each preset sets (F12): the limits and the linking policy of the product that it is named after; "own" sets nothing.
_PRESETS: dict[str, dict[str, Any]] = {
    "pipedrive": {"message_limit": 20 * MEGABYTE, "attachment_limit": 50 * MEGABYTE, "policy": {"name": "single-open", "options": {}}},
    "hubspot": {"message_limit": 100 * MEGABYTE, "attachment_limit": 50 * MEGABYTE, "policy": {"name": "recent-open", "options": {}}},
    "own": {},
}


def preset_changes(name: str) -> dict[str, Any]:
    """What choosing this preset changes, for `change_company`. Raises BadInput when there is no such preset."""
    if name not in _PRESETS:
        raise BadInput("preset", N_("use one of %(choices)s"), choices=", ".join(_PRESETS))
    return {"preset": name, **copy.deepcopy(_PRESETS[name])}


def is_set_up() -> bool:
    """True once somebody has run the set-up."""
    return run_sql(main_db, "SELECT 1 FROM setting WHERE name = 'slug'").fetchone() is not None  # every request asks
