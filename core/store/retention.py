"""What is past its time goes: held and ignored mail, raw bytes, old events, requests and links that were used up.

An attachment is a part of the raw mail; only when raw expires is it copied out. Everything goes in small portions, so that
no transaction is long.
"""

from __future__ import annotations

import datetime as dt

from core.mail.parse import attachment_bytes
from core.store import outbox, plain
from core.store.company import MEGABYTE, Company, beat
from core.store.database import intake_db, run_sql, write
from core.store.fields import to_micros
from core.store.inbound import raw, settle
from core.store.models import Attachment, Event, Message, OneTimeLink, Throttle, Undo

PORTION = 200
STRANGERS = ("unattributed", "unknown-sender")


def expire(company: Company, now: dt.datetime) -> dict[str, int]:
    """Remove one portion of everything that has expired; how many rows of each kind."""
    return {
        "held": _outcomes("held", "reason NOT IN (?, ?)", now - dt.timedelta(days=company.keep_held_days)),
        "old_strangers": _outcomes("held", "reason IN (?, ?)", now - dt.timedelta(days=company.keep_strangers_days)),
        "strangers": _strangers(company),
        "ignored": _outcomes("ignored", "reason NOT IN (?, ?)", now - dt.timedelta(days=company.keep_ignored_days)),
        "raw": _raw(now - dt.timedelta(days=company.keep_raw_days)) if company.keep_raw_days else 0,
        "small": _small(now),
    }


def _outcomes(state: str, whose: str, before: dt.datetime) -> int:
    """Held and ignored mails whose time has come. A size of zero says that the bytes are gone."""
    found = plain.rows(
        f"SELECT inbound_id FROM outcome WHERE state = ? AND decided_at < ? AND size > 0 AND {whose} LIMIT ?", state, to_micros(before), *STRANGERS, PORTION
    )
    return _forget([row[0] for row in found])


def _strangers(company: Company) -> int:
    """Mail of people nobody knows is bounded in number and bytes; the newest stays. One domain never takes more than a
    quarter of the places, so that it cannot push out all others (F22)."""
    quarter = max(company.strangers_limit // 4, 1)
    found = plain.rows(
        "SELECT inbound_id FROM (SELECT inbound_id, in_domain, ROW_NUMBER() OVER newest AS place, SUM(size) OVER newest AS bytes FROM"
        " (SELECT inbound_id, size, ROW_NUMBER() OVER (PARTITION BY sender_domain ORDER BY inbound_id DESC) AS in_domain"
        " FROM outcome WHERE state = 'held' AND reason IN (?, ?) AND size > 0) AS numbered"
        " WINDOW newest AS (ORDER BY CASE WHEN in_domain > ? THEN 1 ELSE 0 END, inbound_id DESC)) AS listed"
        " WHERE in_domain > ? OR place > ? OR bytes > ? ORDER BY inbound_id LIMIT ?",
        *STRANGERS, quarter, quarter, company.strangers_limit, company.strangers_megabytes * MEGABYTE, PORTION,
    )  # fmt: skip
    return _forget([row[0] for row in found])


def remove(inbound_id: int) -> bool:
    """Remove the content of one held or ignored mail by a person's word; False when it is neither, or empty already."""
    with write():
        found = plain.rows("UPDATE outcome SET state = 'ignored', reason = 'removed' WHERE inbound_id = ? AND state IN ('held', 'ignored') AND size > 0 RETURNING inbound_id", inbound_id)
    if found:
        _forget([inbound_id])
    return bool(found)


def _forget(ids: list[int]) -> int:
    """They keep their row, for the sums must fit, and lose their content. A held one ends as ignored: nobody can decide
    about it any more. One that a person has sent on its way meanwhile is left alone."""
    if not ids:
        return 0
    with write():
        gone = [
            row[0]
            for row in plain.rows(
                "UPDATE outcome SET size = 0, subject = '', sender = '', params = '{}', reason = CASE WHEN state = 'held' THEN 'expired' ELSE reason END, state = 'ignored'"
                f" WHERE inbound_id IN ({plain.marks(ids)}) AND state IN ('held', 'ignored') RETURNING inbound_id",
                *ids,
            )
        ]
        if gone:
            plain.do(f"DELETE FROM trace WHERE inbound_id IN ({plain.marks(gone)})", *gone)
            beat("mail")
    for ident in gone:
        settle(ident)
        _drop_raw(ident)
    return len(ids)


def _drop_raw(inbound_id: int) -> None:
    """Remove the bytes, unless another delivery of the same bytes still needs them."""
    with write(intake_db):
        digest = run_sql(intake_db, "SELECT sha256 FROM inbound WHERE id = ?", (inbound_id,)).fetchone()
        same = [row[0] for row in run_sql(intake_db, "SELECT id FROM inbound WHERE sha256 = ?", digest or ("",)).fetchall()]
        # One that has not ended, or was sent on its way again, has no outcome; one that has its content has a size.
        portions = [same[at : at + 500] for at in range(0, len(same), 500)]
        forgotten = sum(plain.row(f"SELECT COUNT(1) FROM outcome WHERE size = 0 AND inbound_id IN ({plain.marks(some)})", *some)[0] for some in portions)
        if same and forgotten == len(same):
            run_sql(intake_db, "DELETE FROM raw WHERE sha256 = ?", digest)


OLD_BYTES = (
    "SELECT r.sha256 FROM raw r WHERE r.stored_at < ? AND EXISTS (SELECT 1 FROM inbound i WHERE i.sha256 = r.sha256 AND i.state = 'logged')"
    " AND NOT EXISTS (SELECT 1 FROM inbound i WHERE i.sha256 = r.sha256 AND i.state NOT IN ('logged', 'ignored')) LIMIT 20"
)


def _raw(before: dt.datetime) -> int:
    """Raw bytes of logged mails: the attachments are copied out first."""
    rows = run_sql(intake_db, OLD_BYTES, (to_micros(before),)).fetchall()
    for (digest,) in rows:
        _copy_attachments(digest)
        with write(intake_db):
            run_sql(intake_db, "DELETE FROM raw WHERE sha256 = ?", (digest,))
    return len(rows)


def _copy_attachments(digest: str) -> None:
    content = raw(digest)
    if content is None:
        return
    deliveries = [ident for (ident,) in run_sql(intake_db, "SELECT id FROM inbound WHERE sha256 = ? AND state = 'logged'", (digest,)).fetchall()]
    query = Attachment.select(Attachment.id, Attachment.part).join(Message)
    query = query.where(Message.inbound_id.in_(deliveries), Attachment.content.is_null(), Attachment.note != "dropped")
    for ident, part in query.tuples():
        with write():
            Attachment.update(content=attachment_bytes(content, part)).where(Attachment.id == ident).execute()


def _small(now: dt.datetime) -> int:
    week, day = now - dt.timedelta(days=7), now - dt.timedelta(days=1)
    with write():
        gone = int(Event.delete().where(Event.at < now - dt.timedelta(days=30)).execute())
        gone += int(OneTimeLink.delete().where(OneTimeLink.created_at < week).execute())
        gone += int(Undo.delete().where(Undo.at < day).execute())
        gone += int(Throttle.delete().where(Throttle.at < day).execute())
        gone += outbox.forget(now - dt.timedelta(days=30), now)
    return gone
