"""Whatever a step says about a mail, a person can read it: a known code, and no gap in its sentence."""

from __future__ import annotations

import pytest

from core import reasons
from core.errors import Held, Ignored
from core.steps import admit, contacts, thread, unwrap
from core.steps.thread import ThreadFact
from core.types import Forward, TraceEntry
from tests.steps.world import (
    BCC,
    BCC_DROP,
    BEN,
    BO,
    CY,
    FORWARDING,
    HOUSE,
    block,
    boxes,
    contact,
    envelope,
    forwarded,
    mail,
    written,
)

CROWD = mail(to=(BO, BEN, "info@cust.example", BCC_DROP.address, *(f"p{n}@cust.example" for n in range(60))), cc=(CY,))
BRIDGE = mail(refs=("a@x.example", "b@x.example"))


def traces() -> dict[str, tuple[TraceEntry, ...]]:
    into_box = mail(to=("acme-fwd@drop.example",))
    cc = forwarded(block(cc=boxes(CY, BEN)))
    a, b, split = (ThreadFact(n, (name,), split=n == 3) for n, name in ((1, "a@x.example"), (2, "b@x.example"), (3, "b@x.example")))
    return {
        "admit": admit.admit(mail(), envelope(), [BCC_DROP]).trace,
        "a bcc": unwrap.unwrap(mail(), None, BCC).trace,
        "a forward": unwrap.unwrap(into_box, block(), FORWARDING).trace,
        "a forward to others": unwrap.unwrap(mail(), block(), BCC).trace,
        "an unreadable forward": unwrap.unwrap(into_box, Forward(unreadable=True), FORWARDING).trace,
        "a strict house": unwrap.unwrap(into_box, block(evidence="text"), FORWARDING, strict=True).trace,
        "a crowd": contacts.plan(CROWD, written(CROWD), envelope(BCC_DROP.address, "x@y.example"), HOUSE, {CY: contact(1)}).trace,
        "a forward's people": contacts.plan(into_box, cc, envelope(), HOUSE, {}).trace,
        "nobody": contacts.plan(mail(to=()), written(mail(to=())), envelope(), HOUSE, {}).trace,
        "a new thread": thread.choose(mail(), written(mail()), []).trace,
        "a merge": thread.choose(BRIDGE, written(BRIDGE), [a, b]).trace,
        "a split": thread.choose(BRIDGE, written(BRIDGE), [a, split]).trace,
    }


@pytest.mark.parametrize("name", traces())
def test_every_entry_reads_as_a_whole_sentence(name):
    trace = traces()[name]
    assert trace
    for entry in trace:
        assert entry.reason in reasons.REASONS
        assert "…" not in reasons.sentence(entry.reason, entry.params)


@pytest.mark.parametrize(
    "stop",
    [
        lambda: admit.admit(mail(), envelope("x@y.example"), []),
        lambda: admit.admit(mail(machine="bounce"), envelope(), [BCC_DROP]),
        lambda: admit.admit(mail(loop=True), envelope(), [BCC_DROP]),
        lambda: contacts.plan(mail(), forwarded(block(BCC_DROP.address)), envelope(), HOUSE, {}),
    ],
    ids=["no drop address", "machine mail", "loop", "our own notice"],
)
def test_every_stop_reads_as_a_whole_sentence(stop):
    with pytest.raises((Held, Ignored)) as why:
        stop()
    assert "…" not in reasons.sentence(why.value.code, why.value.params)
