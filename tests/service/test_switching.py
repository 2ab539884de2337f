"""Ways in that are opened and closed while mail flows: what was sent is what was accepted and what was refused, and nothing comes twice."""

from __future__ import annotations

import itertools
import smtplib
import socket
import subprocess
import sys
import threading
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.sources.dovecot import Dovecot
from tests.plugins.sources.dovecot import dovecot as running_dovecot
from tests.running import ROOT, Running, free_port
from tests.service.test_ways_in import SECRET, call, hook, mailbox, settled

PACE = 0.2  # seconds between two mails of a sender: mail flows all the time, and a slow machine is not buried under it
PATIENCE = 240  # seconds for what takes one or two on an idle machine: nothing here is about speed


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with running_dovecot() as server:
        yield server


def door_of(house: Running) -> tuple[dict[str, Any], str]:
    """A new webhook source, and where to post to."""
    door = call(house, "POST", "/sources", {"kind": "generic", "name": "Door", "settings": {"secret": SECRET}})
    return door, f"http://{house.http}/in/" + door["url"].partition("/in/")[2]


def sent_by_smtp(house: Running, raw: bytes) -> bool:
    """Whether the mail was taken. A connection that ends without a word after the mail is an error: nobody knows then where the mail is."""
    try:
        client = smtplib.SMTP(*house.smtp, timeout=30)
        client.ehlo()
        if client.mail("ana@sales.example")[0] != 250 or client.rcpt("acme@drop.example")[0] != 250:
            return False
    except (OSError, smtplib.SMTPException):
        return False
    try:
        return client.data(raw)[0] == 250
    except smtplib.SMTPDataError:
        return False
    finally:
        client.close()


