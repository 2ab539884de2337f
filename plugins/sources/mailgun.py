"""Mailgun: a route that forwards the whole mail to us.

Set up: Receiving → Create route → Forward, with our address **ending in `/mime`**, so that Mailgun sends the mail itself
(`body-mime`). The signing key is the "HTTP webhook signing key". Fields: `recipient`, `sender`, `body-mime`, and the
proof `timestamp`, `token`, `signature` (HMAC-SHA256, hexadecimal, of timestamp + token).

The signature covers neither the mail nor the recipient, so a token counts only once: it is the key of the delivery. Mailgun
tries again for eight hours, perhaps with the first signature, therefore the window is nine.

Answers: 200 kept · 406 refused for good, Mailgun stops · all else (401, 400, 503) Mailgun tries again for eight hours.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

PAST, AHEAD = 9 * 3600, 300  # seconds
BODY_FACTOR, BODY_EXTRA = 3.0, 1 << 20  # every byte of an urlencoded mail may become %XX

VERDICTS = {"x-mailgun-spf": "spf", "x-mailgun-dkim-check-result": "dkim"}
RESULTS = {"pass", "fail", "softfail", "neutral", "none", "temperror", "permerror", "policy"}


class Settings(BaseModel):
    secret: SecretStr = Field(
        title="HTTP webhook signing key",
        description="From Mailgun: Settings, API security. While you exchange it, write the old and the new one with a space between.",
        min_length=4,
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    keys = webform.secrets(context.settings.secret)
    now = context.clock().timestamp()
    if webform.content_type(request) == "application/json":
        signature = webform.part(webform.read_json(request.body), "signature")
        _prove(webform.text_of(signature, "timestamp"), webform.text_of(signature, "token"), webform.text_of(signature, "signature"), keys, now)
        raise webform.Unusable(
            400, N_("Mailgun sent a tracking event, not a mail: use this address in a route (Receiving), not in a webhook (Sending)."), tell=True
        )
    fields = webform.form(request)
    text = {name: value.decode("utf-8", "replace") for name, value in fields.items() if len(value) < 2000}
    _prove(text.get("timestamp"), text.get("token"), text.get("signature"), keys, now)
    if "event" in fields:
        raise webform.Unusable(400, N_("Mailgun sent a tracking event, not a mail: use this address in a route (Receiving), not in a webhook (Sending)."), tell=True)
    raw = fields.get("body-mime")
    if not raw:
        raise webform.Unusable(400, _what_is_wrong(fields), tell=True)
    return [
        webform.Mail(
            raw=raw,
            rcpt_to=webform.address_list(text.get("recipient", "")),
            mail_from=webform.address(text.get("sender")),
            key=text["token"],
            verdicts=_verdicts(raw),
        )
    ]


def _prove(stamp: str | None, token: str | None, signature: str | None, keys: list[bytes], now: float) -> None:
    if not stamp or not token or not signature or not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise webform.Unproved
    if not -AHEAD <= now - int(stamp) <= PAST:
        raise webform.Unproved
    webform.demand_hex_mac(signature, (stamp + token).encode(), keys)


def _what_is_wrong(fields: dict[str, bytes]) -> str:
    if fields.get("attachments", b"").lstrip().startswith(b"[") or "message-url" in fields:
        return N_("Mailgun's route stores the mail instead of sending it: use forward() in the route, not store().")
    return N_("Mailgun sent the mail taken to pieces, which proves nothing about its sender: let the route's address end in /mime.")


def _verdicts(raw: bytes) -> tuple[TrustedVerdict, ...]:
    """What Mailgun wrote above everything else in the mail. It names no domain, so it is shown and proves nothing."""
    found = []
    for name, value in webform.top_fields(raw):
        result = value.lower()
        if name in VERDICTS and result in RESULTS:
            found.append(TrustedVerdict(VERDICTS[name], result, None, "mailgun"))
    return tuple(found)


handle = webform.webhook(read, refused=406)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("mailgun", "Mailgun", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
