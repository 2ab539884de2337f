"""What stands around every page: security headers, nonce, the reader's language and clock, the rail, and the error pages."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import logging
import secrets
import zoneinfo
from pathlib import Path
from typing import Any
from urllib.parse import quote

import babel.dates
import flask_babel
from flask import Flask, Response, current_app, g, get_flashed_messages, has_app_context, make_response, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from flask_wtf.csrf import CSRFError, generate_csrf
from markupsafe import Markup, escape
from peewee import DatabaseError
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException

from core import reasons
from core.errors import BadInput, NotAllowed, said
from core.house import House
from core.languages import LANGUAGES, TRANSLATIONS
from core.reasons import N_
from core.store import disk, drops, reps, threads, visibility
from core.store.database import is_busy
from core.store.models import Rep
from core.store.threads import Counts
from core.store.visibility import Viewer, viewer_of
from core.web import access, hx, refusals
from core.web.reading import Rereader

log = logging.getLogger("dropcopy.web")

PAGE_POLICY = (
    "default-src 'self'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

KIND_ICONS = {"contact": "user-round", "organisation": "building-2", "deal": "handshake", "lead": "sprout", "project": "folder-kanban"}
KIND_NAMES = {
    "contact": _l("Contact"),
    "organisation": _l("Organisation"),
    "deal": _l("Deal"),
    "lead": _l("Lead"),
    "project": _l("Project"),
}
KIND_PATHS = {"contact": "contacts", "organisation": "organisations", "deal": "deals", "lead": "leads", "project": "projects"}


def house() -> House:
    """The house of this process."""
    found: House = current_app.extensions["dropcopy"]
    return found


def reading() -> Rereader:
    """Where mail is read again for a page: inside a fence."""
    found: Rereader = current_app.extensions["dropcopy-reading"]
    return found


def now() -> dt.datetime:
    return house().now()


def me() -> Rep:
    """The rep who asks; only in views that are not public."""
    rep: Rep = current_user._get_current_object()
    return rep


def viewer() -> Viewer:
    """Whoever asks, as the store's visibility rule knows him."""
    return viewer_of(current_user)


def is_admin() -> bool:
    return bool(current_user.is_authenticated and current_user.role == "admin")


# --- headers ------------------------------------------------------------------------------------------------------


def nonce() -> str:
    """The script nonce of this answer: a fresh one each time, page or partial."""
    if "nonce" not in g:
        g.nonce = secrets.token_urlsafe(16)
    return str(g.nonce)


def add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if access.without_cookie():
        return response
    headers.setdefault("Content-Security-Policy", PAGE_POLICY.format(nonce=nonce()))
    # same-origin, not no-referrer: the CSRF check of https posts reads the Referer.
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
    if current_app.config["SESSION_COOKIE_SECURE"]:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.endpoint == "static":
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if "v" in request.args else "public, max-age=300"
    else:
        headers["Cache-Control"] = headers.get("Cache-Control") or "private, no-store"
        headers.setdefault("Vary", hx.VARY)
        hx.with_toasts(response)
    return response


def asset_versions(folder: Path) -> dict[str, str]:
    """The content hash of each static file: it stands in the address, so that a browser may keep the file for ever."""
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest()[:12] for f in folder.iterdir() if f.is_file()}


# --- texts --------------------------------------------------------------------------------------------------------


def _zone() -> str:
    return str(current_user.time_zone) if current_user.is_authenticated else "UTC"


def _language() -> str:
    if access.without_cookie():
        return _language_of_a_program()
    if current_user.is_authenticated and current_user.language in LANGUAGES:
        return str(current_user.language)
    return request.accept_languages.best_match(list(LANGUAGES)) or "en"


def _language_of_a_program() -> str:
    """What the request asks for, else the language of the rep whose token came along."""
    told = LanguageAccept([one for one in request.accept_languages if one[0] != "*"])  # many programs send "*" unasked
    asked = told.best_match(list(LANGUAGES))
    if asked is None and "token_rep" in g:
        asked = reps.language_of(g.token_rep)
    return asked if asked in LANGUAGES else "en"


