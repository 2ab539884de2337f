"""The words of the house: frozen facts that the steps take and give.

Everything here is plain data: no database, no clock, no network. All datetimes are aware and in UTC unless a field says
otherwise; all sizes are bytes; all addresses are `local@domain` with the domain in lower-case A-labels (see
`core.mail.addresses`). The fence sends these values between processes as JSON, so every field is JSON-able by msgspec.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import logging
    from concurrent.futures import Future
    from threading import Event

    from pydantic import BaseModel

Decision = Literal["pass", "hold", "retry", "reject"]
RecordKind = Literal["deal", "lead", "project"]
LinkKind = Literal["contact", "organisation", "deal", "lead", "project"]
RECORD_KINDS: tuple[RecordKind, ...] = ("deal", "lead", "project")
LINK_KINDS: tuple[LinkKind, ...] = ("contact", "organisation", "deal", "lead", "project")


# --- what the transport says -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrustedVerdict:
    """What a provider or relay that we trust found out: evidence with its domain, or without (then it proves nothing)."""

    method: str  # "dkim", "spf", "dmarc"
    result: str  # RFC 8601 words
    domain: str | None
    by: str  # who says so: an authserv-id, a provider's name


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the transport said beside the raw bytes. None is "unknown", never an error."""

    source: str  # the kind of way in: "smtp", "lmtp", "imap", "webhook", "import", "explain"
    rcpt_to: tuple[str, ...] = ()
    mail_from: str | None = None  # "" is the null sender, None is unknown
    client_ip: str | None = None  # the address that handed the mail to OUR boundary
    helo: str | None = None
    received_at: dt.datetime | None = None
    instance: str = ""  # name of the source instance
    verdicts: tuple[TrustedVerdict, ...] = ()
    bare_cr: int = 0  # counted by the SMTP reader outside CRLF
    bare_lf: int = 0
    key: str | None = None  # the source's own unique key of this delivery (IMAP folder/uidvalidity/uid, webhook event id)
    relay: str | None = None  # set by core.mail.received.boundary: the trusted relay whose Received fields gave client_ip


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the company believes about other people's mail. Empty means: nobody but our own checks."""

    authserv_ids: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()  # CIDR: relays whose Received fields tell the true client IP
    arc_sealers: tuple[str, ...] = ()  # d= of ARC sealers; empty = ARC is off
    extra_signers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # From domain -> exact d= accepted for it
    softfail_holds: bool = False


# --- what an e-mail says ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address. `name` is decoded text without control or bidi characters, None when there is none."""

    name: str | None
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def local(self) -> str:
        return self.address.rpartition("@")[0]


@dataclass(frozen=True, slots=True)
class Identity:
    """The one sender of a mail, read once from the raw bytes; the same value feeds alignment, attribution and page.

    Either `mailbox` is set and `reason` is "", or `mailbox` is None and `reason` is the code why nobody is named
    (`no-from`, `multiple-from`, `bad-from`). What else is odd in the header block (bare CR, NUL, duplicate singletons)
    stands in `Email.defects` by its reason code and makes the authenticate step hold the mail.
    """

    mailbox: Mailbox | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    content_type: str
    size: int  # bytes, decoded
    inline: bool  # True only when the HTML shows it by its content id
    content_id: str | None
    sha256: str  # hex, of the decoded bytes
    part: int  # which leaf of the mail: see core.mail.parse.attachment_bytes
    note: str = ""  # "" or "invitation", "dropped" …


@dataclass(frozen=True, slots=True)
class Email:
    """A mail as read. Nothing in here is trusted."""

    identity: Identity
    message_id: str | None  # without brackets; None when the mail has no usable one
    ids: tuple[str, ...]  # message_id and other ids the mail is known by (relays replace them)
    references: tuple[str, ...]  # every id named in References and In-Reply-To, in order, each once
    subject: str
    date: dt.datetime | None
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    reply_to: tuple[Mailbox, ...]
    text: str  # as written, lines kept (flowed text is not joined here)
    html: str  # as written, NOT safe; see Reading.safe_html
    attachments: tuple[Attachment, ...]
    machine: str = ""  # "" | "bounce" | "report" | "auto-reply" | "auto-generated" | "list" | "bulk"
    loop: bool = False  # carries our own X-Loop
    thread_index: str | None = None  # Exchange: first 22 bytes, hex
    headers: tuple[tuple[str, str], ...] = ()  # decoded, capped; for the page
    defects: tuple[str, ...] = ()
    flowed: str = ""  # "" | "flowed" | "delsp": how `text` is to be unfolded for display
    originals: tuple[Email, ...] = ()  # message/rfc822 parts, read the same way, at most 10 levels deep


