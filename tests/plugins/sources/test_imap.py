"""A mailbox is fetched: nothing lost, nothing twice, whatever other clients, servers and networks do."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pydantic
import pytest

from core.errors import BadInput, Refused
from core.http import Client
from plugins.sources import imap
from tests.plugins.sources.cases import LIMIT, MB, RCPT, SourceCases, World, large_mail, mail
from tests.plugins.sources.dovecot import PASSWORD, Dovecot, dovecot, wait_for
from tests.plugins.sources.fake_imap import FakeImap, FakeRelay


@pytest.fixture(scope="module")
def server() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """A mailbox of its own for every test."""
    return f"u{abs(hash(request.node.nodeid)):x}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BACKOFF": 0.01, "BACKOFF_MOST": 0.05, "IDLE_SLICE": 0.05, "SIGN_IN_PAUSE": 0.2, "READ_TIMEOUT": 2.0}.items():
        monkeypatch.setattr(imap, name, value)


def world(port: int, user: str = "u", **settings: Any) -> World:
    plain = {"host": "127.0.0.1", "port": port, "security": "none", "username": user, "password": PASSWORD}
    return World(imap.Settings(**{**plain, **settings}))


def delivered(number: int, *fields: bytes, body: bytes = b"Hello\r\n") -> bytes:
    """A mail with what the mail server wrote above it."""
    return b"".join(field + b"\r\n" for field in fields) + b"Received: from a by b; Sun, 22 Nov 2026 09:29:01 +0000\r\n" + mail(body, number=number)


def numbers(world: World) -> list[int]:
    """Which mails were kept, by the number in their Message-ID, in the order of their arrival here."""
    return [int(kept.raw.partition(b"Message-ID: <")[2].partition(b"@")[0]) for kept in world.kept]


@contextmanager
def running(world: World) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=imap.run, args=(world.context, stop), daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


class TestImap(SourceCases):
    """The cases of every source, through a real Dovecot."""

    several_recipients = False
    _server: Dovecot
    _user: str

    @pytest.fixture(autouse=True)
    def _mailbox(self, server: Dovecot, user: str) -> None:
        self._server, self._user = server, user
        self._there: set[str] = set()

    def world(self) -> World:
        return world(self._server.port, self._user)

    def send(self, world: World, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1") -> str:
        world.context.settings.default_recipient = rcpt[0]
        if key not in self._there:
            self._server.put(self._user, raw)
            self._there.add(key)
        try:
            imap.poll(world.context)
        except BadInput:
            return "later"
        progress = world.state.get("folder INBOX")
        return "never" if progress["refused"] or progress["large"] else "kept"

    def test_a_mail_over_the_limit_is_refused_for_good(self) -> None:
        world = self.world()
        world.intake.message_limit = MB
        assert self.send(world, large_mail(MB + 1)) == "never"
        assert world.kept == []

    def test_the_envelope_is_what_imap_can_know(self) -> None:
        world = self.world()
        self.send(world, mail())
        envelope = world.kept[0].envelope
        assert (envelope.source, envelope.mail_from, envelope.client_ip) == ("imap", None, None)
        assert envelope.key is not None
        assert envelope.key.startswith(f"{self._user}@127.0.0.1/INBOX/")
        assert envelope.key.endswith("/1")


# --- what other clients do ----------------------------------------------------------------------------------------


def test_another_client_that_reads_and_flags_makes_no_difference(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, mail(number=1), mail(number=2))
    with server.client(user) as phone:
        phone.select_folder("INBOX")
        phone.add_flags([1, 2], ["\\Seen", "\\Flagged"])
        imap.poll(house.context)
        phone.remove_flags([1], ["\\Seen"])
        imap.poll(house.context)
    assert numbers(house) == [1, 2]


def test_fetching_leaves_no_trace(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, mail(number=1), large_mail(3 * MB))
    imap.poll(house.context)
    with server.client(user) as phone:
        phone.select_folder("INBOX", readonly=True)
        assert [flags for flags in (entry[b"FLAGS"] for entry in phone.fetch([1, 2], ["FLAGS"]).values()) if b"\\Seen" in flags] == []


def test_a_changed_uidvalidity_neither_skips_nor_doubles(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, mail(number=1), mail(number=2))
    imap.poll(house.context)
    server.admin("mailbox", "update", "-u", user, "--uid-validity", "4242", "INBOX")
    server.put(user, mail(number=3))
    imap.poll(house.context)
    assert numbers(house) == [1, 2, 1, 2, 3]  # other keys; that the first two are known mails is seen when they are filed
    assert house.state.get("folder INBOX")["validity"] == 4242
    imap.poll(house.context)
    assert len(house.kept) == 5


def test_a_folder_that_was_deleted_and_made_anew_is_read_anew(server: Dovecot, user: str) -> None:
    house = world(server.port, user, folders="Sales")
    with server.client(user) as phone:
        phone.create_folder("Sales")
        phone.append("Sales", mail(number=1))
        imap.poll(house.context)
        phone.delete_folder("Sales")
        phone.create_folder("Sales")
        server.admin("mailbox", "update", "-u", user, "--uid-validity", "99", "Sales")
        phone.append("Sales", mail(number=2))
    imap.poll(house.context)
    assert numbers(house) == [1, 2]


def test_two_pollers_at_once_keep_every_mail_once(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.fill(user, 120, lambda n: mail(number=n))
    threads = [threading.Thread(target=imap.poll, args=(house.context,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(house)) == list(range(120))
    assert house.state.get("folder INBOX")["next"] == 121


def test_a_folder_that_is_missing_does_not_stop_the_others(server: Dovecot, user: str) -> None:
    house = world(server.port, user, folders="Nowhere, INBOX")
    server.put(user, mail(number=1))
    assert "Nowhere could not be read" in imap.poll(house.context)
    assert numbers(house) == [1]


def test_mail_that_was_there_before_can_be_left_alone(server: Dovecot, user: str) -> None:
    house = world(server.port, user, start="new")
    server.put(user, mail(number=1), mail(number=2))
    imap.poll(house.context)
    server.put(user, mail(number=3))
    imap.poll(house.context)
    assert numbers(house) == [3]


def test_other_settings_for_another_mailbox_start_anew(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, mail(number=1), mail(number=2))
    server.put(user + "b", mail(number=3))
    imap.poll(house.context)
    house.context.settings.username = user + "b"
    imap.poll(house.context)
    assert numbers(house) == [1, 2, 3]


# --- sizes --------------------------------------------------------------------------------------------------------


def test_a_mail_of_exactly_the_limit_is_kept_and_one_byte_more_is_not_even_fetched(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, large_mail(LIMIT), large_mail(LIMIT + 1), mail(number=3))
    said = imap.poll(house.context)
    assert [len(kept.raw) for kept in house.kept] == [LIMIT, len(mail(number=3))]
    assert house.kept[0].raw == large_mail(LIMIT)
    assert "larger than the limit" in said


def test_a_raised_limit_brings_what_was_too_large(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    house.intake.message_limit = MB
    server.put(user, large_mail(2 * MB), mail(number=2))
    imap.poll(house.context)
    assert numbers(house) == [2]
    house.intake.message_limit = LIMIT
    imap.poll(house.context)
    assert sorted(numbers(house)) == [1, 2]
    assert "larger" not in imap.poll(house.context)


def test_the_next_poll_moves_little(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.fill(user, 300, lambda n: mail(b"x" * 2000, number=n))
    imap.poll(house.context)
    with FakeRelay(server.port) as relay:
        house.context.settings.port = relay.port
        imap.poll(house.context)
        assert relay.bytes < 10_000
    assert len(house.kept) == 300


# --- trouble ------------------------------------------------------------------------------------------------------


def test_a_server_that_dies_in_the_middle_of_a_fetch_loses_and_doubles_nothing(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.fill(user, 200, lambda n: mail(b"x" * 50_000, number=n))
    receive, seen = house.intake.receive, []

    def kill_after_60(raw: bytes, envelope: Any) -> int:
        seen.append(envelope.key)
        if len(seen) == 60:
            for pid in {line.split()[-2].strip("()") for line in server.admin("who", "-1", user).splitlines()[1:]}:
                os.kill(int(pid), signal.SIGKILL)
        return receive(raw, envelope)

    house.intake.receive = kill_after_60  # type: ignore[method-assign]
    with pytest.raises(BadInput):
        imap.poll(house.context)
    imap.poll(house.context)
    assert sorted(numbers(house)) == list(range(200))
    assert len(seen) <= 200 + imap.BATCH_MAILS


def test_a_server_that_restarts_is_found_again(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, mail(number=1))
    with running(house):
        wait_for(lambda: numbers(house) == [1], "the first mail")
        server.stop()
        wait_for(lambda: "Nothing answers" in house.page or "failed" in house.page, "the trouble on the page")
        server.start()
        server.put(user, mail(number=2))
        wait_for(lambda: numbers(house) == [1, 2], "the second mail")
        wait_for(lambda: house.page == "", "the page to be fine")


def test_a_session_that_is_kicked_out_of_idle_comes_back(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    with running(house):
        server.put(user, mail(number=1))
        wait_for(lambda: numbers(house) == [1], "the first mail")
        server.admin("kick", user)
        server.put(user, mail(number=2))
        wait_for(lambda: numbers(house) == [1, 2], "the second mail")


@pytest.mark.parametrize("security", ["none", "tls"])
def test_mail_that_comes_between_the_last_look_and_idle_is_heard_of(server: Dovecot, user: str, security: str) -> None:
    port, certificate = (server.port, "") if security == "none" else (server.tls_port, Path(server.tls["tls_cert"]).read_text())
    settings = imap.Settings(host="localhost", port=port, security=security, username=user, password=PASSWORD, certificate=certificate)
    client = imap._connect(settings, LIMIT)
    try:
        client.login(user, PASSWORD)
        for number in range(1, 6):
            client.select_folder("INBOX", readonly=True)
            server.put(user, mail(number=number))
            ends = threading.Event()
            waiting = threading.Thread(target=lambda: (imap._idle(client, threading.Event(), 3600), ends.set()), daemon=True)
            waiting.start()
            wait_for(ends.is_set, f"the end of IDLE at mail {number}")
    finally:
        client.shutdown()


def test_new_mail_is_fetched_at_once_by_idle(server: Dovecot, user: str) -> None:
    house = world(server.port, user, poll_minutes=1440)
    with running(house):
        for number in range(1, 6):
            server.put(user, mail(number=number))
            wait_for(lambda: len(house.kept) == number, f"mail {number}")
    assert numbers(house) == [1, 2, 3, 4, 5]


def test_when_the_intake_is_in_trouble_the_mail_waits_on_the_server(server: Dovecot, user: str) -> None:
    house = world(server.port, user)
    server.put(user, *(mail(number=n) for n in (1, 2, 3)))
    house.intake.refuses = Refused("intake-trouble", permanent=False)
    with running(house):
        wait_for(lambda: house.page != "", "the trouble on the page")
        assert house.state.get("folder INBOX")["next"] == 1
        house.intake.refuses = None
        wait_for(lambda: len(house.kept) == 3, "all three")
    assert numbers(house) == [1, 2, 3]


def test_one_refused_mail_does_not_stop_the_folder(server: Dovecot, user: str) -> None:
    house = world(server.port, user, afterwards="move", move_to="Done")
    house.intake.refuses_one = b"<2@"
    server.put(user, *(mail(number=n) for n in (1, 2, 3)))
    said = imap.poll(house.context)
    assert numbers(house) == [1, 3]
    assert "refused" in said
    with server.client(user) as phone:  # it is left where it was, flagged
        phone.select_folder("INBOX", readonly=True)
        assert {uid: b"\\Flagged" in entry[b"FLAGS"] for uid, entry in phone.fetch(phone.search(), ["FLAGS"]).items()} == {2: True}


def test_a_wrong_password_is_said_and_not_tried_for_ever(server: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house = world(server.port, user, password="wrong")
    monkeypatch.setattr(imap, "SIGN_IN_PAUSE", 1000.0)
    with running(house):
        wait_for(lambda: "did not accept the sign-in" in house.page, "the sentence")
        assert len(house.reports) == 1
    with pytest.raises(BadInput, match="did not accept"):
        imap.test(house.context)


def test_the_test_button_says_what_is_there(server: Dovecot, user: str) -> None:
    server.put(user, mail(number=1))
    said = imap.test(world(server.port, user).context)
    assert "INBOX holds 1 mails" in said
    assert "at once" in said


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"port": 1}, "Nothing answers"),
        ({"host": "no-such-host.invalid"}, "could not be found"),
        ({"security": "tls"}, "TLS"),
        ({"folders": "Nowhere"}, "Nowhere"),
    ],
)
def test_the_test_button_names_the_mistake(server: Dovecot, user: str, settings: dict[str, Any], word: str) -> None:
    with pytest.raises(BadInput, match=word):
        imap.test(world(settings.get("port", server.port), user, **{k: v for k, v in settings.items() if k != "port"}).context)


def test_nothing_is_sent_without_encryption_outside_of_the_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "_is_near", lambda address: False)
    with FakeImap({}) as fake:
        with pytest.raises(BadInput, match="without encryption"):
            imap.test(world(fake.port).context)
        assert fake.said("LOGIN") == []


def test_what_is_near() -> None:
    assert [imap._is_near(address) for address in ("127.0.0.1", "10.1.2.3", "fd00::1", "fe80::1%eth0", "8.8.8.8", "2001:4860::1")] == [True] * 4 + [False] * 2


# --- afterwards ---------------------------------------------------------------------------------------------------


def where(server: Dovecot, user: str, *folders: str) -> list[int]:
    with server.client(user) as phone:
        return [int(phone.select_folder(name, readonly=True)[b"EXISTS"]) for name in folders]


def test_kept_mail_is_moved_and_the_folder_is_made(server: Dovecot, user: str) -> None:
    house = world(server.port, user, afterwards="move", move_to="Sales mail")
    server.put(user, mail(number=1), mail(number=2))
    assert imap.poll(house.context) == "2 mails were fetched."
    assert where(server, user, "INBOX", "Sales mail") == [0, 2]


def test_kept_mail_is_deleted(server: Dovecot, user: str) -> None:
    house = world(server.port, user, afterwards="delete")
    with server.client(user) as phone:
        server.put(user, mail(number=1), mail(number=2))
        imap.poll(house.context)
        server.put(user, mail(number=3))
        phone.select_folder("INBOX")
        phone.add_flags(phone.search(), ["\\Deleted"])  # marked by another client: not ours to expunge
        house.intake.refuses_one = b"<3@"
        imap.poll(house.context)
    assert where(server, user, "INBOX") == [1]


@pytest.mark.parametrize("flag", ["Dropcopy", "\\Flagged"])
def test_kept_mail_is_flagged(server: Dovecot, user: str, flag: str) -> None:
    house = world(server.port, user, afterwards="flag", flag=flag)
    server.put(user, mail(number=1))
    imap.poll(house.context)
    with server.client(user) as phone:
        phone.select_folder("INBOX", readonly=True)
        assert flag.encode() in phone.fetch([1], ["FLAGS"])[1][b"FLAGS"]
        assert b"\\Seen" not in phone.fetch([1], ["FLAGS"])[1][b"FLAGS"]


def test_a_crash_between_keeping_and_moving_moves_it_later(server: Dovecot, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    house = world(server.port, user, afterwards="move", move_to="Done")
    server.put(user, mail(number=1))
    with monkeypatch.context() as crash:
        crash.setattr(imap.Folder, "_act", lambda self: 1 / 0 if self.progress.todo else None)
        with pytest.raises(BadInput):
            imap.poll(house.context)
    assert where(server, user, "INBOX") == [1]
    assert imap.poll(house.context) == "0 mails were fetched."
    assert where(server, user, "INBOX", "Done") == [0, 1]
    assert numbers(house) == [1]


def test_a_mail_that_cannot_be_moved_is_kept_all_the_same(server: Dovecot, user: str) -> None:
    house = world(server.port, user, afterwards="move", move_to="INBOX/../bad//name/")
    server.put(user, mail(number=1), mail(number=2))
    assert "did not let us move" in imap.poll(house.context)
    assert numbers(house) == [1, 2]
    house.context.settings.move_to = "Done"
    imap.poll(house.context)
    assert where(server, user, "INBOX", "Done") == [0, 2]


def test_without_uidplus_nothing_of_others_is_expunged() -> None:
    with FakeImap({1: mail(number=1)}, capabilities="IMAP4rev1") as fake:
        imap.poll(world(fake.port, afterwards="delete").context)
        assert len(fake.said(r"UID STORE 1 \+FLAGS.*Deleted")) == 1
        assert fake.said("EXPUNGE") == []


# --- to whom ------------------------------------------------------------------------------------------------------

RECORD = "crm+r-abc123@corp.example"


@pytest.mark.parametrize(
    "fields, recipient",
    [
        ([b"X-Original-To: crm+r-abc123@corp.example", b"Delivered-To: crm@corp.example"], RECORD),
        ([b"Delivered-To: crm@corp.example", b"Envelope-To: crm+r-abc123@corp.example"], RECORD),
        ([b"Return-Path: <x@y.example>", b"Envelope-To: <CRM+r-abc123@CORP.example>"], "CRM+r-abc123@corp.example"),
        ([b"Delivered-To:", b" crm+r-abc123@corp.example"], RECORD),
        ([b"Delivered-To: crm@corp.example"], "acme@drop.example"),  # the bare mailbox: the default
        ([], "acme@drop.example"),
        ([b"Delivered-To: crm+retired@corp.example"], "crm+retired@corp.example"),  # held with that reason
        ([b"Delivered-To: crm@corp.example", b"Delivered-To: crm+r-abc123@corp.example"], "acme@drop.example"),  # topmost only
        ([b"Received: from sender", b"Delivered-To: crm+r-abc123@corp.example"], "acme@drop.example"),  # the sender may have written it
        ([b"Delivered-To: \xff\xfe", b"X-Original-To: nonsense"], "acme@drop.example"),
    ],
)
def test_the_recipient_is_what_the_last_server_wrote(fields: list[bytes], recipient: str) -> None:
    with FakeImap({1: delivered(1, *fields)}) as fake:
        house = world(fake.port, default_recipient="acme@drop.example")
        house.intake.living = {RECORD, RCPT}
        imap.poll(house.context)
        assert house.kept[0].envelope.rcpt_to == (recipient,)


def test_with_own_servers_in_the_path_the_field_may_stand_lower() -> None:
    raw = delivered(1, b"Received: by our store", b"X-Delivered-To: crm+r-abc123@corp.example")
    for hops, recipient in ((0, ()), (1, (RECORD,))):
        with FakeImap({1: raw}) as fake:
            house = world(fake.port, own_hops=hops)
            house.intake.living = {RECORD}
            imap.poll(house.context)
            assert house.kept[0].envelope.rcpt_to == recipient


def test_a_mail_lies_as_long_as_the_server_says() -> None:
    with FakeImap({1: mail()}) as fake:
        house = world(fake.port)
        imap.poll(house.context)
        assert house.kept[0].envelope.received_at == dt.datetime(2026, 11, 22, 7, 0, tzinfo=dt.UTC)


# --- servers that do odd things -----------------------------------------------------------------------------------


def body_fetch(line: str, uid: int) -> bool:
    return "BODY.PEEK" in line and str(uid) in line.split(" ")[2].split(",")


def size_fetch(line: str, uid: int) -> bool:
    return "RFC822.SIZE" in line and str(uid) in line.split(" ")[2].split(",")


def literal(said: int, sent: bytes) -> Callable[[FakeImap, str, str], bytes | None]:
    def odd(server: FakeImap, tag: str, line: str) -> bytes | None:
        if not body_fetch(line, 2):
            return None
        return f"* 2 FETCH (UID 2 BODY[] {{{said}}}\r\n".encode() + sent + f")\r\n{tag} OK done\r\n".encode()

    return odd


def on(test: Callable[[str, int], bool], reply: bytes) -> Callable[[FakeImap, str, str], bytes | None]:
    return lambda server, tag, line: reply.replace(b"TAG", tag.encode()) if test(line, 2) else None


ODD = {
    "a literal that is shorter than announced": literal(100_000, b"x" * 50),
    "a literal that is longer than announced": literal(10, b"x" * 5000),
    "a literal of four gigabytes": literal(4_000_000_000, b"x"),
    "a literal of negative size": on(body_fetch, b"* 2 FETCH (UID 2 BODY[] {-5}\r\nTAG OK done\r\n"),
    "hanging up": on(body_fetch, b""),
    "hanging up when asked for the size": on(size_fetch, b""),
    "BYE": on(body_fetch, b"* BYE going down\r\n"),
    "NO": on(body_fetch, b"TAG NO this one is broken\r\n"),
    "NO when asked for the size": on(size_fetch, b"TAG NO this one is broken\r\n"),
    "BAD": on(body_fetch, b"TAG BAD what\r\n"),
    "no bytes": on(body_fetch, b"* 2 FETCH (UID 2 BODY[] NIL)\r\nTAG OK done\r\n"),
    "an empty mail": on(body_fetch, b'* 2 FETCH (UID 2 BODY[] "")\r\nTAG OK done\r\n'),
    "another field": on(body_fetch, b"* 2 FETCH (UID 2 FLAGS (\\Seen))\r\nTAG OK done\r\n"),
    "a size that is none": on(size_fetch, b"* 2 FETCH (UID 2 RFC822.SIZE many)\r\nTAG OK done\r\n"),
    "an unclosed answer": on(size_fetch, b"* 2 FETCH (UID 2 RFC822.SIZE 5\r\nTAG OK done\r\n"),
    "8-bit in a quoted string": on(size_fetch, b'* 2 FETCH (UID 2 RFC822.SIZE "\xff)\r\nTAG OK done\r\n'),
    "NUL": on(body_fetch, b"\0\0\0\r\nTAG OK done\r\n"),
    "a line of a megabyte": on(body_fetch, b"* " + b"x" * (1 << 20) + b"\r\nTAG OK done\r\n"),
    "a line without end": on(body_fetch, b"* " + b"x" * (3 << 20)),
}


@pytest.mark.parametrize("what", ODD)
def test_one_broken_mail_never_stops_a_folder(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail 2 is answered with something odd each time; all others come, and it is named in the end."""
    monkeypatch.setattr(imap, "READ_TIMEOUT", 0.1)
    with FakeImap({n: mail(number=n) for n in range(1, 6)}, ODD[what]) as fake:
        house = world(fake.port)
        for _ in range(30):
            try:
                said = imap.poll(house.context)
            except BadInput:
                continue
            if "given up" in said:
                break
            house.now += dt.timedelta(minutes=30)
        assert sorted(numbers(house)) == [1, 3, 4, 5]
        assert house.state.get("folder INBOX")["lost"] == [2]
        fetched = len(fake.said("BODY.PEEK"))
        imap.poll(house.context)
        assert len(fake.said("BODY.PEEK")) == fetched  # and it is left in peace from then on


