"""The index of a thread's living mails gives them in their order also where several have the same moment."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
