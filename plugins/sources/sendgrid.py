"""SendGrid: Inbound Parse with "POST the raw, full MIME message".

Set up: Settings → Inbound Parse, the address with the login in it (`https://user:password@…`), and the box "POST the raw,
full MIME message" ticked. Fields: `email` (the mail), `envelope` (JSON: to, from), `sender_ip`, `dkim`, `SPF`.

SendGrid names the domain of a DKIM verdict (`{@example.org : pass}`, which is no JSON), not that of SPF; but it gives the
client's address, so SPF is checked here.

Answers: 200 kept, and also 200 when refused for good: whatever is no 2xx stays in SendGrid's queue, which throws a mail away
after three days. It promises new tries after a 5xx, so 503 is safe; after 401 and 400 it has tried again, too, but mend a wrong
set-up soon. SendGrid gives no event id; the same mail twice is recognised when it is filed.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

BODY_FACTOR, BODY_EXTRA = 1.0, 2 << 20


class Settings(BaseModel):
    secret: webform.Login = Field(
        title="Login (user:password)",
        description="The login that stands in the address at SendGrid, https://user:password@… "
        "While you exchange it, write the old and the new one with a space between.",
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    webform.demand_login(request, webform.secrets(context.settings.secret))
    if webform.content_type(request) == "application/json":
        raise webform.Unusable(
            400, N_("SendGrid sent events, not a mail: use this address under Inbound Parse, not as Event Webhook."), tell=True
        )
    fields = webform.form(request)
    raw = fields.get("email")
    if not raw:
        raise webform.Unusable(
            400,
            N_("SendGrid sent the mail taken to pieces, which proves nothing about its sender: tick “POST the raw, full MIME message” under Inbound Parse."),
            tell=True,
        )
    envelope = webform.json_object(fields.get("envelope", b"{}"))
    to = envelope.get("to")
    return [
        webform.Mail(
            raw=raw,
            rcpt_to=webform.recipients(to if isinstance(to, list) else [to]),
            mail_from=webform.address(webform.text_of(envelope, "from")),
            client_ip=fields.get("sender_ip", b"").decode("ascii", "replace").strip() or None,
            verdicts=_verdicts(fields),
        )
    ]


_DKIM = re.compile(r"@([A-Za-z0-9._-]{1,253})\s{0,9}:\s{0,9}([a-z]{1,12})")


def _verdicts(fields: dict[str, bytes]) -> tuple[TrustedVerdict, ...]:
    dkim = fields.get("dkim", b"")[:10_000].decode("ascii", "replace")
    found = [TrustedVerdict("dkim", result, domain.lower(), "sendgrid") for domain, result in _DKIM.findall(dkim)]
    spf = fields.get("SPF", b"")[:100].decode("ascii", "replace").strip().lower()
    if spf.isalpha():
        found.append(TrustedVerdict("spf", spf, None, "sendgrid"))
    return tuple(found)


handle = webform.webhook(read, refused=200)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("sendgrid", "SendGrid Inbound Parse", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