@dataclass(frozen=True, slots=True)
class Forward:
    """A forwarded block as claimed by whoever forwarded it. Never authenticated, never used to find the rep.

    `unreadable` True: the mail says that it is a forward, but no From address could be read; then only `note`,
    `client` and `language` may hold something.
    """

    unreadable: bool = False
    client: str | None = None
    language: str | None = None
    sender: Mailbox | None = None  # "from" in JSON
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str | None = None
    date: dt.datetime | None = None  # aware where the zone is known, else naive as written
    date_raw: str | None = None
    message_id: str | None = None  # only where the original is attached
    references: tuple[str, ...] = ()
    note: str = ""
    signature: str = ""
    body: str = ""
    chain: tuple[Forward, ...] = ()
    evidence: str = ""  # "text" | "html" | "both" | "attachment"
    sender_name: str | None = None  # a name that stood there without a usable address (only when unreadable)
    others: tuple[Forward, ...] = ()  # further attached originals of the same mail, each an original of its own


# --- authentication -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthResult:
    """One finding of a check, in the words of RFC 8601 section 2.7.

    A check leaves `aligned` at None; the authenticate step sets it. `temporary` results never count as a failure.
    """

    method: str  # "dkim", "spf", "arc", "dmarc" …
    result: str  # pass fail softfail neutral none policy temperror permerror
    domain: str | None = None
    aligned: bool | None = None
    reason: str = ""  # a reason code: why it is so
    selector: str | None = None
    ip: str | None = None
    by: str = "us"  # "us", or the authserv-id or provider that said so
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    decision: Decision
    reason: str
    checks: tuple[AuthResult, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)


class DnsTrouble(Exception):
    """A look-up gave no answer: SERVFAIL, timeout, budget spent. Never cached, never a failure of the mail."""


class Dns(Protocol):
    """What a check may ask. An absent name or type is an empty list; trouble raises DnsTrouble."""

    def txt(self, name: str) -> list[bytes]: ...
    def lookup(self, name: str, kind: str) -> list[Any]: ...


@dataclass(frozen=True)
class Check:
    """An authentication method of a plugin. `check(message, envelope, dns, now) -> list[AuthResult]`."""

    name: str
    title: str
    check: Callable[[Message, Envelope, Dns, dt.datetime], Iterable[AuthResult]]


@dataclass(frozen=True, slots=True)
class Message:
    """What a check sees: the bytes as received and the sender as read from them."""

    raw: bytes
    identity: Identity
    trust: Trust = Trust()
    defects: tuple[str, ...] = ()


# --- who ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SenderFact:
    """One row that ties an address to a rep, as the store knows it."""

    rep_id: int
    rep_email: str
    kind: str  # "connected" | "account" | "alias" | "alternative" (verified alternatives rank as connected) | "team"
    connected_at: dt.datetime | None = None
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whose mail it is. rule: connected-address, account-address, alias, longest-connected, team-address, unattributed."""

    rule: str
    rep_id: int | None = None
    rep_email: str | None = None
    reason: str = ""  # why nobody: "unknown-sender", "ambiguous-sender", "suspended-rep"


@dataclass(frozen=True, slots=True)
class Drop:
    """A drop address that the envelope named."""

    address: str
    kind: str  # "bcc" | "forward" | "record"
    record_id: int | None = None
    retired: bool = False


# --- people and records -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Organisation:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Contact:
    id: int
    name: str
    organisation_id: int | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A deal, a lead or a project as it was at the time of the mail."""

    id: int
    kind: RecordKind
    title: str
    status: str = "open"
    open: bool = True  # open at the time of the mail
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None
    last_activity_at: dt.datetime | None = None
    contact_ids: tuple[int, ...] = ()
    organisation_id: int | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class Participant:
    """A counterparty of the thread: never a rep, a drop address or an internal one."""

    address: str
    name: str | None = None
    contact: Contact | None = None


@dataclass(frozen=True, slots=True)
class LinkCase:
    """Everything a policy may look at: the thread, its counterparties, and their records as they were.

    `options` are the policy's own, validated by its options model and given as plain JSON values.
    """

    started_at: dt.datetime  # the thread's start, frozen at its first logging
    participants: tuple[Participant, ...] = ()
    records: tuple[Record, ...] = ()  # the records of those contacts, newest activity first, at most 200: eligible ones before others
    options: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    more: int = 0  # records beyond these

    @property
    def eligible_records(self) -> tuple[Record, ...]:
        """Open at the time of the mail and not younger than the thread (F39, F41)."""
        return tuple(r for r in self.records if why_not_eligible(r, self.started_at) is None)

    def records_of(self, participant: Participant) -> tuple[Record, ...]:
        """The eligible records on which this participant's contact stands."""
        contact = participant.contact
        if contact is None:
            return ()
        return tuple(r for r in self.eligible_records if contact.id in r.contact_ids)


