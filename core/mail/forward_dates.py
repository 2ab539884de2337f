"""The date of a forwarded block: words and orders of the languages from CLDR (through Babel), nothing guessed.

Clients write the date in the forwarder's language and often without a zone. So the answer is naive where the block names no zone, and
None where day and month could be either (`02/10/2023` without a language that decides).
"""

from __future__ import annotations

import datetime as dt
import functools
import re
import unicodedata
from collections.abc import Iterable

from babel import Locale, UnknownLocaleError

from core.mail.labels import table, visible

MAX_DATE = 200  # characters that are looked at

# RFC 5322 4.3, and what Apple and Yahoo write in their languages (hours). Letters that name several zones (CST, IST) are absent.
_ZONES = {
    **{"utc": 0.0, "gmt": 0.0, "ut": 0.0, "z": 0.0, "wet": 0.0, "est": -5.0, "edt": -4.0, "cdt": -5.0, "mst": -7.0, "mdt": -6.0},
    **{"pst": -8.0, "pdt": -7.0, "akst": -9.0, "akdt": -8.0, "hst": -10.0, "bst": 1.0, "west": 1.0, "cet": 1.0, "cest": 2.0},
    **{"mez": 1.0, "mesz": 2.0, "eet": 2.0, "eest": 3.0, "oez": 2.0, "oesz": 3.0, "wez": 0.0, "wesz": 1.0, "msk": 3.0, "мск": 3.0},
    **{"seč": 1.0, "selč": 2.0, "hnec": 1.0, "heec": 2.0, "jst": 9.0, "kst": 9.0, "hkt": 8.0, "sgt": 8.0, "nzst": 12.0, "nzdt": 13.0},
    **{"aest": 10.0, "aedt": 11.0, "awst": 8.0, "brt": -3.0, "art": -3.0, "sast": 2.0, "trt": 3.0, "pkt": 5.0, "wib": 7.0},
}
_COLON_TIME = re.compile(r"(?<![\d:])(\d{1,2})[:：](\d{2})(?:[:：](\d{2}))?(?![\d:])")
_LETTER_TIME = re.compile(r"(?<!\d)(\d{1,2})\s?(?:h|時|时|点|點|시)\s?(\d{2})(?:\s?(?:min|m|分|분)\.?\s?(?:(\d{2})\s?(?:s|秒|초)?)?)?(?!\d)", re.IGNORECASE)
_DOT_TIME = re.compile(r"(?<![\d.])(\d{1,2})\.(\d{2})(?:\.(\d{2}))?(?![\d.])")
_NAMED_OFFSET = re.compile(r"(?:GMT|UTC|UT)\s?([+\-−–])\s?(\d{1,2})(?::?(\d{2}))?(?!\d)", re.IGNORECASE)
_OFFSET = re.compile(r"(?<![\w:.])([+\-−])(\d{2}):?(\d{2})(?!\d)")
_LETTERS = re.compile(r"[^\W\d_]{1,5}")
_NUMBER = re.compile(r"\d+")
# RFC 5322 3.3 is English in whatever language the labels are ("Fri, 3 Mar" is no Finnish November, marraskuu).
_RFC_DAY = re.compile(r"\b(?:mon|tue|wed|thu|fri|sat|sun), ?\d{1,2} (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) \d{4}\b")
_DOTTED_DAY = re.compile(r"(?<![\d.])\d{1,2}\. ?\d{1,2}\. ?(?:\d{4}|\d{2})(?![\d.]*\d)")
_WORD = re.compile(r"[^\W\d_]{3,20}")
_WORD_END = re.compile(r"[^\W\d_]*")
_WORDS = re.compile(r"[a-z]+")
_ORDER = re.compile(r"[dMy]")


