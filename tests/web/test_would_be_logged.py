"""The box on the never-log page says whether mail with an address alone would be logged, and why not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from core.store import never_log
from core.store.database import connected
from tests.web.world import World

CASES = {
    "bo@cust.example": "Yes: no entry keeps mail with bo@cust.example out.",
    "x@spam.example": "No: the entry spam.example of the list keeps mail with x@spam.example out.",
    "spam.example": "No: the entry spam.example of the list keeps mail with spam.example out.",
    "sale@news.far.example": "No: the entry *@news.* of the list keeps mail with sale@news.far.example out.",
    "ben@sales.example": "ben@sales.example belongs to a rep, so it is no contact.",
    "printer@sales.example": "printer@sales.example belongs to the company, so it is no contact.",
    "chairs@drop.example": "chairs@drop.example is a drop address, so it is no contact.",
    "no-reply@cust.example": "no-reply@cust.example is a role or no-reply address, so it is no contact.",
    "cust.example": "Yes: no entry keeps mail with cust.example out.",
}


@pytest.mark.parametrize("typed", CASES)
def test_would_this_be_logged(world: World, mail: SimpleNamespace, typed: str) -> None:
    with connected():
        never_log.add(world.viewer("cleo"), "spam.example")
        never_log.add(world.viewer("cleo"), "*@news.*")
    assert CASES[typed] in world.client("cleo").get("/settings/never-log", query_string={"address": typed}).text


@pytest.mark.parametrize("typed", ["not an address", "bo", "bo@", "@", "bo@cust.example, di@cust.example", "bo@cust..example", "<b>"])
def test_what_is_no_address_is_said_to_be_none(world: World, mail: SimpleNamespace, typed: str) -> None:
    text = world.client("cleo").get("/settings/never-log", query_string={"address": typed}).text
    assert "This is not an e-mail address." in text
    assert 'aria-describedby="address-wrong"' in text
    assert "Yes: no entry" not in text
