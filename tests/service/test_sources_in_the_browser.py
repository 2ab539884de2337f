"""The sources page in a real browser before a running house: each kind of way in is added, tried, paused, resumed and removed,
and mail comes through it without a restart."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import shutil
import smtplib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.types import WebRequest
from tests.browser.conftest import FLAGS
from tests.conftest import missing
from tests.mailmaker import Signer, make_mail
from tests.plugins.sources import dovecot as dovecots
from tests.plugins.sources import (
    test_cloudmailin,
    test_generic,
    test_mailersend,
    test_mailgun,
    test_mandrill,
    test_postal,
    test_postmark,
    test_sendgrid,
    test_ses,
    test_sparkpost,
)
from tests.plugins.sources.cases import WebhookCases, change, large_mail, post
from tests.plugins.sources.dovecot import Dovecot
from tests.running import PASSWORD, Running, free_port
from tests.service.test_ways_in import connections

Make = Callable[[bytes, str], WebRequest]  # a rightly proved request with this mail, to this address


def made(cases: WebhookCases) -> Make:
    return lambda raw, url: cases.request(raw, key=hashlib.sha256(raw).hexdigest()[:40], now=dt.datetime.now(dt.UTC))


def made_by_mandrill(raw: bytes, url: str) -> WebRequest:
    """Its signature is over the public address."""
    cases = test_mandrill.TestMandrill()
    request = cases.request(raw)
    fields = {"mandrill_events": json.dumps([cases.event(raw)])}
    return post(request.body, "application/x-www-form-urlencoded", test_mandrill.sign(fields, cases.secret, url))


def made_by_sns(raw: bytes, url: str) -> WebRequest:
    """Unproved: who proves it is asked at Amazon, and no test leaves this machine."""
    cases = test_ses.TestSes()
    return cases.unproved(cases.request(raw))


# By kind: the title in the menu, the fields of the form, and how its provider's request looks.
WEBHOOKS: dict[str, tuple[str, dict[str, str], Make]] = {
    "generic": ("Webhook with the raw mail", {"secret": test_generic.TestSigned.secret}, made(test_generic.TestSigned())),
    "mailgun": ("Mailgun", {"secret": test_mailgun.TestMailgun.secret}, made(test_mailgun.TestMailgun())),
    "sendgrid": ("SendGrid Inbound Parse", {"secret": test_sendgrid.TestSendgrid.secret}, made(test_sendgrid.TestSendgrid())),
    "postmark": ("Postmark", {"secret": test_postmark.TestPostmark.secret}, made(test_postmark.TestPostmark())),
    "ses": ("Amazon SES through SNS", {"topics": test_ses.TOPIC}, made_by_sns),
    "mandrill": ("Mandrill (Mailchimp Transactional)", {"secret": test_mandrill.TestMandrill.secret}, made_by_mandrill),
    "mailersend": ("MailerSend", {"secret": test_mailersend.TestMailersend.secret}, made(test_mailersend.TestMailersend())),
    "sparkpost": ("SparkPost", {"secret": test_sparkpost.TestSparkpost.secret}, made(test_sparkpost.TestSparkpost())),
    "postal": ("Postal", {"public_key": test_postal.public("ours")}, made(test_postal.TestPostal())),
    "cloudmailin": ("CloudMailin", {"secret": test_cloudmailin.TestCloudmailin.secret}, made(test_cloudmailin.TestCloudmailin())),
}


def wrong(cases: WebhookCases) -> Callable[[], tuple[WebRequest, str]]:
    return lambda: cases.wrong_kinds()[0]


def wrong_generic() -> tuple[WebRequest, str]:
    request = made(test_generic.TestSigned())(b"{}", "")
    return change(request, headers={"content-type": "application/json"}), "message/rfc822"


def wrong_mailgun() -> tuple[WebRequest, str]:
    return test_mailgun.TestMailgun().form({"event": "delivered"}, now=dt.datetime.now(dt.UTC)), "tracking"


# By kind: a rightly proved request that brings no raw mail, and a word of the sentence that names the mistake.
WRONG: dict[str, Callable[[], tuple[WebRequest, str]]] = {
    "generic": wrong_generic, "mailgun": wrong_mailgun, "sendgrid": wrong(test_sendgrid.TestSendgrid()), "postmark": wrong(test_postmark.TestPostmark()),
    "mailersend": wrong(test_mailersend.TestMailersend()), "sparkpost": wrong(test_sparkpost.TestSparkpost()), "postal": wrong(test_postal.TestPostal()),
    "cloudmailin": wrong(test_cloudmailin.TestCloudmailin()),
}  # fmt: skip


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with dovecots.dovecot() as server:
        yield server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("house"), parts=("receive", "worker", "web")) as house:
        yield house


@pytest.fixture(scope="module")
def page(house: Running) -> Iterator[Any]:
    """A page on which the admin is signed in. Whatever it complains about fails the last test."""
    sync = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        missing("Chromium")
    complaints: list[str] = []
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(f"http://{house.http}/login")
        page.fill("#email", "root@sales.example")
        page.fill("#password", PASSWORD)
        page.press("#password", "Enter")
        page.wait_for_url("**/inbox")
        yield page
        browser.close()
    assert complaints == []


class SourcesPage:
    """What an admin does there, in words."""

    def __init__(self, page: Any, house: Running) -> None:
        self.page = page
        self.base = f"http://{house.http}"

    def add(self, title: str, name: str, fields: dict[str, str]) -> None:
        """Add a source by the menu and the form; its own page is shown then, and none of its secrets."""
        self.page.goto(f"{self.base}/sources")
        self.page.get_by_text("Add a source").click()
        self.page.locator(".sheet").get_by_role("link", name=title, exact=True).click()
        self.page.fill("#name", name)
        for field, value in fields.items():
            where = self.page.locator(f"#s-{field}")
            kind = where.evaluate("e => e.tagName + (e.type || '')")
            if kind == "SELECTselect-one":
                where.select_option(value)
            elif kind == "INPUTcheckbox":
                where.set_checked(value == "1")
            else:
                where.fill(value)
        self.page.get_by_role("button", name="Add the source").click()
        self.page.wait_for_url(re.compile(r"/sources/\d+$"))
        self.page.get_by_role("heading", name=name).wait_for()
        self.own = self.page.url

    def press(self, button: str) -> str:
        """Press a button of the source's own page; the sentence that it answers."""
        self.page.goto(self.own)
        with self.page.expect_response(lambda answer: "/try" in answer.url):
            self.page.get_by_role("button", name=button).click()
        toast = self.page.locator(".toast").last
        toast.wait_for()
        return str(toast.inner_text())

    def switch(self, name: str, button: str) -> None:
        """Pause or resume, in the list of all sources."""
        self.page.goto(f"{self.base}/sources")
        line = self.line(name)
        with self.page.expect_response(lambda answer: "/enabled" in answer.url):
            line.get_by_role("button", name=button).click()
        self.line(name).get_by_role("button", name="Resume" if button == "Pause" else "Pause").wait_for()

    def line(self, name: str) -> Any:
        return self.page.locator("li").filter(has_text=name)

    def shows(self, sentence: str, *, own: bool = True) -> bool:
        self.page.goto(self.own if own else f"{self.base}/sources")
        return sentence in self.page.locator("main").inner_text()

    def remove(self, name: str) -> None:
        self.page.goto(self.own)
        self.page.get_by_role("button", name="Remove").click()
        self.page.wait_for_url("**/sources")
        assert self.line(name).count() == 0


