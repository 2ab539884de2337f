"""Text cut into the words of the index: the same pure function for writing and asking.

Letters are folded (case, width, accents), runs of scripts without spaces become overlapping pairs plus the last letter
alone, and everything else ends at what is neither letter nor digit. Both databases index exactly these words, so a search
answers alike on either.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

VERSION = 1  # another version asks for the index to be built anew

# Han, Hiragana, Katakana, Hangul, Thai, Lao, Khmer, Myanmar: written without spaces, or searched inside words.
_PAIRED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_PIECE = re.compile(rf"[{_PAIRED}]+|[^\W_{_PAIRED}]+")
_IS_PAIRED = re.compile(rf"[{_PAIRED}]")
_ASCII_RUN = re.compile(r"[a-z0-9]+")
# Letters that no decomposition takes apart.
_APART = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŋ": "n", "ŧ": "t", "ſ": "s"}
_MARKS = (  # signs above and below letters that people leave out when they type
    (0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05BD), (0x05BF, 0x05C7), (0x0610, 0x061A), (0x0640, 0x0640), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F),
)  # fmt: skip
_LONGEST = 100  # letters of one word: nobody searches for more, and encoded blocks would fill the index


def _bare(letter: str) -> str:
    """One folded letter without its accent."""
    if letter in _APART:
        return _APART[letter]
    code = ord(letter)
    if any(first <= code <= last for first, last in _MARKS):
        return ""
    if code < 0xC0 or _IS_PAIRED.match(letter):
        return letter
    whole = unicodedata.normalize("NFD", letter)
    return whole[0] if len(whole) > 1 and any(0x0300 <= ord(mark) <= 0x036F for mark in whole[1:]) else letter


class _Bare(dict[int, str]):
    """What each letter folds to, remembered."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _bare(chr(code))
        return folded


_BARE = _Bare()


def fold(text: str) -> str:
    """Case, width and accents taken away: `Stühle` -> `stuhle`, `ＡＢ` -> `ab`, `Straße` -> `strasse`."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_BARE)


def pieces(text: str) -> list[tuple[str, bool]]:
    """The runs of a folded text: (run, whether it is cut into pairs)."""
    return [(found, _IS_PAIRED.match(found) is not None) for found in _PIECE.findall(fold(text))]


def _pairs(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run) - 1)]


def to_index(text: str) -> list[str]:
    """The words of a text as they are indexed, in order: `東京支店` -> 東京 京支 支店 店."""
    if text.isascii():  # nothing to fold and nothing to pair: most mail, at a tenth of the cost
        return [run[:_LONGEST] for run in _ASCII_RUN.findall(text.lower())]
    words: list[str] = []
    for run, paired in pieces(text):
        if paired:
            words += [*_pairs(run), run[-1]]
        else:
            words.append(run[:_LONGEST])
    return words


def to_ask(text: str) -> tuple[list[str], bool]:
    """The words of a phrase as they are asked for, and whether the last of them is a beginning only.

    A run at the end may go on in the mail, so its last letter alone is left out; a single letter of such a script asks
    for every word that begins with it.
    """
    found = pieces(text)
    words: list[str] = []
    for number, (run, paired) in enumerate(found):
        last = number == len(found) - 1
        if not paired:
            words.append(run[:_LONGEST])
        elif not last:
            words += [*_pairs(run), run[-1]]
        elif len(run) == 1:
            return [*words, run], True
        else:
            words += _pairs(run)
    return words, False


# --- people -------------------------------------------------------------------------------------------------------

# Words that tell the role of a name, so that `from:` is answered by the index: no ordinary text begins so.
ROLES = {"from": "zqf", "original": "zqf", "to": "zqt", "cc": "zqc"}


def mark_of(prefix: str, text: str) -> str:
    """One word that stands for a whole address or domain, exactly."""
    return f"{prefix}x{hashlib.sha256(text.lower().encode()).hexdigest()[:20]}"


def of_people(people: Iterable[tuple[str, str | None, str]]) -> list[str]:
    """The words of names and addresses, plain and marked with their role; people in Bcc are left out."""
    words: list[str] = []
    for role, name, address in people:
        if role in ROLES:
            keep = len(name or "") + len(address) <= _LONGEST  # what a stranger makes long would fill the memory
            words += (_of_person if keep else _of_person.__wrapped__)(ROLES[role], name or "", address)
    return words


@lru_cache(maxsize=2000)  # the company's own stand in every mail
def _of_person(prefix: str, name: str, address: str) -> tuple[str, ...]:
    plain = [*to_index(name), *to_index(address)]
    domain = address.rpartition("@")[2]
    return (*plain, *(prefix + word for word in plain), mark_of(prefix, address), mark_of(prefix, "@" + domain))


def ask_for_person(prefix: str, text: str) -> tuple[list[str], bool]:
    """What `from:` asks for: an address or `@domain` exactly, anything else as a phrase of the name or address."""
    local, at, domain = text.strip().rpartition("@")
    if at and domain and " " not in text.strip():
        return [mark_of(prefix, text.strip() if local else "@" + domain)], False
    words, beginning = to_ask(text)
    return [prefix + word for word in words], beginning
