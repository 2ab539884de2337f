"""The one order of steps.

    parse → authenticate → admit → attribute → unwrap → dedupe → thread → contacts → link
      (read, judged and made safe inside the fence; then decided here, in one transaction with all effects)

`Pipeline.run` brings one claimed mail to its end. `Judge.consider` is the same decision without effects: `explain` and the
simulator ask it, too.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from core import notices
from core.errors import Held, Ignored
from core.fence import Broken, Fence, Pen
from core.plugins import Plugins
from core.reader import Choice as Word
from core.reader import Job, PolicyJob, ReadJob, decode_choices, decode_reading, encode_job
from core.settings import Settings
from core.steps import admit, attribute, contacts, dedupe, link, thread, unwrap
from core.steps.facts import House as Ours
from core.steps.facts import address_key
from core.steps.verdict import Verdict
from core.store import drops, filing, inbound, lookups, plugin_states, reps, strangers
from core.store.company import Company, company
from core.store.database import connected, is_busy, is_sqlite, write
from core.store.inbound import Claim
from core.store.models import Rep
from core.store.seal import Seal
from core.store.step_times import StepTimes
from core.types import (
    Attribution,
    Drop,
    Email,
    Envelope,
    Forward,
    Link,
    LinkCase,
    Participant,
    Reading,
    Record,
    Skip,
    TraceEntry,
    Trust,
)

log = logging.getLogger("dropcopy.pipeline")

TOGETHER = 8  # mails filed in one transaction
POLICY_SECONDS = 2.0  # a policy is pure and looks at 200 records at most; it is asked inside the transaction
_WEEK = dt.timedelta(days=7)
_OLDEST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC)

AskPolicy = Callable[[str, LinkCase], Sequence[Word]]


def _loop_marks(email: Email) -> list[str]:
    """The values of X-Loop: mail that a drop address of ours has sent names it there."""
    return [value.strip()[:320] for name, value in email.headers if name.lower() == "x-loop"][:5]


def trust_of(settings: Settings, company: Company) -> Trust:
    """Whom the company believes, from the settings of the machine and those of the admin."""
    return Trust(
        authserv_ids=(*settings.listed("trusted_authserv_ids"), *company.authserv_ids),
        networks=(*settings.listed("trusted_networks"), *company.trusted_networks),
        arc_sealers=company.arc_sealers,
        extra_signers=company.extra_signers,
        softfail_holds=company.softfail_holds,
    )


def time_of(email: Email, forward: Forward | None, arrived: dt.datetime) -> dt.datetime:
    """The time of a mail: its Date when that lies within the week before its arrival, else the arrival; a forward's is the original's."""
    if forward is not None and forward.date is not None:
        claimed = forward.date if forward.date.tzinfo else forward.date.replace(tzinfo=dt.UTC)
        if _OLDEST < claimed <= arrived + dt.timedelta(hours=14):
            return min(claimed.astimezone(dt.UTC), arrived)
    if email.date is not None and arrived - _WEEK <= email.date <= arrived:
        return email.date
    return arrived


@lru_cache(maxsize=64)  # nearly every mail names the company's own two
def _with_drops(house: Ours, addresses: frozenset[str]) -> Ours:
    return replace(house, drop_addresses=addresses)


def _threads_of(choice: thread.Choice | None) -> tuple[int, ...]:
    """The thread that takes the mail, and those that are merged into it: what they hold counts as well."""
    return () if choice is None or choice.thread_id is None else (choice.thread_id, *choice.merge)


def _latest(at: dt.datetime, arrived: dt.datetime | None) -> dt.datetime:
    """The last moment at which a mail of this time can have been written: a Date holds whole seconds, and what has arrived was written."""
    end = at if at.microsecond else at.replace(microsecond=999_999)
    return end if arrived is None else max(at, min(end, arrived))


class Judge:
    """Decides about a read mail from what the store knows. Writes nothing."""

    def __init__(self, plugins: Plugins, seal: Seal, ask: AskPolicy) -> None:
        self._plugins = plugins
        self._seal = seal
        self._ask = ask
        self._options_of: tuple[object, Mapping[str, Any]] = (None, {})

    def consider(
        self, reading: Reading, envelope: Envelope, arrived: dt.datetime, *, released_by: str | None = None, claimed_for: int | None = None
    ) -> Verdict:
        """Walk the steps; every one that can be computed is, also after one that stops the mail."""
        verdict = Verdict(reading, envelope, arrived, arrived, trace=list(reading.trace))
        settings = company()
        self._drop_large(verdict, settings.attachment_limit)
        if self._came_back(verdict):
            verdict.stop("ignored", "loop")  # before authentication: our keyed Message-ID proves more than that could
        self._authenticate(verdict, released_by)
        met, ended = self._drops(verdict, arrived)
        self._admit(verdict, met, released_by)
        self._attribute(verdict, claimed_for)
        house = self._house(met, ended)
        self._unwrap(verdict, settings, house)
        verdict.at = time_of(reading.email, verdict.unwrapped.forward, arrived)
        self._dedupe(verdict)
        self._thread(verdict, house)
        self._contacts(verdict, house)
        self._link(verdict, settings)
        return verdict

    # --- the steps ---

    def _drop_large(self, verdict: Verdict, limit: int) -> None:
        """Attachments over the limit are named and not logged (F12). The raw mail keeps them until it expires."""
        email = verdict.reading.email
        if all(attachment.size <= limit for attachment in email.attachments):
            return
        kept = tuple(replace(a, note="dropped") if a.size > limit else a for a in email.attachments)
        verdict.reading = replace(verdict.reading, email=replace(email, attachments=kept))
        verdict.trace += [
            TraceEntry("parse", "drop", "attachment-dropped", {"file": notices.quoted(a.filename), "size": notices.size(a.size), "limit": notices.size(limit)})
            for a in kept
            if a.note == "dropped"
        ]

    def _authenticate(self, verdict: Verdict, released_by: str | None) -> None:
        judgement = verdict.reading.judgement
        if released_by is not None:
            verdict.trace.append(TraceEntry("authenticate", "released", "released", {"who": released_by}))
        elif judgement.decision == "retry":
            verdict.stop("retry", judgement.reason, judgement.params)
        elif judgement.decision == "hold":
            verdict.stop("held", judgement.reason, judgement.params)
        elif judgement.decision == "reject":
            verdict.stop("ignored", "auth-rejected", judgement.params)

    def _drops(self, verdict: Verdict, now: dt.datetime) -> tuple[list[Drop], list[str]]:
        """Every drop address that the envelope, the header or a forwarded block names, and an X-Loop field: living ones, and others."""
        email = verdict.reading.email
        named = [box.address for box in (*email.to, *email.cc)]
        forward = verdict.reading.forward
        for block in (forward, *forward.others) if forward is not None else ():
            named += [box.address for box in (*block.to, *block.cc)] + ([block.sender.address] if block.sender else [])
        return drops.ever([*verdict.envelope.rcpt_to, *_loop_marks(email), *named], self._seal, now)

    def _came_back(self, verdict: Verdict) -> bool:
        """True for a mail that this house has sent itself, whatever was done to it on its way."""
        return notices.is_ours(verdict.reading.email.message_id, self._seal)

    def _admit(self, verdict: Verdict, met: Sequence[Drop], released_by: str | None) -> None:
        email, envelope = verdict.reading.email, verdict.envelope
        if self._came_back(verdict) or {drops.normal(mark) for mark in _loop_marks(email)} & {drop.address for drop in met}:
            email = replace(email, loop=True)
        try:
            verdict.admission = admit.admit(email, envelope, met)
        except Held as held:
            verdict.admission = admit.read(envelope, met)
            if released_by is None:
                verdict.stop("held", held.code, held.params)
                verdict.trace.append(TraceEntry("admit", "hold", held.code, held.params))
        except Ignored as ignored:
            verdict.stop("ignored", ignored.code, ignored.params)
            verdict.trace.append(TraceEntry("admit", "ignore", ignored.code, ignored.params))
        verdict.trace += verdict.admission.trace

    def _attribute(self, verdict: Verdict, claimed_for: int | None) -> None:
        sender = verdict.sender
        if claimed_for is not None:
            rep = Rep.get_or_none(Rep.id == claimed_for)
            if rep is not None:
                verdict.attribution = Attribution("claimed", rep.id, rep.email)
                verdict.trace.append(TraceEntry("attribute", "pass", "claimed", {"who": rep.email, "address": sender, "rep": rep.email}))
                return
        if not sender:
            return
        facts = reps.sender_facts(address_key(sender))
        verdict.attribution = attribute.attribute(sender, facts)
        verdict.trace.append(attribute.entry(sender, verdict.attribution))
        if verdict.attribution.rep_id is None:
            params = {"address": sender, "rep": verdict.attribution.rep_email or ""}
            self._block(verdict, sender)
            verdict.stop("held", _UNATTRIBUTED.get(verdict.attribution.reason, "unattributed"), params)

    def _block(self, verdict: Verdict, sender: str) -> None:
        """Strangers of a blocked domain are ignored (F22); reps of that domain are no strangers."""
        blocked = strangers.blocked_by(sender.rpartition("@")[2]) if verdict.attribution.reason == "unknown-sender" else None
        if blocked is not None:
            verdict.stop("ignored", "blocked-domain", {"address": sender, "domain": blocked})
            verdict.trace.append(TraceEntry("attribute", "ignore", "blocked-domain", {"address": sender, "domain": blocked}))

    def _house(self, met: Sequence[Drop], ended: Sequence[str]) -> Ours:
        """The company's rules with the drop addresses that this mail names, those of the past too: they are nobody's (F27)."""
        return _with_drops(lookups.ours(), frozenset(address_key(address) for address in (*(drop.address for drop in met), *ended)))

    def _unwrap(self, verdict: Verdict, settings: Company, house: Ours) -> None:
        verdict.unwrapped = unwrap.unwrap(
            verdict.reading.email, verdict.reading.forward, verdict.admission, strict=settings.strict_forwards, ours=house.ours
        )
        verdict.trace += verdict.unwrapped.trace

    def _dedupe(self, verdict: Verdict) -> None:
        owner = verdict.attribution.rep_id
        if owner is None:
            return
        verdict.key = dedupe.key(owner, verdict.reading.email, verdict.reading.body_hash)
        first = lookups.logged_before(owner, verdict.key)
        if first is None:
            verdict.trace.append(TraceEntry("dedupe", "pass", "dedupe-new"))
            return
        verdict.duplicate_of, verdict.duplicate_inbound = first.id, first.inbound_id
        reason = "deleted-before" if first.deleted else "duplicate"
        verdict.first = first
        verdict.trace.append(TraceEntry("dedupe", "ignore", reason, {"first": first.inbound_id}))
        verdict.stop("ignored", reason, {"first": first.inbound_id})

    def _thread(self, verdict: Verdict, house: Ours) -> None:
        owner = verdict.attribution.rep_id
        if owner is None:
            return
        email, unwrapped = verdict.reading.email, verdict.unwrapped
        names = thread.names(email, unwrapped)
        base = thread.subject_key(email, unwrapped)
        found = lookups.threads_by_name(owner, names, with_messages=bool(base) or unwrapped.is_forward)
        if base:
            window = thread.CLAIM_WINDOW if unwrapped.is_forward else thread.SUBJECT_WINDOW
            found |= lookups.threads_by_subject(owner, base, verdict.at - window - dt.timedelta(days=1), verdict.at + window, found)
        choice = thread.choose(email, unwrapped, list(found.values()), ours=house.ours)
        verdict.choice = choice
        verdict.trace += choice.trace
        verdict.conversation, verdict.absorbed = thread.conversation(lookups.conversations(names, choice.thread_id), "")
        verdict.fact = thread.fact(email, unwrapped, choice)

    def _contacts(self, verdict: Verdict, house: Ours) -> None:
        email, unwrapped, envelope = verdict.reading.email, verdict.unwrapped, verdict.envelope
        wanted = {form for a in contacts.addresses(email, unwrapped, envelope) for form in contacts.forms(a, house)}
        known = lookups.contacts_by_address(wanted)
        try:
            verdict.contacts = contacts.plan(email, unwrapped, envelope, house, known)
        except Ignored as ignored:
            verdict.contacts = contacts.sort_out(email, unwrapped, envelope, house, known)
            verdict.stop("ignored", ignored.code, ignored.params)
            verdict.trace.append(TraceEntry("contacts", "ignore", ignored.code, ignored.params))
        verdict.trace += verdict.contacts.trace

    def _link(self, verdict: Verdict, settings: Company) -> None:
        owner = verdict.attribution.rep_id
        if owner is None:
            return
        rep = lookups.habits_of(owner)
        first = verdict.first
        threads = (first.thread_id,) if first is not None else _threads_of(verdict.choice)
        standing = lookups.standing_of(threads[0]) if threads else None
        verdict.sharing = standing.sharing if standing else rep.default_sharing
        record_ids = {*verdict.admission.record_ids, *(first.record_ids if first is not None else ())}
        started_at = _latest(standing.started_at, standing.arrived) if standing else _latest(verdict.at, verdict.arrived)
        by_contact = {p.contact.id: Participant(p.key, p.name, p.contact) for p in verdict.contacts.counterparties if p.contact}
        linked = lookups.links_of(threads, verdict.duplicate_of)
        for contact in linked.contacts:
            by_contact.setdefault(contact.id, Participant(contact.addresses[0] if contact.addresses else "", contact.name, contact))
        strangers = [Participant(p.key, p.name) for p in verdict.contacts.counterparties if p.contact is None]
        written = _latest(verdict.at, verdict.arrived)
        records = lookups.records_of(list(by_contact), written)
        by_address = lookups.records(record_ids, written)
        policy = self._plugins.policies.get(settings.policy.name)
        case = link.case(
            started_at, [*by_contact.values(), *strangers], records, options=self._options(settings), subject=verdict.reading.email.subject
        )
        answers = self._answers(verdict, settings.policy.name, case) if rep.auto_link else []
        verdict.case = case
        verdict.policy = settings.policy.name
        verdict.policy_version = policy.version if policy else ""
        verdict.links = link.fold(
            case,
            answers,
            policy=settings.policy.name,
            exclusive=policy.exclusive if policy else True,
            organisations=lookups.organisations({p.contact.organisation_id for p in by_contact.values() if p.contact and p.contact.organisation_id}),
            by_address=by_address,
            present=linked.present,
            removed=linked.removed,
            auto=rep.auto_link,
            rep=rep.name,
            waits=verdict.unwrapped.waits,
        )
        verdict.trace += verdict.links.trace

    def _options(self, settings: Company) -> Mapping[str, Any]:
        """The policy's options as its own model completes them."""
        chosen, options = self._options_of
        if chosen is not settings.policy:  # it stays the same object until the settings are read again
            options = self._completed(settings)
            self._options_of = (settings.policy, options)
        return options

    def _completed(self, settings: Company) -> Mapping[str, Any]:
        policy = self._plugins.policies.get(settings.policy.name)
        if policy is None or policy.options is None:
            return dict(settings.policy.options)
        try:
            return policy.options.model_validate(settings.policy.options).model_dump(mode="json")
        except ValueError:
            return policy.options().model_dump(mode="json")

    def _answers(self, verdict: Verdict, name: str, case: LinkCase) -> list[Link | Skip] | None:
        """The policy's answers; None when it failed, which is logged and shown, and stops nothing."""
        if name not in self._plugins.policies:
            return None
        if not case.records:
            return []
        try:
            words = self._ask(name, case)
        except Exception as error:
            log.error("the policy %s failed: %s", name, error)
            verdict.policy_error = _kind_of(error)
            return None
        by_id = {record.id: record for record in case.records}
        return [_answer(word, by_id[word.record_id]) for word in words if word.record_id in by_id]


