"""The SMTP edge keeps true mails, says "later" for faults of ours, and holds its limits."""

from __future__ import annotations

import dataclasses
import logging
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
from pydantic import ValidationError

from core.errors import BadInput, Refused
from core.types import Envelope
from plugins.sources import smtp
from plugins.sources.smtp import SmtpSettings, register_sources
from tests.conftest import ROOT
from tests.plugins.sources.smtp_world import DROP, ENVELOPE, HELLO, MAIL, Client, MemoryIntake, World, refusal, serving, trouble

TRUSTED = {"trusted_peers": ["127.0.0.0/8"]}


def greeted(world: World) -> Client:
    client = world.connect()
    assert client.reply() == "220 mx.crm.example ESMTP Dropcopy\r\n"
    assert client.say(HELLO).startswith("250-mx.crm.example\r\n")
    return client


def seen(client: Client, octets: bytes) -> tuple[str, bool]:
    """(the last reply, whether the server closed after it)"""
    return client.say(octets), client.closed()


# --- what is kept ---


def test_a_mail_is_kept_with_its_envelope_and_its_octets_untouched() -> None:
    body = MAIL + b"\0 8-bit \xe5\xe4\xf6, a bare\rCR and a bare\nLF\r\n.dot\r\n"
    with serving() as world, greeted(world) as client:
        assert client.deliver(body.replace(b"\r\n.", b"\r\n..")) == "250 2.0.0 Kept as 1\r\n"
    [(raw, envelope)] = world.intake.kept
    assert raw == body
    assert envelope == Envelope(
        source="smtp", rcpt_to=(DROP,), mail_from="rep@sender.example", client_ip="127.0.0.1", helo="client.example",
        received_at=world.context.clock(), instance="mx", bare_cr=1, bare_lf=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command, sender",
    [
        (b"MAIL FROM:<>", ""),
        (b"mail from:<Rep@Sender.Example>", "Rep@sender.example"),
        (b"MAIL FROM: <rep@sender.example.> SIZE=100 BODY=8BITMIME", "rep@sender.example"),
        (b"MAIL FROM:<@relay.example:rep@sender.example>", "rep@sender.example"),
        (b'MAIL FROM:<"rep"@sender.example>', "rep@sender.example"),
        (b'MAIL FROM:<"a > b"@sender.example>', '"a > b"@sender.example'),
        (b"MAIL FROM:<bounce+drop=crm.example@[192.0.2.1]>", "bounce+drop=crm.example@[192.0.2.1]"),
        (b"MAIL FROM:<root>", "root"),
        ("MAIL FROM:<jörg@bücher.example> SMTPUTF8".encode(), "jörg@xn--bcher-kva.example"),
    ],
)
def test_the_sender_is_read_as_the_standard_writes_it(command: bytes, sender: str) -> None:
    with serving() as world, greeted(world) as client:
        assert client.says(command + b"\r\n", ENVELOPE[1], b"DATA\r\n")[2].startswith("354")
        assert client.say(MAIL + b".\r\n").startswith("250")
    assert world.intake.kept[0][1].mail_from == sender


@pytest.mark.parametrize(
    "command, code",
    [
        (b"MAIL FROM:<a@b.example> SIZE=-1", "501"),
        (b"MAIL FROM:<a@b.example> SIZE", "501"),
        (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "501"),
        (b"MAIL FROM:<a@b.example> AUTH=<>", "555"),
        (b"MAIL FROM:<a@b.example> RET=FULL", "555"),
        (b"MAIL FROM:<a@b.example> SMTPUTF8=1", "501"),
        (b"MAIL FROM:<a@b.example", "501"),
        (b"MAIL FROM:<a\rb@b.example>", "501"),
        (b"MAIL FROM:<a b@b.example>", "501"),
        (b"MAIL FROM:<a@b..example>", "553"),
        (b"MAIL FROM:<\xff@b.example> SMTPUTF8", "553"),
        (b"MAIL FROM:<" + b"a" * 250 + b"@b.example>", "501"),
        (b"MAIL TO:<a@b.example>", "501"),
        (b"MAIL", "501"),
        (b"MAIL FROM:<a@b.example> SIZE=20971521", "552"),
        (b"MAIL FROM:<a@b.example> SIZE=20971520", "250"),
    ],
)
def test_a_mail_command_that_cannot_be_read_is_refused_and_the_session_goes_on(command: bytes, code: str) -> None:
    with serving() as world, greeted(world) as client:
        assert client.say(command + b"\r\n")[:3] == code
        assert client.say(b"NOOP\r\n").startswith("250")


