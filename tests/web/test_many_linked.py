"""Several conversations are linked at once: what may not be linked, or is on another record, stays as it is."""

from __future__ import annotations

import re
from types import SimpleNamespace

from core.store import links
from core.store.database import connected
from core.store.models import Thread
from tests.web.world import World


def made(world: World, subject: str, **more: str) -> int:
    world.mail(subject, **more)
    with connected():
        return int(Thread.get(Thread.subject == subject).id)


def titles(thread: int) -> list[str]:
    with connected():
        return [one.title for one in links.of_thread(thread) if one.kind == "deal"]


def test_many_are_linked_and_taken_back_together(world: World, mail: SimpleNamespace) -> None:
    free = [made(world, f"Free {number}", to=f"F{number} <f{number}@free.example>") for number in range(2)]
    taken = made(world, "On the chairs already")
    others = made(world, "Of Ben", sender="Ben Ruiz <ben@sales.example>", to="G <g@free.example>")
    client = world.client("ana")
    found = client.get("/inbox/find?find=lamps").text
    assert f'form="many" name="link" value="deal:{world.lamps}"' in found
    answer = world.post(client, "/inbox/many", link=f"deal:{world.lamps}", thread=[str(one) for one in (*free, taken, others)], back="/inbox?tab=mine")
    assert answer.location == "/inbox?tab=mine"
    page = client.get(answer.location).text
    assert "2 conversations are linked to Lamps for Far Ltd. The others are on another record already or belong to somebody else" in page
    assert [titles(one) for one in (*free, taken, others)] == [["Lamps for Far Ltd"], ["Lamps for Far Ltd"], ["Ten chairs"], []]
    world.post(client, re.search(r'action="(/undo/[^"]+)"', page)[1])
    assert [titles(one) for one in (*free, taken)] == [[], [], ["Ten chairs"]]


def test_nonsense_links_nothing(world: World, mail: SimpleNamespace) -> None:
    thread = made(world, "Left alone", to="H <h@free.example>")
    client = world.client("ana")
    for wanted in ("deal:999999", "deal:", ":1", "rep:1", "deal:1:2", "💥"):
        assert world.post(client, "/inbox/many", link=wanted, thread=str(thread)).status_code == 404, wanted
    assert world.post(client, "/inbox/many", link=f"deal:{world.lamps}").status_code == 303
    assert titles(thread) == []
    assert "Nothing is called" in client.get("/inbox/find?find=zzzz").text
    assert client.get("/inbox/find").text.strip() == ""
