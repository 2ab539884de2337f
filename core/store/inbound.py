"""Inbound messages: kept, claimed, brought to their end. The queries of the delivery section of the design.

States: received → processing → logged | held | ignored. A claim is a lease: whoever holds the token may finish the mail;
when the lease runs out, another worker may claim it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from peewee import fn

from core.store import leases
from core.store.database import intake_db, is_sqlite, main_db, run_sql, write
from core.store.fields import from_micros, to_micros
from core.store.models import Inbound, Outcome, Trace
from core.types import Envelope

LEASE = dt.timedelta(seconds=30)
CLAIMED_AT_ONCE = 16
# DNS trouble backs off for days (the last step is repeated until GIVE_UP).
BACKOFF = tuple(dt.timedelta(minutes=m) for m in (1, 5, 30, 120, 360))
GIVE_UP = dt.timedelta(days=5)
CRASHES = 3
CLAIMS = 10  # claims without an orderly end: workers that died; then it counts as a crash as well

_SURROGATES = re.compile("[\ud800-\udfff]")
_encode = msgspec.json.Encoder()
_decode_envelope = msgspec.json.Decoder(Envelope)


@dataclass(frozen=True)
class Claim:
    """One inbound message that this worker may bring to its end while the lease holds."""

    id: int
    token: str
    envelope: Envelope
    sha256: str
    size: int
    received_at: dt.datetime
    attempts: int
    crashes: int
    retries: int
    released_by: str | None
    claimed_for: int | None


def keep(batch: Sequence[tuple[bytes, Envelope]], now: dt.datetime) -> list[int]:
    """Write envelopes and raw bytes in one durable transaction; the ids in order.

    A delivery that carries a key its source has delivered before is that delivery: its id is given again.
    """
    ids: list[int] = []
    stamp = to_micros(now)
    with write(intake_db):
        for raw, envelope in batch:
            digest = hashlib.sha256(raw).hexdigest()
            run_sql(intake_db, "INSERT INTO raw (sha256, size, content, stored_at) VALUES (?, ?, ?, ?) ON CONFLICT (sha256) DO NOTHING", (digest, len(raw), raw, stamp))
            ids.append(_keep_one(envelope, digest, len(raw), stamp))
    return ids


def _keep_one(envelope: Envelope, digest: str, size: int, stamp: int) -> int:
    key = None if envelope.key is None else _SURROGATES.sub("\ufffd", envelope.key)
    row = run_sql(
        intake_db,
        "INSERT INTO inbound (source, instance, source_key, envelope, sha256, size, received_at, state, reason, attempts, crashes, retries)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'received', 'received', 0, 0, 0) ON CONFLICT (instance, source_key) DO NOTHING RETURNING id",
        (envelope.source, envelope.instance, key, _written(envelope), digest, size, stamp),
    ).fetchone()
    if row is None:
        row = run_sql(intake_db, "SELECT id FROM inbound WHERE instance = ? AND source_key = ?", (envelope.instance, key)).fetchone()
    return int(row[0])


def _written(envelope: Envelope) -> str:
    """The envelope as JSON. Bytes that were no text arrive as surrogates, which JSON cannot hold: they become U+FFFD."""
    try:
        return _encode.encode(envelope).decode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", json.dumps(msgspec.to_builtins(envelope), ensure_ascii=False))


_FIELDS = "id, lease_token, envelope, sha256, size, received_at, attempts, crashes, retries, released_by, claimed_for"
_FRESH = "state = 'received' AND attempts = 0 AND due_at IS NULL"
# A time further ahead than any that is ever set was written by a clock that has been put right since: nobody waits for it.
_AGAIN = (
    "((state = 'received' AND due_at <= ?) OR (state = 'received' AND due_at > ?) OR (state = 'processing' AND (lease_until < ? OR lease_until > ?)))"
)
# What was tried before has a due time, be it one long past: by that it is found however much fresh mail waits.
_GIVEN_BACK = (
    "state = 'received', reason = 'received', lease_until = NULL, lease_token = NULL, worker = NULL, attempts = attempts - 1,"
    " due_at = CASE WHEN attempts > 1 THEN COALESCE(due_at, 0) ELSE due_at END"
)


def claim(worker: str, now: dt.datetime, limit: int = CLAIMED_AT_ONCE) -> list[Claim]:
    """Claim fresh mails by the batch and at most one that was tried before: what may be poison never shares a batch.

    `attempts` rises before the work, so a mail that takes its worker down is counted.
    """
    if not anything_due(now):
        return []
    with write(intake_db):
        claims = _claim(worker, now, _FRESH, (), limit)
        claims += _claim(worker, now, _AGAIN, _bounds(now), 1)
    return claims


def anything_due(now: dt.datetime) -> bool:
    """True when a mail waits that may be claimed now."""
    row = run_sql(
        intake_db,
        f"SELECT 1 FROM inbound WHERE state IN ('received', 'processing') AND (({_FRESH}) OR {_AGAIN}) LIMIT 1",
        _bounds(now),
    ).fetchone()
    return row is not None


def _bounds(now: dt.datetime) -> tuple[int, int, int, int]:
    """What `_AGAIN` compares with: the soonest and the furthest due time, the soonest and the furthest end of a lease."""
    stamp = to_micros(now)
    return stamp, to_micros(now + GIVE_UP), stamp, to_micros(now + LEASE + leases.SKEW)


def _claim(worker: str, now: dt.datetime, condition: str, params: tuple[Any, ...], limit: int) -> list[Claim]:
    lock = "" if is_sqlite() else " FOR UPDATE SKIP LOCKED"
    rows = run_sql(
        intake_db,
        "UPDATE inbound SET state = 'processing', reason = 'processing', lease_until = ?, lease_token = ?, worker = ?, attempts = attempts + 1"
        f" WHERE id IN (SELECT id FROM inbound WHERE {condition} ORDER BY id LIMIT ?{lock}) RETURNING {_FIELDS}",
        (to_micros(now + LEASE), secrets.token_hex(8), worker, *params, limit),
    ).fetchall()
    return sorted((_as_claim(row) for row in rows), key=lambda c: c.id)


def _as_claim(row: Sequence[Any]) -> Claim:
    ident, token, envelope, digest, size, received_at, attempts, crashes, retries, released_by, claimed_for = row
    return Claim(
        int(ident), token, _decode_envelope.decode(envelope), digest, size, from_micros(received_at), attempts, crashes, retries, released_by, claimed_for
    )  # fmt: skip


def renew(worker: str, now: dt.datetime) -> int:
    """Push out the leases this worker holds; how many there were."""
    with write(intake_db):
        return run_sql(
            intake_db, "UPDATE inbound SET lease_until = ? WHERE worker = ? AND state = 'processing'", (to_micros(now + LEASE), worker)
        ).rowcount


def give_back(worker: str) -> int:
    """An orderly stop: what was claimed and not begun is for others at once, and counts as no attempt."""
    with write(intake_db):
        return run_sql(
            intake_db,
            f"UPDATE inbound SET {_GIVEN_BACK} WHERE worker = ? AND state = 'processing'",
            (worker,),
        ).rowcount


def hand_back(claims: Iterable[Claim]) -> None:
    """Give claims that were not begun to the other workers: no attempt was made."""
    with write(intake_db):
        for claim in claims:
            run_sql(
                intake_db,
                f"UPDATE inbound SET {_GIVEN_BACK} WHERE id = ? AND lease_token = ? AND state = 'processing'",
                (claim.id, claim.token),
            )


def holds(claim: Claim) -> bool:
    """True while the lease of this claim is still ours."""
    row = run_sql(intake_db, "SELECT 1 FROM inbound WHERE id = ? AND lease_token = ? AND state = 'processing'", (claim.id, claim.token)).fetchone()
    return row is not None


@dataclass(frozen=True)
class End:
    """How a mail ended, and the lease under which that was seen: after a person has sent it on the way again, it counts no more."""

    id: int
    token: str | None
    state: str
    reason: str


def mark(ends: Iterable[End]) -> None:
    """Mark mails with their final state after the main transaction; safe to repeat.

    A lease counts once. Without one a mail that was let in again meanwhile looks as it did before, so its outcome is looked at once more.
    """
    given = list(ends)
    for end in given:
        if end.token is None:
            settle(end.id)
    with write(intake_db):
        for end in given:
            if end.token is None:
                continue
            run_sql(
                intake_db,
                "UPDATE inbound SET state = ?, reason = ?, lease_until = NULL, lease_token = NULL, worker = NULL, due_at = NULL, attempts = 0"
                " WHERE id = ? AND state IN ('received', 'processing') AND lease_token = ?",
                (end.state, end.reason, end.id, end.token),
            )


def later(claim: Claim, reason: str, due: dt.datetime, *, crashed: bool = False) -> None:
    """Give a mail back to be tried at `due`: an orderly end of the claim."""
    with write(intake_db):
        run_sql(
            intake_db,
            "UPDATE inbound SET state = 'received', reason = ?, due_at = ?, lease_until = NULL, lease_token = NULL, worker = NULL, attempts = 0,"
            f" {'crashes = crashes + 1' if crashed else 'retries = retries + 1'} WHERE id = ? AND lease_token = ?",
            (reason, to_micros(due), claim.id, claim.token),
        )


def raw(digest: str) -> bytes | None:
    """The bytes of a mail as received, or None when they have expired."""
    row = run_sql(intake_db, "SELECT content FROM raw WHERE sha256 = ?", (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def raw_of(inbound_id: int) -> bytes | None:
    row = run_sql(intake_db, "SELECT sha256 FROM inbound WHERE id = ?", (inbound_id,)).fetchone()
    return None if row is None else raw(row[0])


_EPOCH = from_micros(0)
_AFRESH: dict[str, Any] = {
    "state": "received", "reason": "received", "due_at": None, "attempts": 0, "crashes": 0, "retries": 0, "lease_until": None, "lease_token": None, "worker": None,
}  # fmt: skip


# --- a person decides ---------------------------------------------------------------------------------------------


def again(inbound_id: int, *, released_by: str | None = None, claimed_for: int | None = None) -> bool:
    """Let a held or ignored mail walk the way again; False when it is not in such a state.

    With `released_by` it passes authentication by a person's word; with `claimed_for` it belongs to that rep.
    """
    given: dict[str, Any] = {name: value for name, value in (("released_by", released_by), ("claimed_for", claimed_for)) if value is not None}
    if not Outcome.select().where(Outcome.inbound_id == inbound_id, Outcome.state != "logged").exists():
        return False
    with write(intake_db):  # an ended mail with a due time is on its way back: `resume` finds it when we die between the two files
        Inbound.update(due_at=_EPOCH, **given).where(Inbound.id == inbound_id, Inbound.state.in_(("held", "ignored"))).execute()
    with write():
        gone = Outcome.delete().where(Outcome.inbound_id == inbound_id, Outcome.state != "logged").execute()
        if gone:
            Trace.delete().where(Trace.inbound_id == inbound_id).execute()  # the next run writes its own
    if not gone:
        return False
    with write(intake_db):
        # A worker that has not yet marked the end that was just taken back must not mark it any more.
        Inbound.update(**_AFRESH, **given).where(Inbound.id == inbound_id, Inbound.state != "logged").execute()
    return True


def resume() -> int:
    """Send on its way what a crash left between the two steps of `again`. One whose outcome still stands ends as it had.

    Mail that a worker of an older version has given back after a crash gets the due time by which it is found.
    """
    with write(intake_db):
        run_sql(intake_db, "UPDATE inbound SET due_at = 0 WHERE state = 'received' AND due_at IS NULL AND attempts > 0")
        return int(Inbound.update(**_AFRESH).where(Inbound.state.in_(("held", "ignored")), Inbound.due_at.is_null(False)).execute())


def retry(inbound_id: int) -> bool:
    """Judge a held or ignored mail once more with today's rules; False when it is in no such state."""
    return again(inbound_id)


