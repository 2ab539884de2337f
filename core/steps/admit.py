"""Is this a mail that somebody wrote and sent to one of our drop addresses?

The envelope decides, never To or Cc: a drop address stands in Bcc as a rule, and a header can be written by anybody.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Held, Ignored
from core.steps.facts import Admission, address_key
from core.types import Drop, Email, Envelope, TraceEntry

STEP = "admit"

# RFC 3834 2 and RFC 3462: what a machine wrote by itself is never filed as a rep's mail, and never answered. It is held
# and not ignored, because Microsoft marks mail that a rule forwarded as auto-generated. A list or bulk mark says only
# how a mail was spread: a rep may well have written it.
MACHINES = ("bounce", "report", "auto-reply", "auto-generated")


def read(envelope: Envelope, drops: Sequence[Drop]) -> Admission:
    """Which drop addresses the envelope named, without judging.

    `drops` is what the store found for `envelope.rcpt_to` (retired ones within their grace period included); one that
    the envelope does not name is left out.
    """
    named = {address_key(address) for address in envelope.rcpt_to}
    met: dict[str, Drop] = {}
    for drop in drops:
        key = address_key(drop.address)
        if key in named:
            met.setdefault(key, drop)
    kinds = {drop.kind for drop in met.values()}
    kind = next((kind for kind in ("forward", "bcc", "record") if kind in kinds), "")
    records = dict.fromkeys(drop.record_id for drop in met.values() if drop.kind == "record" and drop.record_id is not None)
    trace = tuple(TraceEntry(STEP, "pass", "admitted", {"address": drop.address, "kind": drop.kind}) for drop in met.values())
    return Admission(tuple(met.values()), kind, tuple(records), trace)


def admit(email: Email, envelope: Envelope, drops: Sequence[Drop]) -> Admission:
    """The drop addresses of the mail.

    Raises Ignored("loop") for mail that we sent ourselves, Held("too-complex") for one that was read in part only, Held("machine-mail", kind=…) for bounces, reports and
    automatic answers (the null sender of RFC 5321 4.5.5 is enough), Held("no-drop-address") when the envelope names
    none of ours.
    """
    if email.loop:
        raise Ignored("loop")
    if "too-complex" in email.defects:
        raise Held("too-complex", detail="its header or its nesting goes beyond every bound")
    kind = machine_kind(email, envelope)
    if kind:
        raise Held("machine-mail", kind=kind)
    admission = read(envelope, drops)
    if not admission.drops:
        raise Held("no-drop-address")
    return admission


def machine_kind(email: Email, envelope: Envelope) -> str:
    """The kind of machine that wrote the mail, or "" when a person may have written it."""
    if email.machine in MACHINES:
        return email.machine
    if envelope.mail_from == "":
        return "bounce"
    return ""
