"""Webhook: the raw mail (message/rfc822), from any mail server, worker or script.

The body is the mail, byte for byte. The envelope stands in header fields: `X-Envelope-To` (several: with commas or
repeated), `X-Envelope-From` (`<>` or empty for a bounce), and where the sender knows them `X-Envelope-Client-Ip` and
`X-Envelope-Helo`: the host that handed the mail to the sending mail server, for SPF.

The form of the secret chooses the proof:
    whsec_…         Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature` over id.timestamp.body
    user:password   HTTP Basic
    anything else   `Authorization: Bearer …`

Answers: 202 kept · 401 secret wrong, or the signature older than five minutes · 413 too large · 415 not message/rfc822 ·
422 refused for good · 503 try again later. A 4xx is final for our own worker and pipe command (docs/cloudflare-worker.js,
`python app.py deliver`), except that they try again after 401, so that a wrong secret loses nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from pydantic import BaseModel, Field, SecretStr, field_validator

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, WebRequest

TOLERANCE = 300  # seconds either way (Standard Webhooks)
SIGNATURES = 10  # looked at in one header field
PREFIX = "whsec_"


class Settings(BaseModel):
    secret: SecretStr = Field(
        title="Secret",
        description="whsec_… for signed requests (Standard Webhooks), user:password for Basic, or any other word for a bearer token. "
        "While you exchange it, write the old and the new one with a space between.",
        min_length=8,
    )

    @field_validator("secret")
    @classmethod
    def _readable(cls, secret: SecretStr) -> SecretStr:
        words = secret.get_secret_value().split()
        if not words:
            raise ValueError(N_("Enter a secret."))
        for word in words:
            if word.startswith(PREFIX) and len(_key(word)) < 24:
                raise ValueError(N_("A whsec_ secret holds at least 24 random bytes in base64."))
        return secret


def _key(word: str) -> bytes:
    """The bytes of a `whsec_` secret; b"" when it is no base64."""
    try:
        return base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        return b""


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    key = prove(request, context.settings.secret, context.clock().timestamp())
    if webform.content_type(request) != "message/rfc822":
        raise webform.Unusable(
            415,
            N_("The request is no raw mail: send the mail itself with the content type message/rfc822."),
            tell=True,
        )
    if not request.body.strip():
        raise webform.Unusable(400, N_("The request is empty: its body must be the raw mail."), tell=True)
    field = {name: webform.header_text(value) for name, value in request.headers.items() if name.startswith("x-envelope-")}
    return [
        webform.Mail(
            raw=request.body,
            rcpt_to=webform.address_list(field.get("x-envelope-to", "")),
            mail_from=webform.address(field.get("x-envelope-from")),
            client_ip=field.get("x-envelope-client-ip"),
            helo=field.get("x-envelope-helo"),
            key=key,
        )
    ]


def prove(request: WebRequest, secret: SecretStr, now: float) -> str | None:
    """The event id of a request that one of the secrets proves. Raises Unproved."""
    words = secret.get_secret_value().split()
    signing = [_key(word) for word in words if word.startswith(PREFIX)]
    if signing and "webhook-signature" in request.headers:
        return verify(request, signing, now)
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        tokens = [word.encode() for word in words if ":" not in word and not word.startswith(PREFIX)]
        if not webform.same(token.strip().encode("utf-8", "surrogateescape"), tokens):
            raise webform.Unproved
        return None
    webform.demand_login(request, [word.encode() for word in words if ":" in word and not word.startswith(PREFIX)])
    return None


def verify(request: WebRequest, keys: list[bytes], now: float) -> str:
    """Standard Webhooks, on bytes: the library decodes the body as UTF-8 and fails on 8-bit mail. Returns the id."""
    ident, stamp, given = (request.headers.get("webhook-" + name, "") for name in ("id", "timestamp", "signature"))
    # An id or a timestamp with a dot would let bytes wander between the parts that are signed together.
    if not (0 < len(ident) <= 256 and ident.isascii() and ident.isprintable() and "." not in ident):
        raise webform.Unproved
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12 and abs(now - int(stamp)) <= TOLERANCE):
        raise webform.Unproved
    content = f"{ident}.{stamp}.".encode() + request.body
    wanted = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()) for key in keys]
    fits = False
    for item in given.split(" ")[:SIGNATURES]:
        version, _, value = item.partition(",")
        if version == "v1":  # v1a is ed25519: never compared with a shared secret
            fits |= webform.same(value.encode("utf-8", "surrogateescape"), wanted)
    if not fits:
        raise webform.Unproved
    return ident


handle = webform.webhook(read, refused=422, too_large=413, kept=202)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("generic", "Webhook with the raw mail", Settings, handle=handle)]