def read_block_date(raw: str, languages: Iterable[str] = ()) -> dt.datetime | None:
    """The date that a block's line names: aware when it names a zone, else naive as written; None when it names none.

    `languages` are tried in their order, then English, then every language of the label table (only words that mean one month).
    """
    text = _digits(visible(raw[:MAX_DATE])).strip()
    time = _time(text)
    clock, zone, rest, half = (0, 0, 0), None, text, False
    known = list(dict.fromkeys(tag for tag in languages if tag))
    if time is not None:
        zone, without_zone = _zone(text[: time.start()] + "\n" + text[time.end() :])
        read = _clock(time, text[: time.start()], text[time.end() :], (*known, "en"))
        if read is None:
            return None
        clock, half = read
        rest = without_zone
    day = _day(rest, known, half)
    if day is None:
        return None
    try:
        return dt.datetime(*day, *clock, tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def _digits(text: str) -> str:
    if text.isascii():
        return text
    text = "".join(str(unicodedata.digit(char)) if char.isdigit() and not char.isascii() else char for char in text)
    return unicodedata.normalize("NFC", text)


def _time(text: str) -> re.Match[str] | None:
    found = _COLON_TIME.search(text) or _LETTER_TIME.search(text)
    if found is not None:
        return found
    dotted = list(_DOT_TIME.finditer(text))
    return dotted[-1] if dotted and int(dotted[-1][1]) < 24 and int(dotted[-1][2]) < 60 else None


def _zone(text: str) -> tuple[dt.tzinfo | None, str]:
    """The zone named in a text without its time of day, and the text without the zone."""
    found = _NAMED_OFFSET.search(text) or _OFFSET.search(text)
    if found is not None:
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        rest = text[: found.start()] + " " + text[found.end() :]
        if minutes > 14 * 60:
            return None, rest
        return dt.timezone(dt.timedelta(minutes=-minutes if found[1] != "+" else minutes)), rest
    for word in reversed(list(_LETTERS.finditer(text))):
        hours = _ZONES.get(word.group().lower())
        if hours is not None and word.group().isupper():  # "Awst" is the Welsh August
            return dt.timezone(dt.timedelta(hours=hours)), text[: word.start()] + " " + text[word.end() :]
    return None, text


def _clock(time: re.Match[str], before: str, after: str, languages: Iterable[str]) -> tuple[tuple[int, int, int], bool] | None:
    """((hour, minute, second), whether a half of the day was named)."""
    hour, minute, second = int(time[1]), int(time[2]), min(int(time[3] or 0), 59)
    before, after = before.casefold().rstrip(" .,("), after.casefold().lstrip(" ")
    half = ""
    if 1 <= hour <= 12:
        for language in languages:
            for name, period in _periods(language):
                beside = after.startswith(name) and not after[len(name) : len(name) + 1].isalpha()
                if beside or (before.endswith(name.rstrip(".")) and not before[: -len(name.rstrip("."))][-1:].isalpha()):
                    half = period
                    break
            if half:
                break
    if (half in ("pm", "afternoon", "evening") or (half == "night" and hour >= 6)) and hour < 12:
        hour += 12
    elif half in ("am", "morning", "midnight", "night") and hour == 12:
        hour = 0
    if hour > 23 or minute > 59:
        return None
    return (hour, minute, second), bool(half)


def _day(text: str, languages: list[str], half: bool) -> tuple[int, int, int] | None:
    folded = text.casefold()
    for language in ("en", *languages) if _RFC_DAY.search(folded) else (*languages, "en"):
        day = _named_day(folded, _months(language), shortened=True)
        if day is not None:
            return day
    day = _numeric_day(text, languages, half)
    day = day or _named_day(folded, _every_month(), shortened=False)
    for language in languages if day is None else ():
        day = day or _placed(folded, _inflected(folded, _months(language)))
    return day


def _named_day(text: str, months: tuple[tuple[str, int], ...], *, shortened: bool) -> tuple[int, int, int] | None:
    """(year, month, day) of a text that names its month by a word. A weekday may look like a month: the one next to a number counts."""
    found: list[tuple[int, int, int, int]] = []  # (distance to a number, -length, position, month)
    present = set(_WORDS.findall(text)) if text.isascii() else None
    for name, month in months:
        if present is not None and name not in present and name.isalpha():
            continue  # plain letters: whole words only, without searching for each name
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            before, after = text[max(0, at - 1) : at], text[end : end + 1]
            hebrew_in = before == "ב"  # the Hebrew "in" is written together with the month
            if (not before.isalpha() or hebrew_in) and not _goes_on(after):
                found.append((_distance(text, at - hebrew_in, end), -len(name), at, month))
            at = text.find(name, end)
    if not found and shortened:
        found = _cut_short(text, months)
    return _placed(text, found)


def _placed(text: str, found: list[tuple[int, int, int, int]]) -> tuple[int, int, int] | None:
    """(year, month, day) with the numbers around the likeliest of the months found."""
    if not found:
        return None
    _, length, at, month = min(found)
    numbers = [(match.start(), match.group()) for match in _NUMBER.finditer(text[:at] + " " * -length + text[at - length :])]
    year = next((int(digits) for _, digits in numbers if len(digits) == 4), None)
    days = [(abs(start - at), int(digits)) for start, digits in numbers if len(digits) <= 2 and 1 <= int(digits) <= 31]
    if year is None or not days:
        return None
    return _western(year), month, min(days)[1]


def _cut_short(text: str, months: tuple[tuple[str, int], ...]) -> list[tuple[int, int, int, int]]:
    """Words of three letters or more that begin the names of exactly one month ("lokak" for "lokakuuta")."""
    found = []
    for word in _WORD.finditer(text):
        meant = {month for name, month in months if name.startswith(word.group()) and " " not in name}
        if len(meant) == 1:
            found.append((_distance(text, word.start(), word.end()), -len(word.group()), word.start(), meant.pop()))
    return found


def _inflected(text: str, months: tuple[tuple[str, int], ...]) -> list[tuple[int, int, int, int]]:
    """The longest name of a month that a word or the last of its words begins with ("otsailaren": of February, in Basque)."""
    for name, month in months:  # longest first
        at = text.find(name) if len(name) > 2 else -1
        if at >= 0 and not text[max(0, at - 1) : at].isalpha():
            ending = _WORD_END.match(text, at + len(name))
            if ending is not None and ending.end() - ending.start() < 5:
                return [(_distance(text, at, ending.end()), -len(name), at, month)]
    return []


def _goes_on(char: str) -> bool:
    return bool(char) and (char.isalpha() or unicodedata.category(char) in ("Mn", "Mc"))


def _distance(text: str, start: int, end: int) -> int:
    """How far the nearest number stands from text[start:end]."""
    left = next((start - i for i in range(start - 1, max(-1, start - 12), -1) if text[i].isdigit()), 99)
    right = next((i - end + 1 for i in range(end, min(len(text), end + 12)) if text[i].isdigit()), 99)
    return min(left, right)


def _numeric_day(text: str, languages: list[str], half: bool) -> tuple[int, int, int] | None:
    numbers = [digits for digits in _NUMBER.findall(text) if len(digits) in (1, 2, 4)][:3]
    if len(numbers) < 3:
        return None
    first, second, third = (int(digits) for digits in numbers)
    if len(numbers[0]) == 4:
        return _western(first), second, third
    year = _western(third) if len(numbers[2]) == 4 else 2000 + third
    orders = {_order(language, half) for language in languages[:1]} if languages else {""}
    order = orders.pop()
    if order.startswith("y") and len(numbers[2]) != 4:
        return 2000 + first, second, third
    if first > 12 or (first == second and second <= 12):
        return year, second, first
    if second > 12:
        return year, first, second
    if order == "dMy" or _DOTTED_DAY.search(text):  # no language of CLDR writes dots and the month first
        return year, second, first
    if order == "Mdy":
        return year, first, second
    return None


def _western(year: int) -> int:
    """Thai clients count from 543 BC."""
    return year - 543 if 2400 < year < 2700 else year


# --- what CLDR knows ---------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def _locale(language: str) -> Locale | None:
    tag = {"hye": "hy", "no": "nb", "zh-CN": "zh-Hans-CN", "zh-TW": "zh-Hant-TW", "zh-HK": "zh-Hant-HK", "ja-JP-mac": "ja"}.get(language, language)
    for name in (tag, tag.partition("-")[0]):
        try:
            return Locale.parse(name, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return None


@functools.lru_cache(maxsize=256)
def _months(language: str) -> tuple[tuple[str, int], ...]:
    """(name, month) of a language, both cases of grammar, wide and short, longest first."""
    locale = _locale(language)
    if locale is None:
        return ()
    names: dict[str, set[int]] = {}
    for context in ("format", "stand-alone"):
        for width in ("wide", "abbreviated"):
            for number, name in locale.months[context][width].items():
                folded = visible(str(name)).casefold().rstrip(".")
                if not any(char.isdigit() for char in folded):
                    names.setdefault(folded, set()).add(number)
    if language.partition("-")[0] == "en":
        names.setdefault("sept", {9})
    return tuple(sorted(((name, found.pop()) for name, found in names.items() if len(found) == 1), key=lambda pair: (-len(pair[0]), pair[0])))


@functools.cache
def _every_month() -> tuple[tuple[str, int], ...]:
    """Month names of the common languages of the table that mean one month in all of them."""
    names: dict[str, set[int]] = {}
    # The languages that the great clients are seen in: loading every locale would take most of a second.
    for language in sorted({row.language.partition("-")[0] for row in table().rows if "outlook_desktop_windows" in row.clients}):
        for name, month in _months(language):
            if len(name) > 2:
                names.setdefault(name, set()).add(month)
    return tuple(sorted(((name, found.pop()) for name, found in names.items() if len(found) == 1), key=lambda pair: (-len(pair[0]), pair[0])))


@functools.lru_cache(maxsize=256)
def _periods(language: str) -> tuple[tuple[str, str], ...]:
    """(name, period) of the halves and parts of the day, longest first."""
    names: dict[str, str] = {"a.m.": "am", "p.m.": "pm", "am": "am", "pm": "pm"}
    locale = _locale(language)
    if locale is not None:
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for period, name in locale.day_periods.get(context, {}).get(width, {}).items():
                    kind = period.rstrip("12")
                    if (len(name) > 1 or not name.isascii()) and kind != "noon":
                        names.setdefault(visible(name).casefold(), kind)
    return tuple(sorted(names.items(), key=lambda pair: (-len(pair[0]), pair[0])))


@functools.lru_cache(maxsize=256)
def _order(language: str, half: bool) -> str:
    """ "dMy", "Mdy" or "yMd": how the language writes a date in numbers; "" when nobody can say."""
    locale = _locale(language)
    if locale is None:
        return ""
    if language == "en" and not half:
        return ""  # English without a country: with am and pm it is America, without it may be anybody
    found = _ORDER.findall(locale.date_formats["short"].pattern)
    return "".join(dict.fromkeys(found))
