"""Mail that a page needs read again: an attachment, pictures from elsewhere, a text that is not kept. Always inside a fence.

The web process itself parses no mail: a thread of it waits a bounded time, and what is over the bounds is killed in its
child. A few children serve all threads, so mails that hang hold up those who look at such mails, and no other page.
"""

from __future__ import annotations

import logging
import queue

from core.fence import Broken, Fence, Pen
from core.reader import AgainJob, Job, encode_job

log = logging.getLogger("dropcopy.web")

CHILDREN = 2
SECONDS = 10.0  # of one reading
QUEUE_SECONDS = 5.0  # until a child is free


class Unreadable(Exception):
    """The mail was not read within the bounds, or every child was busy for too long."""


class Rereader:
    """The fence of a web process; its zygote starts with the first mail that is read again."""

    def __init__(self, fence: Fence) -> None:
        self._fence = fence
        self._all = [self._fence.pen() for _ in range(CHILDREN)]
        self._free: queue.LifoQueue[Pen] = queue.LifoQueue()
        for pen in self._all:
            self._free.put(pen)

    def attachment(self, raw: bytes, part: int) -> bytes | None:
        """The decoded bytes of an attachment, None when the mail has none such. Raises Unreadable."""
        answer = self._ask(AgainJob("part", part), raw)
        return answer[1:] if answer else None

    def html_with_images(self, raw: bytes) -> str:
        """The mail's HTML made safe, the sources of its pictures kept. Raises Unreadable."""
        return self._ask(AgainJob("html"), raw).decode("utf-8", "replace")

    def text(self, raw: bytes) -> str:
        """The mail's text. Raises Unreadable."""
        return self._ask(AgainJob("text"), raw).decode("utf-8", "replace")

    def _ask(self, job: AgainJob, raw: bytes) -> bytes:
        try:
            pen = self._free.get(timeout=QUEUE_SECONDS)
        except queue.Empty:
            raise Unreadable("every reader is busy") from None
        try:
            return pen.run(encode_job(Job(again=job)), raw, seconds=SECONDS)
        except Broken as error:
            log.warning("A mail could not be read again for a page: %s (%s).", error.code, error.detail)
            raise Unreadable(error.code) from None
        finally:
            self._free.put(pen)

    def close(self) -> None:
        """End the children; nobody may ask any more."""
        for pen in self._all:
            pen.close()
        self._fence.close()
