"""Mail that Dropcopy sends: to whom, when never, how it looks, and what happens when the relay does not take it."""

from __future__ import annotations

import base64
import datetime as dt
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import settings as fast
from hypothesis import strategies as st

from core import notices, worker
from core.chores import Chores
from core.errors import BadInput
from core.house import House
from core.store import inbound, one_time, outbox, reps, retention, strangers
from core.store.company import change_company, preset_changes
from core.store.company import company as company_settings
from core.store.database import is_sqlite
from core.store.models import Attachment, Inbound, Notice, OneTimeLink, Outcome, Raw, Rep, SenderAddress, Trace
from core.store.outbox import Letter
from core.store.seal import Seal
from core.types import Email, Envelope, Identity
from tests.mailmaker import make_mail, spare_signer
from tests.relay import Relay
from tests.running import free_port
from tests.spine import Company, until

pytest_plugins = ["tests.spine"]

KILOBYTE = 1024


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as server:
        yield server


@pytest.fixture
def sending(company: Company, relay: Relay) -> Company:
    """The company with a relay."""
    return with_relay(company, relay.url)


def with_relay(company: Company, url: str) -> Company:
    company.house = replace(company.house, settings=company.house.settings.model_copy(update={"relay_url": url, "base_url": "https://crm.example"}))
    return company


def ana() -> int:
    return int(Rep.get(Rep.email == "ana@sales.example").id)


def with_file(size: int, *, subject: str = "Ten chairs", sender: str = "Ana <ana@sales.example>", name: str = "plan.pdf", headers: tuple[str, ...] = (), number: int = 1) -> bytes:
    """A signed mail with an attachment of so many bytes."""
    content = base64.encodebytes(b"x" * size).decode().replace("\n", "\r\n")
    lines = [
        *headers, f"From: {sender}", "To: Bo <bo@cust.example>", f"Subject: {subject}", "Date: Fri, 20 Nov 2026 10:00:00 +0000", f"Message-ID: <file-{number}-{size}@made.example>",
        "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="cut"', "", "--cut", "Content-Type: text/plain", "", f"Here it is, number {number}.", "--cut",
        f'Content-Type: application/pdf; name="{name}"', f'Content-Disposition: attachment; filename="{name}"', "Content-Transfer-Encoding: base64", "", content + "--cut--", "",
    ]  # fmt: skip
    return spare_signer("sales.example").sign("\r\n".join(lines).encode())


def small_limit(company: Company) -> None:
    change_company({"attachment_limit": 4 * KILOBYTE})
    company.fresh()


# --- confirming an address ----------------------------------------------------------------------------------------


def test_a_confirmation_goes_to_the_address_itself_with_a_link_of_a_day(sending: Company, relay: Relay) -> None:
    reps.enter_address(ana(), "ana@home.example", "alternative", sending.at, verified_at=None, connected_at=None)
    assert notices.request_confirmation(ana(), "ana@home.example", sending.house)
    assert notices.send_due(sending.house) == 1
    assert relay.envelopes == [("", ["ana@home.example"])]
    mail = relay.mails[0]
    assert (mail["Auto-Submitted"], mail["X-Loop"], mail["To"]) == ("auto-generated", "dropcopy drop.example", "ana@home.example")
    found = re.search(r"https://crm\.example/confirm/(\S+)", mail.get_content())
    assert found is not None
    link = one_time.use(found[1], "confirm-address", sending.house.seal, sending.at)
    assert link is not None
    assert (link.rep_id, link.facts) == (ana(), {"address": "ana@home.example"})
    assert one_time.use(found[1], "confirm-address", sending.house.seal, sending.at) is None
    assert notices.send_due(sending.house) == 0


def test_nothing_readable_of_a_link_stays_in_the_outbox(sending: Company) -> None:
    reps.enter_address(ana(), "ana@home.example", "alternative", sending.at, verified_at=None, connected_at=None)
    notices.request_confirmation(ana(), "ana@home.example", sending.house)
    assert "https://" not in Notice.get().body
    notices.send_due(sending.house)
    assert Notice.get().body == ""


