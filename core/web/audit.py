"""The audit in words: each row as a sentence in the reader's language, and what it is about as a link by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from core.store.models import Audit, Contact, Organisation, Record, Rep, SourceInstance, T
from core.store.visibility import Viewer, visible
from core.types import RECORD_KINDS
from core.web.frame import KIND_PATHS, policy_title, reason_kind, size_in_words
from core.web.refusals import number

# Of another's conversations alone: what people do with their own is nobody's business.
SENTENCES = {
    "thread-opened": _l("Opened somebody’s private conversation"), "thread-linked": _l("Linked somebody’s conversation"),
    "thread-unlinked": _l("Removed a link of somebody’s conversation"), "choice-refused": _l("Chose none of the records for somebody’s conversation"),
    "thread-deleted": _l("Deleted a conversation"),
    "thread-restored": _l("Brought a deleted conversation back"), "thread-split": _l("Split a conversation"), "split-undone": _l("Joined a split conversation again"),
    "message-deleted": _l("Deleted a mail of a conversation"), "message-restored": _l("Brought a deleted mail back"),
    "mail-released": _l("Released a mail"), "mail-claimed": _l("Claimed a mail"), "mail-retried": _l("Had a mail judged again"), "mail-dismissed": _l("Put a mail aside"),
    "mail-removed": _l("Deleted a mail for good"), "mail-read": _l("Read somebody’s mail before it was logged"),
    "contact-deleted": _l("Deleted a contact"), "contact-restored": _l("Brought a deleted contact back"), "contacts-merged": _l("Made two contacts one"),
    "organisation-deleted": _l("Deleted an organisation"), "organisation-restored": _l("Brought a deleted organisation back"),
    "address-rotated": _l("Gave a record a new address"),
    "never-log-added": _l("Put an entry on the never-log list"), "never-log-removed": _l("Took an entry off the never-log list"),
    "domain-blocked": _l("Blocked the strangers of a domain"), "domain-unblocked": _l("Listed the strangers of a domain again"),
    "settings-changed": _l("Changed settings"), "policy-changed": _l("Changed the linking policy"), "preset-taken": _l("Took a preset"),
    "webhook-secret-renewed": _l("Made a new secret for the event webhook"),
    "source-added": _l("Added a source"), "source-changed": _l("Changed a source"), "source-enabled": _l("Switched a source on"), "source-paused": _l("Paused a source"),
    "source-removed": _l("Removed a source"),
    "rep-added": _l("Invited a rep"), "rep-created": _l("Added a rep"), "rep-changed": _l("Changed a rep"), "rep-deleted": _l("Removed a rep"),
    "password-link-made": _l("Made a link to set a password"), "alias-added": _l("Gave a rep another address"),
    "address-confirmed": _l("Confirmed an address of a rep"), "address-removed": _l("Removed an address of a rep"),
    "team-address-added": _l("Connected a team address"), "team-address-removed": _l("Removed a team address"),
    "token-created": _l("Made an API token"), "token-revoked": _l("Revoked an API token"),
}  # fmt: skip

_SHARED_THEN: dict[tuple[str, Any], Any] = {
    ("thread-linked", "private"): _l("Linked somebody’s private conversation"),
    ("thread-unlinked", "private"): _l("Removed a link of somebody’s private conversation"),
    ("thread-linked", "company"): _l("Linked somebody’s conversation, which the company shared"),
    ("thread-unlinked", "company"): _l("Removed a link of somebody’s conversation, which the company shared"),
}

SETTINGS = {
    "name": _l("Name"), "slug": _l("Short name"), "mail_domain": _l("Mail domain"), "bcc_template": _l("BCC address"), "forward_template": _l("Forwarding address"),
    "record_template": _l("Address of a record"), "mailbox": _l("Existing mailbox"), "grace_days": _l("Grace time (days)"), "policy": _l("Linking policy"),
    "message_limit": _l("Whole mail (MB)"), "attachment_limit": _l("One attachment (MB)"), "internal_domains": _l("Domains of the company, one a line"),
    "role_addresses_are_contacts": _l("Role addresses such as info@ and no-reply@ become contacts"),
    "fold_plus_tags": _l("bo+shop@cust.example and bo@cust.example are one person"),
    "strict_forwards": _l("Read a forwarded mail only when it is there in both text and HTML"),
    "softfail_holds": _l("Hold mail whose only finding is an SPF softfail, instead of turning it away"),
    "authserv_ids": _l("Names whose Authentication-Results count, one a line"), "trusted_networks": _l("Networks of your own relays (CIDR), one a line"),
    "extra_signers": _l("Signers that may sign for a domain, one pair a line"), "arc_sealers": _l("Forwarders whose seals (ARC) count, one domain a line"),
    "keep_raw_days": _l("Raw mail (days)"), "keep_held_days": _l("Quarantine (days)"), "keep_ignored_days": _l("Not accepted (days)"),
    "keep_strangers_days": _l("Strangers (days)"), "strangers_limit": _l("At most (mails)"), "strangers_megabytes": _l("At most (MB)"),
    "event_webhook_url": _l("Event webhook"), "event_webhook_networks": _l("Private networks that may be reached for it (CIDR), one a line"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it is shown. `url` leads to what it is about, where that has a page; `target` is what a conversation was linked to."""

    row: Any
    sentence: str
    about: str
    url: str
    details: list[str]
    target: str = ""
    target_url: str = ""


