"""Thirty power cuts under the running receiver and worker; and the proof that the harness would see a loss."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests import powercut
from tests.conftest import missing
from tests.running import Running


def cut(folder: Path, *, cuts: int, synchronous: str) -> powercut.Report:
    try:
        report = powercut.run(folder, cuts=cuts, seed=11, synchronous=synchronous)
    except powercut.NotHere as error:
        missing(f"a file system of its own to cut the power of ({error})")
        raise
    print(report)
    return report


@pytest.mark.timeout(400)
def test_no_acknowledged_mail_is_lost_when_the_power_is_cut(tmp_path: Path) -> None:
    report = cut(tmp_path, cuts=30, synchronous="full")
    assert report.clean, str(report)
    assert report.cuts == report.alive_at_cut == 30
    assert len(report.acked) >= 30


@pytest.mark.parametrize("synchronous", ["off", "normal"])
def test_without_syncs_the_harness_sees_mail_lost(tmp_path: Path, synchronous: str) -> None:
    report = cut(tmp_path, cuts=6, synchronous=synchronous)
    assert report.lost


@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 500, b"SQLite format 3\0" + bytes(8000)])
def test_a_queue_that_a_power_cut_has_broken_is_made_anew_and_mail_is_filed(tmp_path: Path, content: bytes) -> None:
    with Running(tmp_path, parts=()) as house:
        path = tmp_path / "data" / "queue.db"
        path.write_bytes(content)
        house.start("receive")
        house.start("worker")
        house.wait_ready()
        house.send(house.mail())
        house.until(lambda: house.status()["logged"] == 1)
        with closing(sqlite3.connect(path)) as base:
            assert base.execute("PRAGMA quick_check").fetchone() == ("ok",)
        assert path.stat().st_mode & 0o077 == 0
