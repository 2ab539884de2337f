"""A real Postfix of its own: config, queue and ports apart from the machine's, started and stopped by root."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing


@dataclass
class Postfix:
    folder: Path
    port: int

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def wait_for(self, pattern: str, seconds: float = 20) -> str:
        """The first log line that holds the pattern."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in self.log().splitlines():
                if re.search(pattern, line):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"Postfix never logged {pattern!r}:\n{self.log()[-3000:]}")

    def flush(self) -> None:
        subprocess.run(["postqueue", "-c", str(self.folder / "etc"), "-f"], check=True)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _services(port: int) -> str:
    """master.cf: what a mail needs from smtpd to lmtp and back, nothing in a chroot."""
    unix = [("cleanup", "cleanup", "n", 0), ("qmgr", "qmgr", "n", 1), ("pickup", "pickup", "n", 1), ("rewrite", "trivial-rewrite", "-", "-"), ("bounce", "bounce", "-", 0)]
    unix += [("defer", "bounce", "-", 0), ("trace", "bounce", "-", 0), ("error", "error", "-", "-"), ("retry", "error", "-", "-"), ("discard", "discard", "-", "-")]
    unix += [("lmtp", "lmtp", "-", "-"), ("smtp", "smtp", "-", "-"), ("flush", "flush", "n", 0), ("showq", "showq", "n", "-"), ("anvil", "anvil", "-", 1), ("scache", "scache", "-", 1)]
    unix += [("proxymap", "proxymap", "-", "-"), ("tlsmgr", "tlsmgr", "-", 1), ("verify", "verify", "-", 1)]
    lines = [f"127.0.0.1:{port} inet n - n - - smtpd", "postlog unix-dgram n - n - 1 postlogd"]
    return "\n".join(lines + [f"{name} unix {private} - n - {most} {program}" for name, program, private, most in unix]) + "\n"


@contextmanager
def postfix(settings: dict[str, str], services: str = "") -> Iterator[Postfix]:
    """With these lines in main.cf and, as they are, in master.cf. Skipped by name where the machine has no Postfix or the tests do not run as root."""
    if not shutil.which("postfix") or os.geteuid() != 0:
        missing("Postfix (the Debian package postfix, started by root)")
    folder = Path(tempfile.mkdtemp(prefix="dropcopy-postfix-"))
    folder.chmod(0o755)
    for name in ("etc", "spool", "data"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    port = _free_port()
    known = {
        "compatibility_level": "3.6", "config_directory": f"{folder}/etc", "queue_directory": f"{folder}/spool", "data_directory": f"{folder}/data",
        "command_directory": "/usr/sbin", "daemon_directory": "/usr/lib/postfix/sbin", "mail_owner": "postfix", "setgid_group": "postdrop",
        "myhostname": "relay.crm.example", "mydestination": "", "alias_maps": "", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8 192.0.2.0/24", "smtpd_relay_restrictions": "permit_mynetworks, reject", "smtp_dns_support_level": "disabled",
        "maillog_file": f"{folder}/log", "maillog_file_prefixes": str(folder), "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
    }  # fmt: skip
    (folder / "etc" / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in {**known, **settings}.items()))
    (folder / "etc" / "master.cf").write_text(_services(port) + services)
    run = ["postfix", "-c", str(folder / "etc")]
    subprocess.run([*run, "start"], check=True, capture_output=True, timeout=30)
    one = Postfix(folder, port)
    try:
        one.wait_for("daemon started")
        yield one
    finally:
        subprocess.run([*run, "stop"], capture_output=True, timeout=30)
        shutil.rmtree(folder, ignore_errors=True)
