#!/usr/bin/env python3
"""How fast mail is taken durably, beside any other SMTP server in the same interleaved run.

  smtp_load.py load 127.0.0.1:8025=acme@crm.example 127.0.0.1:2525=any@crm.example --rounds 5
      Each round loads every target in turn (the order alternates) at 1, 10 and 50 sessions. Printed: mails/s, p50 and p99
      of a whole transaction, CPU of the server a mail, and the ratio of the first target to each other one as median
      and min..max over the rounds. A target is HOST:PORT=RECIPIENT; lmtp:HOST:PORT=RECIPIENT speaks LMTP.
  smtp_load.py serve [--port 8025] [--max-connections 500] [--folder DIR]
      Our SMTP source over a small SQLite group-commit intake that takes drop@crm.example; prints what it kept at the end.
  smtp_load.py idle HOST:PORT=RECIPIENT [--connections 10000]
      Opens idle connections, then sends one mail: prints its time and the server's memory. A server on this machine only.

The load generator shares the cores with the servers; trust ratios within one run. Load 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import datetime as dt
import hashlib
import logging
import os
import queue
import random
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

PER_CONNECTION = 50  # mails


# --- what is sent ----------------------------------------------------------------------------------------------------


def mail_set(number: int = 400, seed: int = 1) -> list[bytes]:
    """Mails as sales people send them: text of a few to a hundred kB, each tenth with a 200 kB attachment; mean about 55 kB."""
    chance = random.Random(seed)
    return [_mail(chance, n) for n in range(number)]


def _mail(chance: random.Random, n: int) -> bytes:
    size = min(120_000, int(chance.lognormvariate(9.9, 0.9)))
    words = [chance.choice(["chair", "table", "lamp", "desk", "shelf", "offer", "price", "delivery", "week", "thanks", "regards", "order"]) for _ in range(size // 6)]
    lines = [" ".join(words[at : at + 11]) for at in range(0, len(words), 11)]
    text = "\r\n".join(lines).encode()
    head = f"From: Rep <rep@sender.example>\r\nTo: cust@cust.example\r\nSubject: Offer {n}\r\nMessage-ID: <{n}.{chance.random()}@sender.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n".encode()
    if n % 10:
        return head + b"Content-Type: text/plain\r\n\r\n" + text + b"\r\n"
    data = base64.encodebytes(chance.randbytes(150_000)).replace(b"\n", b"\r\n")
    return (
        head + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n' + text
        + b"\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + data + b"--b--\r\n"
    )  # fmt: skip


def stuffed(mail: bytes) -> bytes:
    return mail.replace(b"\r\n.", b"\r\n..") + b".\r\n"


# --- how it is sent --------------------------------------------------------------------------------------------------


@dataclass
class Target:
    text: str
    host: str
    port: int
    recipient: str
    lmtp: bool

    @classmethod
    def read(cls, text: str) -> Target:
        place, _, recipient = text.partition("=")
        lmtp = place.startswith("lmtp:")
        host, _, port = place.removeprefix("lmtp:").rpartition(":")
        return cls(text, host, int(port), recipient or "drop@crm.example", lmtp)


@dataclass
class Run:
    """What all sessions of one measurement share."""

    target: Target
    mails: list[bytes]
    left: int
    seconds: list[float] = field(default_factory=list)
    kept: int = 0
    failures: list[str] = field(default_factory=list)


class Sender(asyncio.Protocol):
    """One connection that sends up to PER_CONNECTION mails, each command after the reply to the former."""

    def __init__(self, run: Run, done: asyncio.Future[None]) -> None:
        self.run, self.done = run, done
        self.got, self.step, self.sent, self.began = b"", -1, 0, 0.0
        hello = b"LHLO" if run.target.lmtp else b"EHLO"
        self.hello = hello + b" load.example\r\n"
        self.recipient = b"RCPT TO:<" + run.target.recipient.encode() + b">\r\n"

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data
        while (end := self.got.find(b"\r\n")) >= 0:
            line, self.got = self.got[:end], self.got[end + 2 :]
            if line[3:4] != b"-":
                self.reply(line)

    def reply(self, line: bytes) -> None:
        step, self.step = self.step, self.step + 1
        if line[:1] not in b"23":
            self.run.failures.append(line.decode("latin-1"))
            self.transport.close()
            return
        if step == -1:
            self.transport.write(self.hello)
        elif step == 0:
            self.next_mail()
        elif step == 1:
            self.transport.write(self.recipient)
        elif step == 2:
            self.transport.write(b"DATA\r\n")
        elif step == 3:
            self.transport.write(self.run.mails[self.sent_number % len(self.run.mails)])
        elif step == 4:
            self.run.seconds.append(time.perf_counter() - self.began)
            self.run.kept += 1
            self.next_mail()
        else:
            self.transport.close()

    def next_mail(self) -> None:
        if self.run.left <= 0 or self.sent >= PER_CONNECTION:
            self.step = 5
            self.transport.write(b"QUIT\r\n")
            return
        self.run.left -= 1
        self.sent_number = self.run.left
        self.sent += 1
        self.step = 1
        self.began = time.perf_counter()
        self.transport.write(b"MAIL FROM:<rep@sender.example>\r\n")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _session(run: Run) -> None:
    loop = asyncio.get_running_loop()
    while run.left > 0 and len(run.failures) < 10:
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda done=done: Sender(run, done), run.target.host, run.target.port)
        await done


async def _load(target: Target, mails: list[bytes], number: int, sessions: int) -> tuple[Run, float]:
    run = Run(target, mails, number)
    began = time.perf_counter()
    await asyncio.gather(*(_session(run) for _ in range(sessions)))
    return run, time.perf_counter() - began


def listener(port: int) -> psutil.Process | None:
    """The process that listens on this port of this machine, when it may be seen."""
    try:
        pids = [c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]
        process = psutil.Process(min(pids)) if pids else None
        parent = process.parent() if process is not None else None
        return parent if parent is not None and parent.name() == "master" else process  # Postfix: all its daemons count
    except psutil.Error:
        return None


def family(process: psutil.Process | None) -> list[psutil.Process]:
    return [] if process is None else [process, *process.children(recursive=True)]


def cpu(process: psutil.Process | None) -> float:
    """User and system seconds of a server: its processes and those of its children that have ended."""
    total = 0.0
    for one in family(process):
        try:
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            pass
    return total


def memory(process: psutil.Process | None) -> float:
    """MB: PSS, so that shared pages count once."""
    total = 0
    for one in family(process):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            pass
    return total / 1e6


def measure_in_c(target: Target, number: int, sessions: int) -> dict[str, float]:
    """The same by Postfix's smtp-source: mails of 55 kB, one size; it costs the shared cores far less than we do."""
    process = listener(target.port)
    before, began = cpu(process), time.perf_counter()
    command = ["smtp-source", *(["-L"] if target.lmtp else []), "-d", "-s", str(sessions), "-m", str(number), "-l", "55000", "-f", "rep@sender.example"]
    done = subprocess.run([*command, "-t", target.recipient, f"{target.host}:{target.port}"], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{target.text}: smtp-source failed: {done.stderr[-300:]}")
    return {"rate": number / seconds, "p50": 0.0, "p99": 0.0, "cpu": (cpu(process) - before) / number * 1000, "memory": memory(process)}


def measure(target: Target, mails: list[bytes], number: int, sessions: int) -> dict[str, float]:
    process = listener(target.port)
    before = cpu(process)
    run, seconds = asyncio.run(_load(target, mails, number, sessions))
    if run.failures or run.kept != number:
        sys.exit(f"{target.text}: {run.kept} of {number} acknowledged; {run.failures[:3]}")
    times = sorted(run.seconds)
    return {
        "rate": number / seconds,
        "p50": times[len(times) // 2] * 1000,
        "p99": times[min(len(times) - 1, int(len(times) * 0.99))] * 1000,
        "cpu": (cpu(process) - before) / number * 1000,
        "memory": memory(process),
    }


def load(options: argparse.Namespace) -> None:
    targets = [Target.read(text) for text in options.targets]
    mails = [stuffed(mail) for mail in mail_set()]
    print(f"mean mail {statistics.mean(map(len, mails)) / 1000:.1f} kB, {options.mails} mails a measurement, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for target in targets:
        measure(target, mails, min(100, options.mails), 5)  # warm
    for sessions in options.sessions:
        results: dict[str, list[dict[str, float]]] = {target.text: [] for target in targets}
        for number in range(options.rounds):
            for target in targets if number % 2 == 0 else targets[::-1]:
                one = measure_in_c(target, options.mails, sessions) if options.smtp_source else measure(target, mails, options.mails, sessions)
                results[target.text].append(one)
        print(f"\n{sessions} sessions")
        for target in targets:
            rows = results[target.text]
            middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
            print(f"  {target.text:40} {middle['rate']:7.0f} mails/s  p50 {middle['p50']:7.1f} ms  p99 {middle['p99']:7.1f} ms  CPU {middle['cpu']:5.2f} ms a mail  {middle['memory']:5.0f} MB")
        for other in targets[1:]:
            for key, name in (("rate", "mails/s"), ("p99", "p99"), ("cpu", "CPU")):
                if any(row[key] <= 0 for row in results[other.text]):
                    continue
                ratios = [a[key] / b[key] for a, b in zip(results[targets[0].text], results[other.text], strict=True)]
                print(f"  first to {other.text}: {name} x {statistics.median(ratios):.2f} [{min(ratios):.2f}..{max(ratios):.2f}]")


# --- a server of our own ---------------------------------------------------------------------------------------------


class GroupCommit:
    """An intake of its own for this bench: SQLite, WAL, synchronous=FULL, one commit for all that waits."""

    message_limit = 20 * 1024 * 1024

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE inbound (id INTEGER PRIMARY KEY AUTOINCREMENT, sha256 BLOB, envelope TEXT, raw BLOB);"
        )
        self.queue: queue.Queue[tuple[bytes, Any, Future[int]] | None] = queue.Queue()
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def accepts(self, address: str) -> bool:
        return address.lower() == "drop@crm.example"

    def receive(self, raw: bytes, envelope: Any) -> int:
        return self.submit(raw, envelope).result()

    def submit(self, raw: bytes, envelope: Any) -> Future[int]:
        future: Future[int] = Future()
        self.queue.put((raw, envelope, future))
        return future

    def write(self) -> None:
        while (first := self.queue.get()) is not None:
            batch = [first]
            while len(batch) < 200 and not self.queue.empty():
                if (more := self.queue.get()) is None:
                    self.queue.put(None)
                    break
                batch.append(more)
            self.database.execute("BEGIN IMMEDIATE")
            ids = [
                self.database.execute("INSERT INTO inbound (sha256, envelope, raw) VALUES (?, ?, ?)", (hashlib.sha256(raw).digest(), repr(envelope), raw)).lastrowid
                for raw, envelope, _ in batch
            ]
            self.database.execute("COMMIT")
            for (_, _, future), ident in zip(batch, ids, strict=True):
                future.set_result(ident or 0)

    def close(self) -> int:
        self.queue.put(None)
        self.thread.join()
        [(number,)] = self.database.execute("SELECT count(*) FROM inbound")
        self.database.close()
        return int(number)


class Memory:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def set(self, **values: Any) -> None:
        self.values |= values
        print(f"listening on port {values.get('port')}", flush=True)


def serve(options: argparse.Namespace) -> None:
    from core.types import SourceContext
    from plugins.sources import lmtp, smtp

    source, kind = (lmtp, lmtp.LmtpSettings) if options.lmtp else (smtp, smtp.SmtpSettings)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        intake = GroupCommit(Path(folder) / "intake.db")
        settings = kind(port=options.port, hostname="mx.crm.example", max_connections=options.max_connections, max_connections_per_ip=options.max_connections, command_timeout=3600, session_timeout=3600)
        context = SourceContext("bench", settings, intake, Memory(), None, None, lambda: dt.datetime.now(dt.UTC), logging.getLogger("bench"))  # type: ignore[arg-type]
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        thread = threading.Thread(target=source.run, args=(context, stop))
        thread.start()
        while not stop.wait(0.2):
            pass
        thread.join()
        print(f"kept {intake.close()} mails", flush=True)


# --- many idle clients -----------------------------------------------------------------------------------------------


class Idle(asyncio.Protocol):
    def __init__(self) -> None:
        self.greeted = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if not self.greeted.done():
            self.greeted.set_result(data[:3])


async def _idle(target: Target, connections: int) -> None:
    loop = asyncio.get_running_loop()
    process = listener(target.port)
    print(f"memory before: {memory(process):.0f} MB")
    opened: list[Any] = []
    for _ in range(0, connections, 200):
        pairs = await asyncio.gather(*(loop.create_connection(Idle, target.host, target.port) for _ in range(200)))
        for transport, protocol in pairs:
            code = await asyncio.wait_for(protocol.greeted, 10)
            if code != b"220":
                sys.exit(f"connection {len(opened)} was answered {code!r}")
            opened.append(transport)
    print(f"{len(opened)} idle connections: {memory(process):.0f} MB")
    run, seconds = await _load(target, [stuffed(mail) for mail in mail_set(1)], 1, 1)
    print(f"a new mail took {seconds * 1000:.0f} ms; acknowledged: {run.kept}")
    for transport in opened:
        transport.close()


def idle(options: argparse.Namespace) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.connections + 500), hard))
    asyncio.run(_idle(Target.read(options.target), options.connections))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("load")
    one.add_argument("targets", nargs="+")
    one.add_argument("--rounds", type=int, default=5)
    one.add_argument("--mails", type=int, default=500)
    one.add_argument("--sessions", type=lambda text: [int(part) for part in text.split(",")], default=[1, 10, 50])
    one.add_argument("--smtp-source", action="store_true", help="send by Postfix's smtp-source, written in C")
    one.set_defaults(do=load)
    two = commands.add_parser("serve")
    two.add_argument("--port", type=int, default=8025)
    two.add_argument("--lmtp", action="store_true")
    two.add_argument("--folder", help="where the database stands; choose a real disk")
    two.add_argument("--max-connections", type=int, default=500)
    two.set_defaults(do=serve)
    three = commands.add_parser("idle")
    three.add_argument("target")
    three.add_argument("--connections", type=int, default=10_000)
    three.set_defaults(do=idle)
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()
