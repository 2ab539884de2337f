"""`app.py run`: three children started together, one that dies started again, all ended in order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.running import ROOT, Running


def started(house: Running) -> subprocess.Popen[bytes]:
    log = (house.folder / "run.log").open("ab")
    process = subprocess.Popen([sys.executable, "app.py", "run"], cwd=ROOT, env=house.env, stdout=log, stderr=log)
    house.until(lambda: house.answers_smtp() and house.get("/livez")[0] == 200, 90)
    return process


@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_run_takes_mail_and_ends_without_leaving_anything_behind(tmp_path: Path, how: signal.Signals) -> None:
    with Running(tmp_path, parts=()) as house:
        process = started(house)
        try:
            house.send(house.mail())
            house.until(lambda: house.status()["logged"] == 1, 60)
            family = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(how)
            assert process.wait(timeout=60) == 0
            _, alive = psutil.wait_procs(family, timeout=20)
            assert alive == []
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.timeout(200)
def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    with Running(tmp_path, parts=()) as house:
        process = started(house)
        try:
            receiver = next(one for one in psutil.Process(process.pid).children() if one.cmdline()[-1] == "receive")
            os.kill(receiver.pid, signal.SIGKILL)
            house.until(lambda: not receiver.is_running() or receiver.status() == psutil.STATUS_ZOMBIE)
            house.until(house.answers_smtp, 60)
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_a_taken_port_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with Running(tmp_path, parts=()) as house, socket.socket() as taken:
        taken.bind(("127.0.0.1", int(house.http.rpartition(":")[2])))
        taken.listen()
        done = subprocess.run([sys.executable, "app.py", "web"], cwd=ROOT, env=house.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert "Choose another port" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.timeout(200)
def test_when_run_itself_is_killed_its_parts_end_and_it_can_start_again(tmp_path: Path) -> None:
    with Running(tmp_path, parts=()) as house:
        process = started(house)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(timeout=20)
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == []
        again = started(house)
        again.terminate()
        assert again.wait(timeout=60) == 0
