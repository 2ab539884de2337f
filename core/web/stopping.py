"""How the web process stops: it takes no new connection, and a mail that a provider has begun to post gets its answer first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from waitress import wasyncore
from waitress.server import BaseWSGIServer

STOP_SECONDS = 30.0
_HOOKS = "/in/"


def finish(sockets: dict[int, Any], seconds: float = STOP_SECONDS) -> None:
    """Close the listening sockets of a running Waitress and wait, at most so long, for the webhook requests that have begun.

    sockets  the map that Waitress was made with; its loop goes on in a thread of its own.
    Pages are not waited for: a page that listens for news would hold the stop up, and a reader loads it again.
    """
    for server in [one for one in list(sockets.values()) if isinstance(one, BaseWSGIServer)]:
        server.trigger.pull_trigger(lambda server=server: wasyncore.dispatcher.close(server))
    until = time.monotonic() + seconds
    while time.monotonic() < until and _waits(sockets):
        time.sleep(0.05)


def _waits(sockets: dict[int, Any]) -> bool:
    """Whether a webhook request has begun, or its answer is not sent yet; each of them is the last one of its connection."""
    found = False
    for channel in list(sockets.values()):
        for request in _requests(channel):
            request.headers["CONNECTION"] = "close"  # Waitress reads it when it writes the answer
            found = True
        found |= bool(getattr(channel, "total_outbufs_len", 0))
    return found


def _requests(channel: Any) -> Iterator[Any]:
    """The webhook requests of a connection: the one that is coming in, and those that wait for their answer or get it now."""
    for request in (getattr(channel, "request", None), *getattr(channel, "requests", ())):
        if request is not None and getattr(request, "path", "").startswith(_HOOKS):
            yield request
