"""The quarantine: mail that waits for a person, what was not accepted, and strangers. Every row says why, and what to do."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from core.errors import BadInput
from core.store import outcomes, reps, retention, strangers, undo
from core.store.company import company
from core.store.database import write
from core.store.models import Rep, SenderAddress
from core.store.outcomes import InboundView
from core.store.people import domain_of
from core.store.reps import address_of
from core.store.visibility import note
from core.web import hx
from core.web.access import admin_only, signed_in
from core.web.frame import complaint, house, is_admin, me, now, viewer
from core.web.inbox import back
from core.web.refusals import number, numbers
from core.web.threads import disposition, mail_file

pages = Blueprint("held", __name__)

TABS = ("held", "ignored", "strangers")


@pages.get("/held")
@signed_in
def page() -> Response:
    tab = request.args.get("tab", "held")
    if tab not in TABS or (tab == "strangers" and not is_admin()):
        abort(404)
    reason = request.args.get("reason") or None
    cursor = request.args.get("cursor") or None
    state = "ignored" if tab == "ignored" else "held"
    only = {"held": False, "strangers": True}.get(tab)
    found = outcomes.page(viewer(), state, reason, strangers=only, cursor=cursor, limit=25)
    listed = tab == "strangers"
    reasons = [one for one in outcomes.reasons_of(viewer(), state) if tab != "held" or one[0] not in outcomes.STRANGERS]
    context: dict[str, Any] = {"can_be_decided": can_be_decided, "domains": outcomes.stranger_domains(50) if listed else [], "blocked": strangers.blocked() if listed else [], "reasons": reasons}
    return hx.render("held/page.html", "held/_list.html", found=found, tab=tab, reason=reason, kept_days=company().keep_ignored_days, **context)


@pages.get("/inbound/<int:inbound_id>")
@signed_in
def show(inbound_id: int) -> Response:
    """One delivery, wherever it ended, with its whole trace."""
    return _show(_inbound(inbound_id))


def _inbound(inbound_id: int) -> InboundView:
    found = outcomes.get(viewer(), inbound_id)
    if found is None:
        abort(404)
    return found


def _show(view: InboundView, status: int = 200, wrong: str = "") -> Response:
    if view.thread_id is not None and view.state == "logged":
        return hx.redirect(url_for("threads.page", thread_id=view.thread_id))
    people = list(Rep.select().where(Rep.status == "active").order_by(Rep.name)) if is_admin() else []
    entries = outcomes.trace(viewer(), view.id) or []
    return hx.render("held/one.html", "held/one.html", status, view=view, entries=entries, reps=people, decidable=can_be_decided(view), may_release=is_admin() or view.decision == "pass", stays_out=view.reason in outcomes.STAYS_OUT, wrong=wrong)


@pages.get("/inbound/<int:inbound_id>/raw")
@signed_in
def raw(inbound_id: int) -> Response:
    _inbound(inbound_id)
    content = outcomes.raw(viewer(), inbound_id)
    if content is None:
        abort(404)
    return mail_file(content, disposition("attachment", f"inbound-{inbound_id}.eml"))


@pages.post("/inbound/<int:inbound_id>/release")
@signed_in
def release(inbound_id: int) -> Response:
    """Log it by a person's word, perhaps as the mail of a rep whom an admin names."""
    rep_id = number(request.form.get("rep"))
    view = _inbound(inbound_id)
    trusted = is_admin() and request.form.get("trust") == "1"
    if trusted and (rep_id is None or address_of(view.sender) is None):
        return _show(view, 422, _("Name the rep whose address this is: mail from it is logged as theirs from now on."))
    try:
        done = outcomes.release(viewer(), inbound_id, rep_id)
    except BadInput as error:
        return _show(view, 422, complaint(error))
    if done is None or not trusted or rep_id is None:
        return _done(view, done, _("Released. It is logged within seconds, unless a rule keeps it out that is not about its sender."))
    _trust(rep_id, view.sender.lower())
    return _done(view, done, _("Released. Mail from %(address)s is logged as theirs from now on, when it proves its sender.", address=view.sender))


def _trust(rep_id: int, address: str) -> None:
    """An admin's word makes the sender an address of the rep; mail from it still has to prove where it comes from."""
    with write():
        if SenderAddress.get_or_none(SenderAddress.rep == rep_id, SenderAddress.address == address, SenderAddress.verified_at.is_null(False)) is None:
            reps.enter_address(rep_id, address, "alias", now(), verified_at=now(), connected_at=now())
        note(viewer(), "alias-added", f"rep:{rep_id}", now(), address=address)


