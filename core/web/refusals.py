"""What a refused form needs: it is drawn again with 422, the sentence beside the field, and everything as it was typed."""

from __future__ import annotations

from typing import Any

from flask import request

LONGEST_ID = 18  # digits: every id of that length fits its column


def number(text: str | None) -> int | None:
    """An id that a form names; None for anything else, however long."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= LONGEST_ID else None


def numbers(name: str, most: int) -> list[int]:
    """The ids of a field that may be there several times."""
    found = (number(text) for text in request.form.getlist(name)[:most])
    return [one for one in found if one is not None]


def typed(name: str, stored: Any = "") -> Any:
    """What was typed into a field of a refused form, else what is stored.

    A form that was taken answers with a redirect, so a page that is drawn for a POST is always a refused one.
    """
    return request.form.get(name, stored) if request.method == "POST" else stored


def ticked(name: str, stored: bool) -> bool:
    """The same of a tick box, whose absence says no."""
    return request.form.get(name) == "1" if request.method == "POST" else stored