def test_a_confirmed_address_lets_in_the_mail_that_waited_for_it_and_no_other(company: Company) -> None:
    waits = company.send(company.mail("From home", sender="Ana <me@sales.example>"))
    other = company.send(company.mail("Not mine", sender="Cy <cy@sales.example>"))
    forged = company.send(make_mail("Ana <me@sales.example>", subject="Forged"))
    company.work()
    assert company.ends()[:2] == ["held(unattributed)"] * 2
    forged_end = company.ends()[2]
    assert forged_end.startswith("held(auth")
    assert notices.confirmed(ana(), "me@sales.example", company.at) == 1
    company.work()
    assert company.ends() == ["logged", "held(unattributed)", forged_end]
    assert Outcome.get_by_id(waits).rep_id == ana()
    assert (Outcome.get_by_id(other).rep_id, Outcome.get_by_id(forged).decision) == (None, "hold")


def test_the_mail_of_a_suspended_rep_is_let_in_by_who_confirms_the_address(company: Company) -> None:
    company.send(company.mail("Handed over", sender="Ben <ben@sales.example>"))
    Rep.update(status="suspended").where(Rep.email == "ben@sales.example").execute()
    company.work()
    assert company.ends() == ["held(suspended-rep)"]
    assert notices.confirmed(ana(), "ben@sales.example", company.at) == 1
    company.work()
    assert company.ends() == ["logged"]
    assert Outcome.get().rep_id == ana()


def test_a_drop_address_and_a_broken_one_are_never_asked(sending: Company) -> None:
    for address in ("acme@drop.example", "not an address", "x@y\r\nBcc: z@evil.example"):
        with pytest.raises(BadInput):
            notices.request_confirmation(ana(), address, sending.house)
    assert Notice.select().count() == 0


def test_one_address_gets_one_confirmation_a_day_whoever_asks(sending: Company) -> None:
    reps.enter_address(ana(), "victim@other.example", "alternative", sending.at, verified_at=None, connected_at=None)
    answers = [notices.request_confirmation(ana(), "victim@other.example", sending.house) for _ in range(20)]
    assert answers == [True] + [False] * 19
    sending.at += dt.timedelta(hours=25)
    assert notices.request_confirmation(ana(), "victim@other.example", sending.house)


# --- passwords and invitations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("send", "subject"), [(notices.send_password_link, "Your password for Dropcopy"), (notices.send_invitation, "Your Dropcopy account")])
def test_a_rep_gets_a_link_that_sets_the_password(sending: Company, relay: Relay, send: Any, subject: str) -> None:
    assert send(ana(), sending.house)
    notices.send_due(sending.house)
    assert relay.mails[0]["Subject"] == subject
    found = re.search(r"https://crm\.example/reset/(\S+)", relay.mails[0].get_content())
    assert found is not None
    assert one_time.look(found[1], "password", sending.house.seal, sending.at) is not None
    assert one_time.look(found[1], "password", sending.house.seal, sending.at + dt.timedelta(hours=25)) is None


def test_who_has_forgotten_his_password_gets_a_link_and_a_made_up_address_nothing(sending: Company, relay: Relay) -> None:
    for address in ("ana@sales.example", "nobody@sales.example", "bo@cust.example"):
        assert notices.ask_for_password(address, sending.house)
    assert OneTimeLink.select().count() == 0, "the link is made when its mail goes out"
    assert notices.send_due(sending.house) == 1
    assert relay.envelopes == [("", ["ana@sales.example"])]
    found = re.search(r"https://crm\.example/reset/(\S+)", relay.mails[0].get_content())
    assert found is not None
    assert relay.mails[0]["Subject"] == "Your password for Dropcopy"
    assert one_time.use(found[1], "password", sending.house.seal, sending.at).rep_id == ana()
    waiting = outbox.waiting(sending.at)
    assert (waiting.number, waiting.given_up, waiting.trouble) == (0, 0, ""), "what strangers type is no trouble of the relay"
    outbox.forget(sending.at - dt.timedelta(days=30), sending.at + dt.timedelta(hours=25))
    assert Notice.select().count() == 0


def test_asking_is_counted_alike_for_an_account_and_for_nobody(sending: Company, relay: Relay) -> None:
    asked = [[notices.ask_for_password(address, sending.house), notices.send_due(sending.house)] for _ in range(4) for address in ("ana@sales.example", "nobody@sales.example")]
    assert [queued for queued, _sent in asked] == [True] * 6 + [False] * 2
    assert len(relay.mails) == 3


