"""How soon a webhook is answered after its mail is durable.

    python -m bench.webhook [--mails 200]

A generic source takes mails of 20 kB over HTTP from one client; beside it the same mails go straight into the intake. The
difference of the medians is what the web server, the proof and the answer cost beyond the commit. The processor time of the
web process a mail is told too: it does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from core.house import build
from core.settings import load_settings
from core.types import Envelope
from tests.running import Running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=200)
    number = parser.parse_args().mails
    with tempfile.TemporaryDirectory(prefix="dropcopy-bench-") as folder, Running(Path(folder), fresh=True, parts=("web",)) as house:
        wanted = {"kind": "generic", "name": "bench", "enabled": True, "settings": {"secret": "bench-user:bench-password"}}
        request = urllib.request.Request(f"http://{house.http}/api/v1/sources", json.dumps(wanted).encode(), method="POST")
        request.add_header("Authorization", f"Bearer {house.answers['api_token']}")
        request.add_header("Content-Type", "application/json")
        url = json.loads(urllib.request.urlopen(request, timeout=30).read())["url"]
        path = "/" + url.split("/", 3)[3]
        mails = [house.mail(f"Webhook {n}", body="A line of the mail.\r\n" * 1000) for n in range(number)]
        login = base64.b64encode(b"bench-user:bench-password").decode()
        headers = {
            "Content-Type": "message/rfc822", "Authorization": f"Basic {login}", "X-Envelope-To": "acme@drop.example",
            "X-Envelope-From": "ana@sales.example",
        }  # fmt: skip
        spent = []
        busy = _processor_seconds(house.processes["web"].pid)
        client = http.client.HTTPConnection(house.http, timeout=30)
        for raw in mails:
            began = time.perf_counter()
            client.request("POST", path, raw, headers)
            answer = client.getresponse()
            answer.read()
            spent.append(time.perf_counter() - began)
            if answer.status >= 300:
                raise SystemExit(f"the webhook answered {answer.status}")
        busy = (_processor_seconds(house.processes["web"].pid) - busy) / number
        straight = _straight(house, mails)
    spent.sort()
    print(f"webhook p50 {1000 * statistics.median(spent):.1f} ms, p95 {1000 * spent[int(0.95 * number)]:.1f} ms; intake alone p50 {1000 * straight:.1f} ms")
    print(f"web process {1000 * busy:.1f} ms of processor time a mail")


def _processor_seconds(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _straight(house: Running, mails: list[bytes]) -> float:
    inside = build(load_settings({key: value for key, value in house.env.items() if key.startswith("DROPCOPY_")}))
    spent = []
    for raw in mails:
        began = time.perf_counter()
        inside.intake.receive(raw, Envelope("webhook", ("acme@drop.example",)))
        spent.append(time.perf_counter() - began)
    inside.intake.close()
    return statistics.median(spent)


if __name__ == "__main__":
    main()
