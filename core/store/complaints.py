"""What pydantic says about a value, as one sentence: its own words for programs, ours for people in their language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.errors import BadInput, Sentence
from core.reasons import N_

_NUMBER = N_("give a number")
_WHOLE = N_("give a whole number")
_LONGER = N_("use at least %(number)s characters")
_SHORTER = N_("use at most %(number)s characters")
_CHOICE = N_("use one of %(choices)s")
_OTHERWISE = N_("this does not fit here")

# pydantic's type of an error -> our sentence, and which fact of the error fills its gap.
_OURS: dict[str, tuple[str, str, str]] = {
    "missing": (N_("fill this in"), "", ""),
    "greater_than_equal": (N_("give %(number)s or more"), "number", "ge"),
    "greater_than": (N_("give more than %(number)s"), "number", "gt"),
    "less_than_equal": (N_("give %(number)s or less"), "number", "le"),
    "less_than": (N_("give less than %(number)s"), "number", "lt"),
    "string_too_short": (_LONGER, "number", "min_length"),
    "string_too_long": (_SHORTER, "number", "max_length"),
    "too_short": (N_("choose at least %(number)s"), "number", "min_length"),
    "too_long": (N_("choose at most %(number)s"), "number", "max_length"),
    "string_pattern_mismatch": (N_("this is not in the form that is needed here"), "", ""),
    "literal_error": (_CHOICE, "choices", "expected"),
    "enum": (_CHOICE, "choices", "expected"),
    "int_type": (_WHOLE, "", ""),
    "int_parsing": (_WHOLE, "", ""),
    "int_parsing_size": (_WHOLE, "", ""),
    "int_from_float": (_WHOLE, "", ""),
    "float_type": (_NUMBER, "", ""),
    "float_parsing": (_NUMBER, "", ""),
    "finite_number": (_NUMBER, "", ""),
    "string_type": (N_("give a text"), "", ""),
    "list_type": (N_("give a list of texts"), "", ""),
    "tuple_type": (N_("give a list of texts"), "", ""),
}


def sentence_of(error: Mapping[str, Any]) -> Sentence:
    """One of `ValidationError.errors()` as a sentence; what our own validators say stands as they say it."""
    facts = error.get("ctx") or {}
    if error["type"] == "extra_forbidden":
        return Sentence(N_("there is no such setting"))
    if error["type"] == "value_error":
        words = facts["error"].args[0] if facts["error"].args else ""
        return words if isinstance(words, Sentence) else Sentence(error["msg"].removeprefix("Value error, "))
    text, gap, fact = _OURS.get(error["type"], (_OTHERWISE, "", ""))
    params = {gap: str(facts[fact]).replace(" or ", ", ")} if gap else {}
    return Sentence.for_programs(error["msg"], text, **params)


def first_complaint(error: ValidationError) -> BadInput:
    """A pydantic error as one sentence with its place."""
    first = error.errors()[0]
    return BadInput(".".join(str(part) for part in first["loc"]), sentence_of(first))
