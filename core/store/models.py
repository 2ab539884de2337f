"""The tables. What a column means stands beside it where the name does not say it; the design's table list is the index.

Every index costs each filed mail a page, so none repeats the beginning of another: such a foreign key says `index=False`.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    NodeList,
    TextField,
)

from core.store.database import intake_db, is_sqlite, main_db
from core.store.fields import JsonField, MomentField, SentenceField


class _IdField(BigAutoField):
    """Ids are never used twice: SQLite needs AUTOINCREMENT for that, PostgreSQL's sequence does it by itself."""

    def ddl(self, ctx: Any) -> Any:
        nodes = super().ddl(ctx)
        return NodeList((nodes, SQL("AUTOINCREMENT"))) if is_sqlite() else nodes


class _Main(Model):
    class Meta:
        database = main_db
        legacy_table_names = False


class _Intake(Model):
    class Meta:
        database = intake_db
        legacy_table_names = False


# --- intake.db ----------------------------------------------------------------------------------------------------


class Raw(_Intake):
    """The bytes of a mail as received, once by their hash."""

    sha256 = TextField(primary_key=True)
    size = IntegerField()
    content = BlobField()
    stored_at = MomentField(index=True)  # behind the content: without the index the oldest would be found by reading all mail


class Inbound(_Intake):
    """One delivery as kept: the truth of what was accepted."""

    id = _IdField()
    source = TextField()  # kind of way in
    instance = TextField(default="")
    source_key = TextField(null=True)  # the source's own key of this delivery
    envelope = TextField()  # JSON of core.types.Envelope
    sha256 = TextField(index=True)
    size = IntegerField()
    received_at = MomentField()
    state = TextField(default="received")  # received processing logged held ignored
    reason = TextField(default="received")
    attempts = IntegerField(default=0)  # claims that have not come to an orderly end
    crashes = IntegerField(default=0)  # times that reading it killed or broke the reader
    retries = IntegerField(default=0)  # orderly "try again later"
    due_at = MomentField(null=True)  # not before
    lease_until = MomentField(null=True)
    lease_token = TextField(null=True)
    worker = TextField(null=True)
    released_by = TextField(null=True)  # a person let it pass authentication: "rep:EMAIL"
    claimed_for = IntegerField(null=True)  # rep id a person named as the owner

    class Meta:
        indexes = ((("instance", "source_key"), True), (("state", "due_at"), False))


# --- the company --------------------------------------------------------------------------------------------------


class Setting(_Main):
    name = TextField(primary_key=True)
    value = JsonField()


class Pulse(_Main):
    """Counters that other processes poll: "settings", "rep:7". A changed number means: look again."""

    name = TextField(primary_key=True)
    number = BigIntegerField(default=0)


class Lease(_Main):
    """Who may do a thing of which only one may be done at a time (sweeping, polling one mailbox)."""

    name = TextField(primary_key=True)
    holder = TextField()
    until = MomentField()


class Rep(_Main):
    id = _IdField()
    external_id = TextField(null=True, unique=True)
    email = TextField(unique=True)  # lower case
    name = TextField(default="")
    role = TextField(default="member")  # admin member
    status = TextField(default="active")  # active suspended
    password_hash = TextField(null=True)
    session_epoch = IntegerField(default=0)  # raised at logout-everywhere and password change
    default_sharing = TextField(default="private")  # private company
    auto_link = BooleanField(default=True)
    time_zone = TextField(default="UTC")
    language = TextField(default="en")
    theme = TextField(default="system")
    density = TextField(default="comfortable")
    created_at = MomentField()


class SenderAddress(_Main):
    id = _IdField()
    rep = ForeignKeyField(Rep, backref="addresses", on_delete="CASCADE", index=False)
    address = TextField(index=True)  # lower case
    kind = TextField()  # connected account alias alternative
    verified_at = MomentField(null=True)
    connected_at = MomentField(null=True)

    class Meta:
        indexes = ((("rep", "address"), True),)


class TeamAddress(_Main):
    id = _IdField()
    address = TextField(unique=True)
    rep = ForeignKeyField(Rep, on_delete="CASCADE")
    connected_at = MomentField()


class NeverLog(_Main):
    id = _IdField()
    pattern = TextField(unique=True)  # address, domain, or a glob with *
    added_by = TextField(default="")
    created_at = MomentField()


