"""Postal: an HTTP endpoint of a route.

Set up: Routing → HTTP endpoints, format "Receive the raw message (Base64)". The public key is that of Postal's signing key
(`postal default-dkim-record` shows it, the part after p=). Fields of the JSON: `message` (base64), `rcpt_to`, `mail_from`,
`id`. The signature is RSA of the body: `X-Postal-Signature-256` with SHA-256, on older Postals `X-Postal-Signature` with
SHA-1.

Answers: 200 kept · 422 refused for good, Postal stops and tells the sender · 503 and all 5xx Postal tries again (so says its
code; its manual says otherwise). Postal does not try again after a 401 or 400, so look at its queue after mending the set-up. It
waits five seconds unless the endpoint's timeout is longer; what it then sends again is known by its id.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel, Field, field_validator

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, WebRequest

BODY_FACTOR, BODY_EXTRA = 1.5, 1 << 20


class Settings(BaseModel):
    public_key: str = Field(
        title="Public key",
        description="Postal's public signing key: the part after p= of `postal default-dkim-record`, or PEM.",
    )

    @field_validator("public_key")
    @classmethod
    def _readable(cls, text: str) -> str:
        load_key(text)
        return text


def load_key(text: str) -> rsa.RSAPublicKey:
    """The RSA key in PEM or in bare base64. Raises ValueError with a sentence."""
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_public_key(text.strip().encode())
        else:
            key = serialization.load_der_public_key(base64.b64decode("".join(text.split()).rstrip(";"), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise ValueError(N_("This is no public key in PEM or base64.")) from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(N_("Postal signs with RSA; this is a key of another kind."))
    return key


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    _prove(request, load_key(context.settings.public_key))
    event = webform.json_object(request.body)
    text = webform.text_of(event, "message")
    if not text:
        wrong = (
            N_("Postal sent the mail taken to pieces, which proves nothing about its sender: choose the raw message as the endpoint's format.")
            if "plain_body" in event or "html_body" in event
            else N_("Postal sent an event, not a mail: use this address in an HTTP endpoint of a route, not as a webhook.")
        )
        raise webform.Unusable(400, wrong, tell=True)
    ident = event.get("id")
    return [
        webform.Mail(
            raw=webform.decode_base64(text) if event.get("base64") is True else webform.text_to_raw(text),
            rcpt_to=webform.recipients([event.get("rcpt_to")]),
            mail_from=webform.address(webform.text_of(event, "mail_from")),
            key=str(ident) if isinstance(ident, (int, str)) and not isinstance(ident, bool) else None,
        )
    ]


def _prove(request: WebRequest, key: rsa.RSAPublicKey) -> None:
    newer = request.headers.get("x-postal-signature-256")
    algorithm: hashes.HashAlgorithm = hashes.SHA256()
    if newer is None:
        algorithm = hashes.SHA1()  # noqa: S303
    given = newer if newer is not None else request.headers.get("x-postal-signature", "")
    try:
        key.verify(base64.b64decode(given.strip(), validate=True), request.body, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise webform.Unproved from error


handle = webform.webhook(read, refused=422)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("postal", "Postal", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
