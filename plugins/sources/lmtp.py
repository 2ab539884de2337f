"""LMTP: our own Postfix, Exim or Dovecot hands the mail over (RFC 2033).

The same connection as SMTP, with LHLO, PIPELINING, and after the mail one answer for each accepted recipient. The peer is
always a mail server of ours, never the sender: only XFORWARD tells who that was.
"""

from __future__ import annotations

import ipaddress
import threading
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator

from core.hookspecs import hookimpl
from core.reasons import N_
from core.types import Source, SourceContext
from plugins.sources.smtp import Network, Session, SmtpSettings, listed, serve, try_out


class LmtpSettings(SmtpSettings):
    """As for SMTP; loopback is always trusted, because an LMTP client beside us is a mail server of ours."""

    port: int = Field(8024, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    trusted_peers: Annotated[list[Network], BeforeValidator(listed)] = Field(
        default_factory=list, description="Networks (CIDR) of our own mail servers besides loopback: they may say the real client by XFORWARD."
    )

    def trusted_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return [*super().trusted_networks(), ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]

    @field_validator("port")
    @classmethod
    def _not_smtp(cls, port: int) -> int:
        if port == 25:
            raise ValueError(N_("LMTP must not be offered on port 25 (RFC 2033 5)"))
        return port


class LmtpSession(Session):
    __slots__ = ()
    _HELLO = "LHLO"

    def _extensions(self) -> tuple[str, ...]:
        return ("PIPELINING",)  # RFC 2033 5 demands it

    def _own_client(self) -> tuple[str | None, str | None]:
        """Unknown: SPF against our own mail server would judge the wrong host."""
        return None, None

    def _conclude(self, reply: str) -> None:
        """RFC 2033 4.2: one reply for each RCPT that was accepted, in their order."""
        self._out.extend([reply] * self._successes)


# RFC 2033 4.1: HELO and EHLO are not known here.
LmtpSession._VERBS = {verb: method for verb, method in Session._VERBS.items() if verb not in (b"HELO", b"EHLO")} | {b"LHLO": LmtpSession._on_ehlo}


def run(context: SourceContext, stop: threading.Event) -> None:
    serve("lmtp", LmtpSession, context, stop)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("lmtp", "LMTP", settings=LmtpSettings, run=run, test=try_out)]
