"""Finding, loading and guarding plugins.

Three ways in: the built-in ones under `plugins/`, entry points named `dropcopy`, and loose files in the plugins folder.
One failing plugin never stops another: each implementation is called by itself, timed, and its last error is kept.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import pkgutil
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

import core.hookspecs
from core.errors import Sentence
from core.reasons import N_
from core.types import Check, Connector, Email, Forward, HouseEvent, LinkPolicy, SinkContext, Source

log = logging.getLogger("dropcopy.plugins")

KINDS = ("sources", "checks", "policies", "forwards", "connectors", "sinks")


@dataclass
class Health:
    """How one plugin fares in this process."""

    name: str
    title: str
    origin: str  # built-in, installed, or the file's name
    kind: str = ""
    enabled: bool = True
    calls: int = 0
    seconds: float = 0.0
    last_error: str = ""
    hooks: list[str] = field(default_factory=list)


def _title(module: Any) -> str:
    return (module.__doc__ or "").strip().split("\n")[0]


def built_in() -> list[str]:
    """Module names of the plugins that ship with Dropcopy."""
    import plugins

    names = []
    for kind in KINDS:
        package = importlib.import_module(f"{plugins.__name__}.{kind}")
        names += [f"plugins.{kind}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    return names


def _writable_by_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))


class Plugins:
    """All plugins of a process, and every way to call them."""

    def __init__(self, folder: Path | None = None, *, names: Iterable[str] | None = None) -> None:
        self._manager = pluggy.PluginManager("dropcopy")
        self._manager.add_hookspecs(core.hookspecs)
        self._health: dict[str, Health] = {}
        self._makers: dict[str, str] = {}
        for name in built_in() if names is None else names:
            self._load(name, "built-in", partial(importlib.import_module, name))
        if names is None:
            for point in importlib.metadata.entry_points(group="dropcopy"):
                self._load(point.name, "installed", point.load)
        if folder is not None:
            self._load_folder(folder)
        self._check_pending()
        self.sources: dict[str, Source] = self._collect("register_sources", Source)
        self.checks: list[Check] = list(self._collect("register_checks", Check).values())
        self.policies: dict[str, LinkPolicy] = self._collect("register_link_policies", LinkPolicy)
        self.connectors: dict[str, Connector] = self._collect("register_connectors", Connector)

    # --- loading ---

    def _load(self, name: str, origin: str, load: Callable[[], Any]) -> None:
        kind = name.split(".")[1] if name.startswith("plugins.") and name.count(".") > 1 else ""
        health = Health(name.rpartition(".")[2], "", origin, kind)
        if name in self._health:
            health.enabled = False
            health.last_error = Sentence(N_("It was not loaded: another plugin is named %(name)s. Rename one of them."), name=name)
            self._health[f"{name} ({origin})"] = health
            return
        self._health[name] = health
        try:
            module = load()
            self._manager.register(module, name)
        except (Exception, SystemExit) as error:  # a file that calls exit() must not end the process
            half = self._manager.get_plugin(name)
            if half is not None:  # one of its hooks had been taken before another did not fit
                self._manager.unregister(half)
            health.enabled = False
            health.last_error = Sentence(N_("It could not be loaded: %(why)s"), why=f"{type(error).__name__}: {error}"[:500])
            log.exception("plugin %s could not be loaded", name)
            return
        health.title = _title(module)
        health.hooks = [caller.name for caller in self._manager.get_hookcallers(module) or ()]

    def _load_folder(self, folder: Path) -> None:
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith("_"):
                continue
            if _writable_by_others(path) or _writable_by_others(folder):
                self._health[path.stem] = Health(
                    path.stem, "", path.name, enabled=False, last_error=Sentence(N_("%(file)s was not loaded: others may write to it. Run chmod go-w on the file and its folder."), file=path.name)
                )
                continue
            self._load(path.stem, path.name, partial(_module_from, path))

    def _check_pending(self) -> None:
        """A hook that is misspelt would be silent for ever: say it, and disable that plugin only."""
        for name, plugin in list(self._manager.list_name_plugin()):
            if plugin is None:
                continue
            known = {hook for hook in dir(core.hookspecs) if hasattr(getattr(core.hookspecs, hook), "dropcopy_spec")}
            marked = {attribute for attribute in dir(plugin) if hasattr(getattr(plugin, attribute, None), "dropcopy_impl")}
            strange = sorted(marked - known)
            if strange:
                self._manager.unregister(plugin)
                self._health[name].enabled = False
                self._health[name].last_error = Sentence(N_("It implements %(hook)s, which is no hook of Dropcopy. Correct its name."), hook=strange[0])

    # --- calling ---

    def _implementations(self, hook: str) -> list[Any]:
        return list(reversed(getattr(self._manager.hook, hook).get_hookimpls()))

    def _guarded(self, implementation: Any, **arguments: Any) -> tuple[bool, Any]:
        """Call one implementation: (True, its answer) or (False, the exception)."""
        health = self._health[implementation.plugin_name]
        began = time.perf_counter()
        try:
            return True, implementation.function(*(arguments[name] for name in implementation.argnames))
        except Exception as error:
            health.last_error = f"{type(error).__name__}: {error}"[:500]
            log.exception("plugin %s failed", implementation.plugin_name)
            return False, error
        finally:
            health.calls += 1
            health.seconds += time.perf_counter() - began

    def _collect(self, hook: str, kind: Any) -> dict[str, Any]:
        """What the plugins register, by name. In the order of loading: nobody takes the name of what ships with Dropcopy."""
        found: dict[str, Any] = {}
        item: Any
        for implementation in reversed(self._implementations(hook)):
            health = self._health[implementation.plugin_name]
            fine, answer = self._guarded(implementation)
            answered: Any = answer if fine else None
            if not isinstance(answered, (list, tuple, type(None))):
                health.last_error = Sentence(N_("%(hook)s gave %(what)s, which is no list."), hook=hook, what=f"{answered!r:.200}")
                continue
            for item in answered or ():
                if not isinstance(item, kind):  # a plugin's answer is not trusted to be what it should
                    health.last_error = Sentence(N_("%(hook)s gave %(what)s, which is no %(kind)s."), hook=hook, what=f"{item!r:.200}", kind=kind.__name__)
                elif item.name in found:
                    health.last_error = Sentence(N_("The name %(name)s is taken by another plugin."), name=item.name)
                else:
                    found[item.name] = item
                    self._makers[f"{hook}:{item.name}"] = implementation.plugin_name
        return found

    def maker_of(self, hook: str, name: str) -> str:
        """The plugin that registered this policy, check or other thing through this hook; "" when none did."""
        return self._makers.get(f"{hook}:{name}", "")

    def read_forward(self, email: Email, raw: bytes) -> Forward | None:
        """The first answer of the readers that plugins bring; a failing one counts as no answer.

        Raises MemoryError: a reader that met the fence's limit has left nothing to go on with.
        """
        for implementation in self._implementations("read_forward"):
            fine, answer = self._guarded(implementation, email=email, raw=raw)
            if isinstance(answer, MemoryError):
                raise answer
            if fine and answer is not None:
                return answer
        return None

    def sinks(self) -> list[str]:
        """Names of the plugins that want events."""
        return [implementation.plugin_name for implementation in self._implementations("on_event")]

    def send_event(self, sink: str, event: HouseEvent, context: SinkContext = SinkContext()) -> Exception | None:
        """Tell one sink; the exception when it failed."""
        for implementation in self._implementations("on_event"):
            if implementation.plugin_name == sink:
                fine, answer = self._guarded(implementation, event=event, context=context)
                return None if fine else answer
        return None

    def health(self) -> list[dict[str, Any]]:
        """A row a plugin for the plugin page and the API; `module` is the name by which the store knows it."""
        return [{"module": name, **vars(health)} for name, health in self._health.items()]


def _module_from(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"dropcopy_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
