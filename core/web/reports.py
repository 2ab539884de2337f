"""Reports: mails logged for each rep and day, automatic and by hand, how fast, and what is held and why."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, request
from peewee import SQL, fn

from core.store import outcomes
from core.store.fields import to_micros
from core.store.models import Link, Outcome, Rep, T
from core.store.visibility import listed
from core.web import hx
from core.web.access import signed_in
from core.web.frame import now, viewer

pages = Blueprint("reports", __name__, url_prefix="/reports")

DAY = 86_400_000_000  # microseconds
PERIODS = (7, 30, 90)
_BY_HAND = "rep:"  # how `made_by` of a link begins that a person made


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
    """The mails logged since then in what the asker may see, found by their ids."""
    return listed(viewer()) & (Outcome.inbound_id >= outcomes.first_since(since)) & (Outcome.received_at >= since) & outcomes.LOGGED


def _by_day(days: int) -> list[tuple[int, str, str, int]]:
    """(day since 1970, e-mail, name, mails) within what the asker may see; of others' private mail an admin sees the number."""
    since = now() - dt.timedelta(days=days)
    day = Outcome.received_at.cast("bigint") / DAY
    query = (
        Outcome.select(day, Rep.email, Rep.name, fn.COUNT(1))
        .join(T, on=(Outcome.thread == T.id))
        .join(Rep, on=(T.owner == Rep.id))
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


def _standing(days: int) -> Any:
    """The links to records that were made in this time and stand, within what the asker may see."""
    since = now() - dt.timedelta(days=days)
    return listed(viewer()) & (Link.created_at >= since) & Link.record.is_null(False) & Link.removed_at.is_null()


def _links(days: int) -> dict[str, int]:
    query = Link.select(fn.SUBSTR(Link.made_by, 1, 4), fn.COUNT(1)).join(T).where(_standing(days)).group_by(SQL("1"))
    found: dict[str, int] = {str(kind): int(number) for kind, number in query.tuples()}
    return {"by_hand": found.get(_BY_HAND, 0), "automatic": sum(number for kind, number in found.items() if kind != _BY_HAND)}


def _links_by_day(days: int) -> list[tuple[int, str, bool, int]]:
    """(day since 1970, e-mail of whose thread it is, made by hand, links)."""
    query = (
        Link.select(Link.created_at.cast("bigint") / DAY, Rep.email, fn.SUBSTR(Link.made_by, 1, 4), fn.COUNT(1))
        .join(T)
        .join(Rep, on=(T.owner == Rep.id))
        .where(_standing(days))
        .group_by(SQL("1"), Rep.email, SQL("3"))
    )
    return [(int(when), email, str(kind) == _BY_HAND, int(number)) for when, email, kind, number in query.tuples()]


def _seconds(days: int) -> float | None:
    """Half of the mails were logged within this time after their arrival."""
    since = now() - dt.timedelta(days=days)
    query = Outcome.select(Outcome.received_at, Outcome.decided_at).join(T, on=(Outcome.thread == T.id))
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


@dataclass(slots=True)
class _Numbers:
    """Of one rep on one day."""

    mails: int = 0
    automatic: int = 0
    by_hand: int = 0


def _numbers(days: int) -> dict[tuple[int, str], _Numbers]:
    """By day and e-mail; a link counts on the day it was made, which may be another one than its mail's."""
    found: dict[tuple[int, str], _Numbers] = defaultdict(_Numbers)
    for day, email, _name, number in _by_day(days):
        found[day, email].mails += number
    for day, email, by_hand, number in _links_by_day(days):
        if by_hand:
            found[day, email].by_hand += number
        else:
            found[day, email].automatic += number
    return found


@pages.get("/mails.csv")
@signed_in
def table() -> Response:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["day", "rep", "mails", "linked_by_policy", "linked_by_hand"])
    for (day, email), numbers in sorted(_numbers(_days()).items()):
        writer.writerow([_date(day).isoformat(), plain_cell(email), numbers.mails, numbers.automatic, numbers.by_hand])
    response = make_response(out.getvalue())
    response.headers["Content-Type"] = "text/csv; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="mails.csv"'
    return response


def plain_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
