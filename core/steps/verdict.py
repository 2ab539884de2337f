"""All that was decided about one mail: what the pipeline collects, the filing writes and `explain` prints."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.steps.contacts import ContactPlan
from core.steps.facts import Admission, Unwrapped
from core.steps.link import LinkPlan
from core.steps.thread import Choice, MessageFact
from core.types import Attribution, Envelope, LinkCase, Reading, TraceEntry


@dataclass
class Verdict:
    """Filled step by step. `state` and `reason` are those of the first step that stopped the mail, else logged.

    Steps after the stop are still computed where they can be, so that a person sees the whole way.
    """

    reading: Reading
    envelope: Envelope
    arrived: dt.datetime
    at: dt.datetime  # the house's time of the mail
    state: str = "logged"
    reason: str = "logged"
    params: Mapping[str, Any] = field(default_factory=dict)
    trace: list[TraceEntry] = field(default_factory=list)
    admission: Admission = Admission()
    attribution: Attribution = Attribution("unattributed")
    unwrapped: Unwrapped = Unwrapped()
    key: str = ""
    duplicate_of: int | None = None  # the message that was logged before
    duplicate_inbound: int | None = None
    first: Any = None  # what the store knows of that message (core.store.lookups.Logged)
    choice: Choice | None = None
    fact: MessageFact | None = None
    thread_id: int | None = None  # the thread that took it, once it is filed
    conversation: str = ""
    absorbed: tuple[str, ...] = ()
    contacts: ContactPlan = ContactPlan()
    case: LinkCase | None = None
    links: LinkPlan = LinkPlan()
    policy: str = ""
    policy_version: str = ""
    policy_error: str = ""  # the kind of error with which the policy failed
    sharing: str = "private"
    retry_after: dt.datetime | None = None

    def stop(self, state: str, reason: str, params: Mapping[str, Any] | None = None) -> None:
        """The first stop decides."""
        if self.state == "logged":
            self.state, self.reason, self.params = state, reason, dict(params or {})

    @property
    def sender(self) -> str:
        mailbox = self.reading.email.identity.mailbox
        return mailbox.address if mailbox else ""
