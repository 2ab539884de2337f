"""Every pattern that sees mail is linear: a hundred kilobytes made to hurt it cost at most six times a quarter of them."""

from __future__ import annotations

import importlib
import inspect
import itertools
import pkgutil
import re
import time
from collections.abc import Callable, Iterator, Sequence
from re import _parser  # type: ignore[attr-defined]  # the pattern's own literals are the strings most likely to hurt it
from typing import Any

import pytest

import core.mail
import core.steps
import plugins

FIRST, SMALL, LARGE = 8_000, 25_000, 100_000  # characters
MOST = 6.0
TOO_LONG = 0.5  # seconds for the small size
SHORT = 0.001  # seconds: what takes less at the first size is not worth a second look; a square of it would take many times that
ANCHORED = {"match", "fullmatch"}
# Asked of texts that are cut before: what stands here may cost more than its length.
CUT = {"core.mail.html._STYLE_CALL": "a style value of 300 characters at most (_STYLE_VALUE)"}
# What parsers trip over: blanks, quotes, brackets, the beginnings of encoded words, labels, addresses, rows of digits.
COMMON = (
    " ", "\t", "\r", "\n", "\r\n", "\n ", "a", "A", "0", "é", "漢", ".", "-", "_", "=", "=?", "=?utf-8?q?", "=?utf-8?q?a?= ", "?=", "\"", "\\", "\\\"", "'", "<", ">", "<a", "</", "<<>",
    "(", ")", "()", "[", "]", "{", "}", "@", "a@", "a@b.", "a@b,", ",", ";", ":", ": ", "a:", "a: ", "From: ", "> ", ">", "> >", "* ", "*", "&", "&amp", "&#", "%", "%4", "+", "-----", "1/", "1 ",
    "12:", "http://", "http://a.", "www.", "a b ", "ab\n", "a.b", "\u00a0", "\u200b", "\x00", "--\n", "<!--", "<a href=", "url(", "/*", "Re: ", "[a] ", "Re[1", "a=b;", "a*0=", "a*0*=",
)  # fmt: skip


def modules() -> list[Any]:
    """Every module of the rooms that see mail."""
    found = []
    for package in (core.mail, core.steps, plugins):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                found.append(importlib.import_module(info.name))
            except ModuleNotFoundError as missing:  # a plugin whose library is not installed
                if not info.name.startswith("plugins."):
                    raise AssertionError(info.name) from missing
    return [*found, importlib.import_module("core.store.words")]