def _kind_of(error: Exception) -> str:
    """The kind of an error without its text, also of one that came through the fence as "ValueError: text"."""
    if not isinstance(error, Broken):
        return type(error).__name__
    kind = error.detail.partition(":")[0].strip()
    return kind if kind.isidentifier() else error.code


_UNATTRIBUTED = {"ambiguous-sender": "ambiguous-sender", "suspended-rep": "suspended-rep"}


def _answer(word: Word, record: Record) -> Link | Skip:
    return Link(record, word.reason, word.params) if word.linked else Skip(record, word.reason, word.params, word.offer)


class FencedReader:
    """Reads mails and asks policies in a limited child. One a thread.

    While a mail takes long to read, others are filed, and their policies are asked in a second child.
    """

    def __init__(self, fence: Fence) -> None:
        self._pen: Pen = fence.pen()
        self._second: Pen = fence.pen()

    def read(
        self, raw: bytes, envelope: Envelope, trust: Trust, now: dt.datetime, zone: Mapping[str, Any] | None = None, on_slow: Callable[[], None] | None = None
    ) -> Reading:
        """The mail as read. Raises Broken."""
        return decode_reading(self._pen.run(encode_job(Job(read=ReadJob(envelope, trust, now, zone))), raw, on_slow=on_slow))

    def ask(self, policy: str, case: LinkCase) -> Sequence[Word]:
        pen = self._second if self._pen.busy else self._pen
        return decode_choices(pen.run(encode_job(Job(policy=PolicyJob(policy, case))), seconds=POLICY_SECONDS))

    def close(self) -> None:
        self._pen.close()
        self._second.close()