def test_nobody_waits_for_a_relay_that_is_away(company: Company) -> None:
    away = with_relay(company, f"smtp://127.0.0.1:{free_port()}")
    notices.ask_for_password("nobody@sales.example", away.house)
    notices.ask_for_password("ana@sales.example", away.house)
    assert notices.send_due(away.house) == 0
    assert [row.address for row in Notice.select().where(Notice.sent_at.is_null())] == ["ana@sales.example"]


def test_a_rep_who_was_suspended_meanwhile_gets_nothing(sending: Company, relay: Relay) -> None:
    notices.send_password_link(ana(), sending.house)
    Rep.update(status="suspended").where(Rep.id == ana()).execute()
    assert notices.send_due(sending.house) == 0
    assert not relay.mails
    assert "no active rep" in Notice.get().failed


def test_without_a_relay_nothing_is_queued_and_it_can_be_seen(company: Company) -> None:
    assert not notices.relay_configured(company.house.settings)
    assert not notices.send_password_link(ana(), company.house)
    assert not notices.send_invitation(ana(), company.house)
    reps.enter_address(ana(), "ana@home.example", "alternative", company.at, verified_at=None, connected_at=None)
    assert not notices.request_confirmation(ana(), "ana@home.example", company.house)
    small_limit(company)
    company.send(with_file(10 * KILOBYTE))
    company.work()
    assert (Notice.select().count(), notices.waiting(company.at).number) == (0, 0)
    assert OneTimeLink.select().count() == 0


# --- attachments over the limit -----------------------------------------------------------------------------------


def test_an_attachment_over_the_limit_is_named_not_kept_and_the_rep_is_told_once(sending: Company, relay: Relay) -> None:
    small_limit(sending)
    sending.send(with_file(10 * KILOBYTE))
    sending.work()
    assert sending.ends() == ["logged"]
    assert [(a.filename, a.note, a.size) for a in Attachment.select()] == [("plan.pdf", "dropped", 10 * KILOBYTE)]
    dropped = [entry for entry in Trace.get().entries if entry["reason"] == "attachment-dropped"]
    assert dropped[0]["params"] == {"file": "plan.pdf", "size": "10 kB", "limit": "4 kB"}
    assert notices.send_due(sending.house) == 1
    assert relay.envelopes == [("", ["ana@sales.example"])]
    assert relay.mails[0]["Auto-Submitted"] == "auto-replied"
    assert "plan.pdf (10 kB)" in relay.mails[0].get_content()


def test_an_attachment_at_the_limit_is_kept(sending: Company) -> None:
    small_limit(sending)
    sending.send(with_file(4 * KILOBYTE))
    sending.work()
    assert [a.note for a in Attachment.select()] == [""]
    assert Notice.select().count() == 0


def test_many_mails_with_dropped_attachments_make_one_notice_a_day(sending: Company) -> None:
    small_limit(sending)
    for number in range(30):
        sending.send(with_file(5 * KILOBYTE, number=number))
    sending.work()
    assert set(sending.ends()) == {"logged"}
    assert Notice.select().count() == 1
    sending.at += dt.timedelta(hours=25)
    sending.send(with_file(5 * KILOBYTE, number=99))
    sending.work()
    assert Notice.select().count() == 2


def test_one_mail_is_never_told_of_twice_also_days_later(company: Company) -> None:
    seal = company.house.seal
    assert outbox.enter("k", "ana@sales.example", "s", "b", seal, company.at, inbound_id=7)
    assert not outbox.enter("k", "ana@sales.example", "s", "b", seal, company.at + dt.timedelta(days=5), inbound_id=7)
    assert outbox.enter("k", "ana@sales.example", "s", "b", seal, company.at + dt.timedelta(days=5), inbound_id=8)


def test_midnight_gives_no_second_notice(company: Company) -> None:
    late = dt.datetime(2026, 11, 20, 23, 59, tzinfo=dt.UTC)
    assert outbox.enter("k", "ana@sales.example", "s", "b", company.house.seal, late)
    assert not outbox.enter("k", "ana@sales.example", "s", "b", company.house.seal, late + dt.timedelta(minutes=2))