def why_not_eligible(record: Record, started_at: dt.datetime) -> str | None:
    """The reason code that keeps a record from being linked automatically, or None."""
    if not record.open:
        return "not-open"
    # A Date holds whole seconds: where no more is known, a record of the same second was there when the mail was written.
    created = record.created_at
    if created is not None and (created if started_at.microsecond else created.replace(microsecond=0)) > started_at:
        return "created-after-thread"
    return None


@dataclass(frozen=True, slots=True)
class Link:
    """A policy's yes to one record."""

    record: Record
    reason: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def linked(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Skip:
    """A policy's no to one record. `offer`: a person may well choose it (it then stands among the candidates)."""

    record: Record
    reason: str
    params: Mapping[str, str] = field(default_factory=dict)
    offer: bool = True

    @property
    def linked(self) -> bool:
        return False


@dataclass(frozen=True)
class LinkPolicy:
    """A way to choose records. `decide(case)` is pure; `exclusive`: a thread holds at most one record."""

    name: str
    title: str
    decide: Callable[[LinkCase], Iterable[Link | Skip]]
    exclusive: bool = False
    options: type[BaseModel] | None = None
    version: str = "1"


# --- the trace ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """What one step found: codes and parameters only; the sentence is rendered from core.reasons for the reader."""

    step: str
    outcome: str
    reason: str
    params: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the fence gives back for one mail: read, checked, unwrapped and made safe."""

    email: Email
    judgement: Judgement
    forward: Forward | None
    safe_html: str
    snippet: str
    index_text: str  # the new text of the mail, for search, at most 200 kB
    body_hash: str  # sha256 hex of the decoded body, for dedupe
    trace: tuple[TraceEntry, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)  # step -> how long it took


# --- sources ------------------------------------------------------------------------------------------------------


class Intake(Protocol):
    """The one entrance, as a source sees it."""

    def accepts(self, address: str) -> bool:
        """True when the address is a living drop address. Raises Refused(permanent=False) when the store is down."""
        ...

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        """Keep the mail durably and return its inbound id. Raises Refused: permanent = never, else later."""
        ...

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        """The same without waiting: the future ends after the durable commit (or with Refused)."""
        ...

    @property
    def message_limit(self) -> int:
        """Largest whole message in bytes, as the admin has set it."""
        ...


class State(Protocol):
    """A source instance's own state: small JSON values under names. It outlives the process; a power failure may take back the last
    moments of it, except of names that begin with `secret_`, which are sealed too."""

    def get(self, name: str, default: Any = None) -> Any: ...
    def set(self, **values: Any) -> None: ...


@dataclass(frozen=True)
class SourceContext:
    """What a source instance works with."""

    instance: str  # its name
    settings: Any  # its settings model, validated; secrets readable
    intake: Intake
    state: State
    dns: Dns
    http: Any  # an http client with get/post that refuses private addresses (core.http.Client)
    clock: Callable[[], dt.datetime]
    log: logging.Logger
    base_url: str = ""
    report: Callable[[str], None] = lambda sentence: None  # what stands as "last error" on the source's page; "" = fine


@dataclass(frozen=True)
class WebRequest:
    """An HTTP request as a webhook source sees it: bytes, nothing decoded."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    client_ip: str | None = None


@dataclass(frozen=True)
class WebAnswer:
    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A kind of way in. Exactly one of `handle` (answered at /in/<instance>-<token>) and `run` (a loop) is set."""

    name: str
    title: str
    settings: type[BaseModel]
    handle: Callable[[WebRequest, SourceContext], WebAnswer] | None = None
    run: Callable[[SourceContext, Event], None] | None = None
    poll: Callable[[SourceContext], str] | None = None  # "poll now": returns a sentence
    test: Callable[[SourceContext], str] | None = None  # "test": returns a sentence or raises BadInput
    body_factor: float = 1.0  # a webhook's largest request body is message limit × body_factor + body_extra
    body_extra: int = 0  # bytes


@dataclass(frozen=True)
class Connector:
    """Another CRM. `find(addresses)` gives contacts and open records to mirror; `push(mail)` tells it of a logged mail."""

    name: str
    title: str
    settings: type[BaseModel]
    find: Callable[[Any, tuple[str, ...]], Iterable[Mapping[str, Any]]] | None = None
    push: Callable[[Any, Mapping[str, Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class HouseEvent:
    """Something that has happened and is committed: `mail.logged`, `mail.held`, `link.added`, `contact.created` …"""

    id: int
    name: str
    at: dt.datetime
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SinkContext:
    """What a sink works with."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # its own, secrets readable; empty when nobody has set it up
    http: Any = None  # an http client with get/post that refuses private addresses (core.http.Client)
    clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
