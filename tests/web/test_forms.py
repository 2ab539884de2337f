"""A form is drawn from a plugin's own model: each kind of setting as the field that fits it."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from werkzeug.datastructures import MultiDict

from core.plugins import Plugins, built_in
from core.web import forms


class Options(BaseModel):
    name: str = ""
    most: int = Field(3, ge=1, le=9)
    open_only: bool = True
    order: Literal["newest-first", "oldest-first"] = "newest-first"
    kinds: list[Literal["deal", "lead"]] = Field(default_factory=list)
    networks: list[Annotated[str, BeforeValidator(str.strip)]] = Field(default_factory=list)
    secret: SecretStr = SecretStr("")
    map: dict[str, int] = Field(default_factory=dict)


def test_each_kind_of_setting_has_its_field() -> None:
    drawn = {field.name: field.kind for field in forms.fields(Options, {})}
    assert drawn == {
        "name": "text", "most": "number", "open_only": "tick", "order": "choice", "kinds": "ticks", "networks": "lines", "secret": "secret", "map": "json",
    }  # fmt: skip


def test_a_list_is_written_one_a_line_and_read_back() -> None:
    (field,) = (field for field in forms.fields(Options, {"networks": ["10.0.0.0/8", "::1"]}) if field.name == "networks")
    assert field.value == "10.0.0.0/8\n::1"
    assert forms.read(Options, MultiDict({"networks": "10.0.0.0/8\n\n ::1, 192.0.2.0/24"}))["networks"] == ["10.0.0.0/8", "::1", "192.0.2.0/24"]


def test_abbreviations_are_written_as_people_write_them() -> None:
    class Server(BaseModel):
        security: Literal["tls", "starttls", "per-kind"] = "tls"
        tls_cert: str = ""

    security, certificate = forms.fields(Server, {})
    assert [shown for _value, shown in security.choices] == ["TLS", "STARTTLS", "Per kind"]
    assert certificate.label == "TLS cert"


@pytest.mark.parametrize("what", ["sources", "policies"])
def test_no_form_of_ours_asks_for_json(what: str) -> None:
    known = Plugins(names=built_in())
    models = [source.settings for source in known.sources.values()] if what == "sources" else [policy.options for policy in known.policies.values()]
    assert [(model, field.name) for model in models for field in forms.fields(model, {}) if field.kind == "json"] == []