def test_one_mailbox_named_three_times_is_one_recipient() -> None:
    with serving() as world, greeted(world) as client:
        client.says(ENVELOPE[0], ENVELOPE[1], b"RCPT TO:<DROP@crm.example.>\r\n", b"RCPT TO:<other@crm.example>\r\n", b"DATA\r\n")
        assert client.say(MAIL + b".\r\n").startswith("250")
    assert world.intake.kept[0][1].rcpt_to == (DROP, "other@crm.example")


def test_many_mails_pass_in_one_session() -> None:
    with serving() as world, greeted(world) as client:
        for _ in range(120):
            assert client.deliver().startswith("250")
            assert client.say(b"RSET\r\n").startswith("250")
    assert len(world.intake.kept) == 120


def test_commands_may_be_sent_together_up_to_data() -> None:
    with serving() as world, greeted(world) as client:
        client.send(b"".join(ENVELOPE) + b"RCPT TO:<nobody@crm.example>\r\nDATA\r\n")
        assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "550", "354"]
        client.send(MAIL + b".\r\nNOOP\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "221", ""]


# --- what is refused ---


def test_what_is_unknown_retired_or_foreign_gets_one_and_the_same_answer() -> None:
    with serving() as world, greeted(world) as client:
        client.say(ENVELOPE[0])
        wrong = [b"nobody@crm.example", b"drop@elsewhere.example", b"crm.example!drop@elsewhere.example", b"drop%elsewhere.example@crm.example", b"postmaster"]
        assert {client.say(b"RCPT TO:<%s>\r\n" % address) for address in wrong} == {"550 5.1.1 There is no such address here\r\n"}
        assert client.say(b"DATA\r\n").startswith("503")


def test_guessing_of_addresses_ends_after_twenty() -> None:
    with serving() as world, greeted(world) as client:
        client.say(ENVELOPE[0])
        replies = [client.say(b"RCPT TO:<guess%d@crm.example>\r\n" % n)[:3] for n in range(21)]
        assert replies == ["550"] * 20 + ["421"]
        assert client.closed()


def test_an_address_is_looked_up_once_a_second_at_most() -> None:
    with serving() as world, greeted(world) as client:
        for _ in range(5):
            client.deliver()
        assert len(world.intake.asked) <= 2


@pytest.mark.parametrize(
    "fault, reply",
    [
        (trouble(RuntimeError("secret detail")), "451 4.3.0"),
        (trouble(OSError(5, "I/O error")), "451 4.3.0"),
        (refusal("intake-trouble", permanent=False), "451 4.3.0"),
        (refusal("disk-full", permanent=False), "451 4.3.1"),
        (refusal("too-large", limit="20 MB"), "552 5.3.4 The mail is larger than the limit of 20 MB."),
        (refusal("unknown-recipient", address="drop@crm.example\r\n250 OK"), "550 5.1.1"),
        (refusal("a-code-of-a-plugin"), "550 5.7.1"),
    ],
)
def test_the_intakes_no_becomes_the_right_answer_and_the_session_goes_on(fault: object, reply: str, caplog: pytest.LogCaptureFixture) -> None:
    with serving(MemoryIntake(before=fault)) as world, greeted(world) as client:  # type: ignore[arg-type]
        answer = client.deliver()
        assert answer.startswith(reply)
        assert "secret" not in answer
        world.intake.before = lambda: None
        assert client.deliver().startswith("250")


@pytest.mark.parametrize("error", [Refused("intake-trouble", permanent=False), RuntimeError("no database")])
def test_a_recipient_that_cannot_be_looked_up_is_asked_for_again_later(error: Exception) -> None:
    def fail(address: str) -> bool:
        raise error

    with serving(MemoryIntake(accepted=fail)) as world, greeted(world) as client:
        assert [reply[:9] for reply in client.says(*ENVELOPE)] == ["250 2.1.0", "451 4.3.0"]
        assert client.say(b"DATA\r\n").startswith("503")


def test_a_limit_that_cannot_be_asked_for_is_no_reason_to_bounce() -> None:
    class Broken(MemoryIntake):
        @property
        def message_limit(self) -> int:  # type: ignore[override]
            raise RuntimeError("no database")

        @message_limit.setter
        def message_limit(self, value: int) -> None:
            pass

    with serving(Broken()) as world, world.connect() as client:
        client.reply()
        assert client.say(HELLO).startswith("451 4.3.0")
        assert client.say(b"HELO client.example\r\n").startswith("250")
        assert client.say(ENVELOPE[0]).startswith("451 4.3.0")


def test_an_intake_that_does_not_answer_is_a_try_again_and_the_session_goes_on() -> None:
    held = threading.Event()
    with serving(MemoryIntake(before=lambda: held.wait(10) and None), work_timeout=0.2) as world, greeted(world) as client:
        assert client.deliver().startswith("451 4.3.0")
        held.set()
        assert client.deliver().startswith("250")


def test_a_mail_of_exactly_the_limit_passes_and_one_octet_more_does_not() -> None:
    with serving(MemoryIntake(message_limit=3_000_000)) as world, greeted(world) as client:
        assert "250-SIZE 3000000\r\n" in client.say(HELLO)
        body = MAIL + b"x" * (3_000_000 - len(MAIL) - 2) + b"\r\n"
        assert client.deliver(body).startswith("250")
        assert client.deliver(b"x" + body) == "552 5.3.4 The mail is larger than 3000000 bytes\r\n"
        assert client.deliver(b"." + body).startswith("250"), "a doubled dot does not count (RFC 1870)"
        world.intake.message_limit = 3_000_001
        until = time.monotonic() + 5
        while not client.deliver(b"x" + body).startswith("250"):
            assert time.monotonic() < until, "a new limit holds within a second"
            assert client.deliver().startswith("250"), "a mail now and then keeps the talk alive"
            time.sleep(0.05)
    assert [len(raw) for raw, _ in world.intake.kept if len(raw) > len(MAIL)] == [3_000_000, 3_000_000, 3_000_001]


def test_a_mail_that_goes_in_circles_is_refused() -> None:
    with serving() as world, greeted(world) as client:
        hop = b"received: from a.example by b.example; Fri, 20 Nov 2026 10:00:00 +0000\r\n"
        assert client.deliver(hop * 50 + MAIL).startswith("250")
        assert client.deliver(hop * 51 + MAIL).startswith("554 5.4.6")
        assert client.deliver(MAIL + hop * 60).startswith("250"), "quoted in the text they are no hops"
        assert client.deliver((MAIL + hop * 60).replace(b"\r\n", b"\n") + b"\r\n").startswith("250"), "nor in a mail with bare line feeds"
        assert client.deliver(hop.replace(b":", b" :", 1) * 51 + MAIL).startswith("554 5.4.6"), "RFC 5322 4.5: a blank before the colon"


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"POST /in HTTP/1.1\r\n", b"Host: crm.example\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\xff\xfd\x18\r\n"])
def test_other_protocols_are_shown_the_door(first: bytes) -> None:
    with serving() as world, world.connect() as client:
        client.reply()
        client.send(first)
        assert client.reply().startswith("500 5.5.2 This is a mail server")
        client.send(HELLO + b"".join(ENVELOPE) + b"DATA\r\n")
        assert client.closed()
    assert world.intake.kept == []


