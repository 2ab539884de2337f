"""Who are the counterparties of a mail, and which of them become contacts?

Of a Bcc these are all To and Cc recipients (F25); of a forward it is the claimed author alone (F26), or the authors of
all originals where several are attached. The company's own
people never become contacts (F27), nor does anybody whom the company never logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from core.errors import Ignored
from core.mail.addresses import is_free_mail, is_role
from core.mail.alignment import organisational
from core.steps.facts import House, Unwrapped, address_key, domain_of, zones_of
from core.types import Contact, Email, Envelope, Mailbox, TraceEntry

STEP = "contacts"
MOST_PARTICIPANTS = 500  # beside who wrote it: a mail names as many people as its writer likes; the rest is counted
LONGEST_NAME = 200


@dataclass(frozen=True)
class Planned:
    """One person whom the mail names.

    key           the address as it is stored and looked up (`address_key`)
    role          "from", "to" or "cc", of the mail that is filed (of a forward: the original as claimed)
    reason        a reason code: why this one is or is no contact
    counterparty  stands in the link case: a known contact or one to be made
    contact       the known contact, None when there is none
    new           True when a contact is to be made of this one
    domains       where to look for the organisation of a new contact, nearest first; the last one is the domain of an
                  organisation to be made. Empty for free mail.
    """

    address: str
    key: str
    name: str | None
    role: str
    reason: str
    counterparty: bool = False
    contact: Contact | None = None
    new: bool = False
    domains: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name of a contact made of this one."""
        return self.name or self.address


@dataclass(frozen=True)
class ContactPlan:
    """Who takes part. People on the never-log list and those who were in Bcc are not among the participants."""

    participants: tuple[Planned, ...] = ()
    never_log: bool = False  # every counterparty is on the list
    trace: tuple[TraceEntry, ...] = ()

    @property
    def counterparties(self) -> tuple[Planned, ...]:
        return tuple(person for person in self.participants if person.counterparty)

    @property
    def new(self) -> tuple[Planned, ...]:
        return tuple(person for person in self.participants if person.new)


# --- the step -----------------------------------------------------------------------------------------------------


def addresses(email: Email, unwrapped: Unwrapped, envelope: Envelope) -> tuple[str, ...]:
    """Every address whose facts this step needs, in the written form of `address_key`: at most 500 people's."""
    people, _ = _people(email, unwrapped)
    return tuple(dict.fromkeys(address_key(box.address) for box, _ in people))


def forms(address: str, house: House) -> tuple[str, ...]:
    """Under which addresses a contact may be known: as written (with its plus tag, also where new ones are folded), then folded."""
    return tuple(dict.fromkeys((address_key(address), address_key(address, house.fold_plus_tags))))


def plan(email: Email, unwrapped: Unwrapped, envelope: Envelope, house: House, known: Mapping[str, Contact]) -> ContactPlan:
    """Who becomes or is a contact; see `sort_out`.

    Raises Ignored("never-log") when every counterparty of a Bcc, or the author of a forward, is on the list, and
    Ignored("forward-of-own-notice") when the forwarded mail came from a drop address: it holds nothing to file.
    """
    author = unwrapped.sender
    if unwrapped.is_forward and author is not None and house.why_ours(author.address) == "contact-drop-address":
        raise Ignored("forward-of-own-notice", address=author.address)
    result = sort_out(email, unwrapped, envelope, house, known)
    if result.never_log:
        raise Ignored("never-log")
    return result


def sort_out(email: Email, unwrapped: Unwrapped, envelope: Envelope, house: House, known: Mapping[str, Contact]) -> ContactPlan:
    """The same without stopping, for a dry run.

    known  contacts by the forms of `forms(address, house)`
    """
    people, more = _people(email, unwrapped)
    counted_roles = _counted_roles(unwrapped, house)
    never = _never_log(house.never_log)
    planned: dict[str, Planned] = {}
    trace: list[TraceEntry] = []
    listed = others = made = 0
    fresh: set[str] = set()
    for box, role in people:
        key = next((form for form in forms(box.address, house) if form in known), address_key(box.address, house.fold_plus_tags))
        if key in planned:
            continue
        why = house.why_ours(box.address)
        if why is not None:
            if why != "contact-drop-address":
                planned[key] = Planned(box.address, key, box.name, role, why)
            if role != "from" or unwrapped.is_forward:
                trace.append(_entry(why, box.address))
            continue
        blocked = never.names(box.address)
        if role in counted_roles:
            listed, others = listed + blocked, others + (not blocked)
        if blocked:
            trace.append(_entry("contact-never-log", box.address))
            continue
        contact = known.get(key)
        reason = _why_no_contact(box, role, counted_roles, contact, house, unwrapped)
        if reason is None and contact is None:
            made += key not in fresh
            fresh.add(key)
            reason = "contact-limit" if made > house.limit else None
        if reason is not None:
            planned[key] = Planned(box.address, key, box.name, role, reason, contact=contact)
        elif contact is not None:
            planned[key] = Planned(box.address, key, box.name, role, "contact-known", True, contact)
        else:
            planned[key] = Planned(
                box.address, key, _name(box), role, "contact-new", True, new=True, domains=organisation_domains(box.address)
            )
        trace.append(_entry(planned[key].reason, box.address, house.limit))
    if more or any(defect.startswith("participants-cut:") for defect in email.defects):
        trace.append(TraceEntry(STEP, "skip", "more-people", {"limit": MOST_PARTICIPANTS}))
    trace += _blind(email, envelope, house)
    result = tuple(planned.values())
    if not any(person.counterparty for person in result):
        trace.append(TraceEntry(STEP, "pass", "no-counterparty"))
    return ContactPlan(result, bool(listed) and not others, tuple(trace))


