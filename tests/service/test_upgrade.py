"""A new version starts on the folder of the one before, with mail that was kept and not filed yet: nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.running import Running

# What each script after the first has changed, taken back: newest first.
BACK = {
    "0007_mails_in_order": """
        DROP INDEX message_thread_id_date_id_deleted_at; CREATE INDEX message_thread_id_date_deleted_at ON message (thread_id, date, deleted_at);
    """,
    "0006_long_threads": "DROP INDEX message_thread_id_date_deleted_at; CREATE INDEX message_thread_id_date ON message (thread_id, date);",
    "0005_counted_by_index": """
        DROP INDEX thread_owner_id_unread_deleted_at; CREATE INDEX thread_owner_id_unread ON thread (owner_id, unread);
        DROP INDEX thread_owner_id_waiting_deleted_at_last_at_id; CREATE INDEX thread_owner_id_waiting ON thread (owner_id, waiting) WHERE waiting IS NOT NULL;
        DROP INDEX participant_address; CREATE INDEX participant_address ON participant (address);
        DROP INDEX thread_state_rep_id_archived_at_thread_id;
    """,
    "0004_oldest_mail": """
        DROP INDEX thread_owner_id_last_at_id_oldest_at; DROP INDEX thread_sharing_last_at_id_oldest_at;
        DROP INDEX thread_last_at_id; DROP INDEX link_created_at; ALTER TABLE thread DROP COLUMN oldest_at; DROP TABLE search_stretch;
        CREATE INDEX thread_owner_id_last_at_id ON thread (owner_id, last_at, id); CREATE INDEX thread_sharing_last_at_id ON thread (sharing, last_at, id);
    """,
    "0003_fewer_pages": """
        ALTER TABLE thread_id RENAME TO thread_id_new;
        CREATE TABLE thread_id (
            owner_id INTEGER NOT NULL, message_id TEXT NOT NULL, thread_id INTEGER NOT NULL, PRIMARY KEY (owner_id, message_id),
            FOREIGN KEY (owner_id) REFERENCES rep (id) ON DELETE CASCADE, FOREIGN KEY (thread_id) REFERENCES thread (id) ON DELETE CASCADE
        );
        INSERT INTO thread_id SELECT owner_id, message_id, thread_id FROM thread_id_new;
        DROP TABLE thread_id_new;
        CREATE INDEX thread_id_message_id ON thread_id (message_id); CREATE INDEX thread_id_thread_id ON thread_id (thread_id);
        DROP INDEX participant_contact_id; CREATE INDEX participant_contact_id ON participant (contact_id);
        DROP INDEX thread_owner_id_waiting; CREATE INDEX thread_owner_id_waiting ON thread (owner_id, waiting);
        DROP INDEX thread_split_from_id; CREATE INDEX thread_split_from_id ON thread (split_from_id);
        DROP INDEX outcome_thread_id; CREATE INDEX outcome_thread_id ON outcome (thread_id);
        DROP INDEX outcome_rep_id_state_reason; CREATE INDEX outcome_rep_id_state_reason ON outcome (rep_id, state, reason);
        CREATE INDEX message_message_id ON message (message_id); DROP INDEX audit_about;
    """,
    "0002_readers_of_links": """
        DROP INDEX link_contact_id_reader; DROP INDEX link_organisation_id_reader; DROP INDEX link_record_id_reader;
        ALTER TABLE link DROP COLUMN reader;
        CREATE INDEX link_contact_id ON link (contact_id); CREATE INDEX link_organisation_id ON link (organisation_id); CREATE INDEX link_record_id ON link (record_id);
    """,
}
INTAKE_BACK = {"0002_oldest_bytes": "DROP INDEX raw_stored_at;"}
SCRIPTS = Path(__file__).parent.parent.parent / "core" / "store" / "migrations"


def first_version_s(folder: Path) -> None:
    """Turn the databases into ones that the first version has written."""
    for part, back in (("main", BACK), ("intake", INTAKE_BACK)):
        with closing(sqlite3.connect(folder / f"{part}.db")) as base:
            for script, text in back.items():
                base.executescript(text)
                base.execute(f"DELETE FROM migrations_{part} WHERE name = ?", (script,))
            base.commit()
            assert base.execute(f"SELECT name FROM migrations_{part}").fetchall() == [("0001_start",)]


@pytest.mark.parametrize("part, back", [("main", BACK), ("intake", INTAKE_BACK)])
def test_every_script_can_be_taken_back_here(part: str, back: dict[str, str]) -> None:
    assert [*back] == sorted((path.stem for path in (SCRIPTS / part).glob("[0-9]*.py") if path.stem != "0001_start"), reverse=True)


@pytest.mark.timeout(200)
def test_mail_that_waits_while_a_new_version_is_installed_is_filed_by_it(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("receive", "worker")) as house:
        house.send(house.mail("Before", message_id="<before@sales.example>"))
        house.send(house.mail("Private before", sender="Ben <ben@sales.example>", message_id="<private@sales.example>"), sender="ben@sales.example")
        house.until(lambda: house.status()["logged"] == 2)
        house.kill("worker")
        for number in range(20):
            house.send(house.mail(f"Waiting {number}", message_id=f"<waiting-{number}@sales.example>"))
        house.end("receive")
        first_version_s(tmp_path / "data")

        for part in ("receive", "worker", "web"):
            house.start(part)
        house.wait_ready()
        house.send(house.mail("After", message_id="<after@sales.example>"))
        house.until(lambda: house.status()["logged"] == 23, 60)
        house.until(lambda: house.get("/readyz")[0] == 200)
        house.command("status", "--check")  # ends with 1 when something has no partner
        with closing(sqlite3.connect(tmp_path / "data" / "main.db")) as base:
            logged = Counter(row[0] for row in base.execute("SELECT message_id FROM message"))
        assert set(logged.values()) == {1}
        assert len(logged) == 23
        assert {path.name.partition("-")[0] for path in (tmp_path / "data" / "backups").iterdir()} == {"main", "intake"}
        on_the_deal = {thread["subject"] for thread in house.api("/deals/1/threads?limit=100")["items"]}
        assert on_the_deal == {"Before", "After", *(f"Waiting {number}" for number in range(20))}, "what Ben logged as private stays his"
