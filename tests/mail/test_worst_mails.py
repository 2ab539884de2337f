"""The dearest mails of 20 MB that we could think of, each read by a real child of the fence: none comes near its limits."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.fence import MEMORY_BYTES, Fence
from core.pipeline import FencedReader
from core.types import Envelope, Trust
from tests.mail.hostile_made import SIZE, WORST
from tests.mailmaker import spare_signer

pytestmark = pytest.mark.timeout(300)

NOW = dt.datetime(2026, 11, 20, 10, 0, 5, tzinfo=dt.UTC)
ENVELOPE = Envelope("smtp", ("acme@drop.example",), "ana@sales.example", "192.0.2.10", "mail.sales.example")
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def fence() -> Iterator[Fence]:
    made = Fence("core.reader:Reader", {"plugins_dir": "", "dns": "127.0.0.1:9"})
    yield made
    made.close()


@pytest.fixture
def zone() -> dict[str, object]:
    """The keys of the eight signatures stand in the DNS, so that each of them is really looked at."""
    records = [spare_signer("sales.example", "rsa" if number % 2 else "ed25519").record for number in range(8)]
    return {"sales.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}, **{f"s{n}._domainkey.sales.example": {"TXT": [record]} for n, record in enumerate(records)}}


def used(pid: int) -> tuple[float, int]:
    """CPU seconds and the largest memory (bytes) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, int(peak.split()[1]) * 1024


@pytest.mark.parametrize("name", WORST)
def test_a_mail_of_twenty_megabytes_is_read_within_the_limits(fence: Fence, zone: dict[str, object], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = WORST[name]()
    assert 15_000_000 < len(raw) <= SIZE + 4096
    reader = FencedReader(fence)
    monkeypatch.setattr(reader._pen, "close", lambda: None)  # a grown child is left alone until it has been measured
    try:
        reading = reader.read(raw, ENVELOPE, Trust(), NOW, zone)  # raises Broken when a limit is met
        seconds, memory = used(reader._pen._pid)
    finally:
        monkeypatch.undo()
        reader.close()
    assert reading.email.identity.mailbox is not None
    assert reading.email.identity.mailbox.address == "ana@sales.example"
    assert memory < MEMORY_BYTES / 2, f"{memory >> 20} MB"
    assert seconds < 20, f"{seconds:.1f} s"
