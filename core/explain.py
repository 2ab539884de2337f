"""`explain`: what would happen to a mail, and why. The same steps as for a real mail, nothing stored."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.exception
import dns.rdatatype

from core.errors import BadInput
from core.fence import Broken, Fence
from core.house import House
from core.mail.text import shown_text
from core.pipeline import FencedReader, Judge, make_fence, trust_of
from core.reasons import N_, remedy, sentence
from core.steps.authenticate import evidence
from core.steps.verdict import Verdict
from core.store.company import company
from core.store.database import connected
from core.store.fields import in_utc
from core.store.models import Contact, Organisation, OrganisationDomain, Record
from core.types import RECORD_KINDS, AuthResult, Email, Envelope, Forward, Mailbox, TraceEntry, Trust


class Explainer:
    """Explains mails one after the other. Close it at the end."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._fence: Fence = make_fence(house.settings)
        self._reader = FencedReader(self._fence)
        self._judge = Judge(house.plugins, house.seal, self._reader.ask)

    def close(self) -> None:
        self._reader.close()
        self._fence.close()

    def case(self, case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """One case of the contract in, one result out. Raises BadInput for a case that is none."""
        raw = _raw_of(case, folder)
        now = _moment(case["now"], "now") if case.get("now") is not None else self._house.now()
        envelope = _envelope_of(_object(case, "arrival") or {})
        given, zone = _object(case, "trust"), _zone_of(case)
        with connected():
            trust = trust_of(self._house.settings, company()) if given is None else _trust_of(given)
            result = self.explain(raw, envelope, trust, now, zone)
        return {"id": case.get("id"), **result}

    def explain(self, raw: bytes, envelope: Envelope, trust: Trust, now: dt.datetime, zone: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result for a mail. A mail that breaks a step is held, with the reason."""
        arrived = envelope.received_at or now
        try:
            reading = self._reader.read(raw, envelope, trust, now, zone)
            verdict = self._judge.consider(reading, envelope, arrived)
        except Broken as broken:
            return _broken(broken.code, broken.detail)
        except Exception as error:
            return _broken("unprocessable", type(error).__name__)
        return result_of(verdict)


def _broken(code: str, detail: str) -> dict[str, Any]:
    params = {"attempts": 1, "detail": detail, "seconds": 30}
    entry = {"step": "parse", "outcome": "hold", "reason": code, "sentence": sentence(code, params), "remedy": remedy(code, params)}
    return {
        "outcome": "held", "reason": code, "sentence": sentence(code, params), "sender": None,
        "authentication": {"decision": "hold", "checks": []}, "rep": None, "rule": "unattributed", "message": None, "forward": None,
        "thread": None, "contacts": [], "links": [], "considered": [], "trace": [entry],
    }  # fmt: skip


# --- cases in -----------------------------------------------------------------------------------------------------


def cases(path: Path, explainer: Explainer) -> Iterator[dict[str, Any]]:
    """One result for each line of a file of cases, in order. A line that is no case, such as a blank one, gives a result that says so."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            ident = None
            try:
                if not line.strip():
                    raise BadInput("", N_("the line is blank"))
                case = json.loads(line, parse_constant=_no_constant)
                if not isinstance(case, dict):
                    raise BadInput("", N_("a case is a JSON object"))
                ident = case.get("id")
                yield explainer.case(case, path.parent)
            except (BadInput, ValueError, RecursionError) as error:
                yield {"id": ident, **_broken("bad-case", f"{path.name} line {number}: {error}")}


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON (RFC 8259 section 6) has no such numbers: the answer would be no JSON either."""
    raise ValueError(f"{name} is no JSON")


def _raw_of(case: Mapping[str, Any], folder: Path) -> bytes:
    if "raw_base64" in case:
        try:
            return base64.b64decode(case["raw_base64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise BadInput("raw_base64", N_("it is not base64")) from None
    if "raw_path" not in case:
        raise BadInput("raw_path", N_("a case needs raw_path or raw_base64"))
    try:
        return (folder / str(case["raw_path"])).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise BadInput("raw_path", N_("%(raw_path)s cannot be read: %(why)s"), raw_path=repr(case["raw_path"]), why=getattr(error, "strerror", None) or error) from None


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """A member that is an object, or absent. Raises BadInput."""
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadInput(name, N_("give an object"))
    return value


def _text(given: Mapping[str, Any], name: str, where: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"{where}.{name}", N_("give a text"))
    return value


def _texts(given: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    value = given.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput(f"{where}.{name}", N_("give a list of texts"))
    return tuple(value)


def _moment(value: Any, where: str) -> dt.datetime:
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
        moment = dt.datetime.fromisoformat(str(value))
        return in_utc(moment) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise BadInput(where, N_("%(value)s is no time"), value=repr(value)) from None


def _envelope_of(arrival: Mapping[str, Any]) -> Envelope:
    received = arrival.get("received_at")
    return Envelope(
        source=_text(arrival, "source", "arrival") or "explain",
        rcpt_to=_texts(arrival, "rcpt_to", "arrival"),
        mail_from=_text(arrival, "mail_from", "arrival"),
        client_ip=_text(arrival, "client_ip", "arrival"),
        helo=_text(arrival, "helo", "arrival"),
        received_at=_moment(received, "arrival.received_at") if received else None,
    )


def _trust_of(given: Mapping[str, Any]) -> Trust:
    signers = _object(given, "extra_signers") or {}
    return Trust(
        authserv_ids=_texts(given, "authserv_ids", "trust"),
        networks=_texts(given, "networks", "trust"),
        arc_sealers=_texts(given, "arc_sealers", "trust"),
        extra_signers={domain: _texts(signers, domain, "trust.extra_signers") for domain in signers},
        softfail_holds=bool(given.get("softfail_holds")),
    )


def _zone_of(case: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The answers of the DNS that a case brings along. Raises BadInput that names the place: a misspelt one would read as "nothing published"."""
    zone = _object(case, "dns")
    for name, kinds in (zone or {}).items():
        place = f"dns[{name!r}]"
        if _fails(kinds):
            continue
        if not isinstance(kinds, dict):
            raise BadInput(place, N_("give an object such as {\"TXT\": [\"…\"]}, or SERVFAIL or TIMEOUT"))
        for kind, records in kinds.items():
            if not _is_record_type(kind):
                raise BadInput(place, N_("%(kind)s is no type of DNS records"), kind=repr(kind))
            if _fails(records):
                continue
            if not isinstance(records, list):
                raise BadInput(f"{place}.{kind}", N_("give a list, or SERVFAIL or TIMEOUT"))
            wrong = next((at for at, record in enumerate(records) if not _is_record(kind.upper(), record)), None)
            if wrong is not None:
                raise BadInput(f"{place}.{kind}[{wrong}]", N_("this is no %(kind)s record"), kind=kind.upper())
    return zone


def _fails(value: Any) -> bool:
    return isinstance(value, str) and value.upper() in ("SERVFAIL", "TIMEOUT")


def _is_record_type(kind: str) -> bool:
    try:
        dns.rdatatype.from_text(kind)
    except (dns.exception.DNSException, ValueError):
        return False
    return True


def _is_record(kind: str, record: Any) -> bool:
    """True for a value that `core.dns.Zone` can answer with; of types that nothing asks for everything may stand there."""
    if kind == "TXT":
        return isinstance(record, str) or (isinstance(record, list) and all(isinstance(part, str) for part in record))
    if kind == "MX":
        parts = record.split() if isinstance(record, str) else record
        return isinstance(parts, list) and len(parts) == 2 and str(parts[0]).isdecimal() and isinstance(parts[1], str)
    if kind in ("A", "AAAA"):
        return isinstance(record, str) and _is_address(record, 4 if kind == "A" else 6)
    return isinstance(record, str) or kind not in ("CNAME", "PTR", "NS")


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


# --- results out --------------------------------------------------------------------------------------------------

Say = Callable[[str, Mapping[str, Any]], str]


def mailbox(box: Mailbox | None) -> dict[str, Any] | None:
    return None if box is None else {"name": box.name, "address": box.address}


def _mailboxes(boxes: Iterable[Mailbox]) -> list[dict[str, Any] | None]:
    return [mailbox(box) for box in boxes]


def moment(value: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC; a time without a zone stays without."""
    if value is None:
        return None
    return value.isoformat() if value.tzinfo is None else value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def result_of(verdict: Verdict, say: Say = sentence) -> dict[str, Any]:
    """The result of the contract."""
    reading = verdict.reading
    outcome = "retry" if verdict.state == "retry" else verdict.state
    return {
        "outcome": outcome,
        "reason": verdict.reason,
        "sentence": say(verdict.reason, verdict.params),
        "sender": mailbox(reading.email.identity.mailbox),
        "authentication": {
            "decision": reading.judgement.decision,
            "reason": reading.judgement.reason,
            "sentence": say(reading.judgement.reason, reading.judgement.params),
            "checks": [check(result, say) for result in reading.judgement.checks],
        },
        "rep": verdict.attribution.rep_email if verdict.attribution.rep_id is not None else None,
        "rule": verdict.attribution.rule,
        "message": message(reading.email, reading.safe_html),
        "forward": forward(reading.forward),
        "thread": _thread(verdict),
        "contacts": [{"address": person.key, "new": person.new} for person in verdict.contacts.counterparties],
        "links": _links(verdict, say),
        "considered": _considered(verdict, say),
        "trace": [entry(step, say) for step in verdict.trace],
    }


def check(result: AuthResult, say: Say = sentence, heal: Say = remedy) -> dict[str, Any]:
    """One authentication result with its sentence and what would mend it (empty when nothing needs to be mended)."""
    params, code = evidence(result), result.reason or result.result
    return {
        "method": result.method, "result": result.result, "domain": result.domain, "aligned": result.aligned, "by": result.by,
        "selector": result.selector, "reason": result.reason, "sentence": say(code, params), "remedy": heal(code, params),
    }  # fmt: skip


def message(email: Email, safe_html: str) -> dict[str, Any]:
    return {
        "message_id": email.message_id,
        "subject": email.subject,
        "date": moment(email.date),
        "from": mailbox(email.identity.mailbox),
        "to": _mailboxes(email.to),
        "cc": _mailboxes(email.cc),
        "text": shown_text(email),
        "html": safe_html,
        "attachments": [
            {
                "filename": a.filename, "content_type": a.content_type, "size": a.size, "inline": a.inline, "content_id": a.content_id,
                "sha256": a.sha256, "note": a.note,
            }
            for a in email.attachments
        ],
        "defects": list(email.defects),
        "machine": email.machine,
    }  # fmt: skip


def forward(claimed: Forward | None) -> dict[str, Any] | None:
    """The forwarded block as claimed, its date with the zone it was written in; `unreadable` when it says forward and cannot be read."""
    if claimed is None:
        return None
    result: dict[str, Any] = {
        "client": claimed.client, "language": claimed.language, "from": _claimed_sender(claimed), "to": _mailboxes(claimed.to),
        "cc": _mailboxes(claimed.cc), "subject": claimed.subject, "date": claimed.date.isoformat() if claimed.date else None, "date_raw": claimed.date_raw,
        "note": claimed.note, "signature": claimed.signature, "body": claimed.body, "chain": [forward(older) for older in claimed.chain],
        "evidence": claimed.evidence, "claimed": True,
    }  # fmt: skip
    return {"unreadable": True, **result} if claimed.unreadable else result


def _claimed_sender(claimed: Forward) -> dict[str, Any] | None:
    """Who wrote the original; a name alone where the block gives no usable address."""
    if claimed.sender is None and claimed.sender_name:
        return {"name": claimed.sender_name, "address": None}
    return mailbox(claimed.sender)


def entry(step: TraceEntry, say: Say = sentence, heal: Say = remedy) -> dict[str, Any]:
    return {
        "step": step.step, "outcome": step.outcome, "reason": step.reason, "params": dict(step.params), "seconds": step.seconds,
        "sentence": say(step.reason, step.params), "remedy": heal(step.reason, step.params),
    }  # fmt: skip


def _thread(verdict: Verdict) -> dict[str, Any] | None:
    if verdict.choice is None:
        return None
    choice, email = verdict.choice, verdict.reading.email
    # Nothing is stored, so the beginning that a mail names stands for a conversation that is not here: its mails tell the same.
    named = (name for name in choice.bind if name not in (email.message_id, *email.ids) and not name.startswith("<"))
    key = verdict.conversation or next(iter((*named, *choice.holds)), verdict.key)
    return {"key": key, "joins": choice.thread_id, "reason": choice.reason, "waiting": "needs-choice" if verdict.links.waiting else None}


def _links(verdict: Verdict, say: Say) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = [
        {
            "kind": link.kind, "external_id": _external_id(link.kind, link.target_id), "target_id": link.target_id, "title": link.title,
            "because": say(link.reason, link.params), "made_by": link.made_by if link.made_by != "core" else f"policy:{verdict.policy}",
        }
        for link in verdict.links.links
    ]  # fmt: skip
    shown = {(link["kind"], link["target_id"] or link["title"]) for link in links}
    for person in verdict.contacts.new:
        found = [("contact", None, None, person.title, "thread-contact", {"title": person.title})]
        if person.domains:
            held = next(filter(None, map(_organisation_of, person.domains)), (None, None, person.domains[-1]))
            found.append(("organisation", *held, "contact-organisation", {"title": held[2], "contact": person.title}))
        for kind, target, external, title, reason, params in found:
            if (kind, target or title) in shown:
                continue
            shown.add((kind, target or title))
            links.append(
                {
                    "kind": kind, "external_id": external, "target_id": target, "title": title, "because": say(reason, params),
                    "made_by": f"policy:{verdict.policy}",
                }
            )  # fmt: skip
    return links


def _organisation_of(domain: str) -> tuple[int, str | None, str] | None:
    """The organisation that has this domain: id, external id, name."""
    row = (
        OrganisationDomain.select(Organisation.id, Organisation.external_id, Organisation.name).join(Organisation).where(OrganisationDomain.domain == domain)
    )
    return row.tuples().first()


def _external_id(kind: str, ident: int) -> str | None:
    model: Any = Record if kind in RECORD_KINDS else Contact if kind == "contact" else Organisation
    row = model.select(model.external_id).where(model.id == ident).tuples().first()
    return row[0] if row else None


def _considered(verdict: Verdict, say: Say) -> list[dict[str, Any]]:
    return [
        {
            "kind": item.record.kind, "external_id": item.record.external_id, "target_id": item.record.id, "title": item.record.title,
            "linked": item.linked, "reason": item.reason, "because": say(item.reason, {"kind": item.record.kind, **item.params}),
        }
        for item in verdict.links.considered
    ]  # fmt: skip
