"""Every hook with its meaning. A plugin imports `hookimpl` from here; plugins/README.md explains each with an example."""

from __future__ import annotations

import pluggy

from core.types import Check, Connector, Email, Forward, HouseEvent, LinkPolicy, SinkContext, Source

hookspec = pluggy.HookspecMarker("dropcopy")
hookimpl = pluggy.HookimplMarker("dropcopy")


@hookspec
def register_sources() -> list[Source]:  # type: ignore[empty-body]
    """Kinds of way in: SMTP, a webhook, IMAP. What the admin adds is an instance of one of them."""


@hookspec
def register_checks() -> list[Check]:  # type: ignore[empty-body]
    """Authentication methods. Each returns AuthResults in the words of RFC 8601; the core folds them with alignment."""


@hookspec(firstresult=True)
def read_forward(email: Email, raw: bytes) -> Forward | None:
    """Read the forwarded block of a mail. The first answer wins; None leaves it to the next reader, the core's is last.

    An implementation that needs no bytes takes `email` alone; `raw` is for those that open attachments
    (`core.mail.parse.attachment_bytes(raw, attachment.part)`).
    """


@hookspec
def register_link_policies() -> list[LinkPolicy]:  # type: ignore[empty-body]
    """Ways to choose the records of a thread. `decide` is pure, so the simulator may run it over any past mail."""


@hookspec
def register_connectors() -> list[Connector]:  # type: ignore[empty-body]
    """Other CRMs: find contacts and open records there, and tell them of a logged mail."""


@hookspec
def on_event(event: HouseEvent, context: SinkContext) -> None:
    """Called after the commit, beside the mails, once a sink and event; an exception makes the delivery retry.

    An implementation that needs no settings and no HTTP takes `event` alone. A delivery that broke off half-way comes
    again, so `event.id` is what tells a second one from a first.
    """