class BlockedDomain(_Main):
    """Strangers of this domain are ignored without being listed."""

    domain = TextField(primary_key=True)
    added_by = TextField(default="")
    created_at = MomentField()


# --- people and records -------------------------------------------------------------------------------------------


class Organisation(_Main):
    id = _IdField()
    external_id = TextField(null=True, unique=True)
    name = TextField()
    created_at = MomentField()
    updated_at = MomentField()
    deleted_at = MomentField(null=True)


class OrganisationDomain(_Main):
    domain = TextField(primary_key=True)
    organisation = ForeignKeyField(Organisation, backref="domains", on_delete="CASCADE")


class Contact(_Main):
    id = _IdField()
    external_id = TextField(null=True, unique=True)
    name = TextField(default="")
    organisation = ForeignKeyField(Organisation, null=True, on_delete="SET NULL", backref="contacts")
    merged_into = ForeignKeyField("self", null=True, on_delete="SET NULL")
    created_at = MomentField()
    updated_at = MomentField()
    deleted_at = MomentField(null=True)


class ContactAddress(_Main):
    id = _IdField()
    address = TextField(unique=True)  # normalised, lower case
    contact = ForeignKeyField(Contact, backref="addresses", on_delete="CASCADE")


class Record(_Main):
    """A deal, a lead or a project."""

    id = _IdField()
    kind = TextField()
    external_id = TextField(null=True)
    title = TextField()
    status = TextField(default="open")
    organisation = ForeignKeyField(Organisation, null=True, on_delete="SET NULL", backref="records")
    owner = ForeignKeyField(Rep, null=True, on_delete="SET NULL")
    connector = TextField(null=True)
    created_at = MomentField()
    updated_at = MomentField()
    closed_at = MomentField(null=True)
    last_activity_at = MomentField(null=True)

    class Meta:
        indexes = ((("kind", "external_id"), True), (("kind", "status"), False))


class RecordContact(_Main):
    id = _IdField()
    record = ForeignKeyField(Record, backref="people", on_delete="CASCADE", index=False)
    contact = ForeignKeyField(Contact, backref="stands_on", on_delete="CASCADE")
    added_at = MomentField()
    removed_at = MomentField(null=True)

    class Meta:
        indexes = ((("record", "contact"), True),)


class RecordHistory(_Main):
    """Which status a record had from when on (`valid_from`), and when we learned of it."""

    id = _IdField()
    record = ForeignKeyField(Record, backref="history", on_delete="CASCADE")
    status = TextField()
    valid_from = MomentField()
    learned_at = MomentField()


class DropAddress(_Main):
    """Where copies are sent. Record addresses are found by a keyed hash and shown from their sealed form."""

    id = _IdField()
    kind = TextField()  # bcc forward record
    lookup = TextField(unique=True)  # HMAC of the whole address
    sealed = TextField()  # the address, encrypted
    record = ForeignKeyField(Record, null=True, on_delete="CASCADE", backref="drop_addresses")
    created_at = MomentField()
    retired_at = MomentField(null=True)  # from then on it is no longer shown
    works_until = MomentField(null=True)  # end of the grace period


# --- mail ---------------------------------------------------------------------------------------------------------


class Thread(_Main):
    """A conversation of one rep, with what the inbox row shows kept beside it."""

    id = _IdField()
    owner = ForeignKeyField(Rep, backref="threads", on_delete="CASCADE", index=False)
    conversation_id = TextField(index=True)
    split_from = ForeignKeyField("self", null=True, on_delete="SET NULL", index=False)
    sharing = TextField(default="private")
    subject = TextField(default="")
    base_subject = TextField(default="")
    started_at = MomentField()
    last_at = MomentField()
    waiting = TextField(null=True)  # null or needs-choice
    waiting_reason = TextField(default="")
    deleted_at = MomentField(null=True)
    message_count = IntegerField(default=0)
    who = TextField(default="")
    snippet = TextField(default="")
    chips = JsonField(default=list)  # [{"kind", "title", "id"}]
    linked = BooleanField(default=False)  # to a record
    has_attachment = BooleanField(default=False)
    badge = TextField(default="")  # authentication of the newest mail: dkim, spf, both, released
    unread = BooleanField(default=True)  # its owner has neither seen its newest mail nor archived it
    oldest_at = MomentField(default=0, constraints=[SQL("DEFAULT 0")])  # of its mails; in the indexes, so that a walk for old mail passes over the rest

    class Meta:
        indexes = (
            (("owner", "last_at", "id", "oldest_at"), False),
            (("sharing", "last_at", "id", "oldest_at"), False),
            (("owner", "base_subject"), False),
            (("owner", "unread", "deleted_at"), False),
        )


