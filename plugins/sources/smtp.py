"""SMTP: mail servers deliver to the drop addresses directly.

One connection is one `Session`, a small state machine fed by the event loop: commands are answered at once, the text of a
mail goes through `core.mail.scanner` as it comes, and the 250 is written only after the intake's durable commit. Whatever
fails on our side is a 4xx, so that the sender's server keeps the mail. `docs/smtp.md` lists every limit.
"""

from __future__ import annotations

import asyncio
import collections
import ipaddress
import itertools
import os
import re
import resource
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from core.errors import BadInput, Refused, Sentence
from core.hookspecs import hookimpl
from core.mail import commands
from core.mail.commands import BadCommand, BadProxy, MailFrom
from core.mail.scanner import DataScanner
from core.reasons import N_, sentence
from core.types import Envelope, Source, SourceContext

MEGABYTE = 1024 * 1024

SMALL = MEGABYTE  # a mail up to this size stays in memory while it comes in
MEMORY = 256 * MEGABYTE  # octets of mail in memory at once, over all connections, until their commit
SILENT = 5.0  # seconds of silence after which a connection makes room for a newcomer when there is no other
CROWDED = 10.0  # seconds of silence that are borne while four fifths of all connections are taken
LINGER = 2.0  # seconds that a client has to close after our last word
DISK = 2048 * MEGABYTE  # octets of mail in temporary files at once
EXCESS = 10  # times the message limit that is read and thrown away before the connection is cut
BUFFER = 65536  # octets of commands that may wait in one connection
LINE = 512  # RFC 5321 4.5.3.1.4, with the end of the line
LINES = {b"MAIL": 512 + 26 + 16 + 10, b"RCPT": 512 + 10, b"XFORWARD": 1024}  # RFC 1870 3, RFC 6152 3, RFC 6531 3.1
RECIPIENTS = 500  # RFC 5321 4.5.3.1.8 asks for 100 at least
WRONG_RECIPIENTS = 20
UNKNOWN_COMMANDS = 5
CALLS = {b"NOOP": 20, b"RSET": 20, b"VRFY": 20, b"RCPT": 2000}  # between two accepted mails
OTHER_CALLS = 100
HOPS = 50  # Received fields; RFC 5321 6.3
HEADER = MEGABYTE  # how far hops are counted
ACCEPT_CACHE = 4096  # answers of accepts(), kept a second
NOT_SMTP = frozenset((b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"TRACE"))

TRY_AGAIN = "451 4.3.0 Something is wrong on our side, please try again later"
NO_ROOM = "452 4.3.1 Not enough room just now, please try again later"
UNKNOWN = "550 5.1.1 There is no such address here"
SHUTTING_DOWN = "421 4.3.2 The service is stopping, please try again later"


# --- settings ---------------------------------------------------------------------------------------------------------


