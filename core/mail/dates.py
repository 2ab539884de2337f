"""Dates as mail programs write them, to aware UTC."""

from __future__ import annotations

import datetime as dt
import re

MAX_DATE = 200  # characters that are looked at

_MONTHS = {name: number for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}
# RFC 5322 4.3, and the names seen in mail; hours.
_ZONES = {
    **dict.fromkeys(("ut", "utc", "gmt", "z", "wet", "uct"), 0.0),
    **{"est": -5.0, "edt": -4.0, "cst": -6.0, "cdt": -5.0, "mst": -7.0, "mdt": -6.0, "pst": -8.0, "pdt": -7.0},
    **{"bst": 1.0, "west": 1.0, "cet": 1.0, "met": 1.0, "mez": 1.0, "cest": 2.0, "mest": 2.0, "mesz": 2.0, "eet": 2.0, "eest": 3.0},
    **{"msk": 3.0, "msd": 4.0, "jst": 9.0, "kst": 9.0, "hst": -10.0, "akst": -9.0, "akdt": -8.0, "ast": -4.0, "adt": -3.0, "brt": -3.0},
    **{"sgt": 8.0, "hkt": 8.0, "aest": 10.0, "aedt": 11.0, "nzst": 12.0, "nzdt": 13.0, "sast": 2.0, "pkt": 5.0},
}
_COMMENT = re.compile(r"\([^()]{0,200}\)")
# RFC 5322 4.3: blanks may stand around the colons.
_TIME = re.compile(r"(?<!\d)(\d{1,2})[ ]{0,3}:[ ]{0,3}(\d{1,2})(?:[ ]{0,3}:[ ]{0,3}(\d{1,2})(?:[.,]\d{1,9})?)?[ \t]{0,3}(am|pm)?(?=z|[^a-z\d]|$)", re.IGNORECASE)
# "10.00.00", as some programs of countries with that habit wrote it; only where no time with colons stands.
_DOTTED = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{2})(?:\.(\d{2}))?()(?![\d.])")
_ISO_DAY = re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_OFFSET = re.compile(r"(?<![\d:])([+-])[ ]?(\d{1,2}):?(\d{2})(?!\d)")
_HOURS = re.compile(r"(?:gmt|utc)[ ]?([+-])(\d{1,2})(?![\d:])", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+|\d+", re.IGNORECASE)
_LETTERS = re.compile(r"[a-z]{1,5}", re.IGNORECASE)


def read_date(value: bytes | str) -> dt.datetime | None:
    """The moment that a Date value names, aware and in UTC; None when it names none. Never raises.

    Without a zone, or with an unknown one, UTC is taken (RFC 5322 4.3 treats unknown letters as -0000).
    """
    text = value[: MAX_DATE * 2].decode("latin-1") if isinstance(value, bytes) else value
    text = _COMMENT.sub(" ", text[:MAX_DATE]).replace("\t", " ").strip()
    time = _TIME.search(text) or _DOTTED.search(text)
    if time is None:
        time_of_day, before, after = (0, 0, 0), text, ""
    else:
        read = _clock(time)
        if read is None:
            return None
        time_of_day, before, after = read, text[: time.start()], text[time.end() :]
    day = _day(before, after)
    if day is None:
        return None
    hour, minute, second = time_of_day
    try:
        moment = dt.datetime(*day, hour, minute, min(second, 59), tzinfo=dt.UTC)
        return moment - _offset(after if time else "")
    except (ValueError, OverflowError):
        return None


def _clock(match: re.Match[str]) -> tuple[int, int, int] | None:
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    half = (match[4] or "").lower()
    if half and not 1 <= hour <= 12:
        half = ""
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return (hour, minute, second) if hour < 24 and minute < 60 and second <= 60 else None


def _day(before: str, after: str) -> tuple[int, int, int] | None:
    """(year, month, day) from what stands around the time."""
    iso = _ISO_DAY.search(before) or _ISO_DAY.search(after)
    if iso:
        return int(iso[1]), int(iso[2]), int(iso[3])
    month = 0
    numbers: list[str] = []
    tail = _HOURS.sub(" ", _OFFSET.sub(" ", after))
    for word in _WORD.findall(before + " " + tail)[:40]:
        if word.isdigit():
            numbers.append(word)
        elif not month and word[:3].lower() in _MONTHS and len(word) >= 3:
            month = _MONTHS[word[:3].lower()]
    if not month:
        return None
    numbers = numbers[:2]
    if len(numbers) < 2:
        return None
    first, second = numbers
    day, year = (second, first) if len(first) == 4 else (first, second)
    if int(day) > 31 or len(day) > 3 or len(year) not in (2, 3, 4):
        return None
    return _year(year), month, int(day)


def _year(digits: str) -> int:
    """RFC 5322 4.3: two digits below 50 are 20xx, else 19xx; three digits count from 1900."""
    number = int(digits)
    if len(digits) == 2:
        return number + (2000 if number < 50 else 1900)
    return number + 1900 if number < 1000 else number


def _offset(after: str) -> dt.timedelta:
    found = _OFFSET.search(after)
    if found:
        minutes = int(found[2]) * 60 + int(found[3])
        if int(found[3]) >= 60 or minutes > 24 * 60:
            return dt.timedelta()
        return dt.timedelta(minutes=minutes if found[1] == "+" else -minutes)
    found = _HOURS.search(after)
    if found and int(found[2]) <= 14:
        return dt.timedelta(hours=int(found[2]) if found[1] == "+" else -int(found[2]))
    for word in _LETTERS.findall(after)[:5]:
        hours = _ZONES.get(word.lower())
        if hours is not None:
            return dt.timedelta(hours=hours)
    return dt.timedelta()
