"""The worker of the documentation, run as it stands, against the source it is written for."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.types import WebRequest
from plugins.sources import generic
from tests.conftest import ROOT, missing
from tests.plugins.sources.cases import RCPT, SENDER, World, mail

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
DRIVER = """
import worker from "./worker.mjs";
const { raw, from, status, secret } = JSON.parse(process.argv[2]);
const said = { rejected: null, thrown: null };
globalThis.fetch = async (url, asked) => {
  said.headers = asked.headers;
  said.body = Buffer.from(asked.body).toString("base64");
  return new Response("because", { status });
};
const message = { raw: new Blob([Buffer.from(raw, "base64")]).stream(), from, to: "acme@drop.example", setReject: (text) => { said.rejected = text; } };
try { await worker.email(message, { URL: "https://crm.example/in/x-y", SECRET: secret }); } catch (error) { said.thrown = error.message; }
console.log(JSON.stringify(said));
"""


def work(folder: Path, raw: bytes, status: int, sender: str = SENDER) -> dict[str, Any]:
    if shutil.which("node") is None:
        missing("Node.js")
    shutil.copy(ROOT / "docs" / "cloudflare-worker.js", folder / "worker.mjs")
    (folder / "driver.mjs").write_text(DRIVER)
    given = json.dumps({"raw": base64.b64encode(raw).decode(), "from": sender, "status": status, "secret": SECRET})
    done = subprocess.run(["node", "driver.mjs", given], cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    return dict(json.loads(done.stdout))


def test_the_worker_s_request_is_believed_and_keeps_every_byte(tmp_path: Path) -> None:
    raw = mail(bytes(range(256)) * 40)
    said = work(tmp_path, raw, 202)
    house = World(generic.Settings(secret=SECRET))
    house.now = dt.datetime.now(dt.UTC)
    answer = generic.handle(WebRequest("POST", "/in/x-y", "", said["headers"], base64.b64decode(said["body"])), house.context)
    assert (answer.status, said["rejected"], said["thrown"]) == (202, None, None)
    assert house.kept[0].raw == raw
    assert (house.kept[0].envelope.mail_from, house.kept[0].envelope.rcpt_to) == (SENDER, (RCPT,))


@pytest.mark.parametrize("status, rejected", [(413, True), (422, True), (401, False), (404, False), (503, False)])
def test_only_what_is_refused_for_good_is_rejected(tmp_path: Path, status: int, rejected: bool) -> None:
    said = work(tmp_path, mail(), status, sender="")
    assert (said["rejected"] is not None, said["thrown"] is not None) == (rejected, not rejected)
    assert said["headers"]["x-envelope-from"] == "<>"
