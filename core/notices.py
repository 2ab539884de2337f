"""Mail that Dropcopy sends: an outbox with one row a key, sent through the relay, safe from loops.

Only people of the company get any: a rep at an address that is confirmed, or the very address that is being confirmed.
A notice about a mail goes out only when that mail proved its sender and a person wrote it (RFC 3834 section 2). Every mail
has the null return path, says Auto-Submitted, and carries X-Loop and a Message-ID by which it is known when it comes back.
"""

from __future__ import annotations

import datetime as dt
import email.policy
import logging
import smtplib
import ssl
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from core.errors import BadInput, DropcopyError, Sentence
from core.languages import gettext_of
from core.reasons import N_
from core.settings import Settings
from core.steps.verdict import Verdict
from core.store import drops, inbound, one_time, outbox, reps
from core.store.company import company
from core.store.models import Outcome, Rep, SenderAddress
from core.store.outbox import Letter, Waiting
from core.store.seal import Seal
from core.types import Email, Envelope

log = logging.getLogger("dropcopy.notices")

TIMEOUT = 20.0  # seconds of silence after which a relay counts as gone
PASS = 50  # mails of one pass of the sweeper
QUOTED = 200  # characters of a stranger's words that a notice repeats

CONFIRM, PASSWORD, INVITATION, DROPPED, TEST = "confirm-address", "password", "invitation", "attachment-dropped", "test"
ASKED = outbox.ASKED  # somebody says that he has forgotten his password; whether there is such a rep is looked up when the mail is sent

PLAIN_SUBJECT = N_("A note about your mail to Dropcopy")


class Desk(Protocol):
    """What sending needs of the house."""

    @property
    def settings(self) -> Settings: ...
    @property
    def seal(self) -> Seal: ...
    @property
    def now(self) -> Callable[[], dt.datetime]: ...


def relay_configured(settings: Settings) -> bool:
    """False: Dropcopy sends no mail, nothing is queued, and the pages have to say so."""
    return bool(settings.relay_url)


def waiting(now: dt.datetime) -> Waiting:
    """How the outbox stands."""
    return outbox.waiting(now)


# --- what is sent -------------------------------------------------------------------------------------------------

CONFIRM_SUBJECT = N_("Confirm this address for Dropcopy")
CONFIRM_BODY = N_(
    "Hello,\n\n%(name)s asks Dropcopy to log mail from %(address)s as theirs.\n"
    "If that was you, open this link and confirm it. It works once, for a day:\n\n%(link)s\n\n"
    "If it was not you, do nothing: without the confirmation nothing happens.\n"
)
PASSWORD_SUBJECT = N_("Your password for Dropcopy")
PASSWORD_BODY = N_(
    "Hello,\n\nopen this link to set your password for Dropcopy. It works once, for a day:\n\n%(link)s\n\n"
    "If you did not ask for it, do nothing: your password stays as it is.\n"
)
INVITATION_SUBJECT = N_("Your Dropcopy account")
INVITATION_BODY = N_(
    "Hello,\n\n%(company)s uses Dropcopy to file mail with customers, and this is your account.\n"
    "Open this link to choose a password. It works once, for a day:\n\n%(link)s\n"
)
TEST_SUBJECT = N_("A test of Dropcopy's relay")
TEST_BODY = N_("Hello,\n\nthis mail came through the relay of your Dropcopy. It works.\n")
DROPPED_SUBJECT = N_("Attachments were left out: %(subject)s")
DROPPED_BODY = N_(
    "Hello,\n\nyour mail “%(subject)s” was logged without these attachments, because each is larger than the limit of %(limit)s:\n\n%(files)s\n\n"
    "The mail itself reached its recipients as you sent it. An admin of your Dropcopy can raise the limit.\n"
    "You get this note once a day at most.\n"
)


def request_confirmation(rep_id: int, address: str, desk: Desk) -> bool:
    """Queue the mail that asks whether `address` is the rep's own; its link works once, for 24 hours (F18).

    False when no relay is set or the address has had its share for today. Raises BadInput for what is no address of a
    person: a broken one, or a drop address.
    """
    plain = reps.address_of(address)
    if plain is None:
        raise BadInput("address", N_("write an address such as ana@sales.example"))
    if drops.find(plain, desk.seal, desk.now()) is not None:
        raise BadInput("address", N_("this is a drop address of Dropcopy; it cannot be the address you write from"))
    if not relay_configured(desk.settings):
        return False
    rep = Rep.get_by_id(rep_id)
    link = _link("confirm", CONFIRM, rep.id, desk, address=plain)
    names = {"name": quoted(rep.name or rep.email), "address": plain, "link": link}
    gettext = gettext_of(rep.language)
    # The address may be a stranger's, mistyped or made up: it gets one such mail a day, whoever asks.
    return _queue(desk, CONFIRM, plain, gettext(CONFIRM_SUBJECT), gettext(CONFIRM_BODY) % names, a_day=outbox.ONE_A_DAY)


