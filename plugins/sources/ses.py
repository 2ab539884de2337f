"""Amazon SES: a receipt rule that publishes the mail through SNS.

Set up: an SNS topic with our address as HTTPS subscription (raw message delivery off, signature version 2), and a receipt
rule with the SNS action (encoding Base64) for mail up to 150 kB, or with the S3 action for mail of any size; then bucket,
region and a key that may read the bucket go in here too. The topic's ARN goes in here first: a subscription to a topic
named here is confirmed by itself, any other topic is refused.

Order of proof: the topic is one of ours (else 403), every address in the request is SNS's own (else 400, and nothing is
fetched), the signature fits the certificate from there (else 401). Nothing is asked of another host than
`sns.REGION.amazonaws.com` and the bucket's.

Answers: 200 kept, and also 200 when refused for good, so that SNS stops · 503 and all 5xx SNS tries again; 400, 401 and 403
it does not. SNS waits 15 seconds, therefore a mail is fetched from S3 within 10. Without a delivery policy it tries only three
times within a minute: give the subscription one of an hour, the longest there is, and a dead-letter queue.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from email.utils import getaddresses
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from pydantic import BaseModel, Field, SecretStr, model_validator

from core.errors import HttpTrouble
from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Source, SourceContext, TrustedVerdict, WebRequest

BODY_FACTOR, BODY_EXTRA = 2.0, 2 << 20  # base64, or text that is escaped twice
PAST, AHEAD = dt.timedelta(days=7), dt.timedelta(days=1)  # keys of deliveries are known longer than that
CERTIFICATES = 5  # remembered

HOST = re.compile(r"sns\.[a-z0-9-]{1,40}\.amazonaws\.com(\.cn)?")
CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,80}\.pem")
RESULTS = {"PASS": "pass", "FAIL": "fail", "GRAY": "temperror", "PROCESSING_FAILED": "temperror"}  # what is no verdict may become one

# What SNS signs, in this order: name, newline, value, newline; a Subject that is absent is left out.
SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}


class Settings(BaseModel):
    topics: str = Field(
        title="Topic ARNs",
        description="The SNS topics that may deliver here (arn:aws:sns:…), several with spaces between.",
        pattern=r"^\s*arn:[^\s]+(\s+arn:[^\s]+)*\s*$",
    )
    bucket: str = Field("", title="S3 bucket", description="Only for the S3 action.", pattern=r"^([A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9])?$")
    region: str = Field("", title="Region of the bucket", description="For example us-east-1.", pattern=r"^[a-z0-9-]{0,40}$")
    access_key: str = Field("", title="Access key ID", description="Of a user that may only read objects of the bucket.")
    secret_key: SecretStr = Field(SecretStr(""), title="Secret access key")

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if self.bucket and not (self.region and self.access_key and self.secret_key.get_secret_value()):
            raise ValueError(N_("Reading the bucket needs its region, an access key ID and a secret access key."))
        return self


def read(request: WebRequest, context: SourceContext) -> list[webform.Mail]:
    if request.headers.get("x-amz-sns-rawdelivery", "").lower() == "true":
        context.report(N_("SNS delivers without its signed frame: switch off raw message delivery of the subscription."))
        raise webform.Unproved
    notice = webform.json_object(request.body)
    kind = _proved_kind(request, notice, context)
    if kind == "SubscriptionConfirmation":
        _confirm(notice["SubscribeURL"], context)
    if kind == "UnsubscribeConfirmation":
        raise webform.Unusable(200, N_("The topic no longer delivers here: the subscription was removed at SNS."), tell=True)
    return [_mail(notice, context)]


# --- proof --------------------------------------------------------------------------------------------------------


def _proved_kind(request: WebRequest, notice: dict[str, Any], context: SourceContext) -> str:
    """The type of the notice, once its topic, its addresses and its signature are found right."""
    kind = webform.text_of(notice, "Type") or ""
    if "Signature" not in notice:
        raise webform.Unproved
    if kind not in SIGNED or request.headers.get("x-amz-sns-message-type", kind) != kind:
        raise webform.Unusable(400, N_("This is no notice of SNS."))
    if notice.get("TopicArn") not in context.settings.topics.split():
        raise webform.Unusable(403, N_("This topic is not among those that may deliver here."))
    url = webform.text_of(notice, "SigningCertURL") or ""
    if not sns_url(url, CERTIFICATE_PATH):
        raise webform.Unusable(400, N_("The certificate's address is not that of SNS."))
    if kind != "Notification":
        _demand_confirmation_url(notice)
    _demand_signature(notice, kind, url, context)
    _demand_recent(notice, context.clock())
    return kind


def sns_url(url: str, path: re.Pattern[str]) -> bool:
    """True for https://sns.REGION.amazonaws.com with a fitting path, and nothing else in it."""
    try:
        parts = urlsplit(url)
        odd = parts.port is not None or parts.username is not None or parts.password is not None or bool(parts.fragment)
    except ValueError:
        return False
    if odd or not url.isascii() or any(c <= " " for c in url):
        return False
    return url.startswith("https://") and HOST.fullmatch(parts.netloc) is not None and path.fullmatch(parts.path) is not None


