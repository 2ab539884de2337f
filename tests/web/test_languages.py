"""Pages, refusals and mails in the language of whoever reads them; programs go on reading English."""

from __future__ import annotations

import ast
import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import notices
from core.languages import LANGUAGES, gettext_of
from core.store import one_time, outbox, tokens
from core.store.database import connected
from core.store.models import Notice, Rep
from tests.web.places import paths
from tests.web.world import World

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = [code for code in LANGUAGES if code != "en"]


@pytest.fixture(params=FOREIGN)
def language(request: pytest.FixtureRequest, world: World) -> Iterator[str]:
    with connected():
        Rep.update(language=request.param).where(Rep.email << ["ana@sales.example", "cleo@sales.example"]).execute()
    yield str(request.param)
    with connected():
        Rep.update(language="en").execute()
        Notice.delete().execute()


def test_a_refusal_of_the_store_is_said_in_the_readers_language(world: World, language: str) -> None:
    answer = world.post(world.client("ana"), "/deals", title="  ")
    wanted = gettext_of(language)("give the record a title")
    assert wanted != "give the record a title"
    assert answer.status_code == 422
    assert wanted in html.unescape(answer.text)


def test_a_refusal_with_a_name_in_it_is_said_in_the_readers_language(world: World, language: str) -> None:
    cleo = world.client("cleo")
    name = f"Ours in {language}"
    for _ in range(2):
        answer = world.post(cleo, "/sources/new/mailgun", **{"name": name, "s-secret": "key-of-mailgun"})
    wanted = gettext_of(language)("there is a source named %(name)s already") % {"name": name}
    assert answer.status_code == 422
    assert wanted in html.unescape(answer.text)


def test_what_a_validator_says_is_said_in_the_readers_language(world: World, language: str) -> None:
    answer = world.post(world.client("cleo"), "/settings/data", keep_held_days="0")
    assert answer.status_code == 422
    assert gettext_of(language)("give %(number)s or more") % {"number": "1"} in html.unescape(answer.text)


def test_a_program_reads_english_whatever_the_rep_reads(world: World, language: str) -> None:
    with connected():
        _ident, token = tokens.create(world.viewer("cleo"), world.rep("cleo").id, f"for a program in {language}", world.house.seal) or (0, "")
    answer = world.app.test_client().post("/api/v1/deals", json={"title": " "}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["detail"]) == (422, "title: give the record a title")


def test_a_mail_goes_out_in_the_language_of_the_rep_who_gets_it(world: World, language: str) -> None:
    house = replace(world.house, settings=world.house.settings.model_copy(update={"relay_url": "smtp://127.0.0.1:9"}))
    with connected():
        assert notices.send_password_link(world.rep("ana").id, house)
        (ident,) = outbox.due(house.now())
        letter = outbox.claim(ident, house.seal, house.now())
    text = gettext_of(language)
    assert letter is not None
    assert letter.subject == text(notices.PASSWORD_SUBJECT) != notices.PASSWORD_SUBJECT
    assert letter.body.startswith(text(notices.PASSWORD_BODY).partition("%(")[0])


@pytest.mark.parametrize("who", [None, "ana", "cleo"])
def test_every_page_is_there_in_every_language(world: World, mail: SimpleNamespace, language: str, who: str | None) -> None:
    with connected():
        token = one_time.make("password", world.rep("ben").id, world.house.seal, world.house.now())
    ids = {"thread_id": mail.thread, "message_id": mail.message, "inbound_id": mail.held, "record_id": world.chairs, "contact_id": world.bo, "token": token}
    client = world.client(who)
    seen = 0
    for path in paths(world, ids):
        answer = client.get(path, headers={"Accept-Language": language})
        assert answer.status_code < 500, path
        if answer.mimetype == "text/html" and "<html" in answer.text and answer.status_code == 200 and "/body" not in path:
            assert f'<html lang="{language}"' in answer.text, path
            assert "%(" not in html.unescape(answer.text), path
            seen += 1
    assert seen > {None: 2, "ana": 30, "cleo": 40}[who]


def test_no_text_stands_inside_an_f_string() -> None:
    """The catalogue does not find it there, so it would stay English for ever."""
    marks, hidden = {"_", "N_", "_l", "gettext", "ngettext"}, []
    for path in [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), ROOT / "app.py"]:
        for text in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.JoinedStr)):
            hidden += [(path.name, call.lineno) for call in ast.walk(text) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in marks]
    assert hidden == []