def test_a_forged_mail_with_a_large_attachment_makes_no_notice(sending: Company) -> None:
    small_limit(sending)
    signed = with_file(10 * KILOBYTE)
    sending.send(signed.partition(b"\r\n")[2])  # without its signature
    sending.send(with_file(10 * KILOBYTE, sender="Cy <cy@sales.example>", number=2))  # proved, but nobody knows Cy
    sending.work()
    assert all(end.startswith("held") for end in sending.ends())
    assert Notice.select().count() == 0


def test_a_mail_that_a_person_released_makes_no_notice(sending: Company) -> None:
    small_limit(sending)
    ident = sending.send(with_file(10 * KILOBYTE).partition(b"\r\n")[2])
    sending.work()
    inbound.release(ident, "root@sales.example")
    sending.work()
    assert sending.ends() == ["logged"]
    assert Notice.select().count() == 0


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-generated", "Precedence: bulk", "Precedence: list", "Precedence: junk", "List-Id: <news.sales.example>",
        "X-Auto-Response-Suppress: All", "X-Loop: dropcopy drop.example",
    ],
)  # fmt: skip
def test_a_machine_or_a_list_is_never_answered(sending: Company, field: str) -> None:
    small_limit(sending)
    sending.send(with_file(10 * KILOBYTE, headers=(field,)))
    sending.work()
    assert Notice.select().count() == 0


def test_the_null_sender_is_never_answered(sending: Company) -> None:
    small_limit(sending)
    sending.send(with_file(10 * KILOBYTE), mail_from="")
    sending.work()
    assert Notice.select().count() == 0


def test_a_thousand_refused_mails_make_no_flood(sending: Company, relay: Relay) -> None:
    small_limit(sending)
    raw = with_file(5 * KILOBYTE).partition(b"\r\n")[2]
    for number in range(1000 if is_sqlite() else 50):
        sending.send(raw, to=[f"nobody{number}@drop.example"] if number % 2 else ["acme@drop.example"])
    sending.work()
    assert {end.partition("(")[0] for end in sending.ends()} == {"held"}
    notices.send_due(sending.house)
    assert (Notice.select().count(), len(relay.mails)) == (0, 0)


# --- loops --------------------------------------------------------------------------------------------------------


def test_our_own_notice_that_comes_back_is_ignored(sending: Company, relay: Relay) -> None:
    small_limit(sending)
    sending.send(with_file(10 * KILOBYTE))
    sending.work()
    notices.send_due(sending.house)
    sending.send(relay.raw[0], mail_from="")
    stripped = re.sub(rb"(?mi)^(X-Loop|Auto-Submitted|X-Auto-Response-Suppress):.*\r\n", b"", relay.raw[0])
    stripped = re.sub(rb"(?mi)^From:.*\r\n", b"From: Ana <ana@sales.example>\r\n", stripped)
    sending.send(spare_signer("sales.example").sign(stripped))  # a forwarding rule that takes our marks away keeps the Message-ID
    sending.work()
    assert sending.ends() == ["logged", "ignored(loop)", "ignored(loop)"]
    assert Notice.select().count() == 1


def test_two_houses_that_face_each_other_send_one_mail_each_at_most(sending: Company, relay: Relay) -> None:
    """A rep's address that leads into our own drop address: what we send comes back to us, again and again."""
    small_limit(sending)
    sending.send(with_file(10 * KILOBYTE))
    rounds = 0
    while sending.work() and rounds < 20:
        rounds += 1
        before = len(relay.raw)
        notices.send_due(sending.house)
        for raw in relay.raw[before:]:
            sending.send(raw, mail_from="")
    assert len(relay.raw) == 1
    assert sending.ends() == ["logged", "ignored(loop)"]


def test_only_we_can_make_our_message_ids() -> None:
    seal = Seal("k" * 32)
    for found in (None, "", "@", "notice-1@drop.example", "notice-1.@drop.example", "notice-1.0123@drop.example", "notice-2." + "0" * 32 + "@drop.example"):
        assert not notices.is_ours(found, seal)


