"""The fence: what a stranger's mail can make us do has an end, and what was killed is replaced."""

from __future__ import annotations

import ast
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import core.fence
from core.fence import SLOW_SECONDS, Broken, Fence, Pen
from tests.spine import until

MB = 1024 * 1024


class Doer:
    """What runs behind the fence in these tests: does what the job's word says."""

    def __init__(self, config: dict[str, float]) -> None:
        for name, value in config.items():  # the zygote's own module: this process's constants stay as they are
            setattr(sys.modules["__main__"], name, value)
        self.jobs = 0

    def work(self, job: bytes, raw: bytes) -> bytes:
        self.jobs += 1
        word = job.decode()
        if word == "memory":
            bytearray(2000 * MB)
        if word == "leak":
            bytearray(300 * MB)[::4096] = b"x" * (300 * MB // 4096)
        if word == "sleep":
            time.sleep(60)
        if word == "pause":
            time.sleep(2 * SLOW_SECONDS)
        if word == "spin":
            while True:
                pass
        if word == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "exit":
            raise SystemExit(3)
        if word == "raise":
            raise ValueError("no luck")
        return json.dumps([os.getpid(), self.jobs, len(raw)]).encode()


@pytest.fixture(scope="module")
def fence() -> Iterator[Fence]:
    made = Fence("tests.test_fence:Doer", {"CPU_SECONDS": 3})  # a busy machine may need one to give 300 MB
    yield made
    made.close()


@pytest.fixture
def pen(fence: Fence) -> Iterator[Pen]:
    made = fence.pen()
    yield made
    made.close()


def asked(pen: Pen, word: str = "hello", raw: bytes = b"") -> tuple[int, int, int]:
    pid, jobs, size = json.loads(pen.run(word.encode(), raw))
    return pid, jobs, size


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_one_child_does_many_jobs_and_takes_large_ones(pen: Pen) -> None:
    first, second = asked(pen), asked(pen, raw=b"x" * 21 * MB)
    assert first[0] == second[0] != os.getpid()
    assert (first[1], second[1], second[2]) == (1, 2, 21 * MB)


@pytest.mark.parametrize(
    "word, code", [("memory", "read-memory"), ("spin", "unprocessable"), ("crash", "unprocessable"), ("exit", "unprocessable"), ("raise", "unprocessable")]
)
def test_what_goes_too_far_is_stopped_and_the_next_mail_is_read_by_a_fresh_child(pen: Pen, word: str, code: str) -> None:
    before = asked(pen)[0]
    with pytest.raises(Broken) as raised:
        asked(pen, word)
    assert raised.value.code == code
    after = asked(pen)
    assert after[0] != before
    assert after[1] == 1
    until(lambda: gone(before))


def test_what_a_failure_was_is_told(pen: Pen) -> None:
    with pytest.raises(Broken, match="ValueError: no luck"):
        asked(pen, "raise")


def test_what_hangs_is_killed_after_its_time(pen: Pen) -> None:
    child = asked(pen)[0]
    with pytest.raises(Broken) as raised:
        pen.run(b"sleep", seconds=0.2)
    assert raised.value.code == "read-timeout"
    until(lambda: gone(child))
    assert asked(pen)[0] != child


def test_a_child_that_has_grown_is_replaced_after_its_answer(pen: Pen) -> None:
    grown = json.loads(pen.run(b"leak"))[0]
    assert asked(pen)[0] != grown


def test_a_child_is_replaced_after_many_jobs(pen: Pen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.fence, "JOBS_A_CHILD", 3)
    children = [asked(pen)[0] for _ in range(7)]
    assert len(set(children)) == 3


def test_a_dead_zygote_is_replaced(fence: Fence, pen: Pen) -> None:
    asked(pen)
    assert fence._zygote is not None
    fence._zygote.kill()
    fence._zygote.wait()
    pen.close()
    assert asked(pen)[1] == 1


def test_children_of_two_threads_know_nothing_of_each_other(fence: Fence) -> None:
    first, second = fence.pen(), fence.pen()
    pids = asked(first)[0], asked(second)[0]
    assert pids[0] != pids[1]
    first.close()
    assert asked(second) == (pids[1], 2, 0)
    second.close()


def test_a_pen_that_waits_for_an_answer_takes_no_second_job(pen: Pen) -> None:
    """What is done meanwhile must ask another pen: two jobs on one channel would get each other's answers."""
    refused: list[str] = []

    def meanwhile() -> None:
        with pytest.raises(RuntimeError) as raised:
            asked(pen)
        refused.append(str(raised.value))

    assert json.loads(pen.run(b"pause", on_slow=meanwhile))
    assert refused == ["a pen does one job at a time"]
    assert asked(pen)[1] == 2


def test_closing_leaves_no_process_behind() -> None:
    fence = Fence("tests.test_fence:Doer", {})
    pen = fence.pen()
    child = asked(pen)[0]
    assert fence._zygote is not None
    zygote = fence._zygote.pid
    pen.close()
    fence.close()
    until(lambda: gone(child) and gone(zygote))


def test_a_worker_that_is_killed_takes_its_readers_with_it(tmp_path: Path) -> None:
    """kill -9 of the parent closes the sockets; zygote and child read the end and go."""
    import subprocess

    script = (
        "import json, sys, time\nfrom core.fence import Fence\n"
        "fence = Fence('tests.test_fence:Doer', {})\npen = fence.pen()\n"
        "print(json.loads(pen.run(b'hello'))[0], fence._zygote.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent)
    assert parent.stdout is not None
    child, zygote = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: gone(child) and gone(zygote))


def test_a_zygote_that_cannot_begin_is_told(tmp_path: Path) -> None:
    fence = Fence("tests.test_fence:Nobody", {})
    with pytest.raises(Broken):
        fence.pen().run(b"hello")
    fence.close()


def test_nothing_that_a_child_sends_is_executed() -> None:
    names = {node.id for node in ast.walk(ast.parse(inspect.getsource(core.fence))) if isinstance(node, ast.Name)}
    assert not names & {"pickle", "marshal", "eval", "exec"}
