"""What several steps share: the house's own addresses and what admit and unwrap found.

Everything is plain frozen data, so that a step can be asked with values written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from core.mail.addresses import without_plus_tag
from core.types import Drop, Forward, Mailbox, TraceEntry


@lru_cache(maxsize=4000)  # a step asks for those of the mail's people again and again
def address_key(address: str, fold_plus_tags: bool = False) -> str:
    """The form in which addresses are compared: all lower case, and without the `+tag` when that is wanted.

    RFC 5321 2.4 lets only the receiving host say whether the local part minds its case; none that people write to does.
    """
    key = address.strip().lower()
    return without_plus_tag(key) if fold_plus_tags else key


def domain_of(address: str) -> str:
    """The domain of an address, lower case, without a trailing dot."""
    return address.rpartition("@")[2].lower().rstrip(".")


@lru_cache(maxsize=200)  # few: a stranger's domains may have a hundred labels each
def zones_of(domain: str) -> tuple[str, ...]:
    """The domain and all those above it: whole labels, so that `notsales.example` never passes for `sales.example`."""
    labels = domain.split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels)))


@dataclass(frozen=True)
class House:
    """Who belongs to the company, and whom it never logs. Addresses are given in the form of `address_key`.

    `drop_addresses` needs to hold only those that the mail names; nobody else is at `drop_domain`. `never_log` holds addresses, domains (which stand for
    their subdomains too) and simple `*` globs of either. `role_addresses` True keeps role and no-reply addresses from
    becoming contacts. `limit` is the greatest number of new contacts that one mail may make: as many as a mail may name (F1, F25).
    """

    rep_addresses: frozenset[str] = frozenset()
    team_addresses: frozenset[str] = frozenset()
    drop_addresses: frozenset[str] = frozenset()
    internal_domains: frozenset[str] = frozenset()
    drop_domain: str = ""
    never_log: tuple[str, ...] = ()
    role_addresses: bool = True
    fold_plus_tags: bool = False
    limit: int = 500

    def why_ours(self, address: str) -> str | None:
        """The reason code why an address belongs to the company, or None."""
        key = address_key(address)
        if key in self.drop_addresses:
            return "contact-drop-address"
        forms = {key, without_plus_tag(key)}
        if not (forms.isdisjoint(self.rep_addresses) and forms.isdisjoint(self.team_addresses)):
            return "contact-rep"
        domain = domain_of(key)
        if domain == self.drop_domain or not self.internal_domains.isdisjoint(zones_of(domain)):
            return "contact-internal"
        return None

    def ours(self, address: str) -> bool:
        """True for reps, team addresses, drop addresses and everybody in an internal domain."""
        return self.why_ours(address) is not None


@dataclass(frozen=True)
class Admission:
    """Which of our drop addresses the envelope named. kind: "forward" before "bcc" before "record"; "" when none."""

    drops: tuple[Drop, ...] = ()
    kind: str = ""
    record_ids: tuple[int, ...] = ()
    trace: tuple[TraceEntry, ...] = ()


@dataclass(frozen=True)
class Unwrapped:
    """What is filed: the mail itself (a Bcc), or the mail that it forwards.

    is_forward  a forward into the box; a forward to other people with the drop address in Bcc is an ordinary mail
    forward     the block, only when `is_forward` and it can be used
    sender      who wrote what is filed: the rep for a Bcc, the claimed author for a forward, None when unreadable
    waits       a reason code when a person must choose ("forward-unreadable", "forward-not-both"), else ""
    """

    is_forward: bool = False
    forward: Forward | None = None
    sender: Mailbox | None = None
    waits: str = ""
    trace: tuple[TraceEntry, ...] = ()
