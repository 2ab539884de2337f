"""How durable a write is: every one is on the disk when its block ends, but for those that say otherwise."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest

from core import sources
from core.store.database import is_sqlite, main_db, write
from core.store.models import SourceInstance
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
