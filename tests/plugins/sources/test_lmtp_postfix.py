"""Behind a real Postfix: the recipes of docs/smtp.md bring mail in, whole, with its envelope and its true client."""

from __future__ import annotations

import queue
import smtplib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from core.errors import Refused
from core.types import Envelope
from tests.plugins.sources.postfix_world import Postfix, postfix
from tests.plugins.sources.smtp_world import DROP, MemoryIntake, World, serving

SENDER = "rep@sender.example"
MAIL = (
    b"From: rep@sender.example\r\nTo: cust@cust.example\r\nSubject: chairs\r\nMessage-ID: <chairs@sender.example>\r\n"
    b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\nTen, please.\r\n"
)  # complete, so that Postfix has nothing to add but its Received field


class Intake(MemoryIntake):
    """Tells of every mail that it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: queue.Queue[tuple[bytes, Envelope]] = queue.Queue()
        self.tries = 0

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        self.tries += 1
        future = super().submit(raw, envelope)
        future.add_done_callback(lambda done: self.arrived.put((raw, envelope)) if done.exception() is None else None)
        return future


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[World, World, Postfix]]:
    """(LMTP, SMTP, Postfix): crm.example goes to the drop by LMTP, smtp.example by SMTP, the rest is thrown away."""
    with serving(Intake(), kind="lmtp") as by_lmtp, serving(Intake(), trusted_peers=["127.0.0.0/8"]) as by_smtp:
        settings = {
            "transport_maps": f"inline:{{ {{ crm.example = lmtp:inet:127.0.0.1:{by_lmtp.port} }}, {{ smtp.example = smtp:[127.0.0.1]:{by_smtp.port} }}, {{ * = discard: }} }}",
            "lmtp_send_xforward_command": "yes", "smtp_send_xforward_command": "yes", "smtpd_authorized_xclient_hosts": "127.0.0.1",
            "sender_bcc_maps": "inline:{ { boss@sender.example = drop@crm.example } }",
            "lmtp_line_length_limit": "0", "smtp_line_length_limit": "0", "message_size_limit": "60000000",
        }  # fmt: skip
        with postfix(settings) as relay:
            yield by_lmtp, by_smtp, relay


@pytest.fixture
def lmtp(house: tuple[World, World, Postfix]) -> Intake:
    intake = house[0].intake
    assert isinstance(intake, Intake)
    intake.before = lambda: None
    intake.tries = 0
    return intake


@pytest.fixture
def relay(house: tuple[World, World, Postfix]) -> Postfix:
    return house[2]


def send(relay: Postfix, recipients: list[str], mail: bytes = MAIL, sender: str = SENDER, client: str = "192.0.2.7") -> None:
    """Hand a mail to Postfix as if it came from this client."""
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="ours.example", timeout=20) as smtp:
        smtp.ehlo()
        assert smtp.docmd("XCLIENT", f"ADDR={client} NAME=mail.sender.example HELO=mail.sender.example")[0] == 220
        smtp.ehlo("mail.sender.example")
        smtp.sendmail(sender, recipients, mail, mail_options=["BODY=8BITMIME"])


def test_a_mail_comes_whole_with_its_envelope_and_its_true_client(relay: Postfix, lmtp: Intake) -> None:
    body = MAIL + b"..two dots\r\n.\r\n" + b"8-bit \xe5\xe4\xf6 " + b"x" * 1500 + b"\r\n"
    send(relay, [DROP], body)
    raw, envelope = lmtp.arrived.get(timeout=20)
    assert raw.endswith(body)
    assert raw[: -len(body)].count(b"Received: ") == 1
    assert (envelope.source, envelope.mail_from, envelope.rcpt_to) == ("lmtp", SENDER, (DROP,))
    assert (envelope.client_ip, envelope.helo) == ("192.0.2.7", "mail.sender.example")


def test_of_two_recipients_each_has_its_own_fate(relay: Postfix, lmtp: Intake) -> None:
    send(relay, [DROP, "nobody@crm.example", "other@crm.example"])
    _, envelope = lmtp.arrived.get(timeout=20)
    assert set(envelope.rcpt_to) == {DROP, "other@crm.example"}
    assert "550 5.1.1" in relay.wait_for(r"to=<nobody@crm\.example>.*status=bounced")
    relay.wait_for(r"to=<other@crm\.example>.*status=sent \(250 2\.0\.0 Kept as")
    assert lmtp.tries == 1, "one delivery for all recipients of the mail"


def test_a_fault_of_ours_keeps_the_mail_with_postfix_until_it_is_mended(relay: Postfix, lmtp: Intake) -> None:
    mended = threading.Event()

    def before() -> None:
        if not mended.is_set():
            raise Refused("intake-trouble", permanent=False)

    lmtp.before = before
    send(relay, ["d7@crm.example"])
    assert "451 4.3.0" in relay.wait_for(r"to=<d7@crm\.example>.*status=deferred")
    mended.set()
    relay.flush()
    _, envelope = lmtp.arrived.get(timeout=20)
    assert envelope.rcpt_to == ("d7@crm.example",)


def test_a_mail_over_the_limit_comes_back_to_its_sender(relay: Postfix, lmtp: Intake) -> None:
    send(relay, ["d8@crm.example"], MAIL + b"x" * 990 * 22_000 + b"\r\n")
    assert "552" in relay.wait_for(r"to=<d8@crm\.example>.*status=bounced") or "size" in relay.wait_for(r"to=<d8@crm\.example>.*status=bounced")
    assert lmtp.tries == 0


def test_many_mails_come_through_one_after_the_other(relay: Postfix, lmtp: Intake) -> None:
    for number in range(30):
        send(relay, [DROP], MAIL + b"number %d\r\n" % number)
    texts = {lmtp.arrived.get(timeout=20)[0].rpartition(b"number ")[2] for _ in range(30)}
    assert texts == {b"%d\r\n" % number for number in range(30)}


def test_what_the_boss_sends_is_copied_to_the_drop_by_sender_bcc(relay: Postfix, lmtp: Intake) -> None:
    send(relay, ["cust@cust.example"], MAIL, sender="boss@sender.example")
    raw, envelope = lmtp.arrived.get(timeout=20)
    assert (envelope.mail_from, envelope.rcpt_to) == ("boss@sender.example", (DROP,))
    assert raw.endswith(MAIL)
    assert b"drop@" not in raw, "a blind copy stays blind"


def test_postfix_forwards_the_client_over_smtp_too(house: tuple[World, World, Postfix], relay: Postfix) -> None:
    intake = house[1].intake
    assert isinstance(intake, Intake)
    intake.accepted = lambda address: address == "drop@smtp.example"
    send(relay, ["drop@smtp.example"], client="192.0.2.99")
    _, envelope = intake.arrived.get(timeout=20)
    assert (envelope.source, envelope.client_ip, envelope.helo) == ("smtp", "192.0.2.99", "mail.sender.example")
