"""The sources page: ways in are added, tried, paused, resumed and removed while the house runs; requests are shown and judged again."""

from __future__ import annotations

import base64
import re
from types import SimpleNamespace
from typing import Any

import pytest

from core.store.database import connected
from core.store.models import Outcome, SourceInstance, SourceRequest
from tests.mailmaker import make_mail
from tests.web.world import World

SECRET = "a-long-bearer-token-0123456789abcdef"


@pytest.fixture(autouse=True)
def _after(mail: SimpleNamespace) -> None:
    """The house that all page tests share has its first mails before these bring theirs."""


@pytest.fixture
def hook(world: World) -> Any:
    """A generic webhook that the admin has added on the page: (path of its page, path that takes mail)."""
    admin = world.client("cleo")
    where = world.post(admin, "/sources/new/generic", name="Door", **{"s-secret": SECRET}).location
    page = admin.get(where).text
    found = re.search(r"http://localhost(/in/door-[\w-]+)", page)
    assert found is not None
    yield SimpleNamespace(admin=admin, page=where, path=found[1])
    world.post(admin, f"{where}/remove")


def post(world: World, path: str, raw: bytes, secret: str = SECRET, **headers: str) -> Any:
    fields = {
        "Content-Type": "message/rfc822", "Authorization": f"Bearer {secret}", "X-Envelope-To": "chairs@drop.example",
        "X-Envelope-From": "ana@sales.example", "X-Envelope-Client-Ip": "192.0.2.10", **{key.replace("_", "-"): value for key, value in headers.items()},
    }  # fmt: skip
    # Buffered: what comes after the answer has then happened too.
    return world.app.test_client().post(path, data=raw, headers=fields, buffered=True)


def test_a_source_is_added_tried_paused_resumed_and_removed_in_the_browser(world: World, hook: SimpleNamespace) -> None:
    raw = make_mail("Ana <ana@sales.example>", subject="Through the door")
    assert post(world, hook.path, raw).status_code == 202
    world.post(hook.admin, f"{hook.page}/enabled", enabled="0")
    paused = post(world, hook.path, raw)
    assert (paused.status_code, paused.headers["Retry-After"]) == (503, "60")
    world.post(hook.admin, f"{hook.page}/enabled", enabled="1")
    assert post(world, hook.path, raw).status_code == 202
    world.post(hook.admin, f"{hook.page}/remove")
    assert post(world, hook.path, raw).status_code == 404


def test_the_page_shows_the_last_mail_the_last_error_and_the_last_twenty_requests(world: World, hook: SimpleNamespace) -> None:
    assert "no mail yet" in hook.admin.get("/sources").text
    secret_text = "wrong-secret-that-must-not-be-shown"
    assert post(world, hook.path, make_mail(subject="Refused"), secret=secret_text).status_code == 401
    page = hook.admin.get(hook.page).text
    assert "401" in page
    assert "signature or password" in page
    assert secret_text not in page
    for number in range(25):
        assert post(world, hook.path, make_mail(subject=f"Confidential {number}")).status_code == 202
    page = hook.admin.get(hook.page).text
    assert "Confidential" not in page
    assert page.count('<td class="nowrap">') == 20
    with connected():
        assert SourceRequest.select().where(SourceRequest.instance == int(hook.page.rsplit("/", 1)[1])).count() == 20
    assert "last mail" in hook.admin.get("/sources").text


def test_a_request_whose_mail_was_held_is_judged_again(world: World, hook: SimpleNamespace) -> None:
    raw = make_mail("New <new@fresh.example>", subject="Unknown rep", to="Bo <bo@cust.example>")
    assert post(world, hook.path, raw, X_Envelope_From="new@fresh.example").status_code == 202
    with connected():
        world._pipeline.work()
        asked = SourceRequest.select().order_by(SourceRequest.id.desc()).get()
        (ident,) = asked.facts["inbound"]
        assert Outcome.get_by_id(ident).state == "held"
    page = hook.admin.get(hook.page).text
    assert f"/inbound/{ident}" in page
    assert "Judge again" in page
    answer = world.post(hook.admin, f"{hook.page}/requests/{asked.id}/again")
    assert answer.status_code == 303
    with connected():
        assert world._pipeline.work() == 1
    assert world.post(world.client("ana"), f"{hook.page}/requests/{asked.id}/again").status_code in (403, 404)
    assert world.post(hook.admin, f"{hook.page}/requests/999999/again").status_code == 404


def test_a_second_smtp_port_is_a_source_like_any_other(world: World) -> None:
    admin = world.client("cleo")
    assert 'name="s-proxy_protocol"' in admin.get("/sources/new/smtp").text
    where = world.post(admin, "/sources/new/smtp", name="Behind haproxy", **{"s-port": "0", "s-proxy_protocol": "1", "s-trusted_peers": "127.0.0.1"}).location
    with connected():
        row = SourceInstance.get(SourceInstance.name == "Behind haproxy")
        assert row.settings["proxy_protocol"] is True
    world.post(admin, f"{where}/remove")


