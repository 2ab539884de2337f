"""`explain --cases` over the shared corpora: hostile mail, decisions, signatures, forwards and other programs' fixtures."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from core.explain import Explainer, cases
from tests.judge_house import explaining

pytestmark = [pytest.mark.corpora, pytest.mark.timeout(300)]

MB = 1024 * 1024
# Everything that can be shown is shown, whatever became of the mail.
KEYS = {"id", "outcome", "reason", "sentence", "sender", "authentication", "rep", "rule", "message", "forward", "thread", "contacts", "links", "considered", "trace"}
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    """A company whose drop address and rep are those of the hostile mails, so that nothing but the rules stands in their way."""
    with explaining(tmp_path_factory.mktemp("explained")) as made:
        yield made


def answers(explainer: Explainer, folder: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(expected, result) of every case of a folder, in order."""
    wanted = [json.loads(line) for line in (folder / "expected.jsonl").read_text("utf-8").splitlines()]
    results = list(cases(folder / "cases.jsonl", explainer))
    assert [one["id"] for one in results] == [one["id"] for one in wanted]
    for result in results:
        assert set(result) >= KEYS, result["id"]
        json.dumps(result, ensure_ascii=False).encode()  # every line can be written
    return list(zip(wanted, results, strict=True))


def child(explainer: Explainer) -> int:
    return explainer._reader._pen._pid


def used(pid: int) -> tuple[float, int]:
    """CPU seconds and the largest memory (bytes) of a process so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0, 0
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return (int(fields[11]) + int(fields[12])) / TICKS, peak


def explained(explainer: Explainer, case: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], float, int]:
    """The result of one case, with the CPU time it took its reader and that reader's largest memory."""
    before, began = child(explainer), used(child(explainer))[0]
    result = explainer.case(case, folder)
    seconds, memory = used(child(explainer))
    return result, seconds - (began if child(explainer) == before else 0.0), memory


