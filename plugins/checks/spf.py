"""SPF (RFC 7208): may this client send for the domain of MAIL FROM, or of HELO when the return path is empty?

pyspf evaluates the records; this wrapper gives it only what it can bear and turns whatever it raises into a result.
What pyspf 2.0.14 trips over is listed in tests/checks/test_spf_faults.py, each fault beside its mend.
"""

from __future__ import annotations

import datetime as dt
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.hookspecs import hookimpl
from core.mail.alignment import ascii_domain
from core.mail.received import boundary, read_address
from core.types import AuthResult, Check, Dns, DnsTrouble, Envelope, Message

with warnings.catch_warnings():
    warnings.simplefilter("ignore", SyntaxWarning)  # an invalid escape in pyspf's own source, an error under -W error
    import spf as pyspf

SECONDS = 10  # for all of one evaluation; RFC 7208 4.6.4 asks for a limit
_LONGEST_DOMAIN = 253

# --- one DNS for pyspf --------------------------------------------------------------------------------------------
# Its only hook is a module global. It is set once, here, and finds the asker's own DNS by thread: never swapped by request.

_asking = threading.local()


def _look_up(name: str, kind: str, strict: bool = True, timeout: float = 20) -> list[tuple[tuple[str, str], Any]]:
    """pyspf's look-up: ((name, kind), value); TXT as a sequence of bytes."""
    dns: Dns | None = getattr(_asking, "dns", None)
    if dns is None:
        raise pyspf.TempError("no DNS is set for this thread")
    try:
        values: list[Any] = [(octets,) for octets in dns.txt(name)] if kind == "TXT" else dns.lookup(name, kind)
    except DnsTrouble as trouble:
        raise pyspf.TempError(f"DNS {trouble}") from trouble
    return [((name, kind), value) for value in values]


pyspf.DNSLookup = _look_up


@contextmanager
def _with(dns: Dns) -> Iterator[None]:
    before = getattr(_asking, "dns", None)
    _asking.dns = dns
    try:
        yield
    finally:
        _asking.dns = before


# --- the evaluation -----------------------------------------------------------------------------------------------


def evaluate(ip: str, local: str, domain: str, helo: str, dns: Dns) -> str:
    """The RFC 7208 result word for `local@domain` sent by `ip`. Never raises."""
    if not _is_domain(domain):
        return "none"  # RFC 7208 4.3
    try:
        with _with(dns):
            query = pyspf.query(i=ip, s=f"postmaster@{domain}", h=helo, timeout=SECONDS, querytime=SECONDS)
            # pyspf cuts an address at its first @, RFC 5321 at its last: it is told the parts instead.
            query.l, query.s = local or "postmaster", f"{local or 'postmaster'}@{domain}"
            result = query.check()[0]
    except pyspf.TempError:
        return "temperror"
    except Exception:
        # Names too long, broken macros, recursion: all of it comes out of the record or of the stranger's address.
        return "permerror"
    return result if result in _REASONS else "permerror"


def _is_domain(domain: str) -> bool:
    """RFC 7208 4.3: a multi-label name of sound length, no address literal."""
    labels = domain.split(".")
    return len(domain) <= _LONGEST_DOMAIN and len(labels) > 1 and all(0 < len(label) < 64 for label in labels) and "[" not in domain


_REASONS = {
    "pass": "spf-pass",
    "fail": "spf-fail",
    "softfail": "spf-softfail",
    "neutral": "spf-neutral",
    "none": "spf-none",
    "temperror": "spf-dns-trouble",
    "permerror": "spf-record-wrong",
}


def check(message: Message, envelope: Envelope, dns: Dns, now: dt.datetime) -> list[AuthResult]:
    """One result for the domain of MAIL FROM (or HELO); reason `spf-not-checked` when nobody knows client or sender."""
    seen = boundary(message.raw, envelope, message.trust)
    address = read_address(seen.client_ip)
    if address is None or seen.mail_from is None:
        return [AuthResult("spf", "none", reason="spf-not-checked")]
    ip, helo = str(address), _ascii((seen.helo or "").strip().rstrip("."))
    local, _, host = seen.mail_from.strip().removeprefix("<").removesuffix(">").rpartition("@")
    if not local and not host:  # RFC 7208 2.4: the null sender is postmaster at HELO
        local, host = "postmaster", helo
    elif not local:
        local, host = ("postmaster", host) if "@" in seen.mail_from else (host, "")
    domain = _ascii(host.rstrip("."))
    result = evaluate(ip, local, domain, helo or "unknown", dns)
    mechanism = f"ip{address.version}:{ip}"
    params = {"domain": domain, "ip": ip, "mechanism": mechanism}
    return [AuthResult("spf", result, domain.lower() or None, reason=_REASONS[result], ip=ip, params=params)]


def _ascii(host: str) -> str:
    """A-labels (RFC 7208 4.3); a name that has none stays as it is and will find nothing."""
    if host.isascii():
        return host
    return ascii_domain(host) or host


@hookimpl
def register_checks() -> list[Check]:
    return [Check("spf", "SPF records", check)]
