"""Ten thousand clients that say nothing: the receiver as it is started, with its own defaults, still takes a mail at once."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.conftest import missing
from tests.running import Running

CLIENTS = 10_000
FILES = CLIENTS + 1000


@pytest.fixture
def room() -> Iterator[None]:
    """Open files enough in this process; the receiver raises its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        missing(f"room for {FILES} open files (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if soft != resource.RLIM_INFINITY and soft < FILES else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("room")
def test_a_mail_is_taken_at_once_beside_ten_thousand_idle_connections(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("receive",), fresh=True) as house, ExitStack() as clients:
        for _ in range(CLIENTS):
            client = clients.enter_context(socket.create_connection(house.smtp, timeout=30))
            assert client.recv(3) == b"220"
        receiver = psutil.Process(house.processes["receive"].pid)
        waits = []
        for number in range(5):
            raw = house.mail(f"While they wait {number}")
            began = time.monotonic()
            house.send(raw)
            waits.append(time.monotonic() - began)
        memory = sum(process.memory_info().rss for process in (receiver, *receiver.children(recursive=True)))
        assert house.status()["accepted"] == 5
    assert memory < 300_000_000, f"{memory / 1e6:.0f} MB"
    assert min(waits) < 1, waits
