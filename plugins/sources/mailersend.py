"""MailerSend: an inbound route that posts the mail.

Set up: Inbound routing → a route that forwards to our address; the secret of the route goes in here. Fields of the JSON:
`data.raw` (the mail as text), `data.sender.email`, `data.recipients.rcptTo[]`, `data.id`. The `Signature` header is
HMAC-SHA256, hexadecimal, of the body.

Answers: 200 kept, and also 200 when refused for good, since MailerSend tries everything else again (401, 400 and 503 too).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, SecretStr

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

BODY_FACTOR, BODY_EXTRA = 2.5, 2 << 20
SPF = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}  # RFC 7208 4.6.2


class Settings(BaseModel):
    secret: SecretStr = Field(
        title="Secret of the inbound route",
        description="From MailerSend: Inbound routing, the route's secret. While you exchange it, write the old and the new one with a space between.",
        min_length=4,
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    webform.demand_hex_mac(request.headers.get("signature", ""), request.body, webform.secrets(context.settings.secret))
    event = webform.json_object(request.body)
    kind = webform.text_of(event, "type") or "nameless"
    if kind != "inbound.message":
        raise webform.Unusable(
            400, N_("MailerSend sent the event %(kind)s, not a mail: use this address in an inbound route, not as a webhook."), kind=kind[:60], tell=True
        )
    text = webform.text_of(event, "data", "raw")
    if not text:
        raise webform.Unusable(400, N_("The event from MailerSend holds no raw mail."), tell=True)
    listed = webform.part(event, "data", "recipients", "rcptTo")
    return [
        webform.Mail(
            raw=webform.text_to_raw(text),
            rcpt_to=webform.recipients(webform.part(one, "email") for one in (listed if isinstance(listed, list) else [])),
            mail_from=webform.address(webform.text_of(event, "data", "sender", "email")),
            key=webform.text_of(event, "data", "id"),
            verdicts=_verdicts(webform.part(event, "data")),
        )
    ]


def _verdicts(data: Any) -> tuple[TrustedVerdict, ...]:
    """Without domains: shown, and no proof."""
    found = []
    code = webform.text_of(data, "spf_check", "code")
    if code in SPF:
        found.append(TrustedVerdict("spf", SPF[code], None, "mailersend"))
    dkim = webform.part(data, "dkim_check")
    if isinstance(dkim, bool):
        found.append(TrustedVerdict("dkim", "pass" if dkim else "fail", None, "mailersend"))
    return tuple(found)


handle = webform.webhook(read, refused=200)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("mailersend", "MailerSend", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
