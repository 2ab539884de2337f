"""What runs inside the fence: read a mail, check it, unwrap it, make it safe; ask a policy; and read a mail once more for a page.

Every job and answer is JSON, but for an attachment, which is its bytes; see `Job`. Nothing here knows a database.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from core.dns import Resolver, Zone
from core.mail import forward as forwards
from core.mail.html import safe_html
from core.mail.parse import attachment_bytes, parse
from core.mail.received import boundary
from core.mail.text import body_hash, index_text, shown_text, snippet
from core.plugins import Plugins
from core.steps import authenticate
from core.types import (
    AuthResult,
    Dns,
    Email,
    Envelope,
    Forward,
    Judgement,
    LinkCase,
    LinkPolicy,
    Message,
    Reading,
    TraceEntry,
    Trust,
)

Answer = TypeVar("Answer")

_MOST_FINDINGS = 20  # of one mail in the trace


@dataclass(frozen=True)
class ReadJob:
    """Read the mail that travels beside the job. `zone`: answer DNS from this mapping alone (an explained case)."""

    envelope: Envelope
    trust: Trust
    now: dt.datetime
    zone: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class PolicyJob:
    """Ask the policy `policy` about a case."""

    policy: str
    case: LinkCase


@dataclass(frozen=True)
class Choice:
    """A policy's word on one record of the case."""

    record_id: int
    linked: bool
    reason: str
    params: Mapping[str, str] = field(default_factory=dict)
    offer: bool = True


@dataclass(frozen=True)
class AgainJob:
    """Read a mail again that is logged, for one thing that is not kept beside it; the answer is bytes.

    part: the decoded bytes of this attachment behind one "+", or nothing when the mail has none such.
    html: its safe HTML with the sources of its pictures kept. text: the text that stands for it. Both in UTF-8.
    """

    what: Literal["part", "html", "text"]
    part: int = 0


@dataclass(frozen=True)
class Job:
    """One of the three."""

    read: ReadJob | None = None
    policy: PolicyJob | None = None
    again: AgainJob | None = None


class Reader:
    """Made once in the zygote from `{"plugins_dir": …, "dns": "host:port"}`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        folder = config.get("plugins_dir")
        self.plugins = Plugins(Path(folder) if folder else None)
        self._resolver = Resolver(config.get("dns") or None)
        self._decoder = msgspec.json.Decoder(Job)
        self._encoder = msgspec.json.Encoder()

    def work(self, job: bytes, raw: bytes) -> bytes:
        """The fence's call: bytes in, bytes out."""
        task = self._decoder.decode(job)
        if task.read is not None:
            return self._encoder.encode(self.read(raw, task.read))
        if task.policy is not None:
            return self._encoder.encode(self.decide(task.policy))
        if task.again is None:
            raise ValueError("an empty job")
        return self.read_again(raw, task.again)

    # --- reading ---

    def read(self, raw: bytes, job: ReadJob) -> Reading:
        """The mail as read, judged and made safe. A fault of a check is its temporary error, never a pass."""
        dns = (self._resolver if job.zone is None else Zone(job.zone)).for_message()
        steps = _Steps()
        email = steps.timed("parse", lambda: parse(raw))
        steps.add("parse", "read", "read", {"parts": len(email.attachments) + bool(email.text) + bool(email.html), "attachments": len(email.attachments)})
        judgement = steps.timed("authenticate", lambda: self._judge(raw, email, job, dns))
        steps.add("authenticate", judgement.decision, judgement.reason, dict(judgement.params))
        steps.entries += findings(judgement)
        claimed = steps.timed("unwrap", lambda: self._unwrap(email, raw))
        safe = steps.timed("sanitise", lambda: safe_html(email.html) if email.html else "")
        text = shown_text(email)
        indexed, digest = steps.timed("index", lambda: (index_text(email), body_hash(email)))
        return Reading(email, judgement, claimed, safe, snippet(text), indexed, digest, tuple(steps.entries), steps.seconds)

    def _judge(self, raw: bytes, email: Email, job: ReadJob, dns: Dns) -> Judgement:
        envelope = boundary(raw, job.envelope, job.trust)
        message = Message(raw, email.identity, job.trust, email.defects)
        results: list[AuthResult] = []
        for check in self.plugins.checks:
            try:
                results += check.check(message, envelope, dns, job.now)
            except MemoryError:  # the fence's limit, not a fault that passes: the mail must not be tried for days
                raise
            except Exception as error:
                results.append(AuthResult(check.name, "temperror", reason="check-failed", params={"error": type(error).__name__}))
        return authenticate.judge(email.identity, email.defects, envelope, job.trust, results, dns)

    def _unwrap(self, email: Email, raw: bytes) -> Forward | None:
        return self.plugins.read_forward(email, raw) or forwards.read(email)

    def read_again(self, raw: bytes, job: AgainJob) -> bytes:
        """What a page asks of a mail, see AgainJob."""
        if job.what == "part":
            try:
                return b"+" + attachment_bytes(raw, job.part)
            except KeyError:
                return b""
        email = parse(raw)
        shown = safe_html(email.html, remote_images=True) if job.what == "html" else shown_text(email)
        return shown.encode("utf-8", "replace")

    # --- deciding ---

    def decide(self, job: PolicyJob) -> list[Choice]:
        """What the policy says. Raises what the policy raises: the caller files the mail without it."""
        policy = self.plugins.policies[job.policy]
        return ask(policy, job.case)


def ask(policy: LinkPolicy, case: LinkCase) -> list[Choice]:
    """Run a policy over a case; its words as plain facts."""
    known = {record.id for record in case.records}
    answers = []
    for word in policy.decide(case):
        if word.record.id not in known:
            raise ValueError(f"the policy {policy.name} named a record that is not in the case")
        answers.append(Choice(word.record.id, word.linked, word.reason, dict(word.params), getattr(word, "offer", True)))
    return answers


def findings(judgement: Judgement) -> list[TraceEntry]:
    """The evidence of a judgement for the trace: each finding with what its sentence names, so that a held mail shows it, too."""
    checks = judgement.checks[:_MOST_FINDINGS]
    return [TraceEntry("check", check.result, check.reason, authenticate.evidence(check)) for check in checks if check.reason]


class _Steps:
    """Collects trace entries with the time that each step took."""

    def __init__(self) -> None:
        self.entries: list[TraceEntry] = []
        self.seconds: dict[str, float] = {}

    def timed(self, step: str, work: Callable[[], Answer]) -> Answer:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[step] = round(time.perf_counter() - began, 6)

    def add(self, step: str, outcome: str, reason: str, params: Mapping[str, Any]) -> None:
        self.entries.append(TraceEntry(step, outcome, reason, params, self.seconds.get(step, 0.0)))


def encode_job(job: Job) -> bytes:
    return msgspec.json.encode(job)


# Made here, by one thread: msgspec looks a class up when it first decodes one, and two threads that do so at once end the process.
_reading = msgspec.json.Decoder(Reading)
_choices = msgspec.json.Decoder(list[Choice])


def decode_reading(answer: bytes) -> Reading:
    return _reading.decode(answer)


def decode_choices(answer: bytes) -> Sequence[Choice]:
    return _choices.decode(answer)
