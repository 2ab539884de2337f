"""Amazon SES through SNS: signed notices, the mail in them or in our own bucket, and no request to anybody else."""

from __future__ import annotations

import base64
import datetime as dt
import json
from functools import cache
from typing import Any

import pydantic
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from core.errors import HttpTrouble
from core.http import HttpAnswer
from core.types import WebRequest
from plugins.sources import ses
from tests.plugins.sources.cases import MB, NOW, RCPT, SENDER, WebhookCases, World, change, mail, post

TOPIC = "arn:aws:sns:eu-west-1:111111111111:inbound"
CERT = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"
ORDER = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def certificate(name: str) -> bytes:
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.example")])
    builder = x509.CertificateBuilder(who, who, key(name).public_key(), 7, NOW - dt.timedelta(days=1), NOW + dt.timedelta(days=30))
    return builder.sign(key(name), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign(notice: dict[str, Any], name: str = "sns") -> dict[str, Any]:
    content = "".join(f"{field}\n{notice[field]}\n" for field in ORDER if field in notice)
    algorithm = hashes.SHA1() if notice["SignatureVersion"] == "1" else hashes.SHA256()
    return {**notice, "Signature": base64.b64encode(key(name).sign(content.encode(), padding.PKCS1v15(), algorithm)).decode()}


def notice(message: str, *, ident: str = "event-1", kind: str = "Notification", **more: Any) -> dict[str, Any]:
    frame = {"Type": kind, "MessageId": ident, "TopicArn": TOPIC, "Subject": "Mail", "Message": message, "Timestamp": "2026-11-22T09:29:58.123Z", "SignatureVersion": "2", "SigningCertURL": CERT}
    if kind != "Notification":
        del frame["Subject"]
        frame |= {"Token": "t", "SubscribeURL": CONFIRM}
    return {**frame, **more}


def received(raw: bytes | None, rcpt: tuple[str, ...] = (RCPT,), *, encoding: str = "BASE64", **more: Any) -> str:
    verdicts = {"spfVerdict": {"status": "PASS"}, "dkimVerdict": {"status": "PASS"}, "dmarcVerdict": {"status": "GRAY"}}
    event: dict[str, Any] = {
        "notificationType": "Received",
        "mail": {"source": SENDER, "commonHeaders": {"from": ["Ada <ada@Sales.example>"]}},
        "receipt": {"recipients": list(rcpt), **verdicts, "action": {"type": "SNS", "encoding": encoding}},
    }
    if raw is not None:
        event["content"] = base64.b64encode(raw).decode() if encoding == "BASE64" else raw.decode()
    return json.dumps({**event, **more})


def stored(bucket: str = "our-mail", name: str = "in/abc def") -> str:
    event = json.loads(received(None))
    event["receipt"]["action"] = {"type": "S3", "bucketName": bucket, "objectKey": name}
    return json.dumps(event)


class TestSes(WebhookCases):
    module = ses
    rotates = False
    secret, other_secret = "sns", "somebody else"

    def settings(self, secret: str) -> Any:
        return ses.Settings(topics=TOPIC)

    def world(self, settings: Any = None) -> World:
        world = World(settings or self.settings(""))
        world.web.answers[CERT] = HttpAnswer(200, certificate("sns"))
        return world

    def json(self, frame: dict[str, Any], name: str | None = None) -> WebRequest:
        return post(json.dumps(sign(frame, name or self.secret)).encode(), "text/plain; charset=UTF-8", {"x-amz-sns-message-type": frame["Type"]})

    def request(self, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1", secret: str | None = None, now: dt.datetime = NOW) -> WebRequest:
        return self.json(notice(received(raw, rcpt), ident=key), secret)

    def unproved(self, request: WebRequest) -> WebRequest:
        frame = json.loads(request.body)
        del frame["Signature"]
        return change(request, body=json.dumps(frame).encode())

    def wrong_kinds(self) -> list[tuple[WebRequest, str]]:
        return [
            (self.json(notice('{"notificationType": "Delivery"}')), "receipt rule"),
            (self.json(notice('{"eventType": "Open"}')), "receipt rule"),
            (self.json(notice("Hello")), "no notice of SES"),
            (self.json(notice("[" * 100_000)), "no notice of SES"),
            (self.json(notice(received(None))), "holds no mail"),
            (self.json(notice(stored())), "enter the bucket"),
        ]

    # --- proof ---

    def test_the_certificate_is_fetched_once_and_only_from_sns(self) -> None:
        world = self.world()
        for n in range(3):
            self.ask(world, self.request(mail(number=n), key=f"event-{n}"))
        assert world.web.asked == [("GET", CERT)]
        assert world.web.hosts == [["sns.eu-west-1.amazonaws.com"]]

    def test_both_versions_of_the_signature_count(self) -> None:
        world = self.world()
        for version in ("1", "2"):
            frame = notice(received(mail()), ident=version, SignatureVersion=version)
            assert self.ask(world, self.json(frame)).status == 200
        assert self.ask(world, change(self.json(frame), body=json.dumps({**sign(frame), "SignatureVersion": "3"}).encode())).status == 401

    @pytest.mark.parametrize(
        "url",
        [
            "https://s3.amazonaws.com/evil/SimpleNotificationService-0.pem",
            "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
            "https://evil.example/SimpleNotificationService-0.pem",
            "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0.pem",
            "https://sns.eu-west-1.amazonaws.com:443/SimpleNotificationService-0.pem",
            "https://a@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "https://evil.example\\@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "https://sns.eu-west-1.amazonaws.com\\.evil.example/SimpleNotificationService-0.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem/../../x",
            "https://sns.eu-west-1.amazonaws.com/x/SimpleNotificationService-0.pem",
            "https://sns.eu-west-1.amazonaws.com/other.pem",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem#x",
            "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem\n",
            "https://sns..amazonaws.com/SimpleNotificationService-0.pem",
            "https://sns.a.b.amazonaws.com/SimpleNotificationService-0.pem",
            "https://xsns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "HTTPS://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
            "https://169.254.169.254/SimpleNotificationService-0.pem",
            "file:///etc/passwd",
            "https://[::1/SimpleNotificationService-0.pem",
            "",
        ],
    )
    def test_a_certificate_from_elsewhere_is_refused_and_nothing_is_asked(self, url: str) -> None:
        world = self.world()
        answer = self.ask(world, self.json(notice(received(mail()), SigningCertURL=url)))
        assert (answer.status, world.kept, world.web.asked) == (400, [], [])

    def test_a_redirect_in_place_of_the_certificate_is_not_followed(self) -> None:
        world = self.world()
        world.web.answers[CERT] = HttpAnswer(302, b"", {"location": "https://evil.example/x.pem"})
        assert self.ask(world, self.request(mail())).status == 400
        assert world.web.asked == [("GET", CERT)]

    def test_when_the_certificate_cannot_be_had_sns_shall_come_again(self) -> None:
        world = self.world()
        world.web.answers[CERT] = HttpTrouble("no answer")
        assert self.ask(world, self.request(mail())).status == 503
        world.web.answers[CERT] = HttpAnswer(200, b"no certificate")
        assert self.ask(world, self.request(mail())).status == 401
        world.web.answers[CERT] = HttpAnswer(200, certificate("sns"))
        assert self.ask(world, self.request(mail())).status == 200

    def test_an_unknown_topic_is_refused_and_nothing_is_asked(self) -> None:
        world = self.world()
        answer = self.ask(world, self.json(notice(received(mail()), TopicArn=TOPIC + "2")))
        assert (answer.status, world.kept, world.web.asked) == (403, [], [])

    def test_the_type_in_header_and_body_must_agree(self) -> None:
        world = self.world()
        request = change(self.request(mail()), headers={"x-amz-sns-message-type": "SubscriptionConfirmation"})
        assert self.ask(world, request).status == 400

    @pytest.mark.parametrize("field, value", [("Message", received(mail(number=9))), ("MessageId", "x"), ("Timestamp", "2026-11-22T09:30:00Z"), ("Subject", "Other")])
    def test_every_signed_field_is_protected(self, field: str, value: str) -> None:
        world = self.world()
        frame = {**sign(notice(received(mail()))), field: value}
        assert self.ask(world, post(json.dumps(frame).encode(), "text/plain")).status == 401

    @pytest.mark.parametrize("stamp", ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "nonsense", "2026-11-22T09:30:00", "0001-01-01T00:00:00+14:00"])
    def test_a_notice_from_another_time_is_not_believed(self, stamp: str) -> None:
        world = self.world()
        assert self.ask(world, self.json(notice(received(mail()), Timestamp=stamp))).status == 401

    def test_values_of_other_types_break_nothing(self) -> None:
        world = self.world()
        for field in ("Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "Subject"):
            for value in (None, 5, [], {}, "\ud800", "é"):
                body = json.dumps({**sign(notice(received(mail()))), field: value}).encode()
                assert 400 <= self.ask(world, post(body, "text/plain")).status < 500 or (field, value) == ("Subject", None)

    def test_raw_delivery_is_named_as_the_mistake(self) -> None:
        world = self.world()
        answer = self.ask(world, post(received(mail()).encode(), "text/plain", {"x-amz-sns-rawdelivery": "true"}))
        assert answer.status == 401
        assert any("raw message delivery" in sentence for sentence in world.reports)

    # --- subscriptions ---

    def test_a_subscription_of_a_topic_we_named_is_confirmed(self) -> None:
        world = self.world()
        world.web.answers[CONFIRM] = HttpAnswer(200, b"<ok/>")
        assert self.ask(world, self.json(notice("You have chosen…", kind="SubscriptionConfirmation"))).status == 200
        assert world.web.asked == [("GET", CERT), ("GET", CONFIRM)]

    def test_a_confirmation_that_fails_comes_again(self) -> None:
        world = self.world()
        assert self.ask(world, self.json(notice("x", kind="SubscriptionConfirmation"))).status == 503

    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/?Action=ConfirmSubscription",
            CONFIRM.replace("amazonaws.com", "amazonaws.com.evil.example"),
            CONFIRM.replace("https", "http"),
            CONFIRM.replace("ConfirmSubscription", "DeleteTopic"),
            CONFIRM.replace(TOPIC, TOPIC + "2"),
            CONFIRM + "&Action=DeleteTopic",
            CONFIRM.replace("/?", "/other?"),
            CONFIRM + "&a=b" * 100,
            "",
        ],
    )
    @pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
    def test_a_confirmation_elsewhere_is_refused_and_nothing_is_asked(self, url: str, kind: str) -> None:
        world = self.world()
        answer = self.ask(world, self.json(notice("x", kind=kind, SubscribeURL=url)))
        assert (answer.status, world.web.asked) == (400, [])

    def test_a_confirmation_signed_by_somebody_else_is_not_confirmed(self) -> None:
        world = self.world()
        assert self.ask(world, self.json(notice("x", kind="SubscriptionConfirmation"), "somebody else")).status == 401
        assert world.web.asked == [("GET", CERT)]

    def test_the_end_of_a_subscription_stands_on_the_page(self) -> None:
        world = self.world()
        assert self.ask(world, self.json(notice("x", kind="UnsubscribeConfirmation"))).status == 200
        assert "removed" in world.page

    # --- the mail ---

    def test_the_mail_as_text_is_read_as_well(self) -> None:
        world = self.world()
        raw = mail("Größe".encode())
        self.ask(world, self.json(notice(received(raw, encoding="UTF8"))))
        assert world.kept[0].raw == raw

    def test_verdicts_have_the_domain_they_are_about(self) -> None:
        world = self.world()
        self.ask(world, self.request(mail()))
        found = [(v.method, v.result, v.domain) for v in world.kept[0].envelope.verdicts]
        assert found == [("spf", "pass", "sales.example"), ("dkim", "pass", None), ("dmarc", "none", "sales.example")]

    @pytest.mark.parametrize("status, result", [("FAIL", "fail"), ("GRAY", "temperror"), ("PROCESSING_FAILED", "temperror"), ("DISABLED", None), (5, None)])
    def test_what_ses_could_not_tell_is_no_failure(self, status: Any, result: str | None) -> None:
        world = self.world()
        event = json.loads(received(mail()))
        event["receipt"]["dkimVerdict"] = {"status": status}
        self.ask(world, self.json(notice(json.dumps(event))))
        assert next((v.result for v in world.kept[0].envelope.verdicts if v.method == "dkim"), None) == result

    @pytest.mark.parametrize("listed", [[], ["a@x.example", "b@y.example"], ["a@x.example, b@y.example"], "a@x.example", [5], None])
    def test_a_dmarc_verdict_has_no_domain_unless_ses_read_one_sender(self, listed: Any) -> None:
        world = self.world()
        self.ask(world, self.json(notice(received(mail(), mail={"source": "", "commonHeaders": {"from": listed}}))))
        assert {v.domain for v in world.kept[0].envelope.verdicts} == {None}

    def with_bucket(self) -> World:
        return self.world(ses.Settings(topics=TOPIC, bucket="our-mail", region="eu-west-1", access_key="AK", secret_key="sk"))

    def test_a_mail_in_our_bucket_is_fetched(self) -> None:
        world = self.with_bucket()
        world.web.answers["https://s3.eu-west-1.amazonaws.com/our-mail/in/abc%20def"] = HttpAnswer(200, mail())
        assert self.ask(world, self.json(notice(stored()))).status == 200
        assert world.kept[0].raw == mail()
        assert world.web.hosts[-1] == ["s3.eu-west-1.amazonaws.com"]

    @pytest.mark.parametrize("bucket, name", [("localhost", "x"), ("our-mail.evil.example", "x"), ("other", "x"), ("127.0.0.1", "x"), ("our-mail", "")])
    def test_another_bucket_is_never_asked(self, bucket: str, name: str) -> None:
        world = self.with_bucket()
        assert self.ask(world, self.json(notice(stored(bucket, name)))).status == 403
        assert world.web.asked == [("GET", CERT)]

    def test_an_object_s_name_cannot_lead_elsewhere(self) -> None:
        world = self.with_bucket()
        self.ask(world, self.json(notice(stored(name="@evil.example/?x#y"))))
        assert world.web.asked[-1] == ("GET", "https://s3.eu-west-1.amazonaws.com/our-mail/%40evil.example/%3Fx%23y")

    def test_a_bucket_in_trouble_makes_sns_come_again(self) -> None:
        world = self.with_bucket()
        assert self.ask(world, self.json(notice(stored()))).status == 503
        world.web.answers["https://s3.eu-west-1.amazonaws.com/our-mail/in/abc%20def"] = HttpAnswer(403, b"denied")
        assert self.ask(world, self.json(notice(stored()))).status == 503
        assert "may the key read" in world.page

    def test_the_request_to_the_bucket_is_signed_as_amazon_documents_it(self) -> None:
        now = dt.datetime(2013, 5, 24, tzinfo=dt.UTC)
        secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        fields = ses.sign_s3("GET", "examplebucket.s3.amazonaws.com", "/test.txt", {"Range": "bytes=0-9"}, "us-east-1", "AKIAIOSFODNN7EXAMPLE", secret, now)
        assert fields["authorization"].endswith("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")

    def test_a_set_up_without_topic_or_with_half_a_bucket_is_refused(self) -> None:
        for settings in ({"topics": ""}, {"topics": "nonsense"}, {"topics": TOPIC, "bucket": "our-mail"}, {"topics": TOPIC, "region": "evil.example/"}):
            with pytest.raises(pydantic.ValidationError):
                ses.Settings(**settings)

    def test_a_body_of_megabytes_is_verified_in_time(self) -> None:
        assert self.send(self.world(), mail(b"x" * MB)) == "kept"