@pages.post("/inbound/<int:inbound_id>/delete")
@admin_only
def delete(inbound_id: int) -> Response:
    """Remove the content of a mail that was not let in; that it came, and when, stays in the sums."""
    view = _inbound(inbound_id)
    if view.state not in ("held", "ignored"):
        abort(404)
    if not _remove(view):
        abort(404)
    hx.toast(_("The mail is deleted for good."))
    return hx.redirect(_list_of(view))


def _remove(view: InboundView) -> bool:
    with write():
        note(viewer(), "mail-removed", f"inbound:{view.id}", now(), reason=view.reason)
    return retention.remove(view.id)


@pages.post("/inbound/<int:inbound_id>/retry")
@signed_in
def retry(inbound_id: int) -> Response:
    view = _inbound(inbound_id)
    return _done(view, outcomes.retry(viewer(), inbound_id), _("It is judged once more, by the rules of today."))


@pages.post("/inbound/<int:inbound_id>/claim")
@signed_in
def claim(inbound_id: int) -> Response:
    view = outcomes.get(viewer(), inbound_id)
    return _done(view, outcomes.claim(viewer(), inbound_id), _("It is yours, and logged within seconds."))


def _done(view: InboundView | None, done: InboundView | None, text: str) -> Response:
    """Go on in the list that the mail stood in."""
    if done is None:
        abort(404)
    house().bell.ring()
    hx.toast(text)
    return hx.redirect(_list_of(view) if view is not None else url_for("held.page"))


def _list_of(view: InboundView) -> str:
    """The tab in which a mail that did not get in is listed."""
    tab = "ignored" if view.state == "ignored" else "strangers" if is_admin() and view.reason in outcomes.STRANGERS else None
    return url_for("held.page", tab=tab)


@pages.post("/inbound/<int:inbound_id>/dismiss")
@signed_in
def dismiss(inbound_id: int) -> Response:
    """Put a held mail aside: it moves to what was not accepted, and goes with that after its time."""
    view = _inbound(inbound_id)
    token = outcomes.put_aside(viewer(), view.id, me().name or me().email)
    if token is None:
        abort(404)
    hx.toast(_("Put aside. It stands under “Not accepted” until its time is over."), url_for("inbox.take_back", token=token))
    return hx.redirect(_list_of(view))


def can_be_decided(view: InboundView) -> bool:
    """True when something can be done with it: it did not get in, is no copy of another, and its content is there."""
    return view.state in outcomes.DID_NOT_GET_IN and view.reason != "duplicate" and view.size > 0


@pages.post("/held/many")
@signed_in
def many() -> Response:
    """The bulk bar: judge again, put aside or delete what is selected, each as if it were done by itself."""
    act = request.form.get("act", "")
    views = [view for view in (outcomes.get(viewer(), ident) for ident in numbers("inbound", 200)) if view is not None and can_be_decided(view)]
    if act not in ("retry", "dismiss", "delete") or (act == "delete" and not is_admin()):
        abort(404)
    tokens: list[str] = []
    if act == "retry":
        done = sum(outcomes.retry(viewer(), view.id) is not None for view in views)
        house().bell.ring()
        text = ngettext("%(num)s mail is judged once more, by the rules of today.", "%(num)s mails are judged once more, by the rules of today.", done)
    elif act == "dismiss":
        tokens = [token for view in views if (token := outcomes.put_aside(viewer(), view.id, me().name or me().email))]
        done = len(tokens)
        text = ngettext("%(num)s mail is put aside.", "%(num)s mails are put aside.", done)
    else:
        done = sum(_remove(view) for view in views)
        text = ngettext("%(num)s mail is deleted for good.", "%(num)s mails are deleted for good.", done)
    token = undo.together(viewer(), tokens, now()) if tokens else None
    hx.toast(text if done else _("Select at least one mail first."), url_for("inbox.take_back", token=token) if token else None, kind="done" if done else "wrong")
    return hx.redirect(back(url_for("held.page")))


@pages.post("/held/block")
@admin_only
def block() -> Response:
    """Strangers of this domain are not listed any more."""
    domain = domain_of(request.form.get("domain", "")[:253])
    with write():
        strangers.block(domain, me().email, now())
        note(viewer(), "domain-blocked", f"domain:{domain}", now())
    hx.toast(_("Mail of strangers from %(domain)s is not listed any more.", domain=domain))
    return hx.redirect(url_for("held.page", tab="strangers"))


@pages.post("/held/unblock")
@admin_only
def unblock() -> Response:
    """Strangers of this domain are listed again."""
    domain = request.form.get("domain", "")[:253]
    with write():
        if not strangers.unblock(domain):
            abort(404)
        note(viewer(), "domain-unblocked", f"domain:{strangers.normal(domain)}", now())
    hx.toast(_("Mail of strangers from %(domain)s is listed again from now on.", domain=domain))
    return hx.redirect(url_for("held.page", tab="strangers"))
