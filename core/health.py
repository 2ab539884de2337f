"""What `status` says: mail by state, the sources, the plugins that fail, and whether the two files of mail agree."""

from __future__ import annotations

from typing import Any

from core import explain
from core.house import House
from core.reasons import sentence
from core.sources import BUILT_IN
from core.store import disk, inbound, leases, migrate, outcomes, plugin_states
from core.store.models import Outcome, SourceInstance


def report(house: House, *, check: bool = False, repair: bool = False) -> dict[str, Any]:
    """The counts of the contract, the sources, and with `check` what has no partner in the other file."""
    result: dict[str, Any] = inbound.counts(house.now())
    result["sources"] = _sources(house)
    result["plugins"] = [
        {"name": row["name"], "last_error": row["last_error"], "last_error_at": explain.moment(row["last_error_at"])} for row in plugins(house) if row["last_error"]
    ]
    result["cannot_write"] = disk.watch.anywhere()
    if check:
        mended = inbound.repair(house.now()) if repair else 0
        orphans = inbound.orphans()
        wrong = any(orphans.values()) or result["accepted"] != sum(result[s] for s in ("received", "processing", "logged", "held", "ignored"))
        result["check"] = {"wrong": wrong, "mended": mended, **orphans}
    return result


CANNOT_WRITE = "The disk is full or gave an error, so the database cannot be written: mail is refused for now, and its senders' servers bring it again."
NEEDED = ("database", "disk", "tables", "workers")  # without the queue mail is filed all the same, by the sweeper


def readiness(house: House) -> dict[str, str]:
    """What is needed to take mail and file it, each with the trouble in one sentence, or "" when it is there."""
    try:
        inbound.counts(house.now())
        Outcome.select(Outcome.inbound_id).limit(1).scalar()
        tables = "" if migrate.is_current() else "The tables are not those of this version: start it again, so that it brings them up to date, or start the newer one."
        writing = CANNOT_WRITE if disk.watch.anywhere() else ""
        workers = "" if leases.living_workers(house.now()) else "No worker has been heard of for a minute, so mail is kept and not filed."
    except Exception:
        trouble = "The database does not answer."
        return dict.fromkeys(NEEDED, trouble)
    return {"database": "", "disk": writing, "tables": tables, "workers": workers, "queue": "The queue does not answer; mail is filed up to half a minute later." if house.bell.trouble(house.settings) else ""}


def _machine_way_in(kind: str, address: str, *, listening: bool) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "enabled": True, "listens": address, "listening": listening, "last_error": ""}


def _sources(house: House) -> list[dict[str, Any]]:
    rows = [_machine_way_in(kind, address, listening=True) for kind, address in leases.listening(house.now())]
    found = {row["kind"] for row in rows}
    wanted = {name: getattr(house.settings, name) for name in BUILT_IN if name not in found}
    rows += [_machine_way_in(kind, address, listening=False) for kind, address in wanted.items() if address]
    for row in SourceInstance.select().order_by(SourceInstance.id):
        rows.append(
            {
                "name": row.name, "kind": row.kind, "enabled": row.enabled, "last_mail_at": explain.moment(row.last_mail_at),
                "last_error": row.last_error,
            }
        )  # fmt: skip
    return rows


def plugins(house: House) -> list[dict[str, Any]]:
    """A row a plugin: how it fares in this process and, when it failed on a mail since yesterday, in a worker."""
    elsewhere = plugin_states.troubles(house.now())
    rows = []
    for row in house.plugins.health():
        trouble = elsewhere.get(row["module"])
        told = row["last_error"] or (trouble.last_error if trouble else "")
        rows.append({**row, "last_error": told, "last_error_at": trouble.at if trouble else None})
    return rows


def in_words(result: dict[str, Any]) -> str:
    """The report for a person."""
    lines = [
        f"Accepted {result['accepted']} = waiting {result['received'] + result['processing']} + logged {result['logged']}"
        f" + held {result['held']} + ignored {result['ignored']}.",
    ]
    if result["received"] + result["processing"]:
        lines.append(f"The oldest one waits for {result['oldest_waiting_s']} seconds.")
    if result["cannot_write"]:
        lines.append(CANNOT_WRITE)
    for source in result["sources"]:
        if source.get("listens"):
            state = f"{'listens' if source['listening'] else 'no running process listens'} on {source['listens']}"
        else:
            state = "on" if source["enabled"] else "paused"
        lines.append(f"Source {source['name']} ({source['kind']}): {state}. {source['last_error']}".rstrip())
    lines += [f"Plugin {plugin['name']}: {plugin['last_error']}" for plugin in result["plugins"]]
    if "check" in result:
        found = {name: ids for name, ids in result["check"].items() if isinstance(ids, list) and ids}
        lines.append("Every mail has its partner in the other file." if not found else f"Without a partner: {found}. Run status --check --repair.")
    return "\n".join(lines)


def find(house: House, message_id: str, sender: str, subject: str) -> list[dict[str, Any]]:
    """What became of mails like this, newest first, at most 20: for the admin at the command line."""
    query = Outcome.select().order_by(Outcome.inbound_id.desc()).limit(20)
    if message_id:
        query = query.where(Outcome.message_id == message_id.strip().strip("<>"))
    if subject:
        query = query.where(Outcome.subject.contains(subject.strip()[:200]))
    rows = list(query.where(Outcome.sender == sender.strip().lower()) if sender else query)
    if sender and not rows:
        rows = list(query.where(outcomes.sender_holds(sender)))
    return [
        {
            "id": row.inbound_id, "received_at": explain.moment(row.received_at), "state": row.state, "reason": row.reason,
            "sentence": sentence(row.reason, row.params), "subject": row.subject, "sender": row.sender, "thread_id": row.thread_id,
        }
        for row in rows
    ]  # fmt: skip