def test_a_form_post_that_carries_a_mail_is_not_a_mail() -> None:
    with serving() as world, world.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: crm.example\r\n\r\n" + HELLO + b"".join(ENVELOPE) + b"DATA\r\n" + MAIL + b".\r\n")
        client.reply()
        assert client.reply().startswith("500")
        assert client.closed()
    assert world.intake.kept == []


@pytest.mark.parametrize("line", [b"NOOP " + b"x" * 600, b"N" * 200_000, b"RCPT TO:<" + b"a" * 3000 + b"@crm.example>"])
def test_an_endless_command_line_is_one_error_and_the_session_stays_in_step(line: bytes) -> None:
    with serving() as world, greeted(world) as client:
        assert client.say(line + b"\r\n").startswith("500")
        assert client.deliver().startswith("250")


def test_too_many_recipients_are_put_off() -> None:
    with serving() as world, greeted(world) as client:
        client.say(ENVELOPE[0])
        client.send(b"".join(b"RCPT TO:<d%d@crm.example>\r\n" % n for n in range(502)))
        replies = [client.reply()[:9] for _ in range(502)]
        assert replies == ["250 2.1.5"] * 500 + ["452 4.5.3"] * 2
        assert client.say(b"DATA\r\n").startswith("354")
        assert client.say(MAIL + b".\r\n").startswith("250")
    assert len(world.intake.kept[0][1].rcpt_to) == 500