def test_a_mail_that_can_be_fetched_after_all_is_kept() -> None:
    with FakeImap({n: mail(number=n) for n in range(1, 4)}, ODD["NO"]) as fake:
        house = world(fake.port)
        assert "tried again" in imap.poll(house.context)
        fake.odd = lambda server, tag, line: None
        imap.poll(house.context)
        assert numbers(house) == [1, 3]
        house.now += dt.timedelta(minutes=5)
        assert imap.poll(house.context) == "One mail was fetched."
        assert numbers(house) == [1, 3, 2]


def test_a_vanished_mail_is_passed_over() -> None:
    mails = {n: mail(number=n) for n in range(1, 6)}
    with FakeImap(mails) as fake:
        house = world(fake.port)

        def vanish(server: FakeImap, tag: str, line: str) -> bytes | None:
            if size_fetch(line, 2):
                fake.mails.pop(2, None)  # after the search, before its size
            if body_fetch(line, 4):
                fake.mails.pop(4, None)  # after its size, before its bytes
            return None

        fake.odd = vanish
        assert imap.poll(house.context) == "3 mails were fetched."
        assert numbers(house) == [1, 3, 5]
        assert house.state.get("folder INBOX")["next"] == 6


def test_a_search_that_names_the_last_mail_again_fetches_nothing() -> None:
    with FakeImap({n: mail(number=n) for n in range(1, 4)}) as fake:  # it always lists all, like `n:*` the last
        house = world(fake.port)
        imap.poll(house.context)
        before = len(fake.lines)
        imap.poll(house.context)
        assert not any("FETCH" in line for line in fake.lines[before:])


