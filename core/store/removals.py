"""Records that are deleted by a person, so that it can be taken back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from core.store import records, undo
from core.store.company import beat
from core.store.database import write
from core.store.fields import UTC, from_micros, to_micros
from core.store.models import Event, Record, RecordHistory
from core.store.visibility import COMPANY_PULSE, Viewer, is_id


def delete_record(viewer: Viewer, kind: str, record_id: int) -> str | None:
    """As `records.delete`; the undo token, or None when there is no such record."""
    with write():
        record = Record.select().where(Record.id == record_id, Record.kind == kind).first() if is_id(record_id) else None
        if record is None or not records.delete(viewer, kind, record_id):
            return None
        facts = {"record": record_id, "status": record.status, "closed_at": to_micros(record.closed_at) if record.closed_at else None, "history": _latest(record_id)}
        return undo.offer(viewer, "delete-record", facts)


def _latest(record_id: int) -> int | None:
    """The newest line of a record's history."""
    row = RecordHistory.select(RecordHistory.id).where(RecordHistory.record == record_id).order_by(RecordHistory.id.desc()).tuples().first()
    return None if row is None else int(row[0])


@undo.reverses("delete-record")
def _as_if_never(viewer: Viewer, facts: dict[str, Any]) -> bool:
    """The record is what it was, as if it had never been deleted; not when its status was changed again since then."""
    record = Record.select().where(Record.id == facts["record"], Record.status == "deleted").first()
    if record is None or _latest(record.id) != facts["history"]:
        return False
    now = dt.datetime.now(UTC)
    closed_at = None if facts["closed_at"] is None else from_micros(facts["closed_at"])
    Record.update(status=facts["status"], closed_at=closed_at, updated_at=now).where(Record.id == record.id).execute()
    RecordHistory.delete().where(RecordHistory.id == facts["history"]).execute()
    Event.insert(name=f"{record.kind}.changed", at=now, facts={"id": record.id, "by": f"rep:{viewer.email}"}).execute()
    beat(COMPANY_PULSE)
    return True