def confirmed(rep_id: int, address: str, now: dt.datetime) -> int:
    """The address counts from now on, and mail that was held because nobody knew it is judged again; how many mails.

    They walk the whole way: authentication counts as ever (F22).
    """
    reps.enter_address(rep_id, address, "alternative", now, verified_at=now, connected_at=now)
    held = Outcome.select(Outcome.inbound_id).where(Outcome.state == "held", Outcome.reason.in_(UNKNOWN), Outcome.sender == address.lower(), Outcome.size > 0)
    return sum(inbound.retry(row[0]) for row in list(held.tuples()))


UNKNOWN = ("unattributed", "unknown-sender", "ambiguous-sender", "suspended-rep")


def send_password_link(rep_id: int, desk: Desk, link: str = "") -> bool:
    """Queue the link by which a rep sets a new password; `link` when it is made already. False when nothing was queued."""
    if not relay_configured(desk.settings):
        return False
    rep = Rep.get_by_id(rep_id)
    link = link or _link("reset", "password", rep.id, desk)
    gettext = gettext_of(rep.language)
    return _queue(desk, PASSWORD, rep.email, gettext(PASSWORD_SUBJECT), gettext(PASSWORD_BODY) % {"link": link})


def ask_for_password(address: str, desk: Desk) -> bool:
    """Queue what somebody who is not signed in asks for: a link that sets the password of this account.

    Nothing is looked up here, so a page that calls this does the same work for an account and for a made-up address. The
    link is made when the mail is sent; for an address that is nobody's account the row ends there.
    """
    return relay_configured(desk.settings) and _queue(desk, ASKED, address, "", "-")


def send_invitation(rep_id: int, desk: Desk, link: str = "") -> bool:
    """Queue the mail that tells a new rep of the account, with the link that sets the first password."""
    if not relay_configured(desk.settings):
        return False
    rep = Rep.get_by_id(rep_id)
    link = link or _link("reset", "password", rep.id, desk)
    gettext = gettext_of(rep.language)
    names = {"link": link, "company": quoted(company().name) or "Dropcopy"}
    return _queue(desk, INVITATION, rep.email, gettext(INVITATION_SUBJECT), gettext(INVITATION_BODY) % names)


def about_dropped(inbound_id: int, verdict: Verdict, settings: Settings, seal: Seal, now: dt.datetime) -> bool:
    """Queue the one notice of F12, in the transaction that logs the mail: to the rep, at the account address, never to an
    address that the mail names."""
    files = [a for a in verdict.reading.email.attachments if a.note == "dropped"]
    proved = verdict.state == "logged" and verdict.reading.judgement.decision == "pass" and verdict.attribution.rule != "claimed"
    if not (files and proved and relay_configured(settings) and may_answer(verdict.reading.email, verdict.envelope)):
        return False
    rep = Rep.get_or_none(Rep.id == verdict.attribution.rep_id, Rep.status == "active")
    if rep is None or drops.find(rep.email, seal, now) is not None:
        return False
    gettext = gettext_of(rep.language)
    subject = verdict.reading.email.subject
    names = {
        "subject": quoted(subject),
        "limit": size(company().attachment_limit),
        "files": "\n".join(f"  {quoted(a.filename)} ({size(a.size)})" for a in files[:20]),
    }
    title = gettext(DROPPED_SUBJECT) % names if is_plain(subject) else gettext(PLAIN_SUBJECT)
    return outbox.enter(DROPPED, rep.email, title, gettext(DROPPED_BODY) % names, seal, now, inbound_id=inbound_id)


def may_answer(mail: Email, envelope: Envelope) -> bool:
    """True when a person wrote the mail and no field forbids an answer: never to bounces, lists, machines or ourselves.

    RFC 3834 section 2; X-Auto-Response-Suppress is Microsoft's (MS-OXCMAIL 2.2.3.2.14).
    """
    quiet = any(name.lower() == "x-auto-response-suppress" and value.strip().lower() not in ("", "none") for name, value in mail.headers)
    return envelope.mail_from != "" and not mail.machine and not mail.loop and not quiet


