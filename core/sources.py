"""Source instances: what the admin added, with settings, secrets and durable state; and the contexts that plugins work with."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from core.dns import Resolver
from core.errors import BadInput
from core.house import House
from core.http import Client
from core.reasons import N_
from core.store.company import beat
from core.store.complaints import first_complaint
from core.store.database import connected, write
from core.store.models import SourceInstance
from core.store.seal import Seal, fresh_token
from core.types import Envelope, Intake, Source, SourceContext

# The name and state of the ways in that the machine's own settings open.
BUILT_IN = ("smtp", "lmtp")
LAST_IDS = 20


class RowState:
    """A source instance's state in its row; values under `secret_…` (an OAuth token) are sealed, and on the disk when `set` returns."""

    def __init__(self, instance_id: int, seal: Seal) -> None:
        self._id = instance_id
        self._seal = seal

    def get(self, name: str, default: Any = None) -> Any:
        with connected():
            row = SourceInstance.get_or_none(SourceInstance.id == self._id)
        if row is None or name not in (row.state or {}):
            return default
        value = row.state[name]
        return json.loads(self._seal.open(value) or "null") if name.startswith("secret_") else value

    def set(self, **values: Any) -> None:
        # A refreshed token is nowhere else. How far a mailbox is read is written with every mail, and what a power failure takes
        # of it is fetched again under the same keys.
        durable = any(name.startswith("secret_") for name in values)
        values = {name: self._seal.close(json.dumps(value)) if name.startswith("secret_") else value for name, value in values.items()}
        with connected(), write(durable=durable):
            row = SourceInstance.get_or_none(SourceInstance.id == self._id)
            if row is not None:
                SourceInstance.update(state={**(row.state or {}), **values}).where(SourceInstance.id == self._id).execute()


