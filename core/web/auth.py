"""Signing in and out, and the one-time links that set a password."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from typing import Any

from flask import Blueprint, Flask, Response, abort, request, session, url_for
from flask_babel import gettext as _
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from core import notices
from core.errors import BadInput
from core.reasons import N_
from core.store import one_time, passwords, reps
from core.store.database import write
from core.store.models import OneTimeLink, Rep
from core.web import access, hx
from core.web.frame import complaint, house, me, now
from core.web.limits import too_many

pages = Blueprint("auth", __name__)

TRIES = 10  # sign-ins in a quarter of an hour, for each account and each client address
WINDOW = 15 * 60.0


class SignedIn(UserMixin):
    """What the session names: a rep and the epoch of the sessions that count. Reads like the rep's row."""

    def __init__(self, rep: Rep) -> None:
        self.rep = rep

    def get_id(self) -> str:
        return f"{self.rep.id}.{self.rep.session_epoch}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rep, name)


def load_session(text: str) -> SignedIn | None:
    """The rep of a session, when he is active and the session is of the present epoch."""
    rep_id, _dot, epoch = text.partition(".")
    if not (rep_id.isascii() and rep_id.isdigit() and epoch.isascii() and epoch.isdigit()):
        return None
    rep = reps.by_id(int(rep_id))
    if rep is None or rep.status != "active" or rep.session_epoch != int(epoch):
        return None
    return SignedIn(rep)


def install(app: Flask) -> None:
    manager = LoginManager(app)
    manager.session_protection = None  # the client address changes on the move; the epoch ends sessions
    manager.user_loader(load_session)


def client_network() -> str:
    """Whom the limits count: the IPv4 address, or the /64 of an IPv6 one, which is one customer."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _account_key(email: str) -> str:
    return "sign-in:account:" + hashlib.sha256(email.encode()).hexdigest()[:32]


def begin_session(rep: Rep) -> None:
    """A session with a new id: what was in the old one, its CSRF token too, does not live on."""
    session.clear()
    session["id"] = secrets.token_urlsafe(16)
    session.permanent = True
    login_user(SignedIn(rep))


def end_sessions(rep: Rep) -> None:
    """No session of this rep that began before counts any longer."""
    with write():
        Rep.update(session_epoch=Rep.session_epoch + 1).where(Rep.id == rep.id).execute()


def where_to(asked: str | None) -> str:
    return asked if asked and access.is_local_path(asked) else url_for("inbox.page")


@pages.get("/")
@access.signed_in
def first() -> Response:
    return hx.redirect(url_for("inbox.page"))


@pages.get("/login")
@access.public
def login() -> Response:
    if current_user.is_authenticated:
        return hx.redirect(where_to(request.args.get("next")))
    return hx.render("auth/login.html", "auth/login.html", next=request.args.get("next", ""), email="", wrong="")


@pages.post("/login")
@access.public
def sign_in() -> Response:
    email = request.form.get("email", "").strip().lower()[:320]
    password = request.form.get("password", "")
    goal = request.form.get("next", "")
    if too_many(_account_key(email), TRIES, WINDOW) or too_many(f"sign-in:from:{client_network()}", TRIES, WINDOW):
        wrong = _("There were too many tries. Wait a quarter of an hour, then try again.")
        return hx.render("auth/login.html", "auth/login.html", 429, next=goal, email=email, wrong=wrong)
    rep = Rep.get_or_none(Rep.email == email)
    # The hash is checked for unknown and suspended accounts too, so that the time tells nothing.
    fits = passwords.verify(rep.password_hash if rep else None, password)
    if rep is None or not fits or rep.status != "active":
        wrong = _("The e-mail address or the password is wrong.")
        return hx.render("auth/login.html", "auth/login.html", 401, next=goal, email=email, wrong=wrong)
    begin_session(rep)
    return hx.redirect(where_to(goal))


@pages.post("/logout")
@access.signed_in
def logout() -> Response:
    end_sessions(me())
    logout_user()
    session.clear()
    hx.toast(_("You are signed out on every device."))
    return hx.redirect(url_for("auth.login"))


# --- one-time links -----------------------------------------------------------------------------------------------


def link_to(endpoint: str, purpose: str, rep_id: int, **facts: Any) -> str:
    """A link that works once and for a day. Its host is the configured one, never the request's."""
    token = one_time.make(purpose, rep_id, house().seal, now(), **facts)
    return house().settings.web_url + url_for(endpoint, token=token)


