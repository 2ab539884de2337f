"""The recipes of the documentation, as they stand there, before a real Postfix and a running house: the mail is logged, linked and proved by SPF."""

from __future__ import annotations

import pwd
import re
import shutil
import smtplib
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.mailmaker import make_mail
from tests.plugins.sources.postfix_world import Postfix, postfix
from tests.running import ROOT, Running, free_port
from tests.service.test_ways_in import SECRET, call

OTHER_USER = "nobody"  # Postfix starts no program as root
RELAY = {"smtpd_authorized_xclient_hosts": "127.0.0.1"}  # so that a test may say which client it is


def recipe(page: str, begin: str, replaced: dict[str, str]) -> str:
    """The first block of code of this page that holds `begin`, with the reader's own names in it."""
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    text = next(block for block in blocks if begin in block)
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def lines(text: str) -> dict[str, str]:
    """The settings of a main.cf."""
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines() if "=" in line)}


def python_of_others() -> list[str]:
    """The words by which another user starts a Python with our packages."""
    other = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    packages = sysconfig.get_paths()["purelib"]
    for words in ([sys.executable], ["/usr/bin/env", f"PYTHONPATH={packages}", str(other)]):
        command = [*words, str(ROOT / "app.py"), "deliver", "--help"]
        try:
            done = subprocess.run(command, cwd="/", user=OTHER_USER, group=pwd.getpwnam(OTHER_USER).pw_gid, extra_groups=[], capture_output=True, check=False)
        except PermissionError:
            continue
        if done.returncode == 0:
            return words
    missing("a Python that another user may start")
    raise AssertionError


def unsigned(subject: str) -> bytes:
    """Only SPF can prove it, by the address of the client that Postfix saw."""
    return make_mail(subject=subject, date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()))


def send(relay: Postfix, raw: bytes, to: str, client: str = "192.0.2.7") -> None:
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="ours.example", timeout=60) as smtp:
        smtp.ehlo()
        assert smtp.docmd("XCLIENT", f"ADDR={client} NAME=mail.sales.example HELO=mail.sales.example")[0] == 220
        smtp.ehlo("mail.sales.example")
        smtp.sendmail("ana@sales.example", [to], raw)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if shutil.which("postfix") is None:
        missing("Postfix")
    lmtp = free_port()
    with Running(tmp_path_factory.mktemp("house"), parts=("receive", "worker", "web"), environ={"DROPCOPY_LMTP": f"127.0.0.1:{lmtp}"}) as house:
        house.lmtp = lmtp  # type: ignore[attr-defined]
        yield house


@contextmanager
def token_file() -> Iterator[Path]:
    """A file with the secret that the other user may read."""
    with tempfile.NamedTemporaryFile("w", prefix="dropcopy-token-", dir="/tmp") as file:
        file.write(SECRET + "\n")
        file.flush()
        Path(file.name).chmod(0o644)
        yield Path(file.name)


@pytest.mark.timeout(240)
def test_lmtp_behind_postfix_with_an_automatic_bcc(house: Running) -> None:
    own = {"crm.example.com": "drop.example", "127.0.0.1:8024": f"127.0.0.1:{house.lmtp}"}  # type: ignore[attr-defined]
    settings = lines(recipe("smtp.md", "lmtp_send_xforward_command", own))
    settings |= lines(recipe("smtp.md", "sender_bcc_maps", {"ana@sales.example.com": "ana@sales.example", "crm.example.com": "drop.example"}))
    # What goes to the customer ends here: nothing leaves this machine.
    settings["transport_maps"] = settings["transport_maps"].rstrip(" }") + " }, { * = discard: } }"
    logged = house.status()["logged"]
    with postfix({**RELAY, **settings}) as relay:
        send(relay, unsigned("Straight to the drop address"), "acme@drop.example")
        house.until(lambda: house.status()["logged"] == logged + 1, 60)
        raw = unsigned("Without a Bcc in her mail program")
        send(relay, raw, "bo@cust.example")
        house.until(lambda: house.status()["logged"] == logged + 2, 60)
        assert "status=sent (250" in relay.wait_for(r"lmtp.*status=sent")


@pytest.mark.timeout(240)
def test_the_pipe_command_behind_postfix(house: Running) -> None:
    door = call(house, "POST", "/sources", {"kind": "generic", "name": "Pipe", "settings": {"secret": SECRET}})
    url = f"http://{house.http}/in/" + door["url"].partition("/in/")[2]
    with token_file() as token:
        own = {
            "user=dropcopy": f"user={OTHER_USER}", "/opt/dropcopy/.venv/bin/python": " ".join(python_of_others()), "/opt/dropcopy/app.py": str(ROOT / "app.py"),
            "https://crm.example/in/NAME-TOKEN": url, "/etc/dropcopy.token": str(token),
        }  # fmt: skip
        master, _, transport = recipe("sources.md", "dropcopy unix - n n", own).partition("\n\n")
        domain, way = transport.split()
        limit = re.search(r"`(dropcopy_destination_recipient_limit) = (1)`", (ROOT / "docs" / "sources.md").read_text())
        assert limit is not None
        settings = {**RELAY, "transport_maps": f"inline:{{ {{ {domain} = {way} }} }}", "relay_domains": domain, limit[1]: limit[2]}
        logged = house.status()["logged"]
        with postfix(settings, master + "\n") as relay:
            send(relay, unsigned("Through a program"), "acme@drop.example")
            assert "status=sent" in relay.wait_for(r"relay=dropcopy.*status=", 60)
            house.until(lambda: house.status()["logged"] == logged + 1, 60)
            house.end("web")
            send(relay, unsigned("While nobody is there"), "acme@drop.example")
            assert "temporary failure" in relay.wait_for(r"status=deferred")
            house.start("web")
            house.until(lambda: house.get("/livez")[0] == 200, 60)
            relay.flush()
            house.until(lambda: house.status()["logged"] == logged + 2, 60)
