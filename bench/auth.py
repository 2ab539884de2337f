"""DKIM and SPF against stock dkimpy and pyspf: mails a second, CPU, ratio, memory. `python bench/auth.py`

Interleaved rounds (ours, stock, ours, …), median and spread of the ratios within a round; DNS from memory for both. The
stock library runs in a process of its own where memory is measured, because our module mends its canonicaliser.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dkim as dkimpy
import spf as pyspf

STOCK_RELAXED = dkimpy.canonicalization.Relaxed.canonicalize_body

from core.dns import Zone  # noqa: E402
from core.types import Envelope, Identity, Mailbox, Message  # noqa: E402
from plugins.checks import dkim, spf  # noqa: E402
from tests.mailmaker import Signer, make_mail  # noqa: E402

NOW = dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
SIZES = {"2 kB": 2_000, "50 kB": 50_000, "5 MB": 5_000_000}


def text(size: int) -> str:
    """Prose-like lines of about 70 characters, some with runs of blanks, as mail programs write them."""
    line = "The ten chairs  are ready, and the table follows on Monday morning. \r\n"
    return line * (size // len(line) + 1)


def signed(signer: Signer, size: int) -> bytes:
    return signer.sign(make_mail(body=text(size)), canonical="relaxed/relaxed")


def cpu(work: Callable[[], object], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def compare(signer: Signer, rounds: int) -> None:
    record = signer.record.encode()
    dns = Zone(signer.dns)
    print(f"DKIM relaxed/relaxed, {signer.algorithm}: CPU ms a mail, {rounds} interleaved rounds")
    print(f"{'mail':>6} {'ours':>9} {'mails/s':>9} {'stock':>9} {'mails/s':>9}  ratio median (min..max)")
    for name, size in SIZES.items():
        raw = signed(signer, size)
        message = Message(raw, Identity(Mailbox(None, f"a@{signer.domain}")))
        envelope = Envelope("smtp")

        def ours(message: Message = message, envelope: Envelope = envelope) -> None:
            assert dkim.check(message, envelope, dns, NOW)[0].result == "pass"

        def stock(raw: bytes = raw) -> None:
            assert dkimpy.DKIM(raw).verify(dnsfunc=lambda name, timeout=5: record)

        times = max(1, min(300, 20_000_000 // size))
        pairs = []
        for turn in range(rounds):
            order = (ours, stock) if turn % 2 else (stock, ours)
            costs = {work: cpu(work, times if work is ours or size < 1_000_000 else max(1, times // 2)) for work in order}
            pairs.append((costs[ours], costs[stock]))
        mine, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        ratios = sorted(pair[0] / pair[1] for pair in pairs)
        print(
            f"{name:>6} {mine * 1e3:9.3f} {1 / mine:9.0f} {theirs * 1e3:9.3f} {1 / theirs:9.0f}"
            f"  {statistics.median(ratios):.2f} ({ratios[0]:.2f}..{ratios[-1]:.2f})"
        )


def compare_spf(rounds: int) -> None:
    """A chain of three includes, as large providers publish it."""
    zone = {
        "a.example": {"TXT": ["v=spf1 include:_spf.b.example ~all"]},
        "_spf.b.example": {"TXT": ["v=spf1 include:_n1.b.example include:_n2.b.example ~all"]},
        "_n1.b.example": {"TXT": ["v=spf1 " + " ".join(f"ip4:198.51.{n}.0/24" for n in range(12)) + " ~all"]},
        "_n2.b.example": {"TXT": ["v=spf1 " + " ".join(f"ip4:203.0.{n}.0/24" for n in range(12)) + " ip4:192.0.2.0/24 ~all"]},
    }
    dns = Zone(zone)
    message, envelope = Message(b"", Identity(None)), Envelope("smtp", (), "x@a.example", "192.0.2.10", "h.a.example")

    def ours() -> None:
        assert spf.check(message, envelope, dns, NOW)[0].result == "pass"

    def stock() -> None:
        with spf._with(dns):
            assert pyspf.check2(i="192.0.2.10", s="x@a.example", h="h.a.example")[0] == "pass"

    ratios, costs = [], []
    for _ in range(rounds):
        mine, theirs = cpu(ours, 300), cpu(stock, 300)
        ratios.append(mine / theirs)
        costs.append(mine)
    print(
        f"SPF, four records: {statistics.median(costs) * 1e3:.3f} ms, {1 / statistics.median(costs):.0f}/s, ratio {statistics.median(ratios):.2f}"
    )


def from_file(which: str, path: str, record: str) -> None:
    """One mail read from a file, in a process of its own, so that nothing but the check fills the memory."""
    raw = Path(path).read_bytes()
    before = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])
    start = time.process_time()
    if which == "ours":
        zone = Zone({"s1._domainkey.a.example": {"TXT": [record]}})
        assert dkim.check(Message(raw, Identity(None)), Envelope("smtp"), zone, NOW)[0].result == "pass"
    else:
        assert dkimpy.DKIM(raw).verify(dnsfunc=lambda name, timeout=5: record.encode())
    used = time.process_time() - start
    # Not ru_maxrss: a child inherits its parent's peak there.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(
        f"20 MB text, {which}: {used:.2f} s CPU, {int(peak.split()[1]) / 1024:.0f} MB resident at most, {before / 1024:.0f} MB before"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=3, metavar=("WHICH", "FILE", "RECORD"))
    arguments = parser.parse_args()
    if arguments.one:
        from_file(*arguments.one)
        return
    assert dkimpy.canonicalization.Relaxed.canonicalize_body is STOCK_RELAXED, "the stock library must run unmended"
    compare(Signer("a.example"), arguments.rounds)
    compare(Signer("a.example", algorithm="ed25519"), arguments.rounds)
    compare_spf(arguments.rounds)
    signer = Signer("a.example", algorithm="ed25519")
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"dropcopy-bench-{os.getpid()}.eml"
    path.write_bytes(signed(signer, 20_000_000))
    try:
        for which in ("ours", "stock"):
            subprocess.run([sys.executable, __file__, "--one", which, str(path), signer.record], check=True)
    finally:
        path.unlink()


if __name__ == "__main__":
    main()