def _living(purpose: str, token: str) -> OneTimeLink | None:
    if too_many(f"link:from:{client_network()}", 60, WINDOW):
        abort(429)
    return one_time.look(token[:200], purpose, house().seal, now())


def _gone() -> Response:
    return hx.fragment("auth/link_gone.html", 404, relay=notices.relay_configured(house().settings))


@pages.get("/reset/<token>")
@access.public
def reset(token: str) -> Response:
    found = _living("password", token)
    if found is None:
        return _gone()
    return hx.fragment("auth/reset.html", rep=found.rep, token=token, where="", wrong="")


@pages.post("/reset/<token>")
@access.public
def set_password(token: str) -> Response:
    found = _living("password", token)
    if found is None or found.rep is None:
        return _gone()
    try:
        if request.form.get("password", "") != request.form.get("again", ""):
            raise BadInput("again", N_("the two passwords differ"))
        password = passwords.check_strength(request.form.get("password", ""))
    except BadInput as error:
        return hx.fragment("auth/reset.html", 422, rep=found.rep, token=token, where=error.where, wrong=complaint(error))
    if one_time.use(token, "password", house().seal, now()) is None:
        return _gone()
    hashed = passwords.hash_password(password)
    Rep.update(password_hash=hashed, session_epoch=Rep.session_epoch + 1).where(Rep.id == found.rep_id).execute()
    rep = Rep.get_by_id(found.rep_id)
    if rep.status == "active":
        begin_session(rep)
    hx.toast(_("Your password is set."))
    return hx.redirect(url_for("inbox.page"))


@pages.get("/forgotten")
@access.public
def forgotten() -> Response:
    return hx.fragment("auth/forgotten.html", relay=notices.relay_configured(house().settings), email="", wrong="", asked=False)


@pages.post("/forgotten")
@access.public
def send_reset() -> Response:
    """Mail a link to the account's address. Answer, work and so time are the same whether there is such an account or not."""
    relay = notices.relay_configured(house().settings)
    email = request.form.get("email", "").strip().lower()[:320]
    if too_many(f"forgotten:from:{client_network()}", TRIES, WINDOW):
        wrong = _("There were too many tries. Wait a quarter of an hour, then try again.")
        return hx.fragment("auth/forgotten.html", 429, relay=relay, email=email, wrong=wrong, asked=False)
    if reps.address_of(email) is None:
        wrong = _("This is not an e-mail address. It should look like ana@example.com.")
        return hx.fragment("auth/forgotten.html", 422, relay=relay, email=email, wrong=wrong, asked=False)
    if relay:
        notices.ask_for_password(email, house())
        house().bell.ring()
    return hx.fragment("auth/forgotten.html", relay=relay, email=email, wrong="", asked=True)


@pages.get("/confirm/<token>")
@access.signed_in
def confirm(token: str) -> Response:
    """Only the rep who asked for it may confirm an address, so he must be signed in."""
    found = _living("confirm-address", token)
    if found is None or found.rep_id != me().id:
        return _gone()
    return hx.fragment("auth/confirm.html", address=found.facts.get("address", ""), token=token)


@pages.post("/confirm/<token>")
@access.signed_in
def confirmed(token: str) -> Response:
    from core.web.account import confirm_address

    found = _living("confirm-address", token)
    if found is None or found.rep_id != me().id or one_time.use(token, "confirm-address", house().seal, now()) is None:
        return _gone()
    address = str(found.facts.get("address", ""))
    confirm_address(found.rep, address)
    hx.toast(_("%(address)s is confirmed. Mail from it is now logged as yours.", address=address))
    return hx.redirect(url_for("account.page"))