def patterns_in(value: Any, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    """The compiled patterns in a module's value, also inside mappings and sequences and the values of plain objects."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 4 and isinstance(value, dict):
        for one in value.values():
            yield from patterns_in(one, depth + 1)
    elif depth < 4 and isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from patterns_in(one, depth + 1)
    elif depth < 4 and getattr(type(value), "__module__", "").startswith(("core.", "plugins.")):
        yield from patterns_in({name: getattr(value, name, None) for name in [*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())]}, depth + 1)


def every_pattern() -> dict[str, re.Pattern[Any]]:
    """Named by the first module that holds it; those that inputs of ours are matched with are among them, too."""
    found: dict[str, re.Pattern[Any]] = {}
    seen: set[tuple[Any, int]] = set()
    for module in modules():
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                if (pattern.pattern, pattern.flags) not in seen:
                    seen.add((pattern.pattern, pattern.flags))
                    found[f"{module.__name__}.{name}-{len(found)}"] = pattern
    return found


PATTERNS = every_pattern()


def works_of(name: str) -> tuple[str, ...]:
    """From the beginning, failing at the end; and from everywhere, unless the product only ever asks it at one place."""
    module, _, rest = name.rpartition(".")
    source = inspect.getsource(importlib.import_module(module))
    asked = set(re.findall(rf"\b{rest.partition('-')[0]}\.(\w+)", source))
    return ("fullmatch",) if asked and asked <= ANCHORED else ("fullmatch", "findall")


def literals(pattern: re.Pattern[Any]) -> list[str]:
    """The fixed words of a pattern, and one sign of each of its classes."""
    runs: list[str] = []

    def walk(parsed: Any) -> None:
        run = ""
        for operation, argument in parsed:
            name = str(operation)
            if name == "LITERAL":
                run += chr(argument)
                continue
            if run:
                runs.append(run)
                run = ""
            if name == "IN":
                runs.extend(chr(value if isinstance(value, int) else value[0]) for kind, value in argument[:4] if str(kind) in ("LITERAL", "RANGE"))
            elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
                walk(argument[2])
            elif name == "SUBPATTERN":
                walk(argument[-1])
            elif name == "ATOMIC_GROUP":
                walk(argument)
            elif name == "BRANCH":
                for one in argument[1][:12]:
                    walk(one)
            elif name in ("ASSERT", "ASSERT_NOT"):
                walk(argument[1])
        if run:
            runs.append(run)

    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    walk(_parser.parse(text, pattern.flags & (re.VERBOSE | re.IGNORECASE)))
    return list(dict.fromkeys(runs))[:14]


def units(pattern: re.Pattern[Any]) -> list[str]:
    """What is repeated to hurt it."""
    own = literals(pattern)
    mixed = [a + b for a, b in itertools.pairwise(own)] + ["".join(own[:6])] + [f"{word} " for word in own[:6]] + [f"{word}a" for word in own[:6]]
    return [unit for unit in dict.fromkeys([*COMMON, *own, *mixed]) if unit]


def hostile(unit: str, size: int, before: str, after: str) -> str:
    return before + (unit * (size // len(unit) + 1))[: size - len(before) - len(after)] + after


def seconds(work: Callable[[Any], object], text: Any, rounds: int) -> float:
    best = 60.0
    for _ in range(rounds):
        began = time.process_time()
        work(text)
        best = min(best, time.process_time() - began)
    return best


def worst(pattern: re.Pattern[Any], works: Sequence[str] = ("fullmatch", "findall")) -> tuple[float, str]:
    """The largest ratio that any hostile string gives, and that string's making."""
    found = (0.0, "")
    as_bytes = isinstance(pattern.pattern, bytes)
    own = literals(pattern)
    for unit in units(pattern):
        for before in dict.fromkeys(("", own[0] if own and unit in own else "")):
            for name in works:
                work = getattr(pattern, name)

                def cost(size: int, rounds: int = 1, unit: str = unit, before: str = before, work: Callable[[Any], object] = work) -> float:
                    text = hostile(unit, size, before, "\x01")
                    return seconds(work, text.encode("latin-1", "replace") if as_bytes else text, rounds)

                if cost(FIRST) < SHORT:
                    continue
                small = cost(SMALL)
                if small > TOO_LONG:  # not measured further: the large one would take minutes
                    return small / SHORT, f"{name} of {unit!r} after {before!r}: {small:.2f} s for {SMALL} characters"
                large = cost(LARGE)
                for rounds in (5, 15):  # perhaps the machine was busy: the best of several counts
                    if large / small >= MOST - 1:
                        small, large = cost(SMALL, rounds), cost(LARGE, rounds)
                if large / small > found[0]:
                    found = (large / small, f"{name} of {unit!r} after {before!r}: {small:.4f} s, {large:.4f} s")
    return found


def test_the_gate_sees_the_patterns_and_closes() -> None:
    assert len(PATTERNS) > 40
    assert worst(re.compile(r"[a;]+<"))[0] > MOST


@pytest.mark.parametrize("name", [name for name in PATTERNS if name.partition("-")[0] not in CUT])
def test_it_is_linear(name: str) -> None:
    ratio, how = worst(PATTERNS[name], works_of(name))
    assert ratio < MOST, f"{PATTERNS[name].pattern!r}: {how}"