def listed(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{value!r} is no address or network such as 192.0.2.0/24") from None


Network = Annotated[str, BeforeValidator(_network)]


class SmtpSettings(BaseModel):
    """Where to listen, whom to trust and what holds. Times in seconds, sizes in bytes."""

    host: str = Field("127.0.0.1", description="Address to listen on, several by commas; 0.0.0.0 is all of IPv4, :: all of IPv6; a path beginning with / is a UNIX socket.")
    port: int = Field(8025, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    hostname: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,255}$", description="The name the server greets with; empty: the machine's name.")
    tls_cert: str = Field("", description="Certificate chain (PEM file); with it STARTTLS is offered. A renewed file is noticed within a minute.")
    tls_key: str = Field("", description="Private key (PEM file).")
    max_connections: int = Field(12_000, ge=1, le=100_000, description="Most connections at once.")
    max_connections_per_ip: int = Field(20, ge=1, le=100_000, description="Most connections of one client (an IPv6 /64 counts as one). Loopback and trusted peers are free of it.")
    trusted_peers: Annotated[list[Network], BeforeValidator(listed)] = Field(
        default_factory=list, description="Networks (CIDR) of our own relays and proxies: they may say the real client by XFORWARD or PROXY."
    )
    proxy_protocol: bool = Field(False, description="Every connection must begin with a PROXY header (version 1 or 2) of a trusted peer.")
    command_timeout: float = Field(300, gt=0, description="Longest silence between commands (RFC 5321 4.5.3.2.7).")
    session_timeout: float = Field(600, gt=0, description="Longest session without an accepted mail.")
    data_window: float = Field(60, gt=0, description="A mail's speed is looked at over this time, from the second such span on.")
    data_rate: int = Field(500, ge=0, description="Slowest mail, in bytes a second over the window.")
    data_timeout: float = Field(1200, gt=0, description="Longest time for one mail.")
    work_timeout: float = Field(30, gt=0, description="Longest time for our own work before the answer is 'try again'.")
    handshake_timeout: float = Field(10, gt=0, description="Longest TLS handshake, and longest wait for a PROXY header.")
    stop_timeout: float = Field(30, ge=0, description="How long begun mails may go on after a stop.")

    def trusted_networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return [ipaddress.ip_network(network) for network in self.trusted_peers]

    @model_validator(mode="after")
    def _fits_together(self) -> SmtpSettings:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError(N_("tls_cert and tls_key belong together: set both or neither"))
        if self.proxy_protocol and not self.trusted_networks() and not self.host.startswith("/"):
            raise ValueError(N_("proxy_protocol needs trusted_peers: the networks of the proxies"))
        return self


# --- bounds that all connections share --------------------------------------------------------------------------------


class Budget:
    """An amount of something that is taken and given back."""

    __slots__ = ("left", "whole")

    def __init__(self, whole: int) -> None:
        self.whole = self.left = whole

    def grow(self, whole: int) -> None:
        if whole > self.whole:
            self.left += whole - self.whole
            self.whole = whole

    def take(self, amount: int) -> bool:
        if amount > self.left:
            return False
        self.left -= amount
        return True

    def give(self, amount: int) -> None:
        self.left += amount


class Edge:
    """What all connections of one listening port share. Lives in the thread of its event loop."""

    def __init__(self, kind: str, context: SourceContext, loop: asyncio.AbstractEventLoop) -> None:
        settings: SmtpSettings = context.settings
        self.kind = kind
        self.context = context
        self.settings = settings
        self.log = context.log
        self.loop = loop
        self.hostname = settings.hostname or socket.gethostname()
        self.sessions: collections.OrderedDict[Session, None] = collections.OrderedDict()  # who has said something last comes last
        self.room = _room(settings.max_connections)
        self.draining = False
        self.clients: collections.Counter[str] = collections.Counter()
        self.memory = Budget(MEMORY)
        self.disk = Budget(DISK)
        self.tls = _tls(settings)
        self._tls_stamp = _stamp(settings)
        self._tls_checked = time.monotonic()
        self._trusted = settings.trusted_networks()
        self._limit, self._limit_until = 0, 0.0
        self._accepts: dict[str, tuple[float, bool]] = {}
        self._threads = ThreadPoolExecutor(4, thread_name_prefix=f"{kind}-recipients")
        self._finished: collections.deque[tuple[Callable[[Future[Any]], None], Future[Any]]] = collections.deque()
        self._woken = False

    def trusts(self, ip: str | None) -> bool:
        """Whether this peer may speak for others. A peer on a UNIX socket (None) was let in by the file system."""
        if ip is None:
            return True
        address = ipaddress.ip_address(ip)
        return any(address in network for network in self._trusted)

    def crowded(self) -> bool:
        return len(self.sessions) > 0.8 * self.room

    def has_room(self) -> bool:
        """Whether one more may come. In a full house the one that has been silent longest goes: connections that say nothing keep no mail out."""
        if len(self.sessions) < self.room:
            return True
        for session in itertools.islice(self.sessions, 20):
            if session.silent(SILENT):
                del self.sessions[session]
                session.make_room()
                return True
        return False

    def limit(self) -> int:
        """The message limit in bytes, asked for at most once a second."""
        now = time.monotonic()
        if now >= self._limit_until:
            self._limit, self._limit_until = self.context.intake.message_limit, now + 1
            self.memory.grow(2 * self._limit)  # whatever the admin allows, one such mail can pass
        return self._limit

    def known(self, address: str) -> bool | None:
        """A fresh answer of accepts(), or None."""
        found = self._accepts.get(address)
        return found[1] if found is not None and found[0] > time.monotonic() else None

    def ask(self, address: str, then: Callable[[Future[bool]], None]) -> None:
        """Ask the intake in a thread, because it may ask the database; known and unknown addresses go the same way."""

        def remember(future: Future[bool]) -> None:
            if future.exception() is None:
                if len(self._accepts) >= ACCEPT_CACHE:
                    self._accepts.clear()
                self._accepts[address] = (time.monotonic() + 1, future.result())
            then(future)

        self.after(self._threads.submit(self.context.intake.accepts, address), remember)

    def after(self, future: Future[Any], then: Callable[[Future[Any]], None]) -> None:
        """Call `then(future)` in the event loop when the future is done. One wake-up serves a whole group commit."""

        def done(future: Future[Any]) -> None:
            self._finished.append((then, future))
            if not self._woken:
                self._woken = True
                try:
                    self.loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    pass  # the loop is closed: nobody waits any more

        future.add_done_callback(done)

    def _deliver(self) -> None:
        self._woken = False
        while self._finished:
            then, future = self._finished.popleft()
            try:
                then(future)
            except Exception:
                self.log.exception("a finished answer could not be delivered")

    def tick(self, now: float) -> None:
        """Look after the clocks of every connection, and after a renewed certificate."""
        for session in list(self.sessions):
            session.check(now)
        if now - self._tls_checked >= 60:
            self._tls_checked = now
            self._renew_tls()

    def _renew_tls(self) -> None:
        stamp = _stamp(self.settings)
        if stamp == self._tls_stamp:
            return
        try:
            self.tls = _tls(self.settings)
        except (OSError, ssl.SSLError) as error:
            self.context.report(Sentence(N_("The renewed certificate cannot be used: %(why)s. The former one stays in use."), why=str(error)))
            return
        self._tls_stamp = stamp
        self.context.report("")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _tls(settings: SmtpSettings) -> ssl.SSLContext | None:
    if not settings.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def _stamp(settings: SmtpSettings) -> tuple[float, ...]:
    try:
        return tuple(os.stat(path).st_mtime for path in (settings.tls_cert, settings.tls_key) if path)
    except OSError:
        return ()


# --- one mail while it comes in ---------------------------------------------------------------------------------------


class Incoming:
    """The text of one mail: in memory while small, then in an unnamed temporary file that no crash can leave behind.

    `refusal` is "" or the reply that the mail gets at its end; then its octets are read and thrown away.
    """

    __slots__ = ("_disk", "_edge", "_file", "_limit", "_memory", "_parts", "began", "received", "refusal", "scanner", "size", "window", "window_octets")

    def __init__(self, edge: Edge, limit: int, now: float) -> None:
        self._edge = edge
        self._limit = limit
        self._parts: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._memory = self._disk = 0  # octets taken from the shared budgets
        self.scanner = DataScanner()
        self.size = 0  # clean octets: RFC 1870 5 counts neither the final dot nor doubled ones
        self.received = 0  # octets on the wire
        self.refusal = ""
        self.began = self.window = now
        self.window_octets: int | None = None  # received when the window began; None in the first one, which is free

    def feed(self, chunk: bytes) -> bool:
        """True when the mail has ended."""
        self.received += len(chunk)
        clean = self.scanner.feed(chunk)
        if clean and not self.refusal:
            self._keep(clean)
        return self.scanner.done

    def _keep(self, clean: bytes) -> None:
        self.size += len(clean)
        if self.size > self._limit:
            self._refuse(f"552 5.3.4 The mail is larger than {self._limit} bytes")
        elif self._file is None and self.size <= SMALL and self._edge.memory.take(len(clean)):
            self._memory += len(clean)
            self._parts.append(clean)
        elif self._edge.disk.take(self._memory + len(clean)):
            self._disk += self._memory + len(clean)
            self._write(clean)
        else:
            self._refuse(NO_ROOM)

    def _write(self, clean: bytes) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="dropcopy-")  # noqa: SIM115
                self._file.writelines(self._parts)
                self._parts = []
                self._edge.memory.give(self._memory)
                self._memory = 0
            self._file.write(clean)
        except OSError:
            self._edge.log.exception("a mail that comes in could not be written to a temporary file")
            self._refuse(NO_ROOM)

    def _refuse(self, reply: str) -> None:
        self.refusal = reply
        self.drop()

    def raw(self) -> bytes:
        """The whole mail. It counts against the memory of all until the caller gives its length back."""
        if self._file is None:
            raw = b"".join(self._parts)
            self._memory = 0
        elif self._edge.memory.take(self.size):
            try:
                self._file.seek(0)
                raw = self._file.read()
            except OSError:
                self._edge.memory.give(self.size)
                raise
        else:
            self._refuse(NO_ROOM)
            return b""
        self.drop()
        return raw

    def drop(self) -> None:
        """Let go of everything that is kept. May be called again."""
        self._edge.memory.give(self._memory)
        self._edge.disk.give(self._disk)
        self._memory = self._disk = 0
        self._parts = []
        if self._file is not None:
            self._file.close()
            self._file = None

    def too_slow(self, now: float) -> bool:
        """Judge the speed window by window; an honest slow line passes, a mail kept open by single octets does not."""
        settings = self._edge.settings
        if now - self.began > settings.data_timeout:
            return True
        if now - self.window < settings.data_window:
            return False
        octets = self.window_octets
        slow = octets is not None and self.received - octets < settings.data_rate * (now - self.window)
        self.window, self.window_octets = now, self.received
        return slow