T: Any = Thread.alias("t")  # the name by which conditions in plain SQL know a thread


class ThreadState(_Main):
    rep = ForeignKeyField(Rep, on_delete="CASCADE", index=False)
    thread = ForeignKeyField(Thread, on_delete="CASCADE")
    seen_at = MomentField(null=True)
    archived_at = MomentField(null=True)

    class Meta:
        primary_key = CompositeKey("rep", "thread")


class ShownSender(_Main):
    """A rep wants the pictures from elsewhere in mails of this author shown without being asked again."""

    rep = ForeignKeyField(Rep, on_delete="CASCADE", index=False)
    address = TextField()  # lower case
    created_at = MomentField()

    class Meta:
        primary_key = CompositeKey("rep", "address")


class ThreadId(_Main):
    """Every name (id, Exchange conversation) that a thread's mails carry or quote, also ids never seen; one thread an owner and name."""

    owner = ForeignKeyField(Rep, on_delete="CASCADE", index=False)
    message_id = TextField()
    thread = ForeignKeyField(Thread, on_delete="CASCADE", index=True)

    class Meta:
        # The name first: one index finds what an owner holds of it, and what everybody holds.
        primary_key = CompositeKey("message_id", "owner")


class Message(_Main):
    """A logged mail. Its bytes stay in Raw; what is here is what the pages and the API show."""

    id = _IdField()
    inbound_id = BigIntegerField(unique=True)
    thread = ForeignKeyField(Thread, backref="messages", on_delete="CASCADE", index=False)
    owner = ForeignKeyField(Rep, on_delete="CASCADE", index=False)
    dedupe_key = TextField()
    message_id = TextField(null=True)
    from_name = TextField(null=True)
    from_address = TextField(default="")
    date = MomentField()  # the house's time of the mail
    subject = TextField(default="")
    text = TextField(default="")
    safe_html = TextField(default="")
    forward = JsonField(null=True)
    checks = JsonField(default=list)
    defects = JsonField(default=list)
    decision = TextField(default="")
    joined_by = TextField(default="")
    fact = JsonField(default=dict)  # core.steps.thread.MessageFact
    record_ids = JsonField(default=list)  # records whose own address any copy of this mail was sent to
    sha256 = TextField()
    size = IntegerField(default=0)
    deleted_at = MomentField(null=True)
    deleted_by = TextField(null=True)

    class Meta:
        indexes = ((("owner", "dedupe_key"), True), (("thread", "date", "id", "deleted_at"), False))


class Participant(_Main):
    id = _IdField()
    message = ForeignKeyField(Message, backref="participants", on_delete="CASCADE")
    role = TextField()  # from to cc bcc original
    address = TextField()
    name = TextField(null=True)
    contact = ForeignKeyField(Contact, null=True, on_delete="SET NULL", index=False)


class Attachment(_Main):
    id = _IdField()
    message = ForeignKeyField(Message, backref="attachments", on_delete="CASCADE")
    part = IntegerField()
    filename = TextField()
    content_type = TextField()
    size = IntegerField()
    inline = BooleanField(default=False)
    content_id = TextField(null=True)
    sha256 = TextField()
    note = TextField(default="")
    content = BlobField(null=True)  # copied out only when the raw mail expires


