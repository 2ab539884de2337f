"""One mail through all the checks and the authenticate step, as the pipeline does it."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.dns import Zone
from core.mail.parse import parse
from core.mail.received import boundary
from core.steps.authenticate import judge
from core.types import AuthResult, Dns, Envelope, Judgement, Message, Trust, TrustedVerdict
from plugins.checks import arc, dkim, spf, trusted

NOW = dt.datetime(2026, 11, 20, 10, 0, tzinfo=dt.UTC)
CLIENT = "192.0.2.10"
STRANGER = "203.0.113.9"


def checked(raw: bytes, envelope: Envelope, dns: Dns, trust: Trust = Trust(), now: dt.datetime = NOW) -> list[AuthResult]:
    email = parse(raw)
    message = Message(raw, email.identity, trust, email.defects)
    return [result for check in (dkim.check, spf.check, trusted.check, arc.check) for result in check(message, envelope, dns, now)]


def decide(
    raw: bytes,
    dns: Mapping[str, Any] | Dns,
    *,
    source: str = "smtp",
    client_ip: str | None = CLIENT,
    helo: str | None = "mail.sales.example",
    mail_from: str | None = "ana@sales.example",
    trust: Trust = Trust(),
    now: dt.datetime = NOW,
    received_at: dt.datetime | None = None,
    verdicts: Sequence[TrustedVerdict] = (),
) -> Judgement:
    envelope = Envelope(source, ("acme@drop.example",), mail_from, client_ip, helo, received_at or now, verdicts=tuple(verdicts))
    envelope = boundary(raw, envelope, trust)
    view: Any = Zone(dns) if isinstance(dns, Mapping) else dns
    email = parse(raw)
    return judge(
        email.identity, email.defects, envelope, trust, checked(raw, envelope, view.for_message(), trust, now), view.for_message()
    )


def decide_case(case: Mapping[str, Any], folder: Path, dns: Dns | None = None) -> Judgement:
    """A case of the `explain` form."""
    raw = (folder / case["raw_path"]).read_bytes() if "raw_path" in case else base64.b64decode(case["raw_base64"])
    arrival, trust = case.get("arrival", {}), case.get("trust", {})
    now = dt.datetime.fromtimestamp(case["now"], dt.UTC) if "now" in case else NOW
    received = arrival.get("received_at")
    return decide(
        raw,
        dns or case.get("dns", {}),
        source=arrival.get("source", "explain"),
        client_ip=arrival.get("client_ip"),
        helo=arrival.get("helo"),
        mail_from=arrival.get("mail_from"),
        trust=Trust(tuple(trust.get("authserv_ids", ())), tuple(trust.get("networks", ()))),
        now=now,
        received_at=dt.datetime.fromisoformat(received) if received else None,
    )
