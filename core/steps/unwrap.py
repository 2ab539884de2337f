"""Is the mail itself to be filed, or the mail that it forwards?

Whoever wrote the forwarded mail is claimed by the rep, not proved; the name is used to find the contact and for nothing
else. What cannot be read is not guessed: the thread waits for a choice.
"""

from __future__ import annotations

from collections.abc import Callable

from core.steps.facts import Admission, Unwrapped, address_key
from core.types import Email, Forward, TraceEntry

STEP = "unwrap"


def unwrap(
    email: Email,
    forward: Forward | None,
    admission: Admission,
    *,
    strict: bool = False,
    ours: Callable[[str], bool] = lambda address: False,
) -> Unwrapped:
    """Decide what is filed.

    forward  what a forward reader found, None when the mail is no forward
    strict   demand the block in both text and HTML (an attached original has real headers and is enough by itself)
    ours     says whether an address belongs to the company; our drop addresses need not be known to it
    """
    author = email.identity.mailbox
    to_others = _goes_to_others(email, admission, ours)
    if forward is None:
        if admission.kind == "forward" and not to_others:  # F31: the address says that a mail is forwarded, also when nothing of it shows
            return _waiting("forward-unreadable")
        return Unwrapped(sender=author, trace=(TraceEntry(STEP, "pass", "not-a-forward"),))
    if admission.kind != "forward" and to_others:
        return Unwrapped(sender=author, trace=(TraceEntry(STEP, "pass", "forward-to-others"),))
    waits = _why_unusable(forward, strict)
    if waits:
        return _waiting(waits)
    assert forward.sender is not None
    entry = TraceEntry(STEP, "pass", "forward-read", {"address": forward.sender.address, "client": forward.client or ""})
    return Unwrapped(is_forward=True, forward=forward, sender=forward.sender, trace=(entry,))


def _waiting(reason: str) -> Unwrapped:
    return Unwrapped(is_forward=True, waits=reason, trace=(TraceEntry(STEP, "wait", reason),))


def _why_unusable(forward: Forward, strict: bool) -> str:
    if forward.unreadable or forward.sender is None:
        return "forward-unreadable"
    if strict and forward.evidence not in ("both", "attachment"):
        return "forward-not-both"
    return ""


def _goes_to_others(email: Email, admission: Admission, ours: Callable[[str], bool]) -> bool:
    """True when the mail was sent to people outside: then the drop address was in Bcc, and the mail is the rep's own."""
    drops = {address_key(drop.address) for drop in admission.drops}
    return any(address_key(box.address) not in drops and not ours(box.address) for box in (*email.to, *email.cc))
