"""IMAP: mail is fetched from a mailbox, at once where the server can IDLE, else every few minutes.

What is done is known by folder, UIDVALIDITY and UID, never by the Seen flag, so other clients may read and flag what they
like, and BODY.PEEK leaves no trace of us. Every mail goes one way: its size, its bytes, the intake's durable commit, then the
folder's next UID is written down; a crash at any point means at most a second fetch of the same key.

    run(context, stop)  the loop: fetch, wait in IDLE, and on trouble come back after 5 s, 10 s, … up to 15 min
    poll(context)       once, now; gives a sentence
    test(context)       signs in and looks at the folders; gives a sentence or raises BadInput

State (core.types.State): `folder NAME` holds a Progress, `secret_oauth` the present tokens.
Rules: docs/imap.md. Standards: RFC 3501, 2177 (IDLE), 4315 (UIDPLUS), 6851 (MOVE), 7628 and Google's XOAUTH2.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import imaplib
import ipaddress
import json
import random
import socket
import ssl
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError, ProtocolError
from pydantic import BaseModel, Field, SecretStr, model_validator

from core.errors import BadInput, HttpTrouble, Refused, Sentence, sentence_of, together
from core.hookspecs import hookimpl
from core.mail import webform
from core.reasons import N_
from core.types import Envelope, Source, SourceContext

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0  # seconds
BACKOFF, BACKOFF_MOST = 5.0, 900.0  # seconds after the first and after the latest trouble in a row
SIGN_IN_PAUSE = 3600.0  # seconds: a password that was refused is not tried again and again
IDLE_SLICE = 1.0  # seconds between looks at `stop`
IDLE_MOST = 25 * 60.0  # seconds: servers close after 30 min (RFC 2177)
WINDOW = 10_000  # messages a SEARCH looks at: one answer line stays far below imaplib's limit of 1 MB
SIZES = 100  # messages a FETCH of sizes names
SIZE_ITEMS = ["RFC822.SIZE", "INTERNALDATE"]
BATCH_MAILS, BATCH_BYTES = 50, 2 << 20  # fetched with one command; a larger mail comes by itself, in pieces
PIECE = 1 << 20
ATTEMPTS = 5  # of a mail that cannot be fetched, with growing pauses
LISTED = 1000  # UIDs remembered of each kind of trouble
COMMIT_TIMEOUT = 60.0  # seconds for the intake
TOKEN_MARGIN = 300  # seconds a token must still be good for

TOKEN_URLS = {
    "google": "https://oauth2.googleapis.com/token",
    "microsoft": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
}
SCOPES = {"microsoft": "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"}
# What a server says when it is busy and not when the password is wrong (RFC 5530 3).
BUSY = ("[LIMIT]", "[UNAVAILABLE]", "[INUSE]", "[SERVERBUG]", "[CONTACTADMIN]")


class Settings(BaseModel):
    host: str = Field(title="Server", description="For example imap.example.com.", min_length=1, max_length=255)
    port: int = Field(993, title="Port", ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = Field("tls", title="Encryption", description="None is for servers in the own network only.")
    certificate: str = Field("", title="Own certificate authority", description="PEM, only when the server's certificate comes from an own authority.")
    username: str = Field(title="User name", min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")
    sign_in: Literal["password", "google", "microsoft", "oauth"] = Field(
        "password", title="Sign in with", description="Google and Microsoft ask for OAuth; oauth is for other providers."
    )
    password: SecretStr = Field(SecretStr(""), title="Password")
    client_id: str = Field("", title="OAuth client ID")
    client_secret: SecretStr = Field(SecretStr(""), title="OAuth client secret")
    refresh_token: SecretStr = Field(SecretStr(""), title="OAuth refresh token")
    tenant: str = Field("common", title="Microsoft tenant", pattern=r"^[A-Za-z0-9.-]{1,100}$")
    token_url: str = Field("", title="OAuth token address", description="Only for other providers.")
    folders: str = Field("INBOX", title="Folders", description="Several with commas between.", pattern=r"^[^\x00-\x1f\x7f]+$")
    start: Literal["all", "new"] = Field("all", title="Mail that is there already", description="all: it is fetched too. new: only what arrives from now on.")
    afterwards: Literal["leave", "flag", "move", "delete"] = Field("leave", title="Afterwards", description="What happens to a mail that was kept here.")
    flag: str = Field("Dropcopy", title="Flag", description="Set on a mail that was kept, when the choice is flag.", pattern=r"^\\?[A-Za-z0-9$_-]{1,60}$")
    move_to: str = Field(
        "", title="Move to", description="The folder, when the choice is move. It is made when it is missing.", pattern=r"^[^\x00-\x1f\x7f]*$"
    )
    recipient_fields: str = Field(
        "X-Original-To, Delivered-To, Envelope-To, X-Envelope-To, X-Delivered-To",
        title="Recipient fields",
        description="Where the mail server writes to whom it delivered, best first. The first that names one of our addresses counts.",
    )
    own_hops: int = Field(
        0,
        title="Own servers in the path",
        description="How many Received fields your own servers write above the recipient field. What stands below may be the sender's and is not believed.",
        ge=0,
        le=10,
    )
    default_recipient: str = Field(
        "", title="Otherwise file to", description="The drop address for mail whose recipient field is missing or names only the mailbox itself."
    )
    poll_minutes: int = Field(5, title="Minutes between looks", ge=1, le=1440)

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if self.sign_in == "password" and not self.password.get_secret_value():
            raise ValueError(N_("Enter the password, or choose OAuth."))
        if self.sign_in != "password" and not (self.client_id and self.refresh_token.get_secret_value()):
            raise ValueError(N_("OAuth needs a client ID and a refresh token."))
        if self.sign_in == "oauth" and urlsplit(self.token_url).hostname is None:
            raise ValueError(N_("Enter the OAuth token address."))
        if self.afterwards == "move" and not self.move_to.strip():
            raise ValueError(N_("Enter the folder to move to."))
        if self.afterwards == "move" and self.move_to.strip() in self.folder_list():
            raise ValueError(N_("Mail cannot be moved to a folder that is fetched."))
        if not self.folder_list():
            raise ValueError(N_("Enter at least one folder."))
        return self

    def folder_list(self) -> list[str]:
        return list(dict.fromkeys(name.strip() for name in self.folders.split(",") if name.strip()))


_NOT_LET = {
    "flag": N_("The mail was fetched, but the server did not let us flag it in %(folder)s: %(why)s"),
    "move": N_("The mail was fetched, but the server did not let us move it in %(folder)s: %(why)s"),
    "delete": N_("The mail was fetched, but the server did not let us delete it in %(folder)s: %(why)s"),
}


class NeedsPerson(Exception):
    """Nothing is mended by trying again: the sentence says what somebody must do. `forever`: until the settings change."""

    def __init__(self, sentence: str, /, *, forever: bool = False, **params: Any) -> None:
        self.sentence = Sentence(sentence, **params)
        super().__init__(str(self.sentence))
        self.forever = forever


class Later(Exception):
    """The intake cannot keep mail just now; nothing is wrong with the mailbox."""

    def __init__(self, sentence: Sentence) -> None:
        self.sentence = sentence
        super().__init__(str(sentence))


@dataclass
class Progress:
    """How far a folder is done. Plain JSON; UIDs as keys are text."""

    account: str  # whose UIDs they are; with another server or user name everything starts anew
    validity: int  # UIDVALIDITY; another value makes all of this void (RFC 3501 2.3.1.1)
    next: int = 1  # every UID below is settled, or stands in one of the lists
    careful: int = 0  # up to this UID mails are fetched one by one, because a batch broke the connection
    todo: list[int] = field(default_factory=list)  # kept here, but not yet flagged, moved or deleted there
    later: dict[str, list[float]] = field(default_factory=dict)  # could not be fetched: attempts, not before (Unix time)
    large: dict[str, int] = field(default_factory=dict)  # larger than the limit: size in bytes
    refused: list[int] = field(default_factory=list)  # refused by the intake for good
    lost: list[int] = field(default_factory=list)  # given up


@dataclass
class Tally:
    kept: int = 0
    seen: dict[str, tuple[Any, ...]] = field(default_factory=dict)  # by folder: what opening it showed
    troubles: list[str] = field(default_factory=list)


# --- the three ways to call it ------------------------------------------------------------------------------------


def run(context: SourceContext, stop: Event) -> None:
    """Fetch until `stop`. Never raises: trouble stands on the source's page and is tried again."""
    pause = BACKOFF

    def well() -> None:
        nonlocal pause
        pause = BACKOFF

    while not stop.is_set():
        try:
            with session(context) as client:
                _serve(client, context, stop, well)
            continue
        except NeedsPerson as trouble:
            context.report(trouble.sentence)
            stop.wait(None if trouble.forever else SIGN_IN_PAUSE)
            continue
        except Exception as trouble:
            context.log.warning("IMAP %s: %s", context.instance, trouble, exc_info=not _expected(trouble))
            context.report(_told(trouble, context.settings))
        stop.wait(pause * random.uniform(0.8, 1.2))  # noqa: S311
        pause = min(pause * 2, BACKOFF_MOST)


