"""1 791 real mails: none breaks the reader, and where others wrote down the answer, ours is the same or the reason is listed."""

from __future__ import annotations

import time
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from core.types import Email
from tests.mail import answers

DIFFERENCES = Path(__file__).with_name("differences.toml")
# Share of comparisons of a field that must agree before the listed differences are looked at.
TARGETS = {"stalwart": 0.98, "mime4j": 0.98, "postal-mime": 0.95}


@pytest.fixture(scope="module")
def differences() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(DIFFERENCES.read_text("utf-8"))


def texts(email: Email) -> list[str]:
    found = [email.subject, email.text, email.html, email.message_id or "", *email.ids, *email.references]
    found += [text for box in (*email.to, *email.cc, *email.reply_to, email.identity.mailbox) if box for text in (box.name or "", box.address)]
    found += [text for one in email.attachments for text in (one.filename, one.content_type, one.content_id or "")]
    found += [text for pair in email.headers for text in pair]
    return found + [text for original in email.originals for text in texts(original)]


def test_every_mail_is_read_and_fits_the_database(corpora: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slowest: list[tuple[float, str]] = []
    began = time.process_time()
    rows = answers.manifest(corpora)
    for row in rows:
        start = time.process_time()
        email = answers.read(corpora / "mime" / row["path"])
        slowest.append((time.process_time() - start, row["path"]))
        for text in texts(email):
            assert "\0" not in text, row["path"]
            text.encode("utf-8")
    seconds = time.process_time() - began
    assert len(rows) > 1700
    with capsys.disabled():
        worst = ", ".join(f"{1000 * took:.0f} ms {path}" for took, path in sorted(slowest)[-3:])
        print(f"\n{len(rows)} mails, {len(rows) / seconds:.0f} a second; slowest {worst}")


@pytest.mark.parametrize("source", ["stalwart", "mime4j", "postal-mime"])
def test_the_answers_agree_or_the_difference_is_explained(corpora: Path, differences: dict[str, dict[str, dict[str, str]]], source: str) -> None:
    compared = {"stalwart": answers.stalwart, "mime4j": answers.mime4j, "postal-mime": answers.postal_mime}[source](corpora)
    listed = differences.get(source, {})
    score: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    unlisted: list[str] = []
    seen: set[tuple[str, str]] = set()
    for found in compared:
        if "/malformed/" not in found.mail:  # broken on purpose: every reading of those is a guess
            score[found.field][0] += found.agree
            score[found.field][1] += 1
        if found.agree:
            continue
        seen.add((found.mail, found.field))
        if not listed.get(found.mail, {}).get(found.field):
            unlisted.append(f"{found.mail} {found.field}: ours {found.ours!r:.200} theirs {found.theirs!r:.200}")
    stale = [f"{mail} {field}" for mail, fields in listed.items() for field in fields if (mail, field) not in seen]
    assert not unlisted, "\n".join(unlisted)
    assert not stale, f"these agree now, strike them out: {stale}"
    assert sum(total for _, total in score.values()) > 100
    right = sum(agreed for agreed, _ in score.values())
    assert right >= TARGETS[source] * sum(total for _, total in score.values()), dict(score)
    print(source, {field: f"{agreed}/{total}" for field, (agreed, total) in score.items()})
