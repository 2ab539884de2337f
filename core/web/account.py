"""My account: the addresses I write from, how new mail is shared and linked, my clock, my password, my BCC address."""

from __future__ import annotations

import functools
import io
import zoneinfo

import segno
from flask import Blueprint, Response, make_response, request, session, url_for
from flask_babel import force_locale
from flask_babel import gettext as _
from markupsafe import Markup

from core import notices
from core.errors import BadInput
from core.languages import LANGUAGES
from core.store import drops, images, passwords, reps
from core.store.company import beat, company
from core.store.database import write
from core.store.models import Rep, SenderAddress, TeamAddress
from core.store.reps import address_of
from core.web import access, auth, hx
from core.web.access import signed_in
from core.web.frame import complaint, house, me, now, viewer
from core.web.limits import too_many

pages = Blueprint("account", __name__, url_prefix="/account")

MOST_ADDRESSES = 50  # of one rep


@functools.lru_cache(maxsize=500)  # half of a record's page; whoever works on a record sees it again and again
def qr(text: str) -> Markup:
    """A QR code as SVG without any style of its own, so that it obeys the page's policy."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(out, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=2, svgclass=None, lineclass=None)
    return Markup(out.getvalue().decode())  # noqa: S704 - made here from squares; the text is only encoded in them


def _render(status: int = 200, where: str = "", wrong: str = "") -> Response:
    rep = Rep.get_by_id(me().id)
    own = list(SenderAddress.select().where(SenderAddress.rep == rep.id).order_by(SenderAddress.id))
    own.sort(key=lambda row: row.address != rep.email)
    bcc, forward = drops.universal()
    return hx.render(
        "account/page.html", "account/page.html", status, rep=rep, own=own, team=list(TeamAddress.select().where(TeamAddress.rep == rep.id)), bcc=bcc,
        forward=forward, bcc_qr=qr("mailto:" + bcc), zones=sorted(zoneinfo.available_timezones()), languages=LANGUAGES, where=where, wrong=wrong,
        relay=bool(house().settings.relay_url), company=company(), shown_senders=images.of_viewer(viewer()),
    )  # fmt: skip


@pages.get("")
@signed_in
def page() -> Response:
    return _render()


@pages.get("/dropcopy.vcf")
@signed_in
def vcard() -> Response:
    """The two addresses as one contact, for the address book of a phone (RFC 6350)."""
    bcc, forward = drops.universal()
    lines = ["BEGIN:VCARD", "VERSION:4.0", "FN:Dropcopy", f"EMAIL;TYPE=work;PREF=1:{bcc}", f"EMAIL;TYPE=work:{forward}", "END:VCARD", ""]
    response = make_response("\r\n".join(lines))
    response.headers["Content-Type"] = "text/vcard; charset=utf-8"
    response.headers["Content-Disposition"] = 'attachment; filename="dropcopy.vcf"'
    return response


# --- addresses ----------------------------------------------------------------------------------------------------


@pages.post("/addresses")
@signed_in
def add_address() -> Response:
    rep = me()
    address = address_of(request.form.get("address", "")[:320])
    if address is None:
        return _render(422, "address", _("This is not an e-mail address. It should look like ana@example.com."))
    if drops.find(address, house().seal, now()) is not None:
        return _render(422, "address", _("This is a drop address of Dropcopy; it cannot be the address you write from."))
    present = SenderAddress.get_or_none(SenderAddress.rep == rep.id, SenderAddress.address == address)
    if present is not None and present.verified_at is not None:
        return _render(422, "address", _("You have confirmed this address already."))
    if present is None and SenderAddress.select().where(SenderAddress.rep == rep.id).count() >= MOST_ADDRESSES:
        return _render(422, "address", _("You have as many addresses as an account may have. Remove one first."))
    if too_many(f"confirmation:{rep.id}", 10, 3600.0):
        return _render(429, "address", _("There were many confirmation mails in the last hour. Wait a while, then try again."))
    with write():
        reps.enter_address(rep.id, address, "alternative", now(), verified_at=None, connected_at=None)
        queued = notices.request_confirmation(rep.id, address, house())
    if queued:
        house().bell.ring()
        hx.toast(_("A confirmation mail is on its way to %(address)s. The link in it works for a day.", address=address))
    elif notices.relay_configured(house().settings):
        hx.toast(_("The address is entered. It has had its confirmation mails for today; look for one of them, or ask an admin to confirm it."))
    else:
        hx.toast(_("The address is entered. This Dropcopy sends no mail, so an admin has to confirm it for you."))
    return hx.redirect(url_for("account.page"))


@pages.post("/addresses/<int:address_id>/remove")
@signed_in
def remove_address(address_id: int) -> Response:
    row = SenderAddress.get_or_none(SenderAddress.id == address_id, SenderAddress.rep == me().id)
    if row is None:
        return _render(404, "address", _("This address is not among yours."))
    if row.kind == "account" or row.address == me().email:
        return _render(422, "address", _("The account address is the one you sign in with, so it stays."))
    with write():
        SenderAddress.delete().where(SenderAddress.id == row.id).execute()
        beat("settings")
    hx.toast(_("%(address)s is removed. Mail that was logged from it stays where it is.", address=row.address))
    return hx.redirect(url_for("account.page"))


def confirm_address(rep: Rep, address: str) -> None:
    """The address counts from now on, and mail that waited for it walks again."""
    notices.confirmed(rep.id, address, now())
    house().bell.ring()


@pages.post("/images/hide")
@signed_in
def hide_images() -> Response:
    """Ask again before pictures of this author are loaded."""
    images.hide(viewer(), request.form.get("address", "")[:320])
    hx.toast(_("Saved."))
    return hx.redirect(url_for("account.page"))


# --- preferences --------------------------------------------------------------------------------------------------


@pages.post("/mail")
@signed_in
def mail() -> Response:
    sharing = request.form.get("default_sharing", "private")
    if sharing not in ("private", "company"):
        return _render(422, "default_sharing", _("Choose private or company."))
    Rep.update(default_sharing=sharing, auto_link=request.form.get("auto_link") == "1").where(Rep.id == me().id).execute()
    hx.toast(_("Saved. It applies to mail from now on; what is logged already stays as it is."))
    return hx.redirect(url_for("account.page"))


@pages.post("/person")
@signed_in
def person() -> Response:
    zone, language = request.form.get("time_zone", "UTC"), request.form.get("language", "en")
    if zone not in zoneinfo.available_timezones():
        return _render(422, "time_zone", _("Choose a time zone of the list."))
    if language not in LANGUAGES:
        return _render(422, "language", _("Choose a language of the list."))
    Rep.update(name=request.form.get("name", "").strip()[:200], time_zone=zone, language=language).where(Rep.id == me().id).execute()
    with force_locale(language):  # of the page that follows
        hx.toast(_("Saved."))
    return hx.redirect(url_for("account.page"))


@pages.post("/look")
@signed_in
def look() -> Response:
    """Theme and row height, from the menu in the header."""
    theme, density = request.form.get("theme"), request.form.get("density")
    if theme in ("light", "dark", "system"):
        Rep.update(theme=theme).where(Rep.id == me().id).execute()
    if density in ("comfortable", "compact"):
        Rep.update(density=density).where(Rep.id == me().id).execute()
    back = request.form.get("back", "")
    return hx.redirect(back if access.is_local_path(back) else url_for("inbox.page"))


@pages.post("/password")
@signed_in
def password() -> Response:
    rep = Rep.get_by_id(me().id)
    if too_many(f"password:{rep.id}", 10, 900.0):
        return _render(429, "old", _("There were too many tries. Wait a quarter of an hour, then try again."))
    if not passwords.verify(rep.password_hash, request.form.get("old", "")):
        return _render(422, "old", _("This is not your present password."))
    try:
        fresh = passwords.check_strength(request.form.get("password", ""))
    except BadInput as error:
        return _render(422, "password", complaint(error))
    if fresh != request.form.get("again", ""):
        return _render(422, "again", _("The two new passwords differ."))
    Rep.update(password_hash=passwords.hash_password(fresh), session_epoch=Rep.session_epoch + 1).where(Rep.id == rep.id).execute()
    session.clear()
    auth.begin_session(Rep.get_by_id(rep.id))
    hx.toast(_("Your password is changed. Every other device is signed out."))
    return hx.redirect(url_for("account.page"))
