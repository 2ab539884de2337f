"""Empty tables of the present version for one test after the other: making them anew takes longer than most tests."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from core.settings import Settings
from core.store.database import close_databases, intake_db, main_db, open_databases
from core.store.migrate import migrate
from core.store.models import INTAKE_MODELS, MAIN_MODELS


@functools.cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="dropcopy-tables-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = main_db.obj, intake_db.obj
    settings = Settings(data_dir=folder, secret_key="k" * 32)
    open_databases(settings)
    migrate(settings)
    close_databases()  # the last connection writes the log back, so each database is one file
    main_db.initialize(before[0])
    intake_db.initialize(before[1])
    return folder


def put_tables(folder: Path) -> None:
    """What `migrate` would make in a data folder that has no SQLite files yet."""
    for name in ("main.db", "intake.db"):
        shutil.copyfile(_made() / name, folder / name)
        (folder / name).chmod(0o600)


def empty_postgres() -> None:
    """Empty every table, and begin the numbers anew. Most tests write to a few tables, and to truncate one costs more than to see that it is empty."""
    names = [*(model._meta.table_name for model in (*MAIN_MODELS, *INTAKE_MODELS)), "search"]
    with main_db.atomic():
        main_db.execute_sql("SET LOCAL session_replication_role = replica")  # no foreign key need be asked, as all is emptied
        looks = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in names)
        for (name,) in main_db.execute_sql(looks).fetchall():
            main_db.execute_sql(f'DELETE FROM "{name}"')
        main_db.execute_sql(
            "SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences"
            " WHERE schemaname = 'public' AND last_value IS NOT NULL AND sequencename !~ '^migrations_'"
        )
