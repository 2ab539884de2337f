"""Replies: what is new stands apart from what is quoted and from the signature, and nothing is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.mail.attribution import read_attribution
from core.mail.labels import table
from core.mail.replies import Trimmed, split_quote, trim

QUOTED = "> Is it fine?\n> Bo"


def test_text_above_a_quote_is_the_reply() -> None:
    found = trim(f"Yes.\n\nOn Mon, Jun 3, 2024 at 9:00 AM, Bo Seller <bo@seller.example> wrote:\n\n{QUOTED}\n")
    assert found.reply == "Yes."
    assert found.quoted.endswith(QUOTED)


def test_the_footer_of_a_list_below_the_quote_does_not_keep_the_quote_in_the_reply() -> None:
    found = trim(f"Yes.\n\nOn 01/03/11 7:07 PM, Bo Seller wrote:\n{QUOTED}\n\n\n__\nusers mailing list\nusers@lists.example")
    assert (found.reply, found.signature) == ("Yes.", "__\nusers mailing list\nusers@lists.example")


@pytest.mark.parametrize("mark", [">", "|"])
def test_a_date_and_an_address_above_quoted_lines_are_an_attribution(mark: str) -> None:
    head = "2013/7/20 Bo via List <list@lists.example>"
    assert trim(f"Yes.\n\n{head}\n\n{mark} Is it fine?").reply == "Yes."
    text = f"The new people:\n\n{head}\n\nCall them."
    assert trim(text).reply == text


def test_text_below_a_quote_is_the_reply() -> None:
    found = trim(f"On Mon, Jun 3, 2024 at 9:00 AM, Bo <bo@seller.example> wrote:\n{QUOTED}\n\nYes.\n-- \nAna")
    assert (found.reply, found.signature) == ("Yes.", "-- \nAna")
    assert QUOTED in found.quoted


def test_answers_between_quoted_lines_keep_their_questions() -> None:
    text = "On Mon, Jun 3, 2024 at 9:00 AM, Bo <bo@seller.example> wrote:\n> Is it fine?\n\nYes.\n\n> And that?\n\nNo."
    assert trim(text) == Trimmed(text)


@pytest.mark.parametrize(
    "head",
    [
        "From: Bo <bo@seller.example>\nSent: Monday, June 3, 2024 9:00 AM\nTo: Ana <ana@customer.example>\nSubject: RE: x",
        "-----Original Message-----\nFrom: Bo\nSent: Monday\nTo: Ana\nSubject: x",
        "________________________________\nVon: Bo <bo@seller.example>\nGesendet: Montag, 3. Juni 2024 09:00\nAn: Ana\nBetreff: AW: x",
        "-------- Ursprüngliche Nachricht --------\nVon: Bo <bo@seller.example>\nDatum: 03.06.24 09:00\nAn: Ana\nBetreff: x",
        "Am 03.06.2024 um 09:00 schrieb Bo Seller:",
        "Le lun. 3 juin 2024 à 09:00, Bo Seller <bo@seller.example> a écrit :",
        "On Mon, Jun 3, 2024 at 9:00 AM Bo Seller With A Long Name <\nbo@seller.example> wrote:",
        "2024-06-03 9:00 GMT+02:00 Bo Seller <bo@seller.example>:",
    ],
)
def test_everything_from_the_head_of_older_mail_on_is_quoted(head: str) -> None:
    found = trim(f"Yes.\n\n{head}\n\nIs it fine?\n\nBo")
    assert found.reply == "Yes."
    assert found.quoted.startswith(head.split("\n")[0])
    assert found.quoted.endswith("Is it fine?\n\nBo")


@pytest.mark.parametrize("signature", ["-- \nAna\nCustomer Ltd", "--\nAna", "Sent from my iPhone", "Von meinem iPhone gesendet", "Get Outlook for iOS"])
def test_a_signature_stands_apart(signature: str) -> None:
    assert trim(f"Yes.\n\n{signature}") == Trimmed("Yes.", "", signature)


@pytest.mark.parametrize("text", ["Yes.", "A list:\n- one\n- two", "On 3 June we meet.\nOn 4 June we do not.", "Cost: 12 EUR\nFrom: here to there", "a -- b", "5 > 3\nand that is that"])
def test_ordinary_text_stays_whole(text: str) -> None:
    assert trim(text) == Trimmed(text)


def test_a_mail_of_nothing_but_older_mail_is_shown_whole() -> None:
    assert trim(QUOTED) == Trimmed(QUOTED)


def test_every_attribution_of_the_table_is_read() -> None:
    missed = []
    for template, language in table().attributions:
        if "{person}" not in template and "{address}" not in template:
            continue
        line = template
        for gap, value in {"date": "3/6/2024 9:00", "time": "9:00", "person": "Ana <ana@customer.example>", "name": "Ana", "address": "ana@customer.example"}.items():
            line = line.replace("{" + gap + "}", value)
        found = read_attribution(line)
        if found is None or found.sender is None or found.sender.address != "ana@customer.example":
            missed.append((language, line))
    assert missed == []


def test_split_quote_never_cuts_between_answers() -> None:
    text = f"Yes.\n\nOn Mon, Jun 3, 2024 at 9:00 AM, Bo <bo@seller.example> wrote:\n{QUOTED}\n\nand no."
    assert split_quote(text) == (text, "")


lines = st.sampled_from(["Yes.", "", "> x", ">> y", "-- ", "Ana", "On 3/6/2024, Bo <bo@seller.example> wrote:", "From: Bo <b@seller.example>", "Subject: x", "Date: y", "_" * 32])


@settings(max_examples=150, deadline=None)
@given(st.lists(lines, max_size=14))
def test_no_line_is_lost(parts: list[str]) -> None:
    found = trim("\n".join(parts))
    given_ = sorted(line.strip() for line in parts if line.strip())
    kept = sorted(line.strip() for text in (found.reply, found.quoted, found.signature) for line in text.split("\n") if line.strip())
    assert kept == given_


@pytest.mark.parametrize("line", ["Le 1, «a» <\n", "On 1/1/2020 12:00, a <a@b.example> wrote\n", "> x\ny\n", "-- \n", "On Monday 3\nfoo\nbar: @\n", "From: a\nTo: b\n"])
def test_a_hostile_text_takes_time_in_step_with_its_length(line: str) -> None:
    def seconds(size: int) -> float:
        text = (line * (size // len(line) + 1))[:size]
        began = time.process_time()
        trim(text)
        return time.process_time() - began

    assert any((took := seconds(100_000)) < 1 and took < 6 * max(seconds(25_000), 0.01) for _ in range(4))


# --- the suites of other trimmers --------------------------------------------------------------------------------------


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.corpora
def test_the_pairs_of_email_reply_trimmer(corpora: Path) -> None:
    folder = corpora / "forwards" / "replies" / "email_reply_trimmer"
    right = [
        path.name
        for path in sorted((folder / "emails").iterdir())
        if words(trim(path.read_text("utf-8", errors="replace")).reply) == words((folder / "trimmed" / path.name).read_text("utf-8", errors="replace"))
    ]
    assert len(right) >= 55  # of 64; the others keep signatures or cut inside a quote, which folds instead


def first_facts(corpora: Path) -> Iterator[tuple[str, Trimmed, dict]]:
    for suite in sorted((corpora / "forwards" / "replies").glob("*/expected.json")):
        for case in json.loads(suite.read_text("utf-8")):
            found = trim((suite.parent / case["email"]).read_text("utf-8", errors="replace"))
            for fact in case["facts"]:
                if fact.get("part", 1) in (0, None) and "field" in fact:
                    yield case["email"], found, fact


@pytest.mark.corpora
def test_the_facts_of_three_other_suites(corpora: Path) -> None:
    right, wrong = 0, []
    for name, found, fact in first_facts(corpora):
        text = {"signatures": found.signature, "body": found.reply, "reply": found.reply}.get(fact["field"], f"{found.reply}\n{found.signature}")
        if "equals" in fact:
            good = words(text) == words(fact["equals"] or "")
        elif "has" in fact:
            good = words(fact["has"]) in words(text)
        else:
            good = words(fact["has_not"]) not in words(text)
        right += good
        if not good:
            wrong.append((name, fact))
    # The rest take "Kind regards, Ana" for a signature or show the first of several answers only: here both belong to the reply.
    assert right >= 0.65 * (right + len(wrong)), wrong


def plain(message: Message) -> str:
    part = next((one for one in message.walk() if one.get_content_type() == "text/plain"), None)
    data = part.get_payload(decode=True) if part is not None else b""
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""


@pytest.mark.corpora
def test_standard_replies_lose_what_they_quote(corpora: Path) -> None:
    folder = corpora / "forwards" / "replies" / "talon" / "standard_replies"
    for path in sorted(folder.glob("*.eml")):
        text = plain(message_from_bytes(path.read_bytes()))
        if not text.strip():
            continue
        found = trim(text)
        assert ">" not in found.reply, path.name
        assert "wrote" not in found.reply, path.name
        answer = folder / f"{path.stem}_reply_text"
        if answer.exists():
            assert words(found.reply) in words(answer.read_text("utf-8")), path.name