def _people(email: Email, unwrapped: Unwrapped) -> tuple[list[tuple[Mailbox, str]], bool]:
    """Everybody whom the filed mail names, with the role: who wrote it, and at most 500 others; and whether there were more."""
    wrote: list[tuple[Mailbox, str]] = []
    others: list[tuple[Mailbox, str]] = []
    if unwrapped.forward is not None:
        originals = (unwrapped.forward, *unwrapped.forward.others)  # several may be attached to one mail
        wrote += [(one.sender, "from") for one in originals if one.sender is not None]
        others += [(box, "to") for one in originals for box in one.to]
        others += [(box, "cc") for one in originals for box in one.cc]
    elif not unwrapped.is_forward:  # of an unreadable forward nobody is guessed
        wrote += [(email.identity.mailbox, "from")] if email.identity.mailbox is not None else []
        others += [(box, "to") for box in email.to]
        others += [(box, "cc") for box in email.cc]
    return wrote[:MOST_PARTICIPANTS] + others[:MOST_PARTICIPANTS], len(others) > MOST_PARTICIPANTS


def _counted_roles(unwrapped: Unwrapped, house: House) -> tuple[str, ...]:
    """The roles whose people are counterparties. A rep who forwards what he wrote himself wrote it to its recipients."""
    if not unwrapped.is_forward:
        return ("to", "cc")
    if unwrapped.sender is not None and house.ours(unwrapped.sender.address):
        return ("from", "to")
    return ("from",)


def _why_no_contact(
    box: Mailbox, role: str, counted: tuple[str, ...], contact: Contact | None, house: House, unwrapped: Unwrapped
) -> str | None:
    """The reason code that keeps a stranger of the company from being a counterparty, or None."""
    if role not in counted:
        return "contact-forward-cc" if unwrapped.is_forward else "contact-sender"
    if contact is not None:
        return None  # a person made it a contact, and that stands
    if unwrapped.is_forward and role != "from":
        return "contact-forward-cc"  # H: recipients of a forwarded mail are never added
    if house.role_addresses and is_role(box.address):
        return "contact-role"
    return None


def _blind(email: Email, envelope: Envelope, house: House) -> list[TraceEntry]:
    """Envelope recipients who stand in no header were in Bcc: they get nothing, and only the trace tells (F25)."""
    shown = {address_key(box.address) for box in (*email.to, *email.cc)}
    hidden = dict.fromkeys(address_key(address) for address in envelope.rcpt_to[:MOST_PARTICIPANTS])
    return [_entry("contact-bcc", address) for address in hidden if address not in shown and not house.ours(address)]


def _entry(reason: str, address: str, limit: int = 0) -> TraceEntry:
    outcome = {"contact-known": "known", "contact-new": "new"}.get(reason, "skip")
    params: dict[str, object] = {"address": address}
    if reason == "contact-limit":
        params["limit"] = limit
    return TraceEntry(STEP, outcome, reason, params)


def _name(box: Mailbox) -> str | None:
    """The name of a new contact; programs often put the address, or quotes, in its place."""
    name = (box.name or "").strip().strip("'\"").strip()
    return None if not name or address_key(name) == address_key(box.address) else name[:LONGEST_NAME]


# --- rules about addresses ----------------------------------------------------------------------------------------


def is_never_log(address: str, patterns: Iterable[str]) -> bool:
    """True when a pattern names the address.

    A pattern is an address (`x@y.example`), a domain (`spam.example`, also written `@spam.example`) that stands for its
    subdomains too, or either with `*` for any run of characters. No regular expressions: they can be made to hang.
    """
    return _never_log(tuple(patterns)).names(address)


@dataclass(frozen=True)
class _NeverLog:
    """The list made ready: a mail may name 500 people, and a company may list thousands."""

    exact: frozenset[str]  # addresses and domains
    globs: tuple[str, ...]

    def names(self, address: str) -> bool:
        keys = (address_key(address), address_key(address, fold_plus_tags=True))
        domain = domain_of(keys[0])
        if not self.exact.isdisjoint((*keys, *zones_of(domain))):
            return True
        return any(glob(pattern, text) for pattern in self.globs for text in (keys if "@" in pattern else (domain,)))


@lru_cache(maxsize=8)
def _never_log(patterns: tuple[str, ...]) -> _NeverLog:
    written = {pattern.strip().lower().removeprefix("@").rstrip(".") for pattern in patterns} - {""}
    return _NeverLog(
        frozenset(pattern for pattern in written if "*" not in pattern),
        tuple(sorted(pattern for pattern in written if "*" in pattern)),
    )


def glob(pattern: str, text: str) -> bool:
    """True when the whole text fits a pattern whose only special character is `*`. Linear: pieces are sought in order."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    if not text.startswith(first):
        return False
    place = len(first)
    for piece in middle:
        found = text.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return len(text) - len(last) >= place and text.endswith(last)


def organisation_domains(address: str) -> tuple[str, ...]:
    """The domains that may name the organisation of an address, from its own down to the registrable one.

    Empty for free mail and for a bare public suffix: nobody's organisation.
    """
    domain = domain_of(address)
    registrable = organisational(domain)
    if registrable is None or is_free_mail(domain) or is_free_mail(registrable):
        return ()
    labels = domain.split(".")
    depth = len(labels) - len(registrable.split("."))
    return tuple(".".join(labels[cut:]) for cut in range(max(0, depth - 3), depth + 1))


def internal_domains(rep_addresses: Iterable[str]) -> frozenset[str]:
    """The domains that the company's own addresses stand for: never those of free mail."""
    return frozenset(domain for domain in map(domain_of, rep_addresses) if domain and not is_free_mail(domain))