class Link(_Main):
    """A thread on a contact, an organisation or a record. A removed link stays: what a person removed no policy brings back."""

    id = _IdField()
    thread = ForeignKeyField(Thread, backref="links", on_delete="CASCADE", index=False)
    target = TextField()  # "contact:3", "organisation:2", "deal:7": unique with the thread
    kind = TextField()
    contact = ForeignKeyField(Contact, null=True, on_delete="CASCADE", index=False)
    organisation = ForeignKeyField(Organisation, null=True, on_delete="CASCADE", index=False)
    record = ForeignKeyField(Record, null=True, on_delete="CASCADE", index=False)
    made_by = TextField()  # policy:NAME address rep:EMAIL import
    policy_version = TextField(default="")
    reason = TextField()
    params = JsonField(default=dict)
    message_id = BigIntegerField(null=True)  # the message whose filing made it
    run_id = IntegerField(null=True)
    created_at = MomentField()
    removed_at = MomentField(null=True)
    removed_by = TextField(null=True)
    # The owner of a private thread, 0 where the whole company may read it. Only for finding: the thread's own row decides.
    reader = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])

    class Meta:
        indexes = ((("thread", "target"), True),)


class Candidate(_Main):
    """A record that was considered for a thread and not linked, with its reason; the offered ones come first."""

    id = _IdField()
    thread = ForeignKeyField(Thread, backref="candidates", on_delete="CASCADE", index=False)
    record = ForeignKeyField(Record, on_delete="CASCADE", index=True)
    reason = TextField()
    params = JsonField(default=dict)
    offer = BooleanField(default=False)
    rank = IntegerField(default=0)

    class Meta:
        indexes = ((("thread", "record"), True),)


class Outcome(_Main):
    """Where an inbound message ended. One row an inbound message: that row is what makes "done" safe."""

    inbound_id = BigIntegerField(primary_key=True)
    state = TextField()
    reason = TextField()
    params = JsonField(default=dict)
    source = TextField(default="")
    received_at = MomentField()
    decided_at = MomentField()
    mail_from = TextField(null=True)
    rcpt_to = JsonField(default=list)
    sender = TextField(default="")
    sender_domain = TextField(default="")
    message_id = TextField(null=True, index=True)
    subject = TextField(default="")
    decision = TextField(default="")
    rep = ForeignKeyField(Rep, null=True, on_delete="SET NULL", index=False)
    rule = TextField(default="")
    thread = ForeignKeyField(Thread, null=True, on_delete="SET NULL", index=False)
    duplicate_of = BigIntegerField(null=True)
    size = IntegerField(default=0)

    class Meta:
        indexes = (
            (("state", "reason"), False),
            (("rep", "inbound_id"), False),
            (("sender", "inbound_id"), False),
        )


class Trace(_Main):
    """What each step found: one compact JSON blob an inbound message (entries, and the case the policy saw)."""

    inbound_id = BigIntegerField(primary_key=True)
    entries = JsonField()
    case = JsonField(null=True)


# --- around it ----------------------------------------------------------------------------------------------------


class Notice(_Main):
    """The outbox: mail that Dropcopy sends."""

    id = _IdField()
    inbound_id = BigIntegerField(null=True)
    kind = TextField()
    address = TextField()
    key = TextField(unique=True)  # one a key: no notice goes out twice
    subject = TextField()
    body = TextField()  # sealed, for it may hold a one-time link; empty once it is sent or given up
    created_at = MomentField()
    due_at = MomentField(null=True)
    attempts = IntegerField(default=0)
    trouble = TextField(default="")  # why the last try came to nothing
    sent_at = MomentField(null=True)
    failed = TextField(null=True)  # given up, and why

    class Meta:
        indexes = ((("inbound_id", "kind"), True), (("address", "kind"), False), (("sent_at", "due_at"), False))


class Event(_Main):
    id = _IdField()
    name = TextField()
    at = MomentField()
    facts = JsonField(default=dict)


class EventDelivery(_Main):
    id = _IdField()
    event = ForeignKeyField(Event, backref="deliveries", on_delete="CASCADE", index=False)
    sink = TextField()
    attempts = IntegerField(default=0)
    due_at = MomentField(null=True)
    done_at = MomentField(null=True)  # told, or given up when `failed` is set
    failed = TextField(null=True)  # why the last try came to nothing

    class Meta:
        indexes = ((("event", "sink"), True), (("sink", "done_at"), False))


class SourceInstance(_Main):
    id = _IdField()
    kind = TextField()
    name = TextField(unique=True)
    token = TextField(unique=True)
    enabled = BooleanField(default=True)
    settings = JsonField(default=dict)  # without the secrets
    secrets = TextField(default="")  # sealed JSON
    state = JsonField(default=dict)
    last_mail_at = MomentField(null=True)
    last_error = SentenceField(default="")
    last_error_at = MomentField(null=True)
    created_at = MomentField()


