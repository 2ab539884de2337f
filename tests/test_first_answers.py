"""The first answers that a process decodes may come to several threads at once: looking a class up is not for two threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

AT_ONCE = """
import sys, threading
import msgspec
import {module} as module

def decode():
    gate.wait()
    try:
        {call}
    except msgspec.MsgspecError:
        return

sys.setswitchinterval(1e-5)
gate = threading.Barrier(6)
threads = [threading.Thread(target=decode) for _ in range(6)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""


@pytest.mark.parametrize(
    "module, call",
    [
        ("core.reader", "module.decode_reading(b'{}')"), ("core.reader", """module.decode_choices(b'[{"holds": "x"}]')"""),
        ("core.store.outcomes", """module._envelope('{"source": "smtp"}')"""), ("core.store.lookups", """module._facts.decode('{"holds": "x"}')"""),
    ],
)  # fmt: skip
def test_several_threads_decode_for_the_first_time(module: str, call: str) -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE.format(module=module, call=call)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
