"""A disk that is full, and a disk whose syncs fail, under the running parts: nothing acknowledged is lost, and all goes on by itself."""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.cookiejar import CookieJar
from itertools import count
from pathlib import Path
from sqlite3 import connect
from time import monotonic, sleep

import pytest
from peewee import OperationalError

from core.settings import Settings
from core.store import disk
from core.store.database import close_databases, connected, intake_db, main_db, open_databases, run_sql, write
from core.store.migrate import migrate
from tests import powercut
from tests.conftest import missing
from tests.running import PASSWORD, Running

PARTS = ("receive", "worker", "web")


class Browser:
    """Ana, signed in, as a browser asks."""

    def __init__(self, house: Running) -> None:
        self._root = f"http://{house.http}"
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        status, _ = self.post("/login", on="/login", email="ana@sales.example", password=PASSWORD)
        assert status == 200

    def get(self, path: str) -> tuple[int, str]:
        return self._ask(urllib.request.Request(self._root + path))

    def post(self, path: str, on: str, **fields: str) -> tuple[int, str]:
        """Send a form that stands on the page `on`."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(on)[1])
        assert found is not None
        return self._ask(urllib.request.Request(self._root + path, urllib.parse.urlencode({**fields, "csrf_token": found[1]}).encode()))

    def _ask(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with self._opener.open(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Sender:
    """A mail server: it keeps what is refused for now, and knows what was taken."""

    def __init__(self, house: Running) -> None:
        self._house = house
        self._number = 0
        self.refused: dict[int, bytes] = {}
        self.acked: set[int] = set()

    def send(self, body: str = "A line.") -> int:
        """Send a fresh mail; the code of the answer."""
        self._number += 1
        return self._hand_over(self._number, self._house.mail(f"Disk {self._number}", message_id=f"<disk-{self._number}@sales.example>", body=body))

    def send_again(self) -> bool:
        """Try what was refused once more; True when nothing is left."""
        for number, raw in list(self.refused.items()):
            self._hand_over(number, raw)
        return not self.refused

    def _hand_over(self, number: int, raw: bytes) -> int:
        try:
            self._house.send(raw)
        except smtplib.SMTPDataError as refusal:
            self.refused[number] = raw
            return refusal.smtp_code
        self.refused.pop(number, None)
        self.acked.add(number)
        return 250


def all_logged_once(house: Running, sender: Sender, data: Path) -> None:
    """Every mail that got a 250 is logged exactly once, and the two files agree."""
    house.until(lambda: (found := house.status())["received"] + found["processing"] == 0, 90)
    with closing(connect(data / "main.db")) as base:
        logged = Counter(row[0] for row in base.execute("SELECT message_id FROM message"))
    assert logged == {f"disk-{number}@sales.example": 1 for number in sender.acked}
    house.command("status", "--check")  # ends with 1 when something has no partner


def ready(house: Running) -> bool:
    return house.get("/readyz")[0] == 200


# --- full ----------------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own with so much room. Its absence is named."""
    place = folder / "small"
    place.mkdir()
    try:
        powercut.command("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place))
    except powercut.NotHere as error:
        missing(f"a small disk ({error})")
    try:
        yield place
    finally:
        powercut.command("umount", "-l", str(place))


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


@pytest.mark.timeout(300)
def test_a_full_disk_refuses_mail_for_now_lets_people_read_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, 32) as place, Running(tmp_path, parts=PARTS, environ={"DROPCOPY_DATA_DIR": str(place / "data")}) as house:
        sender, browser = Sender(house), Browser(house)
        assert [sender.send() for _ in range(3)] == [250] * 3
        house.until(lambda: house.status()["logged"] == 3)
        house.until(lambda: ready(house))

        fill(place / "ballast")
        house.until(lambda: sender.send("A long line of a long offer.\r\n" * 10_000) == 451, 60)
        assert sender.send("A long line of a long offer.\r\n" * 10_000) == 451
        house.until(lambda: not ready(house))
        people_read_and_cannot_write(house, browser)

        (place / "ballast").unlink()
        house.until(sender.send_again, 60)
        house.until(lambda: ready(house), 60)
        assert "Nothing can be written" not in browser.get("/inbox")[1]
        assert browser.post("/contacts", on="/contacts", title="Late Person", address="late@cust.example")[0] == 200
        all_logged_once(house, sender, place / "data")


def test_a_disk_is_full_until_there_is_room_for_a_mail(tmp_path: Path) -> None:
    """A write that has nothing to write succeeds, and a small one fits into what the log holds already: neither proves room."""
    before = main_db.obj, intake_db.obj
    with small_disk(tmp_path, 12) as place:
        open_databases(Settings(data_dir=place, secret_key="k" * 32))
        try:
            with connected():
                migrate(Settings(data_dir=place, secret_key="k" * 32))
                fill(place / "ballast")
                with pytest.raises(OperationalError), write():
                    run_sql(main_db, "INSERT INTO setting (name, value) VALUES ('much', ?)", ("x" * 5_000_000,))
                for _ in range(6):
                    assert (disk.watch.trouble, disk.watch.anywhere()) == ("full", True)
                    with write():
                        run_sql(main_db, "DELETE FROM setting WHERE name = 'nobody'")
                    sleep(0.5)
                (place / "ballast").unlink()
                deadline = monotonic() + 30
                while disk.watch.anywhere() and monotonic() < deadline:  # others are told a moment after this process knows
                    sleep(0.1)
                assert (disk.watch.trouble, disk.watch.anywhere()) == (None, False)
        finally:
            close_databases()
            main_db.initialize(before[0])
            intake_db.initialize(before[1])