@pytest.mark.parametrize("verb, most", [(b"NOOP\r\n", 20), (b"RSET\r\n", 20), (b"VRFY a\r\n", 20), (b"EHLO x\r\n", 99), (b"\r\n", 4), (b"XYZZY\r\n", 4)])
def test_floods_of_commands_end_in_421(verb: bytes, most: int) -> None:
    with serving() as world, greeted(world) as client:
        client.send(verb * (most + 50))
        replies = []
        while not replies or replies[-1]:
            replies.append(client.reply())
        assert len(replies) == most + 2
        assert replies[-2].startswith("421 4.7.0")


# --- clients that stop, creep or stay ---


def test_a_mail_cut_off_in_the_middle_is_no_mail_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with serving() as world:
        with greeted(world) as client:
            client.says(*ENVELOPE, b"DATA\r\n")
            client.send(b"x" * 3_000_000)
        with greeted(world) as client:
            assert client.deliver(b"y" * 2_000_000 + b"\r\n").startswith("250")
        assert list(tmp_path.iterdir()) == []
    assert len(world.intake.kept) == 1


def test_no_room_for_a_large_mail_is_a_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with serving() as world, greeted(world) as client:
        assert client.deliver(b"x" * 2_000_000 + b"\r\n").startswith("452 4.3.1")
        assert client.deliver().startswith("250")


def test_what_a_mail_took_is_given_back_however_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "DISK", 3_000_000)
    monkeypatch.setattr(smtp, "MEMORY", 3_000_000)
    fate = iter([trouble(RuntimeError("broken")), refusal("disk-full", permanent=False), lambda: None])
    with serving(MemoryIntake(message_limit=2_500_000, before=lambda: next(fate, lambda: None)()), max_connections=1) as world:
        for _ in range(3):
            with admitted(world) as client:  # leaves in the middle of a mail
                client.says(*ENVELOPE, b"DATA\r\n")
                client.send(b"x" * 2_000_000)
        with admitted(world) as client:
            assert [client.deliver(b"y" * 2_400_000 + b"\r\n")[:3] for _ in range(6)] == ["451", "451", "250", "250", "250", "250"]
            assert [client.deliver(b"z" * 3_000_000 + b"\r\n")[:3] for _ in range(3)] == ["552"] * 3
            assert [client.deliver(b"small\r\n" * 10_000)[:3] for _ in range(50)] == ["250"] * 50