def test_a_folder_of_many_mails_is_searched_in_parts(monkeypatch: pytest.MonkeyPatch, server: Dovecot, user: str) -> None:
    monkeypatch.setattr(imap, "WINDOW", 7)
    house = world(server.port, user)
    server.fill(user, 40, lambda n: mail(number=n))
    imap.poll(house.context)
    assert sorted(numbers(house)) == list(range(40))
    with server.client(user) as phone:
        phone.select_folder("INBOX")
        phone.delete_messages([3, 9, 40])
        phone.expunge()
    server.put(user, *(mail(number=n) for n in range(40, 60)))
    imap.poll(house.context)
    assert sorted(numbers(house)) == list(range(60))


def test_a_full_server_is_no_wrong_password() -> None:
    def full(server: FakeImap, tag: str, line: str) -> bytes | None:
        return f"{tag} NO [LIMIT] too many connections\r\n".encode() if line.startswith("LOGIN") and server.connections < 4 else None

    with FakeImap({1: mail(number=1)}, full) as fake:
        house = world(fake.port)
        with running(house):
            wait_for(lambda: numbers(house) == [1], "the mail after the server has room again")
        assert fake.connections >= 4


def test_a_server_that_dies_while_we_sign_in_is_no_wrong_password() -> None:
    def dies(server: FakeImap, tag: str, line: str) -> bytes | None:
        return b"" if line.startswith("LOGIN") and server.connections < 3 else None

    with FakeImap({1: mail(number=1)}, dies) as fake:
        house = world(fake.port)
        with running(house):
            wait_for(lambda: numbers(house) == [1], "the mail")
        assert not any("accept" in sentence for sentence in house.reports)