def poll(context: SourceContext) -> str:
    """Fetch what is there now. Raises BadInput with a sentence when the mailbox cannot be used."""
    try:
        with session(context) as client:
            tally = _poll_all(client, context)
    except BadInput:
        raise
    except Exception as trouble:
        context.report(_told(trouble, context.settings))
        raise BadInput("", _told(trouble, context.settings)) from trouble
    counted = N_("One mail was fetched.") if tally.kept == 1 else Sentence(N_("%(number)s mails were fetched."), number=tally.kept)
    return together([Sentence(counted), *tally.troubles])


def test(context: SourceContext) -> str:
    """Sign in, open every folder, and say what is there. Raises BadInput with a sentence. Changes nothing."""
    found: list[str] = [Sentence(N_("Signed in to %(host)s."), host=context.settings.host)]
    try:
        with session(context) as client:
            for name in context.settings.folder_list():
                count = int(client.select_folder(name, readonly=True).get(b"EXISTS", 0))
                found.append(Sentence(N_("The folder %(folder)s holds %(number)s mails."), folder=name, number=count))
            idle = client.has_capability("IDLE")
    except BadInput:
        raise
    except Exception as trouble:
        raise BadInput("", _told(trouble, context.settings)) from trouble
    waits = Sentence(N_("New mail is fetched every %(minutes)s minutes."), minutes=context.settings.poll_minutes)
    return together([*found, Sentence(N_("New mail is fetched at once.")) if idle else waits])