# --- a stranger's words -------------------------------------------------------------------------------------------

_BREAKING = ["\r\nBcc: victim@other.example", "\nBcc: v@o.example", "\rBcc: v@o.example", "\x0bx", "\x0cx", "\x85x", "\u2028x", "\u2029x", "\x00x", "\x1cx"]


def letter(subject: str, body: str = "text") -> Letter:
    return Letter(1, "attachment-dropped", "ana@sales.example", subject, body, dt.datetime(2026, 11, 20, tzinfo=dt.UTC), 1)


@pytest.mark.parametrize("tail", _BREAKING)
def test_a_subject_that_breaks_the_line_becomes_a_fixed_one(company: Company, tail: str) -> None:
    mail = notices.compose(letter("Chairs" + tail), company.house.settings, company.house.seal, company.at)
    assert mail["Subject"] == notices.PLAIN_SUBJECT
    assert "bcc" not in mail.as_bytes().lower().decode()


def test_an_encoded_line_break_in_the_subject_adds_no_field(sending: Company, relay: Relay) -> None:
    small_limit(sending)
    for number, charset in enumerate(("=?utf-8?b?{}?=", "=?utf-8?q?{}?=")):
        evil = "Hi\r\nBcc: victim@other.example\r\n\r\nbody"
        word = base64.b64encode(evil.encode()).decode() if "?b?" in charset else "".join(f"={byte:02X}" for byte in evil.encode())
        sending.send(with_file(5 * KILOBYTE, subject=charset.format(word), number=number))
        sending.work()
        sending.at += dt.timedelta(hours=25)
    Notice.update(created_at=sending.at).execute()
    notices.send_due(sending.house)
    assert len(relay.mails) == 2
    for (_, rcpt), mail in zip(relay.envelopes, relay.mails, strict=True):
        assert rcpt == ["ana@sales.example"]
        assert mail["Bcc"] is None
        assert not mail.defects


@fast(max_examples=150, deadline=None)
@given(subject=st.text(max_size=80), name=st.text(max_size=80))
def test_whatever_a_subject_holds_no_line_of_it_becomes_a_field(subject: str, name: str) -> None:
    words = notices.quoted(subject + name)
    assert len(words) <= notices.QUOTED
    assert len(words.splitlines()) <= 1
    words.encode()
    if notices.is_plain(subject):
        assert len(subject.splitlines()) <= 1
        subject.encode()


def test_a_long_subject_is_cut() -> None:
    assert len(notices.quoted("x" * 100_000)) == notices.QUOTED


# --- the relay ----------------------------------------------------------------------------------------------------


def queued(company: Company) -> Notice:
    notices.send_password_link(ana(), company.house)
    found: Notice = Notice.select().order_by(Notice.id.desc()).first()
    return found


def test_a_relay_that_is_down_is_tried_again_with_growing_breaks_and_given_up_in_a_day(company: Company) -> None:
    with_relay(company, f"smtp://127.0.0.1:{free_port()}")
    ident, began, waits = queued(company).id, company.at, []
    while Notice.get_by_id(ident).failed is None:
        notices.send_due(company.house)
        row = Notice.get_by_id(ident)
        waits.append(row.due_at - company.at)
        company.at = row.due_at
    assert waits[:5] == list(outbox.BACKOFF[:5])
    assert company.at - began <= outbox.LIVES + outbox.LEASE
    assert len(waits) < 15
    row = Notice.get_by_id(ident)
    assert "could not be reached" in row.failed
    assert (row.body, notices.waiting(company.at).given_up, notices.waiting(company.at).number) == ("", 1, 0)


def test_what_went_wrong_can_be_seen_while_it_waits(company: Company) -> None:
    with_relay(company, f"smtp://127.0.0.1:{free_port()}")
    queued(company)
    notices.send_due(company.house)
    found = notices.waiting(company.at)
    assert (found.number, found.oldest) == (1, company.at)
    assert "could not be reached" in found.trouble