def make_fence(settings: Settings) -> Fence:
    """The fence of a process, with what its children need to know."""
    return Fence("core.reader:Reader", {"plugins_dir": str(settings.plugins_dir or ""), "dns": settings.dns})


class Pipeline:
    """Brings claimed mails to their end. One a worker thread."""

    def __init__(
        self, settings: Settings, plugins: Plugins, seal: Seal, fence: Fence, clock: Callable[[], dt.datetime], worker: str,
        times: StepTimes | None = None, ring: Callable[[], object] = lambda: None, took_long: Callable[[int], None] = lambda change: None,
        filed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._took_long = took_long  # told +1 when a mail begins to take long, -1 when it has ended
        self._filed = filed  # called after mails were filed: what they queued for others is committed
        self._long = False
        self._times = times or StepTimes()
        self._settings = settings
        self._clock = clock
        self._worker = worker
        self._seal = seal
        self._plugins = plugins
        self._reader = FencedReader(fence)
        self._judge = Judge(plugins, seal, self._reader.ask)
        self._ring = ring
        self._todo: deque[Claim] = deque()
        self._waiting: list[tuple[Claim, Reading]] = []
        self._ends: list[inbound.End] = []

    def close(self) -> None:
        self._reader.close()

    def work(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Claim and finish mails until none is due; how many there were."""
        done = 0
        with connected():
            while not stop():
                claims = inbound.claim(self._worker, self._clock())
                if not claims:
                    return done
                self._finish(claims)
                done += len(claims)
        return done

    def _finish(self, claims: Sequence[Claim]) -> None:
        """Read the mails one after the other and file some of them in one transaction; the marks in the intake follow.

        A mail that takes long to read does not hold up its neighbours: what was read is filed, the rest goes to others.
        """
        together = TOGETHER if is_sqlite() else 1  # PostgreSQL has no single writer whose commits would be worth sharing
        self._todo.extend(claims)
        while self._todo:
            claim = self._todo.popleft()
            try:
                reading = self._read(claim)
            except Exception as error:
                self._end(claim, self._failed(claim, error))
                continue
            if isinstance(reading, Reading):
                self._waiting.append((claim, reading))
            else:
                self._end(claim, reading)
            if len(self._waiting) >= together:
                self._commit()
        self._commit()

    def _slow(self) -> None:
        """The mail being read takes long: file what waits and give away what was not begun."""
        self._long = True
        self._took_long(+1)
        self._commit()
        if self._todo:
            rest = list(self._todo)
            self._todo.clear()
            inbound.hand_back(rest)
            self._ring()

    def _end(self, claim: Claim, end: tuple[str, str] | None) -> None:
        if end is not None:
            self._ends.append(inbound.End(claim.id, claim.token, *end))

    def _commit(self) -> None:
        """File what was read; when one mail breaks the transaction, each by itself."""
        waiting, self._waiting = self._waiting, []
        try:
            if len(waiting) > 1:
                self._file_together(waiting)
            else:
                self._file_each(waiting)
        finally:
            ends, self._ends = self._ends, []
            if ends:
                self._filed()
                inbound.mark(ends)

    def _file_together(self, waiting: list[tuple[Claim, Reading]]) -> None:
        try:
            with write():
                ends = [(claim, self._file(claim, reading)) for claim, reading in waiting]
        except Exception:
            log.info("filing %s mails together failed; each is filed by itself", len(waiting), exc_info=True)
            self._file_each(waiting)
            return
        for claim, end in ends:
            self._end(claim, end)

    def _file_each(self, waiting: list[tuple[Claim, Reading]]) -> None:
        for claim, reading in waiting:
            try:
                with write():
                    end = self._file(claim, reading)
            except Exception as error:
                end = self._failed(claim, error)
            self._end(claim, end)

    def _failed(self, claim: Claim, error: Exception) -> tuple[str, str] | None:
        """An orderly end for every failure: later, or held as unprocessable."""
        if isinstance(error, Broken):
            log.warning("mail %s could not be read: %s %s", claim.id, error.code, error.detail)
            return self._crashed(claim, error.code, error.detail)
        if is_busy(error):
            log.warning("mail %s waits for the database: %s", claim.id, error)
            inbound.later(claim, "intake-trouble", self._clock() + dt.timedelta(seconds=30))
            return None
        log.error("mail %s broke a step", claim.id, exc_info=error)
        return self._crashed(claim, "unprocessable", type(error).__name__)

    def _crashed(self, claim: Claim, code: str, detail: str) -> tuple[str, str] | None:
        if claim.crashes + 1 < inbound.CRASHES and claim.attempts < inbound.CLAIMS:
            inbound.later(claim, code, self._clock() + dt.timedelta(seconds=10 * 3**claim.crashes), crashed=True)
            return None
        reason = code if code in ("read-timeout", "read-memory") else "unprocessable"
        params = {"attempts": claim.crashes + 1, "detail": detail[:200], "seconds": 30}
        return filing.write_bare_outcome(claim, "held", "unprocessable", {**params, "cause": reason}, self._clock())

    def run(self, claim: Claim) -> tuple[str, str] | None:
        """Bring one claimed mail to its end: (state, reason), or None when it waits for a retry or is no longer ours."""
        reading = self._read(claim)
        if not isinstance(reading, Reading):
            return reading
        with write():
            return self._file(claim, reading)

    def _read(self, claim: Claim) -> Reading | tuple[str, str] | None:
        """The mail as read inside the fence, or its end when nothing is left to read. Raises Broken."""
        ended = filing.end_of(claim.id)
        if ended is not None:
            return ended
        raw = inbound.raw(claim.sha256)
        if raw is None:
            return filing.write_bare_outcome(claim, "held", "unprocessable", {"attempts": 1, "detail": "the raw bytes are gone"}, self._clock())
        if claim.attempts > inbound.CLAIMS:  # every worker that began it died: it must not take the next one down, too
            return filing.write_bare_outcome(claim, "held", "unprocessable", {"attempts": inbound.CLAIMS, "detail": "its workers died"}, self._clock())
        try:
            return self._reader.read(raw, claim.envelope, trust_of(self._settings, company()), claim.received_at, on_slow=self._slow)
        finally:
            if self._long:
                self._long = False
                self._took_long(-1)

    def _file(self, claim: Claim, reading: Reading) -> tuple[str, str] | None:
        """Decide about a read mail and write all effects, inside the caller's transaction."""
        began = time.perf_counter()
        sender = reading.email.identity.mailbox
        filing.lock_owner(address_key(sender.address) if sender else "", claim.claimed_for)
        verdict = self._judge.consider(reading, claim.envelope, claim.received_at, released_by=claim.released_by, claimed_for=claim.claimed_for)
        self._note_troubles(verdict)
        if verdict.state == "retry":
            return self._retry(claim, verdict)
        if not inbound.holds(claim):
            return None  # the lease ran out and another worker has it
        filing.write(claim, verdict, self._clock())
        notices.about_dropped(claim.id, verdict, self._settings, self._seal, self._clock())
        spent = time.perf_counter() - began
        self._times.add({**reading.seconds, "file": spent})
        log.info("mail %s %s (%s), filed in %.0f ms", claim.id, verdict.state, verdict.reason, 1000 * spent)
        return verdict.state, verdict.reason

    def _note_troubles(self, verdict: Verdict) -> None:
        """Plugins run in this process and its readers; what failed there is kept for the pages."""
        found = [("register_link_policies", verdict.policy, verdict.policy_error)]
        found += [("register_checks", check.method, str(check.params.get("error"))) for check in verdict.reading.judgement.checks if check.reason == "check-failed"]
        for hook, name, error in found:
            maker = self._plugins.maker_of(hook, name)
            if maker and error:
                plugin_states.failed(maker, error, self._clock())

    def _retry(self, claim: Claim, verdict: Verdict) -> tuple[str, str] | None:
        now = self._clock()
        if now - claim.received_at > inbound.GIVE_UP:
            verdict.state, verdict.reason = "held", "auth-dns-gave-up"
            filing.write(claim, verdict, now)
            return "held", "auth-dns-gave-up"
        step = inbound.BACKOFF[min(claim.retries, len(inbound.BACKOFF) - 1)]
        inbound.later(claim, verdict.reason, now + step)
        return None


