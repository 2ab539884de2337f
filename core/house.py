"""The house as one value: what a process is built from. Nothing is global; `build` makes it once a process."""

from __future__ import annotations

import datetime as dt
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import SettingsError
from core.intake import GroupIntake
from core.plugins import Plugins
from core.queue import Bell, make_huey, unreachable
from core.settings import Settings
from core.store.database import open_databases
from core.store.migrate import alone, migrate
from core.store.seal import Seal

log = logging.getLogger("dropcopy.house")


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


def _make_private(settings: Settings) -> None:
    """The files that hold mail are this user's alone, also in a data folder that others may enter. SQLite gives its side files the same rights."""
    names = ["migrate.lock", "main.db", "intake.db"] if settings.on_sqlite else []
    names += ["queue.db"] if settings.on_sqlite and not settings.queue_url else []
    for name in names:
        path = settings.data_dir / name
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise SettingsError(f"DROPCOPY_DATA_DIR names {settings.data_dir}, where {name} cannot be written: {error.strerror}.") from error
        for file in (path, path.with_name(f"{name}-wal"), path.with_name(f"{name}-shm")):
            _tighten(file)
    _tighten(settings.data_dir / "secret.key")


def _tighten(file: Path) -> None:
    """Take from everybody else what an older file, or one that was copied back, lets them do."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            file.chmod(mode & 0o700)
            log.warning("%s could be read or written by other users of this machine; from now on only its owner may (%04o, before %04o)", file, mode & 0o700, mode)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s can be read or written by other users of this machine, and that cannot be changed here (%s): run chmod 600 on it", file, error.strerror)


def build(settings: Settings, *, now: Callable[[], dt.datetime] = utc_now) -> House:
    """Open the databases, bring their tables up to date and put the house together. Raises SettingsError."""
    _make_private(settings)
    open_databases(settings)
    migrate(settings)
    seal = Seal(settings.secret_key)
    with alone(settings):  # huey makes its own tables, and PostgreSQL does not bear two that do so at once
        try:
            bell = Bell(make_huey(settings))
        except Exception as error:
            raise unreachable(settings, error) from error
    return House(settings, Plugins(settings.plugins_dir), seal, GroupIntake(seal, bell, now), bell, now)
