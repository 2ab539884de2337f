"""Only a mail that somebody wrote and sent to a drop address goes on."""

from __future__ import annotations

import pytest

from core.errors import Held, Ignored
from core.steps.admit import admit, read
from core.types import Drop
from tests.steps.world import BCC_DROP, FORWARD_DROP, envelope, mail, reasons

RECORD_DROP = Drop("r-k7@drop.example", "record", record_id=7)


def test_the_envelope_decides_and_not_the_header():
    with pytest.raises(Held) as stop:
        admit(mail(to=("acme@drop.example",)), envelope("somebody@else.example"), [])
    assert stop.value.code == "no-drop-address"


def test_a_drop_address_that_the_envelope_does_not_name_does_not_count():
    with pytest.raises(Held):
        admit(mail(), envelope("somebody@else.example"), [BCC_DROP])


def test_the_drop_address_is_found_whatever_its_case():
    admission = admit(mail(), envelope("ACME@Drop.Example"), [BCC_DROP])
    assert admission.kind == "bcc"
    assert reasons(admission.trace) == ["admitted"]


def test_an_empty_envelope_is_held():
    with pytest.raises(Held, match="no-drop-address"):
        admit(mail(), envelope(*()).__class__("smtp"), [BCC_DROP])


@pytest.mark.parametrize(
    "drops, kind",
    [
        ([BCC_DROP, FORWARD_DROP], "forward"),
        ([RECORD_DROP, BCC_DROP], "bcc"),
        ([RECORD_DROP], "record"),
        ([FORWARD_DROP, RECORD_DROP], "forward"),
    ],
)
def test_the_forwarding_address_comes_before_the_bcc_address_before_a_record(drops, kind):
    admission = admit(mail(), envelope(*(drop.address for drop in drops)), drops)
    assert admission.kind == kind
    assert admission.drops == tuple(drops)
    assert admission.record_ids == ((7,) if RECORD_DROP in drops else ())


def test_several_records_are_all_named_each_once():
    other = Drop("r-k8@drop.example", "record", record_id=8)
    admission = admit(mail(), envelope(RECORD_DROP.address, other.address), [RECORD_DROP, other, RECORD_DROP])
    assert admission.record_ids == (7, 8)


def test_our_own_mail_that_comes_back_is_ignored():
    with pytest.raises(Ignored) as stop:
        admit(mail(loop=True, machine="auto-generated"), envelope(), [BCC_DROP])
    assert stop.value.code == "loop"


@pytest.mark.parametrize("kind", ["bounce", "report", "auto-reply", "auto-generated"])
def test_what_a_machine_wrote_is_held_and_never_dropped(kind):
    with pytest.raises(Held) as stop:
        admit(mail(machine=kind), envelope(), [BCC_DROP])
    assert (stop.value.code, stop.value.params) == ("machine-mail", {"kind": kind})


def test_the_null_sender_is_a_machine():
    with pytest.raises(Held) as stop:
        admit(mail(), envelope(mail_from=""), [BCC_DROP])
    assert stop.value.code == "machine-mail"


def test_an_unknown_envelope_sender_is_no_null_sender():
    assert admit(mail(), envelope(mail_from=None), [BCC_DROP]).kind == "bcc"


@pytest.mark.parametrize("kind", ["list", "bulk", ""])
def test_a_rep_may_write_to_a_list(kind):
    assert admit(mail(machine=kind), envelope(), [BCC_DROP]).kind == "bcc"


def test_a_dry_run_sees_the_drop_addresses_of_a_machine_mail_too():
    assert read(envelope(), [BCC_DROP]).drops == (BCC_DROP,)
