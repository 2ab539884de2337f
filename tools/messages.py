"""The catalogue of texts: `make messages` collects them, brings each language's file up to date and compiles it.

Texts marked in code and templates are read by Babel as babel.cfg says. Titles and hints of the forms of sources and
policies stand in their models, unmarked, and are drawn through gettext: they are collected from the models here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from core.plugins import Plugins, built_in
from core.web import forms

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "translations"
KEYWORDS = {"_": None, "_l": None, "N_": None, "gettext": None, "ngettext": (1, 2), "lazy_gettext": None}


def of_plugins() -> Iterator[tuple[str, str]]:
    """(place, text) of the title, and of each field of settings or options, of every source and policy of this repository."""
    known = Plugins(names=built_in())
    forms_of = [(source.title, source.settings) for source in known.sources.values()]
    yield from (("plugins", row["title"]) for row in known.health() if row["title"])
    for title, model in [*forms_of, *((policy.title, policy.options) for policy in known.policies.values())]:
        yield "plugins", title
        for text in forms.texts(model) if model else ():
            yield "plugins", text


def looked_into(folder: str | PathLike[str]) -> bool:
    """Babel by itself leaves out folders whose name begins with an underscore, and the shared parts of the pages stand in one."""
    return not Path(folder).name.startswith(".")


def collected() -> Catalog:
    """Every text that can be shown, with where it stands."""
    catalog = Catalog(project="Dropcopy", charset="utf-8")
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    for name, line, text, comments, context in extract_from_dir(ROOT, methods, options, KEYWORDS, directory_filter=looked_into):
        catalog.add(text, None, [(name, line)], auto_comments=comments, context=context)
    for name, text in of_plugins():
        catalog.add(text, None, [(name, 1)])
    return catalog


def po_of(language: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / "messages.po"


def languages() -> list[str]:
    """The languages that have a file: a new one begins as an empty messages.po in its folder."""
    return sorted(path.parent.parent.name for path in FOLDER.glob("*/LC_MESSAGES/messages.po"))


def read(language: str) -> Catalog:
    with po_of(language).open("rb") as file:
        return read_po(file, locale=language)


def missing(catalog: Catalog) -> list[str]:
    """Texts without a translation, or with one that somebody must look at."""
    found = []
    for message in catalog:
        texts = message.string if isinstance(message.string, list | tuple) else (message.string,)
        if message.id and (message.fuzzy or not all(texts)):
            found.append(str(message.id))
    return found


def write(language: str, catalog: Catalog) -> None:
    """The file of a language, and what the running app reads of it."""
    with po_of(language).open("wb") as file:
        write_po(file, catalog, width=120, include_lineno=False, sort_output=True, omit_header=False, ignore_obsolete=True)
    with po_of(language).with_suffix(".mo").open("wb") as file:
        write_mo(file, catalog)


def main() -> int:
    template = collected()
    print(f"{len(template)} texts")
    left = 0
    for language in languages():
        catalog = read(language)
        # No guesses from texts alike: a changed sentence is translated anew.
        catalog.update(template, no_fuzzy_matching=True)
        write(language, catalog)
        lacking = missing(catalog)
        left += len(lacking)
        print(f"{language}: {len(lacking)} without a translation", *lacking[:10], sep="\n  ")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