def exactly(moment: dt.datetime | None) -> str:
    """A moment in full, in the reader's zone and language."""
    if moment is None:
        return ""
    _today, zone, language = _clock()
    here = _here(moment, zone)
    return str(babel.dates.format_datetime(here, "full", tzinfo=here.tzinfo, locale=language))


def shortly(moment: dt.datetime | None) -> Markup:
    """A moment as short as it can be understood, with the exact one beside it: 14:05, 3 Nov, 3 Nov 2025."""
    if moment is None:
        return Markup("")
    return _short(moment.replace(second=0, microsecond=0), *_clock())


def _clock() -> tuple[dt.date, str, str]:
    """The reader's day, zone and language, looked up once a request."""
    if "clock" not in g:
        zone = _zone()
        g.clock = now().astimezone(zoneinfo.ZoneInfo(zone)).date(), zone, str(flask_babel.get_locale())
    found: tuple[dt.date, str, str] = g.clock
    return found


def _here(moment: dt.datetime, zone: str) -> dt.datetime:
    """The moment on a clock of this zone; at the ends of the calendar, where a zone may have no such day, on one of UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    try:
        return aware.astimezone(zoneinfo.ZoneInfo(zone))
    except OverflowError:
        return aware


@functools.lru_cache(4096)
def _short(moment: dt.datetime, today: dt.date, zone: str, language: str) -> Markup:
    here = _here(moment, zone)
    day, time = here.date(), _time_of_day(here.time(), language)
    text = time if day == today else _day(day, day.year == today.year, language)
    full = _joined(language).replace("{1}", _day(day, False, language)).replace("{0}", time)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(here.isoformat("T", "minutes"), full, text)


# A list of old mail names another minute in each row, but the days and the times of day come again; the library needs a third of a millisecond for each.
@functools.lru_cache(4096)
def _day(day: dt.date, this_year: bool, language: str) -> str:
    return str(babel.dates.format_skeleton("MMMd", day, locale=language) if this_year else babel.dates.format_date(day, "medium", locale=language))


@functools.lru_cache(4096)
def _time_of_day(time: dt.time, language: str) -> str:
    return str(babel.dates.format_time(time, "short", locale=language))


@functools.lru_cache(64)
def _joined(language: str) -> str:
    """How a language puts a day, {1}, and a time, {0}, together."""
    return str(babel.dates.get_datetime_format("medium", language)).replace("'", "")


def in_words(moment: dt.datetime | None) -> Markup:
    """A moment as date and time, with the exact one beside it."""
    if moment is None:
        return Markup("")
    _today, zone, language = _clock()
    here = _here(moment, zone).replace(second=0, microsecond=0)  # the seconds stand beside it
    text = _joined(language).replace("{1}", _day(here.date(), False, language)).replace("{0}", _time_of_day(here.time(), language))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(moment.isoformat(), exactly(moment), text)


def size_in_words(number: int | None) -> str:
    """A size in bytes as people read it; binary megabytes, as the limits are."""
    value = float(number or 0)
    for unit in ("bytes", "kB", "MB"):
        if value < 1024 or unit == "MB":
            text = flask_babel.format_decimal(round(value) if unit == "bytes" or value >= 10 else round(value, 1))
            name = _("bytes") if unit == "bytes" else unit  # a text inside an f-string is not found by the catalogue
            return f"{text} {name}"
        value /= 1024
    return ""


def sentence(code: str | None, params: Any = None) -> str:
    return reasons.sentence(code or "", params or {}, plain_gettext)


def remedy(code: str | None, params: Any = None) -> str:
    return reasons.remedy(code or "", params or {}, plain_gettext)


def reason_kind(code: str) -> str:
    """What a reason says of every mail: its sentence without the gaps at its end."""
    text = sentence(code)
    bare = text.rstrip(" :;,.…()。、：（）")
    return f"{bare} …" if "…" in text[len(bare) :] else text


def oddity(defect: str) -> str:
    """What was odd in a mail, as a sentence: a defect is a code, perhaps with a number or a field's name behind a colon."""
    code, _colon, detail = defect.partition(":")
    params = {"count": detail, "field": detail, "file": detail} if detail else {}
    return f"{sentence(code, params)} {remedy(code, params)}".strip()