def test_a_mail_without_room_in_memory_waits_on_disk_and_then_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "MEMORY", 1000)
    held, arrived = threading.Event(), threading.Semaphore(0)

    def before() -> None:
        arrived.release()
        held.wait(10)

    intake = MemoryIntake(message_limit=10_000, before=before)
    with serving(intake) as world, greeted(world) as first, greeted(world) as second, greeted(world) as third:
        for client in (first, second, third):
            client.says(*ENVELOPE, b"DATA\r\n")
        first.send(b"x" * 9_000 + b"\r\n.\r\n")
        second.send(b"x" * 9_000 + b"\r\n.\r\n")
        assert arrived.acquire(timeout=5)
        assert arrived.acquire(timeout=5)
        assert third.say(b"x" * 9_000 + b"\r\n.\r\n").startswith("452 4.3.1")
        held.set()
        assert first.reply().startswith("250")
        assert second.reply().startswith("250")
        assert third.deliver().startswith("250")


def test_a_silent_client_is_sent_away() -> None:
    with serving(command_timeout=0.2) as world, greeted(world) as client:
        assert seen(client, b"") == ("421 4.4.2 Timed out waiting for a command\r\n", True)


def test_while_it_is_crowded_silent_clients_go_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "CROWDED", 0.2)
    with serving(max_connections=5, work_timeout=0.4) as world:
        clients = [greeted(world) for _ in range(4)]
        with greeted(world) as fifth:
            assert fifth.reply().startswith("421 4.4.2")
        for client in clients:
            client.close()


def test_a_session_without_a_mail_ends() -> None:
    with serving(session_timeout=0.4) as world, greeted(world) as client:
        assert seen(client, b"EHLO again.example\r\nEHLO half") [0].startswith("250-")
        reply = client.reply()
        assert reply == "" or reply.startswith("421 4.4.2")


def test_a_mail_that_creeps_is_cut_and_others_are_not() -> None:
    with serving(data_window=0.3, data_rate=5000) as world, greeted(world) as slow, greeted(world) as honest:
        slow.says(*ENVELOPE, b"DATA\r\n")
        honest.says(*ENVELOPE, b"DATA\r\n")
        sent = 0
        slow.sock.settimeout(0.05)
        while True:
            honest.send(b"y" * 1000 + b"\r\n")
            sent += 1002
            slow.send(b"x")
            try:
                goodbye = slow.sock.recv(1000)
                break
            except TimeoutError:
                continue
        assert goodbye.startswith(b"421 4.4.2 The mail comes too slowly")
        assert honest.say(b".\r\n").startswith("250")
    assert [len(raw) for raw, _ in world.intake.kept] == [sent]


def test_a_mail_has_an_end_in_time_however_steady_it_comes() -> None:
    with serving(data_timeout=0.3, data_window=0.1, data_rate=0) as world, greeted(world) as client:
        client.says(*ENVELOPE, b"DATA\r\n")
        assert seen(client, b"x") == ("421 4.4.2 The mail comes too slowly\r\n", True)
    assert world.intake.kept == []


def test_a_mail_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "EXCESS", 1)
    with serving(MemoryIntake(message_limit=1000)) as world, greeted(world) as client:
        client.says(*ENVELOPE, b"DATA\r\n")
        try:
            for _ in range(40):
                client.send(b"x" * 100_000)
        except OSError:
            pass
        assert client.reply()[:3] in ("421", "")
    assert world.intake.kept == []


def test_a_client_that_reads_nothing_holds_nobody_up() -> None:
    with serving() as world, greeted(world) as deaf, greeted(world) as client:
        deaf.send(b"EHLO x\r\n" * 90)
        assert client.deliver().startswith("250")


# --- how many ---


def test_connections_beyond_the_cap_are_asked_to_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "SILENT", 1000.0)
    with serving(max_connections=2) as world, greeted(world), greeted(world) as second:
        with world.connect() as third:
            assert third.reply() == "421 4.7.0 Too many connections, please try again later\r\n"
            assert third.closed()
        second.says(b"QUIT\r\n")
        assert second.closed()
        second.close()
        admitted(world).close()


