"""Migrations: they make the tables of models.py, keep a copy before they change anything, and refuse a newer database."""

from __future__ import annotations

import os
import re
import resource
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from peewee import sort_models

from core.errors import SettingsError
from core.settings import Settings
from core.store import migrate as migrations
from core.store.database import close_databases, connected, intake_db, main_db, open_databases
from core.store.migrate import migrate
from core.store.models import INTAKE_MODELS, MAIN_MODELS
from tests.conftest import missing
from tests.store.conftest import SERVER

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(migrations.__file__).parent / "migrations"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    before = main_db.obj, intake_db.obj
    yield Settings(data_dir=tmp_path, secret_key="k" * 32)
    close_databases()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])


@pytest.fixture
def two_postgres() -> Iterator[tuple[str, str]]:
    """Two fresh databases: one for the migrations, one for the models."""
    names = [f"dropcopy_migrate_{secrets.token_hex(4)}" for _ in range(2)]
    try:
        with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError:
        missing("a PostgreSQL server")
    yield f"{SERVER}/{names[0]}", f"{SERVER}/{names[1]}"
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
        for name in names:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def plain(sql: str) -> str:
    return re.sub(r"\s+", "", sql.replace("IF NOT EXISTS", "")).lower()


# Beside the models stand the history of the migrations, and the search index, which is made by itself.
def sqlite_tables(path: Path) -> dict[str, str]:
    with sqlite3.connect(path) as base:
        found = base.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: plain(sql) for name, sql in found if not name.startswith(("search", "migrations_", "sqlite_"))}


def postgres_tables(url: str) -> dict[str, list[Any]]:
    with psycopg.connect(url) as base:
        columns = base.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()
        keys = base.execute(
            "SELECT conrelid::regclass::text, 'constraint', pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 3"
        ).fetchall()
        indexes = base.execute("SELECT tablename, 'index', indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 3").fetchall()
    tables: dict[str, list[Any]] = {}
    for table, *rest in (*columns, *keys, *indexes):
        if table != "search" and not table.startswith("migrations_"):
            tables.setdefault(table, []).append(rest)
    return tables


def make_by_models() -> None:
    with connected():
        for database, models in ((main_db, MAIN_MODELS), (intake_db, INTAKE_MODELS)):
            database.create_tables(sort_models(models), safe=False)


def test_on_sqlite_they_make_the_tables_of_the_models(settings: Settings, tmp_path: Path) -> None:
    open_databases(settings)
    migrate(settings)
    close_databases()
    (tmp_path / "other").mkdir()
    open_databases(settings.model_copy(update={"data_dir": tmp_path / "other"}))
    make_by_models()
    close_databases()
    for name in ("main.db", "intake.db"):
        assert sqlite_tables(tmp_path / name) == sqlite_tables(tmp_path / "other" / name)


def test_on_postgresql_they_make_the_tables_of_the_models(settings: Settings, two_postgres: tuple[str, str]) -> None:
    for url, make in zip(two_postgres, (lambda s: migrate(s), lambda s: make_by_models()), strict=True):
        on_it = settings.model_copy(update={"database_url": url})
        open_databases(on_it)
        make(on_it)
        close_databases()
        main_db.obj.close_all()
    assert postgres_tables(two_postgres[0]) == postgres_tables(two_postgres[1])


def test_every_migration_has_its_text_for_both_databases() -> None:
    for script in SCRIPTS.rglob("[0-9]*.py"):
        apart = [script.with_suffix(f".{dialect}.sql") for dialect in ("sqlite", "postgresql")]
        if script.with_suffix(".sql").exists():
            assert not any(text.exists() for text in apart), f"{script.stem} has a text for both databases and one for a single one"
        else:
            assert len({text.read_text() for text in apart}) == 2, f"{script.stem} says the same for both databases: one text is enough"


def later_scripts(tmp_path: Path) -> Path:
    """The scripts with one more for main.db."""
    scripts = tmp_path / "scripts"
    subprocess.run(["cp", "-r", str(SCRIPTS), str(scripts)], check=True)
    (scripts / "main" / "9999_more.py").write_text("def up(migrator, db):\n    db.execute_sql('CREATE TABLE more (id integer)')\n")
    return scripts


def test_the_first_start_needs_no_copy_and_a_later_change_keeps_one(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_databases(settings)
    migrate(settings)
    migrate(settings)  # nothing to do: nothing is copied
    assert not (tmp_path / "backups").exists()
    with connected():
        main_db.execute_sql("INSERT INTO pulse (name, number) VALUES ('kept', 7)")
    monkeypatch.setattr(migrations, "_SCRIPTS", later_scripts(tmp_path))
    migrate(settings)
    (copy,) = (tmp_path / "backups").iterdir()
    assert copy.name.startswith("main-")
    assert (tmp_path / "backups").stat().st_mode & 0o077 == 0
    with sqlite3.connect(copy) as base:
        assert base.execute("SELECT number FROM pulse WHERE name = 'kept'").fetchone() == (7,)
        assert base.execute("SELECT 1 FROM sqlite_master WHERE name = 'more'").fetchone() is None
    assert "more" in sqlite_tables(tmp_path / "main.db")


def test_a_newer_database_is_refused_with_a_sentence(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_databases(settings)
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "_SCRIPTS", later_scripts(tmp_path))
        migrate(settings)
    with pytest.raises(SettingsError, match=r"written by a newer Dropcopy \(9999_more\)"):
        migrate(settings)


def test_a_file_that_is_no_database_is_refused_with_a_sentence(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "main.db").write_bytes(b"this is no database, but long enough to be looked at\n" * 100)
    open_databases(settings)
    with pytest.raises(SettingsError, match="could not be brought up to date"):
        migrate(settings)


def test_a_disk_that_is_full_at_the_first_start_is_named_and_not_its_consequence(tmp_path: Path) -> None:
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    environ = {**{name: value for name, value in os.environ.items() if not name.startswith("DROPCOPY_")}, "DROPCOPY_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "app.py", "status"], cwd=ROOT, env=environ, preexec_fn=little_room, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "rollback" not in done.stderr
    assert f"Check the files in {tmp_path / 'data'} and the free space." in done.stderr


@pytest.mark.parametrize("on", ["sqlite", "postgres"])
def test_processes_that_start_together_migrate_one_after_the_other(tmp_path: Path, on: str, request: pytest.FixtureRequest) -> None:
    url = "" if on == "sqlite" else request.getfixturevalue("two_postgres")[0]
    environ = {**os.environ, "DROPCOPY_DATA_DIR": str(tmp_path / "data"), "DROPCOPY_DATABASE_URL": url}
    root = Path(__file__).resolve().parent.parent
    started = [subprocess.Popen([sys.executable, "app.py", "status"], cwd=root, env=environ, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.wait(timeout=100), (process.stderr.read() if process.stderr else b"")) for process in started] == [(0, b"")] * 3
    for process in started:
        if process.stderr:
            process.stderr.close()


def test_no_index_repeats_the_beginning_of_another(settings: Settings) -> None:
    open_databases(settings)
    with connected():
        migrate(settings)
        for database in (main_db, intake_db):
            for table in database.get_tables():
                indexes = database.get_indexes(table)
                for one in indexes:
                    longer = [other.name for other in indexes if other is not one and other.columns[: len(one.columns)] == one.columns]
                    assert one.unique or not longer, f"{table}: {one.name} is the beginning of {longer[0]}"
