"""The bytes that are to be removed are found by their age."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
