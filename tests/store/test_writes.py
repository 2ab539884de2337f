"""How durable a write is: every one is on the disk when its block ends, but for those that say otherwise."""

from __future__ import annotations

import contextlib
import datetime as dt

import peewee
import pytest

from core import sources
from core.store.database import at_end, intake_db, is_sqlite, main_db, run_sql, write
from core.store.models import Pulse, SourceInstance
from tests.store.small_world import World


def waits_for_the_disk() -> bool:
    """Whether a commit on this connection would wait for the disk."""
    asked = "PRAGMA synchronous" if is_sqlite() else "SHOW synchronous_commit"
    return main_db.execute_sql(asked).fetchone()[0] in (2, "on")


def test_a_write_waits_for_the_disk_unless_it_says_otherwise(any_store: World) -> None:
    with write():
        assert waits_for_the_disk()
    with write(durable=False):
        assert not waits_for_the_disk()
    assert waits_for_the_disk()
    with contextlib.suppress(ValueError), write(durable=False):
        raise ValueError
    assert waits_for_the_disk()


def test_inside_a_durable_write_everything_is(any_store: World) -> None:
    with write(), write(durable=False):
        assert waits_for_the_disk()
    with write(durable=False), write():
        assert not waits_for_the_disk(), "the outer block has decided"
    assert waits_for_the_disk()


def test_a_token_is_on_the_disk_and_how_far_a_folder_is_read_need_not_be(any_store: World, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SourceInstance.create(kind="imap", name="Mailbox", token="t", created_at=dt.datetime(2026, 11, 24, tzinfo=dt.UTC))
    state = sources.RowState(row.id, any_store.seal)
    seen: list[bool] = []
    kept = SourceInstance.update

    def noting(*arguments: object, **values: object) -> object:
        seen.append(waits_for_the_disk())
        return kept(*arguments, **values)

    monkeypatch.setattr(SourceInstance, "update", noting)
    state.set(**{"folder INBOX": {"next": 7}})
    state.set(secret_oauth={"refresh": "r"})
    assert seen == [False, True]
    assert state.get("folder INBOX") == {"next": 7}
    assert state.get("secret_oauth") == {"refresh": "r"}


# --- what is put off to the end of a transaction ------------------------------------------------------------------


def test_what_is_put_off_comes_together_and_before_the_commit(any_store: World) -> None:
    seen: list[tuple[list[int], bool]] = []

    def work(items: list[int]) -> None:
        seen.append((list(items), main_db.in_transaction()))
        Pulse.create(name=f"of {items}", number=1)

    with write():
        at_end(work, 1)
        with write(), write(intake_db):
            at_end(work, 2)
        assert not seen, "only the outermost block ends the transaction"
    assert seen == [([1, 2], True)]
    with write():
        pass
    assert len(seen) == 1
    at_end(work, 3)
    assert seen[1][0] == [3], "without a transaction it is done at once"
    assert Pulse.select().where(Pulse.name.startswith("of")).count() == 2


def test_what_is_put_off_goes_with_the_block_that_fails(any_store: World) -> None:
    seen: list[list[int]] = []
    with contextlib.suppress(ValueError), write():
        at_end(seen.append, 1)
        raise ValueError
    with write():
        at_end(seen.append, 2)
        with contextlib.suppress(ValueError), write():
            at_end(seen.append, 3)
            raise ValueError
    assert seen == [[2]]


def test_a_failure_of_what_was_put_off_takes_the_transaction_back(any_store: World) -> None:
    def fails(items: list[int]) -> None:
        raise ValueError

    def writes() -> None:
        with write():
            Pulse.create(name="gone", number=1)
            at_end(fails, 1)

    with pytest.raises(ValueError):
        writes()
    with write():
        pass
    assert not Pulse.select().where(Pulse.name == "gone").exists()


def test_a_wrong_statement_and_a_taken_key_come_as_one_kind_of_error_from_both_databases(any_store: World) -> None:
    Pulse.create(name="taken", number=1)
    with pytest.raises(peewee.IntegrityError), write():
        run_sql(main_db, "INSERT INTO pulse (name, number) VALUES (?, 2)", ("taken",))
    with pytest.raises((peewee.OperationalError, peewee.ProgrammingError)):
        run_sql(main_db, "SELECT nothing FROM nowhere")


def test_a_work_at_the_end_may_put_off_another_one(any_store: World) -> None:
    done: list[list[str]] = []

    def first(items: list[str]) -> None:
        done.append(items)
        at_end(done.append, "from the first")

    with write():
        at_end(first, "one")
        at_end(first, "two")
        assert done == []
    assert done == [["one", "two"], ["from the first"]]