def test_a_relay_that_comes_back_gets_the_mail_once(company: Company) -> None:
    with Relay(refuse={"DATA": "451 later"}) as relay:
        with_relay(company, relay.url)
        ident = queued(company).id
        assert notices.send_due(company.house) == 0
        assert notices.send_due(company.house) == 0  # not before its time
        assert (Notice.get_by_id(ident).attempts, Notice.get_by_id(ident).failed) == (1, None)
        relay.refuse.clear()
        company.at += dt.timedelta(minutes=2)
        assert notices.send_due(company.house) == 1
        assert notices.send_due(company.house) == 0
        assert len(relay.mails) == 1


@pytest.mark.parametrize(("verb", "reply"), [("RCPT", "550 5.1.1 no such user"), ("DATA", "554 5.7.1 no")])
def test_a_refusal_for_good_is_not_tried_again_and_stops_no_other(company: Company, verb: str, reply: str) -> None:
    with Relay(refuse={verb: reply}) as relay:
        with_relay(company, relay.url)
        ident = queued(company).id
        notices.send_due(company.house)
        assert reply[:3] in Notice.get_by_id(ident).failed
        relay.refuse.clear()
        notices.send_password_link(Rep.get(Rep.email == "ben@sales.example").id, company.house)
        assert notices.send_due(company.house) == 1
        assert relay.envelopes == [("", ["ben@sales.example"])]


def test_a_relay_that_takes_no_null_return_path_gets_the_address_of_the_from_field(company: Company) -> None:
    with Relay(refuse={"MAIL": "501 5.1.7 invalid sender"}) as relay:
        with_relay(company, relay.url)
        queued(company)
        assert notices.send_due(company.house) == 1
        assert relay.envelopes == [("no-reply@drop.example", ["ana@sales.example"])]


def test_the_relay_is_signed_in_to_and_its_account_is_the_sender(company: Company) -> None:
    with Relay(user=("crm%40sales.example", "p%3Aw")) as server:
        server._user = ("crm@sales.example", "p:w")
        with_relay(company, f"smtp://crm%40sales.example:p%3Aw@127.0.0.1:{server.port}")
        queued(company)
        assert notices.send_due(company.house) == 1
        assert server.mails[0]["From"].addresses[0].addr_spec == "crm@sales.example"
        with_relay(company, f"smtp://crm%40sales.example:wrong@127.0.0.1:{server.port}")
        queued(company)
        assert notices.send_due(company.house) == 0
        assert "user and the password" in notices.waiting(company.at).trouble
        assert "wrong" not in notices.waiting(company.at).trouble


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay.example")])
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(who, who, key.public_key(), 7, now - day, now + day).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_starttls_is_used_when_it_is_offered(company: Company, tmp_path: Path) -> None:
    with Relay(tls=own_certificate(tmp_path)) as relay:
        with_relay(company, relay.url)
        queued(company)
        assert notices.send_due(company.house) == 1
        assert relay.encrypted == [True]


def test_a_relay_elsewhere_must_show_a_certificate_that_is_trusted(company: Company, tmp_path: Path) -> None:
    with Relay(tls=own_certificate(tmp_path)) as relay:
        with_relay(company, relay.url.replace("127.0.0.1", "127.0.0.2"))  # a loopback address that does not count as this machine
        with pytest.raises(BadInput, match="certificate"):
            notices.send_test(company.house.settings, "ana@sales.example")
        assert not relay.mails


def test_one_that_cannot_be_composed_is_given_up_and_the_next_one_goes(sending: Company, relay: Relay) -> None:
    first = queued(sending)
    Notice.update(body="sealed with another key").where(Notice.id == first.id).execute()
    notices.send_password_link(Rep.get(Rep.email == "ben@sales.example").id, sending.house)
    assert notices.send_due(sending.house) == 1
    assert "secret key" in Notice.get_by_id(first.id).failed


def test_two_sweepers_send_a_mail_once(sending: Company) -> None:
    queued(sending)
    ident = outbox.due(sending.at)[0]
    assert outbox.claim(ident, sending.house.seal, sending.at) is not None
    assert outbox.claim(ident, sending.house.seal, sending.at) is None
    assert outbox.due(sending.at) == []
    assert outbox.due(sending.at + outbox.LEASE) == [ident]


def test_the_chores_send_what_waits(sending: Company, relay: Relay) -> None:
    queued(sending)
    chores = Chores(sending.house)
    chores.run()
    chores.wait()
    assert len(relay.mails) == 1


