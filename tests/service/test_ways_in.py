"""Ways in of a whole running house: changed while mail flows, polled by one receiver, refused early."""

from __future__ import annotations

import base64
import json
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, missing
from tests.plugins.sources.dovecot import PASSWORD, Dovecot
from tests.plugins.sources.dovecot import dovecot as running_dovecot
from tests.running import Running, free_port

SECRET = "bearer-token-0123456789-0123456789"


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with running_dovecot() as server:
        yield server


def connections(server: Dovecot, user: str) -> int:
    """How many sessions this person has on the server."""
    return sum(int(line.split()[1]) for line in server.admin("who", user).splitlines()[1:] if line.split()[0] == user)


def call(house: Running, method: str, path: str, body: Any = None) -> Any:
    """A request of the admin to the API."""
    request = urllib.request.Request(f"http://{house.http}/api/v1{path}", method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {house.answers['api_token']}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def hook(house: Running, url: str, raw: bytes) -> int:
    request = urllib.request.Request(url, method="POST", data=raw)
    for name, value in {"Content-Type": "message/rfc822", "Authorization": f"Bearer {SECRET}", "X-Envelope-To": "acme@drop.example", "X-Envelope-From": "ana@sales.example"}.items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def mailbox(dovecot: Dovecot, user: str) -> dict[str, Any]:
    return {
        "kind": "imap", "name": f"Mailbox {user}",
        "settings": {"host": "127.0.0.1", "port": dovecot.port, "security": "none", "username": user, "password": PASSWORD, "default_recipient": "acme@drop.example"},
    }  # fmt: skip


def settled(house: Running, number: int) -> bool:
    status = house.status()
    return status["logged"] == number and status["received"] == status["processing"] == 0


def test_mail_flows_on_while_the_way_in_is_changed(tmp_path: Path, dovecot: Dovecot) -> None:
    """SMTP, then a webhook, then a mailbox, then SMTP again; each mail of a change also comes by the way before it."""
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        mails = [house.mail(f"Order {number}") for number in range(40)]
        sent = 0
        for raw in mails[:10]:
            house.send(raw)
            sent += 1
        door = call(house, "POST", "/sources", {"kind": "generic", "name": "Door", "settings": {"secret": SECRET}})
        url = door["url"].replace(door["url"].partition("/in/")[0], f"http://{house.http}")
        for raw in mails[5:20]:  # five of them come twice
            assert hook(house, url, raw) == 202
            sent += 1
        box = call(house, "POST", "/sources", mailbox(dovecot, "switch"))
        for raw in mails[15:30]:  # five of them come twice
            dovecot.put("switch", raw)
            sent += 1
        house.until(lambda: house.status()["accepted"] == sent, 60)
        call(house, "PATCH", f"/sources/{door['id']}", {"enabled": False})
        assert hook(house, url, mails[30]) == 503  # paused: refused for now, so the sender keeps it
        call(house, "DELETE", f"/sources/{box['id']}")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(house.send, mails[25:40]))  # five of them come twice
        sent += 15
        house.until(lambda: house.status()["accepted"] == sent and settled(house, 40), 60)
        status = house.status()
        assert (status["accepted"], status["logged"], status["ignored"], status["held"]) == (55, 40, 15, 0)
        row = call(house, "GET", f"/sources/{door['id']}")
        assert row["last_mail_at"]


def test_status_tells_where_the_running_receiver_listens_whatever_its_own_settings_say(tmp_path: Path) -> None:
    def told(house: Running) -> list[tuple[str, bool]]:
        return [(row["listens"], row["listening"]) for row in house.status()["sources"]]

    with Running(tmp_path, parts=("receive",)) as house:
        house.until(lambda: told(house) == [(f"127.0.0.1:{house.smtp[1]}", True)], 10)
        for elsewhere in ("127.0.0.1:1", ""):
            house.env["DROPCOPY_SMTP"] = elsewhere
            assert told(house) == [(f"127.0.0.1:{house.smtp[1]}", True)]
        assert f"listens on 127.0.0.1:{house.smtp[1]}." in house.command("status")
        house.end("receive")
        assert told(house) == []
        house.env["DROPCOPY_SMTP"] = "127.0.0.1:1"
        assert told(house) == [("127.0.0.1:1", False)]


