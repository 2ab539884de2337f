"""Hand one mail to Dropcopy over HTTP: the body of the pipe command for Postfix, Exim and whatever can start a program.

The exit codes are those of sysexits.h, as mail servers read them: 0 kept, 75 try again later, 69 refused for good, 64 wrong use.
Whatever is not clearly refused for good is 75, so that a wrong set-up delays mail and loses none.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import ssl
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

OK, USAGE, UNAVAILABLE, TEMPFAIL = 0, 64, 69, 75
TIMEOUT = 60.0  # seconds
FINAL = {406, 410, 413, 422}  # answers that mean "never"; 400 to 404 and 415 are faults of the set-up and may be mended

# What Postfix (pipe(8), flags) and Exim (pipe transport) put into the environment, in the order of preference.
SENDER, RECIPIENT = ("SENDER", "RETURN_PATH"), ("ORIGINAL_RECIPIENT", "RECIPIENT", "RECIPIENTS")
CLIENT_IP, HELO = ("CLIENT_ADDRESS", "SENDER_HOST_ADDRESS"), ("CLIENT_HELO", "SENDER_HELO_NAME")


def deliver(url: str, token: str, raw: bytes, env: Mapping[str, str]) -> int:
    """POST the mail to a source of the kind "generic" and return the exit code; a sentence goes to stderr on trouble.

    token  the source's secret: whsec_… signs, user:password is sent as Basic, everything else as a bearer token
    env    the envelope: SENDER, RECIPIENT, and where known CLIENT_ADDRESS and CLIENT_HELO
    """
    recipient = _first(env, RECIPIENT)
    if not _usable(url) or not token or not recipient:
        return _say(USAGE, "It needs the address of the source, its secret, and RECIPIENT in the environment.")
    if not raw:
        return _say(USAGE, "The mail is empty.")
    if raw.startswith(b"From ") and b"\n" in raw:
        raw = raw.split(b"\n", 1)[1]  # the mbox line that some pipe transports put before the mail
    headers = {
        "Content-Type": "message/rfc822",
        "User-Agent": "Dropcopy",
        "X-Envelope-To": _field(", ".join(recipient.split()) if "," not in recipient else recipient),
    }
    sender = _first(env, SENDER)
    if sender is not None:
        headers["X-Envelope-From"] = _field("<>" if sender in ("", "MAILER-DAEMON", "<>") else sender)
    for name, value in (("X-Envelope-Client-Ip", _first(env, CLIENT_IP)), ("X-Envelope-Helo", _first(env, HELO))):
        if value and value != "unknown":
            headers[name] = _field(value)
    try:
        headers.update(_proof(token, raw, headers["X-Envelope-To"]))
        return _posted(url, headers, raw)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _say(TEMPFAIL, f"Dropcopy could not be reached: {type(error).__name__}: {error}")


def _posted(url: str, headers: dict[str, str], raw: bytes) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT, context=ssl.create_default_context())
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body=raw, headers=headers)
        answer = connection.getresponse()
        sentence = answer.read(2000).decode("utf-8", "replace")
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return OK
    return _say(UNAVAILABLE if answer.status in FINAL else TEMPFAIL, f"Dropcopy answered {answer.status}: {sentence}")


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _proof(token: str, raw: bytes, recipients: str) -> dict[str, str]:
    """What shows the secret: a Standard Webhooks signature, Basic or a bearer token, by the form of the secret."""
    if token.startswith("whsec_"):
        key = base64.b64decode(token.removeprefix("whsec_"))
        # The same mail to the same recipients has the same id, so an answer that got lost makes no second delivery.
        ident = "pipe_" + hashlib.sha256(raw + recipients.encode("utf-8", "replace")).hexdigest()
        stamp = str(int(time.time()))
        signature = base64.b64encode(hmac.new(key, f"{ident}.{stamp}.".encode() + raw, hashlib.sha256).digest()).decode()
        return {"webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}
    if ":" in token:
        return {"Authorization": "Basic " + base64.b64encode(token.encode()).decode()}
    return {"Authorization": f"Bearer {token}"}


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if name in env), None)


def _field(value: str) -> str:
    """A value that cannot end its header field. http.client writes it as latin-1, so more than ASCII goes as UTF-8 bytes."""
    clean = re.sub(r"[\x00-\x1f\x7f]", "", value)
    return clean.encode("utf-8", "surrogateescape").decode("latin-1")


def _say(code: int, sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return code
