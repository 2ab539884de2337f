"""Who may ask what: a matrix made from the routes themselves. A route without a declared rule fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.routing import Rule

from core.store.database import connected, main_db
from core.web import access
from tests.web.world import World

OUTSIDE = ("/api/", "/in/", "/livez", "/readyz", "/metrics")

# How a route with an id is filled in: from the private mail of Ana. Everything else is filled with 999999, which is nobody's.
OWN: dict[str, str] = {"thread_id": "thread", "message_id": "message", "attachment_id": "pdf", "link_id": "link"}


def pages(world: World) -> list[Rule]:
    return [rule for rule in world.app.url_map.iter_rules() if not rule.rule.startswith(OUTSIDE) and rule.endpoint != "static"]


def filled(world: World, rule: Rule, mail: SimpleNamespace | None) -> str:
    values: dict[str, Any] = {}
    for name in rule.arguments:
        if name == "noun":
            values[name] = "deals"
        elif name in ("kind", "token"):
            values[name] = "nothing"
        else:
            values[name] = getattr(mail, OWN[name]) if mail is not None and name in OWN else 999999
    with world.app.test_request_context():
        return world.app.url_map.bind("localhost").build(rule.endpoint, values)


def test_every_route_declares_who_may_ask(world: World) -> None:
    without = [rule.rule for rule in world.app.url_map.iter_rules() if rule.endpoint != "static" and not getattr(world.app.view_functions[rule.endpoint], "access", None)]
    assert [rule for rule in without if not rule.startswith("/api/")] == []


def test_a_stranger_sees_no_page(world: World, mail: SimpleNamespace) -> None:
    client = world.client()
    for rule in pages(world):
        kind = world.app.view_functions[rule.endpoint].access
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            path = filled(world, rule, mail)
            answer = client.get(path) if method == "GET" else world.post(client, path)
            if kind == "public":
                assert answer.status_code in (200, 303, 401, 404, 422), path
                assert "Private offer" not in answer.text
            else:
                assert answer.status_code == 303, (method, path, answer.status_code)
                assert answer.location.startswith("/login"), path


def test_pages_for_admins_do_not_exist_for_others(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ben")
    admin_pages = [rule for rule in pages(world) if world.app.view_functions[rule.endpoint].access == "admin"]
    assert len(admin_pages) > 25
    for rule in admin_pages:
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            path = filled(world, rule, mail)
            answer = client.get(path) if method == "GET" else world.post(client, path)
            assert answer.status_code == 404, (method, path)


@pytest.mark.parametrize("name", ["ben", "cleo"])
def test_another_reps_private_mail_shows_nowhere(world: World, mail: SimpleNamespace, name: str) -> None:
    """Every page and partial, asked with the ids of Ana's private mail: nothing of what was written comes out."""
    client = world.client(name)
    about_mail = [rule for rule in pages(world) if rule.arguments & set(OWN)]
    assert len(about_mail) > 15
    for rule in pages(world):
        if "GET" not in rule.methods:
            continue
        path = filled(world, rule, mail)
        for headers in ({}, {"HX-Request": "true"}):
            answer = client.get(path, headers=headers)
            for secret in ("Private offer", "Dear Bo", "%PDF-1.7 secret", "offer.pdf"):
                assert secret not in answer.text, (name, path, secret)
            if name == "ben" and rule.arguments & set(OWN):
                assert answer.status_code == 404, path


def test_a_foreign_id_looks_like_a_missing_one(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ben")
    for path in ("/threads/{}", "/messages/{}/body", "/messages/{}/why", "/messages/{}/raw", "/attachments/{}", "/inbound/{}"):
        foreign, missing = client.get(path.format(mail.thread)), client.get(path.format(999999))
        assert foreign.status_code == missing.status_code == 404
        strip = lambda text: text.split("<h1>")[1]  # noqa: E731
        assert strip(foreign.text) == strip(missing.text)


def test_changing_another_reps_private_mail_is_not_possible(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ben")
    changes = [
        (f"/threads/{mail.thread}/sharing", {"sharing": "company"}), (f"/threads/{mail.thread}/delete", {}), (f"/threads/{mail.thread}/archive", {}),
        (f"/threads/{mail.thread}/seen", {}), (f"/threads/{mail.thread}/open", {}), (f"/threads/{mail.thread}/links", {"kind": "deal", "id": str(world.desks)}),
        (f"/threads/{mail.thread}/links/{mail.link}/unlink", {}), (f"/threads/{mail.thread}/create", {"kind": "deal", "title": "x"}),
        (f"/threads/{mail.thread}/split", {"message": str(mail.message)}), (f"/messages/{mail.message}/delete", {}), (f"/choices/{mail.asked}", {"kind": "deal", "id": "1"}),
        (f"/choices/{mail.asked}/none", {}), (f"/inbox/{mail.thread}/links", {"kind": "deal", "id": "1"}), (f"/inbox/{mail.thread}/archive", {}),
        (f"/inbox/{mail.thread}/sharing", {"sharing": "company"}), (f"/inbound/{mail.held}/release", {}), (f"/inbound/{mail.held}/dismiss", {}),
        (f"/deals/{world.chairs}/threads", {"thread": str(mail.thread)}),
    ]  # fmt: skip
    for path, form in changes:
        answer = world.post(client, path, **form)
        assert answer.status_code == 404, (path, answer.status_code)
    assert "Private offer" in world.client("ana").get(f"/threads/{mail.thread}").text


def test_reading_changes_nothing(world: World, mail: SimpleNamespace) -> None:
    """Every GET of a rep, before and after: the same rows in every table but those that count tries."""
    client = world.client("ana")

    def rows() -> dict[str, list[Any]]:
        with connected():
            tables = [table for table in main_db.get_tables() if not table.startswith(("throttle", "search"))]
            return {table: main_db.execute_sql(f'SELECT * FROM "{table}"').fetchall() for table in tables}

    for path in ("/deals", "/deals/1"):
        client.get(path)
    before = rows()
    for rule in pages(world):
        if "GET" in rule.methods and world.app.view_functions[rule.endpoint].access != "admin":
            client.get(filled(world, rule, mail))
    assert rows() == before


def test_an_admins_opening_of_private_mail_is_shown_to_its_owner(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    closed = admin.get(f"/threads/{mail.asked}")
    assert "Private conversation of Ana Sand" in closed.text
    assert "Desks or lamps" not in closed.text
    assert world.post(admin, f"/threads/{mail.asked}/open").status_code == 303
    assert "Desks or lamps" in admin.get(f"/threads/{mail.asked}").text
    assert "Cleo Park (admin) opened it" in world.client("ana").get(f"/threads/{mail.asked}").text


def test_an_admin_who_opened_private_mail_sees_where_it_was_sent(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    why = f"/messages/{mail.message}/why"
    assert admin.get(why).status_code == 404
    assert world.post(admin, f"/threads/{mail.thread}/open").status_code == 303
    assert "<dt>Sent to</dt><dd>chairs@drop.example</dd>" in admin.get(why).text


def test_only_local_paths_follow_a_sign_in() -> None:
    assert access.is_local_path("/threads/7?tab=all")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", "/a\r\nSet-Cookie: x", "/\t/evil.example"):
        assert not access.is_local_path(elsewhere), elsewhere
