"""The whole way with real parts: swaks, a DNS server on loopback, a really signed mail, and Chromium that sees it appear linked."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import FLAGS
from tests.conftest import missing
from tests.running import PASSWORD, Running


@pytest.mark.timeout(240)
def test_a_rep_sees_a_bccd_mail_appear_linked_without_reloading(tmp_path: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        missing("Chromium")
    if shutil.which("swaks") is None:
        missing("swaks")
    with Running(tmp_path, parts=("receive", "worker", "web")) as house, sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(30_000)
        page.goto(f"http://{house.http}/login")
        page.fill("#email", "ana@sales.example")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_url("**/inbox")
        _swaks(house, tmp_path / "mail.eml", house.mail("The offer for ten chairs"))
        page.get_by_text("1 new").or_(page.get_by_text("The offer for ten chairs")).first.wait_for()
        pill = page.get_by_text("1 new")
        if pill.count():
            pill.first.click()
        page.get_by_text("The offer for ten chairs").first.click()
        page.get_by_text("It is the only open record").first.wait_for()
        assert page.get_by_role("link", name="Ten chairs").count() >= 1
        browser.close()


def _swaks(house: Running, path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    done = subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{house.smtp[1]}", "--from", "ana@sales.example", "--to", "acme@drop.example", "--data", f"@{path}", "--suppress-data"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
