"""The pages. `install(app, house)` puts them on a Flask app: one module a noun, each with a blueprint named `pages`."""

from __future__ import annotations

import datetime as dt
import gc
import importlib
import pkgutil
from typing import Any

from flask import Flask, Response, abort, g, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf import CSRFProtect
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from core.house import House
from core.pipeline import make_fence
from core.store.database import kept_connections
from core.web.reading import Rereader

FORM_LIMIT = 2 * 1024 * 1024  # bytes of a posted form; the API and the webhooks have limits of their own


class _Sessions(SecureCookieSessionInterface):
    """The session's cookie is Secure whenever the browser came by https, which a trusted proxy tells."""

    def get_cookie_secure(self, app: Flask) -> bool:
        return super().get_cookie_secure(app) or request.is_secure

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Renew the cookie once a day, with a whole page that somebody has gone to; else it is set only when the session has changed.

        Were it set each time, an answer to a poll that comes after that to a form would take back what the form has put into it.
        """
        today = app.extensions["dropcopy"].now().date().isoformat()
        if session.permanent and session.get("day") != today and g.get("whole_page"):
            session["day"] = today
        super().save_session(app, session, response)


class _Ids(IntegerConverter):
    """The number in an address: what fits no column of the database is no id, so there is nothing at that address."""

    regex = r"\d{1,18}"


def _configure(app: Flask, house: House) -> None:
    app.config.update(
        SECRET_KEY=house.seal.session_key,
        SESSION_COOKIE_NAME="dropcopy",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=house.settings.web_url.startswith("https:"),
        PERMANENT_SESSION_LIFETIME=dt.timedelta(days=14),
        SESSION_REFRESH_EACH_REQUEST=False,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,  # the token lives as long as the session it is bound to
    )
    app.session_interface = _Sessions()
    app.url_map.converters["int"] = _Ids
    if house.settings.trusted_proxies:
        hops = house.settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _around(app: Flask, csrf: CSRFProtect) -> None:
    """Connections, the CSRF token and the route's rule, in this order, around every request."""
    from core.web import access

    def open_connections() -> None:
        g.connections = kept_connections()
        g.connections.__enter__()

    def check_token() -> None:
        if request.endpoint is not None and not access.without_cookie():
            if "%00" in request.query_string.decode("latin-1"):  # no person types a NUL, and PostgreSQL keeps none
                request.args = ImmutableMultiDict([(name, text.replace("\x00", "")) for name, text in request.args.items(multi=True)])
            if request.max_content_length is None:
                request.max_content_length = FORM_LIMIT
            csrf.protect()
            if any("\x00" in text for _name, text in request.form.items(multi=True)):
                abort(400)

    def close_connections(error: BaseException | None) -> None:
        block: Any = g.pop("connections", None)
        if block is not None:
            block.__exit__(None, None, None)

    app.before_request(open_connections)
    app.before_request(check_token)
    app.before_request(access.guard)
    app.teardown_request(close_connections)


def settle(app: Flask) -> None:
    """Before the first request: every template is compiled, and what was loaded by now stays for ever, so that no request has to
    wait for the one, or while the collector walks the other."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    gc.collect()
    gc.freeze()


def install(app: Flask, house: House) -> None:
    """Everything a browser can ask: settings, headers, sign-in, and the blueprint of every module here."""
    from core.web import auth, frame, quotes

    app.extensions["dropcopy"] = house
    app.extensions["dropcopy-reading"] = Rereader(make_fence(house.settings))
    _configure(app, house)
    csrf = CSRFProtect(app)
    _around(app, csrf)
    auth.install(app)
    frame.install(app)
    of_threads = importlib.import_module(f"{__name__}.threads")
    app.jinja_env.globals.update(participants=of_threads.participants, has_remote_images=of_threads.has_remote_images, shows_images=of_threads.shows_images, author_of=of_threads.author_of, frame_room=quotes.room)
    of_rows = importlib.import_module(f"{__name__}.line")
    app.jinja_env.globals.update(line=of_rows.line, row_words=of_rows.Words.of_reader)
    app.jinja_env.tests["has_preview"] = of_threads.has_preview
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "pages"):
            app.register_blueprint(module.pages)
        if found.name.startswith("api") and hasattr(module, "install"):
            module.install(app, house)
