"""The living mails of a thread are known by an index alone: their rows hold whole texts, and a long thread has many."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
