"""One mail through two ways in is one mail; two mails that look alike are two."""

from __future__ import annotations

import datetime as dt

import pytest

from core.steps.dedupe import key
from tests.steps.world import BO, CY, NOW, day, mail

FIRST = key(1, mail(), "b" * 64)


def test_the_same_mail_through_another_source_has_the_same_key():
    elsewhere = mail(date=NOW.astimezone(dt.timezone(dt.timedelta(hours=5))), headers=(("Received", "from there"),))
    assert key(1, elsewhere, "b" * 64) == FIRST


@pytest.mark.parametrize(
    "other",
    [
        key(2, mail(), "b" * 64),
        key(1, mail(id="m2@sales.example"), "b" * 64),
        key(1, mail(sender="ben@sales.example"), "b" * 64),
        key(1, mail(date=day(1)), "b" * 64),
        key(1, mail(date=None), "b" * 64),
        key(1, mail(), "c" * 64),
    ],
    ids=["owner", "Message-ID", "From", "Date", "no Date", "body"],
)
def test_another_owner_id_sender_date_or_body_is_another_mail(other):
    assert other != FIRST


def test_a_case_of_the_sender_is_no_difference():
    assert key(1, mail(sender="ANA@sales.example"), "b" * 64) == FIRST


def test_recipients_do_not_matter_while_there_is_an_id():
    assert key(1, mail(to=(BO, CY)), "b" * 64) == FIRST


def test_without_an_id_subject_and_recipients_tell_short_mails_apart():
    thanks = key(1, mail(id=None, subject="Thanks"), "b" * 64)
    assert key(1, mail(id=None, subject="Thanks"), "b" * 64) == thanks
    assert key(1, mail(id=None, subject="Thanks", to=(CY,)), "b" * 64) != thanks
    assert key(1, mail(id=None, subject="Thanks again"), "b" * 64) != thanks


def test_parts_cannot_be_shifted_into_each_other():
    one = key(1, mail(id='a","b', sender="c@x.example"), "")
    assert one != key(1, mail(id="a", sender='b","c@x.example'), "")
