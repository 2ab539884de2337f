"""The first tables, frozen as they were: plain SQL for each database beside this script."""

from pathlib import Path
from typing import Any


def up(migrator: Any, db: Any) -> None:
    dialect = "sqlite" if type(db).__name__ == "SqliteDatabase" else "postgresql"
    for statement in Path(__file__).with_suffix(f".{dialect}.sql").read_text("utf-8").split(";\n"):
        if statement.strip():
            db.execute_sql(statement)
