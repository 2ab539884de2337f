"""A page that says no leaves a signed-in rep where they are; one of a house in trouble stands by itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.store.database import connected, main_db
from core.store.threads import set_sharing
from core.web import FORM_LIMIT
from tests.web.world import World

RAIL = '<nav id="rail"'
SHARED = "the thread that Ana shares"


def is_framed(text: str) -> bool:
    return RAIL in text and "<h1>" in text


@pytest.mark.parametrize(
    ("name", "method", "path", "form", "code"),
    [
        ("ana", "GET", "/nowhere", {}, 404),
        ("ana", "GET", "/threads/999999", {}, 404),
        ("ana", "GET", "/settings", {}, 404),
        ("ana", "POST", "/nowhere", {}, 404),
        ("ana", "POST", "/inbox", {}, 405),
        ("ana", "POST", "/account/look", {"csrf_token": "made up"}, 400),
        ("ana", "POST", "/account/look", {"theme": "x" * (FORM_LIMIT + 1)}, 413),
        ("ben", "POST", SHARED, {"sharing": "private"}, 403),
    ],
)
def test_who_is_signed_in_keeps_the_rail_when_a_page_says_no(world: World, mail: SimpleNamespace, name: str, method: str, path: str, form: dict[str, str], code: int) -> None:
    with connected():
        set_sharing(world.viewer("ana"), mail.thread, "company")
    client, path = world.client(name), f"/threads/{mail.thread}/sharing" if path == SHARED else path
    answer = client.get(path) if method == "GET" else world.post(client, path, **form)
    assert answer.status_code == code
    assert is_framed(answer.text)
    assert 'href="/settings"' not in answer.text  # the rail of this rep, not of an admin


def test_who_is_not_signed_in_sees_the_sentence_alone(world: World) -> None:
    answer = world.client().get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert RAIL not in answer.text


def test_a_part_of_a_page_brings_no_second_rail(world: World) -> None:
    answer = world.client("ana").get("/threads/999999", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert RAIL not in answer.text


def test_a_house_in_trouble_still_gives_a_page_without_asking_the_database_for_a_rail(world: World) -> None:
    client = world.client("ana")
    with connected():
        main_db.execute_sql("ALTER TABLE pulse RENAME TO pulse_away")
    try:
        for path in ("/inbox", "/nowhere"):
            answer = client.get(path)
            assert answer.status_code == 500, path
            assert "Something went wrong on our side" in answer.text
            assert RAIL not in answer.text
    finally:
        with connected():
            main_db.execute_sql("ALTER TABLE pulse_away RENAME TO pulse")
    assert client.get("/nowhere").status_code == 404
