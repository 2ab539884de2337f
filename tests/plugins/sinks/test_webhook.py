"""Outgoing webhooks: a body that names ids, and a signature that ready-made libraries verify."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from core.errors import HttpTrouble
from core.http import Client, HttpAnswer
from core.types import HouseEvent, SinkContext
from plugins.sinks import webhook

NOW = dt.datetime(2026, 11, 20, 10, 0, 5, tzinfo=dt.UTC)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
EVENT = HouseEvent(7, "mail.logged", NOW - dt.timedelta(seconds=4), {"inbound": 3, "thread": 2, "reason": "logged"})


class Http:
    """Keeps what is posted and answers with one status."""

    def __init__(self, status: int = 204) -> None:
        self.status = status
        self.posts: list[tuple[str, bytes, Mapping[str, str]]] = []

    def post(self, url: str, body: bytes, *, headers: Mapping[str, str], timeout: float) -> HttpAnswer:
        self.posts.append((url, body, headers))
        return HttpAnswer(self.status)


def context(http: Any, url: str = "https://hooks.example/in", secret: str = SECRET) -> SinkContext:
    return SinkContext({"url": url, "secret": secret}, http, lambda: NOW)


def test_an_event_is_posted_as_one_json_value() -> None:
    http = Http()
    webhook.on_event(EVENT, context(http))
    url, body, headers = http.posts[0]
    assert url == "https://hooks.example/in"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"type": "mail.logged", "timestamp": "2026-11-20T10:00:01Z", "data": {"inbound": 3, "thread": 2, "reason": "logged"}}


def test_the_signature_is_that_of_standard_webhooks() -> None:
    http = Http()
    webhook.on_event(EVENT, context(http))
    _, body, headers = http.posts[0]
    signed = b"evt_7." + str(int(NOW.timestamp())).encode() + b"." + body
    expected = base64.b64encode(hmac.new(bytes(range(32)), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-id"] == "evt_7"
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_the_library_of_the_standard_verifies_it() -> None:
    library = pytest.importorskip("standardwebhooks")
    now = dt.datetime.now(dt.UTC)  # it looks at the clock itself
    body = webhook.payload(EVENT)
    headers = webhook.signed("evt_7", now, body, SECRET)
    assert library.Webhook(SECRET).verify(body, headers)["type"] == "mail.logged"
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(SECRET).verify(body + b" ", headers)


def test_the_same_event_has_the_same_id_on_every_try() -> None:
    http = Http()
    for _ in range(2):
        webhook.on_event(EVENT, context(http))
    assert {headers["webhook-id"] for _, _, headers in http.posts} == {"evt_7"}


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 429, 500, 503])
def test_whatever_is_no_success_is_a_failure(status: int) -> None:
    with pytest.raises(HttpTrouble, match=f"hooks.example answered {status}"):
        webhook.on_event(EVENT, context(Http(status)))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!", "whsec_" + base64.b64encode(b"short").decode()])
def test_nothing_goes_out_without_a_good_secret(secret: str) -> None:
    http = Http()
    with pytest.raises(HttpTrouble, match="secret"):
        webhook.on_event(EVENT, context(http, secret=secret))
    assert not http.posts


def test_without_an_address_there_is_nothing_to_do() -> None:
    http = Http()
    webhook.on_event(EVENT, context(http, url=""))
    assert not http.posts


@pytest.mark.parametrize("url", ["https://127.0.0.1/in", "https://[::1]/", "https://169.254.169.254/latest", "https://10.0.0.7/", "http://hooks.example/", "file:///etc/passwd"])
def test_no_address_of_the_house_is_ever_asked(url: str) -> None:
    with pytest.raises(HttpTrouble) as trouble:
        webhook.on_event(EVENT, context(Client(), url=url))
    assert trouble.value.refused