@pytest.fixture
def sources(page: Any, house: Running) -> SourcesPage:
    return SourcesPage(page, house)


def ask(url: str, request: WebRequest) -> int:
    wanted = urllib.request.Request(url, method=request.method, data=request.body, headers=dict(request.headers))
    try:
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as channel:
            return channel.recv(3) == b"220"
    except OSError:
        return False


def deliver(port: int, raw: bytes, *, lmtp: bool) -> None:
    with (smtplib.LMTP if lmtp else smtplib.SMTP)("127.0.0.1", port, timeout=60) as client:
        client.sendmail("ana@sales.example", ["acme@drop.example"], raw)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", WEBHOOKS)
def test_a_webhook_is_added_tried_paused_resumed_and_removed(kind: str, house: Running, sources: SourcesPage) -> None:
    title, fields, make = WEBHOOKS[kind]
    name = f"Door of {kind}"
    good = {401} if kind == "ses" else {200, 202}
    sources.add(title, name, fields)
    url = sources.page.input_value("#hook")
    assert url.startswith(f"{sources.base}/in/")
    if "secret" in fields:
        assert fields["secret"] not in sources.page.content()
        assert sources.page.locator("#s-secret").input_value() == ""
        assert "empty to keep" in (sources.page.locator("#s-secret").get_attribute("placeholder") or "")
    assert "leads here" in sources.press("Test")
    before = house.status()["accepted"]
    assert ask(url, make(house.mail(f"First by {kind}"), url)) in good
    house.until(lambda: sources.shows("401" if kind == "ses" else "Kept as"), 60)
    if kind != "ses":
        assert house.status()["accepted"] == before + 1
        assert sources.shows("last mail")
    sources.switch(name, "Pause")
    assert "paused" in sources.press("Test")
    assert ask(url, make(house.mail(f"While {kind} is paused"), url)) == 503
    sources.switch(name, "Resume")
    assert ask(url, make(house.mail(f"Second by {kind}"), url)) in good
    if kind in WRONG:
        request, word = WRONG[kind]()
        assert 400 <= ask(url, request) < 500
        house.until(lambda: sources.shows(word), 60)
        assert word in sources.page.locator(".notice.bad").inner_text()
        assert sources.shows(word, own=False)
    sources.remove(name)
    assert ask(url, make(house.mail(f"After {kind}"), url)) == 404
    if kind != "ses":
        assert house.status()["accepted"] == before + 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["SMTP", "LMTP"])
