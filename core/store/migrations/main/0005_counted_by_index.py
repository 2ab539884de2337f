"""The counts beside every page are answered by indexes alone. An address in a mail is indexed only where it is nobody's yet."""

from typing import Any

from core.store.migrate import run_text_beside


def up(migrator: Any, db: Any) -> None:
    run_text_beside(__file__, db)
