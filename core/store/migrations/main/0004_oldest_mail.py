"""A thread knows the time of its oldest mail, in the indexes of the inbox; searches for old mail pass over what is younger. What waits for a choice, and what was linked lately, is found by its time."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
