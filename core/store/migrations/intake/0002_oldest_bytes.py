"""The bytes that are to be removed are found by their age, and mail that is tried again however much waits."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
