"""Links say by whom their thread may be read, and are found by that on the pages of records and people."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