class SourceRequest(_Main):
    """The last requests of a webhook instance, redacted, for its page."""

    id = _IdField()
    instance = ForeignKeyField(SourceInstance, backref="requests", on_delete="CASCADE")
    at = MomentField()
    status = IntegerField()
    sentence = SentenceField(default="")
    facts = JsonField(default=dict)


class PluginState(_Main):
    name = TextField(primary_key=True)
    enabled = BooleanField(default=True)
    calls = IntegerField(default=0)
    seconds = FloatField(default=0)
    last_error = SentenceField(default="")
    last_error_at = MomentField(null=True)


class StepTime(_Main):
    """How often each step of the pipeline has run and how long it took in all, for the metrics."""

    step = TextField(primary_key=True)
    number = BigIntegerField(default=0)
    seconds = FloatField(default=0)


class ApiToken(_Main):
    id = _IdField()
    rep = ForeignKeyField(Rep, backref="tokens", on_delete="CASCADE")
    name = TextField(default="")
    hashed = TextField(unique=True)
    created_at = MomentField()
    last_used_at = MomentField(null=True)


class OneTimeLink(_Main):
    """Invitations, password resets, address confirmations: random, hashed, single use, 24 hours."""

    hashed = TextField(primary_key=True)
    purpose = TextField()
    rep = ForeignKeyField(Rep, null=True, on_delete="CASCADE")
    facts = JsonField(default=dict)
    created_at = MomentField()
    used_at = MomentField(null=True)


class Throttle(_Main):
    """A token bucket by key: sign-in, API, confirmation mails."""

    key = TextField(primary_key=True)
    tokens = FloatField()
    at = MomentField()


class Audit(_Main):
    id = _IdField()
    at = MomentField()
    who = TextField()
    act = TextField()
    about = TextField(default="", index=True)
    facts = JsonField(default=dict)


class Undo(_Main):
    """An act that can be taken back for a short time: what it was and the facts to reverse it."""

    token = TextField(primary_key=True)
    rep = ForeignKeyField(Rep, on_delete="CASCADE")
    act = TextField()
    facts = JsonField(default=dict)
    at = MomentField()


# What is often NULL is indexed where it is set: a row of NULL answers no question, and would cost each filed mail a page.
for _set, *_columns in (
    (Link.contact, Link.contact, Link.reader), (Link.organisation, Link.organisation, Link.reader), (Link.record, Link.record, Link.reader),
    (Participant.contact, Participant.contact), (Thread.waiting, Thread.owner, Thread.waiting, Thread.deleted_at, Thread.last_at, Thread.id), (Thread.split_from, Thread.split_from),
    (Outcome.thread, Outcome.thread), (Thread.waiting, Thread.last_at, Thread.id), (Link.record, Link.created_at),
    (ThreadState.archived_at, ThreadState.rep, ThreadState.archived_at, ThreadState.thread),
):  # fmt: skip
    _set.model.add_index(_set.model.index(*_columns, where=_set.is_null(False)))

# Who is a contact already is found by that; an address is looked for among the others only, when somebody gets it.
Participant.add_index(Participant.index(Participant.address, where=Participant.contact.is_null()))


# What did not get in, as the index of a rep's says it: a database uses a partial index for the very words of its condition only.
NOT_LOGGED = Outcome.state != SQL("'logged'")
NOT_LOGGED_SQL = "state <> 'logged'"
Outcome.add_index(Outcome.index(Outcome.rep, Outcome.state, Outcome.reason, where=NOT_LOGGED))


INTAKE_MODELS = [Raw, Inbound]
MAIN_MODELS = [
    Setting, Pulse, Lease, Rep, SenderAddress, TeamAddress, NeverLog, BlockedDomain, Organisation, OrganisationDomain, Contact,
    ContactAddress, Record, RecordContact, RecordHistory, DropAddress, Thread, ThreadState, ShownSender, ThreadId, Message, Participant, Attachment,
    Link, Candidate, Outcome, Trace, Notice, Event, EventDelivery, SourceInstance, SourceRequest, PluginState, StepTime, ApiToken, OneTimeLink,
    Throttle, Audit, Undo,
]  # fmt: skip
