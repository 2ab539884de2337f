"""The worker's consumer: what it writes to the log while its queue is away."""

from __future__ import annotations

import pytest
from huey import RedisHuey

from core import worker


def test_a_queue_that_is_away_is_told_seldom_and_in_one_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker._SELDOM, "_next", 0.0)
    consumer = worker._QuietConsumer(RedisHuey("away", url="redis://127.0.0.1:1/0"), workers=2, initial_delay=0.001, max_delay=0.002, periodic=False)
    threads = [one for one, _ in consumer.worker_threads]
    for _ in range(10):
        for one in threads:
            one.loop()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("huey.consumer")]
    assert len(told) == 1
    assert "Error reading from queue" in told[0]
    assert "127.0.0.1:1" in told[0]
    assert caplog.records[0].exc_info is None
    monkeypatch.setattr(worker._SELDOM, "_next", 0.0)
    threads[0].loop()
    assert "19 times more" in caplog.records[-1].getMessage()
