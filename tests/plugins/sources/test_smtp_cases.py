"""SMTP and LMTP pass what every source must pass."""

from __future__ import annotations

import smtplib
import threading
from collections.abc import Iterator

import pytest

from plugins.sources import lmtp, smtp
from tests.plugins.sources.cases import RCPT, SENDER, SourceCases, World


class TestSmtp(SourceCases):
    """Through a real port, by the standard library's client."""

    has_key = False  # a mail that comes again is known after it was authenticated, not here
    settings: smtp.SmtpSettings = smtp.SmtpSettings(port=0, hostname="mx.drop.example")
    run = staticmethod(smtp.run)
    client: type[smtplib.SMTP] = smtplib.SMTP

    @pytest.fixture(autouse=True)
    def _running(self) -> Iterator[None]:
        self._stop, self._threads = threading.Event(), []
        yield
        self._stop.set()
        for thread in self._threads:
            thread.join(15)
            assert not thread.is_alive()

    def world(self) -> World:
        world = World(self.settings)
        world.intake.living.add("r-abc123@drop.example")
        listening = threading.Event()
        keep = world.state.set
        world.state.set = lambda **values: (keep(**values), listening.set())[0]  # type: ignore[method-assign]
        thread = threading.Thread(target=self.run, args=(world.context, self._stop), daemon=True)
        thread.start()
        self._threads.append(thread)
        assert listening.wait(10)
        return world

    def send(self, world: World, raw: bytes, *, rcpt: tuple[str, ...] = (RCPT,), key: str = "event-1") -> str:
        client = self.client("127.0.0.1", world.state.get("port"), local_hostname="mail.sales.example", timeout=20)
        try:
            client.ehlo()
            client.sendmail(SENDER, list(rcpt), raw, mail_options=["BODY=8BITMIME"])
        except smtplib.SMTPResponseException as refused:
            return "never" if refused.smtp_code >= 500 else "later"
        finally:
            client.close()
        return "kept"


class Lmtp(smtplib.LMTP):
    """Reads the answer of each recipient after the mail, which the standard library's client leaves to its user."""

    def sendmail(self, sender: str, recipients: list[str], raw: bytes, mail_options: list[str]) -> None:  # type: ignore[override]
        answers = [self.mail(sender, mail_options), *(self.rcpt(one) for one in recipients), self.data(raw)]
        answers += [self.getreply() for _ in recipients[1:]] if answers[-1][0] != 503 else []
        for code, text in answers:
            if code >= 400:
                raise smtplib.SMTPDataError(code, text)


class TestLmtp(TestSmtp):
    settings = lmtp.LmtpSettings(port=0, hostname="mx.drop.example")
    run = staticmethod(lmtp.run)
    client = Lmtp