def test_in_a_full_house_who_is_silent_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that say nothing keep no mail out, and a mail that is under way is not disturbed."""
    monkeypatch.setattr(smtp, "SILENT", 0.2)
    with serving(max_connections=3) as world, greeted(world) as sending, greeted(world) as first, greeted(world) as second:
        sending.says(*ENVELOPE, b"DATA\r\n")
        second.say(b"NOOP\r\n")
        with admitted(world) as newcomer:
            assert first.reply() == "421 4.7.0 Somebody else needs this connection, please come again\r\n"
            assert first.closed()
            assert newcomer.deliver().startswith("250")
        assert sending.say(b"Subject: x\r\n\r\nhello\r\n.\r\n").startswith("250")
    assert len(world.intake.kept) == 2


def test_open_files_bound_how_many_may_come() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert smtp._room(10) == min(10, files)
    assert smtp._room(10**9) == files - min(512, files // 4)


def admitted(world: World) -> Client:
    """A connection as soon as the server has room for one."""
    until = time.monotonic() + 5
    while True:
        client = world.connect()
        if client.reply().startswith("220"):
            client.say(HELLO)
            return client
        client.close()
        assert time.monotonic() < until


def proxied(address: bytes) -> bytes:
    return b"PROXY TCP4 %s 192.0.2.200 40000 25\r\n" % address


def test_one_address_may_hold_so_many_connections_and_others_still_come_in() -> None:
    with serving(proxy_protocol=True, max_connections_per_ip=2, **TRUSTED) as world:
        clients = [world.connect() for _ in range(4)]
        replies = [client.say(proxied(b"192.0.2.7"))[:3] for client in clients[:3]]
        assert replies == ["220", "220", "421"]
        assert clients[3].say(proxied(b"192.0.2.8")).startswith("220")
        for client in clients:
            client.close()


def test_two_thousand_idle_connections_are_cheap_and_a_mail_still_passes() -> None:
    if psutil.Process().rlimit(psutil.RLIMIT_NOFILE)[0] < 5000:
        psutil.Process().rlimit(psutil.RLIMIT_NOFILE, (5000, psutil.Process().rlimit(psutil.RLIMIT_NOFILE)[1]))
    with serving(max_connections=2100) as world:
        before = psutil.Process().memory_info().rss
        idle = [socket.create_connection(("127.0.0.1", world.port)) for _ in range(2000)]
        for one in idle:
            assert one.recv(100).startswith(b"220")
        grown = psutil.Process().memory_info().rss - before
        with greeted(world) as client:
            assert client.deliver().startswith("250")
        for one in idle:
            one.close()
    assert grown < 60_000_000, f"{grown / 2000:.0f} bytes a connection, both ends counted"


MEMORY_RUN = """
import re, sys
sys.path.insert(0, {root!r})
from tests.plugins.sources.smtp_world import ENVELOPE, HELLO, serving
with serving() as world, world.connect() as client:
    client.reply(); client.says(HELLO, *ENVELOPE, b"DATA\\r\\n")
    piece = {line!r} * ({piece} // len({line!r}))
    for _ in range(20_000_000 // len(piece)):
        client.send(piece)
    assert client.say(b"\\r\\n.\\r\\n").startswith("250")
    print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)  # getrusage would count the parent's before exec
"""


@pytest.mark.parametrize("line", [b"\r\n", b"..\r\n", b"x", b"\n"], ids=["empty lines", "dots", "one line", "bare line feeds"])
def test_twenty_megabytes_of_anything_stay_below_two_hundred_megabytes(line: bytes) -> None:
    code = MEMORY_RUN.format(root=str(ROOT), line=line, piece=200_000)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout)
    assert peak < 200, f"{peak} MB"


# --- relays and proxies of ours ---


def test_a_trusted_relay_names_the_true_client() -> None:
    with serving(**TRUSTED) as world, greeted(world) as client:
        assert client.say(b"XFORWARD NAME=mail.sender.example ADDR=IPv6:2001:db8::7 PORT=4025\r\n").startswith("250")
        assert client.say(b"XFORWARD PROTO=ESMTP HELO=mail+2Esender.example SOURCE=REMOTE\r\n").startswith("250")
        client.deliver()
        client.deliver()
        client.say(b"XFORWARD ADDR=192.0.2.9 HELO=[UNAVAILABLE]\r\n")
        client.deliver()
    told = [(envelope.client_ip, envelope.helo) for _, envelope in world.intake.kept]
    assert told == [("2001:db8::7", "mail.sender.example"), ("127.0.0.1", "client.example"), ("192.0.2.9", None)], "it holds for one mail"


@pytest.mark.parametrize("argument", [b"", b"ADDR=nowhere", b"LOGIN=root", b"ADDR", b"HELO=a+0D+0Ab"])
def test_an_xforward_that_cannot_be_read_is_refused(argument: bytes) -> None:
    with serving(**TRUSTED) as world, greeted(world) as client:
        assert client.say(b"XFORWARD " + argument + b"\r\n").startswith("501")
        assert client.say(ENVELOPE[0]).startswith("250")
        assert client.say(b"XFORWARD ADDR=192.0.2.1\r\n").startswith("503")


def test_strangers_may_not_name_another_client() -> None:
    with serving() as world, greeted(world) as client:
        assert "XFORWARD" not in client.say(HELLO)
        assert client.say(b"XFORWARD ADDR=192.0.2.1\r\n").startswith("550")
        client.deliver()
    assert world.intake.kept[0][1].client_ip == "127.0.0.1"


V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.mark.parametrize(
    "header, address",
    [
        (b"PROXY TCP4 192.0.2.7 192.0.2.200 40000 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", None),
        (V2 + b"\x21\x11" + struct.pack(">H", 12) + socket.inet_aton("192.0.2.8") + socket.inet_aton("192.0.2.200") + struct.pack(">HH", 1, 25), "192.0.2.8"),
        (V2 + b"\x21\x21" + struct.pack(">H", 39) + socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.9") + bytes(16) + bytes(4) + b"\x04\0\0", "192.0.2.9"),
        (V2 + b"\x20\x00" + struct.pack(">H", 0), None),
    ],
)
def test_the_client_behind_a_proxy_is_known_and_trusted_no_more_than_a_stranger(header: bytes, address: str | None) -> None:
    with serving(proxy_protocol=True, **TRUSTED) as world, world.connect() as client:
        for octet in header[:-1]:
            client.send(bytes([octet]))
        assert client.say(header[-1:]).startswith("220")
        assert "XFORWARD" not in client.say(HELLO)
        assert client.deliver().startswith("250")
    assert world.intake.kept[0][1].client_ip == address


@pytest.mark.parametrize("header", [HELLO, b"PROXY TCP4 nonsense\r\n", b"PROXY TCP4 " + b"1" * 200, V2 + b"\x31\x11\x00\x0c", V2 + b"\x21\x11\xff\xff", b"PROXY TCP4 192.0.2.7 x\r\n"])
def test_without_a_proxy_header_the_proxy_port_says_nothing(header: bytes) -> None:
    with serving(proxy_protocol=True, **TRUSTED) as world, world.connect() as client:
        client.send(header)
        assert client.closed()


def test_a_proxy_that_says_nothing_is_cut_in_time() -> None:
    with serving(proxy_protocol=True, handshake_timeout=0.2, **TRUSTED) as world, world.connect() as client:
        assert client.closed()


def test_only_trusted_peers_may_use_the_proxy_port() -> None:
    with serving(proxy_protocol=True, trusted_peers=["192.0.2.0/24"]) as world, world.connect() as client:
        assert client.closed()


# --- the source as such ---


def test_a_stop_lets_begun_mails_end_and_takes_no_new_ones() -> None:
    with serving() as world, greeted(world) as idle, greeted(world) as begun, greeted(world) as named:
        begun.says(*ENVELOPE, b"DATA\r\n")
        named.say(ENVELOPE[0])
        world.stop.set()
        assert idle.reply() == "421 4.3.2 The service is stopping, please try again later\r\n"
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", world.port), timeout=5).recv(1).decode()[0]
        assert named.say(b"RSET\r\n").startswith("250")
        assert named.say(HELLO).startswith("421 4.3.2")
        assert begun.say(MAIL + b".\r\n").startswith("250")
        assert begun.reply().startswith("421 4.3.2")
        for client in (idle, begun, named):
            client.close()
        world.thread.join(10)
        assert not world.thread.is_alive()
    assert len(world.intake.kept) == 1


def test_a_stop_does_not_wait_for_ever() -> None:
    with serving(stop_timeout=0.2) as world, greeted(world) as client:
        client.says(*ENVELOPE, b"DATA\r\n")
        world.stop.set()
        world.thread.join(10)
        assert not world.thread.is_alive()
        assert client.closed()


def test_the_port_that_was_taken_is_told() -> None:
    with serving() as world:
        assert world.port > 0
        assert world.reports == [""]
        source = register_sources()[0]
        assert (source.name, source.settings) == ("smtp", SmtpSettings)
        assert source.test is not None
        assert source.test(world.context) == "The port answers: 220 mx.crm.example ESMTP Dropcopy"
        taken = dataclasses.replace(world.context, settings=SmtpSettings(port=world.port))
        with pytest.raises(OSError):
            smtp.run(taken, threading.Event())
        assert world.reports[1].startswith(f"SMTP cannot listen on 127.0.0.1 port {world.port}: ")
    with pytest.raises(BadInput):
        smtp.try_out(world.context)


def test_it_listens_on_several_addresses() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serving(host="127.0.0.1, 127.0.0.2", port=port) as world:
        for host in ("127.0.0.1", "127.0.0.2"):
            with Client(socket.create_connection((host, port), timeout=10)) as client:
                client.says(b"", HELLO)
                assert client.deliver().startswith("250")
        assert smtp.try_out(world.context).startswith("The port answers: 220")


def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    with serving(host=str(tmp_path / "s")) as world:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tmp_path / "s"))
        with Client(sock) as client:
            client.says(b"", HELLO)
            assert client.deliver().startswith("250")
        assert smtp.try_out(world.context).startswith("The port answers: 220")
    assert world.intake.kept[0][1].client_ip is None


def test_a_port_behind_a_proxy_is_tried_as_its_proxy_would() -> None:
    with serving(proxy_protocol=True, **TRUSTED) as world:
        assert smtp.try_out(world.context).startswith("The port answers: 220")
    with serving(proxy_protocol=True, trusted_peers=["192.0.2.0/24"]) as world:
        assert "none of the trusted peers" in smtp.try_out(world.context)


def test_a_port_that_says_nothing_is_named() -> None:
    with serving() as world, socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=lambda: mute.accept()[0].close(), daemon=True).start()
        other = dataclasses.replace(world.context, settings=SmtpSettings(port=mute.getsockname()[1]))
        with pytest.raises(BadInput, match="closed without a word"):
            smtp.try_out(other)


def test_the_log_names_no_mailbox_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving() as world, greeted(world) as client:
        client.deliver()
    assert "kept 1: " in caplog.text
    assert "rep@" not in caplog.text
    assert "drop@" not in caplog.text


@pytest.mark.parametrize(
    "settings, word",
    [({"tls_cert": "x.pem"}, "belong together"), ({"proxy_protocol": True}, "trusted_peers"), ({"trusted_peers": "everywhere"}, "no address or network"), ({"hostname": "a\r\nb"}, "hostname")],
)
def test_wrong_settings_are_named(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        SmtpSettings(**settings)  # type: ignore[arg-type]


def test_networks_may_be_listed_by_commas() -> None:
    assert SmtpSettings(trusted_peers="192.0.2.1, 2001:db8::/32").trusted_peers == ["192.0.2.1/32", "2001:db8::/32"]  # type: ignore[arg-type]
