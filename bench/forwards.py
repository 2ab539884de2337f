"""How well forwarded mail is read, beside the parsers that npm and PyPI offer: same cases, same run.

    python -m bench.forwards            (make bench-forwards)

Prints, for each reader, the cases with From and Subject right ("core") and with every field right ("all"), by client family;
each miss of ours by name; forwards claimed on reply texts; wrong contacts where a note stands above the block; nested mails; speed;
hostile lines. The peers are installed into bench/.peers on the first run; one that cannot be installed is named and left out.
A peer that gives no date, note or chain is not asked for them: its "all" counts From, Subject, To and Cc.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.mail import forward, replies
from core.mail.parse import parse
from core.types import Email, Forward, Mailbox

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / ".peers"
CORPORA = Path(os.environ.get("DROPCOPY_CORPORA") or ROOT.parent / "shared" / "corpora") / "forwards"
NOTE = "Please loop in eve@partner.example.\nFrom: Eve <eve@partner.example>\n-- \nBo <bo@seller.example>\nE-Mail: bo@seller.example"
HOSTILE = {
    "Le 1, «a» <": "Le 1, «a» <",
    "> > >": "> ",
    "From: + blanks": " ",
    "From lines": "From: a@b.example\n",
    "On … wrote": "On 1/1/2020 12:00, a <a@b.example> wrote\n",
    "glued labels": "----- Forwarded Message ----- From: To: Subject: Date: ",
    "a@a@a@": "a@",
}
PEER_CASE = 2_200  # characters of the hostile line that peers are given: at 100 kB they do not come back


@dataclass(frozen=True)
class Case:
    """A mail with the answer that it should give; `want` is None for no forward."""

    name: str
    email: Email
    want: dict[str, Any] | None

    @property
    def family(self) -> str:
        return str((self.want or {}).get("client") or "other")


def load() -> list[Case]:
    """The given cases with their answers."""
    cases = [json.loads(line) for line in (CORPORA / "cases.jsonl").read_text("utf-8").splitlines()]
    wanted = {one["id"]: one["forward"] for one in map(json.loads, (CORPORA / "expected.jsonl").read_text("utf-8").splitlines())}
    return [Case(case["id"], parse((CORPORA / case["raw_path"]).read_bytes()), wanted[case["id"]]) for case in cases]


# --- judging -----------------------------------------------------------------------------------------------------------


def box(person: Mailbox) -> dict[str, Any]:
    return {"name": person.name, "address": person.address}


def as_answer(found: Forward | None) -> dict[str, Any]:
    """A reading in the words that all readers are judged in."""
    if found is None:
        return {"forwarded": False}
    return {
        "forwarded": True,
        "from": box(found.sender) if found.sender else None,
        "to": [box(person) for person in found.to],
        "cc": [box(person) for person in found.cc],
        "subject": found.subject,
        "date": found.date_raw,
        "moment": found.date,
        "note": found.note,
        "body": found.body,
        "chain": [link.sender.address if link.sender else None for link in found.chain],
    }


def same(one: str | None, other: str | None) -> bool:
    return " ".join((one or "").split()) == " ".join((other or "").split())


def misses(want: dict[str, Any] | None, answer: dict[str, Any], *, ours: bool) -> list[str]:
    """The fields that an answer has wrong. For a peer only the fields that every peer gives."""
    if want is None:
        return ["claimed"] if answer.get("forwarded") else []
    if not answer.get("forwarded"):
        return ["from"]
    wrong = []
    sender = answer.get("from") or {"name": None, "address": None}
    wanted = want["from"]
    if (sender["address"] or "").lower() != (wanted["address"] or "").lower() or (wanted["address"] and not same(sender["name"], wanted["name"])):
        wrong.append("from")
    if not same(answer.get("subject"), want.get("subject")):
        wrong.append("subject")
    for field in ("to", "cc"):
        if field in want:
            given = [(one or {}).get("address") for one in answer.get(field) or []]
            if given != [one["address"] for one in want[field] if one["address"]]:
                wrong.append(field)
    if ours:
        wrong += _more_misses(want, answer)
    return wrong


def _more_misses(want: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    wrong = [field for field in ("note", "body") if field in want and not same(want[field], answer[field])]
    if "body_startswith" in want and not " ".join(answer["body"].split()).startswith(" ".join(want["body_startswith"].split())):
        wrong.append("body")
    if "date" in want:
        moment, wanted = answer["moment"], dt.datetime.fromisoformat(want["date"])
        if moment is None or moment.replace(second=0) != wanted.replace(second=0):
            wrong.append("date")
    elif want.get("date_raw") and not same(want["date_raw"], answer["date"]):
        wrong.append("date")
    for expected, got in zip(want.get("chain", ()), answer["chain"] + [None] * 20, strict=False):
        if expected["from"]["address"] != got:
            wrong.append("chain")
    return wrong


# --- the peers ---------------------------------------------------------------------------------------------------------


def plain(email: Email) -> str:
    """What a reader of text is given."""
    return email.text if email.text.strip() else forward.from_html(email.html).text and "\n".join(forward.from_html(email.html).raw)


def install() -> list[str]:
    """Install the peers into bench/.peers; the names of those that are there."""
    (PEERS / "py").mkdir(parents=True, exist_ok=True)
    if not (PEERS / "node_modules" / "email-forward-parser").is_dir():
        with contextlib.suppress(OSError):
            subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(PEERS), "email-forward-parser@1.8.3"], check=False)
    for package, module in (("email-forward-parser==0.1.3", "emailforwardparser"), ("quotequail==0.5.4", "quotequail")):
        if not any((PEERS / "py").glob(f"{module}*")):
            subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", str(PEERS / "py"), package], check=False, stderr=subprocess.DEVNULL)
    sys.path.append(str(PEERS / "py"))
    there = []
    if (PEERS / "node_modules" / "email-forward-parser").is_dir():
        there.append("npm")
    for module in ("emailforwardparser", "quotequail"):
        if any((PEERS / "py").glob(f"{module}*")):
            there.append(module)
    return there


Reader = Callable[[Email], dict[str, Any]]


def python_peer() -> Reader:
    from emailforwardparser import forward_parser

    def person(one: Any) -> dict[str, Any]:
        return {"name": getattr(one, "name", None) or None, "address": getattr(one, "address", None) or None}

    def read(email: Email) -> dict[str, Any]:
        found = forward_parser.get_forwarded_metadata(plain(email), email.subject or None)
        inner = found.email
        return {
            "forwarded": found.forwarded,
            "from": person(inner.from_),
            "to": [person(one) for one in inner.to or []],
            "cc": [person(one) for one in inner.cc or []],
            "subject": inner.subject,
        }

    return read


def quotequail_peer() -> Reader:
    import quotequail

    def read(email: Email) -> dict[str, Any]:
        found = quotequail.unwrap(email.text) if email.text.strip() else quotequail.unwrap_html(email.html)
        if not found or found.get("type") != "forward":
            return {"forwarded": False}
        sender = forward.read_people(found.get("from") or "").mailboxes
        return {
            "forwarded": True,
            "from": box(sender[0]) if sender else None,
            "to": [box(one) for one in forward.read_people(found.get("to") or "").mailboxes],
            "cc": [box(one) for one in forward.read_people(found.get("cc") or "").mailboxes],
            "subject": found.get("subject"),
        }

    return read


def ask(reader: Reader, emails: Iterable[Email]) -> tuple[list[dict[str, Any]], float]:
    """(answers, mails a second of CPU)."""
    answers = []
    emails = list(emails)
    began = time.process_time()
    for email in emails:
        try:
            answers.append(reader(email))
        except Exception as error:
            answers.append({"forwarded": False, "error": str(error)})
    return answers, len(emails) / max(time.process_time() - began, 1e-9)


def ask_node(emails: Iterable[Email]) -> tuple[list[dict[str, Any]], float]:
    lines = "\n".join(json.dumps({"id": str(i), "subject": email.subject, "text": plain(email)}) for i, email in enumerate(emails))
    run = subprocess.run(["node", str(ROOT / "bench" / "forwards_peer.mjs"), str(PEERS)], input=lines, capture_output=True, text=True, check=False, timeout=600)
    if run.returncode:
        raise RuntimeError(run.stderr[-500:])
    *answers, speed = map(json.loads, run.stdout.splitlines())
    return answers, speed["speed"]


# --- the report --------------------------------------------------------------------------------------------------------


def noted(cases: list[Case]) -> list[Case]:
    """The same forwards with a note and a signature full of other addresses above."""
    return [
        Case(case.name, replace(case.email, text=f"{NOTE}\n\n{case.email.text}" if case.email.text else "", html=f"<div>{NOTE}</div><br>{case.email.html}" if case.email.html else ""), case.want)
        for case in cases
        if case.want is not None and case.want["from"]["address"]
    ]


def reply_texts() -> list[Email]:
    files = [path for path in sorted((CORPORA / "replies").rglob("*")) if path.is_file() and path.suffix in (".txt", "") and "LICENSE" not in path.name]
    empty = replace(load()[0].email, html="", originals=())
    return [replace(empty, text=path.read_text("utf-8", errors="replace"), subject="Re: your mail") for path in files]


def wrong_contacts(cases: list[Case], answers: list[dict[str, Any]]) -> int:
    """Answers that name somebody who is not the sender: the one fault that may not happen."""
    return sum(
        1
        for case, answer in zip(cases, answers, strict=True)
        if (answer.get("from") or {}).get("address") and answer["from"]["address"].lower() != (case.want or {"from": {"address": ""}})["from"]["address"].lower()
    )


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.1f} %)" if whole else "–"


def report(title: str, cases: list[Case], answers: list[dict[str, Any]], speed: float, *, ours: bool) -> dict[str, list[int]]:
    core = everything = 0
    families: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    missed: list[str] = []
    for case, answer in zip(cases, answers, strict=True):
        wrong = misses(case.want, answer, ours=ours)
        good = not {"from", "subject", "claimed"} & set(wrong)
        core += good
        everything += not wrong
        families[case.family][0] += good
        families[case.family][1] += 1
        if wrong:
            missed.append(f"    {case.name}: {', '.join(wrong)}")
    print(f"{title:<34} core {share(core, len(cases)):<20} all {share(everything, len(cases)):<20} {speed:7.0f} mails/s")
    if ours:
        print("\n".join(missed) if missed else "    no misses")
    return families


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    if not CORPORA.is_dir():
        sys.exit(f"The test data folder {CORPORA} is missing; set DROPCOPY_CORPORA.")
    cases = load()
    there = install()
    for case in cases:  # the table and the languages are loaded once a process
        forward.read(case.email)
    readers: dict[str, Reader] = {"Dropcopy": lambda email: as_answer(forward.read(email))}
    if "emailforwardparser" in there:
        readers["email-forward-parser (PyPI)"] = python_peer()
    if "quotequail" in there:
        readers["quotequail (PyPI)"] = quotequail_peer()
    asked: dict[str, Callable[[list[Email]], tuple[list[dict[str, Any]], float]]] = {
        title: (lambda emails, reader=reader: ask(reader, emails)) for title, reader in readers.items()
    }
    if "npm" in there:
        asked["email-forward-parser (npm)"] = ask_node
    for name in {"npm", "emailforwardparser", "quotequail"} - set(there):
        print(f"peer {name} could not be installed and is left out")

    nested = [case for case in cases if case.want and case.want.get("chain")]
    notes = noted(cases)
    quotes = reply_texts()
    families: dict[str, dict[str, list[int]]] = {}
    print(f"{len(cases)} given mails, {len(notes)} of them once more below a note, {len(quotes)} reply texts, {len(nested)} nested\n")
    rest: list[str] = []
    for title, reader in asked.items():
        answers, speed = reader([case.email for case in cases])
        families[title] = report(title, cases, answers, speed, ours=title == "Dropcopy")
        below, _ = reader([case.email for case in notes])
        claimed = sum(bool(answer.get("forwarded")) for answer in reader(quotes)[0])
        deep, _ = reader([case.email for case in nested])
        first = sum((answer.get("from") or {}).get("address") == case.want["from"]["address"] for case, answer in zip(nested, deep, strict=True) if case.want)
        right = sum((answer.get("from") or {}).get("address") == (case.want or {})["from"]["address"] for case, answer in zip(notes, below, strict=True))
        rest.append(f"{title:<34} below a note right {right:>3}/{len(notes)}, wrong contacts {wrong_contacts(notes, below):>3}   claimed on replies {claimed:>3}   nested {first}/{len(nested)}")
    print("\n" + "\n".join(rest))

    print("\nFrom and Subject right, by client family:")
    for family in sorted({name for one in families.values() for name in one}):
        print(f"    {family:<30}" + "   ".join(f"{title.split()[0][:8]}{'.js' if 'npm' in title else ''} {one[family][0]}/{one[family][1]}" for title, one in families.items()))

    texts = [replace(case.email, html="", originals=()) for case in cases if case.email.text.strip()]
    pages = [replace(case.email, text="", originals=()) for case in cases if case.email.html.strip()]
    for title, emails in (("text only", texts), ("HTML only", pages)):
        best = max(ask(readers["Dropcopy"], emails)[1] for _ in range(3))
        print(f"\nDropcopy, {title}: {best:.0f} mails/s of one core", end="")
    trimmed = max(len(quotes) / max(seconds(lambda: [replies.trim(email.text) for email in quotes]), 1e-9) for _ in range(2))
    print(f"\nDropcopy, replies trimmed: {trimmed:.0f} texts/s of one core")

    print("\nHostile lines, seconds of CPU (25 kB → 100 kB):")
    empty = replace(texts[0], subject="Fwd: x")
    for name, line in HOSTILE.items():
        took = []
        for size in (25_000, 100_000):
            email = replace(empty, text="From: " + (line * (size // len(line) + 1))[:size])
            took.append(min(seconds(lambda email=email: forward.read(email)) for _ in range(3)))
        peers = []
        small = replace(empty, text=(line * (PEER_CASE // len(line) + 1))[:PEER_CASE])
        for title, one in readers.items():
            if title != "Dropcopy":
                peers.append(f"{title.split()[0]} at 2 kB {seconds(lambda one=one, small=small: ask(one, [small])):.2f}")
        print(f"    {name:<18} {took[0]:.3f} → {took[1]:.3f}  ×{took[1] / max(took[0], 1e-9):.1f}   {'   '.join(peers)}")


if __name__ == "__main__":
    main()
