"""The house as one value: what a process is built from. Nothing is global; `build` makes it once a process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from core.intake import GroupIntake
from core.plugins import Plugins
from core.queue import Bell, make_huey
from core.settings import Settings
from core.store.database import open_databases
from core.store.migrate import alone, migrate
from core.store.seal import Seal


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class House:
    """Settings, plugins, the seal of the secrets, the one entrance, the wake-up bell and the clock."""

    settings: Settings
    plugins: Plugins
    seal: Seal
    intake: GroupIntake
    bell: Bell
    now: Callable[[], dt.datetime] = utc_now


def build(settings: Settings, *, now: Callable[[], dt.datetime] = utc_now) -> House:
    """Open the databases, bring their tables up to date and put the house together. Raises SettingsError."""
    open_databases(settings)
    migrate(settings)
    seal = Seal(settings.secret_key)
    with alone(settings):  # huey makes its own tables, and PostgreSQL does not bear two that do so at once
        bell = Bell(make_huey(settings))
    return House(settings, Plugins(settings.plugins_dir), seal, GroupIntake(seal, bell, now), bell, now)
