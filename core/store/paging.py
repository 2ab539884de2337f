"""Pages of a list: by a key that goes on from where the last page ended, never by counting."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from core.errors import BadInput
from core.reasons import N_

T = TypeVar("T")
MOST = 200  # items a page


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items and the cursor of the next ones; None when there are no more.

    understood  what a search made of the text, as one sentence
    notes       what of it was not understood
    """

    items: list[T]
    next: str | None = None
    understood: str = ""
    notes: tuple[str, ...] = ()


def cursor_of(*numbers: int) -> str:
    """The place after which the next page begins, as an opaque text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(numbers))).decode().rstrip("=")


def read_cursor(text: str | None, length: int) -> tuple[int, ...] | None:
    """The numbers of a cursor; None for the first page. Raises BadInput for anything we never gave out."""
    if not text:
        return None
    try:
        numbers = msgspec.json.decode(base64.urlsafe_b64decode(text[:200] + "=" * (-len(text[:200]) % 4)), type=list[int])
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        numbers = []
    if len(numbers) != length or any(not -(2**63) < number < 2**63 for number in numbers):
        raise BadInput("cursor", N_("take it unchanged from the `next` of the page before"))
    return tuple(numbers)


def sensible(limit: int) -> int:
    """A page size between 1 and the most."""
    return max(1, min(limit, MOST))
