"""Signing in, staying in, and being put out."""

from __future__ import annotations

import dataclasses
import datetime as dt
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from core.store import one_time
from core.store.company import company
from core.store.database import connected
from core.store.models import Rep
from tests.quick import HASHER_OF_USERS
from tests.web.world import PASSWORD, World


def test_the_passwords_of_users_are_hashed_as_dearly_as_owasp_recommends() -> None:
    assert HASHER_OF_USERS.hash(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_rep_signs_in_and_is_taken_where_he_wanted_to_go(world: World) -> None:
    client = world.client()
    asked = client.get("/threads/5")
    assert asked.location == "/login?next=/threads/5"
    answer = world.post(client, "/login", email="ana@sales.example", password=PASSWORD, next="/threads/5")
    assert answer.location == "/threads/5"
    for elsewhere in ("//evil.example/x", "https://evil.example", "/\\evil.example"):
        assert world.post(world.client(), "/login", email="ana@sales.example", password=PASSWORD, next=elsewhere).location == "/inbox"


def test_a_wrong_password_and_an_unknown_account_are_answered_alike(world: World) -> None:
    wrong = world.post(world.client(), "/login", email="ana@sales.example", password="nothing like it")
    unknown = world.post(world.client(), "/login", email="nobody@sales.example", password="nothing like it")
    assert wrong.status_code == unknown.status_code == 401
    assert "The e-mail address or the password is wrong." in wrong.text
    assert "The e-mail address or the password is wrong." in unknown.text


def test_the_session_gets_a_new_id_and_a_new_csrf_token(world: World) -> None:
    client = world.client()
    client.get("/login")
    with client.session_transaction() as before:
        before["id"] = "fixed-by-somebody-else"
        token = before["csrf_token"]
    world.post(client, "/login", email="ana@sales.example", password=PASSWORD)
    with client.session_transaction() as after:
        assert after["id"] != "fixed-by-somebody-else"
        assert after.get("csrf_token") != token


def test_a_session_dies_at_signing_out_even_for_who_kept_its_cookie(world: World) -> None:
    client, thief = world.client("ben"), world.app.test_client()
    kept = client.get_cookie("dropcopy")
    thief.set_cookie("dropcopy", kept.value)
    assert thief.get("/inbox").status_code == 200
    world.post(client, "/logout")
    assert thief.get("/inbox").location.startswith("/login")


def test_changing_the_password_ends_every_other_session(world: World) -> None:
    here, there = world.client("ben"), world.client("ben")
    fresh = "a quite different one"
    world.post(here, "/account/password", old=PASSWORD, password=fresh, again=fresh)
    assert here.get("/inbox").status_code == 200
    assert there.get("/inbox").status_code == 303
    world.post(here, "/account/password", old=fresh, password=PASSWORD, again=PASSWORD)


def test_a_suspended_rep_is_out_at_once(world: World) -> None:
    client = world.client("ben")
    with connected():
        Rep.update(status="suspended").where(Rep.email == "ben@sales.example").execute()
    try:
        assert client.get("/inbox").status_code == 303
        assert world.post(world.client(), "/login", email="ben@sales.example", password=PASSWORD).status_code == 401
    finally:
        with connected():
            Rep.update(status="active").where(Rep.email == "ben@sales.example").execute()


def test_the_eleventh_try_is_too_many(world: World) -> None:
    client = world.client()
    for _ in range(10):
        assert world.post(client, "/login", email="ana@sales.example", password="wrong").status_code == 401
    answer = world.post(client, "/login", email="ana@sales.example", password=PASSWORD)
    assert answer.status_code == 429
    assert "too many tries" in answer.text


def test_tries_are_counted_for_the_client_too(world: World) -> None:
    client = world.client()
    codes = [world.post(client, "/login", email=f"r{n}@sales.example", password="wrong").status_code for n in range(11)]
    assert codes == [401] * 10 + [429]


def test_a_form_without_the_token_of_its_session_is_refused(world: World) -> None:
    client = world.client("ana")
    assert client.post("/account/look", data={"theme": "dark"}).status_code == 400
    assert client.post("/account/look", data={"theme": "dark", "csrf_token": "made up"}).status_code == 400
    assert client.post("/account/look", data={"theme": "dark"}, headers={"HX-Request": "true"}).status_code == 400
    other = world.client("ben").get("/inbox").text.split('name="csrf-token" content="')[1].split('"')[0]
    assert client.post("/account/look", data={"theme": "dark", "csrf_token": other}).status_code == 400
    own = client.get("/inbox").text.split('name="csrf-token" content="')[1].split('"')[0]
    assert client.post("/account/look", data={"theme": "light"}, headers={"X-CSRFToken": own}).status_code == 303


def test_an_expired_session_sends_the_whole_page_to_the_sign_in(world: World) -> None:
    answer = world.client().get("/threads/5/links", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"] == "/login"
    assert answer.text == ""


def test_a_password_link_works_once(world: World) -> None:
    with connected(), world.app.app_context():
        url = one_time.password_link("ben@sales.example", world.house)
    path = url.removeprefix(world.settings.web_url)
    client = world.client()
    assert "Set your password" in client.get(path).text
    assert world.post(client, path, password=PASSWORD, again="something else").status_code == 422
    assert world.post(client, path, password=PASSWORD, again=PASSWORD).location == "/inbox"
    assert client.get("/inbox").status_code == 200
    assert world.client().get(path).status_code == 404
    assert world.post(world.client(), path, password=PASSWORD, again=PASSWORD).status_code == 404


def test_cookies_are_secure_behind_https(world: World) -> None:
    answer = world.client().get("/login")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def asked_by_itself(client: FlaskClient, message_id: int) -> dict[str, bool]:
    """What a page asks while nobody does anything: whether its answer sets a cookie."""
    polls = {
        "/live?v=0": {"Accept": "application/json"}, "/live/rail": {"HX-Request": "true"}, "/inbox/new?since=0": {"HX-Request": "true"}, "/inbox?tab=mine": {"HX-Request": "true"},
        f"/messages/{message_id}/body": {"Sec-Fetch-Dest": "iframe"}, "/favicon.ico": {"Sec-Fetch-Dest": "image"}, "/static/house.js": {},
    }  # fmt: skip
    return {path: "Set-Cookie" in client.get(path, headers=headers).headers for path, headers in polls.items()}


def test_a_late_answer_to_a_poll_takes_nothing_out_of_the_session(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client("ana")
    client.get("/inbox")
    assert "Set-Cookie" not in client.get("/inbox").headers
    assert not any(asked_by_itself(client, mail.message).values())
    tomorrow = world.house.now() + dt.timedelta(days=1)
    monkeypatch.setitem(world.app.extensions, "dropcopy", dataclasses.replace(world.house, now=lambda: tomorrow))
    world.post(client, "/inbox/many", act="archive")  # without a row: the next page says so
    before = client.get_cookie("dropcopy")
    assert not any(asked_by_itself(client, mail.message).values())
    assert client.get_cookie("dropcopy") == before
    assert "Select at least one conversation first." in client.get("/inbox").text


def test_a_session_in_use_is_renewed_once_a_day_by_a_page(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    client = world.client("ana")
    client.get("/inbox")
    tomorrow = world.house.now() + dt.timedelta(days=1)
    monkeypatch.setitem(world.app.extensions, "dropcopy", dataclasses.replace(world.house, now=lambda: tomorrow))
    assert not any(asked_by_itself(client, mail.message).values())
    assert "Set-Cookie" in client.get("/inbox").headers
    assert "Set-Cookie" not in client.get("/inbox").headers


def test_the_setup_is_over_once_it_is_done(world: World) -> None:
    client = world.client()
    assert client.get("/setup").location == "/inbox"
    assert world.post(client, "/setup", company="Evil", slug="evil", mail_domain="evil.example", admin_email="e@evil.example", password=PASSWORD, again=PASSWORD).status_code == 404
    with connected():
        assert company().name == "Chairs Ltd"
