"""Signed webhooks: every event as a POST to an address of your own.

Set up: write the address into the settings; the signing secret is made and shown once. The form is that of Standard
Webhooks (https://www.standardwebhooks.com): a JSON body with `type`, `timestamp` and `data`, and the header fields
`webhook-id`, `webhook-timestamp` and `webhook-signature`, so that its ready-made libraries verify what we send.

The body names what has happened by ids only; what a mail says is asked for through the API, by whoever may see it. The
same event may come twice: it has the same `webhook-id` then. An answer of 2xx is a success, everything else is tried again.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
from urllib.parse import urlsplit

from core.errors import HttpTrouble
from core.hookspecs import hookimpl
from core.reasons import N_
from core.types import HouseEvent, SinkContext

TIMEOUT = 10.0  # seconds for the whole request
PREFIX = "whsec_"  # what a signing secret begins with; the key follows in base64


@hookimpl
def on_event(event: HouseEvent, context: SinkContext) -> None:
    """Post one event. Raises HttpTrouble when it was not taken; without an address there is nothing to do."""
    url = str(context.settings.get("url") or "")
    if not url:
        return
    body = payload(event)
    fields = {"Content-Type": "application/json", **signed(f"evt_{event.id}", context.clock(), body, str(context.settings.get("secret") or ""))}
    answer = context.http.post(url, body, headers=fields, timeout=TIMEOUT)
    if not 200 <= answer.status < 300:
        raise HttpTrouble(N_("%(host)s answered %(status)s."), host=urlsplit(url).hostname, status=answer.status)


def payload(event: HouseEvent) -> bytes:
    """The JSON body: UTF-8, one line."""
    facts = {"type": event.name, "timestamp": event.at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"), "data": dict(event.facts)}
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()


def signed(ident: str, now: dt.datetime, body: bytes, secret: str) -> dict[str, str]:
    """The header fields that prove a body. Raises HttpTrouble when the secret is none."""
    stamp = str(int(now.timestamp()))
    # Standard Webhooks, "Signature scheme": HMAC-SHA256 over id, timestamp and body with dots between.
    mark = hmac.digest(_key(secret), f"{ident}.{stamp}.".encode() + body, hashlib.sha256)
    return {"webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": "v1," + base64.b64encode(mark).decode()}


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:  # Standard Webhooks asks for 24 to 64 bytes
        raise HttpTrouble(N_("The signing secret cannot be used; make a new one in the settings."), refused=True)
    return key
