"""A filed mail touches fewer pages: one index over the names of mails in place of two, none that nothing asks, no rows of NULL in others. What stands about a thing in the audit is found by an index."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
