"""A picture of every page, in both themes and at 390 px, and of the main ones in Swedish and Japanese, into screenshots/. Needs Chromium."""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from core.store.database import connected  # noqa: E402
from core.store.models import Rep, Throttle  # noqa: E402
from tests.web.world import PASSWORD, PNG, World, open_world  # noqa: E402

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAGES = {
    "inbox": "/inbox", "needs-choice-tab": "/inbox?tab=needs-choice", "search": "/inbox?q=chairs", "conversation": "/threads/1", "conversation-forward": "/threads/4",
    "conversation-choice": "/threads/2", "create-new": "/threads/3/links?new=deal", "why": "/messages/1/why", "headers": "/messages/1/headers",
    "choices": "/choices", "held": "/held", "not-accepted": "/held?tab=ignored", "strangers": "/held?tab=strangers", "held-one": "/inbound/{held}",
    "deals": "/deals", "deal": "/deals/1", "leads": "/leads", "contacts": "/contacts", "contact": "/contacts/1", "organisations": "/organisations",
    "organisation": "/organisations/1", "find": "/find?subject=nowhere", "reports": "/reports", "account": "/account", "sources": "/sources",
    "source-new": "/sources/new/mailgun", "plugins": "/plugins", "settings": "/settings", "policy": "/settings/policy", "limits": "/settings/limits",
    "outgoing": "/settings/outgoing", "data": "/settings/data", "preset": "/settings/preset/hubspot",
    "never-log": "/settings/never-log?address=bo@cust.example", "people": "/settings/people", "tokens": "/settings/tokens", "audit": "/settings/audit", "not-found": "/threads/999",
}  # fmt: skip
GATES = {"login": "/login", "forgotten": "/forgotten", "link-gone": "/reset/nothing"}  # before anybody has signed in
MAIN = ("inbox", "conversation", "conversation-choice", "why", "choices", "held", "held-one", "deal", "account", "sources", "policy", "data", "people")
LOOKS = (
    ("light", "light", 1360, "en"), ("dark", "dark", 1360, "en"), ("phone", "light", 390, "en"), ("sv", "light", 1360, "sv"), ("sv-phone", "light", 390, "sv"),
    ("ja", "dark", 1360, "ja"), ("ja-phone", "light", 390, "ja"),
)  # fmt: skip
FORWARD = """Bo called about this, please log it.

---------- Forwarded message ---------
From: Kim Oda <kim@far.example>
Date: Tue, 17 Nov 2026 at 09:12
Subject: Delivery of the desks
To: Ana Sand <ana@sales.example>

Dear Ana,
when will the desks arrive? We move on the first of December.
Kim
"""


class Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Pages are looked at, not counted."""


def fill(world: World) -> int:
    """Mail of an ordinary week; the id of one that is held."""
    hour = dt.timedelta(hours=1)
    html = (
        '<p>Dear Bo,</p><p>thank you for the call. Here is the offer for the <b>ten chairs</b> in oak.</p>'
        '<table style="border-collapse:collapse"><tr><td style="padding:6px 18px 6px 0">Chair, oak, oiled</td><td align="right">10 × 148.00</td></tr>'
        '<tr><td style="padding:6px 18px 6px 0">Delivery</td><td align="right">60.00</td></tr></table><p>It holds until the end of the month.</p><p>Best,<br>Ana</p>'
    )
    first = "<offer-1@sales.example>"
    world.mail("Offer for ten chairs", text="Dear Bo, here is the offer.", html=html, files=[("Offer 2026-117.pdf", "application/pdf", b"%PDF-1.7" * 9000)], age=26 * hour, message_id=first, picture=PNG)
    world.mail("Which of the two first?", to="Kim Oda <kim@far.example>", text="Hi Kim,\nshall we begin with the desks or with the lamps?\n\nAna", age=20 * hour)
    world.mail("Visit on Thursday", to="Lou Hart <lou@new.example>", text="Hi Lou, I am in town on Thursday and could show you the samples.", age=9 * hour)
    world.mail("Re: Offer for ten chairs", text="Dear Bo,\nyes, the seats can be upholstered. I have added a line for it.\n\nOn Sunday Bo Berg wrote:\n> Could the seats be upholstered?\n> Bo", age=3 * hour, references=first, files=[("fabric-samples.zip", "application/zip", b"PK" * 70000)])
    world.mail("Fwd: Delivery of the desks", to="chairs-fwd@drop.example", rcpt="chairs-fwd@drop.example", text=FORWARD, age=2 * hour)
    world.mail("Spare parts for model 7", text="Hello Bo, the spare parts are back in stock.", sender="Ben Ruiz <ben@sales.example>", age=hour)
    world.mail("Minutes of our call", cc="Mia Holm <mia@cust.example>, Jo Lind <jo@cust.example>", text="Hello all, these are the minutes of our call.", age=dt.timedelta(minutes=12))
    world.mail("Special price for you", ip="198.51.100.7", age=5 * hour)
    world.mail("Your enquiry", sender="Sales Bot <news@far.example>", ip="192.0.2.30", age=4 * hour)
    held = world.mail("Contract", sender="Ana Sand <ana@unproved.example>", age=4 * hour)
    client = world.client("ben")
    world.post(client, "/threads/5/sharing", sharing="company")
    admin = world.client("cleo")
    for path, form in (("/settings/never-log", {"pattern": "newsletter.example"}), ("/settings/people/team", {"address": "team@sales.example", "rep": "2"}), ("/settings/tokens", {"name": "Nightly import", "rep": "1"}), ("/sources/new/mailgun", {"name": "Mailgun EU", "s-secret": "key-of-mailgun"})):
        world.post(admin, path, **form)
    ana = world.client("ana")
    world.post(ana, "/account/addresses", address="ana@home.example")
    for thread in (1, 2):
        world.post(ana, f"/threads/{thread}/sharing", sharing="company")
    world.post(ana, "/leads", title="Kitchen for the harbour café")
    return held


def shoot(browser: Browser, base: str, folder: Path, held: int, looks: Sequence[tuple[str, str, int, str]], only: list[str]) -> None:
    for look, scheme, width, language in looks:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, device_scale_factor=1, locale=language)
        page = context.new_page()
        page.on("console", lambda message: print("console:", message.text) if message.type == "error" and "404" not in message.text else None)

        def picture(title: str, path: str, look: str = look, page: Page = page) -> None:
            page.goto(base + path)
            page.screenshot(path=folder / f"{title}-{look}.png", full_page=True)

        for title, path in GATES.items():
            if not only or title in only:
                picture(title, path)
        for who in ("ana", "cleo"):
            context.clear_cookies()
            page.goto(base + "/login")
            page.fill("#email", f"{who}@sales.example")
            page.fill("#password", PASSWORD)
            page.click("button.main")
            page.wait_for_url("**/inbox")
            for title, path in PAGES.items():
                admins = path.startswith(("/settings", "/sources", "/plugins", "/held", "/inbound"))
                if admins == (who == "cleo") and (not only or title in only) and (language == "en" or title in MAIN):
                    picture(title, path.format(held=held))
            if who == "ana" and (not only or "refused" in only):
                page.goto(base + "/contacts")
                page.click("details.menu > summary.main")
                page.fill("#title", "Bo again")
                page.fill("#address", "bo@cust.example")
                page.click(".sheet button.main")
                page.wait_for_load_state()
                page.screenshot(path=folder / f"refused-{look}.png", full_page=True)
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of pages; all when none is given")
    only = parser.parse_args().only
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is missing: install it to take pictures.")
    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, open_world(Path(place)) as world:
        held = fill(world)
        server = make_server("127.0.0.1", 0, world.app, threaded=True, request_handler=Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            base = f"http://127.0.0.1:{server.server_port}"
            for language in ("en", "sv", "ja"):
                with connected():
                    Rep.update(language=language).execute()
                    Throttle.delete().execute()  # so many sign-ins from one place would be refused
                shoot(browser, base, folder, held, [look for look in LOOKS if look[3] == language], only)
            browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
