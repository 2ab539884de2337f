"""Raw mail that is past its time goes; what pages and the API show of it stays, attachments with it."""

from __future__ import annotations

import datetime as dt

from core.store import inbound, retention
from core.store.company import company
from core.store.database import connected, intake_db
from core.store.models import Attachment, Message
from tests.web.world import World

PDF = b"%PDF-1.7 the drawing"


def test_raw_mail_past_its_time_goes_and_its_attachments_stay(world: World) -> None:
    logged = world.mail("With a drawing", files=[("drawing.pdf", "application/pdf", PDF)])
    held = world.mail("Not proved", sender="Ana <ana@unproved.example>")
    settings, client = company().model_copy(update={"keep_raw_days": 10, "keep_held_days": 90}), world.client("ana")
    with connected():
        message = Message.get(Message.inbound_id == logged)
        part = Attachment.get(Attachment.message == message).id
        assert retention.expire(settings, world.house.now() + dt.timedelta(days=9))["raw"] == 0
        assert inbound.raw_of(logged) is not None
        assert retention.expire(settings, world.house.now() + dt.timedelta(days=11))["raw"] == 1
        assert inbound.raw_of(logged) is None
        assert inbound.raw_of(held) is not None, "a person may still let it in"
    assert client.get(f"/attachments/{part}").data == PDF
    page = client.get(f"/threads/{message.thread_id}")
    assert page.status_code == 200
    assert "With a drawing" in page.text


def test_the_oldest_bytes_are_found_by_an_index(world: World) -> None:
    with connected():
        plan = [row[3] for row in intake_db.execute_sql("EXPLAIN QUERY PLAN " + retention.OLD_BYTES, (0,)).fetchall()]
    assert plan[0] == "SEARCH r USING INDEX raw_stored_at (stored_at<?)"
    assert not [step for step in plan if step.startswith("SCAN")]
