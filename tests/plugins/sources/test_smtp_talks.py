"""Sixty conversations: polite, broken and hostile clients get the reply they should, and only true mails are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import corpora_folder
from tests.plugins.sources.smtp_world import DROP, Client, World, serving

# What the words of `expect` mean for the reply to the last step that got one; "" is a closed connection.
LAST = {
    "S001": "221", "S033": "501", "S040": "250", "S042": "250", "S043": "250", "S044": "250", "S051": "501", "S052": "552", "S053": "250", "S060": "554",
    "S062": "221", "S063": "250", "S064": "503", "S067": "503", "S070": "250", "S071": "452", "S072": "250", "S080": "250", "S081": "250", "S082": "550",
    "S085": "250", "S086": "250", "S087": "250", "S089": "501", "S090": "550", "S091": "553", "S092": "501", "S094": "501", "S095": "250", "S098": "501",
    "S099": "550", "S101": "502", "S104": "421", "S105": "421", "S107": "502", "S108": "501", "S110": "250", "S112": "555", "S114": "554",
    "S115": "250", "S116": "250", "S117": "250", "S118": "500", "S120": "502", "S121": "500", "S123": "554", "S126": "250", "S127": "250",
    "S030": "250", "S032": "250",
}  # fmt: skip
ENDS_CLOSED = {"S001", "S060", "S062", "S098", "S104", "S105", "S107"}


def talks() -> list[dict[str, Any]]:
    path = corpora_folder() / "smtp" / "cases.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def octets(text: str) -> bytes:
    """The two macros of the talks: ⟦rep|N|text⟧ and ⟦seq|A|B|format⟧."""
    text = re.sub(r"⟦rep\|(\d+)\|(.*?)⟧", lambda m: m[2] * int(m[1]), text, flags=re.S)
    text = re.sub(r"⟦seq\|(\d+)\|(\d+)\|(.*?)⟧", lambda m: "".join(m[3] % i for i in range(int(m[1]), int(m[2]))), text, flags=re.S)
    return text.encode("latin-1")


def steps(talk: dict[str, Any]) -> list[tuple[bytes, bool]]:
    """(what to send, whether to close without reading)"""
    whole = [{"send": step} if isinstance(step, str) else step for step in talk["steps"]]
    return [(octets(step["send"]), bool(step.get("close_now"))) for step in whole if "send" in step]


def converse(client: Client, talk: dict[str, Any]) -> list[str]:
    """Every reply in order; waits for each as a polite client does."""
    replies, in_data = [client.reply()], False
    for send, close_now in steps(talk):
        try:
            client.send(send)
        except OSError:
            break
        if close_now:
            client.close()
            return replies
        expected = send.endswith(b"\r\n.\r\n") or send == b".\r\n" if in_data else send.count(b"\n")
        for _ in range(int(expected)):
            replies.append(client.reply())
            if not replies[-1]:
                return replies
        if expected:
            in_data = replies[-1].startswith("354")
    return replies


@pytest.fixture(scope="module")
def world(corpora: Path) -> Iterator[World]:
    with serving(max_connections_per_ip=1000) as world:
        yield world


@pytest.fixture
def empty(world: World) -> World:
    world.intake.kept.clear()
    return world


def test_every_talk_of_the_corpus_has_its_answer(corpora: Path) -> None:
    given = {talk["id"] for talk in talks() if talk["group"] != "smuggling"}
    assert given == {*LAST, "S103"}


@pytest.mark.corpora
@pytest.mark.parametrize("talk", [talk for talk in talks() if talk["group"] != "smuggling" and talk["id"] != "S103"], ids=lambda talk: talk["id"])
def test_talk_is_answered_as_expected(talk: dict[str, Any], empty: World) -> None:
    with empty.connect() as client:
        replies = converse(client, talk)
        spoken = [reply for reply in replies if reply]
        assert spoken[-1].startswith(LAST[talk["id"]]), spoken[-3:]
        if talk["id"] in ENDS_CLOSED:
            assert client.closed()
        else:
            assert client.say(b"NOOP\r\n").startswith("250")
    stored = len(empty.intake.kept)
    assert stored <= 1 if talk["expect_stored"] == "<=1" else stored == talk["expect_stored"]
    assert all(envelope.mail_from != "ceo@victim.example" for _, envelope in empty.intake.kept)


@pytest.mark.corpora
@pytest.mark.parametrize("talk", [talk for talk in talks() if talk["group"] == "smuggling"], ids=lambda talk: talk["id"])
def test_smuggled_ends_of_data_make_one_mail(talk: dict[str, Any], empty: World) -> None:
    with empty.connect() as client:
        replies = converse(client, talk)
        assert replies[-1].startswith("221")
    [(raw, envelope)] = empty.intake.kept
    assert envelope.mail_from == "rep@sender.example"
    assert b"smuggled" in raw
    assert envelope.rcpt_to == (DROP,)


@pytest.mark.corpora
def test_a_client_that_left_before_the_answer_may_send_again(corpora: Path) -> None:
    [talk] = [talk for talk in talks() if talk["id"] == "S103"]
    polite = {"steps": [*talk["steps"][:4], talk["steps"][4]["send"]]}
    with serving() as world:
        with world.connect() as client:
            converse(client, talk)
        with world.connect() as client:
            assert converse(client, polite)[-1].startswith("250")
    assert len({raw for raw, _ in world.intake.kept}) == 1, "the same octets each time, so that the second is known as a duplicate"
    assert len(world.intake.kept) <= 2