def plain_gettext(text: str) -> str:
    """The text in the reader's language, its parameters left as they are; a Sentence with its own filled in."""
    # flask_babel.gettext would apply % to the text; the sentences have {named} parameters of their own.
    return said(text, _gettext)


def _translations() -> Any:
    """The catalogue of this request, looked up once: a page has hundreds of texts."""
    if "translations" not in g:
        g.translations = flask_babel.get_domain().get_translations()
    return g.translations


def _gettext(text: str) -> str:
    if not has_app_context():  # outside of a request nobody has a language
        return text
    return str(_translations().ugettext(text))


def _page_texts() -> dict[str, Markup]:
    if "page_texts" not in g:
        g.page_texts = _PAGE_TEXTS.setdefault(str(flask_babel.get_locale()), {})
    found: dict[str, Markup] = g.page_texts
    return found


_PAGE_TEXTS: dict[str, dict[str, Markup]] = {}  # language -> text of a template -> its translation: as many as the catalogue has


def page_text(text: str, **variables: Any) -> Markup:
    """`_` of the templates: what is put into the text is escaped, the text is ours. An inbox page asks for hundreds."""
    known = _page_texts()
    found = known.get(text)
    if found is None:
        found = Markup(_gettext(text))  # noqa: S704 - of the templates and the catalogue
        if len(known) < 10_000:
            known[text] = found
    return found % variables


def page_ntext(one: str, many: str, num: int, **variables: Any) -> Markup:
    """`ngettext` of the templates."""
    return Markup(_translations().ungettext(one, many, num)) % {"num": num, **variables}  # noqa: S704 - of the templates and the catalogue


def made_by_words(made_by: str) -> str:
    """Who or what made a link, in words."""
    kind, _colon, name = made_by.partition(":")
    if kind == "policy":
        return _("by the policy “%(name)s”", name=policy_title(name))
    if kind == "rep":
        return _("by %(name)s", name=rep_name(name))
    if kind == "address":
        return _("by the record’s own address")
    return _("by an import") if kind == "import" else made_by


def policy_title(name: str) -> str:
    policy = next((p for p in house().plugins.policies.values() if p.name == name), None)
    return plain_gettext(policy.title) if policy else name


def rep_name(email: str) -> str:
    names: dict[str, str] = g.setdefault("rep_names", {})
    if email not in names:
        rep = Rep.get_or_none(Rep.email == email)
        names[email] = (rep.name or rep.email) if rep else email
    return names[email]


def icon(name: str, label: str | None = None) -> Markup:
    """An icon of the sprite: beside a word it is decoration, alone it carries a label."""
    return _drawn(asset("icons.svg"), name, label)


@functools.lru_cache(2048)
def _drawn(href: str, name: str, label: str | None) -> Markup:
    if label:
        return Markup('<svg class="icon" role="img" aria-label="{}"><use href="{}#{}"></use></svg>').format(label, href, name)
    return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>').format(href, name)


def sign(name: str, label: str) -> Markup:
    """An icon that stands for a sentence, which is its name and shows when it is pointed at."""
    return _signed(asset("icons.svg"), name, label)


@functools.lru_cache(2048)
def _signed(href: str, name: str, label: str) -> Markup:
    return Markup('<svg class="icon" role="img"><title>{}</title><use href="{}#{}"></use></svg>').format(label, href, name)


def asset(name: str) -> str:
    addresses: dict[str, str] = current_app.extensions["dropcopy-assets"]
    return addresses[name]


def initials(name: str) -> str:
    words = [w for w in name.replace("@", " ").split() if w[:1].isalnum()]
    return "".join(w[0] for w in (words[:1] + words[1:][-1:])).upper() or "?"