def _demand_confirmation_url(notice: dict[str, Any]) -> None:
    url = webform.text_of(notice, "SubscribeURL") or ""
    if not sns_url(url, re.compile("/?")):
        raise webform.Unusable(400, N_("The confirmation's address is not that of SNS."))
    query = parse_qs(urlsplit(url).query, max_num_fields=20) if url.count("&") < 20 else {}
    if query.get("Action") != ["ConfirmSubscription"] or query.get("TopicArn") != [notice["TopicArn"]]:
        raise webform.Unusable(400, N_("The confirmation's address does something else than to confirm this topic."))


def _demand_signature(notice: dict[str, Any], kind: str, url: str, context: SourceContext) -> None:
    if any(not isinstance(notice.get(name), str) for name in SIGNED[kind] if name != "Subject"):
        raise webform.Unusable(400, N_("This is no notice of SNS."))
    content = "".join(f"{name}\n{notice[name]}\n" for name in SIGNED[kind] if isinstance(notice.get(name), str))
    algorithms: dict[Any, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303
    algorithm = algorithms.get(webform.text_of(notice, "SignatureVersion"))
    if algorithm is None:
        raise webform.Unproved
    try:
        signature = base64.b64decode(webform.text_of(notice, "Signature") or "", validate=True)
        _key(url, context).verify(signature, content.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise webform.Unproved from error


def _key(url: str, context: SourceContext) -> rsa.RSAPublicKey:
    """The key of the certificate, fetched once and remembered. Raises ValueError when it is none."""
    known: dict[str, str] = dict(context.state.get("certificates") or {})
    if url not in known:
        try:
            answer = context.http.get(url, hosts=[urlsplit(url).hostname or ""], limit=65536, timeout=5)
        except HttpTrouble as trouble:
            raise webform.Unusable(503, N_("The certificate of SNS could not be fetched: %(trouble)s"), trouble=trouble.sentence, tell=True) from trouble
        if answer.status != 200:  # a redirect is not followed
            raise webform.Unusable(503 if answer.status >= 500 else 400, N_("SNS did not give its certificate."), tell=True)
        known[url] = answer.body.decode("ascii", "replace")
    key = x509.load_pem_x509_certificate(known[url].encode()).public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")
    if url not in (context.state.get("certificates") or {}):
        context.state.set(certificates=dict(list(known.items())[-CERTIFICATES:]))
    return key


def _demand_recent(notice: dict[str, Any], now: dt.datetime) -> None:
    try:
        at = dt.datetime.fromisoformat(notice["Timestamp"])
        recent = now - PAST <= at <= now + AHEAD
    except (ValueError, TypeError, OverflowError) as error:
        raise webform.Unproved from error
    if not recent:
        raise webform.Unproved


def _confirm(url: str, context: SourceContext) -> None:
    """Answer a subscription of a topic that the admin has named."""
    try:
        answer = context.http.get(url, hosts=[urlsplit(url).hostname or ""], limit=65536, timeout=10)
    except HttpTrouble as trouble:
        raise webform.Unusable(503, N_("The subscription could not be confirmed: %(trouble)s"), trouble=trouble.sentence, tell=True) from trouble
    if answer.status != 200:
        raise webform.Unusable(503, N_("SNS did not take the confirmation of the subscription."), tell=True)
    raise webform.Nothing(N_("The subscription is confirmed."))


# --- the mail -----------------------------------------------------------------------------------------------------


def _mail(notice: dict[str, Any], context: SourceContext) -> webform.Mail:
    try:
        event = json.loads(notice["Message"])
    except (ValueError, RecursionError) as error:
        raise webform.Unusable(400, N_("The topic sent something that is no notice of SES."), tell=True) from error
    kind = webform.text_of(event, "notificationType") or webform.text_of(event, "eventType") or ""
    if kind != "Received":
        raise webform.Unusable(
            400, N_("The topic sent a notice of kind “%(kind)s”, not a mail: let a receipt rule publish to it, not the sending events."), kind=kind[:40], tell=True
        )
    listed = webform.part(event, "receipt", "recipients")
    mail_from = webform.address(webform.text_of(event, "mail", "source"))
    return webform.Mail(
        raw=_raw(event, context),
        rcpt_to=webform.recipients(listed if isinstance(listed, list) else []),
        mail_from=mail_from,
        key=notice["MessageId"],
        verdicts=_verdicts(event, mail_from),
    )


def _raw(event: Any, context: SourceContext) -> bytes:
    content = webform.text_of(event, "content")
    action = webform.part(event, "receipt", "action")
    if content is not None:
        encoded = (webform.text_of(action, "encoding") or "").upper() == "BASE64"
        return webform.decode_base64(content) if encoded else webform.text_to_raw(content)
    if webform.text_of(action, "type") == "S3":
        return _from_s3(webform.text_of(action, "bucketName") or "", webform.text_of(action, "objectKey") or "", context)
    raise webform.Unusable(
        400, N_("The notice of SES holds no mail: use the receipt rule's SNS action (encoding Base64) or its S3 action, not only a notice."), tell=True
    )


def _from_s3(bucket: str, key: str, context: SourceContext) -> bytes:
    """The object of our own bucket; any other bucket is refused, whatever the notice says."""
    settings: Settings = context.settings
    if not settings.bucket:
        raise webform.Unusable(400, N_("SES puts the mail into S3: enter the bucket, its region and a key that may read it."), tell=True)
    if bucket != settings.bucket or not key:
        raise webform.Unusable(403, N_("SES puts the mail into another bucket than %(bucket)s."), bucket=settings.bucket, tell=True)
    host = f"s3.{settings.region}.amazonaws.com" + (".cn" if settings.region.startswith("cn-") else "")
    path = quote(f"/{bucket}/{key}", safe="/~")
    headers = sign_s3("GET", host, path, {}, settings.region, settings.access_key, settings.secret_key.get_secret_value(), context.clock())
    try:
        answer = context.http.get(f"https://{host}{path}", hosts=[host], headers=headers, limit=context.intake.message_limit, timeout=10)
    except HttpTrouble as trouble:  # one that is refused, for example as too large, is not mended by trying again
        raise webform.Unusable(200 if trouble.refused else 503, N_("The mail could not be fetched from S3: %(trouble)s"), trouble=trouble.sentence, tell=True) from trouble
    if answer.status != 200:
        raise webform.Unusable(503, N_("S3 did not give the mail (status %(status)s): may the key read the bucket?"), status=answer.status, tell=True)
    return answer.body


def sign_s3(method: str, host: str, path: str, extra: Mapping[str, str], region: str, key_id: str, secret: str, now: dt.datetime) -> dict[str, str]:
    """The header fields of a request without body to S3, signed with AWS Signature Version 4. `path` is quoted already."""
    moment = now.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    empty = hashlib.sha256(b"").hexdigest()
    fields = {**{name.lower(): value for name, value in extra.items()}, "host": host, "x-amz-content-sha256": empty, "x-amz-date": moment}
    names = ";".join(sorted(fields))
    canonical = "\n".join([method, path, "", *(f"{name}:{fields[name]}" for name in sorted(fields)), "", names, empty])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    del fields["host"]
    return {**fields, "authorization": f"AWS4-HMAC-SHA256 Credential={key_id}/{scope},SignedHeaders={names},Signature={signature}"}


def _verdicts(event: Any, mail_from: str | None) -> tuple[TrustedVerdict, ...]:
    """SPF is about MAIL FROM and DMARC about the From that SES read, so these have domains; the DKIM verdict has none."""
    domains = {"spf": webform.domain_of(mail_from), "dkim": None, "dmarc": _from_domain(webform.part(event, "mail", "commonHeaders", "from"))}
    found = []
    for method, domain in domains.items():
        status = webform.text_of(event, "receipt", f"{method}Verdict", "status") or ""
        # DMARC is GRAY when the domain publishes no policy, and that is an answer.
        result = "none" if (method, status) == ("dmarc", "GRAY") else RESULTS.get(status)
        if result is not None:
            found.append(TrustedVerdict(method, result, domain, "amazonses.com"))
    return tuple(found)


def _from_domain(listed: Any) -> str | None:
    """The domain of the one From address as SES read it; None when there are several or none."""
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], str):
        return None
    found = getaddresses([listed[0][:2000]])
    return webform.domain_of(webform.address(found[0][1])) if len(found) == 1 else None


handle = webform.webhook(read, refused=200)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("ses", "Amazon SES through SNS", Settings, handle=handle, body_factor=BODY_FACTOR, body_extra=BODY_EXTRA)]
