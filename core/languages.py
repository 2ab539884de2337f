"""The languages of the house: which are offered, and the texts of each outside of a request, for mails."""

from __future__ import annotations

import functools
import gettext
from pathlib import Path

from core.reasons import Gettext

TRANSLATIONS = Path(__file__).parent.parent / "translations"
OWN_NAMES = {"en": "English", "it": "Italiano", "sv": "Svenska", "ja": "日本語"}
# A language is offered once its catalogue is there.
LANGUAGES = {code: name for code, name in OWN_NAMES.items() if code == "en" or (TRANSLATIONS / code / "LC_MESSAGES" / "messages.mo").is_file()}


@functools.cache
def gettext_of(language: str) -> Gettext:
    """The texts in a language, such as a rep's own; English for one that is not offered."""
    if language not in LANGUAGES:
        return str
    return gettext.translation("messages", TRANSLATIONS, [language], fallback=True).gettext