def toasts() -> list[dict[str, Any]]:
    """The sentences that wait for the next full page."""
    return [json.loads(str(text)) for text in get_flashed_messages(category_filter=["toast"])]


def parts_of(text: str) -> list[tuple[bool, str]]:
    """The text cut into what was written and what was quoted: (quoted, lines). Quotes are shown folded."""
    found: list[tuple[bool, list[str]]] = []
    for line in text.splitlines():
        quoted = line.startswith(">")
        if not found or found[-1][0] != quoted:
            found.append((quoted, []))
        found[-1][1].append(line)
    joined = [(quoted, "\n".join(lines).strip("\n")) for quoted, lines in found[:200]]
    return [(quoted, part) for quoted, part in joined if part.strip()]


def with_line_ends(text: str) -> Markup:
    """Plain text of a mail with its line ends, everything escaped."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


# --- what the frame's templates ask --------------------------------------------------------------------------------


def _theme() -> str:
    theme = str(current_user.theme) if current_user.is_authenticated else "system"
    return theme if theme in ("light", "dark", "system") else "system"


def _density() -> str:
    return "compact" if current_user.is_authenticated and current_user.density == "compact" else "comfortable"


def rail_counts() -> Counts:
    """The badges of the rail, once a request."""
    if "counts" not in g:
        g.counts = threads.counts(viewer())
    found: Counts = g.counts
    return found


def rail_here() -> str:
    """Which entry of the rail the reader is at; the rail that refreshes itself says it in its address."""
    if request.endpoint == "live.rail":
        return request.args.get("here", "")
    noun = (request.view_args or {}).get("noun")
    return str(noun) if noun else {"threads": "inbox", "links": "inbox", "upkeep": "settings", "previews": "held"}.get(request.blueprint or "", request.blueprint or "")


def universal_addresses() -> tuple[str, str]:
    """The BCC address and the forwarding address, once a request."""
    if "universal" not in g:
        g.universal = drops.universal()
    found: tuple[str, str] = g.universal
    return found


def csrf_field() -> Markup:
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(generate_csrf())


def policy_words(name: str) -> str:
    """One sentence on what a policy does; plugins of others speak by their title alone."""
    return {
        "single-open": _("A thread is filed on a deal, lead or project only when its contacts have exactly one open. With several, Dropcopy asks you instead of guessing."),
        "recent-open": _("A thread is filed on the most recent open records of each contact, five by default."),
        "contact-only": _("A thread is filed on contacts and organisations only; records are chosen by hand."),
        "all-open": _("A thread is filed on every open record of its contacts."),
    }.get(name, "")


# --- errors -------------------------------------------------------------------------------------------------------


def complaint(error: BadInput) -> str:
    """The whole sentence, for beside the field: most errors name the remedy alone."""
    text = plain_gettext(error.sentence)
    return text if error.sentence.endswith(".") else _("Please mend this: %(sentence)s.", sentence=text)


def _wants_json() -> bool:
    return access.without_cookie()


def on_http_error(error: HTTPException) -> Any:
    """A full page with a way on; htmx keeps what it shows and the script says the sentence as a toast."""
    if _wants_json() or error.response is not None:
        return error
    code = error.code or 500
    heading, text = _what_happened(code)
    return _error_page(code, heading, text)


def _what_happened(code: int) -> tuple[str, str]:
    return {
        400: (_("That request could not be understood"), _("Go back, reload the page and try again.")),
        404: (_("There is nothing here"), _("It was deleted, it never existed, or it belongs to somebody who has not shared it.")),
        405: (_("That cannot be done here"), _("Go back and use the buttons of the page.")),
        413: (_("That is too large"), _("Send less at once and try again.")),
        429: (_("Too many tries"), _("Wait a few minutes and try again.")),
        503: (_("The mail could not be read just now"), _("Reading it took too long, so it was stopped; nothing else waits for it. Download the raw mail instead, or try again in a moment.")),
    }.get(code, (_("Something went wrong on our side"), _("It is written in the log. Try again in a moment; nothing was lost.")))


def _error_page(code: int, heading: str, text: str) -> Response:
    """The page; for a part of a page nothing is swapped, and the sentence comes as a toast."""
    partial = hx.wants_partial()
    # The rail counts in the database, which may be what failed: an error of our own side stands by itself.
    framed = code < 500 and not partial and current_user.is_authenticated
    response = make_response(render_template("error.html", heading=heading, text=text, framed=framed), code)
    if partial:
        hx.toast(text, kind="wrong")
        return hx.reswap(response, "none")
    return response


def on_bad_csrf(error: CSRFError) -> Any:
    text = _("This page was open for too long, or you signed in elsewhere meanwhile. Reload it and try again.")
    return _error_page(400, _("The page is out of date"), text)


def on_not_allowed(error: NotAllowed) -> Any:
    if _wants_json():
        raise error
    return _error_page(403, _("That is not yours to change"), plain_gettext(error.sentence))


def on_bad_input(error: BadInput) -> Any:
    if _wants_json():
        raise error
    return _error_page(422, _("That cannot be taken"), complaint(error))


FULL = N_("The disk of this Dropcopy is full. Everything can be read as ever; mail that comes now is kept by its sender's server and comes again. Nothing was changed: try again when an admin has freed some space.")
FAILED = N_("The disk of this Dropcopy gave an error, so nothing is written until it was proved sound. Everything can be read; mail that comes now is kept by its sender's server and comes again. An admin finds more in the log.")
BUSY = N_("The database was busy for too long. Nothing was changed: try again in a moment.")


def on_database_trouble(error: DatabaseError) -> Any:
    """What cannot be written is said in a sentence, and the pages go on being read."""
    kind = disk.kind_of(error)
    if _wants_json() or (kind is None and not is_busy(error)):
        raise error
    log.warning("%s %s could not be done: %s", request.method, request.path, disk.cause_of(error))
    text = {"full": FULL, "failed": FAILED, None: BUSY}[kind]
    response = _error_page(503, _("Nothing can be written just now"), plain_gettext(text))
    response.headers["Retry-After"] = "60"
    return response


# --- all together -------------------------------------------------------------------------------------------------


def install(app: Flask) -> None:
    versions = asset_versions(Path(app.static_folder or "static"))
    app.extensions["dropcopy-assets"] = {name: f"{app.static_url_path}/{quote(name)}?v={version}" for name, version in versions.items()}
    flask_babel.Babel(app, default_translation_directories=str(TRANSLATIONS), locale_selector=_language, timezone_selector=_zone)
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update({"_": page_text, "gettext": page_text, "ngettext": page_ntext})
    app.jinja_env.globals.update(
        words=plain_gettext, typed=refusals.typed, ticked=refusals.ticked, asset=asset, sign=sign, csp_nonce=nonce, icon=icon, sentence=sentence, remedy=remedy, toasts=toasts, is_admin=is_admin, csrf=csrf_field, theme=_theme,
        density=_density, get_locale_name=_language, universal_addresses=universal_addresses, policy_words=policy_words, rail_counts=rail_counts, rail_here=rail_here,
        cannot_write=disk.watch.anywhere, live_version=lambda: visibility.live_version(viewer()),
        KIND_ICONS=KIND_ICONS, KIND_NAMES=KIND_NAMES, KIND_PATHS=KIND_PATHS,
    )  # fmt: skip
    app.jinja_env.filters.update(
        shortly=shortly, exactly=exactly, in_words=in_words, size=size_in_words, made_by=made_by_words, policy_title=policy_title, rep_name=rep_name, initials=initials,
        day=flask_babel.format_date, reason_kind=reason_kind, lines=with_line_ends, parts=parts_of, oddity=oddity,
    )  # fmt: skip
    app.after_request(add_headers)
    app.register_error_handler(HTTPException, on_http_error)
    app.register_error_handler(CSRFError, on_bad_csrf)
    app.register_error_handler(BadInput, on_bad_input)
    app.register_error_handler(NotAllowed, on_not_allowed)
    app.register_error_handler(DatabaseError, on_database_trouble)
    app.context_processor(lambda: {"me": current_user})