_BLANK_LINE = re.compile(rb"\n\r?\n")  # bare line feeds too: a body must not be taken for the header
_RECEIVED = re.compile(rb"(?:\A|\n)received[ \t]*:", re.IGNORECASE)


def hops(raw: bytes) -> int:
    """How many Received fields the header block has, looked for in its first megabyte."""
    blank = _BLANK_LINE.search(raw, 0, HEADER)
    return sum(1 for _ in _RECEIVED.finditer(raw, 0, blank.start() if blank else HEADER))


# --- one connection ---------------------------------------------------------------------------------------------------

# What a connection does now. Only in COMMANDS are commands taken; in BUSY they wait for an answer of ours.
PROXY, COMMANDS, BUSY, DATA, HANDSHAKE, CLOSED = range(6)


class Session(asyncio.Protocol):
    """One connection, from the greeting to its end.

    `_VERBS` maps a verb to its method, which gets the argument and returns the reply, or "" when the reply comes later
    (then the method has changed `_mode`).
    """

    __slots__ = (
        "_address", "_buffer", "_calls", "_choked", "_client_key", "_deadline", "_edge", "_eof", "_handed", "_helo", "_incoming", "_limit", "_mail", "_mode",
        "_out", "_peer", "_rcpts", "_since", "_skipping", "_successes", "_ticket", "_tls", "_transport", "_trusted", "_unknown", "_upgrade_task", "_wrong", "_xforward",
    )  # fmt: skip
    _VERBS: ClassVar[dict[bytes, Callable[[Any, bytes], str]]]
    _HELLO: ClassVar[str] = "EHLO"

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._mode = COMMANDS
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._out: list[str] = []  # replies that wait for the next write
        self._skipping = False  # inside a command line that is too long
        self._choked = False  # the client does not read our replies
        self._eof = False
        self._peer: str | None = None  # who is connected to us
        self._address: str | None = None  # whom a trusted peer speaks for, else the peer
        self._client_key = ""
        self._trusted = False
        self._tls = False
        self._helo: str | None = None
        self._xforward: dict[str, str | None] = {}
        self._mail: MailFrom | None = None
        self._limit = 0
        self._rcpts: dict[str, str] = {}  # one entry a mailbox
        self._successes = 0  # accepted RCPT commands, doubles too: LMTP answers each
        self._incoming: Incoming | None = None
        self._handed = False  # the mail is with the intake
        self._ticket: object | None = None  # names the one answer that is waited for
        self._calls: dict[bytes, int] = {}
        self._unknown = 0
        self._wrong = 0
        self._upgrade_task: asyncio.Task[None] | None = None
        self._since = self._deadline = time.monotonic()

    # --- the connection ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        edge = self._edge
        peer = transport.get_extra_info("peername")
        self._peer = commands.plain_ip(peer[0]) if isinstance(peer, tuple) and peer else None
        self._trusted = edge.trusts(self._peer)
        if edge.draining or not edge.has_room():
            self._part("421 4.7.0 Too many connections, please try again later")
            return
        edge.sessions[self] = None
        if not edge.settings.proxy_protocol:
            self._greet(self._peer)
        elif self._trusted:
            self._mode = PROXY
            self._deadline = time.monotonic() + edge.settings.handshake_timeout
        else:
            edge.log.warning("%s: refused, only trusted peers may connect to the PROXY port", self._peer)
            self._abort()

    def _greet(self, address: str | None) -> None:
        edge = self._edge
        self._address = address
        key = _client(address)
        if key and (edge.settings.proxy_protocol or not self._trusted):
            if edge.clients[key] >= edge.settings.max_connections_per_ip:
                self._part("421 4.7.0 Too many connections from your address, please try again later")
                return
            edge.clients[key] += 1
            self._client_key = key
        self._mode = COMMANDS
        self._out.append(f"220 {edge.hostname} {'LMTP' if self._HELLO == 'LHLO' else 'ESMTP'} Dropcopy")
        self._flush()
        self._deadline = time.monotonic() + edge.settings.command_timeout

    def connection_lost(self, error: Exception | None) -> None:
        self._mode = CLOSED
        self._ticket = None
        self._edge.sessions.pop(self, None)
        if self._client_key:
            self._edge.clients[self._client_key] -= 1
            if not self._edge.clients[self._client_key]:
                del self._edge.clients[self._client_key]
            self._client_key = ""
        if self._incoming is not None:
            # RFC 5321 4.1.1.4: a mail without its end is no mail.
            self._incoming.drop()
            self._incoming = None

    def eof_received(self) -> bool:
        """A client that only closes its sending side still gets the answers it waits for (not over TLS, which cannot)."""
        self._eof = True
        return self._mode == BUSY and not self._tls

    def pause_writing(self) -> None:
        self._choked = True

    def resume_writing(self) -> None:
        self._choked = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        try:
            self._take(data)
        except Exception:
            self._edge.log.exception("%s: a command failed", self._address)
            self._part(TRY_AGAIN.replace("451", "421"))

    def _take(self, data: bytes) -> None:
        if self._mode == CLOSED:
            return
        if self in self._edge.sessions:
            self._edge.sessions.move_to_end(self)
        if self._mode == DATA:
            incoming = self._incoming
            assert incoming is not None
            if incoming.feed(data):
                self._buffer += incoming.scanner.rest
                self._mail_ended(incoming)
            elif incoming.received > EXCESS * self._limit + MEGABYTE:
                self._part("421 4.3.4 The mail does not end")
            return
        self._buffer += data
        if self._mode == PROXY:
            self._read_proxy()
        self._pump()

    def _read_proxy(self) -> None:
        try:
            found = commands.read_proxy(bytes(self._buffer[:4096]))
        except BadProxy as error:
            self._edge.log.warning("%s: no PROXY header: %s", self._peer, error)
            self._abort()
            return
        if found is not None:
            address, length = found
            del self._buffer[:length]
            self._trusted = address is not None and self._edge.trusts(address)  # a proxy speaks for strangers
            self._greet(address)

    def _pump(self) -> None:
        """Answer every command that is there, with one write."""
        while self._mode == COMMANDS and not self._choked and self._buffer:
            line = self._line()
            if line is None:
                break
            reply = self._answer(line)
            if reply:
                self._out.append(reply)
        self._flush()
        if self._mode == CLOSED:
            return
        if len(self._buffer) > BUFFER:
            self._transport.pause_reading()
        elif self._mode != HANDSHAKE:
            self._transport.resume_reading()
        if self._eof and self._mode == COMMANDS:
            self._close()

    def _line(self) -> bytes | None:
        """The next command line with its end, b"" for one that is too long, None when none is complete."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > BUFFER:
                self._skipping = True
            if self._skipping:
                self._buffer.clear()
            elif self._buffer[0] < 0x20 and self._buffer[0] not in b"\r\t":
                self._part("500 5.5.2 This is a mail server")  # a TLS greeting, or noise that may never bring a line end
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if self._skipping:
            self._skipping = False
            return b""
        return line

    # --- replies ---

    def _flush(self) -> None:
        if self._out:
            octets = ("\r\n".join(self._out) + "\r\n").encode("ascii", "replace")
            self._out.clear()
            self._transport.write(octets)

    def silent(self, seconds: float) -> bool:
        """Whether the client has said nothing for so long, with no mail under way."""
        heard = self._deadline - self._edge.settings.command_timeout
        return self._mode == COMMANDS and self._incoming is None and time.monotonic() - heard > seconds

    def make_room(self) -> None:
        self._part("421 4.7.0 Somebody else needs this connection, please come again")

    def _part(self, reply: str) -> None:
        """Say a last word and close; what the client still sends is thrown away, for a reset would destroy the last word."""
        self._out.append(reply)
        self._flush()
        if self._tls or self._eof or self not in self._edge.sessions:
            self._close()
            return
        self._mode = CLOSED
        self._ticket = None
        self._deadline = time.monotonic() + LINGER
        self._buffer.clear()
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone
            self._abort()
            return
        self._transport.resume_reading()

    def _close(self) -> None:
        self._mode = CLOSED
        self._ticket = None
        self._transport.close()

    def _abort(self) -> None:
        self._mode = CLOSED
        self._ticket = None
        self._transport.abort()

    # --- commands ---

    def _answer(self, line: bytes) -> str:
        self._deadline = time.monotonic() + self._edge.settings.command_timeout
        if not line:
            return self._strange("500 5.5.2 The line is too long")
        if line[-2:] != b"\r\n":
            # RFC 5321 2.3.8: only CR LF ends a line. What follows a bare LF may be smuggled: nothing more is taken.
            self._part("501 5.5.2 A line must end with CR LF")
            return ""
        verb, _, argument = line[:-2].partition(b" ")
        verb = verb.upper()
        if verb in NOT_SMTP or (verb and not verb.isalpha()):
            self._part("500 5.5.2 This is a mail server")
            return ""
        if len(line) > LINES.get(verb, LINE):
            return self._strange("500 5.5.2 The line is too long")
        if self._edge.draining and self._mail is None:
            self._part(SHUTTING_DOWN)
            return ""
        method = self._VERBS.get(verb)
        if method is None:
            return self._strange("500 5.5.1 The command is not known")
        calls = self._calls[verb] = self._calls.get(verb, 0) + 1
        if calls > CALLS.get(verb, OTHER_CALLS):
            self._part("421 4.7.0 Too many commands without a mail")
            return ""
        try:
            return method(self, argument.strip(b" "))
        except BadCommand as bad:
            return bad.reply
        except Exception:  # the intake is in trouble, or we are: never a reason to bounce somebody's mail
            self._edge.log.exception("%s: %s failed", self._address, verb.decode())
            return TRY_AGAIN

    def _strange(self, reply: str) -> str:
        self._unknown += 1
        if self._unknown >= UNKNOWN_COMMANDS:
            self._part("421 4.7.0 Too many unknown commands")
            return ""
        return reply

    def _hello(self, argument: bytes) -> str:
        self._helo = commands.read_hello(argument)
        self._reset()  # RFC 5321 4.1.4
        return ""

    def _on_helo(self, argument: bytes) -> str:
        self._hello(argument)
        return f"250 {self._edge.hostname}"

    def _on_ehlo(self, argument: bytes) -> str:
        self._hello(argument)
        edge = self._edge
        lines = [edge.hostname, *self._extensions(), f"SIZE {edge.limit()}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if edge.tls is not None and not self._tls:
            lines.append("STARTTLS")
        if self._trusted:
            lines.append("XFORWARD " + " ".join(commands.XFORWARD_ATTRIBUTES))
        return "\r\n".join([*("250-" + line for line in lines[:-1]), "250 " + lines[-1]])

    def _extensions(self) -> tuple[str, ...]:
        return ()

    def _on_mail(self, argument: bytes) -> str:
        if self._helo is None:
            return f"503 5.5.1 Send {self._HELLO} first"
        if self._mail is not None:
            return "503 5.5.1 The mail has a sender already"
        mail = commands.read_mail(argument)
        self._limit = self._edge.limit()
        if mail.size is not None and mail.size > self._limit:
            return f"552 5.3.4 The mail is larger than {self._limit} bytes"
        self._mail = mail
        return "250 2.1.0 OK"

    def _on_rcpt(self, argument: bytes) -> str:
        if self._mail is None:
            return "503 5.5.1 Send MAIL first"
        if self._successes >= RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        address = commands.read_rcpt(argument, self._mail.utf8)
        known = self._edge.known(address)
        if known is not None:
            return self._judge(address, known)
        ticket = self._wait()
        self._edge.ask(address, lambda future: self._told(ticket, address, future))
        return ""

    def _told(self, ticket: object, address: str, future: Future[bool]) -> None:
        if ticket is not self._ticket:
            return
        self._resume()
        try:
            reply = self._judge(address, future.result())
        except Refused as refused:
            reply = _refusal(refused)
        except Exception:
            self._edge.log.exception("%s: a recipient could not be looked up", self._address)
            reply = TRY_AGAIN
        if reply:
            self._out.append(reply)
        self._pump()

    def _judge(self, address: str, known: bool) -> str:
        if known:
            self._rcpts.setdefault(address.lower() if address.isascii() else address, address)
            self._successes += 1
            return "250 2.1.5 OK"
        self._wrong += 1
        if self._wrong > WRONG_RECIPIENTS and not self._trusted:
            self._part("421 4.7.0 Too many wrong recipients")
            return ""
        return UNKNOWN

    def _on_data(self, argument: bytes) -> str:
        if self._mail is None or not self._rcpts:
            return "503 5.5.1 Send MAIL and RCPT first"
        if argument:
            return "501 5.5.4 DATA takes no argument"
        if self._buffer:
            # RFC 2920 3.1: DATA ends a group. What was sent before the 354 may be meant as commands or as text: take neither.
            self._part("554 5.5.0 Text came before the 354")
            return ""
        self._incoming = Incoming(self._edge, self._limit, time.monotonic())
        self._mode = DATA
        return "354 End the mail with <CR><LF>.<CR><LF>"

    def _on_bdat(self, argument: bytes) -> str:
        # RFC 3030 is not offered; the octets that follow are text and must not be read as commands.
        self._part("502 5.5.1 CHUNKING is not offered")
        return ""

    def _on_rset(self, argument: bytes) -> str:
        self._reset()
        return "250 2.0.0 OK"

    def _on_noop(self, argument: bytes) -> str:
        return "250 2.0.0 OK"

    def _on_vrfy(self, argument: bytes) -> str:
        # RFC 5321 7.3: the same for every name
        return "252 2.5.0 Send the mail and see"

    def _on_help(self, argument: bytes) -> str:
        return "214 2.0.0 " + " ".join(sorted(verb.decode() for verb in self._VERBS))

    def _on_quit(self, argument: bytes) -> str:
        self._part("221 2.0.0 Bye")
        return ""

    def _not_offered(self, argument: bytes) -> str:
        return "502 5.5.1 The command is not offered"

    def _on_xforward(self, argument: bytes) -> str:
        if not self._trusted:
            return "550 5.7.1 Only a trusted relay may use XFORWARD"
        if self._mail is not None:
            return "503 5.5.1 XFORWARD comes before MAIL"
        self._xforward |= commands.read_xforward(argument)
        return "250 2.0.0 OK"

    # --- TLS (RFC 3207) ---

    def _on_starttls(self, argument: bytes) -> str:
        if self._edge.tls is None:
            return "502 5.5.1 STARTTLS is not offered"
        if self._tls:
            return "503 5.5.1 TLS is in use already"
        if argument:
            return "501 5.5.4 STARTTLS takes no argument"
        self._transport.pause_reading()
        self._out.append("220 2.0.0 Ready for TLS")
        self._flush()
        self._buffer.clear()  # whatever came in plain text after STARTTLS was not protected: it is not taken
        self._mode = HANDSHAKE
        self._deadline = time.monotonic() + self._edge.settings.handshake_timeout + 5
        self._upgrade_task = self._edge.loop.create_task(self._upgrade(self._edge.tls))
        return ""

    async def _upgrade(self, context: ssl.SSLContext) -> None:
        timeout = self._edge.settings.handshake_timeout
        try:
            transport = await self._edge.loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=timeout, ssl_shutdown_timeout=timeout
            )
        except (OSError, ssl.SSLError) as error:
            self._edge.log.info("%s: TLS handshake failed: %s", self._address, error)
            self._abort()
            self.connection_lost(error)
            return
        if transport is None or self._mode != HANDSHAKE:
            self._abort()
            return
        self._transport = transport
        self._tls = True
        self._helo = None  # RFC 3207 4.2: everything said before is forgotten
        self._reset()
        self._resume()
        self._pump()

    # --- the mail ---

    def _reset(self) -> None:
        """Forget the transaction, and what a relay said about its client."""
        self._mail = None
        self._rcpts = {}
        self._successes = 0
        self._xforward = {}

    def _wait(self) -> object:
        """Take no command until the answer to the returned ticket is there."""
        self._mode = BUSY
        self._deadline = time.monotonic() + self._edge.settings.work_timeout
        self._ticket = object()
        return self._ticket

    def _resume(self) -> None:
        self._mode = COMMANDS
        self._handed = False
        self._ticket = None
        self._deadline = time.monotonic() + self._edge.settings.command_timeout

    def _mail_ended(self, incoming: Incoming) -> None:
        self._incoming = None
        raw = b""
        try:
            raw = b"" if incoming.refusal else incoming.raw()
        except OSError:
            self._edge.log.exception("a mail that came in could not be read back")
            incoming.refusal = NO_ROOM
        finally:
            incoming.drop()
        if incoming.refusal or not raw:
            self._concluded(incoming.refusal or "554 5.6.0 The mail is empty")
        elif hops(raw) > HOPS:
            self._edge.memory.give(len(raw))
            self._concluded("554 5.4.6 The mail has been through too many servers; it goes in circles")
        else:
            self._hand_over(raw, self._envelope(incoming))
            return
        self._pump()

    def _envelope(self, incoming: Incoming) -> Envelope:
        assert self._mail is not None
        # A relay that forwards names its client wholly: what it leaves out is unknown, never the relay's own.
        client_ip, helo = (self._xforward.get("ADDR"), self._xforward.get("HELO")) if self._xforward else self._own_client()
        return Envelope(
            source=self._edge.kind,
            rcpt_to=tuple(self._rcpts.values()),
            mail_from=self._mail.address,
            client_ip=client_ip,
            helo=helo,
            received_at=self._edge.context.clock(),
            instance=self._edge.context.instance,
            bare_cr=incoming.scanner.bare_cr,
            bare_lf=incoming.scanner.bare_lf,
        )

    def _own_client(self) -> tuple[str | None, str | None]:
        """(IP, HELO name) of whoever handed the mail to us, when no relay said more."""
        return self._address, self._helo

    def _hand_over(self, raw: bytes, envelope: Envelope) -> None:
        """Give the mail to the intake. From here on it goes its way even when the client does not wait for the answer."""
        edge, size, ticket = self._edge, len(raw), self._wait()
        self._handed = True

        def settled(future: Future[int]) -> None:
            edge.memory.give(size)
            self._settled(ticket, size, future)

        try:
            future = edge.context.intake.submit(raw, envelope)
        except Exception as error:
            future = Future()
            future.set_exception(error)
        edge.after(future, settled)

    def _settled(self, ticket: object, size: int, future: Future[int]) -> None:
        error = future.exception()
        if error is None:
            reply = f"250 2.0.0 Kept as {future.result()}"
            self._edge.log.info("kept %d: %d bytes from %s", future.result(), size, self._address)
        elif isinstance(error, Refused):
            reply = _refusal(error)
            self._edge.log.info("refused a mail of %d bytes from %s: %s", size, self._address, error.code)
        else:
            reply = TRY_AGAIN
            self._edge.log.error("%s: a mail could not be kept", self._address, exc_info=error)
        if ticket is self._ticket:
            self._resume()
            if error is None:
                self._since = time.monotonic()
                self._calls = {}
            self._concluded(reply)
            self._pump()

    def _concluded(self, reply: str) -> None:
        """The end of a transaction with its answer."""
        self._conclude(reply)
        self._reset()
        self._resume()
        if self._edge.draining:
            self._part(SHUTTING_DOWN)

    def _conclude(self, reply: str) -> None:
        self._out.append(reply)

    # --- clocks ---

    def check(self, now: float) -> None:
        """Called about once a second."""
        settings = self._edge.settings
        if self._mode == DATA:
            if self._incoming is not None and self._incoming.too_slow(now):
                self._part("421 4.4.2 The mail comes too slowly")
        elif now > self._deadline or (self._mode == COMMANDS and self._edge.crowded() and now > self._deadline - settings.command_timeout + CROWDED):
            self._late()
        elif self._mode == COMMANDS and now - self._since > settings.session_timeout:
            self._part("421 4.4.2 The session is too long without a mail")

    def _late(self) -> None:
        if self._mode == BUSY:
            # Our own work is late. The mail may still be kept; the sender's second try is then known as the same mail.
            self._edge.log.error("%s: no answer from the intake in time", self._address)
            if self._handed:
                self._concluded(TRY_AGAIN)
            else:
                self._resume()
                self._out.append(TRY_AGAIN)
            self._pump()
        elif self._mode == COMMANDS:
            self._part("421 4.4.2 Timed out waiting for a command")
        else:
            self._abort()

    def drain(self) -> None:
        """Part now, unless a mail has begun."""
        if self._mode in (COMMANDS, PROXY) and self._mail is None:
            self._part(SHUTTING_DOWN)

    def abort(self) -> None:
        self._abort()


Session._VERBS = {
    b"HELO": Session._on_helo,
    b"EHLO": Session._on_ehlo,
    b"MAIL": Session._on_mail,
    b"RCPT": Session._on_rcpt,
    b"DATA": Session._on_data,
    b"RSET": Session._on_rset,
    b"NOOP": Session._on_noop,
    b"VRFY": Session._on_vrfy,
    b"HELP": Session._on_help,
    b"QUIT": Session._on_quit,
    b"STARTTLS": Session._on_starttls,
    b"XFORWARD": Session._on_xforward,
    b"BDAT": Session._on_bdat,
    b"AUTH": Session._not_offered,
    b"EXPN": Session._not_offered,
    b"ETRN": Session._not_offered,
}


def _client(address: str | None) -> str:
    """What counts as one client: an IPv4 address, an IPv6 /64; "" for loopback and for a connection without address."""
    if address is None:
        return ""
    ip = ipaddress.ip_address(address)
    if ip.is_loopback:
        return ""
    return address if ip.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _refusal(refused: Refused) -> str:
    """The reply for what the intake refuses, in the words of its reason."""
    if refused.permanent:
        code = {"too-large": "552 5.3.4", "unknown-recipient": "550 5.1.1"}.get(refused.code, "550 5.7.1")
    else:
        code = {"disk-full": "451 4.3.1"}.get(refused.code, "451 4.3.0")
    text = "".join(letter if letter.isprintable() else "?" for letter in sentence(refused.code, refused.params))
    return f"{code} {text[:300]}"


# --- the source ---------------------------------------------------------------------------------------------------------


def serve(kind: str, session: type[Session], context: SourceContext, stop: threading.Event) -> None:
    """Listen until `stop` is set; then refuse new connections and let begun mails end. Raises OSError when the port is taken."""
    asyncio.run(_serve(kind, session, context, stop))


async def _serve(kind: str, session: type[Session], context: SourceContext, stop: threading.Event) -> None:
    settings: SmtpSettings = context.settings
    loop = asyncio.get_running_loop()
    _raise_file_limit(settings.max_connections)
    edge = Edge(kind, context, loop)
    try:
        server = await _listen(loop, lambda: session(edge), settings)
    except OSError as error:
        edge.close()
        context.report(Sentence(N_("%(kind)s cannot listen on %(host)s port %(port)s: %(why)s."), kind=kind.upper(), host=settings.host, port=settings.port, why=error.strerror or error))
        raise
    port = 0 if settings.host.startswith("/") else server.sockets[0].getsockname()[1]
    context.state.set(port=port)
    context.report("")
    context.log.info("%s listens on %s port %d", kind.upper(), settings.host, port)
    # Clocks need no finer grain than a quarter of the shortest of them; a stop is noticed in a twentieth of a second.
    grain = min(1.0, min(settings.command_timeout, settings.session_timeout, settings.data_window, settings.work_timeout, settings.handshake_timeout) / 4)
    await _tick(edge, grain, stop.is_set)
    server.close()
    edge.draining = True
    for one in list(edge.sessions):
        one.drain()
    until = time.monotonic() + settings.stop_timeout
    await _tick(edge, grain, lambda: not edge.sessions or time.monotonic() > until)
    for one in list(edge.sessions):
        one.abort()
    edge.close()
    context.log.info("%s has stopped", kind.upper())


async def _tick(edge: Edge, grain: float, enough: Callable[[], bool]) -> None:
    ticked = time.monotonic()
    while not enough():
        await asyncio.sleep(min(grain, 0.05))
        now = time.monotonic()
        if now - ticked >= grain:
            ticked = now
            edge.tick(now)


async def _listen(loop: asyncio.AbstractEventLoop, factory: Callable[[], Session], settings: SmtpSettings) -> asyncio.Server:
    if not settings.host.startswith("/"):
        return await loop.create_server(factory, listed(settings.host) or None, settings.port, backlog=512)
    server = await loop.create_unix_server(factory, settings.host, backlog=512)
    os.chmod(settings.host, 0o660)  # the mail server's user gets in by the group of the socket's folder
    return server


def _raise_file_limit(connections: int) -> None:
    """Each connection is an open file, and each larger mail a second one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _room(connections: int) -> int:
    """How many connections there can be: as many as are wanted, while a quarter of the open files (at most 512) stays for mails."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else min(connections, max(soft - min(512, soft // 4), 1))


def try_out(context: SourceContext) -> str:
    """Connect to the listening port and read its greeting. Raises BadInput when nothing answers."""
    settings: SmtpSettings = context.settings
    first = settings.host.partition(",")[0].strip()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(first, first)  # noqa: S104
    port = settings.port or context.state.get("port", 0)
    try:
        if host.startswith("/"):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(5)
            connection.connect(host)
        else:
            connection = socket.create_connection((host, port), timeout=5)
        with connection:
            greeting = _greeting(connection, proxied=settings.proxy_protocol)
    except OSError as error:
        raise BadInput("port", N_("Nothing answers on %(host)s port %(port)s: %(error)s."), host=host, port=port, error=error) from None
    if settings.proxy_protocol and not greeting:
        return "The port refuses this machine, because it is none of the trusted peers. That is right when the proxy runs elsewhere."
    if not greeting:
        raise BadInput("port", N_("The connection to %(host)s port %(port)s was closed without a word; see the log."), host=host, port=port)
    return Sentence(N_("The port answers: %(greeting)s"), greeting=greeting)


def _greeting(connection: socket.socket, *, proxied: bool) -> str:
    """What the port says first; "" when it ends the connection. `proxied`: it waits for a PROXY header before."""
    try:
        if proxied:
            connection.sendall(b"PROXY UNKNOWN\r\n")
        greeting = connection.recv(512).decode("ascii", "replace").strip()
        connection.sendall(b"QUIT\r\n")
    except ConnectionError:
        return ""
    return greeting


def run(context: SourceContext, stop: threading.Event) -> None:
    serve("smtp", Session, context, stop)


@hookimpl
def register_sources() -> list[Source]:
    return [Source("smtp", "SMTP", settings=SmtpSettings, run=run, test=try_out)]
