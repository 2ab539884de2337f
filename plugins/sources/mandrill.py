"""Mandrill (Mailchimp Transactional): an inbound route.

Set up: Inbound → Domains → Routes, our address as webhook; the key stands under Settings → Webhooks. One form field,
`mandrill_events`: a JSON list of events, each with `msg.raw_msg` (the mail as text) and `msg.email` (the recipient).

The signature is HMAC-SHA1 over the exact public address and every form field. Behind a proxy the address that Mandrill calls
must therefore be the one that Dropcopy believes to have (its base URL); "Address at Mandrill" overrides it.

Answers: 200 kept, and also 200 when refused for good, as Mandrill tries everything else again for days (401, 400 and 503
too). HEAD is answered with 200: Mandrill asks so whether the address lives. A batch that could be kept only in part is
answered with 503; the kept ones are known by their keys when it comes again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebAnswer, WebRequest

BODY_FACTOR, BODY_EXTRA = 4.0, 2 << 20  # JSON inside of an urlencoded form, with the mail's parts beside it


class Settings(BaseModel):
    secret: SecretStr = Field(
        title="Webhook key",
        description="From Mandrill: Settings, Webhooks, Key. While you exchange it, write the old and the new one with a space between.",
        min_length=4,
    )
    address: str = Field(
        "",
        title="Address at Mandrill",
        description="Only when Mandrill calls another address than the one shown here: exactly as it stands there.",
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    fields = webform.form(request)
    _prove(request, fields, context)
    if "mandrill_events" not in fields:
        raise webform.Unusable(400, N_("The form holds no mandrill_events: use this address as the webhook of an inbound route."), tell=True)
    events = webform.read_json(fields["mandrill_events"])
    if not isinstance(events, list) or len(events) > webform.MAX_MAILS:
        raise webform.Unusable(400, N_("The events from Mandrill cannot be read."))
    mails = [mail for mail in map(_mail, events) if mail is not None]
    if events and not mails:
        raise webform.Unusable(
            400, N_("Mandrill sent tracking events, not mails: use this address as the webhook of an inbound route."), tell=True
        )
    return mails


def _prove(request: WebRequest, fields: dict[str, bytes], context: SourceContext) -> None:
    query = f"?{request.query}" if request.query else ""
    url = context.settings.address.strip() or context.base_url.rstrip("/") + request.path + query
    content = url.encode() + b"".join(name.encode() + fields[name] for name in sorted(fields))
    wanted = [base64.b64encode(hmac.new(key, content, hashlib.sha1).digest()) for key in webform.secrets(context.settings.secret)]
    given = request.headers.get("x-mandrill-signature", "").strip()
    if not webform.same(given.encode("utf-8", "surrogateescape"), wanted):
        raise webform.Unproved


def _mail(event: Any) -> webform.Mail | None:
    """The mail of one event; None for an event of another kind."""
    message = webform.part(event, "msg")
    text = webform.text_of(message, "raw_msg")
    if webform.part(event, "event") != "inbound" or not text:
        return None
    raw = webform.text_to_raw(text)
    to = webform.recipients([webform.part(message, "email")])
    # An inbound event has no id of its own, and a batch may come again: what it says is its key.
    said = f"{webform.part(event, 'ts')}:{','.join(to)}:{hashlib.sha256(raw).hexdigest()}"
    return webform.Mail(
        raw=raw,
        rcpt_to=to,
        mail_from=webform.address(webform.text_of(message, "sender")),
        key=said,
        verdicts=_verdicts(message),
    )


def _verdicts(message: Any) -> tuple[TrustedVerdict, ...]:
    """Without domains: shown, and no proof."""
    found = []
    spf = webform.text_of(message, "spf", "result")
    if spf and spf.isalpha():
        found.append(TrustedVerdict("spf", spf.lower()[:20], None, "mandrill"))
    if webform.part(message, "dkim", "signed") is True:
        found.append(TrustedVerdict("dkim", "pass" if webform.part(message, "dkim", "valid") is True else "fail", None, "mandrill"))
    return tuple(found)


_handle = webform.webhook(read, refused=200)


def handle(request: WebRequest, context: SourceContext) -> WebAnswer:
    return WebAnswer(200) if request.method == "HEAD" else _handle(request, context)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("mandrill", "Mandrill (Mailchimp Transactional)", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
