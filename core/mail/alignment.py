"""Whether two domains belong to the same owner, in the sense of DMARC's identifier alignment.

Compared are whole labels of the registrable domains (RFC 7489 section 3.1 and 3.2), never the ends of strings. Suffixes
below which strangers live side by side (public suffixes and mail providers' tenant suffixes) never align with anything.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import idna
from publicsuffixlist import PublicSuffixList

# Tenants of these share nothing but the provider, and no public suffix list knows it: a signature of one tenant must never
# speak for another. Sources: the providers' own documentation of their default sending and signing domains.
TENANT_SUFFIXES = frozenset(
    {
        "amazonses.com",
        "atlassian.net",
        "bounces.google.com",
        "desk-mail.com",
        "freshdesk.com",
        "freshservice.com",
        "gappssmtp.com",
        "gorgias.com",
        "groovehq.com",
        "happyfox.com",
        "helpscout.net",
        "helpscoutapp.com",
        "hs-inbox.com",
        "hubspot-inbox.com",
        "hubspotemail.net",
        "intercom-mail.com",
        "kayako.com",
        "kustomerapp.com",
        "mail.intercom.io",
        "mailgun.org",
        "mcsv.net",
        "mktomail.com",
        "mktdns.com",
        "mandrillapp.com",
        "mlsender.net",
        "mtasv.net",
        "odoo.com",
        "on.crisp.email",
        "onmicrosoft.com",
        "onmicrosoft.de",
        "onmicrosoft.us",
        "partner.onmschina.cn",
        "pphosted.com",
        "reamaze.com",
        "rsgsv.net",
        "sendgrid.net",
        "service-now.com",
        "sparkpostmail.com",
        "uservoice.com",
        "zammad.com",
        "zendesk.com",
        "zohodesk.com",
        "zohodesk.eu",
    }
)

# Of these the next label says a date, a region or a customer's pool, not a tenant: *.gappssmtp.com and so on.
_WILDCARDS = frozenset({"amazonses.com", "gappssmtp.com", "sendgrid.net"})

_SUFFIXES = PublicSuffixList()
_LONGEST = 253  # RFC 1035 2.3.4: 255 octets on the wire are 253 characters as text


@functools.lru_cache(maxsize=8192)
def ascii_domain(domain: str) -> str | None:
    """The domain in lower-case A-labels without the trailing dot; None when it is no host name on the public internet.

    No host name: empty, a single label, an address literal, all-numeric, an empty or overlong label.
    """
    name = domain.strip().lower().removesuffix(".")
    if not name or len(domain) > 4 * _LONGEST:
        return None
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    labels = name.split(".")
    if len(name) > _LONGEST or len(labels) < 2 or labels[-1].isdigit():
        return None
    if not all(0 < len(label) <= 63 and label.replace("-", "a").replace("_", "a").isalnum() for label in labels):
        return None
    return name


@functools.lru_cache(maxsize=8192)
def organisational(domain: str) -> str | None:
    """The registrable domain ("organizational domain", RFC 7489 section 3.2) in A-labels.

    None for a public or shared suffix, for a single label and for what is no domain at all.
    """
    name = ascii_domain(domain)
    if name is None:
        return None
    labels = name.split(".")
    for start in range(len(labels)):
        suffix = ".".join(labels[start:])
        if suffix in TENANT_SUFFIXES:
            first = start - (2 if suffix in _WILDCARDS else 1)
            return ".".join(labels[first:]) if first >= 0 else None
    registrable = _SUFFIXES.privatesuffix(name)
    return str(registrable) if registrable else None


def aligned(one: str | None, other: str | None, strict: bool = False) -> bool:
    """True when both domains have the same registrable domain; with `strict` only when they are equal."""
    if not one or not other:
        return False
    home = organisational(one)
    if home is None or home != organisational(other):
        return False
    return not strict or ascii_domain(one) == ascii_domain(other)


def pinned(domain: str | None, sender: str, extra_signers: Mapping[str, Sequence[str]]) -> bool:
    """True when an admin accepts exactly this signing domain for exactly this sender's domain. Nothing is derived."""
    if not domain:
        return False
    accepted = {ascii_domain(name) for home, names in extra_signers.items() if ascii_domain(home) == sender for name in names}
    return ascii_domain(domain) in accepted