def test_a_port_is_added_tried_paused_resumed_and_removed(kind: str, house: Running, sources: SourcesPage) -> None:
    port, name, lmtp = free_port(), f"Another {kind}", kind == "LMTP"
    sources.add(kind, name, {"port": str(port)})
    house.until(lambda: "The port answers: 220" in sources.press("Test"), 60)
    before = house.status()["accepted"]
    deliver(port, house.mail(f"First by {kind}"), lmtp=lmtp)
    house.until(lambda: sources.shows("it had waited"), 60)
    sources.switch(name, "Pause")
    house.until(lambda: not listens(port), 60)
    assert "Nothing answers" in sources.press("Test")
    sources.switch(name, "Resume")
    house.until(lambda: listens(port), 60)
    deliver(port, house.mail(f"Second by {kind}"), lmtp=lmtp)
    sources.remove(name)
    house.until(lambda: not listens(port), 60)
    assert house.status()["accepted"] == before + 2


@pytest.mark.timeout(240)
def test_a_port_that_is_taken_says_so_on_the_page(house: Running, sources: SourcesPage) -> None:
    sources.add("SMTP", "Taken", {"port": str(house.smtp[1])})
    house.until(lambda: sources.shows("cannot listen"), 60)
    assert sources.shows("in trouble", own=False)
    sources.remove("Taken")
    house.until(lambda: listens(house.smtp[1]))


@pytest.mark.timeout(400)
def test_a_mail_of_19_mb_comes_through_every_webhook_and_one_over_the_limit_through_none(tmp_path: Path) -> None:
    """By the real route, where a provider's frame around the mail counts against the limit of a request."""
    with Running(tmp_path, parts=("web",)) as house:
        raw = large_mail(19 << 20)
        for number, (kind, (_, fields, make)) in enumerate([one for one in WEBHOOKS.items() if one[0] != "ses"], 1):
            door = house.api("/sources", {"kind": kind, "name": kind, "settings": fields}, "POST")
            url = f"http://{house.http}/in/" + door["url"].partition("/in/")[2]
            assert ask(url, make(raw, url)) in (200, 202), kind
            assert house.status()["accepted"] == number, kind
            too_large = make(large_mail((20 << 20) + 1), url)
            assert ask(url, too_large) in (200, 403, 406, 413, 422), kind
            assert house.status()["accepted"] == number, kind