def lines(viewer: Viewer, rows: Sequence[Any]) -> list[Line]:
    """The rows in words; what they are about is looked up with one query a kind."""
    targets = _targets(viewer, rows)
    names = _names([row.about for row in rows] + [f"{kind}:{ident}" for kind, ident in targets.values()])
    return [_line(row, names, targets.get(row.id)) for row in rows]


def _targets(viewer: Viewer, rows: Sequence[Any]) -> dict[int, tuple[str, int]]:
    """By row, what the conversation was linked to or taken off: of those that this viewer may read now, whatever they were then."""
    linked = {row.id: row for row in rows if row.act in ("thread-linked", "thread-unlinked") and (row.facts or {}).get("target")}
    asked = {number(row.about.partition(":")[2]) for row in linked.values()}
    readable = {ident for (ident,) in T.select(T.id).where(visible(viewer), T.id.in_(asked)).tuples()} if asked else set()
    return {
        ident: ("record" if row.facts["kind"] in RECORD_KINDS else row.facts["kind"], row.facts["target"])
        for ident, row in linked.items()
        if number(row.about.partition(":")[2]) in readable
    }


def _line(row: Any, names: Mapping[tuple[str, int], tuple[str, str]], target: tuple[str, int] | None) -> Line:
    facts: dict[str, Any] = row.facts or {}
    act = row.act
    if act == "address-decided":
        act = "address-confirmed" if facts.get("confirmed") else "address-removed"
    kind, _colon, rest = row.about.partition(":")
    about, url = names.get((kind, number(rest) or 0), ("", "")) if number(rest) is not None else (rest, "")
    linked, linked_url = names.get(target, ("", "")) if target else ("", "")
    return Line(row, str(_SHARED_THEN.get((act, facts.get("sharing")), SENTENCES.get(act, act))), about, url, _details(facts), linked, linked_url)


def _names(abouts: Iterable[str]) -> dict[tuple[str, int], tuple[str, str]]:
    """(kind, id) -> how it is called and where its page is. A conversation and a mail go by their number: what they say is content."""
    wanted: dict[str, set[int]] = {}
    for about in abouts:
        kind, _colon, rest = about.partition(":")
        ident = number(rest)
        if ident is not None:
            wanted.setdefault(kind, set()).add(ident)
    found: dict[tuple[str, int], tuple[str, str]] = {}
    for ident in wanted.get("thread", ()):
        found["thread", ident] = _("Conversation %(number)s", number=ident), url_for("threads.page", thread_id=ident)
    for ident in wanted.get("inbound", ()):
        found["inbound", ident] = _("Mail %(number)s", number=ident), url_for("held.show", inbound_id=ident)
    for kind, query in _QUERIES.items():
        if kind in wanted:
            for ident, name, path in query(list(wanted[kind])):
                found[kind, ident] = name, path
    return found


