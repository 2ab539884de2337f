"""The outbox: mail that waits to be sent. One row a key, bounded tries, and nothing that goes out twice by rule.

A notice about a mail is unique by (inbound message, kind), and an address gets one of a kind in 24 hours; what a person
who is signed in asks for (a confirmation, a password) may be asked for again a few times. Bodies are sealed, because they
may hold one-time links, and are emptied as soon as the mail is sent or given up.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from core.store import plain
from core.store.database import write
from core.store.fields import from_micros, packed, to_micros, unpacked
from core.store.seal import Seal

DAY = dt.timedelta(days=1)
LIVES = DAY  # a one-time link lives as long; a notice older than that is no news
LEASE = dt.timedelta(minutes=5)  # a sender that died: another may try after this time
BACKOFF = tuple(dt.timedelta(minutes=m) for m in (1, 5, 15, 60, 180, 360))
ASKED = "password-asked"  # by somebody who is not signed in, for an address that may be nobody's
ONE_A_DAY = 1
ASKED_A_DAY = 3  # of what goes to an account of the company: a mail may be lost, but nobody is flooded


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice that this sender may send while its lease holds."""

    id: int
    kind: str
    address: str
    subject: str
    body: str
    created_at: dt.datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the pages say about the outbox."""

    number: int  # not sent yet
    oldest: dt.datetime | None
    trouble: str  # what went wrong last with one that waits; "" when nothing did
    given_up: int  # in the last 7 days


def enter(
    kind: str, address: str, subject: str, body: str, seal: Seal, now: dt.datetime, *, inbound_id: int | None = None, a_day: int = ONE_A_DAY
) -> bool:
    """Queue a mail, in the caller's transaction or in one of its own. False when this address has had its share of the kind."""
    day = now.strftime("%Y-%m-%d")
    with write():
        times = plain.rows("SELECT created_at, key FROM notice WHERE address = ? AND kind = ? ORDER BY id DESC LIMIT 20", address, kind)
        if sum(stamp > to_micros(now - DAY) for stamp, _ in times) >= a_day:
            return False
        # Two that come at the same moment on PostgreSQL make the same key, and one of them loses.
        number = 1 + sum(f":{day}:" in key for _, key in times)
        values = {
            "inbound_id": inbound_id, "kind": kind, "address": address, "key": f"{kind}:{address}:{day}:{number}", "subject": subject,
            "body": seal.close(body), "created_at": now, "attempts": 0, "trouble": "",
        }  # fmt: skip
        return plain.insert("notice", values, ending=" ON CONFLICT DO NOTHING RETURNING id") is not None


def due(now: dt.datetime, limit: int = 50) -> list[int]:
    """The mails whose time has come, oldest first."""
    found = plain.rows(
        "SELECT id FROM notice WHERE sent_at IS NULL AND failed IS NULL AND (due_at IS NULL OR due_at <= ?) ORDER BY id LIMIT ?", to_micros(now), limit
    )
    return [int(row[0]) for row in found]


def address_of(notice_id: int, kind: str) -> str | None:
    """Whom a mail of this kind is for; None when it is of another kind."""
    row = plain.row("SELECT address FROM notice WHERE id = ? AND kind = ?", notice_id, kind)
    return None if row is None else str(row[0])


def claim(notice_id: int, seal: Seal, now: dt.datetime) -> Letter | None:
    """Take a mail for sending: None when another sender has it. Counted before the work."""
    with write():
        row = plain.row(
            "UPDATE notice SET attempts = attempts + 1, due_at = ? WHERE id = ? AND sent_at IS NULL AND failed IS NULL"
            " AND (due_at IS NULL OR due_at <= ?) RETURNING id, kind, address, subject, body, created_at, attempts",
            to_micros(now + LEASE), notice_id, to_micros(now),
        )  # fmt: skip
    if row is None:
        return None
    ident, kind, address, subject, body, created_at, attempts = row
    return Letter(int(ident), kind, address, subject, seal.open(body), from_micros(created_at), int(attempts))


def sent(letter: Letter, now: dt.datetime) -> None:
    with write():
        plain.do("UPDATE notice SET sent_at = ?, body = '', trouble = '' WHERE id = ?", to_micros(now), letter.id)


def later(letter: Letter, trouble: str, now: dt.datetime) -> None:
    """Try again after a growing while; given up when it would come too late."""
    due_at = now + BACKOFF[min(letter.attempts, len(BACKOFF)) - 1]
    if due_at > letter.created_at + LIVES:
        give_up(letter, trouble)
        return
    with write():
        plain.do("UPDATE notice SET due_at = ?, trouble = ? WHERE id = ?", to_micros(due_at), packed(trouble), letter.id)


def give_up(letter: Letter, trouble: str) -> None:
    with write():
        plain.do("UPDATE notice SET failed = ?, body = '' WHERE id = ?", packed(trouble), letter.id)


def waiting(now: dt.datetime) -> Waiting:
    """How the outbox stands, for the pages and the API."""
    unsent = "sent_at IS NULL AND failed IS NULL"
    number, oldest = plain.row(f"SELECT COUNT(1), MIN(created_at) FROM notice WHERE {unsent}")
    trouble = plain.row(f"SELECT trouble FROM notice WHERE {unsent} AND trouble != '' ORDER BY due_at DESC LIMIT 1")
    given_up = plain.row("SELECT COUNT(1) FROM notice WHERE failed IS NOT NULL AND created_at > ?", to_micros(now - 7 * DAY))[0]
    return Waiting(int(number), None if oldest is None else from_micros(oldest), unpacked(trouble[0]) if trouble else "", int(given_up))


def forget(before: dt.datetime, now: dt.datetime) -> int:
    """Remove the rows of mails that were sent or given up before; how many there were.

    What strangers typed as their address is kept no longer than it counts.
    """
    done = "(sent_at IS NOT NULL OR failed IS NOT NULL)"
    with write():
        gone = plain.do(f"DELETE FROM notice WHERE created_at < ? AND {done}", to_micros(before))
        return gone + plain.do(f"DELETE FROM notice WHERE kind = ? AND created_at < ? AND {done}", ASKED, to_micros(now - DAY))