def test_a_mailbox_is_polled_by_one_receiver_and_the_other_takes_over(tmp_path: Path, dovecot: Dovecot) -> None:
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        second = {**house.env, "DROPCOPY_SMTP": ""}
        first_env, house.env = house.env, second
        house.processes["receive-1"] = house.processes.pop("receive")
        house.start("receive")
        house.processes["receive-2"] = house.processes.pop("receive")
        house.env = first_env
        try:
            box = call(house, "POST", "/sources", mailbox(dovecot, "shared"))
            house.until(lambda: connections(dovecot, "shared") >= 1, 30)
            for number in range(20):
                dovecot.put("shared", house.mail(f"Shared {number}"))
            house.until(lambda: settled(house, 20), 60)
            assert connections(dovecot, "shared") == 1, "one receiver holds the lease, the other waits"
            assert house.status()["accepted"] == 20
            # Whichever process fetches: polling by hand comes to the web process and changes nothing twice.
            answers: list[Any] = []
            threads = [threading.Thread(target=lambda: answers.append(call(house, "POST", f"/sources/{box['id']}/poll"))) for _ in range(3)]
            dovecot.put("shared", house.mail("Polled"))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(answers) == 3
            assert all(answer["sentence"] for answer in answers)
            house.until(lambda: settled(house, 21), 60)
            assert house.status()["accepted"] == 21
            call(house, "PATCH", f"/sources/{box['id']}", {"enabled": False})
            house.until(lambda: connections(dovecot, "shared") == 0, 40)
            call(house, "PATCH", f"/sources/{box['id']}", {"enabled": True})
            house.until(lambda: connections(dovecot, "shared") == 1, 40)
            house.end("receive-1")  # an orderly end gives the lease back
            dovecot.put("shared", house.mail("After the first has gone"))
            house.until(lambda: settled(house, 22), 60)
            assert house.status()["accepted"] == 22
            assert call(house, "GET", f"/sources/{box['id']}")["last_mail_at"]
        finally:
            house.end("receive-1")
            house.end("receive-2")


def test_a_record_s_address_works_over_one_mailbox(tmp_path: Path, dovecot: Dovecot) -> None:
    """The address was in Bcc, so it stands nowhere but in the field that the delivering server wrote; what the sender wrote below counts nothing."""
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        (bo,) = house.api("/contacts?address=bo@cust.example")["items"]
        tables = house.api("/deals", {"title": "Twenty tables", "contacts": [bo["id"]]}, "POST")
        call(house, "POST", "/sources", mailbox(dovecot, "records"))
        received = b"Received: from mail.sales.example by mx.acme.example; Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        named = b"X-Original-To: %b\r\nDelivered-To: records@acme.example\r\n" % tables["bcc_address"].encode()
        dovecot.put("records", named + received + house.mail("For the tables"))
        dovecot.put("records", received + named + house.mail("Whose recipient the sender has written"))
        house.until(lambda: settled(house, 2), 60)
        linked = {one["subject"]: [link["title"] for link in one["links"] if link["kind"] == "deal"] for one in house.api("/threads")["items"]}
        assert linked["For the tables"] == ["Twenty tables"]
        assert linked["Whose recipient the sender has written"] != ["Twenty tables"]


@pytest.mark.timeout(300)
def test_after_kill_9_of_a_receiver_the_other_takes_its_mailbox_and_its_port(tmp_path: Path, dovecot: Dovecot) -> None:
    """Nobody has given the leases back: they run out. What was kept before is not kept again, and nothing is lost."""
    with Running(tmp_path, parts=("receive", "worker", "web")) as house:
        port = free_port()
        call(house, "POST", "/sources", mailbox(dovecot, "orphan"))
        call(house, "POST", "/sources", {"kind": "smtp", "name": "Another port", "settings": {"port": port}})
        house.until(lambda: connections(dovecot, "orphan") == 1 and taken(port, b"") is not None, 60)
        house.processes["first"] = house.processes.pop("receive")
        house.env = {**house.env, "DROPCOPY_SMTP": ""}
        house.start("receive")
        for number in range(10):
            dovecot.put("orphan", house.mail(f"Before {number}"))
        assert taken(port, house.mail("By the port, before"))
        house.until(lambda: settled(house, 11), 60)
        for number in range(20):
            dovecot.put("orphan", house.mail(f"Around {number}"))
        house.kill("first")  # in the middle of fetching, or just before or after
        dovecot.put("orphan", house.mail("After"))
        assert taken(port, b"") is None
        house.until(lambda: taken(port, b"") is not None, 120)
        assert taken(port, house.mail("By the port, after"))
        house.until(lambda: settled(house, 33), 120)
        status = house.status()
        assert (status["logged"], status["held"]) == (33, 0)
        assert status["accepted"] == 33, "a key of a mail is kept once, also when it was fetched twice"
        assert connections(dovecot, "orphan") == 1