def release(inbound_id: int, by: str, rep_id: int | None = None) -> bool:
    """Log a held or ignored mail by the word of `by` (a rep's address), perhaps as the mail of rep `rep_id`."""
    return again(inbound_id, released_by=by, claimed_for=rep_id)


def settle(inbound_id: int) -> None:
    """Mark an ended mail as its outcome says it ended, after a person or its age has changed that. One without an outcome is on its way and left alone.

    The outcome cannot change meanwhile: main is locked before the intake, as everywhere, so whoever sends the mail on its
    way again comes before this and took the outcome away, or after it and marks the intake afresh.
    """
    lock = "" if is_sqlite() else " FOR UPDATE"
    with write():
        ended = run_sql(main_db, f"SELECT state, reason FROM outcome WHERE inbound_id = ?{lock}", (inbound_id,)).fetchone()
        if ended is None:
            return
        with write(intake_db):  # the due time of one that had ended stays: `resume` needs it
            run_sql(
                intake_db,
                "UPDATE inbound SET due_at = CASE WHEN state IN ('received', 'processing') THEN NULL ELSE due_at END,"
                " state = ?, reason = ?, lease_until = NULL, lease_token = NULL, worker = NULL, attempts = 0 WHERE id = ?",
                (*ended, inbound_id),
            )


