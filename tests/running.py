"""A whole Dropcopy in processes of its own: real SMTP, a real DNS server on loopback, really signed mail.

    with Running(tmp_path) as house:
        house.send(house.mail("Ten chairs"))
        house.until(lambda: house.status()["logged"] == 1)

Its processes are forked from one that has imported everything, see tests/nursery.py; `fresh=True` starts each with an
interpreter of its own, where the start itself or the memory is what is looked at.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.dnsserver import DnsServer
from tests.mailmaker import Signer, make_mail
from tests.nursery import Child, nursery

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"
PEOPLE: dict[str, Any] = {
    "reps": [
        {"external_id": "ana", "email": "ana@sales.example", "name": "Ana", "password": PASSWORD, "default_sharing": "company"},
        {"external_id": "ben", "email": "ben@sales.example", "name": "Ben", "password": PASSWORD},
    ],
    "organisations": [{"external_id": "o1", "name": "Cust Ltd", "domains": ["cust.example"]}],
    "contacts": [{"external_id": "c1", "name": "Bo", "addresses": ["bo@cust.example"], "organisation": "o1"}],
    "deals": [{"external_id": "d1", "title": "Ten chairs", "contacts": ["c1"], "organisation": "o1", "created_at": "2026-01-01T00:00:00Z"}],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A Dropcopy under `folder`, set up and loaded; `parts` are the processes to start."""

    def __init__(
        self, folder: Path, *, parts: Sequence[str] = ("receive", "worker"), environ: Mapping[str, str] | None = None, people: Mapping[str, Any] | None = None,
        fresh: bool = False,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.fresh = fresh
        self.smtp = ("127.0.0.1", free_port())
        self.http = f"127.0.0.1:{free_port()}"
        self.signer = Signer("sales.example")
        self.dns = DnsServer({**self.signer.dns, "sales.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}})
        self.parts = parts
        self.processes: dict[str, subprocess.Popen[bytes] | Child] = {}
        self.people = PEOPLE if people is None else people
        self.answers: dict[str, str] = {}
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DROPCOPY_")},
            "DROPCOPY_DATA_DIR": str(folder / "data"),
            "DROPCOPY_SMTP": f"127.0.0.1:{self.smtp[1]}",
            "DROPCOPY_HTTP": self.http,
            "DROPCOPY_DNS": self.dns.address,
            "DROPCOPY_LOG": "WARNING",
            **(environ or {}),
        }

    def __enter__(self) -> Running:
        self.dns.start()
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self.answers = json.loads(
            self.command(
                "setup", "--company", "Acme", "--slug", "acme", "--mail-domain", "drop.example", "--admin-email", "root@sales.example",
                "--admin-password-file", str(secret),
            )
        )  # fmt: skip
        people = self.folder / "people.json"
        people.write_text(json.dumps(self.people))
        self.command("load", str(people))
        for part in self.parts:
            self.start(part)
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("receive", "web", "worker"):
            self.end(name)
        self.dns.stop()

    # --- processes ---

    def start(self, part: str) -> None:
        with (self.folder / f"{part}.log").open("ab") as log:
            if self.fresh:
                self.processes[part] = subprocess.Popen([sys.executable, "app.py", part], cwd=ROOT, env=self.env, stdout=log, stderr=log)
            else:
                self.processes[part] = nursery().start([part], self.env, log)

    def kill(self, part: str) -> None:
        """kill -9, the children of the fence included in what follows: they end by themselves."""
        process = self.processes.pop(part)
        process.kill()
        process.wait()

    def end(self, part: str, number: int = signal.SIGTERM) -> int | None:
        process = self.processes.pop(part, None)
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def wait_ready(self) -> None:
        if "receive" in self.processes:
            self.until(self.answers_smtp, 60)
        if "web" in self.processes:
            self.until(lambda: self.get("/livez")[0] == 200, 60)

    def answers_smtp(self) -> bool:
        try:
            with socket.create_connection(self.smtp, timeout=2) as channel:
                return channel.recv(3) == b"220"
        except OSError:
            return False

    def command(self, *arguments: str, check: bool = True) -> str:
        if self.fresh:
            done = subprocess.run([sys.executable, "app.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120)
        else:
            done = nursery().run(arguments, self.env)
        if check and done.returncode:
            raise AssertionError(f"app.py {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def status(self) -> dict[str, Any]:
        return json.loads(self.command("status", "--json"))

    def until(self, true: Callable[[], Any], seconds: float = 30) -> None:
        """Wait for a condition; the logs are told when it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if true():
                return
            time.sleep(0.02)
        raise AssertionError(f"it did not come within {seconds} s\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in self.folder.glob("*.log"))

    # --- mail and web ---

    def mail(self, subject: str = "Ten chairs", *, sender: str = "Ana <ana@sales.example>", to: str = "Bo <bo@cust.example>", **more: Any) -> bytes:
        """A mail signed by the company's own domain."""
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
        return self.signer.sign(make_mail(sender, to=to, subject=subject, date=date, **more))

    def send(self, raw: bytes, to: Sequence[str] = ("acme@drop.example",), sender: str = "ana@sales.example") -> None:
        with smtplib.SMTP(*self.smtp, timeout=30) as client:
            client.sendmail(sender, list(to), raw)

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://{self.http}{path}")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def api(self, path: str, body: Any = None, method: str = "GET") -> Any:
        """What the API answers an admin."""
        request = urllib.request.Request(f"http://{self.http}/api/v1{path}", data=None if body is None else json.dumps(body).encode(), method=method)
        request.add_header("Authorization", f"Bearer {self.answers['api_token']}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path} answered {error.code}: {error.read()[:500]!r}") from None


