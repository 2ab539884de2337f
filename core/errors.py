"""The few ways to stop. Everything else that raises is a fault of ours and counts as a crash of the mail."""

from __future__ import annotations

from typing import Any


class DropcopyError(Exception):
    """Base of every error that is raised on purpose."""


class SettingsError(DropcopyError):
    """A setting is wrong. The text is one sentence that names the setting and the remedy."""


class BadInput(DropcopyError):
    """What a person or a program gave us cannot be taken: `where` names the place, the text the remedy."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(f"{where}: {sentence}" if where else sentence)
        self.where = where
        self.sentence = sentence


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

    def __init__(self, sentence: str, *, refused: bool = False) -> None:
        super().__init__(sentence)
        self.refused = refused
