"""What the API reads and sends, as models: the requests are checked against them, the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, create_model

from core.store.company import Company
from core.store.fields import in_utc
from core.types import LINK_KINDS

Key = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[int, Field(ge=1, lt=2**63)]
Sharing = Literal["private", "company"]
Text = Annotated[str, Field(max_length=1000)]
Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]


class Reads(BaseModel):
    """A body or query of a request: a field that does not exist is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Sends(BaseModel):
    model_config = ConfigDict(populate_by_name=True)


# --- lists --------------------------------------------------------------------------------------------------------


class ListQuery(Reads):
    cursor: Annotated[str, Field(max_length=200)] | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=200)


class Nothing(Reads):
    """No field needs to be given."""


# --- people in mail -----------------------------------------------------------------------------------------------


class Mailbox(Sends):
    name: str | None
    address: str


class AttachmentShape(Sends):
    id: int
    filename: str
    content_type: str
    size: int
    inline: bool
    content_id: str | None
    sha256: str
    note: str


class MessageShape(Sends):
    id: int
    inbound_id: int
    thread_id: int
    message_id: str | None
    sender: Mailbox = Field(alias="from")
    to: list[Mailbox]
    cc: list[Mailbox]
    date: AwareDatetime
    subject: str
    text: str
    html: str
    attachments: list[AttachmentShape]
    forward: dict[str, Any] | None
    authentication: dict[str, Any]


class LinkShape(Sends):
    id: int
    kind: str
    target_id: int
    external_id: str | None
    title: str
    reason: str
    because: str
    made_by: str
    created_at: AwareDatetime


class CandidateShape(Sends):
    kind: str
    target_id: int
    external_id: str | None
    title: str
    status: str
    reason: str
    because: str
    offer: bool


class ThreadRowShape(Sends):
    id: int
    subject: str
    owner: str
    sharing: Sharing
    started_at: AwareDatetime
    last_at: AwareDatetime
    waiting: Literal["needs-choice"] | str | None
    waiting_reason: str
    conversation_id: str
    who: str
    snippet: str
    message_count: int
    linked: bool
    has_attachment: bool
    unread: bool
    archived: bool
    metadata_only: bool = Field(description="True for an admin on another's private thread: who, when and state alone.")
    links: list[LinkShape]


class OpeningShape(Sends):
    at: AwareDatetime
    who: str
    act: str


class ThreadShape(ThreadRowShape):
    messages: list[MessageShape]
    more: int | None = Field(description="Older mails: give it as `before`.")
    candidates: list[CandidateShape]
    related: list[int]
    openings: list[OpeningShape] = Field(description="When admins opened or linked this private thread.")


class ThreadSplit(ThreadShape):
    undo: str = Field(description="Puts the mails back: give it to /undo within half an hour.")


class ThreadList(Sends):
    items: list[ThreadRowShape]
    next: str | None
    understood: str = Field("", description="What the search made of `q`.")
    notes: list[str] = Field([], description="What of `q` was not understood.")


class ThreadsQuery(ListQuery):
    q: Annotated[str, Field(max_length=1000)] | None = Field(None, description="Words and operators of the search box.")
    owner: Annotated[str, Field(max_length=320)] | None = Field(None, description="A rep, by account address or id.")
    linked: bool | None = Field(None, description="Whether the thread is linked to a deal, lead or project.")
    tab: Literal["everything", "all", "needs-choice", "mine", "shared", "archived"] = "everything"


class ThreadQuery(Reads):
    before: int | None = Field(None, ge=1, lt=2**63, description="Mails older than this one of the thread.")


class ThreadChange(Reads):
    sharing: Sharing | None = None
    archived: bool | None = None
    seen: bool | None = None


class LinkWanted(Reads):
    kind: Literal["contact", "organisation", "deal", "lead", "project"]
    id: Id
    replace: bool = False


class SplitWanted(Reads):
    messages: list[Id] = Field(min_length=1, max_length=500)


assert set(LinkWanted.model_fields["kind"].annotation.__args__) == set(LINK_KINDS)  # type: ignore[union-attr]


# --- inbound ------------------------------------------------------------------------------------------------------


class InboundShape(Sends):
    id: int
    state: Literal["received", "processing", "logged", "held", "ignored"]
    reason: str
    sentence: str
    remedy: str
    source: str
    received_at: AwareDatetime
    message_id: str | None
    mail_from: str | None
    rcpt_to: list[str]
    sender: str
    subject: str
    rep: str | None
    rule: str
    thread_id: int | None
    duplicate_of: int | None
    size: int