def _contacts(ids: list[int]) -> list[tuple[int, str, str]]:
    return [(ident, name or str(ident), f"/contacts/{ident}") for ident, name in Contact.select(Contact.id, Contact.name).where(Contact.id.in_(ids)).tuples()]


def _organisations(ids: list[int]) -> list[tuple[int, str, str]]:
    return [(ident, name, f"/organisations/{ident}") for ident, name in Organisation.select(Organisation.id, Organisation.name).where(Organisation.id.in_(ids)).tuples()]


def _records(ids: list[int]) -> list[tuple[int, str, str]]:
    return [(ident, title, f"/{KIND_PATHS[kind]}/{ident}") for ident, kind, title in Record.select(Record.id, Record.kind, Record.title).where(Record.id.in_(ids)).tuples()]


def _reps(ids: list[int]) -> list[tuple[int, str, str]]:
    return [(ident, name or email, url_for("settings.people")) for ident, name, email in Rep.select(Rep.id, Rep.name, Rep.email).where(Rep.id.in_(ids)).tuples()]


def _sources(ids: list[int]) -> list[tuple[int, str, str]]:
    return [(ident, name, url_for("sources.show", source_id=ident)) for ident, name in SourceInstance.select(SourceInstance.id, SourceInstance.name).where(SourceInstance.id.in_(ids)).tuples()]


_QUERIES = {"contact": _contacts, "organisation": _organisations, "record": _records, "rep": _reps, "source": _sources}


def _details(facts: Mapping[str, Any]) -> list[str]:
    """What else is known, in words; ids and what the sentence says already are left out."""
    found: list[str] = [str(facts[name]) for name in ("address", "rep", "email", "name") if isinstance(facts.get(name), str)]
    if isinstance(facts.get("reason"), str):
        found.append(reason_kind(facts["reason"]))
    values = facts.get("values")
    values = values if isinstance(values, dict) else {}
    changed = facts.get("names", facts.get("changed"))
    found += [_change(one, values.get(one)) for one in (changed if isinstance(changed, list) else values)]
    if isinstance(facts.get("policy"), str):
        was = facts.get("was", facts["policy"])
        found.append(policy_title(facts["policy"]) if was == facts["policy"] else f"{policy_title(was)} → {policy_title(facts['policy'])}")
    found += [word for name, value in facts.items() if (word := _word(name, value))]
    return found


def _change(name: str, values: Sequence[bool | int | str] | None) -> str:
    """A setting that was changed, with its old and new value where they were kept."""
    title = str(SETTINGS.get(name, name))
    return title if values is None else f"{title}: {_value(name, values[0])} → {_value(name, values[1])}"


def _value(name: str, value: bool | int | str) -> str:
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if name in ("message_limit", "attachment_limit"):
        return size_in_words(int(value))
    if name == "policy":
        return policy_title(str(value))
    return _("(empty)") if value == "" else str(value)


def _word(name: str, value: Any) -> str:
    known = {
        ("role", "admin"): _("Admin"), ("role", "member"): _("Rep"), ("status", "suspended"): _("Suspended"),
        ("preset", "pipedrive"): _("Like Pipedrive"), ("preset", "hubspot"): _("Like HubSpot"),
    }  # fmt: skip
    return known.get((name, value), "") if isinstance(value, str) else ""


def page(viewer: Viewer, before: int | None, size: int = 100) -> tuple[list[Line], int | None]:
    """The newest rows before this one, and where the next page begins."""
    query = Audit.select().order_by(Audit.id.desc()).limit(size + 1)
    rows = list(query.where(Audit.id < before) if before else query)
    return lines(viewer, rows[:size]), rows[size - 1].id if len(rows) > size else None
