"""Reports: mails logged for each rep and day, automatic and by hand, how fast, and what is held and why."""

from __future__ import annotations

import csv
import datetime as dt
import io
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, request
from peewee import SQL, fn

from core.store import outcomes
from core.store.fields import to_micros
from core.store.models import Link, Outcome, Rep, Thread
from core.store.visibility import listed
from core.web import hx
from core.web.access import signed_in
from core.web.frame import now, viewer

pages = Blueprint("reports", __name__, url_prefix="/reports")

DAY = 86_400_000_000  # microseconds
PERIODS = (7, 30, 90)


@dataclass(frozen=True, slots=True)
class Bar:
    day: dt.date
    number: int
    x: float
    y: float
    width: float
    height: float


def _days() -> int:
    days = request.args.get("days", 30, type=int)
    return days if days in PERIODS else 30


def _logged_since(since: dt.datetime) -> Any:
    """The mails logged since then in what the asker may see. Found by their ids: beside those the state must only sift."""
    return listed(viewer()) & (Outcome.inbound_id >= outcomes.first_since(since)) & (Outcome.received_at >= since) & (Outcome.state.concat("") == "logged")


def _by_day(days: int) -> list[tuple[int, str, str, int]]:
    """(day since 1970, e-mail, name, mails) within what the asker may see; of others' private mail an admin sees the number."""
    since = now() - dt.timedelta(days=days)
    day = Outcome.received_at.cast("bigint") / DAY
    query = (
        Outcome.select(day, Rep.email, Rep.name, fn.COUNT(1))
        .join(Thread, on=(Outcome.thread == Thread.id))
        .join(Rep, on=(Thread.owner == Rep.id))
        .where(_logged_since(since))
        .group_by(SQL("1"), Rep.email, Rep.name)  # by its place: PostgreSQL takes the same words with another parameter for something else
        .order_by(SQL("1"))
    )
    return [(int(when), email, name, int(number)) for when, email, name, number in query.tuples()]


def _date(day: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=day)


def _bars(rows: list[tuple[int, str, str, int]], days: int) -> list[Bar]:
    """A column a day in a box of 720 by 160."""
    last = to_micros(now()) // DAY
    totals = {last - back: 0 for back in range(days - 1, -1, -1)}
    for day, _email, _name, number in rows:
        if day in totals:
            totals[day] += number
    top = max([*totals.values(), 1])
    step = 720 / len(totals)
    return [
        Bar(_date(day), number, round(at * step + step * 0.12, 2), round(150 - 140 * number / top, 2), round(step * 0.76, 2), round(140 * number / top, 2))
        for at, (day, number) in enumerate(totals.items())
    ]


def _links(days: int) -> dict[str, int]:
    since = now() - dt.timedelta(days=days)
    query = (
        Link.select(fn.SUBSTR(Link.made_by, 1, 4), fn.COUNT(1))
        .join(Thread)
        .where(listed(viewer()) & (Link.created_at >= since) & Link.record.is_null(False) & Link.removed_at.is_null())
        .group_by(SQL("1"))
    )
    found: dict[str, int] = {str(kind): int(number) for kind, number in query.tuples()}
    return {"by_hand": found.get("rep:", 0), "automatic": sum(number for kind, number in found.items() if kind != "rep:")}


def _seconds(days: int) -> float | None:
    """Half of the mails were logged within this time after their arrival."""
    since = now() - dt.timedelta(days=days)
    query = Outcome.select(Outcome.received_at, Outcome.decided_at).join(Thread, on=(Outcome.thread == Thread.id))
    query = query.where(_logged_since(since)).order_by(Outcome.inbound_id.desc()).limit(2000)
    waits = sorted((decided - received).total_seconds() for received, decided in query.tuples())
    return round(waits[len(waits) // 2], 1) if waits else None


@pages.get("")
@signed_in
def page() -> Response:
    days = _days()
    rows = _by_day(days)
    bars = _bars(rows, days)
    by_rep: dict[str, dict[str, Any]] = {}
    for _day, email, name, number in rows:
        by_rep.setdefault(email, {"name": name or email, "number": 0})["number"] += number
    return hx.render(
        "reports/page.html", "reports/page.html", days=days, periods=PERIODS, bars=bars, most_a_day=max(bar.number for bar in bars), total=sum(row[3] for row in rows),
        by_rep=sorted(by_rep.values(), key=lambda one: -one["number"]), links=_links(days), seconds=_seconds(days), held=outcomes.reasons_of(viewer(), "held"),
        ignored=outcomes.reasons_of(viewer(), "ignored"), most=max([one["number"] for one in by_rep.values()] or [1]),
    )  # fmt: skip


@pages.get("/mails.csv")
@signed_in
def table() -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", "rep", "mails"])
    for day, email, _name, number in _by_day(_days()):
        writer.writerow([_date(day).isoformat(), plain_cell(email), number])
    response = make_response(out.getvalue())
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="mails.csv"'
    return response


def plain_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
