"""The fence in a running worker: readers that hang, hoard, die and are killed hold their own mail, and nobody else's."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from core.fence import MEMORY_BYTES
from tests.mail.hostile_made import WORST
from tests.running import Running

pytestmark = pytest.mark.timeout(600)

# What a careless plugin may do to the process that it runs in; the subject of a mail says which.
TICKETS = '''"""Reads forwards of our ticket system, and has every fault that such a reader can have."""
import os
import signal
import time
from core.hookspecs import hookimpl

@hookimpl
def read_forward(email):
    if email.subject == "hangs":
        time.sleep(3600)
    elif email.subject == "spins":
        while True:
            pass
    elif email.subject == "eats":
        kept = []
        while True:
            kept.append(b"x" * (1 << 20))
    elif email.subject == "hoards":
        kept = []
        try:
            while True:
                kept.append(b"x" * (1 << 20))
        except MemoryError:
            time.sleep(3600)
    elif email.subject == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif email.subject == "leaves":
        os._exit(0)
    elif email.subject == "waits":
        while os.path.exists({gate!r}):
            time.sleep(0.01)
    return None
'''
CAUSES = {
    "hangs": {"read-timeout"}, "spins": {"unprocessable", "read-timeout"},  # whichever comes first on this machine: 20 s of CPU, or 30 s
    "eats": {"read-memory"}, "hoards": {"read-timeout"}, "dies": {"unprocessable"}, "leaves": {"unprocessable"},
}  # fmt: skip
THREADS = 2 * (os.cpu_count() or 1)  # of a worker, unless it is told otherwise
# The dearest mail of each stage: canonicalising, decoding, the tree, the sanitiser, the forwarded blocks.
LARGE = (
    "blanks and line ends under eight signatures", "nothing but line ends", "base64 letter by letter", "uuencoded letters", "one field without an end",
    "html of amps", "html of angles", "forwarded blocks",
)  # fmt: skip


@contextmanager
def with_plugin(folder: Path) -> Iterator[tuple[Running, Path]]:
    """A house with the careless plugin, put into the plugins folder as its owner would; and the file that "waits" waits for."""
    plugins, gate = folder / "plugins", folder / "gate"
    plugins.mkdir(mode=0o755)
    (plugins / "tickets.py").write_text(TICKETS.format(gate=str(gate)))
    (plugins / "tickets.py").chmod(0o644)
    with Running(folder, environ={"DROPCOPY_PLUGINS_DIR": str(plugins)}) as house:
        yield house, gate


def ends(house: Running) -> dict[str, list[tuple[str, str, str, float]]]:
    """(state, reason, cause, seconds from the 250 to its end) of every mail that has come to its end, by MAIL FROM."""
    with sqlite3.connect(f"file:{house.folder / 'data' / 'main.db'}?mode=ro", uri=True, timeout=30) as database:
        found = database.execute("SELECT mail_from, state, reason, coalesce(json_extract(params, '$.cause'), ''), (decided_at - received_at) / 1e6 FROM outcome").fetchall()
    by_sender: dict[str, list[tuple[str, str, str, float]]] = {}
    for sender, *end in found:
        by_sender.setdefault(sender, []).append(tuple(end))
    return by_sender


def children(house: Running) -> list[psutil.Process]:
    """The readers: what the worker's zygote has forked."""
    try:
        return [reader for zygote in psutil.Process(house.processes["worker"].pid).children() for reader in zygote.children()]
    except psutil.NoSuchProcess:
        return []


class Watch:
    """Looks at the readers all the time: the largest resident memory of any of them, by its high-water mark."""

    def __init__(self, house: Running) -> None:
        self.peak = 0
        self._house = house
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            for reader in children(self._house):
                try:
                    status = Path(f"/proc/{reader.pid}/status").read_text()
                except OSError:
                    continue
                marks = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
                self.peak = max([self.peak, *marks])


def linked(house: Running) -> int:
    """Conversations that the policy has linked to the deal."""
    with sqlite3.connect(f"file:{house.folder / 'data' / 'main.db'}?mode=ro", uri=True, timeout=30) as database:
        return int(database.execute("SELECT count(*) FROM link WHERE kind = 'deal'").fetchone()[0])


