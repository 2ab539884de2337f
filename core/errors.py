"""The few ways to stop. Everything else that raises is a fault of ours and counts as a crash of the mail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from core import reasons


class Sentence(str):
    """An English sentence that remembers how it was put together, so that a page can say it in the reader's language.

    Made of a text that `core.reasons.N_` marks and of what fills its %(named)s gaps; as a string it is the English one.
    A gap may be filled with another Sentence.
    """

    text: str
    params: dict[str, Any]

    def __new__(cls, text: str, /, **params: Any) -> Sentence:
        return cls.for_programs(text % params if params else text, text, **params)

    @classmethod
    def for_programs(cls, english: str, text: str, /, **params: Any) -> Sentence:
        """Programs go on reading `english`, people the text."""
        made = super().__new__(cls, english)
        made.text = text
        made.params = params
        return made


def said(sentence: str, gettext: Callable[[str], str]) -> str:
    """The sentence in the language of `gettext`; a plain string is looked up as it stands."""
    if not isinstance(sentence, Sentence):
        return gettext(sentence) if sentence else ""  # the text "" is the catalogue's header
    params = {name: said(value, gettext) if isinstance(value, Sentence) else value for name, value in sentence.params.items()}
    translated = gettext(sentence.text)
    if "%(" not in sentence.text:  # a reason's gaps are in braces
        return reasons.filled(translated, params) if params else translated
    return translated % params if params else translated


def together(sentences: Iterable[str]) -> Sentence:
    """Several sentences as one, with a space between."""
    parts = {f"part{at}": one for at, one in enumerate(sentences)}
    return Sentence(" ".join(f"%({name})s" for name in parts), **parts)


class DropcopyError(Exception):
    """Base of every error that is raised on purpose."""


class SettingsError(DropcopyError):
    """A setting is wrong. The text is one sentence that names the setting and the remedy."""


class BadInput(DropcopyError):
    """What a person or a program gave us cannot be taken: `where` names the place, `sentence` the remedy.

    BadInput("name", N_("there is a source named %(name)s already"), name=name): English for programs and the command
    line, and by `said` in the reader's language on pages. A Sentence is taken as it is.
    """

    def __init__(self, where: str, sentence: str, /, **params: Any) -> None:
        self.where = where
        self.sentence = sentence if isinstance(sentence, Sentence) else Sentence(sentence, **params)
        super().__init__(f"{where}: {self.sentence}" if where else str(self.sentence))


class NotAllowed(DropcopyError):
    """The thing may be seen but not changed by this person. The text is one sentence for them."""

    def __init__(self, sentence: str, /, **params: Any) -> None:
        self.sentence = sentence if isinstance(sentence, Sentence) else Sentence(sentence, **params)
        super().__init__(str(self.sentence))


class Refused(DropcopyError):
    """Raised by the intake: this mail will never be taken as it is.

    code      a reason code of core.reasons (for example `unknown-recipient`, `too-large`)
    permanent True: SMTP 5xx, HTTP 4xx, IMAP leaves the mail where it is. False: ask again later (451, 503).
    """

    def __init__(self, code: str, *, permanent: bool = True, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.permanent = permanent
        self.params = params

    @property
    def sentence(self) -> Sentence:
        return sentence_of(self.code, **self.params)


def sentence_of(code: str, /, **params: Any) -> Sentence:
    """The sentence of a reason code, which pages say in the reader's language."""
    known = reasons.REASONS.get(code)
    return Sentence.for_programs(reasons.sentence(code, params), known.sentence if known else code, **params)


class _Outcome(DropcopyError):
    def __init__(self, code: str, **params: Any) -> None:
        super().__init__(code)
        self.code = code
        self.params = params


class Held(_Outcome):
    """The mail waits for a person, with the reason `code`."""


class Ignored(_Outcome):
    """A rule says no: the mail is kept for its retention, listed with the reason `code`, and filed nowhere."""


class Retry(_Outcome):
    """Something outside is in trouble (DNS, database): try again later; it is no fault of the mail."""

    def __init__(self, code: str, *, after: float | None = None, **params: Any) -> None:
        super().__init__(code, **params)
        self.after = after


class HttpTrouble(DropcopyError):
    """A request of ours to another host gave no answer, or was stopped by a rule of ours (`refused`: trying again is no use)."""

    def __init__(self, sentence: str, /, *, refused: bool = False, **params: Any) -> None:
        self.sentence = Sentence(sentence, **params)
        super().__init__(str(self.sentence))
        self.refused = refused