def taken(port: int, raw: bytes) -> bool | None:
    """Whether this port takes the mail; b"" only looks whether it answers. None: nobody listens."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            return not raw or client.sendmail("ana@sales.example", ["acme@drop.example"], raw) == {}
    except OSError:
        return None


WORKER = """
import { readFileSync } from "node:fs";
import worker from "./worker.mjs";
const [URL, SECRET, path, to] = process.argv.slice(2);
const message = { raw: new Blob([readFileSync(path)]).stream(), from: "ana@sales.example", to, setReject: (text) => console.log("rejected: " + text) };
try { await worker.email(message, { URL, SECRET }); console.log("done"); } catch (error) { console.log("thrown: " + error.message); }
"""


def test_the_cloudflare_worker_brings_its_mail_to_a_running_house(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        missing("Node.js")
    (tmp_path / "driver.mjs").write_text(WORKER)
    shutil.copy(ROOT / "docs" / "cloudflare-worker.js", tmp_path / "worker.mjs")
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    with Running(tmp_path, parts=("worker", "web")) as house:
        door = call(house, "POST", "/sources", {"kind": "generic", "name": "Cloudflare", "settings": {"secret": secret}})
        url = f"http://{house.http}/in/" + door["url"].partition("/in/")[2]

        def works(raw: bytes, secret: str = secret) -> str:
            (tmp_path / "mail.eml").write_bytes(raw)
            command = ["node", "driver.mjs", url, secret, "mail.eml", "acme@drop.example"]
            return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

        assert works(house.mail("By a worker", body="Größe: zehn Stühle\r\n")) == "done"
        assert works(house.mail("A large one", body="x" * 70 + "\r\n" + "0123456789\r\n" * 400_000)) == "done"
        house.until(lambda: settled(house, 2), 60)
        call(house, "PATCH", "/settings", {"message_limit": 1_000_000})
        large: list[str] = []  # the old limit holds for another second

        def rejected() -> bool:
            large.append(works(house.mail("Too large", body="0123456789\r\n" * 400_000)))
            return large[-1].startswith("rejected: ")

        house.until(rejected, 60)
        assert works(house.mail("Wrong secret"), "whsec_" + base64.b64encode(b"o" * 24).decode()).startswith("thrown: Dropcopy answered 401")
        call(house, "PATCH", f"/sources/{door['id']}", {"enabled": False})
        assert works(house.mail("Paused")).startswith("thrown: Dropcopy answered 503")
        assert house.status()["accepted"] == 2 + large.count("done")


def test_a_webhook_is_answered_after_the_commit_of_its_mail_and_waits_for_no_other(tmp_path: Path) -> None:
    """While somebody else writes to the main database for long, a mail is kept and answered; the note on the source's page comes later."""
    with Running(tmp_path, parts=("web",)) as house:
        door = call(house, "POST", "/sources", {"kind": "generic", "name": "Door", "settings": {"secret": SECRET}})
        url = f"http://{house.http}/in/" + door["url"].partition("/in/")[2]
        busy = sqlite3.connect(tmp_path / "data" / "main.db", isolation_level=None)
        busy.execute("BEGIN IMMEDIATE")
        assert hook(house, url, house.mail("While another writes")) == 202
        with sqlite3.connect(tmp_path / "data" / "intake.db") as kept:
            assert kept.execute("SELECT count(*) FROM inbound").fetchone() == (1,)
        assert busy.execute("SELECT count(*) FROM source_request").fetchone() == (0,)
        busy.execute("ROLLBACK")
        house.until(lambda: busy.execute("SELECT status FROM source_request").fetchall() == [(202,)])
        busy.close()


def test_a_request_that_says_it_is_too_long_is_refused_before_it_comes(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("web",)) as house:
        door = call(house, "POST", "/sources", {"kind": "generic", "name": "Door", "settings": {"secret": SECRET}})
        host, _, port = house.http.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as channel:
            path = "/in/" + door["url"].partition("/in/")[2]
            channel.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: message/rfc822\r\nContent-Length: 900000000\r\n\r\nFrom: x\r\n".encode())
            assert b" 413 " in channel.recv(4096).split(b"\r\n")[0]
