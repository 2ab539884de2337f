"""What others whom the company trusts found out: Authentication-Results of named servers, and verdicts of providers."""

from __future__ import annotations

import datetime as dt

from core.hookspecs import hookimpl
from core.mail.authres import as_auth_results, trusted_findings, word
from core.mail.received import read_address, read_networks, within
from core.types import AuthResult, Check, Dns, Envelope, Message, Trust


def check(message: Message, envelope: Envelope, dns: Dns, now: dt.datetime) -> list[AuthResult]:
    """Results of the topmost believable Authentication-Results field and of the provider's own verdicts."""
    results = [
        AuthResult(
            verdict.method,
            word(verdict.result),
            verdict.domain,
            by=verdict.by,
            reason="trusted-verdict" if verdict.domain else "trusted-without-domain",
            params={
                "by": verdict.by,
                "method": verdict.method.upper(),
                "result": word(verdict.result),
                "domain": verdict.domain or "",
            },
        )
        for verdict in envelope.verdicts
    ]
    if _came_through_trusted_hands(envelope, message.trust):
        found = trusted_findings(message.raw, message.trust)
        if found is not None:
            results += as_auth_results(*found)
    return results


def _came_through_trusted_hands(envelope: Envelope, trust: Trust) -> bool:
    """False when a stranger spoke to us directly: then every field of the mail is his, whatever it says (RFC 8601 5)."""
    if envelope.relay is not None or envelope.source in ("imap", "lmtp", "import"):
        return True
    client = read_address(envelope.client_ip)
    if client is None:
        return envelope.source not in ("smtp", "webhook")
    return within(client, read_networks(trust.networks))


@hookimpl
def register_checks() -> list[Check]:
    return [Check("trusted", "Verdicts of trusted servers", check)]
