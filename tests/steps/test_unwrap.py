"""A Bcc is filed as it is, a forward into the box as what it forwards, and nothing is guessed."""

from __future__ import annotations

import pytest

from core.steps.unwrap import unwrap
from core.types import Forward
from tests.steps.world import ANA, BCC, BCC_DROP, BEN, BO, CY, FORWARD_DROP, FORWARDING, HOUSE, block, mail, reasons

INTO_BOX = mail(to=(FORWARD_DROP.address,), subject="Fwd: Re: Ten oak chairs")
INTO_BCC = mail(to=(BCC_DROP.address,), subject="Fwd: Re: Ten oak chairs")


def test_a_mail_that_is_no_forward_is_the_reps_own():
    found = unwrap(mail(), None, BCC)
    assert not found.is_forward
    assert found.sender is not None
    assert found.sender.address == ANA
    assert reasons(found.trace) == ["not-a-forward"]


def test_a_forward_to_the_forwarding_address_is_what_its_author_wrote():
    found = unwrap(INTO_BOX, block(), FORWARDING)
    assert found.is_forward
    assert found.sender is not None
    assert found.sender.address == BO
    assert reasons(found.trace) == ["forward-read"]


def test_a_forward_sent_to_the_bcc_address_is_recognised_too():
    found = unwrap(INTO_BCC, block(), BCC)
    assert found.is_forward
    assert found.sender is not None
    assert found.sender.address == BO


def test_a_forward_with_the_drop_address_in_bcc_and_nobody_in_to_is_one_as_well():
    assert unwrap(mail(to=()), block(), BCC).is_forward


def test_a_bcc_to_the_forwarding_address_that_is_no_forward_is_a_bcc():
    found = unwrap(mail(to=(BO,)), None, FORWARDING)
    assert not found.is_forward
    assert found.sender is not None
    assert found.sender.address == ANA


def test_a_mail_to_the_forwarding_address_alone_without_any_block_waits():
    """F31: whoever sends there forwards something, also when the program or the writer took every sign of it away."""
    for given in (mail(to=(FORWARD_DROP.address,), subject="Ten oak chairs"), mail(to=()), mail(to=(FORWARD_DROP.address, BEN))):
        found = unwrap(given, None, FORWARDING, ours=HOUSE.ours)
        assert (found.is_forward, found.sender, found.waits) == (True, None, "forward-unreadable")
    assert not unwrap(mail(to=(BCC_DROP.address,)), None, BCC, ours=HOUSE.ours).waits


def test_a_forward_to_a_customer_with_the_drop_address_in_bcc_is_the_reps_own_mail():
    found = unwrap(mail(to=(CY,), subject="Fwd: prices"), block(), BCC)
    assert not found.is_forward
    assert found.forward is None
    assert reasons(found.trace) == ["forward-to-others"]


def test_a_forward_to_a_colleague_with_the_drop_address_in_bcc_is_filed_on_its_author():
    found = unwrap(mail(to=(BEN,)), block(), BCC, ours=HOUSE.ours)
    assert found.is_forward


def test_the_forwarding_address_means_a_forward_whoever_else_gets_it():
    assert unwrap(mail(to=(CY,), subject="Fwd: prices"), block(), FORWARDING).is_forward


@pytest.mark.parametrize("forward", [Forward(unreadable=True), Forward(unreadable=True, note=f"loop in {CY}"), block(sender=None)])
def test_an_unreadable_block_waits_and_nobody_is_guessed(forward):
    found = unwrap(INTO_BOX, forward, FORWARDING)
    assert found.is_forward
    assert found.waits == "forward-unreadable"
    assert found.sender is None
    assert found.forward is None


def test_an_unreadable_block_in_a_mail_to_a_customer_holds_nothing_up():
    found = unwrap(mail(to=(CY,), subject="Fwd: prices"), Forward(unreadable=True), BCC)
    assert not found.waits
    assert not found.is_forward


@pytest.mark.parametrize("evidence, waits", [("text", True), ("html", True), ("both", False), ("attachment", False)])
def test_strict_mode_wants_the_block_in_text_and_html(evidence, waits):
    found = unwrap(INTO_BOX, block(evidence=evidence), FORWARDING, strict=True)
    assert found.waits == ("forward-not-both" if waits else "")
    assert (found.sender is None) == waits
    assert not unwrap(INTO_BOX, block(evidence=evidence), FORWARDING).waits