def _expected(trouble: Exception) -> bool:
    return isinstance(trouble, (OSError, imaplib.IMAP4.error, Later, HttpTrouble))


def _told(trouble: Exception, settings: Settings) -> Sentence:
    """The sentence for a person; what the server said stands in it, what we sent does not."""
    if isinstance(trouble, (NeedsPerson, Later, HttpTrouble)):
        return trouble.sentence
    host, port = settings.host, settings.port
    if isinstance(trouble, TimeoutError):
        return Sentence(N_("%(host)s did not answer in time."), host=host)
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return Sentence(N_("The certificate of %(host)s is not trustworthy: %(why)s."), host=host, why=trouble.verify_message)
    if isinstance(trouble, ssl.SSLError):
        return Sentence(N_("%(host)s speaks no TLS on port %(port)s; check port and encryption."), host=host, port=port)
    if isinstance(trouble, socket.gaierror):
        return Sentence(N_("%(host)s could not be found."), host=host)
    if isinstance(trouble, ConnectionRefusedError):
        return Sentence(N_("Nothing answers at %(host)s, port %(port)s."), host=host, port=port)
    return Sentence(N_("The connection to %(host)s failed: %(why)s"), host=host, why=str(trouble)[:300] or type(trouble).__name__)


# --- sign in ------------------------------------------------------------------------------------------------------


@contextmanager
def session(context: SourceContext) -> Iterator[IMAPClient]:
    """A connection that is signed in; closed at the end, whatever happened."""
    client = _connect(context.settings, context.intake.message_limit)
    try:
        _sign_in(client, context)
        yield client
    except BaseException:
        _close(client.shutdown)  # nobody can say what the server would answer now
        raise
    _close(client.logout)


def _close(how: Callable[[], Any]) -> None:
    try:
        how()
    except (OSError, imaplib.IMAP4.error):
        return  # the connection is gone already


class _Client(IMAPClient):
    """Hears also what came in one piece with the answer to IDLE: a mail that arrived just before.

    Such lines lie in imaplib's buffer (or decrypted in that of TLS), where waiting for the socket alone never finds them.
    """

    def _poll_socket(self, sock: socket.socket, timeout: float | None = None) -> Any:
        try:
            if self._imap.file.peek(1):  # the socket does not block here: what is there is seen, nothing is waited for
                return True
        except OSError:
            pass  # nothing is there yet, as TLS says it
        return super()._poll_socket(sock, timeout)


