"""CloudMailin: an address that posts the raw mail.

Set up: the target with the login in it (`https://user:password@…`), POST format "Multipart - Raw" . Fields: `message` (the
mail), `envelope[from]`, `envelope[recipients][0]` …, `envelope[remote_ip]`, `envelope[helo_domain]`, `envelope[spf][result]`
and `[domain]`.

Answers become SMTP answers while the sender still waits: 200 kept · 422 refused for good, the sender gets a bounce · 503
CloudMailin asks the sender to come again. A 401 or 400 is a bounce too, so test the set-up before the address is in use.
CloudMailin gives no event id; the same mail twice is recognised when it is filed.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

BODY_FACTOR, BODY_EXTRA = 1.0, 2 << 20


class Settings(BaseModel):
    secret: webform.Login = Field(
        title="Login (user:password)",
        description="The login that stands in the target's address at CloudMailin, https://user:password@… "
        "While you exchange it, write the old and the new one with a space between.",
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    webform.demand_login(request, webform.secrets(context.settings.secret))
    wrong = N_("CloudMailin sent the mail taken to pieces, which proves nothing about its sender: choose the format “Multipart - Raw”.")
    if webform.content_type(request) == "application/json":
        raise webform.Unusable(400, wrong, tell=True)
    fields = webform.form(request)
    raw = fields.get("message")
    if not raw:
        raise webform.Unusable(400, wrong, tell=True)
    text = {name: value.decode("utf-8", "replace") for name, value in fields.items() if name.startswith("envelope[")}
    to = [value for name, value in text.items() if name.startswith("envelope[recipients]")]
    return [
        webform.Mail(
            raw=raw,
            rcpt_to=webform.recipients(to or [text.get("envelope[to]")]),
            mail_from=webform.address(text.get("envelope[from]")),
            client_ip=text.get("envelope[remote_ip]") or None,
            helo=text.get("envelope[helo_domain]") or None,
            verdicts=_verdicts(text),
        )
    ]


def _verdicts(text: dict[str, str]) -> tuple[TrustedVerdict, ...]:
    result = text.get("envelope[spf][result]", "").strip().lower()
    domain = text.get("envelope[spf][domain]", "").strip().lower() or None
    return (TrustedVerdict("spf", result, domain, "cloudmailin"),) if result.isalpha() else ()


handle = webform.webhook(read, refused=422)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("cloudmailin", "CloudMailin", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
