"""A 250 is a promise: the kernel has synced the mail before the answer leaves. Seen from outside, in the receiver's system calls."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.running import Running

CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(?P<name>fdatasync|fsync|sendto|pwrite64)\b(?P<rest>.*)$")


@pytest.fixture
def strace() -> str:
    program = shutil.which("strace")
    if program is None:
        missing("strace (the Debian package strace)")
    return str(program)


def events(trace: str) -> list[str]:
    """What matters of the trace, in order: data (the 354), write, sync, kept (the 250 to the mail)."""
    found = []
    for line in trace.splitlines():
        call = CALL.match(line)
        if call is None:
            continue
        name, rest = call["name"], call["rest"]
        if name == "sendto" and '"354 ' in rest:
            found.append("data")
        elif name == "sendto" and '"250 2.0.0 Kept' in rest:
            found.append("kept")
        elif name == "pwrite64" and "intake.db-wal" in rest:
            found.append("write")
        elif name in ("fdatasync", "fsync") and rest.rstrip().endswith("= 0"):
            found.append("sync")
    return found


def test_each_mail_is_synced_between_its_data_and_its_250(tmp_path: Path, strace: str) -> None:
    with Running(tmp_path, parts=("receive",)) as house:
        output = tmp_path / "trace"
        watcher = subprocess.Popen(
            [strace, "-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,sendto,pwrite64", "-o", str(output), "-p", str(house.processes["receive"].pid)],
            stderr=(tmp_path / "strace.log").open("wb"),
        )
        house.until(lambda: watcher.poll() is not None or "attached" in (tmp_path / "strace.log").read_text())
        if watcher.poll() is not None:
            missing(f"the right to trace a process ({(tmp_path / 'strace.log').read_text().strip()})")
        for number in range(4):
            house.send(house.mail(f"Offer {number}"))
        watcher.terminate()
        watcher.wait(30)
    seen = events(output.read_text(errors="replace"))
    assert seen.count("kept") == seen.count("data") == 4
    for talk in " ".join(seen).split("data")[1:]:
        before = talk.split("kept")[0].split()
        assert "write" in before, seen
        assert before[-1] == "sync", f"something was written after the last sync and before the 250: {seen}"
