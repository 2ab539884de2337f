"""A real browser before a real server: system Chromium, driven by Playwright. Anything the page complains about fails the test."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from core.store.database import connected
from core.store.models import Throttle
from tests.conftest import missing
from tests.web.world import PASSWORD, World, open_world

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

# A page that is left breaks off the questions that were still on their way, such as the one for new mail, and htmx says so.
LEFT_BEHIND = ("htmx:sendAbort", "htmx:afterRequest")


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Requests are not news."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("house")) as world:
        yield world


@pytest.fixture(autouse=True)
def _fresh_buckets(world: World) -> None:
    """Each test may sign in as often as it wants."""
    with connected():
        Throttle.delete().execute()


@pytest.fixture(scope="module")
def base(world: World) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, world.app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        missing("Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, base: str) -> Iterator[object]:
    """`visit("ana", width=…, scheme=…, script=…)` gives a page of this rep, signed in through the form; complaints fail the test."""
    contexts, complaints = [], []

    def open_page(name: str | None, *, width: int = 1280, scheme: str = "light", script: bool = True) -> SimpleNamespace:
        context = browser.new_context(viewport={"width": width, "height": 860}, color_scheme=scheme, java_script_enabled=script)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        if name is not None:
            page.goto(base + "/login")
            page.fill("#email", f"{name}@sales.example")
            page.fill("#password", PASSWORD)
            page.press("#password", "Enter")
            page.wait_for_url("**/inbox")
        return SimpleNamespace(page=page, asked=asked, complaints=complaints)

    yield open_page
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if not complaint.startswith(LEFT_BEHIND)] == []