class MemoryState:
    """State of a way in that the settings of the machine open: it has nothing to remember over a restart."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        return self.values.get(name, default)

    def set(self, **values: Any) -> None:
        self.values.update(values)


class NotedIntake:
    """The intake as one instance uses it: what came through is remembered for its page, and written by `note_last`."""

    def __init__(self, intake: Intake, clock: Callable[[], dt.datetime]) -> None:
        self._intake = intake
        self._clock = clock
        self.ids: list[int] = []  # of the last mails, at most LAST_IDS
        self.last: tuple[dt.datetime, float] | None = None  # when the last mail was kept, and how many seconds it had waited

    @property
    def message_limit(self) -> int:
        return self._intake.message_limit

    def accepts(self, address: str) -> bool:
        return self._intake.accepts(address)

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        ident = self._intake.receive(raw, envelope)
        self._kept(ident, envelope)
        return ident

    def submit(self, raw: bytes, envelope: Envelope) -> Future[int]:
        future = self._intake.submit(raw, envelope)
        future.add_done_callback(lambda done: None if done.exception() else self._kept(done.result(), envelope))
        return future

    def _kept(self, ident: int, envelope: Envelope) -> None:
        now = self._clock()
        waited = (now - envelope.received_at).total_seconds() if envelope.received_at is not None else 0.0
        self.ids = [*self.ids, ident][-LAST_IDS:]
        self.last = (now, max(0.0, waited))


def note_last(instance_id: int, context: SourceContext) -> None:
    """Write down when the last mail came through this context, if one has come since the last call."""
    intake = context.intake
    if not isinstance(intake, NotedIntake) or intake.last is None:
        return
    (at, waited), intake.last = intake.last, None
    with connected(), write():
        SourceInstance.update(last_mail_at=at).where(SourceInstance.id == instance_id).execute()
    context.state.set(lag_s=round(waited))


def secret_names(model: type[BaseModel]) -> set[str]:
    """The fields of a settings model that are secrets."""
    return {name for name, field in model.model_fields.items() if "SecretStr" in str(field.annotation)}


def check_settings(source: Source, values: Mapping[str, Any]) -> Any:
    """The settings of an instance, validated. Raises BadInput that names the field."""
    try:
        return source.settings.model_validate(dict(values))
    except ValidationError as error:
        complaint = first_complaint(error)
        raise BadInput(f"settings.{complaint.where}".rstrip("."), complaint.sentence) from None


def _apart(source: Source, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    secret = secret_names(source.settings)
    plain = {name: value for name, value in values.items() if name not in secret}
    return plain, {name: value for name, value in values.items() if name in secret and value not in (None, "")}


def _dumped(model: BaseModel) -> dict[str, Any]:
    values = model.model_dump(mode="json")
    for name in secret_names(type(model)):
        held = getattr(model, name)
        values[name] = held.get_secret_value() if isinstance(held, SecretStr) else held
    return values


def add(source: Source, name: str, values: Mapping[str, Any], seal: Seal, house: House, *, enabled: bool = True) -> SourceInstance:
    """Add an instance. Raises BadInput."""
    if not name.strip():
        raise BadInput("name", N_("give the source a name"))
    if SourceInstance.get_or_none(SourceInstance.name == name.strip()) is not None:
        raise BadInput("name", N_("there is a source named %(name)s already"), name=name.strip())
    plain, secret = _apart(source, _dumped(check_settings(source, values)))
    with write():
        row = SourceInstance.create(
            kind=source.name, name=name.strip(), token=fresh_token(24), enabled=enabled, settings=plain,
            secrets=seal.close(json.dumps(secret)), created_at=house.now(),
        )  # fmt: skip
        beat("sources")
    return row


def change(row: SourceInstance, source: Source, seal: Seal, *, name: str | None = None, enabled: bool | None = None, values: Mapping[str, Any] | None = None) -> None:
    """Change what is given; secrets that are not given stay. Raises BadInput."""
    changes: dict[str, Any] = {}
    if name is not None:
        if not name.strip():
            raise BadInput("name", N_("give the source a name"))
        if SourceInstance.select().where(SourceInstance.name == name.strip(), SourceInstance.id != row.id).exists():
            raise BadInput("name", N_("there is a source named %(name)s already"), name=name.strip())
        changes["name"] = name.strip()
    if enabled is not None:
        changes["enabled"] = enabled
    if values is not None:
        before = {**row.settings, **open_secrets(row, seal)}
        hidden = secret_names(source.settings)
        given = {k: v for k, v in values.items() if v is not None and not (v == "" and k in hidden)}
        plain, secret = _apart(source, _dumped(check_settings(source, {**before, **given})))
        changes |= {"settings": plain, "secrets": seal.close(json.dumps(secret))}
    with write():
        SourceInstance.update(**changes).where(SourceInstance.id == row.id).execute()
        beat("sources")


def remove(row: SourceInstance) -> None:
    with write():
        SourceInstance.delete().where(SourceInstance.id == row.id).execute()
        beat("sources")


def open_secrets(row: SourceInstance, seal: Seal) -> dict[str, Any]:
    return json.loads(seal.open(row.secrets) or "{}") if row.secrets else {}


def report_of(instance_id: int, house: House) -> Callable[[str], None]:
    def report(sentence: str) -> None:
        told = SourceInstance.select().where(SourceInstance.id == instance_id, SourceInstance.last_error != "")
        with connected():
            if not sentence and not told.exists():
                return  # the usual case with every mail: nothing to clear, so no durable write either
            with write():
                SourceInstance.update(last_error=sentence, last_error_at=house.now() if sentence else None).where(SourceInstance.id == instance_id).execute()

    return report


def context_of(row: SourceInstance, source: Source, house: House) -> SourceContext:
    """What the plugin of this instance works with. Raises BadInput when its settings do not fit any more."""
    settings = check_settings(source, {**row.settings, **open_secrets(row, house.seal)})
    return SourceContext(
        instance=row.name,
        settings=settings,
        intake=NotedIntake(house.intake, house.now),
        state=RowState(row.id, house.seal),
        dns=Resolver(house.settings.dns or None).for_message(),
        http=Client(),
        clock=house.now,
        log=logging.getLogger(f"dropcopy.source.{source.name}"),
        base_url=house.settings.web_url,
        report=report_of(row.id, house),
    )


def machine_context(name: str, settings: Any, house: House) -> SourceContext:
    """The context of a way in that the machine's settings open (SMTP, LMTP)."""
    log = logging.getLogger(f"dropcopy.source.{name}")
    return SourceContext(
        instance=name, settings=settings, intake=house.intake, state=MemoryState(), dns=Resolver(house.settings.dns or None).for_message(),
        http=Client(), clock=house.now, log=log, base_url=house.settings.web_url, report=lambda sentence: log.error(sentence) if sentence else None,
    )  # fmt: skip


def url_of(row: SourceInstance, house: House) -> str:
    """Where a webhook's provider posts to."""
    return f"{house.settings.web_url}/in/{_slug(row.name)}-{row.token}"


def _slug(name: str) -> str:
    return "".join(ch if ch.isascii() and ch.isalnum() else "-" for ch in name.lower()).strip("-") or "source"


def by_path(path: str) -> SourceInstance | None:
    """The instance that a webhook path names: only the token counts, and what a provider wants behind it does not."""
    token = path.partition("/")[0].rpartition("-")[2]
    return SourceInstance.get_or_none(SourceInstance.token == token) if token else None
