"""A set-up company behind a real app, one caller a token, and the declared routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from core.settings import Settings
from core.store import company, tokens
from core.store.database import close_databases, connected, intake_db, main_db
from core.store.seal import Seal
from core.store.setup import set_up
from core.store.staff import by_email
from core.store.visibility import Viewer
from core.web.api import OPERATIONS as OPERATIONS  # importing it declares every route
from tests.store.small_world import World
from tests.store.tables import put_tables


class Caller:
    """Calls the API with one token (or none)."""

    def __init__(self, client: FlaskClient, token: str | None) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> TestResponse:
        return self.client.open(f"/api/v1{path}", method=method, json=json, headers={**self.headers, **more.pop("headers", {})}, **more)

    def get(self, path: str) -> Any:
        response = self("GET", path)
        assert response.status_code == 200, (path, response.status_code, response.text)
        return response.json


class House:
    """Ana and Bo sell, Eve is the admin who set the company up, Sue is suspended."""

    def __init__(self, app: Flask, world: World, made: dict[str, str]) -> None:
        self.app = app
        self.world = world
        client = app.test_client()
        self.eve_rep = Viewer(by_email("eve@sales.example") or 0, "eve@sales.example", "admin")
        self.ana_rep, self.bo_rep = world.rep("ana"), world.rep("bo")
        self.sue_rep = world.rep("sue")
        self.eve = Caller(client, made["api_token"])
        self.ana, self.bo, self.sue = (Caller(client, self._token(rep)) for rep in (self.ana_rep, self.bo_rep, self.sue_rep))
        self.nobody = Caller(client, None)
        answer = self.eve("PATCH", f"/reps/{self.sue_rep.rep_id}", {"status": "suspended"})
        assert answer.status_code == 200, answer.text

    def _token(self, rep: Viewer) -> str:
        made = tokens.create(self.eve_rep, rep.rep_id, "test", self.app.extensions["dropcopy"].seal)
        assert made is not None
        return made[1]


@contextmanager
def opened(folder: Path) -> Iterator[House]:
    before = main_db.obj, intake_db.obj
    settings = Settings(data_dir=folder, secret_key="k" * 32, http="127.0.0.1:8000")
    put_tables(folder)
    app = create_app(settings)
    app.testing = False
    company.forget_cache()
    with connected():
        made = set_up(
            company="Acme", slug="acme", mail_domain="drop.example", admin_email="eve@sales.example", password="correct horse", policy="single-open",
            policies=["single-open"], seal=Seal(settings.secret_key), now=World().now,
        )  # fmt: skip
        world = World()
        world.seal = app.extensions["dropcopy"].seal
        yield House(app, world, made)
    close_databases()
    company.forget_cache()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])