class TraceShape(Sends):
    step: str
    outcome: str
    reason: str
    sentence: str
    remedy: str = Field(description="What would mend it; empty when nothing needs to be mended.")
    params: dict[str, Any]


class InboundWithTrace(InboundShape):
    trace: list[TraceShape]


class InboundList(Sends):
    items: list[InboundShape]
    next: str | None


class InboundQuery(ListQuery):
    state: Literal["received", "processing", "logged", "held", "ignored"] | None = None
    reason: Annotated[str, Field(max_length=100)] | None = None
    message_id: Annotated[str, Field(max_length=1000)] | None = None


class ReleaseWanted(Reads):
    rep: Annotated[str, Field(max_length=320)] | int | None = Field(None, description="Whose mail it is to be: account address or id (admins only).")


class FindQuery(ListQuery):
    message_id: Annotated[str, Field(max_length=1000)] | None = None
    sender: Annotated[str, Field(max_length=320)] | None = Field(None, description="An address; when nothing came from it, a part of one, such as a domain.")
    subject: Annotated[str, Field(max_length=1000)] | None = None


class FindAnswer(Sends):
    items: list[InboundShape]
    next: str | None
    waiting: int = Field(description="Accepted mails still on their way (admins only).")


# --- people and records -------------------------------------------------------------------------------------------


class ContactShape(Sends):
    id: int
    external_id: str | None
    name: str
    addresses: list[str]
    organisation: int | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ContactMerged(ContactShape):
    undo: str = Field(description="Parts the two again: give it to /undo within half an hour.")


class ContactList(Sends):
    items: list[ContactShape]
    next: str | None


class ContactsQuery(ListQuery):
    q: Text | None = None
    external_id: Key | None = None
    address: Annotated[str, Field(max_length=320)] | None = None
    organisation: Id | None = None


class ContactChange(Reads):
    name: Text | None = None
    external_id: Key | None = None
    addresses: list[Annotated[str, Field(max_length=320)]] | None = None
    organisation: Id | None = None


class MergeWanted(Reads):
    other: Id = Field(description="The contact that becomes a part of this one.")


class OrganisationShape(Sends):
    id: int
    external_id: str | None
    name: str
    domains: list[str]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class OrganisationList(Sends):
    items: list[OrganisationShape]
    next: str | None


class OrganisationsQuery(ListQuery):
    q: Text | None = None
    external_id: Key | None = None
    domain: Annotated[str, Field(max_length=253)] | None = None


class OrganisationChange(Reads):
    name: Text | None = None
    external_id: Key | None = None
    domains: list[Annotated[str, Field(max_length=253)]] | None = None


class OrganisationWanted(OrganisationChange):
    name: Text


class RecordShape(Sends):
    id: int
    kind: Literal["deal", "lead", "project"]
    external_id: str | None
    title: str
    status: str
    contacts: list[int]
    organisation: int | None
    owner: int | None
    bcc_address: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None
    last_activity_at: AwareDatetime | None


class RecordList(Sends):
    items: list[RecordShape]
    next: str | None


class RecordsQuery(ListQuery):
    q: Text | None = None
    external_id: Key | None = None
    status: Annotated[str, Field(max_length=20)] | None = None
    contact: Id | None = None
    organisation: Id | None = None


class RecordChange(Reads):
    title: Text | None = None
    status: Annotated[str, Field(max_length=20)] | None = None
    external_id: Key | None = None
    contacts: list[Id] | None = None
    organisation: Id | None = None
    owner: Id | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    closed_at: Moment | None = None


class RecordWanted(RecordChange):
    title: Text


class AddressShape(Sends):
    address: str
    kind: Literal["connected", "account", "alias", "alternative"]
    verified: bool
    connected_at: AwareDatetime | None


class RepShape(Sends):
    id: int
    external_id: str | None
    email: str
    name: str
    role: Literal["admin", "member"]
    status: Literal["active", "suspended"]
    default_sharing: Sharing
    auto_link: bool
    addresses: list[AddressShape]
    created_at: AwareDatetime


class RepList(Sends):
    items: list[RepShape]
    next: str | None


