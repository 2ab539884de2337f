"""A store to test with: SQLite always, PostgreSQL when there is a server (a database of its own for the session)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from core.settings import Settings
from core.store import company
from core.store.database import close_databases, connected, intake_db, main_db, open_databases
from core.store.migrate import migrate
from tests.conftest import missing
from tests.store.small_world import World
from tests.store.tables import empty_postgres, put_tables

SERVER = os.environ.get("DROPCOPY_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh database."""
    name = f"dropcopy_test_{secrets.token_hex(4)}"
    server = SERVER.rstrip("/")
    try:
        with psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError:
        missing("a PostgreSQL server")
    migrated = Settings(data_dir=tmp_path_factory.mktemp("postgres"), database_url=f"{server}/{name}", secret_key="k" * 32)
    open_databases(migrated)
    migrate(migrated)
    yield f"{server}/{name}"
    close_databases()
    if hasattr(main_db.obj, "close_all"):
        main_db.obj.close_all()
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgres"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """An empty store on each database."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    yield from _store(Settings(data_dir=tmp_path, database_url=url, secret_key="k" * 32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[World]:
    """An empty store on SQLite."""
    yield from _store(Settings(data_dir=tmp_path, secret_key="k" * 32))


def _store(settings: Settings) -> Iterator[World]:
    before = main_db.obj, intake_db.obj
    if settings.on_sqlite:
        put_tables(settings.data_dir)
    open_databases(settings)
    company.forget_cache()
    with connected():
        if not settings.on_sqlite:
            empty_postgres()
        yield World()
    close_databases()
    company.forget_cache()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])
