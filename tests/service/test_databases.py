"""End to end on PostgreSQL, and with Redis as the queue: real servers, two worker processes, every mail logged once."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.conftest import missing
from tests.running import Running, free_port

POSTGRES = os.environ.get("DROPCOPY_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432").rstrip("/")
REDIS = os.environ.get("DROPCOPY_TEST_REDIS", "redis://127.0.0.1:6379/9")
MAILS = 30


@pytest.fixture
def postgres() -> Iterator[str]:
    """A database of its own for one test."""
    name = f"dropcopy_whole_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError:
        missing("a PostgreSQL server")
    yield f"{POSTGRES}/{name}"
    with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def queue() -> Iterator[str]:
    client = redis.Redis.from_url(REDIS, socket_connect_timeout=3)
    try:
        client.ping()
    except redis.ConnectionError:
        missing("a Redis server")
    yield REDIS
    client.delete(*(client.keys("huey*dropcopy*") or ["none"]))
    client.close()


def walk(folder: Path, **environ: str) -> None:
    """Thirty mails, some of one conversation, worked on by two processes; then an orderly end."""
    with Running(folder, parts=("receive", "worker", "web"), environ=environ) as house:
        house.processes["first"] = house.processes.pop("worker")
        house.start("worker")
        house.processes["second"] = house.processes.pop("worker")
        for number in range(MAILS):
            house.send(house.mail(f"Offer {number % 10}", to=f"Bo <bo@cust.example>, New <new{number % 3}@other.example>", message_id=f"<m{number}@sales.example>"))
        house.until(lambda: house.status()["logged"] == MAILS, 60)
        status = house.status()
        assert (status["accepted"], status["held"], status["ignored"], status["received"]) == (MAILS, 0, 0, 0)
        threads = house.api("/threads?limit=100")["items"]
        links = Counter((thread["id"], link["kind"], link["title"]) for thread in threads for link in house.api(f"/threads/{thread['id']}")["links"])
        assert max(links.values()) == 1
        assert len(house.api("/contacts?limit=100")["items"]) == 4
        assert house.end("receive") == house.end("web") == house.end("first") == house.end("second") == 0


@pytest.mark.postgres
def test_two_workers_on_postgresql_log_every_mail_once(tmp_path: Path, postgres: str) -> None:
    walk(tmp_path, DROPCOPY_DATABASE_URL=postgres)
    assert not (tmp_path / "data" / "main.db").exists()
    assert not (tmp_path / "data" / "queue.db").exists()  # the queue follows the database


@pytest.mark.redis
def test_redis_rings_for_sqlite(tmp_path: Path, queue: str) -> None:
    walk(tmp_path, DROPCOPY_QUEUE_URL=queue)
    assert not (tmp_path / "data" / "queue.db").exists()


def test_mail_is_filed_while_the_queue_is_gone(tmp_path: Path) -> None:
    """Said in one sentence without the password, and the sweeper does the work."""
    with Running(tmp_path, parts=("receive",), environ={"DROPCOPY_QUEUE_URL": f"redis://me:hush-hush@127.0.0.1:{free_port()}/0"}) as house:
        house.send(house.mail("Sent while Redis is down"))
        house.start("worker")
        house.until(lambda: house.status()["logged"] == 1, 60)
        said = (tmp_path / "worker.log").read_text()
        assert said.count("DROPCOPY_QUEUE_URL") == 1
        assert "Traceback" not in said
        assert "hush-hush" not in house.logs()
