"""Postmark: the inbound stream with "Include raw email content in JSON payload".

Set up: the inbound stream's Settings, the address with the login in it (`https://user:password@…`), and the box for the raw
content ticked. Fields: `RawEmail` (the mail as text), `OriginalRecipient`, `Headers` (Return-Path first), `MessageID`.

Answers: 200 kept · 403 refused for good, Postmark stops · 401, 400 and 503: Postmark tries again, ten times.
The "Check" button's sample mail is answered with 200 and not kept.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

BODY_FACTOR, BODY_EXTRA = 2.5, 2 << 20  # the mail stands beside its own text and its attachments in base64
SAMPLE = "00000000-0000-0000-0000-000000000000"
SPAM_TESTS = {"SPF_PASS": ("spf", "pass"), "SPF_FAIL": ("spf", "fail"), "SPF_SOFTFAIL": ("spf", "softfail"), "DKIM_VALID": ("dkim", "pass")}


class Settings(BaseModel):
    secret: webform.Login = Field(
        title="Login (user:password)",
        description="The login that stands in the address at Postmark, https://user:password@… "
        "While you exchange it, write the old and the new one with a space between.",
    )


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    webform.demand_login(request, webform.secrets(context.settings.secret))
    if webform.content_type(request) != "application/json":
        raise webform.Unusable(415, N_("Postmark's JSON was expected here."), tell=True)
    event = webform.json_object(request.body)
    kind = event.get("RecordType", "Inbound")
    if kind != "Inbound":
        raise webform.Unusable(
            400, N_("Postmark sent a %(kind)s event, not a mail: use this address as inbound webhook of an inbound stream."), kind=str(kind)[:40], tell=True
        )
    text = webform.text_of(event, "RawEmail")
    if not text:
        raise webform.Unusable(
            400,
            N_("Postmark sent the mail taken to pieces, which proves nothing about its sender: tick “Include raw email content in JSON payload” in the inbound stream."),
            tell=True,
        )
    ident = webform.text_of(event, "MessageID")
    if ident == SAMPLE:
        raise webform.Nothing(N_("Postmark's sample mail came through; the set-up is right."))
    to = webform.recipients([event.get("OriginalRecipient")])
    # One mail to several of our addresses may come as several requests with one MessageID.
    key = f"{ident}:{','.join(to)}" if ident else None
    headers = _headers(event.get("Headers"))
    return [
        webform.Mail(
            raw=webform.text_to_raw(text),
            rcpt_to=to,
            mail_from=webform.address(next((value for name, value in headers if name == "return-path"), None)),
            key=key,
            verdicts=_verdicts(headers),
        )
    ]


def _headers(value: Any) -> list[tuple[str, str]]:
    """What Postmark wrote above the mail: the fields up to the second Received, for the first one is Postmark's own."""
    found: list[tuple[str, str]] = []
    received = 0
    for item in value if isinstance(value, list) else []:
        name, text = webform.text_of(item, "Name"), webform.text_of(item, "Value")
        if name is None or text is None:
            continue
        received += name.lower() == "received"
        if received > 1:
            break
        found.append((name.lower(), text))
    return found


def _verdicts(headers: list[tuple[str, str]]) -> tuple[TrustedVerdict, ...]:
    """SpamAssassin's words; they name no domain, so they are shown and prove nothing."""
    tests = next((value for name, value in headers if name == "x-spam-tests"), "")
    named = [SPAM_TESTS[word.strip()] for word in tests[:10_000].split(",") if word.strip() in SPAM_TESTS]
    return tuple(TrustedVerdict(method, result, None, "postmark") for method, result in named)


handle = webform.webhook(read, refused=403)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("postmark", "Postmark", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