def _link(path: str, purpose: str, rep_id: int, desk: Desk, **facts: str) -> str:
    """A link that works once and for a day. Its host is the configured one, never a request's."""
    return f"{desk.settings.web_url}/{path}/{one_time.make(purpose, rep_id, desk.seal, desk.now(), **facts)}"


def _queue(desk: Desk, kind: str, address: str, subject: str, body: str, a_day: int = outbox.ASKED_A_DAY) -> bool:
    return outbox.enter(kind, address, subject, body, desk.seal, desk.now(), a_day=a_day)


# --- a stranger's words -------------------------------------------------------------------------------------------

# Cc holds CR, LF, VT, FF and NEL, Zl and Zp U+2028 and U+2029: EmailMessage raises ValueError for them in a header, and
# other programs end the line there. Cs are lone surrogates, which no charset can carry.
_BREAKS = ("Cc", "Zl", "Zp", "Cs")


def is_plain(text: str) -> bool:
    """True when nothing in the text could end a header line."""
    return not any(unicodedata.category(ch) in _BREAKS for ch in text[:10_000])


def quoted(text: str) -> str:
    """A stranger's words on one line, without control and direction characters, cut."""
    plain = "".join(" " if unicodedata.category(ch) in _BREAKS else ch for ch in text[: 4 * QUOTED] if unicodedata.category(ch) != "Cf")
    words = " ".join(plain.split())
    return words if len(words) <= QUOTED else words[: QUOTED - 1] + "…"


def size(number: int) -> str:
    """Bytes as a person reads them."""
    return f"{number / 1048576:.1f} MB" if number >= 1048576 else f"{number / 1024:.0f} kB"


# --- how it looks on the wire -------------------------------------------------------------------------------------


def sender_address(settings: Settings) -> str:
    """The From address: the relay's own account where that is an address (many take no other), else no-reply of our domain.

    Nobody reads it, and our SMTP refuses it like any address that is no drop address.
    """
    user = unquote(urlsplit(settings.relay_url).username or "")
    return reps.address_of(user) or f"no-reply@{_domain(settings)}"


def _domain(settings: Settings) -> str:
    return company().mail_domain or settings.mail_domain or "localhost"


def message_id(notice_id: int | str, settings: Settings, seal: Seal) -> str:
    """Our own Message-ID without brackets: its mark is keyed, so that nobody else can make one."""
    return f"notice-{notice_id}.{_mark(str(notice_id), seal)}@{_domain(settings)}"


def is_ours(found: str | None, seal: Seal) -> bool:
    """True for a Message-ID that this house has made for a mail of its own."""
    name, dot, mark = (found or "").partition("@")[0].rpartition(".")
    return bool(dot) and name.startswith("notice-") and mark == _mark(name.removeprefix("notice-"), seal)


def _mark(name: str, seal: Seal) -> str:
    return seal.lookup(f"notice:{name}")[:32]


def compose(letter: Letter, settings: Settings, seal: Seal, now: dt.datetime) -> EmailMessage:
    """The mail as it goes out. Raises ValueError when a field cannot be written."""
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"] = f"Dropcopy <{sender_address(settings)}>"
    mail["To"] = letter.address
    mail["Subject"] = letter.subject[:QUOTED] if is_plain(letter.subject) else PLAIN_SUBJECT
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message_id(letter.id, settings, seal)}>"
    mail["Auto-Submitted"] = "auto-replied" if letter.kind == DROPPED else "auto-generated"  # RFC 3834 section 5
    mail["X-Auto-Response-Suppress"] = "All"
    mail["X-Loop"] = f"dropcopy {_domain(settings)}"
    mail.set_content(letter.body, charset="utf-8", cte="quoted-printable")
    return mail


# --- sending ------------------------------------------------------------------------------------------------------


class _Trouble(DropcopyError):
    """One sentence on why a mail did not go out, for the page of outgoing mail."""

    def __init__(self, sentence: str, /, **params: object) -> None:
        self.sentence = Sentence(sentence, **params)
        super().__init__(str(self.sentence))


class RelayTrouble(_Trouble):
    """The relay cannot be used just now."""


class NotTaken(_Trouble):
    """The relay refuses this one mail for good."""


def send_due(desk: Desk, stop: Callable[[], bool] = lambda: False) -> int:
    """Send what is due over one connection; how many went out. Never raises for what a relay does."""
    if not relay_configured(desk.settings):
        return 0
    ids = [ident for ident in outbox.due(desk.now(), PASS) if not _asked_by_nobody(ident, desk)]
    if not ids:
        return 0
    done = 0
    try:
        with _relay(desk.settings) as channel:
            for ident in ids:
                if stop():
                    break
                done += _send_one(channel, ident, desk)
    except RelayTrouble as trouble:
        log.warning("the relay: %s", trouble)
        _put_off(ids, trouble.sentence, desk)
    return done


