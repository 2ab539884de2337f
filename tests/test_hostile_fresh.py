"""Hostile mails that no file holds: made with a seed, each judged by its kind. `DROPCOPY_HOSTILE_SEED` adds a seed of one's own."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.explain import Explainer
from tests.judge_house import explaining
from tests.mail.hostile_made import REP, VICTIM, Made, made
from tests.mail.oracles import UNSEEN, active, check_identity, check_mail

SEEDS = [3, 1009, *map(int, filter(None, [os.environ.get("DROPCOPY_HOSTILE_SEED")]))]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    with explaining(tmp_path_factory.mktemp("fresh")) as made_:
        yield made_


def result_of(explainer: Explainer, one: Made, folder: Path) -> dict[str, Any]:
    """What would become of it: the rep's own mail comes from his server, a stranger's from a server that the stranger's SPF names."""
    domain = "sender.example" if one.proved else one.stranger
    zone = {domain: {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}, "victim.example": {"TXT": ["v=spf1 ip4:203.0.113.0/24 -all"]}}
    arrival = {
        "source": "smtp", "client_ip": "192.0.2.10", "helo": f"mail.{domain}", "mail_from": f"rep@{domain}", "rcpt_to": [one.rcpt], "received_at": "2026-03-02T10:00:05Z",
    }  # fmt: skip
    case = {"id": one.name, "raw_base64": base64.b64encode(one.raw).decode(), "arrival": arrival, "dns": zone, "now": 1772445605}
    return explainer.case(case, folder)


def faults(one: Made, result: dict[str, Any]) -> list[str]:
    """What is wrong with what became of this mail."""
    found = []
    sender = (result["sender"] or {}).get("address", "").lower()
    message = result["message"] or {}
    if result["message"] is None:
        found.append(f"not read: {result['sentence']}")
    if "\\u0000" in json.dumps(result):
        found.append("NUL in the result")
    if result["outcome"] == "logged" and not (one.proved and sender == REP):
        found.append(f"logged as {sender}")
    if sender == VICTIM and result["authentication"]["decision"] == "pass":
        found.append("taken for the victim's")
    if result["rep"] == VICTIM and result["authentication"]["decision"] == "pass":
        found.append("given to the victim")
    found += [f"active: {what}" for what in active(message.get("html") or "")]
    if one.kind == "file":
        names = [file["filename"] for file in message.get("attachments", ())]
        if len(names) != 1 or re.search(r"[/\\]|^\.", names[0]) or UNSEEN.search(names[0]) or not 0 < len(names[0].encode()) <= 200:
            found.append(f"named {names}")
    if one.kind == "machine" and (result["outcome"], result["reason"]) != ("held", "machine-mail"):
        found.append(f"{result['outcome']} {result['reason']}")
    if one.kind == "forward" and result["outcome"] == "logged":
        found.append("a stranger's forward is logged")
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_fresh_hostile_mails_end_as_their_kind_must(explainer: Explainer, tmp_path: Path, seed: int) -> None:
    wrong = {}
    mails = made(seed)
    assert len({one.name for one in mails}) == len(mails) > 150
    for one in mails:
        found = faults(one, result_of(explainer, one, tmp_path))
        for check in (check_identity, check_mail):
            try:
                check(one.raw)
            except AssertionError as error:
                found.append(str(error))
        if found:
            wrong[f"{one.kind}: {one.name}"] = found
    assert wrong == {}