def test_a_notice_goes_out_without_waiting_for_the_sweep(sending: Company, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 3600.0)
    monkeypatch.setattr(sending.fence, "close", lambda: None)  # it is shared between the tests
    small_limit(sending)
    chores = Chores(sending.house)
    swept = threading.Event()
    one = worker.Worker(sending.house, swept.set, chores.tell)  # its sweep sends nothing
    one._fence = sending.fence
    one.start()
    try:
        assert swept.wait(30)
        sending.send(with_file(10 * KILOBYTE))  # filed, and its sender told what was left out
        until(lambda: len(relay.mails) == 1)
        reps.enter_address(ana(), "ana@home.example", "alternative", sending.at, verified_at=None, connected_at=None)
        notices.request_confirmation(ana(), "ana@home.example", sending.house)
        sending.house.bell.ring()  # as the page does
        until(lambda: len(relay.mails) == 2)
    finally:
        one.stop()
        chores.wait()


def test_a_test_mail_goes_to_people_of_the_company_only(sending: Company, relay: Relay) -> None:
    notices.send_test(sending.house.settings, "Ana@sales.example")
    assert relay.envelopes == [("", ["ana@sales.example"])]
    for wrong in ("bo@cust.example", "nobody", "", "ana@sales.example\r\nBcc: x@y.example"):
        with pytest.raises(BadInput, match="confirmed address of a rep"):
            notices.send_test(sending.house.settings, wrong)
    assert len(relay.mails) == 1


@pytest.mark.parametrize("url", ["", "smtp://127.0.0.1:1", "smtps://127.0.0.1:1"])
def test_the_test_says_what_is_wrong(company: Company, url: str) -> None:
    with_relay(company, url)
    with pytest.raises(BadInput, match="relay") as trouble:
        notices.send_test(company.house.settings, "ana@sales.example")
    assert "no relay is set" in str(trouble.value) or "could not be reached" in str(trouble.value)


def test_a_password_never_goes_to_another_machine_in_the_clear() -> None:
    class Plain:
        def ehlo(self) -> None: ...
        def has_extn(self, name: str) -> bool:
            return False

        def login(self, user: str, password: str) -> None:
            raise AssertionError("sent in the clear")

    with pytest.raises(notices.RelayTrouble, match="no encryption"):
        notices._greet(Plain(), "smtp", None, "user", "password", False, "The relay mail.example")  # type: ignore[arg-type]


# --- strangers ----------------------------------------------------------------------------------------------------


def test_a_blocked_domain_is_ignored_once_it_has_proved_itself(company: Company) -> None:
    strangers.block("sales.example", "root@sales.example", company.at)
    company.send(company.mail(sender="Cy <cy@sales.example>"))
    company.send(company.mail())  # Ana is a rep of that very domain
    company.work()
    assert company.ends() == ["ignored(blocked-domain)", "logged"]
    assert strangers.unblock("Sales.Example")
    company.send(company.mail(sender="Cy <cy@sales.example>"))
    company.work()
    assert company.ends()[2] == "held(unattributed)"


def test_blocking_takes_the_listed_ones_off_the_list(company: Company) -> None:
    company.send(company.mail(sender="Cy <cy@sales.example>"))
    company.work()
    assert strangers.block("sales.example", "root@sales.example", company.at) == 1
    assert company.ends() == ["ignored(blocked-domain)"]


@pytest.mark.parametrize(("domain", "by"), [("spam.example", "spam.example"), ("a.b.SPAM.example", "spam.example"), ("notspam.example", None), ("example", None), ("", None)])
def test_a_domain_is_blocked_with_what_stands_below_it(company: Company, domain: str, by: str | None) -> None:
    strangers.block("spam.example", "root@sales.example", company.at)
    assert strangers.blocked_by(domain) == by


@pytest.mark.parametrize("wrong", ["", "example", "a b.example", "%.example", "x@spam.example"])
def test_what_is_no_domain_is_not_blocked(company: Company, wrong: str) -> None:
    with pytest.raises(BadInput):
        strangers.block(wrong, "root@sales.example", company.at)