def _asked_by_nobody(ident: int, desk: Desk) -> bool:
    """True when a password was asked for an address that is no account: the row is done without a mail."""
    address = outbox.address_of(ident, ASKED)
    if address is None or Rep.get_or_none(Rep.email == address, Rep.status == "active") is not None:
        return False
    letter = outbox.claim(ident, desk.seal, desk.now())
    if letter is not None:
        outbox.sent(letter, desk.now())
    return True


def _written(letter: Letter, desk: Desk) -> Letter:
    """The letter with its text: an asked-for password link is made only now, so that it lives from the sending on."""
    rep = Rep.get_or_none(Rep.email == letter.address, Rep.status == "active") if letter.kind == ASKED else None
    if rep is None:
        return letter
    gettext = gettext_of(rep.language)
    link = _link("reset", "password", rep.id, desk)
    return replace(letter, subject=gettext(PASSWORD_SUBJECT), body=gettext(PASSWORD_BODY) % {"link": link})


def _put_off(ids: list[int], trouble: str, desk: Desk) -> None:
    """The whole connection failed: whatever has not gone out waits."""
    for ident in ids:
        letter = outbox.claim(ident, desk.seal, desk.now())
        if letter is not None:
            outbox.later(letter, trouble, desk.now())


def _send_one(channel: smtplib.SMTP, ident: int, desk: Desk) -> bool:
    letter = outbox.claim(ident, desk.seal, desk.now())
    if letter is None:
        return False
    try:
        _check_still_wanted(letter)
        _hand_over(channel, compose(_written(letter, desk), desk.settings, desk.seal, desk.now()), letter.address)
    except RelayTrouble as trouble:
        outbox.later(letter, trouble.sentence, desk.now())
        raise
    except _Later as trouble:
        outbox.later(letter, trouble.sentence, desk.now())
        return False
    except (NotTaken, ValueError, UnicodeError) as trouble:
        log.warning("notice %s cannot be sent: %s", letter.id, trouble)
        outbox.give_up(letter, trouble.sentence if isinstance(trouble, NotTaken) else quoted(str(trouble)))
        return False
    outbox.sent(letter, desk.now())
    return True


def _check_still_wanted(letter: Letter) -> None:
    """At the moment of sending it must still be a person of the company, or the address that is being confirmed."""
    if not letter.body:
        raise NotTaken(N_("Its text cannot be read any more: the secret key was changed."))
    of_rep = SenderAddress.select().join(Rep).where(SenderAddress.address == letter.address, Rep.status == "active")
    if letter.kind != CONFIRM:
        of_rep = of_rep.where(SenderAddress.verified_at.is_null(False))
    if not of_rep.exists():
        raise NotTaken(N_("The address belongs to no active rep any more."))


class _Later(_Trouble):
    """The relay does not take this one mail just now."""


ANSWERED = N_("The relay answered %(code)s %(words)s")


def _hand_over(channel: smtplib.SMTP, mail: EmailMessage, address: str) -> None:
    """Give one mail to the relay. Raises NotTaken, _Later or RelayTrouble."""
    try:
        try:
            channel.send_message(mail, from_addr="", to_addrs=[address])
        except smtplib.SMTPSenderRefused as refused:
            # Some submission services take no null return path; a bounce then has the null one itself and is never answered.
            if refused.smtp_code < 500 or refused.smtp_code == 530:
                raise
            channel.rset()
            channel.send_message(mail, from_addr=mail["From"].addresses[0].addr_spec, to_addrs=[address])
    except smtplib.SMTPRecipientsRefused as refused:
        code, words = next(iter(refused.recipients.values()))
        raise _refusal(code, words) from refused
    except smtplib.SMTPNotSupportedError as error:
        raise NotTaken(N_("The relay cannot carry this address (no SMTPUTF8).")) from error
    except smtplib.SMTPResponseException as refused:
        if refused.smtp_code in (421, 530):
            raise RelayTrouble(ANSWERED, code=refused.smtp_code, words=_words(refused.smtp_error)) from refused
        raise _refusal(refused.smtp_code, refused.smtp_error) from refused
    except (smtplib.SMTPException, OSError) as error:
        raise RelayTrouble(N_("The connection to the relay was lost (%(why)s)."), why=type(error).__name__) from error