# --- counting -----------------------------------------------------------------------------------------------------


def counts(now: dt.datetime) -> dict[str, Any]:
    """Inbound messages by state: accepted is their sum; `oldest_waiting_s` is 0 when nothing waits."""
    by_state = {"received": 0, "processing": 0, "logged": 0, "held": 0, "ignored": 0}
    for state, number in Inbound.select(Inbound.state, fn.COUNT(1)).group_by(Inbound.state).tuples():
        by_state[state] = int(number)
    oldest = Inbound.select(fn.MIN(Inbound.received_at)).where(Inbound.state.in_(("received", "processing"))).scalar(as_tuple=True)
    began = oldest[0] if oldest else None
    if began is not None and not isinstance(began, dt.datetime):
        began = from_micros(int(began))
    waiting = round((now - began).total_seconds(), 1) if began else 0
    return {"accepted": sum(by_state.values()), **by_state, "oldest_waiting_s": max(waiting, 0)}


def unmarked(limit: int = 500) -> list[End]:
    """Mails whose end stands in main.db while intake.db does not know it yet (a crash between the two commits)."""
    waiting = dict(
        Inbound.select(Inbound.id, Inbound.lease_token).where(Inbound.state.in_(("received", "processing"))).order_by(Inbound.id).limit(limit).tuples()
    )
    if not waiting:
        return []
    found = Outcome.select(Outcome.inbound_id, Outcome.state, Outcome.reason).where(Outcome.inbound_id.in_(list(waiting))).tuples()
    return [End(int(ident), waiting[ident], state, reason) for ident, state, reason in found]


