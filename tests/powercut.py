"""The power-cut harness: the file system under the data folder is shut down while mail comes in, mounted again, and looked at.

    python -m tests.powercut [--cuts 30] [--seed N] [--synchronous off]

The data folder lies on ext4 in a file (root and a loop device are needed). `EXT4_IOC_SHUTDOWN` without a flush of the
journal is what a power failure does: what no sync has brought to the disk is gone. Receiver and worker live at the
moment of each cut, so they go on for the milliseconds until they are killed, and a sync that was under way may be told by
the kernel that it has succeeded; what is answered after the cut has begun therefore counts for nothing. It ends with 0 only when every mail that got a 250 is there after the cut, byte for byte, both files are
sound, and at the end each is logged exactly once. With `--synchronous off` it must end with 1, else it can see no loss.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import queue
import random
import smtplib
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.nursery import Child, nursery
from tests.running import Running

EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
PARTS = ("receive", "worker")
CONNECTIONS = 4


class NotHere(Exception):
    """This machine gives no file system of its own; the text says what it refused."""


class Disk:
    """An ext4 file system in a file, mounted under `folder`. Raises NotHere."""

    def __init__(self, folder: Path, megabytes: int = 512) -> None:
        self.image = folder / "disk.img"
        self.place = folder / "disk"
        self.place.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        # Without the two options the kernel goes on making the file system in the background, and its syncs hide a loss.
        command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        self.mount()
        command("sync", "-f", str(self.place))

    def mount(self) -> None:
        command("mount", "-o", "loop", str(self.image), str(self.place))

    def cut(self) -> None:
        """The power fails: from here on every write fails, and what was not synced is never written."""
        if self.place.stat().st_dev == self.place.parent.stat().st_dev:
            raise AssertionError("there is no file system of its own here, so nothing is shut down")
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def unmount(self) -> None:
        """Once the processes that were killed have let go of it."""
        until = time.monotonic() + 60
        while True:
            try:
                command("umount", str(self.place))
                return
            except NotHere:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)


def command(*words: str) -> None:
    """Run a command of the administrator. Raises NotHere when it is not there or refuses."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"})
    except FileNotFoundError as error:
        raise NotHere(f"{words[0]} is not installed") from error
    if done.returncode:
        raise NotHere(f"{' '.join(words)} says: {done.stderr.strip()}")


@dataclass
class Report:
    """What a run saw."""

    cuts: int = 0
    acked: dict[int, str] = field(default_factory=dict)  # number of the mail -> SHA-256 of its bytes
    alive_at_cut: int = 0  # cuts at which both parts lived
    too_late: int = 0  # a 250 after the power had gone: no machine without power says it, so it counts for nothing
    in_flight: int = 0  # mails that had begun and got no 250 because of a cut
    lost: set[int] = field(default_factory=set)
    unsound: list[str] = field(default_factory=list)
    not_once: dict[int, int] = field(default_factory=dict)  # number -> how often it was logged
    check: str = ""  # what `status --check` complains of
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.unsound or self.not_once or self.check)

    def __str__(self) -> str:
        return (
            f"{self.cuts} cuts ({self.alive_at_cut} with both parts alive), {len(self.acked)} mails acknowledged, {self.in_flight} cut off before their 250,"
            f" {self.too_late} answered after the cut,"
            f" {len(self.lost)} lost, {len(self.unsound)} unsound files {self.unsound[:3]}, {len(self.not_once)} not logged exactly once, check: {self.check or 'fine'},"
            f" {self.seconds:.0f} s"
        )


class Senders:
    """Several connections that send mail after mail until they are stopped; `acked` is what got a 250."""

    def __init__(self, house: Running, mails: Iterator[tuple[int, bytes]]) -> None:
        self._house = house
        self._mails = mails
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.acked: queue.SimpleQueue[tuple[int, str, float]] = queue.SimpleQueue()
        self.unanswered = 0
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        try:
            with smtplib.SMTP(*self._house.smtp, timeout=30) as client:
                while not self._stop.is_set():
                    with self._lock:
                        number, raw = next(self._mails)
                    self.unanswered += 1
                    client.sendmail("ana@sales.example", ["acme@drop.example"], raw)
                    self.acked.put((number, hashlib.sha256(raw).hexdigest(), time.monotonic()))
                    self.unanswered -= 1
        except (OSError, smtplib.SMTPException):
            return  # the power is gone

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)


