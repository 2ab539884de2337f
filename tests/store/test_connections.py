"""Connections that outlive a request: what others write is seen, and no request leaves anything behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import Settings
from core.store.database import close_databases, intake_db, kept_connections, main_db, open_databases, run_sql
from core.store.migrate import migrate


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    before = main_db.obj, intake_db.obj
    settings = Settings(data_dir=tmp_path, secret_key="k" * 32)
    open_databases(settings)
    migrate(settings)
    yield tmp_path / "main.db"
    close_databases()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])


def settings_there() -> list[str]:
    return [name for (name,) in run_sql(main_db, "SELECT name FROM setting ORDER BY name").fetchall()]


def write_elsewhere(place: Path, name: str) -> None:
    with sqlite3.connect(place) as other:
        other.execute("INSERT INTO setting (name, value) VALUES (?, '1')", (name,))
    other.close()


def test_the_next_request_reads_what_others_wrote_meanwhile(place: Path) -> None:
    with kept_connections():
        before = settings_there()
    assert not main_db.is_closed()
    write_elsewhere(place, "zz")
    with kept_connections():
        assert settings_there() == [*before, "zz"]


def test_rows_that_nobody_fetched_hold_no_old_view(place: Path) -> None:
    for number in range(50):
        write_elsewhere(place, f"z{number}")
    with kept_connections():
        run_sql(main_db, "SELECT name FROM setting").fetchone()
    write_elsewhere(place, "zzz")
    with kept_connections():
        assert settings_there()[-1] == "zzz"


def test_an_unfinished_transaction_ends_with_its_request(place: Path) -> None:
    with kept_connections():
        main_db.obj.connection().execute("BEGIN IMMEDIATE")
        run_sql(main_db, "INSERT INTO setting (name, value) VALUES ('half', '1')")
    assert main_db.is_closed()
    write_elsewhere(place, "whole")
    with kept_connections():
        assert "half" not in settings_there()
        assert "whole" in settings_there()