class Senders:
    """Sends a new mail after the other by the way of the moment, each until it is taken; counts every try."""

    def __init__(self, make: Callable[[str], bytes], way: Callable[[bytes], bool]) -> None:
        self.way = way
        self.tries: Counter[str] = Counter()
        self._make = make
        self._faults: list[BaseException] = []
        self._serial = itertools.count()
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        try:
            while not self._enough.is_set():
                raw = self._make(f"Order {next(self._serial)}")
                while not self._tried(raw):
                    self._enough.wait(PACE)  # a sender who is refused does not ask again at once
                self._enough.wait(PACE)
        except BaseException as fault:
            self._faults.append(fault)

    def _tried(self, raw: bytes) -> bool:
        taken = self.way(raw)
        with self._lock:
            self.tries.update(["sent", "taken" if taken else "refused"])
        return taken

    def more(self, what: str, number: int) -> Callable[[], bool]:
        """A condition: so many more tries ended like this than until now."""
        wanted = self.tries[what] + number
        return lambda: self._faults != [] or self.tries[what] >= wanted

    def finish(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(timeout=60)
        assert self._faults == []
        assert not any(thread.is_alive() for thread in self._threads)


@pytest.mark.timeout(900)
def test_a_running_house_moves_from_smtp_to_a_webhook_to_a_mailbox_and_back(tmp_path: Path, dovecot: Dovecot) -> None:
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        door, url = door_of(house)
        with_port = house.env
        without_port = {**with_port, "DROPCOPY_SMTP": ""}

        def by_mailbox(raw: bytes) -> bool:
            dovecot.put("moving", raw)
            return True

        senders = Senders(house.mail, lambda raw: sent_by_smtp(house, raw))
        house.until(senders.more("taken", 15), PATIENCE)
        assert house.end("receive") == 0
        house.until(senders.more("refused", 1), PATIENCE)
        senders.way = lambda raw: hook(house, url, raw) == 202
        house.until(senders.more("taken", 15), PATIENCE)
        house.env = without_port
        house.start("receive")
        call(house, "POST", "/sources", mailbox(dovecot, "moving"))
        call(house, "PATCH", f"/sources/{door['id']}", {"enabled": False})
        house.until(senders.more("refused", 3), PATIENCE)
        by_others = house.status()["accepted"]
        senders.way = by_mailbox
        house.until(senders.more("taken", 15), PATIENCE)
        house.until(lambda: house.status()["accepted"] > by_others, 60)  # the mailbox is being read
        assert house.end("receive") == 0
        house.env = with_port
        house.start("receive")  # what is left in the mailbox comes beside the port
        house.until(house.answers_smtp, PATIENCE)
        senders.way = lambda raw: sent_by_smtp(house, raw)
        house.until(senders.more("taken", 15), PATIENCE)
        senders.finish()
        taken = senders.tries["taken"]
        house.until(lambda: settled(house, taken), PATIENCE)
        status = house.status()
        assert senders.tries["sent"] == status["accepted"] + senders.tries["refused"]
        assert (status["accepted"], status["held"], status["ignored"]) == (taken, 0, 0)


def test_the_same_mail_by_four_ways_is_one_mail(tmp_path: Path, dovecot: Dovecot) -> None:
    """And every answer comes after the commit: what was answered is counted at once."""
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        _, url = door_of(house)
        raw = house.mail("One and the same")
        house.send(raw)
        assert house.status()["accepted"] == 1
        assert hook(house, url, raw) == 202
        assert house.status()["accepted"] == 2
        assert _piped(house, tmp_path, url, raw).returncode == 0
        assert house.status()["accepted"] == 3
        call(house, "POST", "/sources", mailbox(dovecot, "same"))
        dovecot.put("same", raw)
        house.until(lambda: house.status()["accepted"] == 4 and settled(house, 1), 60)
        assert house.status()["ignored"] == 3
        house.end("web")
        later = _piped(house, tmp_path, url, house.mail("Later"))
        assert later.returncode == 75, "a mail server keeps it and tries again"
        assert "Traceback" not in later.stderr.decode()


def _piped(house: Running, folder: Path, url: str, raw: bytes) -> subprocess.CompletedProcess[bytes]:
    token = folder / "token"
    token.write_text(SECRET + "\n")
    env = {**house.env, "SENDER": "ana@sales.example", "RECIPIENT": "acme@drop.example"}
    command = [sys.executable, "app.py", "deliver", url, "--token-file", str(token)]
    return subprocess.run(command, cwd=ROOT, env=env, input=raw, capture_output=True, timeout=60, check=False)


@pytest.mark.timeout(600)
def test_fifty_deliveries_of_one_mail_at_once_are_one_mail_by_every_way_in(tmp_path: Path, dovecot: Dovecot) -> None:
    lmtp = free_port()
    environ = {"DROPCOPY_LMTP": f"127.0.0.1:{lmtp}", "DROPCOPY_SMTP_CONNECTIONS_PER_IP": "60"}
    with Running(tmp_path, parts=("receive", "worker", "web"), environ=environ) as house:
        _, url = door_of(house)

        def by_lmtp(raw: bytes) -> bool:
            with smtplib.LMTP("127.0.0.1", lmtp, timeout=60) as client:
                return client.sendmail("ana@sales.example", ["acme@drop.example"], raw) == {}

        ways: dict[str, Callable[[bytes], bool]] = {"webhook": lambda raw: hook(house, url, raw) == 202, "SMTP": lambda raw: sent_by_smtp(house, raw), "LMTP": by_lmtp}
        for number, (name, way) in enumerate(ways.items(), 1):
            raw = house.mail(f"Fifty by {name}")
            with ThreadPoolExecutor(50) as pool:
                assert list(pool.map(way, [raw] * 50)) == [True] * 50, name
            house.until(lambda wanted=number: settled(house, wanted), PATIENCE)
        raw = house.mail("Fifty copies in a mailbox")
        dovecot.put("fifty", *[raw] * 50)
        call(house, "POST", "/sources", mailbox(dovecot, "fifty"))
        house.until(lambda: house.status()["accepted"] == 200 and settled(house, 4), PATIENCE)
        status = house.status()
        assert (status["accepted"], status["logged"], status["ignored"], status["held"]) == (200, 4, 196, 0)


def test_a_stop_refuses_new_mail_and_takes_the_slow_one_that_has_begun(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("receive",)) as house:
        raw = house.mail("Slow", body="".join(f"{number:06d} {'x' * 60}\n" for number in range(75_000)))
        assert len(raw) > 5_000_000
        client = smtplib.SMTP(*house.smtp, timeout=60)
        client.ehlo()
        client.mail("ana@sales.example")
        client.rcpt("acme@drop.example")
        assert client.docmd("DATA")[0] == 354
        client.send(raw[:250_000])
        process = house.processes["receive"]
        process.terminate()
        taken = 0
        while sent_by_smtp(house, house.mail("Just in time")):
            taken += 1
        for at in range(250_000, len(raw), 250_000):
            assert process.poll() is None
            client.send(raw[at : at + 250_000])
        client.send(b".\r\n")
        assert client.getreply()[0] == 250
        client.close()
        assert process.wait(timeout=40) == 0
        status = house.status()
        assert status["accepted"] == status["received"] == taken + 1


def refused_or(way: Callable[[], int]) -> int:
    """The status of a request; 0 when nobody listens, or the kernel drops what waited to be accepted. The sum at the end shows that no such mail was kept."""
    try:
        return way()
    except ConnectionResetError:
        return 0
    except urllib.error.URLError as error:
        if isinstance(error.reason, (ConnectionRefusedError, ConnectionResetError)):
            return 0
        raise


@pytest.mark.timeout(600)
def test_a_stop_of_the_web_answers_the_webhook_that_has_begun(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("web",)) as house:
        _, url = door_of(house)
        raw = house.mail("Slow", body="x" * 60 + "\n" + "0123456789\n" * 50_000)
        host, _, port = house.http.partition(":")
        head = f"POST {url.partition(house.http)[2]} HTTP/1.1\r\nHost: x\r\nContent-Type: message/rfc822\r\nAuthorization: Bearer {SECRET}\r\n"
        head += f"X-Envelope-To: acme@drop.example\r\nX-Envelope-From: ana@sales.example\r\nContent-Length: {len(raw)}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=120) as channel:
            channel.sendall(head.encode() + raw[:200_000])
            assert house.get("/livez")[0] == 200  # one loop reads all connections, so it has seen the head of that request
            process = house.processes["web"]
            process.terminate()
            house.until(lambda: house.get("/livez")[0] == 0, PATIENCE)  # nothing new
            assert process.poll() is None
            channel.sendall(raw[200_000:])
            answer = channel.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 202")
        assert b"Connection: close" in answer
        assert process.wait(timeout=40) == 0
        assert house.status()["accepted"] == 1


@pytest.mark.timeout(900)
def test_the_web_stops_and_starts_while_webhooks_flow(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("worker", "web")) as house:
        _, url = door_of(house)
        senders = Senders(house.mail, lambda raw: refused_or(lambda: hook(house, url, raw)) == 202)
        for _ in range(3):
            house.until(senders.more("taken", 10), PATIENCE)
            assert house.end("web") == 0
            house.until(senders.more("refused", 3), PATIENCE)
            house.start("web")
        house.until(senders.more("taken", 10), PATIENCE)
        senders.finish()
        taken = senders.tries["taken"]
        house.until(lambda: settled(house, taken), PATIENCE)
        assert senders.tries["sent"] == house.status()["accepted"] + senders.tries["refused"]