def stranger(company: Company, number: int, domain: str = "sales.example") -> int:
    digest = f"{number:064d}"
    Raw.create(sha256=digest, size=1000, content=b"x", stored_at=company.at)
    ident = Inbound.create(source="smtp", envelope="{}", sha256=digest, size=1000, received_at=company.at, state="held", reason="unattributed").id
    Outcome.create(
        inbound_id=ident, state="held", reason="unattributed", received_at=company.at, decided_at=company.at, sender=f"x@{domain}", sender_domain=domain, subject="s", size=1000
    )  # fmt: skip
    return int(ident)


def test_strangers_are_bounded_in_number_and_one_domain_crowds_nobody_out(company: Company) -> None:
    change_company({"strangers_limit": 40})
    first = stranger(company, 0, "quiet.example")
    for number in range(1, 60):
        stranger(company, number, "loud.example")
    company.fresh()
    Chores(company.house)._expire(company.at)
    kept = {row.inbound_id: row.sender_domain for row in Outcome.select().where(Outcome.state == "held")}
    assert len(kept) == 11
    assert first in kept
    assert Raw.select().count() == 11
    assert set(company.ends()) == {"held(unattributed)", "ignored(expired)"}
    assert {row.sender for row in Outcome.select().where(Outcome.reason == "expired")} == {""}


def test_strangers_are_bounded_in_bytes_and_days(company: Company) -> None:
    change_company({"strangers_megabytes": 1})
    company.fresh()
    old = [stranger(company, number, f"d{number}.example") for number in range(3)]
    Outcome.update(size=600 * KILOBYTE).execute()
    retention.expire(company_settings(), company.at)
    assert [row.inbound_id for row in Outcome.select().where(Outcome.state == "held")] == old[2:]
    retention.expire(company_settings(), company.at + dt.timedelta(days=31))
    assert Outcome.select().where(Outcome.state == "held").count() == 0
    assert company.states()["ignored"] == 3


def test_bytes_that_another_delivery_needs_stay(company: Company) -> None:
    raw = company.mail(sender="Cy <cy@sales.example>")
    for _ in range(2):
        company.send(raw)
    company.work()
    first, second = (row.inbound_id for row in Outcome.select().order_by(Outcome.inbound_id))
    Outcome.update(decided_at=company.at - dt.timedelta(days=40)).where(Outcome.inbound_id == first).execute()
    retention.expire(company_settings(), company.at)
    assert inbound.raw_of(second) is not None
    Outcome.update(decided_at=company.at - dt.timedelta(days=40)).where(Outcome.inbound_id == second).execute()
    retention.expire(company_settings(), company.at)
    assert inbound.raw_of(second) is None


# --- small things -------------------------------------------------------------------------------------------------


def test_a_preset_brings_both_limits_and_its_policy(company: Company) -> None:
    change_company(preset_changes("hubspot"))
    company.fresh()
    found = company_settings()
    assert (found.message_limit, found.attachment_limit, found.policy.name) == (100 << 20, 50 << 20, "recent-open")
    change_company(preset_changes("pipedrive"))
    company.fresh()
    assert (company_settings().message_limit, company_settings().policy.name) == (20 << 20, "single-open")
    assert preset_changes("own") == {"preset": "own"}
    with pytest.raises(BadInput):
        preset_changes("another")


def test_machines_lists_and_our_own_mail_are_no_partners() -> None:
    person = Email(Identity(None), None, (), (), "", None, (), (), (), "", "", ())
    envelope = Envelope("smtp", mail_from="ana@sales.example")
    assert notices.may_answer(person, envelope)
    assert notices.may_answer(person, replace(envelope, mail_from=None))
    assert notices.may_answer(replace(person, headers=(("X-Auto-Response-Suppress", "None"),)), envelope)
    for machine in ("bounce", "report", "auto-reply", "auto-generated", "list", "bulk"):
        assert not notices.may_answer(replace(person, machine=machine), envelope)
    assert not notices.may_answer(replace(person, loop=True), envelope)
    assert not notices.may_answer(person, replace(envelope, mail_from=""))


def test_the_house_is_a_desk(company: Company) -> None:
    desk: House = company.house
    assert SenderAddress.select().count() >= 3
    assert notices.waiting(desk.now()).number == 0
