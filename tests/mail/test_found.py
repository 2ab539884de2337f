"""What the fuzzers and the hostile makers have found: each mail beside its answer, read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.mail.parse import parse
from core.types import Email
from tests.mail.oracles import CHECKS

FOUND = Path(__file__).with_name("found")
MAILS = sorted(path.stem for path in FOUND.glob("*.eml"))


def shown(email: Email) -> dict[str, Any]:
    """What an answer may speak of."""
    mailbox = email.identity.mailbox
    return {
        "sender": mailbox.address if mailbox else None, "reason": email.identity.reason, "subject": email.subject, "text": email.text, "html": email.html,
        "attachments": [one.filename for one in email.attachments], "defects": list(email.defects), "to": [box.address for box in email.to],
        "message_id": email.message_id, "date": email.date.isoformat() if email.date else None,
    }  # fmt: skip


@pytest.mark.parametrize("name", MAILS)
def test_what_was_found_is_read_as_its_answer_says(name: str) -> None:
    raw, answer = (FOUND / f"{name}.eml").read_bytes(), json.loads((FOUND / f"{name}.json").read_text("utf-8"))
    assert answer["was"], "an answer says what was wrong"
    CHECKS[answer["check"]](raw)
    found = shown(parse(raw))
    assert {key: found[key] for key in answer["expect"]} == answer["expect"]


def test_every_mail_has_its_answer_and_every_answer_its_mail() -> None:
    assert MAILS
    assert sorted(path.stem for path in FOUND.glob("*.json")) == MAILS
