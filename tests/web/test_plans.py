"""No page walks a table that grows with the mail: the database keeps no statistics, so what a question looks like decides how it is answered."""

from __future__ import annotations

import re
from types import SimpleNamespace

import peewee
import pytest

from core.store import lookups, threads
from core.store.database import connected, intake_db, main_db, write
from core.store.models import Message
from tests.web.places import paths
from tests.web.world import World

GROWING = {"thread", "message", "participant", "link", "outcome", "attachment", "inbound", "raw", "trace", "candidate", "thread_state", "thread_id", "audit", "event"}
_NAMED = re.compile(r'(?:FROM|JOIN)\s+"?(\w+)"?\s+(?:AS\s+)?"?(\w+)"?', re.IGNORECASE)
SEARCHES = ("chairs", "chairs -desks", "-chairs", "cha*", '"ten chairs"', "from:bo", "is:unread", "is:waiting", "is:unlinked", "has:attachment", "before:2030-01-01", "chairs after:2020-01-01", "deal:1", "org:cust", "contact:bo")


def walked(sql: str, plan: list[str]) -> list[str]:
    """The steps of a plan that read all of a growing table, or collect everything that a rep may see."""
    if "(1 = 0)" in sql or ("WHERE" not in sql and "LIMIT" in sql and not any("TEMP B-TREE" in step for step in plan)):
        return []  # nothing is looked at, or the newest rows only
    names = {alias: table for table, alias in _NAMED.findall(sql)}
    found = [step for step in plan if (scan := re.match(r"SCAN (\w+)$", step)) and names.get(scan[1], scan[1]) in GROWING]
    return found + [step for step in plan if "MULTI-INDEX OR" in step]


@pytest.mark.parametrize("who", ["ana", "cleo"])
def test_no_page_walks_what_grows_with_the_mail(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    asked: dict[tuple[str, str], tuple[object, str]] = {}
    execute, here = peewee.Database.execute_sql, [""]

    def noted(self: peewee.Database, sql: str, params: object = None) -> object:
        if sql.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            asked.setdefault((self.database, sql), (params, here[0]))
        return execute(self, sql, params)

    client = world.client(who)
    monkeypatch.setattr(peewee.Database, "execute_sql", noted)
    for path in [*paths(world, vars(mail) | {"thread_id": mail.thread, "message_id": mail.message, "attachment_id": mail.pdf, "contact_id": world.bo, "record_id": world.chairs}), *(f"/inbox?q={one}" for one in SEARCHES)]:
        here[0] = path
        assert client.get(path).status_code < 500, path
    monkeypatch.undo()
    assert len(asked) > 100
    wrong = []
    with connected():
        for (name, sql), (params, path) in asked.items():
            database = main_db if name == main_db.database else intake_db
            plan = [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()]
            if steps := walked(sql, plan):
                wrong.append((path, steps, sql))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("who", ["ana", "cleo"])
def test_what_stands_beside_every_page_is_counted_by_indexes_alone(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    asked: list[tuple[str, object]] = []
    execute = peewee.Database.execute_sql
    with connected(), monkeypatch.context() as noting:
        noting.setattr(peewee.Database, "execute_sql", lambda self, sql, params=None: asked.append((sql, params)) or execute(self, sql, params))
        threads.counts(world.viewer(who))
        threads.page(world.viewer(who), "archived")
    with connected():
        plans = [main_db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall() for sql, params in asked if "COUNT(*)" in sql or "FROM thread_state" in sql]
    looked = [row[3] for plan in plans for row in plan if re.match(r"(SCAN|SEARCH) (thread|thread_state|outcome) ", row[3])]
    assert len(looked) == 6
    assert all("COVERING INDEX" in step for step in looked), looked


def test_the_mails_of_a_long_thread_are_counted_without_reading_them_and_come_in_their_order(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []
    execute = peewee.Database.execute_sql
    with connected(), monkeypatch.context() as noting, write():
        one = Message.select().where(Message.id == mail.message).dicts().get()
        for number in range(60):
            Message.create(**one | {"id": None, "inbound_id": 10_000 + number, "dedupe_key": f"k{number}"})
        noting.setattr(peewee.Database, "execute_sql", lambda self, sql, params=None: asked.append((sql, params)) or execute(self, sql, params))
        threads.refresh_row(mail.thread)
        counting = len(asked)
        threads.conversation(world.viewer("ana"), mail.thread, before=mail.message + 1)
        lookups.standing_of(mail.thread)
    with connected():
        plans = [[row[3] for row in main_db.execute_sql(f"EXPLAIN QUERY PLAN {sql}", params).fetchall()] for sql, params in asked]
    looked = [step for (sql, _params), plan in zip(asked[:counting], plans, strict=False) for step in plan if step.startswith("SEARCH message ") and "WHERE thread_id = ?" in sql]
    assert len(looked) == 3
    assert all("COVERING INDEX" in step for step in looked), looked
    in_order = [plan for plan in plans if any("message_thread_id_date" in step for step in plan)]
    assert len(in_order) >= 5
    assert not [plan for plan in in_order if any("TEMP B-TREE" in step for step in plan)]


def test_an_address_of_nobody_yet_is_found_by_its_index(world: World) -> None:
    with connected():
        (plan,) = main_db.execute_sql("EXPLAIN QUERY PLAN UPDATE participant SET contact_id = 1 WHERE address = 'x@cust.example' AND contact_id IS NULL").fetchall()
    assert "participant_address" in plan[3]
