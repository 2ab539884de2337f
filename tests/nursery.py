"""A process with everything imported that forks the parts of Dropcopy when told: thirty starts then cost what two cost.

    python -m tests.nursery [--synchronous off]    # then a line on standard input for each part: receive LOGFILE

Each line is answered with the process id of the part, which is the real command in a process of its own. `--synchronous`
takes SQLite's promise away, for the harnesses that must be able to see a loss.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import ROOT


class Nursery:
    """The side of the test: starts parts under `environ`, whose processes it can tell by their ids."""

    def __init__(self, environ: Mapping[str, str], *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery", *options], cwd=ROOT, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def start(self, part: str, log: Path) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{part} {log}\n")
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


def _become(part: str, log: str) -> None:
    import app

    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, of in ((0, nothing), (1, file), (2, file)):
        os.dup2(of, number)
    try:
        app.main([part])
    finally:
        os._exit(1)


def main() -> None:
    import app  # noqa: F401
    import core.chores
    import core.receiver
    import core.store.database
    import core.worker

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--synchronous", default="full")
    core.store.database.PRAGMAS["synchronous"] = parser.parse_args().synchronous
    for line in sys.stdin:
        part, log = line.split()
        while True:  # bury those that ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        pid = os.fork()
        if pid == 0:
            _become(part, log)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
