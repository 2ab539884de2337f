"""How quick the house is, beside Postfix in the same interleaved run.

    python -m bench [--rounds 5] [--mails 400] [--only accept,whole,memory,idle]

accept   durable accept at 1, 10 and 50 sessions: Dropcopy's receiver beside Postfix with its queue held, same disk, same
         mails, rounds interleaved. Both sync each mail between its 354 and its 250, as
         `strace -f -y -e trace=fsync,fdatasync,sendto,write -p PID` of the receiver and of Postfix's master shows: ours is
         an fdatasync of intake.db-wal (one for all mails of a group commit), Postfix's an fsync of the queue file.
         tests/service/test_durable.py holds ours.
whole    mails/s from the port to "logged", with ten sessions, signed mail, DNS on loopback; CPU ms a mail of each process
memory   the largest resident size of every process after a mail of exactly the 20 MB limit
idle     time from the 250 to the mail being visible, 20 mails with pauses, default settings

The load shares the cores with the servers: trust the ratios of one run, not single figures.
"""

from __future__ import annotations

import argparse
import platform
import queue
import shutil
import smtplib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from bench.smtp_load import mail_set
from tests.running import Running

ROOT = Path(__file__).resolve().parent.parent


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def cpu(house: Running) -> dict[str, float]:
    """Seconds of user and system time of each part with its children."""
    used = {}
    for name, popen in house.processes.items():
        total = 0.0
        for one in tree(psutil.Process(popen.pid)):
            try:
                times = one.cpu_times()
                total += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        used[name] = total
    return used


def accept(rounds: int, mails: int) -> None:
    """Interleaved with Postfix."""
    from tests.plugins.sources.postfix_world import postfix

    if not shutil.which("postfix"):
        print("accept: Postfix is missing (Debian package postfix), so there is no peer to compare with.")
        return
    settings = {"virtual_mailbox_domains": "drop.example", "smtpd_recipient_restrictions": "permit", "header_checks": "static:HOLD", "defer_transports": "smtp"}
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-", dir=ROOT) as folder, Running(Path(folder), fresh=True, parts=("receive",)) as house, postfix(settings) as peer:
        targets = [f"127.0.0.1:{house.smtp[1]}=acme@drop.example", f"127.0.0.1:{peer.port}=acme@drop.example"]
        print("\ndurable accept: first Dropcopy, then Postfix (held queue)", flush=True)
        subprocess.run(
            [sys.executable, "-m", "bench.smtp_load", "load", *targets, "--rounds", str(rounds), "--mails", str(mails)], cwd=ROOT, check=True
        )


def signed_mails(house: Running, number: int) -> list[bytes]:
    """Signed mails of the load's size mix, attachments included, each its own thread or an answer in one."""
    made = []
    bodies = mail_set(40)
    for n in range(number):
        head, _, body = bodies[n % len(bodies)].partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if line.lower().startswith((b"mime-version", b"content-"))]
        fields = [
            "From: Ana <ana@sales.example>", f"To: Guest <guest{n % 80}@cust{n % 20}.example>", f"Subject: Offer {n // 3}",
            f"Message-ID: <bench-{n}@sales.example>", f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}",
            *([f"References: <bench-{n - n % 3}@sales.example>"] if n % 3 else []),
        ]  # fmt: skip
        made.append(house.signer.sign("\r\n".join(fields).encode() + b"\r\n" + b"".join(line + b"\r\n" for line in kept) + b"\r\n" + body))
    return made


def whole(mails: int) -> None:
    """From the port to logged."""
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-", dir=ROOT) as folder, Running(Path(folder), fresh=True, environ={"DROPCOPY_LOG": "ERROR"}) as house:
        todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        made = signed_mails(house, mails)
        for raw in made:
            todo.put(raw)
        before, began = cpu(house), time.monotonic()

        def send() -> None:
            with smtplib.SMTP(*house.smtp, timeout=60) as client:
                while True:
                    try:
                        raw = todo.get_nowait()
                    except queue.Empty:
                        return
                    client.sendmail("ana@sales.example", ["acme@drop.example"], raw)

        threads = [threading.Thread(target=send) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = time.monotonic() - began
        while _logged(Path(folder)) < mails:
            time.sleep(0.05)
        seconds = time.monotonic() - began
        used = {name: value - before.get(name, 0) for name, value in cpu(house).items()}
        kb = statistics.mean(map(len, made)) / 1000
        print(f"\nwhole way: {mails} signed mails of {kb:.1f} kB: {mails / seconds:.0f} mails/s to logged ({mails / accepted:.0f}/s accepted)")
        print("  CPU a mail: " + ", ".join(f"{name} {1000 * value / mails:.2f} ms" for name, value in used.items()))


def _logged(folder: Path) -> int:
    with sqlite3.connect(folder / "data" / "main.db", timeout=10) as base:
        return int(base.execute("SELECT count(*) FROM message").fetchone()[0])


def memory() -> None:
    """After a mail of the limit, and after a hundred small ones."""
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-", dir=ROOT) as folder, Running(Path(folder), fresh=True, parts=("receive", "worker", "web")) as house:
        peak: dict[str, float] = {}
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                for name, popen in list(house.processes.items()):
                    for n, one in enumerate(tree(psutil.Process(popen.pid))):
                        try:
                            label = name if n == 0 else f"{name}'s reader"
                            peak[label] = max(peak.get(label, 0), one.memory_info().rss / 1e6)
                        except psutil.NoSuchProcess:
                            continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        raw = house.mail("The largest", body=b"A line of the largest mail that is taken here.\r\n" * 440_000)
        house.send(raw[: 20 * 1024 * 1024 - 4])  # smtplib ends the last line
        house.until(lambda: house.status()["oldest_waiting_s"] == 0, 120)
        stop.set()
        watcher.join()
        print("\nmemory at the 20 MB limit: " + ", ".join(f"{name} {value:.0f} MB" for name, value in sorted(peak.items())))


def idle(number: int = 20, pause: float = 3.0) -> None:
    """From the 250 to visible in the database that pages read."""
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-", dir=ROOT) as folder, Running(Path(folder), fresh=True) as house:
        waits = []
        for n in range(number):
            time.sleep(pause)
            raw = house.mail(f"Idle {n}", message_id=f"<idle-{n}@sales.example>")
            house.send(raw)
            began = time.monotonic()
            while _logged(Path(folder)) <= n:
                time.sleep(0.002)
            waits.append(1000 * (time.monotonic() - began))
        waits.sort()
        print(f"\nidle: 250 to visible p50 {statistics.median(waits):.0f} ms, p95 {waits[int(0.95 * len(waits)) - 1]:.0f} ms, max {waits[-1]:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mails", type=int, default=400)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds of silence before each mail of `idle`")
    parser.add_argument("--only", default="accept,whole,memory,idle")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    wanted = given.only.split(",")
    if "accept" in wanted:
        accept(given.rounds, given.mails)
    if "whole" in wanted:
        whole(2 * given.mails)
    if "memory" in wanted:
        memory()
    if "idle" in wanted:
        idle(pause=given.pause)


if __name__ == "__main__":
    main()