def test_a_server_that_says_nothing_is_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "READ_TIMEOUT", 0.2)

    def silent(server: FakeImap, tag: str, line: str) -> bytes | None:
        return b"* OK still thinking\r\n" if "FETCH" in line else None

    with FakeImap({1: mail()}, silent) as fake:
        house = world(fake.port)
        with pytest.raises(BadInput, match="in time"):
            imap.poll(house.context)


def test_the_password_is_never_in_what_is_said(server: Dovecot, user: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    house = world(server.port, user, password="s3cret-that-is-wrong")
    with pytest.raises(BadInput) as error:
        imap.poll(house.context)
    assert "s3cret" not in str(error.value) + caplog.text + "".join(house.reports) + repr(house.context.settings)


# --- OAuth --------------------------------------------------------------------------------------------------------


class TokenServer:
    """Gives tokens as RFC 6749 says. `give` is the next token; each refresh gives a new refresh token too."""

    def __init__(self) -> None:
        self.give = PASSWORD  # what Dovecot takes as a valid token
        self.error = ""
        self.asked: list[dict[str, str]] = []
        self.expires_in: Any = 3600
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fields = {name: values[0] for name, values in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()}
                outer.asked.append(fields)
                good = {"access_token": outer.give, "expires_in": outer.expires_in, "refresh_token": f"refresh-{len(outer.asked)}", "token_type": "Bearer"}
                body = json.dumps({"error": outer.error} if outer.error else good).encode()
                self.send_response(400 if outer.error else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/token"

    def __enter__(self) -> TokenServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


def oauth_world(port: int, user: str, tokens: TokenServer, **settings: Any) -> World:
    oauth = {"sign_in": "oauth", "password": "", "client_id": "client", "client_secret": "cs", "refresh_token": "refresh-0", "token_url": tokens.url}
    plain = {"host": "127.0.0.1", "port": port, "security": "none", "username": user}
    return World(imap.Settings(**{**plain, **oauth, **settings}), http=Client(networks=["127.0.0.0/8"], plain=True))


def test_a_token_is_fetched_used_and_remembered(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    server.put(user, mail(number=1))
    imap.poll(house.context)
    imap.poll(house.context)
    assert numbers(house) == [1]
    assert tokens.asked == [{"grant_type": "refresh_token", "refresh_token": "refresh-0", "client_id": "client", "client_secret": "cs"}]


def test_a_token_is_renewed_before_its_end_with_the_newest_refresh_token(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    imap.poll(house.context)
    house.now += dt.timedelta(seconds=3600 - 299)
    imap.poll(house.context)
    assert [fields["refresh_token"] for fields in tokens.asked] == ["refresh-0", "refresh-1"]


def test_a_withdrawn_token_is_renewed_once(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    tokens.give = "withdrawn"
    with pytest.raises(BadInput, match="did not accept"):
        imap.poll(house.context)
    assert len(tokens.asked) == 2
    tokens.give = PASSWORD
    assert "0 mails" in imap.poll(house.context)
    assert len(tokens.asked) == 3


def test_a_withdrawn_grant_asks_for_a_person_and_is_not_tried_again(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    tokens.error = "invalid_grant"
    with running(house):
        wait_for(lambda: "new sign-in" in house.page, "the sentence")
    assert len(tokens.asked) == 1


def test_a_token_server_in_trouble_is_asked_again(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    server.put(user, mail(number=1))
    tokens.error = "temporarily_unavailable"
    with running(house):
        wait_for(lambda: len(tokens.asked) > 1, "another try")
        tokens.error = ""
        wait_for(lambda: numbers(house) == [1], "the mail")


def test_a_new_refresh_token_in_the_settings_replaces_the_remembered_one(server: Dovecot, user: str, tokens: TokenServer) -> None:
    house = oauth_world(server.port, user, tokens)
    imap.poll(house.context)
    house.context.settings.refresh_token = pydantic.SecretStr("new-0")
    imap.poll(house.context)
    assert [fields["refresh_token"] for fields in tokens.asked] == ["refresh-0", "new-0"]


@pytest.mark.parametrize("offered, used", [("AUTH=XOAUTH2", "XOAUTH2"), ("AUTH=OAUTHBEARER", "OAUTHBEARER")])
def test_a_token_that_ends_in_idle_is_renewed_and_nothing_is_lost(tokens: TokenServer, offered: str, used: str) -> None:
    ended: list[int] = []

    def odd(server: FakeImap, tag: str, line: str) -> bytes | None:
        if line.startswith("AUTHENTICATE"):
            return b"+ \r\n"
        if not line:  # the token itself, which is a line without a space
            return f"{server.lines[-2].split(' ')[0]} OK done\r\n".encode()
        if line == "IDLE" and not ended:
            ended.append(1)
            server.mails[2] = mail(number=2)
            tokens.give = "second"
            house.now += dt.timedelta(hours=2)
            return b"+ idling\r\n* BYE your token has ended\r\n"
        if line == "IDLE":
            server.lines.append("idling again")
            return b"+ idling\r\n"
        return None

    with FakeImap({1: mail(number=1)}, odd, capabilities=f"IMAP4rev1 IDLE {offered}") as fake:
        house = oauth_world(fake.port, "u", tokens)
        with running(house) as stop:
            wait_for(lambda: fake.said("idling again"), "the second IDLE")
            stop.set()
            fake.__exit__()
        assert numbers(house) == [1, 2]
        assert len(tokens.asked) == 2
        assert len(fake.said(f"AUTHENTICATE {used}")) == 2


def test_tokens_are_asked_of_the_provider_only(tokens: TokenServer) -> None:
    for kind, host in (("google", "oauth2.googleapis.com"), ("microsoft", "login.microsoftonline.com")):
        settings = imap.Settings(host="h", username="u", sign_in=kind, client_id="c", refresh_token="r")
        house = World(settings)
        with pytest.raises(Exception, match="nobody is there"):
            imap.access_token(house.context)
        assert house.web.hosts == [[host]]
        assert house.web.asked[0][1].startswith(f"https://{host}/")


@pytest.mark.parametrize(
    "settings",
    [
        {"password": ""},
        {"sign_in": "google"},
        {"sign_in": "oauth", "client_id": "c", "refresh_token": "r"},
        {"sign_in": "microsoft", "client_id": "c", "refresh_token": "r", "tenant": "evil.example/x?"},
        {"afterwards": "move"},
        {"afterwards": "move", "move_to": "INBOX"},
        {"folders": " , "},
        {"folders": "INBOX\r\nA1 DELETE x"},
        {"username": "u\r\nA1 LOGOUT"},
        {"flag": "x) (y"},
    ],
)
def test_half_a_set_up_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        imap.Settings(**{"host": "imap.example.com", "username": "u", "password": "p", **settings})
