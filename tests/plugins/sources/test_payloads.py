"""Requests as providers send them, from the shared test data: captured ones, and mails of every kind in every shape."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from core.types import WebRequest
from plugins.sources import cloudmailin, generic, mailersend, mailgun, mandrill, postmark, sendgrid, ses, sparkpost
from tests.plugins.sources import test_postal, test_ses
from tests.plugins.sources.cases import World, change, post

AT = 1795323306
BASE = "https://drop.example/in/"
MODULES = {
    "mailgun-mime": mailgun,
    "mailgun-mime-urlencoded": mailgun,
    "sendgrid-raw": sendgrid,
    "postmark-raw": postmark,
    "mandrill": mandrill,
    "cloudmailin-raw": cloudmailin,
    "mailersend": mailersend,
    "sparkpost": sparkpost,
    "raw-standardwebhooks": generic,
    "raw-basic": generic,
}
AS_TEXT = {"postmark-raw", "mandrill", "mailersend"}


@pytest.fixture(scope="module")
def build(corpora: Path) -> Any:
    """The generator of signed requests that comes with the test data."""
    spec = importlib.util.spec_from_file_location("make_payloads", corpora / "webhooks" / "make_payloads.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build


@pytest.fixture(scope="module")
def mails(corpora: Path) -> list[bytes]:
    """Every ninth mail of the collection: some two hundred, with all that is odd in them."""
    listed = sorted(path for path in (corpora / "mime").rglob("*") if path.suffix in (".eml", ".msg", ".txt") and path.stat().st_size < 200_000)
    return [raw for path in listed[::9] if (raw := path.read_bytes())][:200]


def opened(module: Any, secret: str, path: str = "") -> World:
    house = World(module.Settings(secret=secret))
    house.now = dt.datetime.fromtimestamp(AT, dt.UTC)
    return house


@pytest.mark.parametrize("shape", MODULES)
def test_mails_of_every_kind_arrive_byte_for_byte(shape: str, build: Any, mails: list[bytes]) -> None:
    same = lossy = 0
    for raw in mails:
        body, kind, headers, secret = build(raw, "rep@example.com", "acme@drop.example", BASE, AT)[shape]
        house = opened(MODULES[shape], secret)
        request = WebRequest("POST", "/in/" + shape.split("-")[0], "", {"content-type": kind, **{k.lower(): v for k, v in headers.items()}}, body)
        answer = MODULES[shape].handle(request, house.context)
        assert answer.text.startswith("Kept"), (answer, raw[:200])
        kept = house.kept[0]
        assert kept.envelope.rcpt_to == ("acme@drop.example",)
        assert shape == "mandrill" or kept.envelope.mail_from == "rep@example.com"
        if kept.raw == raw:
            same += 1
        else:
            assert shape in AS_TEXT
            lossy += 1
    assert len(mails) > 100
    assert lossy <= len(mails) * 0.06


@pytest.mark.parametrize("shape, module", [("postal", test_postal), ("sns-ses-content", test_ses)])
def test_mails_of_every_kind_arrive_where_the_test_signs(shape: str, module: Any, build: Any, mails: list[bytes]) -> None:
    for raw in mails:
        event = json.loads(build(raw, "rep@example.com", "acme@drop.example", BASE, AT)[shape][0])
        if shape == "postal":
            case = test_postal.TestPostal()
            house = case.world()
            assert case.ask(house, case.json(event)).status == 200
        else:
            case = test_ses.TestSes()
            house = case.world(ses.Settings(topics=event["TopicArn"]))
            event["SigningCertURL"] = test_ses.CERT
            assert case.ask(house, case.json(event)).status == 200
            assert next((v.method, v.result, v.domain) for v in house.kept[0].envelope.verdicts) == ("spf", "pass", "example.com")
        assert house.kept[0].raw == raw


def captured(corpora: Path, provider: str) -> list[tuple[str, WebRequest]]:
    found = []
    for path in sorted((corpora / "webhooks" / "anymail" / provider).glob("*.json")):
        about = json.loads(path.read_text())
        body = path.with_suffix(".body").read_bytes()
        assert hashlib.sha256(body).hexdigest() == about["sha256"]
        headers = {name.lower(): value for name, value in about["headers"].items()}
        found.append((path.stem.split(".", 1)[1], post(body, about["content_type"], headers)))
    return found


def test_captured_requests_of_postmark(corpora: Path) -> None:
    login = {"authorization": "Basic " + base64.b64encode(b"drop:secret").decode()}
    answers = {}
    for name, request in captured(corpora, "postmark"):
        house = opened(postmark, "drop:secret")
        answers[name] = (postmark.handle(change(request, headers=login), house.context).status, len(house.kept))
    assert answers == {
        "test_attachments": (400, 0),
        "test_check_payload": (400, 0),
        "test_check_payload.2": (200, 0),
        "test_inbound_basics": (400, 0),
        "test_inbound_with_raw_email": (200, 1),
        "test_misconfigured_tracking": (400, 0),
        "test_spammy_address": (400, 0),
    }


def test_captured_requests_of_sendgrid(corpora: Path) -> None:
    login = {"authorization": "Basic " + base64.b64encode(b"drop:secret").decode()}
    for name, request in captured(corpora, "sendgrid"):
        house = opened(sendgrid, "drop:secret")
        answer = sendgrid.handle(change(request, headers=login), house.context)
        assert (answer.status, len(house.kept)) == ((200, 1) if name == "test_inbound_mime" else (400, 0)), name
        assert answer.status == 200 or house.page == answer.text
        if house.kept:
            envelope = house.kept[0].envelope
            assert (envelope.mail_from, envelope.rcpt_to) == ("envelope-from@example.org", ("test@inbound.example.com",))
            assert [(v.method, v.result, v.domain) for v in envelope.verdicts] == [("dkim", "pass", "example.org"), ("spf", "pass", None)]


def test_captured_requests_of_sparkpost(corpora: Path) -> None:
    for name, request in captured(corpora, "sparkpost"):
        house = opened(sparkpost, "a-token")
        assert sparkpost.handle(change(request, headers={"x-messagesystems-webhook-token": "a-token"}), house.context).status == 200, name
        assert len(house.kept) == 1


def test_captured_requests_of_postal_signed_by_us(corpora: Path) -> None:
    answers = {}
    for name, request in captured(corpora, "postal"):
        case = test_postal.TestPostal()
        house = case.world()
        answer = case.ask(house, case.json(json.loads(request.body)))
        answers[name] = (answer.status, len(house.kept))
        assert answer.status == 200 or house.page == answer.text
        for kept in house.kept:
            assert (kept.envelope.mail_from, kept.envelope.rcpt_to) == ("envelope-from@example.org", ("test@inbound.example.com",))
            assert kept.raw == base64.b64decode(json.loads(request.body)["message"])
    assert answers == {"test_attachments": (200, 1), "test_inbound_basics": (200, 1), "test_misconfigured_tracking": (400, 0)}


def test_captured_notices_of_ses_signed_by_us(corpora: Path) -> None:
    answers = {}
    for name, request in captured(corpora, "amazon_ses"):
        case = test_ses.TestSes()
        house = case.world(ses.Settings(topics="arn:aws:sns:us-east-1:111111111111:SES_Inbound"))
        frame = {**json.loads(request.body), "Timestamp": "2026-11-22T09:29:58.123Z", "SignatureVersion": "2", "SigningCertURL": test_ses.CERT}
        answer = case.ask(house, case.json(frame))
        answers[name] = (answer.status, len(house.kept))
        assert {url for _, url in house.web.asked} <= {test_ses.CERT}
        for kept in house.kept:
            # Who else the mail went to is no recipient of ours.
            assert (kept.envelope.mail_from, kept.envelope.rcpt_to) == ("envelope-from@example.org", ("inbound@example.com",))
    assert answers == {
        "test_inbound_s3": (400, 0),  # the bucket is not in the settings
        "test_inbound_s3_failure_message": (400, 0),
        "test_inbound_sns_base64": (200, 1),
        "test_inbound_sns_utf8": (200, 1),
        "test_incorrect_tracking_event": (403, 0),
    }


def test_captured_requests_of_other_senders_are_not_believed(corpora: Path) -> None:
    for provider, module in (("mailgun", mailgun), ("mandrill", mandrill), ("mailersend", mailersend)):
        requests = captured(corpora, provider)
        assert requests
        for name, request in requests:
            house = opened(module, "a-key-of-ours")
            assert module.handle(request, house.context).status == 401, name
            assert house.kept == []


def test_known_good_signatures_are_known_as_good(corpora: Path) -> None:
    vectors = json.loads((corpora / "webhooks" / "actionmailbox" / "signatures.json").read_text())
    vector = next(one for one in vectors if one["provider"] == "mailgun")
    fields = {"timestamp": vector["timestamp"], "token": vector["token"], "signature": vector["signature"]}
    mailgun._prove(*fields.values(), [vector["key"].encode()], int(vector["timestamp"]) + 60)  # type: ignore[arg-type]