def _connect(settings: Settings, message_limit: int) -> IMAPClient:
    tls = None if settings.security == "none" else ssl.create_default_context(cadata=settings.certificate or None)
    client = _Client(
        settings.host,
        settings.port,
        ssl=settings.security == "tls",
        ssl_context=tls,
        timeout=SocketTimeout(CONNECT_TIMEOUT, READ_TIMEOUT),
    )
    # IMAPClient would set 5 and format every line for a log that nobody reads, passwords and mail included.
    client._imap.debug = 0
    client._imap.read = _bounded(client._imap.read, message_limit + PIECE)
    client.normalise_times = False  # else INTERNALDATE comes as naive local time
    try:
        if settings.security == "starttls":
            client.starttls(tls)
        elif settings.security == "none" and not _is_near(client.socket().getpeername()[0]):
            raise NeedsPerson(N_("%(host)s is not in the own network, so nothing is sent to it without encryption."), host=settings.host)
        client.socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        client.shutdown()
        raise
    return client


def _bounded(read: Any, limit: int) -> Any:
    """A server may announce a literal of any size, and imaplib would make room for it at once."""

    def bounded(size: int) -> bytes:
        if size > limit:
            raise imaplib.IMAP4.abort(f"the server announced {size} bytes at once")
        data = read(size)
        if len(data) < size:
            raise imaplib.IMAP4.abort("the connection ended in the middle of a mail")
        return data

    return bounded