def complaints(wanted: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    """What an expected line asks and the result does not hold."""
    sender = (result["sender"] or {}).get("address")
    decision = result["authentication"]["decision"]
    found = []
    if "sender_any_of" in wanted and sender not in wanted["sender_any_of"]:
        found.append(f"sender {sender}")
    if sender in wanted.get("sender_not", ()):
        found.append(f"sender {sender}")
    if "outcome_any_of" in wanted and result["outcome"] not in wanted["outcome_any_of"]:
        found.append(f"outcome {result['outcome']}")
    if decision in wanted.get("decision_not", ()) or ("decision" in wanted and decision not in (wanted["decision"], *wanted.get("accept", ()))):
        found.append(f"decision {decision}")
    checks = result["authentication"]["checks"]
    found += [f"check {check}" for check in wanted.get("checks", ()) if not any(check.items() <= one.items() for one in checks)]
    return found


def test_hostile_mails_end_as_their_rows_say_within_their_bounds(explainer: Explainer, corpora: Path) -> None:
    folder = corpora / "hostile"
    wanted = {one["id"]: one for one in map(json.loads, (folder / "expected.jsonl").read_text("utf-8").splitlines())}
    wrong = {}
    for line in (folder / "cases.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        result, seconds, memory = explained(explainer, case, folder)
        missed = complaints(wanted[case["id"]], result)
        missed += [f"{seconds:.1f} s"] * (seconds > wanted[case["id"]]["max_seconds"])
        missed += [f"{memory / MB:.0f} MB"] * (memory > wanted[case["id"]]["max_memory_mb"] * MB)
        if missed:
            wrong[case["id"]] = missed
    assert wrong == {}


def test_a_mail_nested_five_thousand_times_is_held_with_its_header(explainer: Explainer, corpora: Path) -> None:
    case = next(one for one in map(json.loads, (corpora / "hostile" / "cases.jsonl").read_text("utf-8").splitlines()) if one["id"] == "H032")
    result = explainer.case(case, corpora / "hostile")
    assert (result["outcome"], result["reason"]) == ("held", "too-complex")
    assert result["sender"]["address"] == result["message"]["from"]["address"] == "rep@sender.example"
    assert "too-complex" in result["message"]["defects"]


@pytest.mark.parametrize(
    "name, defect",
    [
        ("parts100k", "parts-cut"), ("parts1M", "parts-cut"), ("headers100k", "too-complex"), ("fold_subject_1MB", "too-complex"), ("ct_params20k", ""),
        ("empty_lines_19MB", "text-cut"), ("b64_bad_5MB", ""), ("zip_bomb", ""), ("exactly_20MiB", ""), ("attachments10k", "attachments-cut"),
        ("encoded_word_unclosed", ""), ("open_paren100k", ""),
    ],
)  # fmt: skip
def test_large_hostile_mails_are_read_within_bounds(explainer: Explainer, corpora: Path, tmp_path: Path, name: str, defect: str) -> None:
    subprocess.run([sys.executable, str(corpora / "hostile" / "make_bombs.py"), str(tmp_path), name], check=True)
    arrival = {"source": "smtp", "client_ip": "192.0.2.10", "helo": "m.sender.example", "mail_from": "rep@sender.example", "rcpt_to": ["drop@crm.example"]}
    case = {
        "id": name, "raw_path": f"{name}.eml", "arrival": {**arrival, "received_at": "2026-03-02T10:00:05Z"},
        "dns": {"sender.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}},
    }  # fmt: skip
    result, seconds, memory = explained(explainer, case, tmp_path)
    assert result["outcome"] in ("logged", "held"), result["reason"]
    assert result["message"] is not None, result["reason"]
    assert not defect or any(found.startswith(defect) for found in result["message"]["defects"])
    assert seconds < 5, f"{seconds:.1f} s"
    assert memory < 512 * MB, f"{memory / MB:.0f} MB"


def test_the_decisions_are_as_written(explainer: Explainer, corpora: Path) -> None:
    assert {one["id"]: found for one, result in answers(explainer, corpora / "mailauth" / "decisions") if (found := complaints(one, result))} == {}


def test_signatures_are_judged_as_other_programs_judge_them(explainer: Explainer, corpora: Path) -> None:
    wrong = {}
    for wanted, result in answers(explainer, corpora / "mailauth" / "dkim"):
        found = [check["result"] for check in result["authentication"]["checks"] if check["method"] == "dkim"]
        # RFC 8301 3.2: keys under 1024 bits must not pass.
        fine = "pass" not in found if wanted["dkim_any"].startswith("not compared") else wanted["dkim_any"] in found
        if not fine:
            wrong[wanted["id"]] = found
    assert wrong == {}


def _same_people(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> bool:
    return [(one["name"], one["address"]) for one in wanted if one["address"]] == [(one["name"], one["address"]) for one in found]


def _claimed(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    missed = []
    if (found["from"] or {}) != wanted["from"]:
        missed.append("from")
    missed += [field for field in ("to", "cc") if field in wanted and not _same_people(wanted[field], found[field])]
    for field in ("note", "body", "subject"):
        if field in wanted and (wanted[field] or "").replace("\r\n", "\n").strip() != (found[field] or "").strip():
            missed.append(field)
    if not (found["body"] or "").startswith(wanted.get("body_startswith", "").strip()):
        missed.append("body")
    if "date" in wanted and _minute(found["date"]) != _minute(wanted["date"]):
        missed.append("date")
    if wanted.get("date_raw") and wanted["date_raw"] != found["date_raw"]:
        missed.append("date_raw")
    if any(one["from"]["address"] != (link["from"] or {}).get("address") for one, link in zip(wanted.get("chain", ()), found["chain"], strict=False)):
        missed.append("chain")
    return missed


def _minute(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text).replace(second=0) if text else None


def test_every_forward_is_read_as_its_answer_says(explainer: Explainer, corpora: Path) -> None:
    wrong = {}
    for wanted, result in answers(explainer, corpora / "forwards"):
        found = result["forward"]
        if wanted["forward"] is None:
            missed = ["claimed"] if found is not None else []
        else:
            missed = ["no forward"] if found is None else _claimed(wanted["forward"], found)
        if missed:
            wrong[wanted["id"]] = missed
    assert wrong == {}


def test_a_mail_that_is_no_mail_gives_a_line_all_the_same(explainer: Explainer, tmp_path: Path) -> None:
    for raw in (b"", b"\0" * 10, b"\r\n\r\n", b"From: \xff\xfe\r\n\r\n", bytes(range(256)) * 4, b"\xed\xa0\x80: x\r\n\r\n\xed\xa0\x80"):
        result = explainer.case({"id": 1, "raw_base64": base64.b64encode(raw).decode(), "dns": {}}, tmp_path)
        assert result["outcome"] == "held"
        json.dumps(result, ensure_ascii=False).encode()


def test_the_fixtures_of_other_programs_all_give_a_line(explainer: Explainer, corpora: Path, tmp_path: Path) -> None:
    """One in twelve of the mails that other programs are tested with: each is read, whatever becomes of it, and its line can be written."""
    folder = corpora / "mime"
    lines = (folder / "cases.jsonl").read_text("utf-8").splitlines()[::12]
    wanted = [json.loads(line) for line in lines]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps({**case, "raw_path": str(folder / case["raw_path"])}) + "\n" for case in wanted))
    results = list(cases(tmp_path / "cases.jsonl", explainer))
    assert [one["id"] for one in results] == [one["id"] for one in wanted]
    assert len(results) > 140
    for result in results:
        assert set(result) >= KEYS, result["id"]
        assert result["message"] is not None, (result["id"], result["reason"], result["sentence"])
        assert result["outcome"] in ("held", "ignored"), result["id"]  # none of their senders is ours
        json.dumps(result, ensure_ascii=False).encode()
