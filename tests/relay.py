"""A real SMTP server on loopback that a test can look into: a mail relay that keeps what it is given, or refuses it.

    with Relay() as relay:
        ... DROPCOPY_RELAY_URL=relay.url
        assert relay.mails[0]["Subject"] == "…"
"""

from __future__ import annotations

import email
import email.policy
import ssl
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.running import free_port


class Relay:
    """`refuse` maps a verb (MAIL, RCPT, DATA) to the reply that it gets instead of 250."""

    def __init__(self, *, refuse: dict[str, str] | None = None, user: tuple[str, str] | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.refuse = refuse or {}
        self.envelopes: list[tuple[str | None, list[str]]] = []
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.encrypted: list[bool] = []
        self._user = user
        options: dict[str, Any] = {"authenticator": self._sign_in, "auth_require_tls": False, "auth_required": True} if user else {}
        if tls is not None:
            options["tls_context"] = tls
        self.port = free_port()
        self._controller = Controller(self, hostname="0.0.0.0" if tls else "127.0.0.1", port=self.port, enable_SMTPUTF8=True, ready_timeout=20, **options)

    def __enter__(self) -> Relay:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def url(self) -> str:
        who = "{}:{}@".format(*self._user) if self._user else ""
        return f"smtp://{who}127.0.0.1:{self.port}"

    def _sign_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        fits = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == self._user
        return AuthResult(success=fits, handled=False)

    # --- what the server asks ---

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if "MAIL" in self.refuse and (address or "<>") == "<>":
            return self.refuse["MAIL"]
        envelope.mail_from = address or "<>"
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if "RCPT" in self.refuse:
            return self.refuse["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        content = bytes(envelope.content or b"") if not isinstance(envelope.content, str) else envelope.content.encode()
        self.envelopes.append(("" if envelope.mail_from == "<>" else envelope.mail_from, list(envelope.rcpt_tos)))
        self.raw.append(content)
        self.encrypted.append(session.ssl is not None)
        self.mails.append(email.message_from_bytes(content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 kept"