def unsigned(subject: str) -> bytes:
    """Nothing but SPF can prove it, and its domain names 192.0.2.0/24: it is logged when the true client is known, and held else."""
    return make_mail(subject=subject, date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()))


def says(port: int, *commands: bytes) -> list[bytes]:
    """What the port answers to these, one after the other; the first answer is its greeting. b"": the connection has ended."""
    answers: list[bytes] = []
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as channel, channel.makefile("rb") as lines:
            for command in commands:
                channel.sendall(command)
                line = lines.readline()
                while line[3:4] == b"-":
                    line = lines.readline()
                answers.append(line[:3])
    except ConnectionError:
        answers.append(b"")
    return answers


@pytest.mark.timeout(240)
def test_the_client_that_a_trusted_proxy_names_is_the_client(house: Running, sources: SourcesPage) -> None:
    port = free_port()
    sources.add("SMTP", "Behind haproxy", {"port": str(port), "proxy_protocol": "1", "trusted_peers": "127.0.0.1"})
    house.until(lambda: "The port answers: 220" in sources.press("Test"), 60)
    logged, held = house.status()["logged"], house.status()["held"]
    for client, subject in ((b"192.0.2.77", "From our network"), (b"203.0.113.5", "From elsewhere")):
        head = b"PROXY TCP4 %b 192.0.2.1 40000 25\r\n" % client
        mail = unsigned(subject) + b"\r\n.\r\n"
        talk = says(
            port,
            head,
            b"EHLO mail.sales.example\r\n",
            b"MAIL FROM:<ana@sales.example>\r\n",
            b"RCPT TO:<acme@drop.example>\r\n",
            b"DATA\r\n",
            mail,
            b"QUIT\r\n",
        )
        assert talk == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    house.until(
        lambda: house.status()["received"] == house.status()["processing"] == 0 and house.status()["logged"] == logged + 1, 60
    )
    assert house.status()["held"] == held
    sources.page.goto(sources.own)
    sources.page.fill("#s-trusted_peers", "192.0.2.1")
    sources.page.get_by_role("button", name="Save").click()
    sources.page.locator(".toast").get_by_text("Saved").wait_for()
    house.until(lambda: "none of the trusted peers" in sources.press("Test"), 60)
    assert says(port, b"PROXY TCP4 192.0.2.77 192.0.2.1 40000 25\r\n") == [b""]
    sources.remove("Behind haproxy")


@pytest.mark.timeout(240)
def test_the_client_that_a_trusted_mail_server_forwards_is_the_client(house: Running, sources: SourcesPage) -> None:
    port = free_port()
    sources.add("SMTP", "Behind Postfix", {"port": str(port), "trusted_peers": "127.0.0.1"})
    house.until(lambda: listens(port), 60)
    logged = house.status()["logged"]
    talk = [
        b"", b"EHLO mx.acme.example\r\n", b"XFORWARD ADDR=192.0.2.78 HELO=mail.sales.example\r\n", b"MAIL FROM:<ana@sales.example>\r\n",
        b"RCPT TO:<acme@drop.example>\r\n", b"DATA\r\n", unsigned("Forwarded by Postfix") + b"\r\n.\r\n", b"QUIT\r\n",
    ]  # fmt: skip
    assert says(port, *talk) == [b"220", b"250", b"250", b"250", b"250", b"354", b"250", b"221"]
    house.until(lambda: house.status()["logged"] == logged + 1, 60)
    sources.page.goto(sources.own)
    sources.page.fill("#s-trusted_peers", "")
    sources.page.get_by_role("button", name="Save").click()
    sources.page.locator(".toast").get_by_text("Saved").wait_for()
    house.until(lambda: says(port, *talk[:3])[2:3] not in ([], [b""], [b"250"]), 60)
    sources.remove("Behind Postfix")


