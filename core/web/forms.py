"""A form drawn from a pydantic model, and the posted form read back: for options of policies and settings of sources.

Secrets are write-only: they are never put into a page, and an empty field keeps what is stored.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from werkzeug.datastructures import MultiDict

from core.errors import BadInput
from core.reasons import Gettext
from core.store.complaints import sentence_of

_WRITTEN = {"tls": "TLS", "starttls": "STARTTLS", "oauth": "OAuth"}  # words that are not written as they are named


@dataclass(frozen=True, slots=True)
class Field:
    """What the template needs of one field. kind: text, number, tick, ticks, choice, lines, secret, json."""

    name: str
    label: str
    hint: str
    kind: str
    value: Any = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False
    least: Any = None
    most: Any = None
    kept: bool = False  # a secret is stored
    wrong: str = ""


def _bare(annotation: Any) -> Any:
    """The type behind Optional and Annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return _bare(field.annotation) in (SecretStr, SecretBytes) or bool(extra.get("secret"))


def secret_names(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if is_secret(field)}


def _kind(field: FieldInfo) -> str:
    bare = _bare(field.annotation)
    if is_secret(field):
        return "secret"
    if bare is bool:
        return "tick"
    if bare in (int, float):
        return "number"
    if typing.get_origin(bare) is Literal or (isinstance(bare, type) and issubclass(bare, Enum)):
        return "choice"
    if _listed_choices(field):
        return "ticks"
    if typing.get_origin(bare) in (list, tuple, set, frozenset) and all(kind is ... or _bare(kind) is str for kind in typing.get_args(bare)):
        return "lines"
    if isinstance(bare, type) and issubclass(bare, str):
        return "text"
    return "json" if typing.get_origin(bare) is not None or (isinstance(bare, type) and issubclass(bare, BaseModel)) else "text"


def _listed_choices(field: FieldInfo) -> tuple[Any, ...]:
    """The values of a list of choices, such as list[Literal["deal", "lead"]]."""
    bare = _bare(field.annotation)
    inner = typing.get_args(bare)[:1] if typing.get_origin(bare) in (list, tuple, set, frozenset) else ()
    return typing.get_args(inner[0]) if inner and typing.get_origin(inner[0]) is Literal else ()


def _spoken(name: str) -> str:
    """A name of the program as people read it: tls_cert is "TLS cert"."""
    first, *others = name.lower().replace("-", " ").replace("_", " ").split(" ")
    return " ".join([_WRITTEN.get(first, first.capitalize()), *(_WRITTEN.get(word, word) for word in others)])


def _choices(field: FieldInfo) -> tuple[tuple[str, str], ...]:
    bare = _bare(field.annotation)
    values = typing.get_args(bare) if typing.get_origin(bare) is Literal else _listed_choices(field)
    if values:
        return tuple((str(value), _spoken(str(value))) for value in values)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return tuple((str(member.value), _spoken(member.name)) for member in bare)
    return ()


def _bound(field: FieldInfo, *names: str) -> Any:
    return next((getattr(mark, name) for mark in field.metadata for name in names if getattr(mark, name, None) is not None), None)


def _shown(kind: str, value: Any) -> Any:
    if value is None:
        return ""
    if kind == "lines":
        return "\n".join(str(item) for item in value)
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, indent=1, default=str)
    return value.value if isinstance(value, Enum) else value


def _label(name: str, field: FieldInfo) -> str:
    return field.title or _spoken(name)


def texts(model: type[BaseModel]) -> Iterator[str]:
    """Every text that a form of the model shows, for the catalogue."""
    for name, field in model.model_fields.items():
        yield _label(name, field)
        if field.description:
            yield field.description
        yield from (shown for _value, shown in _choices(field))


def fields(
    model: type[BaseModel] | None, values: Mapping[str, Any], *, kept: set[str] | None = None, wrong: Mapping[str, str] | None = None, gettext: Gettext = str
) -> list[Field]:
    """The fields of a model with the present values; `kept` names secrets that are stored."""
    drawn = []
    for name, field in (model.model_fields if model else {}).items():
        kind = _kind(field)
        default = field.get_default(call_default_factory=True) if not field.is_required() else None
        value = "" if kind == "secret" else _shown(kind, values.get(name, default))
        hint = gettext(field.description) if field.description else ""  # the text "" would be the catalogue's header
        choices = tuple((value, gettext(shown)) for value, shown in _choices(field))
        drawn.append(
            Field(
                name, gettext(_label(name, field)), hint, kind, value, choices, field.is_required() and kind != "tick", _bound(field, "ge", "gt"),
                _bound(field, "le", "lt"), name in (kept or set()), (wrong or {}).get(name, ""),
            )
        )
    return drawn


def read(model: type[BaseModel] | None, form: MultiDict[str, str], prefix: str = "") -> dict[str, Any]:
    """What was posted, as raw values of the model's fields; secrets left empty and empty optional fields are absent."""
    found: dict[str, Any] = {}
    for name, field in (model.model_fields if model else {}).items():
        kind, posted = _kind(field), form.get(prefix + name)
        if kind == "tick":
            found[name] = posted == "1"
        elif kind == "ticks":
            found[name] = form.getlist(prefix + name)
        elif posted is None:
            continue
        elif kind == "lines":
            found[name] = [line.strip() for line in posted.replace(",", "\n").splitlines() if line.strip()]
        elif kind == "json":
            try:
                found[name] = json.loads(posted) if posted.strip() else None
            except ValueError:
                found[name] = posted
            if found[name] is None:
                del found[name]
        elif posted.strip() or (kind == "text" and not field.is_required() and _bare(field.annotation) is str and field.annotation is str):
            found[name] = posted if kind == "secret" else posted.strip()
    return found


def complaints(error: ValidationError) -> dict[str, BadInput]:
    """The first complaint about each field."""
    found: dict[str, BadInput] = {}
    for one in error.errors():
        name = str(one["loc"][0]) if one["loc"] else ""
        found.setdefault(name, BadInput(name, sentence_of(one)))
    return found
