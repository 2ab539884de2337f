"""Every text that can be shown is in the catalogue; a language that is offered lacks none."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from jinja2 import Environment
from pydantic import BaseModel, Field

from core.languages import LANGUAGES, OWN_NAMES
from core.reasons import REASONS
from core.web import forms
from tools import messages

PLACES = re.compile(r"%\(\w+\)[sd]|\{\w+\}")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return messages.collected()


@pytest.fixture(params=("it", "sv", "ja"))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def texts(message: object) -> Iterator[str]:
    yield from message if isinstance(message, list | tuple) else (message,)


def test_every_reason_and_remedy_is_in_the_catalogue(catalog: Catalog) -> None:
    wanted = {text for one in REASONS.values() for text in (one.sentence, one.remedy) if text}
    assert [text for text in wanted if text not in catalog] == []


def test_the_forms_of_sources_and_policies_are_in_the_catalogue(catalog: Catalog) -> None:
    assert [text for _module, text in messages.of_plugins() if text and text not in catalog] == []


def test_every_page_and_shared_part_is_looked_into(catalog: Catalog) -> None:
    seen = {place for message in catalog for place, _line in message.locations}
    pages = [path for path in (messages.ROOT / "templates").rglob("*.html") if re.search(r"\b(?:_|ngettext)\('", path.read_text("utf-8"))]
    assert [str(path) for path in pages if path.relative_to(messages.ROOT).as_posix() not in seen] == []


def test_a_form_is_drawn_in_the_readers_language() -> None:
    class Options(BaseModel):
        how_many: int = Field(5, description="The most.")

    (drawn,) = forms.fields(Options, {}, gettext=str.upper)
    assert (drawn.label, drawn.hint) == ("HOW MANY", "THE MOST.")
    assert list(forms.texts(Options)) == ["How many", "The most."]


def test_english_italian_swedish_and_japanese_are_offered_and_only_languages_that_have_a_catalogue() -> None:
    assert set(LANGUAGES) == {"en", "it", "sv", "ja"} == {"en", *messages.languages()} == set(OWN_NAMES)


# What may stand in a template unmarked: names, addresses as examples, and what is no text for people.
NO_TEXT = re.compile(r"Dropcopy|[\w.*@, ]+\.example\b|aria-[a-z]+=\"[^\"]*\"|width=device|light|dark|same-origin")


def _bare_texts(template: str) -> Iterator[str]:
    """What stands between the tags and in the attributes that are read out, without what Jinja puts in."""
    data = "".join(text if kind == "data" else "\0" if kind == "variable_begin" else "" for _line, kind, text in Environment(autoescape=True).lex(template))
    data = re.sub(r"<style>.*?</style>", "", data, flags=re.DOTALL)
    for found in re.finditer(r">([^<>]*)<|\b(?:title|placeholder|aria-label|alt|data-[a-z]+-word|data-question)=\"([^\"]*)\"", data):
        text = found[1] or found[2] or ""
        if re.search(r"[A-Za-z]{3}", NO_TEXT.sub("", text)):
            yield text.strip()


def test_no_template_shows_a_text_that_is_not_in_the_catalogue() -> None:
    found = {str(path.name): texts for path in (messages.ROOT / "templates").rglob("*.html") if (texts := list(_bare_texts(path.read_text(encoding="utf-8"))))}
    assert found == {}


@pytest.mark.parametrize("template", ["<p>Nothing here</p>", '<input placeholder="Type a name">', "<b>{{ one }} of them</b>", '<form data-question="Sure?">'])
def test_a_bare_text_in_a_template_is_found(template: str) -> None:
    assert list(_bare_texts(template))


def test_a_language_lacks_no_text(language: str, catalog: Catalog) -> None:
    known = messages.read(language)
    assert [message.id for message in catalog if message.id and message.id not in known] == []
    assert messages.missing(known) == []


def test_a_translation_names_the_same_parameters(language: str) -> None:
    for message in messages.read(language):
        allowed = {place for text in texts(message.id) for place in PLACES.findall(text)}
        for text in texts(message.string):
            assert set(PLACES.findall(text)) <= allowed if message.pluralizable else set(PLACES.findall(text)) == allowed, message.id


def test_a_language_has_all_its_plural_forms(language: str) -> None:
    known = messages.read(language)
    assert known.num_plurals == {"it": 2, "sv": 2, "ja": 1}[language]
    assert [message.id for message in known if message.pluralizable and len(list(texts(message.string))) != known.num_plurals] == []


def test_no_language_speaks_the_words_of_another() -> None:
    """Short names may be alike everywhere; a sentence is not."""
    known = {code: messages.read(code) for code in ("it", "sv", "ja")}
    first = {code: {str(message.id): next(texts(message.string)) for message in found if message.id} for code, found in known.items()}
    sentences = [ident for ident in first["it"] if len(ident.split()) > 6]
    assert len(sentences) > 500
    assert [ident for ident in sentences if first["it"][ident] == first["sv"].get(ident)] == []
    assert [ident for ident in sentences if not re.search("[ぁ-んァ-ヶ一-龠]", first["ja"].get(ident, "あ"))] == []


def test_what_runs_is_what_was_translated(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, messages.read(language))
    assert messages.po_of(language).with_suffix(".mo").read_bytes() == compiled.getvalue()