def mails(house: Running, seed: int) -> Iterator[tuple[int, bytes]]:
    """Numbered mails without end: most are small, some fill the log up to where it is copied back."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        body = "A line of the offer, and what it costs.\r\n" * chance.choice((1, 1, 1, 40, 8000))
        yield number, house.mail(f"Cut {number}", to=f"Guest {number % 50} <guest{number % 50}@cust.example>", message_id=f"<cut-{number}@sales.example>", body=body)


def run(folder: Path, *, cuts: int, seed: int, synchronous: str = "full", say: Callable[[str], object] = lambda line: None) -> Report:
    """One run. Raises NotHere when this machine gives no file system to cut."""
    disk = Disk(folder)
    chance = random.Random(seed)
    report = Report()
    began = time.monotonic()
    try:
        with Running(folder, parts=(), environ={"DROPCOPY_DATA_DIR": str(disk.place / "data")}) as house:
            command("sync", "-f", str(disk.place))
            made = mails(house, seed)
            for _ in range(cuts):
                _one_cut(house, disk, synchronous, made, chance, report)
                say(str(report))
                if report.lost or report.unsound:
                    break
            else:
                _settle(house, disk, synchronous, report)
    finally:
        disk.unmount()
    report.seconds = time.monotonic() - began
    return report


def _one_cut(house: Running, disk: Disk, synchronous: str, made: Iterator[tuple[int, bytes]], chance: random.Random, report: Report) -> None:
    before = len(report.acked)
    parts = [_start(house, part, synchronous) for part in PARTS]
    try:
        house.until(house.answers_smtp, 60)
        senders = Senders(house, made)
        house.until(lambda: not senders.acked.empty(), 60)
        time.sleep(chance.uniform(0, 0.4))  # anywhere in a commit, in a checkpoint, in the filing of a mail
        alive = all(part.poll() is None for part in parts)
        at = time.monotonic()
        disk.cut()
        report.alive_at_cut += alive
    finally:
        for part in parts:
            part.kill()
    senders.stop()
    while not senders.acked.empty():
        number, digest, when = senders.acked.get()
        if when < at:
            report.acked[number] = digest
        else:
            report.too_late += 1
    report.in_flight += senders.unanswered
    report.cuts += 1
    disk.unmount()
    disk.mount()
    assert len(report.acked) > before
    _look(disk.place / "data", report)


def _start(house: Running, part: str, synchronous: str) -> Child:
    with (house.folder / f"{part}.log").open("ab") as log:
        return nursery().start([part], house.env, log, synchronous=synchronous)


def _look(data: Path, report: Report) -> None:
    """Every acknowledged mail is there with its bytes, and the files are sound."""
    try:
        with closing(sqlite3.connect(data / "intake.db")) as base:
            kept = {row[0] for row in base.execute("SELECT i.sha256 FROM inbound i JOIN raw r ON r.sha256 = i.sha256")}
        report.lost = {number for number, digest in report.acked.items() if digest not in kept}
        for name in ("intake.db", "main.db"):
            with closing(sqlite3.connect(data / name)) as base:
                found = base.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                report.unsound.append(f"{name}: {found}")
    except sqlite3.Error as error:
        report.unsound.append(str(error))
        report.lost = set(report.acked)


def _settle(house: Running, disk: Disk, synchronous: str, report: Report) -> None:
    """Work off what waits, then judge: each mail logged exactly once, each file with its partner."""
    worker = _start(house, "worker", synchronous)
    try:
        house.until(lambda: _waiting(disk.place / "data") == 0, 120)
    finally:
        worker.terminate()
        worker.wait(60)
    with closing(sqlite3.connect(disk.place / "data" / "main.db")) as base:
        logged = Counter(int(row[0].split("@")[0].removeprefix("cut-")) for row in base.execute("SELECT message_id FROM message WHERE deleted_at IS NULL"))
    report.not_once = {number: logged[number] for number in report.acked if logged[number] != 1}
    done = nursery().run(["status", "--check"], house.env, 60)
    report.check = "" if done.returncode == 0 else done.stdout + done.stderr


def _waiting(data: Path) -> int:
    with closing(sqlite3.connect(data / "intake.db")) as base:
        return int(base.execute("SELECT COUNT(1) FROM inbound WHERE state IN ('received', 'processing')").fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--synchronous", default="full")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dropcopy-powercut-") as folder:
        report = run(Path(folder), cuts=given.cuts, seed=given.seed, synchronous=given.synchronous, say=print)
    print(report)
    sys.exit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
