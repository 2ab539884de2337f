"""The first tables, frozen as they were: plain SQL for each database beside this script."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
