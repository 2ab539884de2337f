"""How long the steps take: gathered in the worker's memory, written by its sweeper now and then."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from core.store import plain
from core.store.database import write


class StepTimes:
    """Counts of one worker process since the last flush."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, tuple[int, float]] = {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """One mail: step -> seconds."""
        with self._lock:
            for step, spent in seconds.items():
                number, total = self._sums.get(step, (0, 0.0))
                self._sums[step] = (number + 1, total + spent)

    def flush(self) -> None:
        """Add what was gathered to the table."""
        with self._lock:
            sums, self._sums = self._sums, {}
        if not sums:
            return
        with write():
            for step in sorted(sums):
                plain.do(
                    "INSERT INTO step_time (step, number, seconds) VALUES (?, ?, ?) ON CONFLICT (step) DO UPDATE"
                    " SET number = step_time.number + excluded.number, seconds = step_time.seconds + excluded.seconds",
                    step, *sums[step],
                )  # fmt: skip


def read() -> list[tuple[str, int, float]]:
    """(step, how often, seconds in all)."""
    return [(step, int(number), float(seconds)) for step, number, seconds in plain.rows("SELECT step, number, seconds FROM step_time ORDER BY step")]
