"""SparkPost: a relay webhook.

Set up: a relay webhook (API `/relay-webhooks`) with our address and an `auth_token`, or a login in the address. The body is
a JSON list of `msys.relay_message`: `content.email_rfc822` (with `email_rfc822_is_base64`), `msg_from`, `rcpt_to`. The
token comes as `X-MessageSystems-Webhook-Token`; a secret of the form user:password is expected as HTTP Basic.

Answers: 200 kept, and also 200 when refused for good, as SparkPost tries everything else again (401, 400 and 503 too). A
batch that could be kept only in part is answered with 503; the kept ones are known by their keys when it comes again.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, WebRequest

BODY_FACTOR, BODY_EXTRA = 2.5, 2 << 20


class Settings(BaseModel):
    secret: SecretStr = Field(
        title="Token, or login (user:password)",
        description="The relay webhook's auth_token, or the login in its address. While you exchange it, write the old and the new one with a space between.",
        min_length=4,
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    _prove(request, webform.secrets(context.settings.secret))
    events = webform.read_json(request.body)
    if not isinstance(events, list) or len(events) > webform.MAX_MAILS:
        raise webform.Unusable(400, N_("SparkPost's list of relayed mails was expected here."), tell=True)
    if all(webform.part(event, "msys") == {} for event in events):
        raise webform.Nothing(N_("SparkPost's test came through; the set-up is right."))
    mails = [mail for mail in (_mail(webform.part(event, "msys", "relay_message")) for event in events) if mail is not None]
    if not mails:
        raise webform.Unusable(400, N_("SparkPost sent events, not mails: use this address in a relay webhook, not in an event webhook."), tell=True)
    return mails


def _prove(request: WebRequest, words: list[bytes]) -> None:
    token = request.headers.get("x-messagesystems-webhook-token")
    if token is None:
        webform.demand_login(request, [word for word in words if b":" in word])
    elif not webform.same(token.strip().encode("utf-8", "surrogateescape"), [word for word in words if b":" not in word]):
        raise webform.Unproved


def _mail(message: Any) -> webform.Mail | None:
    text = webform.text_of(message, "content", "email_rfc822")
    if not text:
        return None
    raw = webform.decode_base64(text) if webform.part(message, "content", "email_rfc822_is_base64") is True else webform.text_to_raw(text)
    to = webform.recipients([webform.part(message, "rcpt_to")])
    mail_from = webform.address(webform.text_of(message, "msg_from"))
    # A relayed mail has no id of its own, and a batch may come again: what it says is its key.
    said = f"{mail_from}:{','.join(to)}:{hashlib.sha256(raw).hexdigest()}"
    return webform.Mail(raw=raw, rcpt_to=to, mail_from=mail_from, key=said)


handle = webform.webhook(read, refused=200)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("sparkpost", "SparkPost", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
