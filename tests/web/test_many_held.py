"""The quarantine in bulk: judged again after the DNS was mended, put aside with an undo, deleted by an admin alone."""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace

import pytest

from core.store.database import connected
from core.store.models import Audit, Outcome
from tests.web.world import World

NUMBERS = itertools.count()


@pytest.fixture
def strangers(world: World) -> list[int]:
    return [world.mail("Our catalogue", sender=f"Shop <shop{next(NUMBERS)}@far.example>", ip="192.0.2.30") for _ in range(3)]


def states(ids: list[int]) -> list[str]:
    with connected():
        return [Outcome.get_by_id(one).state for one in ids]


def toast_of(client, answer) -> str:
    return re.sub(r"<[^>]+>|\s+", " ", client.get(answer.location).text.partition('id="toasts"')[2])


def test_many_are_put_aside_at_once_and_come_back_at_once(world: World, mail: SimpleNamespace, strangers: list[int]) -> None:
    admin = world.client("cleo")
    answer = world.post(admin, "/held/many", act="dismiss", inbound=[str(one) for one in strangers], back="/held?tab=strangers")
    assert answer.location == "/held?tab=strangers"
    page = admin.get(answer.location).text
    assert "3 mails are put aside." in page
    assert states(strangers) == ["ignored"] * 3
    world.post(admin, re.search(r'action="(/undo/[^"]+)"', page)[1])
    assert states(strangers) == ["held"] * 3


def test_many_are_judged_again(world: World, mail: SimpleNamespace, strangers: list[int]) -> None:
    admin = world.client("cleo")
    with connected():
        sender = Outcome.get_by_id(strangers[1]).sender
    world.post(admin, "/settings/people/addresses", address=sender, rep=str(world.rep("ben").id))
    answer = world.post(admin, "/held/many", act="retry", inbound=[str(one) for one in strangers])
    assert "3 mails are judged once more" in toast_of(admin, answer)
    with connected():
        world._pipeline.work()
    assert states(strangers) == ["held", "logged", "held"]


def test_only_an_admin_deletes_many_and_each_is_written_down(world: World, mail: SimpleNamespace, strangers: list[int]) -> None:
    wanted = [str(one) for one in strangers]
    assert world.post(world.client("ben"), "/held/many", act="delete", inbound=wanted).status_code == 404
    foreign = world.post(world.client("ben"), "/held/many", act="dismiss", inbound=wanted)
    assert foreign.status_code == 303
    assert states(strangers) == ["held"] * 3, "of what one may not see nothing is done"
    admin = world.client("cleo")
    answer = world.post(admin, "/held/many", act="delete", inbound=[*wanted, "999999"])
    assert "3 mails are deleted for good." in toast_of(admin, answer)
    with connected():
        about = [f"inbound:{one}" for one in strangers]
        assert Audit.select().where(Audit.act == "mail-removed", Audit.about.in_(about)).count() == 3
        assert [Outcome.get_by_id(one).subject for one in strangers] == [""] * 3
    again = world.post(admin, "/held/many", act="delete", inbound=wanted)
    assert "Select at least one mail first." in toast_of(admin, again)
    with connected():
        assert Audit.select().where(Audit.act == "mail-removed", Audit.about.in_(about)).count() == 3
    assert f'value="{strangers[0]}"' not in admin.get("/held?tab=ignored").text, "what is empty cannot be ticked"


def test_nonsense_is_refused(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert world.post(admin, "/held/many", act="explode", inbound="1").status_code == 404
    assert world.post(admin, "/held/many", act="retry", inbound=["x", "-1", "9" * 40]).status_code == 303
    assert world.post(admin, "/held/many", act="retry", back="https://evil.example/").location == "/held"
