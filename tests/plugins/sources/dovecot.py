"""A real Dovecot with its own folder, port and configuration; any user name signs in with the password `test-secret`.

Nothing of the machine's own mail set-up is read or touched. Skipped by name where Dovecot is not installed.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from imapclient import IMAPClient

from tests.conftest import missing
from tests.plugins.sources.certificates import make_certificate

PASSWORD = "test-secret"

CONF = """
base_dir = @DIR@/run
state_dir = @DIR@/state
log_path = @DIR@/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <@CERTIFICATE@
ssl_key = <@KEY@
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2 oauthbearer
auth_failure_delay = 0
default_internal_user = @USER@
default_internal_group = @GROUP@
default_login_user = @USER@
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:@DIR@/mail/%u
mail_max_userip_connections = 20
maildir_very_dirty_syncs = yes
mail_fsync = never
passdb {
  driver = static
  args = password=test-secret
}
userdb {
  driver = static
  args = uid=@USER@ gid=@GROUP@ home=@DIR@/mail/%u allow_all_users=yes
}
service imap-login {
  chroot =
  inet_listener imap {
    port = @PORT@
  }
  inet_listener imaps {
    port = @TLS_PORT@
  }
}
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""


class Dovecot:
    """A server that can be stopped, killed and started again on the same mail."""

    def __init__(self, folder: Path) -> None:
        # Dovecot serves no mail as root; the tests may run as root all the same.
        account = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.tls = make_certificate(folder, "localhost")
        self.conf = folder / "dovecot.conf"
        group = grp.getgrgid(account.pw_gid).gr_name
        words = {"DIR": str(folder), "PORT": str(self.port), "TLS_PORT": str(self.tls_port), "CERTIFICATE": self.tls["tls_cert"], "KEY": self.tls["tls_key"], "USER": account.pw_name, "GROUP": group}
        text = CONF
        for name, value in words.items():
            text = text.replace(f"@{name}@", value)
        self.conf.write_text(text)
        for name in ("run", "state", "mail"):
            (folder / name).mkdir(exist_ok=True)
        if os.getuid() == 0:
            folder.chmod(0o755)
            shutil.chown(folder / "mail", account.pw_name, group)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "out.log").open("ab") as out:
            self.process = subprocess.Popen(["dovecot", "-F", "-c", str(self.conf)], stdout=out, stderr=out, start_new_session=True)
        wait_for(lambda: answers(self.port), "Dovecot to answer")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)
            with suppress(ProcessLookupError):  # its sessions would take their leave only after ten seconds
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process = None

    def admin(self, *words: str) -> str:
        done = subprocess.run(["doveadm", "-c", str(self.conf), *words], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def client(self, user: str) -> Iterator[IMAPClient]:
        """Another mail program of the same person."""
        client = IMAPClient("127.0.0.1", self.port, ssl=False, timeout=20)
        try:
            client.login(user, PASSWORD)
            yield client
        finally:
            client.shutdown()

    def put(self, user: str, *mails: bytes, folder: str = "INBOX") -> None:
        with self.client(user) as client:
            for raw in mails:
                client.append(folder, raw)

    def fill(self, user: str, count: int, make: object, *, first: int = 0) -> None:
        """Many mails at once, straight into the maildir."""
        with self.client(user) as client:
            client.select_folder("INBOX")
        new = self.folder / "mail" / user / "new"
        owner = new.stat()
        for n in range(first, first + count):
            path = new / f"{1_700_000_000 + n}.M{n}.test"
            path.write_bytes(make(n))  # type: ignore[operator]
            os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def dovecot() -> Iterator[Dovecot]:
    if shutil.which("dovecot") is None or shutil.which("doveadm") is None:
        missing("Dovecot")
    # Paths of UNIX sockets are limited to about 100 characters, and pytest's own folders are long and closed to others.
    folder = Path(tempfile.mkdtemp(prefix="dc-", dir="/tmp"))
    server = Dovecot(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            return sock.recv(10).startswith(b"* OK")
    except OSError:
        return False


def wait_for(condition: object, what: str, seconds: float = 60) -> None:
    """Until the condition holds; the pause between looks is no part of any test's time."""
    ends = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < ends, f"waited in vain for {what}"
        time.sleep(0.01)