class RepsQuery(ListQuery):
    external_id: Key | None = None
    email: Annotated[str, Field(max_length=320)] | None = None


class AddressWanted(Reads):
    address: Annotated[str, Field(max_length=320)]
    kind: Literal["connected", "account", "alias", "alternative"] = "alternative"
    verified: bool | None = Field(None, description="Unless told, as the kind has it: only an alternative address waits for its confirmation.")
    connected_at: Moment | None = None


class RepChange(Reads):
    external_id: Key | None = None
    email: Annotated[str, Field(max_length=320)] | None = None
    name: Text | None = None
    role: Literal["admin", "member"] | None = None
    status: Literal["active", "suspended"] | None = None
    password: Annotated[str, Field(max_length=1024)] | None = None
    default_sharing: Sharing | None = None
    auto_link: bool | None = None
    addresses: list[AddressWanted] | None = None


class RepWanted(RepChange):
    email: Annotated[str, Field(max_length=320)]


class TokenWanted(Reads):
    name: Annotated[str, Field(max_length=100)] = ""


class TokenMade(Sends):
    id: int
    token: str = Field(description="Shown this once.")


class TokenShape(Sends):
    id: int
    name: str
    created_at: AwareDatetime
    last_used_at: AwareDatetime | None


class TokenList(Sends):
    items: list[TokenShape]
    next: str | None


class Undone(Sends):
    act: str = Field(description="What was taken back, such as `merge` or `split`.")


class Me(Sends):
    id: int
    email: str
    role: str


# --- the house ----------------------------------------------------------------------------------------------------


class DropAddressShape(Sends):
    kind: str
    address: str
    retired_at: AwareDatetime | None
    works_until: AwareDatetime | None


class DropAddressList(Sends):
    items: list[DropAddressShape]
    next: str | None


class NeverLogShape(Sends):
    id: int
    pattern: str
    added_by: str
    created_at: AwareDatetime


class NeverLogList(Sends):
    items: list[NeverLogShape]
    next: str | None


class NeverLogWanted(Reads):
    pattern: Annotated[str, Field(min_length=1, max_length=320)]


class BlockedDomainShape(Sends):
    domain: str
    added_by: str
    created_at: AwareDatetime


class BlockedDomainList(Sends):
    items: list[BlockedDomainShape]
    next: str | None


class BlockedDomainWanted(Reads):
    domain: Annotated[str, Field(min_length=1, max_length=253)]


class OutboxShape(Sends):
    waiting: int = Field(description="Mails of Dropcopy's own that are not sent yet.")
    oldest: AwareDatetime | None
    trouble: str = Field(description="What went wrong last with one that waits.")
    given_up: int = Field(description="In the last 7 days.")


class WebhookSecretShape(Sends):
    secret: str


class PolicyShape(Sends):
    name: str
    title: str
    exclusive: bool
    version: str
    chosen: bool
    options: dict[str, Any] | None = Field(description="JSON Schema of its options.")


class PolicyList(Sends):
    items: list[PolicyShape]
    next: str | None


class PluginShape(Sends):
    model_config = ConfigDict(extra="allow")

    name: str
    title: str
    origin: str
    enabled: bool
    last_error: str


class PluginList(Sends):
    items: list[PluginShape]
    next: str | None


class SettingsShape(Company):
    """Every setting of the company."""

    model_config = ConfigDict(extra="allow")


# The same fields, each of which may be left out.
SettingsChange: type[BaseModel] = create_model(  # type: ignore[call-overload]
    "SettingsChange", __config__=ConfigDict(extra="forbid"), **{name: (field.annotation, field) for name, field in Company.model_fields.items()}
)


class SourceShape(Sends):
    id: int
    kind: str
    name: str
    enabled: bool
    settings: dict[str, Any]
    secrets: list[str] = Field(description="Names of the secrets that are set; they are never shown.")
    url: str | None = Field(description="Where a webhook's provider posts to.")
    last_mail_at: AwareDatetime | None
    last_error: str
    created_at: AwareDatetime


class SourceList(Sends):
    items: list[SourceShape]
    next: str | None


class SourceWanted(Reads):
    kind: Annotated[str, Field(max_length=50)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    enabled: bool = True
    settings: dict[str, Any] = Field(default_factory=dict)


class SourceChange(Reads):
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    enabled: bool | None = None
    settings: dict[str, Any] | None = None


class PollAnswer(Sends):
    sentence: str