def people_read_and_cannot_write(house: Running, browser: Browser) -> None:
    for path in ("/inbox", "/threads/1", "/contacts", "/contacts/1", "/organisations", "/deals", "/deals/1", "/held", "/account", "/inbox?q=offer"):
        status, page = browser.get(path)
        assert (path, status) == (path, 200)
        assert "Nothing can be written just now" in page, path
    fillers = count()  # small writes may find a little room in what the log already holds
    house.until(lambda: browser.post("/contacts", on="/contacts", title="Filler" * 9, address=f"filler{next(fillers)}@cust.example")[0] == 503, 60)
    status, page = browser.post("/contacts", on="/contacts", title="Nobody", address="nobody@cust.example")
    assert status == 503
    assert "The disk of this Dropcopy is full." in page
    assert "Something went wrong" not in page
    request = urllib.request.Request(f"http://{house.http}/api/v1/contacts", b'{"name": "Nobody", "addresses": ["nobody@cust.example"]}', method="POST")
    request.add_header("Authorization", f"Bearer {house.answers['api_token']}")
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    with refused.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (503, "60")
        assert b"The disk is full" in answer.read()
    assert "nobody@cust.example" not in browser.get("/contacts?q=nobody")[1].replace('value="nobody"', "")
    assert "cannot be written" in house.command("status")


# --- failing -------------------------------------------------------------------------------------------------------


@contextmanager
def failing_syncs(house: Running, when: str) -> Iterator[Path]:
    """Let syncs of the running receiver fail: `1` the first of each thread, `1+` all. Gives the file of the trace."""
    program = shutil.which("strace")
    if program is None:
        missing("strace (the Debian package strace)")
    trace, log = house.folder / f"trace-{len(when)}", house.folder / f"strace-{len(when)}.log"
    words = [str(program), "-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,sendto", "-e", f"inject=fsync,fdatasync:error=EIO:when={when}"]
    tracer = subprocess.Popen([*words, "-o", str(trace), "-p", str(house.processes["receive"].pid)], stderr=log.open("wb"))
    try:
        house.until(lambda: tracer.poll() is not None or "attached" in log.read_text())
        if tracer.poll() is not None:
            missing(f"the right to trace a process ({log.read_text().strip()})")
        yield trace
    finally:
        tracer.terminate()
        tracer.wait(30)


SYNC = re.compile(r"(?P<thread>\d+) +(?:fsync|fdatasync)\(\d+<(?P<path>[^>]*)>(?:\) += (?P<result>-?\d+)| <unfinished)")
RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. (?:fsync|fdatasync) resumed>.*\) += (?P<result>-?\d+)")


def events(trace: Path) -> list[str]:
    """In order: "failed" and "synced FILE" for syncs when they end, "451" and "kept" for answers to a mail."""
    found = []
    begun: dict[str, str] = {}  # of each thread the file whose sync has not ended when another thread does something
    for line in trace.read_text(errors="replace").splitlines():
        if (sync := SYNC.match(line)) is not None:
            begun[sync["thread"]] = Path(sync["path"]).name
        ended = sync if sync is not None and sync["result"] else RESUMED.match(line)
        if ended is not None:
            found.append("failed" if ended["result"] != "0" else f"synced {begun.get(ended['thread'], '')}")
        elif '"451 ' in line:
            found.append("451")
        elif '"250 2.0.0 Kept' in line:
            found.append("kept")
    return found


@pytest.mark.timeout(200)
def test_failing_syncs_refuse_mail_for_now_and_mark_the_process_until_they_work(tmp_path: Path) -> None:
    with Running(tmp_path, parts=PARTS) as house:
        sender, browser = Sender(house), Browser(house)
        assert sender.send() == 250
        house.until(lambda: ready(house))
        with failing_syncs(house, "1+") as trace:
            assert [sender.send() for _ in range(5)] == [451] * 5
            assert not ready(house)
            assert "cannot be written" in house.command("status")
            assert "Nothing can be written just now" in browser.get("/inbox")[1]
        assert "kept" not in events(trace)
        assert house.processes["receive"].poll() is None
        house.until(lambda: ready(house))
        assert sender.send() == 250
        assert sender.send_again()
        all_logged_once(house, sender, tmp_path / "data")


@pytest.mark.timeout(200)
def test_after_one_failed_sync_nothing_is_acknowledged_before_the_whole_log_is_in_the_file(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("receive", "worker")) as house:
        sender = Sender(house)
        assert sender.send() == 250
        with failing_syncs(house, "1") as trace:  # the next sync would succeed, without what this one lost
            assert sender.send() == 451
            house.until(lambda: sender.send_again(), 60)
        seen = events(trace)
        assert "failed" in seen
        assert "synced intake.db" in seen[seen.index("failed") : seen.index("kept")], seen
        all_logged_once(house, sender, tmp_path / "data")