def _is_near(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_loopback or ip.is_private


def _sign_in(client: IMAPClient, context: SourceContext) -> None:
    settings: Settings = context.settings
    try:
        if settings.sign_in == "password":
            _password_login(client, settings)
        else:
            _token_login(client, context)
    except LoginError as error:
        if isinstance(error.__context__, imaplib.IMAP4.abort):
            raise OSError(f"the connection ended while signing in: {error}") from error
        said = str(error).upper()
        if any(word in said for word in BUSY):
            raise OSError(f"the server has no room just now: {error}") from error
        raise NeedsPerson(N_("%(host)s did not accept the sign-in of %(username)s. Check user name and password, or sign in again."), host=settings.host, username=settings.username) from error


def _password_login(client: IMAPClient, settings: Settings) -> None:
    password = settings.password.get_secret_value()
    if client.has_capability("LOGINDISABLED"):
        raise NeedsPerson(N_("%(host)s takes no password without encryption: choose TLS or STARTTLS."), host=settings.host)
    if password.isascii() and settings.username.isascii():
        client.login(settings.username, password)
    else:
        client.plain_login(settings.username, password)  # LOGIN knows ASCII only (RFC 3501 6.2.3)


def _token_login(client: IMAPClient, context: SourceContext) -> None:
    user = context.settings.username
    login = client.oauth2_login if client.has_capability("AUTH=XOAUTH2") or not client.has_capability("AUTH=OAUTHBEARER") else client.oauthbearer_login
    try:
        login(user, access_token(context))
    except LoginError as error:
        if isinstance(error.__context__, imaplib.IMAP4.abort) or any(word in str(error).upper() for word in BUSY):
            raise
        login(user, access_token(context, fresh=True))  # it may have been withdrawn before its time: once more


def access_token(context: SourceContext, *, fresh: bool = False) -> str:
    """A token that is good for some minutes at least; the present one is remembered, and so is a new refresh token.

    Raises NeedsPerson when the provider wants somebody to sign in again, HttpTrouble when it does not answer.
    """
    settings: Settings = context.settings
    given = settings.refresh_token.get_secret_value()
    mark = hashlib.sha256(given.encode()).hexdigest()  # a new one in the settings makes the remembered ones void
    known = context.state.get("secret_oauth") or {}
    known = known if known.get("given") == mark else {}
    now = context.clock().timestamp()
    if not fresh and known.get("access") and known.get("until", 0) > now + TOKEN_MARGIN:
        return str(known["access"])
    refresh = known.get("refresh") or given
    answer = _ask_for_token(context, settings, refresh)
    seconds = answer.get("expires_in")
    until = now + (float(seconds) if isinstance(seconds, (int, float)) else 3600.0)
    context.state.set(secret_oauth={"given": mark, "access": answer["access_token"], "until": until, "refresh": answer.get("refresh_token") or refresh})
    return str(answer["access_token"])


def _ask_for_token(context: SourceContext, settings: Settings, refresh: str) -> dict[str, Any]:
    """RFC 6749 section 6."""
    url = settings.token_url if settings.sign_in == "oauth" else TOKEN_URLS[settings.sign_in].format(tenant=quote(settings.tenant))
    fields = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": settings.client_id}
    if settings.client_secret.get_secret_value():
        fields["client_secret"] = settings.client_secret.get_secret_value()
    if settings.sign_in in SCOPES:
        fields["scope"] = SCOPES[settings.sign_in]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = context.http.post(url, urlencode(fields).encode(), hosts=[urlsplit(url).hostname or ""], headers=headers, limit=65536, timeout=10)
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        value = {}
    value = value if isinstance(value, dict) else {}
    if answer.status == 200 and isinstance(value.get("access_token"), str):
        return value
    if value.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client"):
        raise NeedsPerson(N_("The provider asks for a new sign-in: get a new refresh token and enter it here."), forever=True)
    raise HttpTrouble(N_("The provider gave no token (status %(status)s)."), status=answer.status)


def _account(settings: Settings) -> str:
    return f"{settings.username}@{settings.host.lower()}"


# --- the loop -----------------------------------------------------------------------------------------------------


def _serve(client: IMAPClient, context: SourceContext, stop: Event, well: Callable[[], None]) -> None:
    """Fetch and wait, by turns, over one connection; `well` is called after every round."""
    settings: Settings = context.settings
    watched = settings.folder_list()[0]
    while not stop.is_set():
        tally = _poll_all(client, context, stop)
        context.report(together(tally.troubles) if tally.troubles else "")
        well()
        if stop.is_set():
            return
        if not client.has_capability("IDLE"):
            stop.wait(settings.poll_minutes * 60)
            continue
        # What comes while we look is told only once, perhaps inside of an answer before IDLE: so look again
        # until opening the folder shows what the last look saw.
        if tally.seen.get(watched) not in (None, _shape(client.select_folder(watched, readonly=True))):
            continue
        _idle(client, stop, min(settings.poll_minutes * 60, IDLE_MOST))


def _shape(opened: dict[bytes, Any]) -> tuple[Any, ...]:
    """What changes when mail comes."""
    return tuple(opened.get(name) for name in (b"UIDVALIDITY", b"UIDNEXT", b"EXISTS"))


def _idle(client: IMAPClient, stop: Event, seconds: float) -> None:
    """Until the server tells of something, the time is over, or `stop` (RFC 2177). A dead connection raises in idle_done."""
    ends = time.monotonic() + seconds
    client.idle()
    while not stop.is_set() and time.monotonic() < ends:
        began = time.monotonic()
        told = client.idle_check(timeout=IDLE_SLICE)
        # Nothing told before its time: the connection is at its end, and idle_check would say so for ever.
        if any(_is_news(line) for line in told) or (not told and time.monotonic() - began < IDLE_SLICE / 2):
            break
    client.idle_done()


def _is_news(line: Any) -> bool:
    """EXISTS or the end; not the "still here" that servers send every two minutes."""
    return isinstance(line, tuple) and (b"EXISTS" in line or b"BYE" in line)


def _poll_all(client: IMAPClient, context: SourceContext, stop: Event | None = None) -> Tally:
    tally = Tally()
    for name in context.settings.folder_list():
        if stop is not None and stop.is_set():
            break
        try:
            Folder(client, context, name, tally, stop).poll()
        except IMAPClientError as error:
            if not _was_refused(error):
                raise
            tally.troubles.append(Sentence(N_("The folder %(folder)s could not be read: %(why)s"), folder=name, why=_said(error)))
    return tally


def _was_refused(error: Exception) -> bool:
    """The server said NO to a command, and the connection is still good; everything else means that it is not."""
    return isinstance(error, imaplib.IMAP4.error) and not isinstance(error, (imaplib.IMAP4.abort, ProtocolError)) and " failed: " in str(error)


def _said(error: Exception) -> str:
    return str(error).partition(" failed: ")[2][:200]


# --- one folder ---------------------------------------------------------------------------------------------------


def _name(folder: str) -> str:
    return f"folder {folder}"


def _load(context: SourceContext, folder: str) -> Progress | None:
    saved = context.state.get(_name(folder))
    return Progress(**saved) if isinstance(saved, dict) and saved.get("account") == _account(context.settings) else None


class Folder:
    """One look into one folder."""

    def __init__(self, client: IMAPClient, context: SourceContext, name: str, tally: Tally, stop: Event | None) -> None:
        self.client = client
        self.context = context
        self.settings: Settings = context.settings
        self.name = name
        self.tally = tally
        self.stop = stop
        self.leaves = self.settings.afterwards == "leave"
        self.limit = context.intake.message_limit

    def poll(self) -> None:
        opened = self.client.select_folder(self.name, readonly=self.leaves)
        exists = int(opened.get(b"EXISTS", 0))
        self.tally.seen[self.name] = _shape(opened)
        self.flags = opened.get(b"PERMANENTFLAGS", ())
        self.progress = self._begin(int(opened.get(b"UIDVALIDITY", 0)), exists)
        self._act()
        for uids in _chunks(self._waiting(exists), SIZES):
            if self.stop is not None and self.stop.is_set():
                break
            self._take(uids)
        self._say()

    def _begin(self, validity: int, exists: int) -> Progress:
        """What is known of this folder, or a new beginning. Mail that comes again is recognised when it is filed."""
        before = _load(self.context, self.name)
        if before is not None and before.validity == validity:
            return before
        progress = Progress(_account(self.settings), validity)
        if before is None and self.settings.start == "new" and exists:
            progress.next = max(self.client.search(str(exists)), default=0) + 1
        self.context.state.set(**{_name(self.name): asdict(progress)})
        return progress

    @contextmanager
    def _changing(self) -> Iterator[Progress]:
        """Change what is written down, from what stands there now: another poller may have come further meanwhile."""
        now = _load(self.context, self.name)
        if now is not None and now.validity == self.progress.validity:
            self.progress = now
        yield self.progress
        self.context.state.set(**{_name(self.name): asdict(self.progress)})

    def _waiting(self, exists: int) -> Iterator[int]:
        """The UIDs to fetch, ascending within each kind: those put off, those that fit a raised limit, the new ones."""
        now = self.context.clock().timestamp()
        yield from sorted(int(uid) for uid, (_, not_before) in self.progress.later.items() if not_before <= now)
        yield from sorted(int(uid) for uid, size in self.progress.large.items() if size <= self.limit)
        for piece in self._new(exists):
            yield from piece

    def _new(self, exists: int) -> list[array[int]]:
        """New UIDs, ascending. Searched by sequence number from the top, WINDOW at a time, until one is not all new."""
        pieces: list[array[int]] = []
        top = exists
        lowest = 1 << 32
        while top > 0:
            bottom = max(top - WINDOW + 1, 1)
            # `n:*` names the last message even when its UID is below n (RFC 3501 6.4.8), hence the comparison.
            found = sorted({uid for uid in self.client.search(f"{bottom}:{top} UID {self.progress.next}:*") if self.progress.next <= uid < lowest})
            if found:
                pieces.append(array("L", found))
                lowest = found[0]
            if len(found) < top - bottom + 1:
                break
            top = bottom - 1
        pieces.reverse()
        return pieces

    # --- fetching ---

    def _take(self, uids: list[int]) -> None:
        """Sizes first, then the mails: many small ones together, a large one in pieces.

        UIDs are settled in ascending order, so that the mark never passes a mail that was not looked at.
        """
        known = self._sizes(uids) if len(uids) == 1 or uids[0] > self.progress.careful else None
        if known is None:
            for uid in uids:
                self._take([uid])
            return
        batch: list[int] = []
        size = 0
        for uid in uids:
            there = known.get(uid, {}).get(b"RFC822.SIZE")
            small = isinstance(there, int) and there <= min(BATCH_BYTES, self.limit) and str(uid) not in self.progress.later
            if not small or len(batch) >= BATCH_MAILS or size + there > BATCH_BYTES:
                self._keep(batch, known)
                batch, size = [], 0
            if small:
                batch.append(uid)
                size += there
            elif uid not in known and len(uids) > 1:
                self._take([uid])  # vanished since the search, or the server forgot it among the others
            elif uid not in known:
                self._settle(uid)
            elif not isinstance(there, int):
                self._put_off(uid)
            elif there > self.limit:
                self._too_large(uid, there)
            else:
                self._keep([uid], known)
        self._keep(batch, known)
        self._act()

    def _sizes(self, uids: list[int]) -> dict[int, Any] | None:
        """Size and arrival by UID; None when the server will not tell them of several at once, or of this one."""
        try:
            return dict(self.client.fetch(uids, SIZE_ITEMS))
        except Exception as error:
            if not _was_refused(error):
                self._failed(uids)
                raise
            return None if len(uids) > 1 else {uids[0]: {}}

    def _failed(self, uids: list[int]) -> None:
        """The connection broke over these. Of several, nobody knows which one it was: from now on they come one by one."""
        if len(uids) == 1:
            self._put_off(uids[0])
            return
        with self._changing() as progress:
            progress.careful = max(progress.careful, uids[-1])

    def _keep(self, uids: list[int], known: dict[int, Any]) -> None:
        """Fetch these and hand them to the intake together; then settle one after the other."""
        if not uids:
            return
        try:
            raws = self._fetch(uids, known)
        except Exception as error:
            if not _was_refused(error):
                self._failed(uids)
                raise
            raws = dict.fromkeys(uids)
        futures = {uid: self._submit(uid, raw, known[uid]) for uid, raw in raws.items() if raw}
        for uid in uids:
            if uid in futures:
                self._kept(uid, len(raws[uid] or b""), futures[uid])
            elif len(uids) > 1:
                self._keep([uid], known)  # without the others it may come
            elif uid in raws or uid in self.client.fetch([uid], ["FLAGS"]):
                self._put_off(uid)  # there, but not its bytes
            else:
                self._settle(uid)

    def _submit(self, uid: int, raw: bytes, about: dict[bytes, Any]) -> Future[int]:
        try:
            return self.context.intake.submit(raw, self._envelope(uid, raw, about))
        except Refused as error:  # whether the recipient is one of ours cannot be looked up just now
            raise Later(error.sentence) from error

    def _fetch(self, uids: list[int], known: dict[int, Any]) -> dict[int, bytes | None]:
        """The bytes by UID; None where the server gives none, absent where the mail is gone. PEEK sets no flag."""
        if len(uids) == 1 and known[uids[0]][b"RFC822.SIZE"] > PIECE:
            return self._fetch_pieces(uids[0])
        answer = self.client.fetch(uids, ["BODY.PEEK[]"])
        found: dict[int, bytes | None] = {}
        for uid in uids:
            if uid in answer:
                raw = answer[uid].get(b"BODY[]")
                found[uid] = raw if isinstance(raw, bytes) and raw else None
        return found

    def _fetch_pieces(self, uid: int) -> dict[int, bytes | None]:
        raw = bytearray()
        while len(raw) <= self.limit:
            answer = self.client.fetch([uid], [f"BODY.PEEK[]<{len(raw)}.{PIECE}>"])
            if uid not in answer:
                return {}
            piece = answer[uid].get(f"BODY[]<{len(raw)}>".encode())
            if not isinstance(piece, bytes):
                return {uid: None}
            raw += piece
            if len(piece) < PIECE:
                break
        return {uid: bytes(raw) or None}

    def _envelope(self, uid: int, raw: bytes, about: dict[bytes, Any]) -> Envelope:
        now = self.context.clock()
        arrived = about.get(b"INTERNALDATE")
        if not isinstance(arrived, dt.datetime) or arrived.tzinfo is None or arrived > now:
            arrived = now
        return Envelope(
            source="imap",
            instance=self.context.instance,
            rcpt_to=self._recipients(raw),
            received_at=arrived.astimezone(dt.UTC),
            key=webform.short_key(f"{_account(self.settings)}/{self.name}/{self.progress.validity}/{uid}"),
        )

    def _recipients(self, raw: bytes) -> tuple[str, ...]:
        wanted = [name.strip().lower() for name in self.settings.recipient_fields.split(",")]
        return recipients(raw, wanted, self.settings.own_hops, self.settings.default_recipient, self.context.intake.accepts)

    # --- what became of a mail ---

    def _kept(self, uid: int, size: int, future: Future[int]) -> None:
        try:
            future.result(timeout=COMMIT_TIMEOUT)
        except Refused as error:
            if not error.permanent:
                raise Later(error.sentence) from error
            if error.code == "too-large":
                self._too_large(uid, size)
            else:
                self._mark_refused(uid)
                self._settle(uid, "refused")
            return
        except Exception as error:
            self.context.log.exception("The intake failed.")
            raise Later(sentence_of("intake-trouble")) from error
        self.tally.kept += 1
        self._settle(uid, "" if self.leaves else "todo")

    def _too_large(self, uid: int, size: int) -> None:
        self._mark_refused(uid)
        with self._changing() as progress:
            _done(progress, uid)
            if len(progress.large) < LISTED:
                progress.large[str(uid)] = size

    def _put_off(self, uid: int) -> None:
        """It could not be fetched. The others go on; it comes again after 1, 4, 9 … minutes, and in the end it is named."""
        with self._changing() as progress:
            attempts = int(progress.later.get(str(uid), [0])[0]) + 1
            _done(progress, uid)
            if attempts >= ATTEMPTS or len(progress.later) >= LISTED:
                _remember(progress.lost, uid)
            else:
                progress.later[str(uid)] = [attempts, self.context.clock().timestamp() + 60 * attempts**2]

    def _settle(self, uid: int, remembered: Literal["", "todo", "refused"] = "") -> None:
        """Done with this one: written down before the next, together with the list it belongs to."""
        with self._changing() as progress:
            _done(progress, uid)
            if remembered:
                _remember(progress.todo if remembered == "todo" else progress.refused, uid)

    # --- what happens to it on the server ---

    def _act(self) -> None:
        """Flag, move or delete what was kept. It stands in `todo` until the server has done it, so no crash forgets it."""
        uids = list(self.progress.todo)
        done = set(uids)
        if not uids or self.leaves:
            return
        try:
            self._act_on(uids)
        except IMAPClientError as error:
            if not _was_refused(error):
                raise
            self.tally.troubles.append(Sentence(_NOT_LET[self.settings.afterwards], folder=self.name, why=_said(error)))
            return
        with self._changing() as progress:
            progress.todo = [uid for uid in progress.todo if uid not in done]

    def _act_on(self, uids: list[int]) -> None:
        if self.settings.afterwards == "flag":
            flag = self.settings.flag
            own = flag.encode() in self.flags or b"\\*" in self.flags or not self.flags
            self.client.add_flags(uids, [flag if own else "\\Flagged"], silent=True)
            return
        if self.settings.afterwards == "move":
            target = self.settings.move_to.strip()
            carry = self.client.move if self.client.has_capability("MOVE") else self.client.copy
            try:
                carry(uids, target)
            except IMAPClientError as error:
                if not _was_refused(error):
                    raise
                self.client.create_folder(target)  # it is missing, or the second NO tells why
                carry(uids, target)
            if carry == self.client.move:
                return
        self.client.add_flags(uids, ["\\Deleted"], silent=True)
        if self.client.has_capability("UIDPLUS"):
            self.client.uid_expunge(uids)
        # Without UIDPLUS an EXPUNGE would also remove what others have marked; the mailbox's own client will do it.

    def _mark_refused(self, uid: int) -> None:
        """A mail that was not taken is left where it is, flagged so that a person sees it."""
        if self.leaves:
            return
        try:
            self.client.add_flags([uid], ["\\Flagged"], silent=True)
        except IMAPClientError as error:
            if not _was_refused(error):
                raise

    def _say(self) -> None:
        progress = self.progress
        said = (
            (len(progress.lost), N_("%(number)s mails in %(folder)s could not be fetched and were given up.")),
            (len(progress.later), N_("%(number)s mails in %(folder)s could not be fetched and are tried again.")),
            (len(progress.large), N_("%(number)s mails in %(folder)s are larger than the limit of %(limit)s bytes and were left there.")),
            (len(progress.refused), N_("%(number)s mails in %(folder)s were refused and left there.")),
        )
        self.tally.troubles += [Sentence(text, number=count, folder=self.name, limit=self.limit) for count, text in said if count]


def _done(progress: Progress, uid: int) -> None:
    progress.later.pop(str(uid), None)
    progress.large.pop(str(uid), None)
    progress.next = max(progress.next, uid + 1)


def _remember(uids: list[int], uid: int) -> None:
    if uid not in uids:
        uids.append(uid)
    del uids[:-LISTED]


def _chunks(uids: Iterator[int], size: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for uid in uids:
        chunk.append(uid)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def recipients(raw: bytes, wanted: list[str], own_hops: int, default: str, accepts: Any) -> tuple[str, ...]:
    """To whom the mail server delivered this mail.

    Only the topmost field of each name counts, and only above the Received fields of the own servers: a sender can write
    `Delivered-To` too. The first one that is an address of ours wins. One with a tag that is not ours (retired, mistyped)
    stays as it is, so that the mail is held with that reason; the bare mailbox gives way to the default.
    """
    fields: dict[str, str] = {}
    for name, value in webform.top_fields(raw, own_hops):
        fields.setdefault(name, value)
    found = [one for name in wanted for one in webform.address_list(fields.get(name, "")[:5000])]
    for one in found:
        if accepts(one):
            return (one,)
    tagged = [one for one in found if "+" in one.rpartition("@")[0]]
    fallback = webform.address(default)
    if tagged:
        return (tagged[0],)
    if fallback:
        return (fallback,)
    return tuple(found[:1])


@hookimpl
def register_sources() -> list[Source]:
    return [Source("imap", "IMAP mailbox", Settings, run=run, poll=poll, test=test)]