def test_gmails_question_is_shown_to_the_admin_with_its_code_and_link(world: World) -> None:
    link = "https://mail-settings.google.com/mail/vf-%5BANGjdJ8x%5D-abc_123"
    text = f"ana@sales.example has requested to automatically forward mail to your address.\nConfirmation code: 123456789\n{link}\n"
    inbound = world.mail(
        "(#123456789) Gmail Forwarding Confirmation - Receive Mail from ana@sales.example", "chairs@drop.example", text,
        sender="Gmail Team <forwarding-noreply@google.com>",
    )  # fmt: skip
    page = world.client("cleo").get("/sources").text
    assert "123456789" not in page, "nobody has proved that it is Gmail's"
    with connected():
        Outcome.update(decision="pass").where(Outcome.inbound_id == inbound).execute()
    page = world.client("cleo").get("/sources").text
    assert "<code>123456789</code>" in page
    assert link in page
    with connected():
        Outcome.update(decision="hold").where(Outcome.inbound_id == inbound).execute()


# --- hostile requests on the real route ---------------------------------------------------------------------------


def test_a_wrong_token_is_not_found(world: World, hook: SimpleNamespace) -> None:
    for path in ("/in/door-wrong", "/in/", "/in/door", hook.path[:-1], "/in/-", "/in/%00"):
        answer = post(world, path, make_mail())
        assert answer.status_code == 404, path


def test_a_request_over_the_limit_is_refused_before_it_is_read(world: World, hook: SimpleNamespace) -> None:
    class Counting:
        """A body without end that counts what was taken of it."""

        taken = 0

        def read(self, size: int = -1) -> bytes:
            size = 65_536 if size is None or size < 0 else min(size, 1_000_000)
            self.taken += size
            return b"x" * size

        readline = read

    stream = Counting()
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": hook.path, "wsgi.input": stream, "CONTENT_TYPE": "message/rfc822", "SERVER_NAME": "localhost",
               "SERVER_PORT": "80", "wsgi.url_scheme": "http", "HTTP_AUTHORIZATION": f"Bearer {SECRET}", "wsgi.input_terminated": True}  # fmt: skip
    status: list[str] = []

    def start(line: str, *_: Any) -> Any:
        status.append(line)
        return lambda _data: None

    list(world.app.wsgi_app({**environ, "CONTENT_LENGTH": str(10**12)}, start))
    assert status[0].startswith("413")
    assert stream.taken == 0
    list(world.app.wsgi_app(environ, start))  # chunked: nobody says how long it is
    assert status[1].startswith("413")
    assert stream.taken < 64_000_000


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_compressed_request_is_refused(world: World, hook: SimpleNamespace, coding: str) -> None:
    assert post(world, hook.path, b"\x1f\x8b" + b"\0" * 100, Content_Encoding=coding).status_code == 415


@pytest.mark.parametrize("kind", ["postmark", "mandrill", "mailersend", "sparkpost", "postal", "ses"])
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"RawEmail":' + b"[" * 100_000, b"\xff\xfe\0", b"", b"null", b'"' + b"\\ud800" * 1000 + b'"'])
def test_json_that_is_nested_without_end_is_a_bad_request_and_never_a_fault(world: World, kind: str, body: bytes) -> None:
    source = world.house.plugins.sources[kind]
    values = {
        "postmark": {"secret": "user:password-0123456789"}, "sparkpost": {"secret": "token-0123456789-0123456789"}, "mandrill": {"secret": "k" * 30},
        "mailersend": {"secret": "k" * 30}, "postal": {"public_key": POSTAL_KEY}, "ses": {"topics": "arn:aws:sns:eu-west-1:123456789012:mail"},
    }[kind]  # fmt: skip
    from core import sources

    with connected():
        row = sources.add(source, f"hostile {kind}", values, world.house.seal, world.house)
        path = sources.url_of(row, world.house).removeprefix("http://localhost")
    login = base64.b64encode(b"user:password-0123456789").decode()
    answer = world.app.test_client().post(
        path, data=body, headers={"Content-Type": "application/json", "Authorization": f"Basic {login}", "X-MessageSystems-Webhook-Token": "token-0123456789-0123456789"}
    )
    assert 400 <= answer.status_code < 500, (kind, body[:20], answer.status_code, answer.text)
    with connected():
        sources.remove(row)


def _postal_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).decode()


POSTAL_KEY = _postal_key()


def test_fifty_identical_deliveries_at_once_are_one_logged_mail(world: World, hook: SimpleNamespace) -> None:
    from concurrent.futures import ThreadPoolExecutor

    raw = make_mail("Ana Sand <ana@sales.example>", to="Bo <bo@cust.example>", subject="Fifty at once")
    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(lambda _: post(world, hook.path, raw).status_code, range(50)))
    assert set(statuses) == {202}
    with connected():
        while world._pipeline.work():
            pass
        ends = [row.state for row in Outcome.select().where(Outcome.subject == "Fifty at once")]
        reasons = {row.reason for row in Outcome.select().where(Outcome.subject == "Fifty at once")}
    assert len(ends) == 50
    assert ends.count("logged") == 1, reasons
    assert reasons == {"logged", "duplicate"}


def test_the_author_of_a_forward_is_called_claimed_on_its_page(world: World) -> None:
    with connected():
        from core.store import drops

        _, address = drops.universal()
    text = "---------- Forwarded message ---------\nFrom: Zoe Claim <zoe@cust.example>\nDate: Thu, Nov 19, 2026 at 9:00 AM\nSubject: Desks\nTo: Ana <ana@sales.example>\n\n\nPlease.\n"
    inbound = world.mail("Fwd: Desks", address, text, rcpt=address)
    with connected():
        thread = Outcome.get_by_id(inbound).thread_id
    page = world.client("ana").get(f"/threads/{thread}").text
    assert "zoe@cust.example" in page
    assert ">claimed</span>" in page
