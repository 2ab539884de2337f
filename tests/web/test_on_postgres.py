"""Every page and every form on PostgreSQL too: it takes some questions and texts that SQLite takes otherwise."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import missing
from tests.web.places import paths
from tests.web.world import World, open_world

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

SERVER = os.environ.get("DROPCOPY_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432").rstrip("/")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    name = f"dropcopy_pages_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError:
        missing("a PostgreSQL server")
    with open_world(tmp_path_factory.mktemp("house"), database_url=f"{SERVER}/{name}") as world:
        yield world
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("typed", ["", "%00", "a%00b", "99999999999999999999", "%FF%FE"])
def test_every_page_answers_whatever_its_address_asks(world: World, typed: str) -> None:
    world.mail("Offer for ten chairs")
    client = world.client("cleo")
    seen = 0
    for path in paths(world, {}):
        more = "&".join(f"{name}={typed}" for name in ("q", "find", "merge", "cursor", "before", "since", "reason", "address", "subject", "sender", "message_id", "days"))
        answer = client.get(f"{path}{'&' if '?' in path else '?'}{more}" if typed else path)
        assert answer.status_code < 500, path
        seen += answer.status_code == 200
    assert seen > 20


@pytest.mark.parametrize("path, form", [("/contacts", {"title": "a\x00b", "address": ""}), ("/deals", {"title": "\x00"}), ("/settings/never-log", {"pattern": "\x00"})])
def test_a_nul_in_a_form_is_refused(world: World, path: str, form: dict[str, str]) -> None:
    assert world.post(world.client("cleo"), path, **form).status_code == 400


def test_the_reports_count_mail(world: World) -> None:
    world.mail("Counted")
    page = world.client("ana").get("/reports").text
    assert "Ana Sand" in page
    _day, rep, mails, by_policy, by_hand = world.client("ana").get("/reports/mails.csv").text.splitlines()[-1].split(",")
    assert rep == "ana@sales.example"
    assert int(mails) >= int(by_policy) >= 1
    assert by_hand == "0"
