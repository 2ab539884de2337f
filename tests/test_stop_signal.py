"""The word to stop is never lost, whichever thread the kernel gives it to and whatever the main thread is doing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

TOLD_IN_ANOTHER_THREAD = """
import signal, sys, threading, time
from core.stop_signal import StopSignal

def tell():
    while "select" not in sys._current_frames()[main].f_code.co_names:  # until the main thread waits
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.{number})
    threading.Event().wait()

main = threading.get_ident()
stop = StopSignal()
threading.Thread(target=tell, daemon=True).start()
sys.exit(0 if stop.wait(20) and stop.wait() else 1)
"""

TOLD_WHILE_IT_LOOKS = """
import os, signal, sys, threading
from core.stop_signal import StopSignal

stop = StopSignal()
threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTERM), daemon=True).start()
while not stop.wait(0):
    pass
"""

TOLD_BY_ITSELF = """
import sys
from core.stop_signal import StopSignal

stop = StopSignal()
early = stop.wait(0)
stop.tell()
sys.exit(0 if not early and stop.wait() else 1)
"""

A_CHILD_IS_TOLD = """
import os, signal, sys
from core.stop_signal import StopSignal

stop = StopSignal()
ready, say = os.pipe()
child = os.fork()
if child == 0:
    os.write(say, b".")
    signal.pause()
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
_, status = os.waitpid(child, 0)
sys.exit(0 if os.WTERMSIG(status) == signal.SIGTERM and not stop.wait(0) else 1)
"""


@pytest.mark.parametrize(
    "script",
    [TOLD_IN_ANOTHER_THREAD.format(number="SIGTERM"), TOLD_IN_ANOTHER_THREAD.format(number="SIGINT"), TOLD_WHILE_IT_LOOKS, TOLD_BY_ITSELF, A_CHILD_IS_TOLD],
    ids=["a-thread-gets-sigterm", "a-thread-gets-sigint", "while-it-looks", "by-itself", "a-child-is-told"],
)
def test_the_word_to_stop_is_heard(script: str) -> None:
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60).returncode == 0
