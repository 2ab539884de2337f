"""What plugins came to grief over in other processes: the workers ask policies and checks, the pages tell of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from core.errors import Sentence
from core.reasons import N_
from core.store.database import write
from core.store.models import PluginState

NEWS = dt.timedelta(days=1)  # a trouble older than that is not told any more


@dataclass(frozen=True, slots=True)
class Trouble:
    last_error: str
    at: dt.datetime


def failed(name: str, error: str, now: dt.datetime) -> None:
    """Keep that this plugin failed on a mail. `error` is the kind of the error only: its text may hold what was written."""
    sentence = Sentence(N_("It failed on a mail with %(error)s; the log of the worker says more."), error=error)
    with write():
        PluginState.insert(name=name, last_error=sentence, last_error_at=now).on_conflict(
            conflict_target=[PluginState.name], update={PluginState.last_error: sentence, PluginState.last_error_at: now}
        ).execute()


def troubles(now: dt.datetime) -> dict[str, Trouble]:
    """The plugins that failed on a mail within the last day, by the name of their module."""
    found = PluginState.select(PluginState.name, PluginState.last_error, PluginState.last_error_at).where(PluginState.last_error_at > now - NEWS)
    return {name: Trouble(error, at) for name, error, at in found.tuples()}