def p95(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


def neighbours_meanwhile(house: Running, over: Callable[[], bool], most: int) -> int:
    """Send ordinary mails, one after the other as soon as the one before has its 250, until it is over; how many."""
    sent = 0
    while sent < most and not (sent >= 40 and over()):
        house.send(house.mail(f"Neighbour {sent}"))
        sent += 1
        threading.Event().wait(0.5)  # the pace of a busy sales team, not a wait for anything
    return sent


def test_a_plugin_that_goes_too_far_holds_its_own_mail_and_delays_nobody(tmp_path: Path) -> None:
    with with_plugin(tmp_path) as (house, _), Watch(house) as watch:
        for subject in CAUSES:
            house.send(house.mail(subject), sender=f"{subject}@sales.example")
        crowd = [f"hangs-{number}@sales.example" for number in range(max(THREADS - 2, 1))]  # more than there are threads to hang
        for sender in crowd:
            house.send(house.mail("hangs"), sender=sender)

        def over() -> bool:
            return {*crowd, *(f"{subject}@sales.example" for subject in CAUSES)} <= set(ends(house))

        sent = neighbours_meanwhile(house, over, 700)
        house.until(over, 200)
        house.until(lambda: len(ends(house).get("ana@sales.example", ())) == sent, 60)
        found = ends(house)
        for subject, causes in CAUSES.items():
            [(state, reason, cause, _)] = found[f"{subject}@sales.example"]
            assert (state, reason) == ("held", "unprocessable")
            assert cause in causes, subject
        assert {found[sender][0][:2] for sender in crowd} == {("held", "unprocessable")}
        assert {end[0] for end in found["ana@sales.example"]} == {"logged"}
        assert linked(house) == sent
        assert p95([end[3] for end in found["ana@sales.example"]]) < 10
        status = house.status()
        assert (status["logged"], status["held"], status["received"], status["processing"]) == (sent, len(CAUSES) + len(crowd), 0, 0)
    assert MEMORY_BYTES // 2 < watch.peak < MEMORY_BYTES  # the hoarder was seen, and stopped


def test_mails_of_twenty_megabytes_delay_nobody(tmp_path: Path) -> None:
    with with_plugin(tmp_path) as (house, _), Watch(house) as watch:
        senders = {f"large{number}@sales.example": WORST[name]() for number, name in enumerate(LARGE)}
        waiting = threading.Thread(target=lambda: [house.send(raw, sender=sender) for sender, raw in senders.items()])
        waiting.start()

        def over() -> bool:
            return not waiting.is_alive() and set(senders) <= set(ends(house))

        sent = neighbours_meanwhile(house, over, 300)
        waiting.join()
        house.until(over, 120)
        house.until(lambda: len(ends(house).get("ana@sales.example", ())) == sent, 60)
        found = ends(house)
        assert {end[0] for sender in senders for end in found[sender]} <= {"logged", "held", "ignored"}
        assert {end[0] for end in found["ana@sales.example"]} == {"logged"}
        assert linked(house) >= sent  # large ones of Ana's may be logged as well
        assert p95([end[3] for end in found["ana@sales.example"]]) < 10
    assert 0 < watch.peak < MEMORY_BYTES


def test_a_reader_that_is_killed_in_the_middle_loses_no_mail(tmp_path: Path) -> None:
    """kill -9 of the child while it reads, three times too few to give the mail up: it is read again and logged."""
    with with_plugin(tmp_path) as (house, gate):
        gate.touch()
        house.send(house.mail("waits"))
        house.until(lambda: any(reader.status() != psutil.STATUS_ZOMBIE for reader in children(house)))
        reader = children(house)[0]
        house.until(lambda: "processing" in states(house))
        os.kill(reader.pid, 9)
        house.until(lambda: crashes(house) == 1)
        gate.unlink()
        house.send(house.mail("After it"))
        house.until(lambda: house.status()["logged"] == 2, 60)


def states(house: Running) -> list[str]:
    return _inbound(house, "state")


def crashes(house: Running) -> int:
    return max(_inbound(house, "crashes"), default=0)


def _inbound(house: Running, column: str) -> list:
    with sqlite3.connect(f"file:{house.folder / 'data' / 'intake.db'}?mode=ro", uri=True, timeout=30) as database:
        return [row[0] for row in database.execute(f"SELECT {column} FROM inbound")]