@pytest.mark.timeout(240)
def test_a_mailbox_is_added_tried_polled_paused_resumed_and_removed(house: Running, sources: SourcesPage, dovecot: Dovecot) -> None:
    user, name = "page", "The old mailbox"
    fields = {
        "host": "127.0.0.1", "port": str(dovecot.port), "security": "none", "username": user, "password": dovecots.PASSWORD,
        "default_recipient": "acme@drop.example", "afterwards": "flag",
    }  # fmt: skip
    sources.add("IMAP mailbox", name, fields)
    assert dovecots.PASSWORD not in sources.page.content()
    assert "INBOX holds 0 mails" in sources.press("Test")
    before = house.status()["accepted"]
    dovecot.put(user, house.mail("First by IMAP"))
    house.until(lambda: house.status()["accepted"] == before + 1, 60)
    house.until(lambda: sources.shows("it had waited"), 60)
    sources.switch(name, "Pause")
    house.until(lambda: connections(dovecot, user) == 0, 60)
    dovecot.put(user, house.mail("Second by IMAP"))
    assert "One mail was fetched." in sources.press("Poll now")
    assert house.status()["accepted"] == before + 2
    sources.page.goto(sources.own)
    sources.page.fill("#s-password", "a wrong password")
    sources.page.get_by_role("button", name="Save").click()
    sources.page.locator(".toast").get_by_text("Saved").wait_for()
    assert "a wrong password" not in sources.page.content()
    sources.switch(name, "Resume")
    house.until(lambda: sources.shows("did not accept", own=False) and sources.shows("in trouble", own=False), 60)
    assert "did not accept" in sources.press("Test")
    sources.page.fill("#s-password", dovecots.PASSWORD)
    sources.page.get_by_role("button", name="Save").click()
    sources.page.locator(".toast").get_by_text("Saved").wait_for()
    dovecot.put(user, house.mail("Third by IMAP"))
    house.until(lambda: house.status()["accepted"] == before + 3, 60)
    house.until(lambda: not sources.shows("in trouble", own=False), 60)
    sources.remove(name)
    house.until(lambda: connections(dovecot, user) == 0, 60)


@pytest.mark.timeout(240)
def test_a_held_mail_is_judged_again_from_the_list_of_requests(house: Running, sources: SourcesPage) -> None:
    title, fields, make = WEBHOOKS["generic"]
    sources.add(title, "Replayed", fields)
    url = sources.page.input_value("#hook")
    raw = make_mail(subject="Nobody has signed this", body="A confidential text.")
    assert ask(url, make(raw, url)) == 202
    house.until(lambda: sources.shows("held"), 60)
    assert "confidential" not in sources.page.content()
    sources.page.get_by_role("button", name="Judge again").click()
    sources.page.locator(".toast").get_by_text("judged once more").wait_for()
    house.until(lambda: sources.shows("held"), 60)
    sources.remove("Replayed")


@pytest.mark.timeout(240)
def test_gmails_question_is_shown_with_its_code(house: Running, sources: SourcesPage) -> None:
    google = Signer("google.com")
    house.dns.zone = {**house.dns.zone, **google.dns}
    link = "https://mail-settings.google.com/mail/vf-%5BANGjdJ8x%5D-abc_123"
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    raw = make_mail(
        "Gmail Team <forwarding-noreply@google.com>", to="acme@drop.example", subject="(#123456789) Gmail Forwarding Confirmation - Receive Mail from ana@sales.example",
        body=f"ana@sales.example has requested to automatically forward mail.\r\nConfirmation code: 123456789\r\n{link}\r\n", date=date,
    )  # fmt: skip
    house.send(google.sign(raw), sender="forwarding-noreply@google.com")
    sources.own = f"{sources.base}/sources"
    house.until(lambda: sources.shows("123456789"), 60)
    assert sources.page.locator("main").get_by_role("link", name="Or confirm at Google").get_attribute("href") == link