def _refusal(code: int, words: bytes | str) -> Exception:
    kind = NotTaken if code >= 500 else _Later
    return kind(ANSWERED, code=code, words=_words(words))


def _words(text: bytes | str) -> str:
    return quoted(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


@contextmanager
def _relay(settings: Settings) -> Iterator[smtplib.SMTP]:
    """A connection to the relay, encrypted where it can be, signed in where it must be. Raises RelayTrouble."""
    parts = urlsplit(settings.relay_url)
    host, user, password = parts.hostname or "", unquote(parts.username or ""), unquote(parts.password or "")
    local = host in ("localhost", "127.0.0.1", "::1")
    tls = ssl.create_default_context()
    if local:  # a certificate says nothing about the machine we are on, and the one there is made by itself as a rule
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        channel = _connect(parts.scheme, host, parts.port, tls)
    except ssl.SSLError as error:
        raise RelayTrouble(N_("The relay %(host)s gave no trustworthy certificate or no TLS (%(why)s)."), host=host, why=error.reason or type(error).__name__) from error
    except (smtplib.SMTPException, OSError) as error:
        raise RelayTrouble(N_("The relay %(host)s could not be reached (%(why)s)."), host=host, why=_why(error)) from error
    try:
        _greet(channel, parts.scheme, tls, user, password, local, host)
        yield channel
    finally:
        _part(channel)


def _connect(scheme: str, host: str, port: int | None, tls: ssl.SSLContext) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=TIMEOUT, context=tls)
    return smtplib.SMTP(host, port or (25 if host in ("localhost", "127.0.0.1", "::1") else 587), timeout=TIMEOUT)


def _greet(channel: smtplib.SMTP, scheme: str, tls: ssl.SSLContext, user: str, password: str, local: bool, host: str) -> None:
    try:
        channel.ehlo()
        encrypted = scheme == "smtps"
        if not encrypted and channel.has_extn("starttls"):
            channel.starttls(context=tls)
            channel.ehlo()
            encrypted = True
        if user:
            if not encrypted and not local:
                raise RelayTrouble(N_("The relay %(host)s offers no encryption, so the password is not sent to it. Use smtps:// or a relay with STARTTLS."), host=host)
            channel.login(user, password)
    except smtplib.SMTPAuthenticationError as error:
        words = f"{error.smtp_code} {_words(error.smtp_error)}"
        raise RelayTrouble(N_("The relay %(host)s does not accept the user and the password (%(words)s)."), host=host, words=words) from error
    except smtplib.SMTPNotSupportedError as error:
        raise RelayTrouble(N_("The relay %(host)s offers no way to sign in: leave user and password out of DROPCOPY_RELAY_URL."), host=host) from error
    except ssl.SSLError as error:
        raise RelayTrouble(N_("The relay %(host)s gave no trustworthy certificate (%(why)s)."), host=host, why=error.reason or type(error).__name__) from error
    except (smtplib.SMTPException, OSError) as error:
        raise RelayTrouble(N_("The relay %(host)s broke off the greeting (%(why)s)."), host=host, why=_why(error)) from error


def _why(error: Exception) -> str:
    return quoted(str(getattr(error, "strerror", "") or error)) or type(error).__name__


def _part(channel: smtplib.SMTP) -> None:
    try:
        channel.quit()
    except (smtplib.SMTPException, OSError):
        channel.close()


def send_test(settings: Settings, to: str) -> None:
    """Send a test mail to a person of the company at once. Raises BadInput with a sentence that says what is wrong."""
    if not relay_configured(settings):
        raise BadInput("relay", N_("no relay is set, so Dropcopy sends no mail: set DROPCOPY_RELAY_URL and start again"))
    address = reps.address_of(to)
    known = SenderAddress.get_or_none(SenderAddress.address == address, SenderAddress.verified_at.is_null(False)) if address else None
    if address is None or known is None:
        raise BadInput("to", N_("give the confirmed address of a rep: nobody else gets mail from Dropcopy"))
    now = dt.datetime.now(dt.UTC)
    gettext = gettext_of(known.rep.language)
    letter = Letter(int(now.timestamp() * 1_000_000), TEST, address, gettext(TEST_SUBJECT), gettext(TEST_BODY), now, 1)
    seal = Seal(settings.secret_key)
    try:
        with _relay(settings) as channel:
            _hand_over(channel, compose(letter, settings, seal, now), address)
    except (RelayTrouble, NotTaken, _Later) as trouble:
        raise BadInput("relay", trouble.sentence) from trouble