def orphans(limit: int = 1000) -> dict[str, list[int]]:
    """What has no partner in the other file: ended in intake without an outcome or otherwise than the outcome says, outcomes
    without an inbound message, mails without raw bytes."""
    ended: list[int] = []
    differing: list[int] = []
    last = 0
    while True:
        query = Inbound.select(Inbound.id, Inbound.state).where(Inbound.id > last, Inbound.state.in_(("logged", "held", "ignored")))
        marked = dict(query.order_by(Inbound.id).limit(500).tuples())
        if not marked:
            break
        said = dict(Outcome.select(Outcome.inbound_id, Outcome.state).where(Outcome.inbound_id.in_(list(marked))).tuples())
        ended += [i for i in marked if i not in said]
        differing += [i for i in marked if said.get(i, marked[i]) != marked[i]]
        last = max(marked)
        if len(ended) + len(differing) >= limit:
            break
    strangers: list[int] = []
    last = 0
    while True:
        ids = [r[0] for r in Outcome.select(Outcome.inbound_id).where(Outcome.inbound_id > last).order_by(Outcome.inbound_id).limit(500).tuples()]
        if not ids:
            break
        known = {r[0] for r in Inbound.select(Inbound.id).where(Inbound.id.in_(ids)).tuples()}
        strangers += [i for i in ids if i not in known]
        last = ids[-1]
        if len(strangers) >= limit:
            break
    rawless = run_sql(
        intake_db,
        "SELECT i.id FROM inbound i LEFT JOIN raw r ON r.sha256 = i.sha256 WHERE r.sha256 IS NULL AND i.state IN ('received', 'processing', 'held') LIMIT ?",
        (limit,),
    ).fetchall()
    return {"ended_without_outcome": ended, "ended_differently": differing, "outcome_without_inbound": strangers, "waiting_without_raw": [int(r[0]) for r in rawless]}


def repair(now: dt.datetime) -> int:
    """Mend what is safe: mark what has ended as its outcome says, and let walk again what was marked without an outcome."""
    ends = unmarked()
    if ends:
        mark(ends)
    found = orphans()
    for ident in found["ended_differently"]:
        settle(ident)
    lost = found["ended_without_outcome"]
    if lost:
        with write(intake_db):
            Inbound.update(state="received", reason="received", attempts=0).where(Inbound.id.in_(lost)).execute()
    return len(ends) + len(found["ended_differently"]) + len(lost)


