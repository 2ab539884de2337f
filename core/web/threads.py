"""A conversation: its mails, each with its safe body in a frame, its attachments and why it is where it is."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from flask import Blueprint, Response, abort, current_app, g, make_response, request, session, url_for
from flask_babel import gettext as _
from itsdangerous import BadSignature, URLSafeTimedSerializer
from markupsafe import Markup

from core.store import drops, images, inbound, links, never_log, outcomes, people, reps, threads
from core.store.database import write
from core.store.links import LinkView
from core.store.models import Attachment, ContactAddress, Message, Rep
from core.store.threads import AttachmentView, Conversation, MessageView
from core.store.visibility import is_id, viewer_of
from core.web import hx, quotes
from core.web.access import admin_only, public, signed_in
from core.web.frame import house, me, now, reading, viewer
from core.web.inbox import back, say_archived, say_shared
from core.web.reading import Unreadable
from core.web.refusals import number, numbers

pages = Blueprint("threads", __name__)

BODY_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)
FILE_POLICY = "default-src 'none'; sandbox"
# A reader asked for the pictures of this one mail, this one time: https only, and still no script, form or style sheet.
BODY_POLICY_WITH_IMAGES = BODY_POLICY.replace("img-src 'self' data:", "img-src 'self' data: https:")
INLINE_LIFE = 15 * 60  # seconds an inline image can be asked for
OPENED_LIFE = 50 * 60  # seconds an admin's opening of a private conversation holds: within the hour that adds no second audit row
PICTURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}


# --- whose eyes ---------------------------------------------------------------------------------------------------


def _is_opened(thread_id: int) -> bool:
    """True when this admin has opened this private conversation, which was audited, a short while ago."""
    opened: dict[str, float] = session.get("opened", {})
    return me().role == "admin" and opened.get(str(thread_id), 0) > time.time() - OPENED_LIFE


def conversation(thread_id: int, before: int | None = None) -> Conversation:
    """The conversation for this reader, or 404."""
    found = threads.conversation(viewer(), thread_id, opening=_is_opened(thread_id), before=before)
    if found is None:
        abort(404)
    return found


def _thread_of(message: Any) -> int | None:
    """Which thread a mail stands in: only to see whether this admin has opened it; nothing of the mail is shown by it."""
    row = Message.select(Message.thread).where(message).tuples().first()
    return int(row[0]) if row else None


def _message(message_id: int) -> MessageView:
    found = threads.message(viewer(), message_id)
    if found is None and is_id(message_id) and _is_opened(_thread_of(Message.id == message_id) or 0):
        found = threads.message(viewer(), message_id, opening=True)
    if found is None:
        abort(404)
    return found


# --- the page -----------------------------------------------------------------------------------------------------


@pages.get("/threads/<int:thread_id>")
@signed_in
def page(thread_id: int) -> Response:
    from core.web.links import earlier_of, panel_context, suggestions

    before = request.args.get("before", type=int)
    talk = conversation(thread_id, before)
    if talk.row.redacted:
        return hx.fragment("threads/closed.html", talk=talk, row=talk.row)
    context = panel_context(thread_id, talk)
    context |= earlier_of(number(request.args.get("made")))
    typed = request.args.get("find", "").strip()[:200]
    if typed:
        context |= {"found": suggestions(thread_id, typed), "find": typed}
    return hx.fragment("threads/page.html", **{**context, "talk": talk, "row": talk.row})


@pages.get("/threads/<int:thread_id>/new")
@signed_in
def new_mail(thread_id: int) -> Response:
    """The pill over an open conversation: how many mails came into it since it was drawn. 404: the script says that it is gone."""
    row = threads.row(viewer(), thread_id)
    if row is None:
        abort(404)
    known = number(request.args.get("known")) or 0
    return hx.fragment("threads/_new_mail.html", thread_id=thread_id, known=known, fresh=max(0, row.message_count - known))


@pages.post("/threads/<int:thread_id>/open")
@signed_in
def open_private(thread_id: int) -> Response:
    """An admin opens another's private conversation: written down, and shown on the conversation (F49)."""
    if me().role != "admin" or threads.conversation(viewer(), thread_id, opening=True) is None:
        abort(404)
    opened = {ident: at for ident, at in session.get("opened", {}).items() if at > time.time() - OPENED_LIFE}
    session["opened"] = dict(list(opened.items())[-20:]) | {str(thread_id): time.time()}
    return hx.redirect(url_for("threads.page", thread_id=thread_id))


@pages.post("/threads/<int:thread_id>/seen")
@signed_in
def seen(thread_id: int) -> Response:
    """Read or unread, for this reader alone; the page says it by itself once it is shown."""
    if not threads.mark_seen(viewer(), thread_id, request.form.get("seen", "1") == "1"):
        abort(404)
    return hx.nothing_new() if hx.wants_partial() else hx.redirect(back())


@pages.post("/threads/<int:thread_id>/sharing")
@signed_in
def share(thread_id: int) -> Response:
    sharing = request.form.get("sharing", "")
    say_shared(threads.set_sharing(viewer(), thread_id, sharing), sharing)
    if not hx.wants_partial():
        return hx.redirect(url_for("threads.page", thread_id=thread_id))
    talk = conversation(thread_id)
    return hx.fragment("threads/_sharing.html", talk=talk, row=talk.row)


@pages.post("/threads/<int:thread_id>/archive")
@signed_in
def archive(thread_id: int) -> Response:
    away = request.form.get("archived", "1") == "1"
    conversation(thread_id)
    say_archived(threads.archive(viewer(), [thread_id], away), 1, away)
    return hx.redirect(back() if away else url_for("threads.page", thread_id=thread_id))


@pages.post("/threads/<int:thread_id>/delete")
@signed_in
def delete(thread_id: int) -> Response:
    token = threads.delete_thread(viewer(), thread_id)
    if token is None:
        abort(404)
    hx.toast(_("The conversation is deleted, from every record too. The same mail does not come back by itself."), url_for("inbox.take_back", token=token, to=url_for("threads.page", thread_id=thread_id)))
    return hx.redirect(back())


@pages.post("/threads/<int:thread_id>/split")
@signed_in
def split(thread_id: int) -> Response:
    """Take the chosen mails into a conversation of their own."""
    ids = numbers("message", 500)
    made = threads.split(viewer(), ids)
    if made is None:
        abort(404)
    back = url_for("inbox.take_back", token=made[1], to=url_for("threads.page", thread_id=thread_id))
    hx.toast(_("The mail stands in a conversation of its own now. Records were not copied: link it where it belongs."), back)
    return hx.redirect(url_for("threads.page", thread_id=made[0]))


@pages.post("/messages/<int:message_id>/delete")
@signed_in
def delete_message(message_id: int) -> Response:
    found = _message(message_id)
    token = threads.delete_message(viewer(), message_id)
    if token is None:
        abort(404)
    hx.toast(_("The mail is deleted, from every record too."), url_for("inbox.take_back", token=token, to=url_for("threads.page", thread_id=found.thread_id)))
    left = threads.row(viewer(), found.thread_id) is not None
    return hx.redirect(url_for("threads.page", thread_id=found.thread_id) if left else url_for("inbox.page"))


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who takes part, and the contact that stands for them or why there is none."""

    name: str | None
    address: str
    contact_id: int | None
    why: str
    is_own: bool = False  # of the company: never a contact, never kept out


def participants(talk: Conversation) -> list[Person]:
    """Everybody named in the mails shown, each once, the newest mail's first; at most 500 are looked up."""
    boxes: dict[str, str | None] = {}
    for message in reversed(talk.messages):
        for box in (message.original, message.sender, *message.to, *message.cc):
            if box is not None and box.address:
                boxes[box.address.lower()] = boxes.get(box.address.lower()) or box.name
    for drop in drops.among(boxes, house().seal, now()):
        boxes.pop(drop.address, None)  # where the copy was sent takes no part
    found = ContactAddress.select(ContactAddress.address, ContactAddress.contact).where(ContactAddress.address.in_(list(boxes)[:500]))
    contacts = dict(found.tuples()) if boxes else {}
    own, team = reps.rep_addresses(), reps.team_addresses()

    internal = reps.internal_domains()

    def who(address: str) -> str:
        if address in own:
            return _("a colleague")
        if address in team:
            return _("a team address")
        return _("of the company") if address.rpartition("@")[2] in internal else ""

    def person(name: str | None, address: str) -> Person:
        if address in contacts:
            return Person(name, address, contacts[address], "")
        ours = who(address)
        return Person(name, address, None, ours or ("" if never_log.would_log(address) else _("on the never-log list")), bool(ours))

    return [person(name, address) for address, name in boxes.items()]


def _person(talk: Conversation) -> Person:
    """The one of the conversation's people whom the form names, or 404."""
    wanted = request.form.get("address", "").lower()
    found = next((person for person in participants(talk) if person.address == wanted), None)
    if found is None:
        abort(404)
    return found


@pages.post("/threads/<int:thread_id>/people")
@signed_in
def add_person(thread_id: int) -> Response:
    """Make a contact of somebody who takes part, and link the conversation to it."""
    person = _person(conversation(thread_id))
    with write():
        contact_id, _fresh = people.ensure_contact(person.address, person.name)
        made = links.link(viewer(), thread_id, "contact", contact_id)
    if not isinstance(made, LinkView):
        abort(404)
    hx.toast(_("%(name)s is a contact now.", name=person.name or person.address), url_for("inbox.take_back", token=made.undo) if made.undo else None)
    return hx.redirect(url_for("threads.page", thread_id=thread_id))


@pages.post("/threads/<int:thread_id>/never-log")
@admin_only
def never_log_person(thread_id: int) -> Response:
    """Keep mail with somebody of this conversation, or with their whole domain, out from now on."""
    person = _person(conversation(thread_id))
    if person.is_own:
        abort(404)
    pattern = person.address if request.form.get("what") == "address" else person.address.rpartition("@")[2]
    entry, token = never_log.add_undoably(viewer(), pattern)
    text = _("Mail with %(pattern)s is never logged from now on. What is logged already stays.", pattern=entry.pattern)
    hx.toast(text, url_for("inbox.take_back", token=token) if token else None)
    return hx.redirect(url_for("threads.page", thread_id=thread_id))


# --- one mail -----------------------------------------------------------------------------------------------------


@pages.get("/messages/<int:message_id>/body")
@signed_in
def body(message_id: int) -> Response:
    """The mail as it was written, made safe, for the sandboxed frame: a policy of its own, no script, nothing from elsewhere.

    `?images=1` shows pictures from elsewhere, for this request only: the page asks so when the reader wants it, see `shows_images`.
    """
    found = _message(message_id)
    wanted = request.args.get("images") == "1"
    html = _html_with_images(found) if wanted else None
    if html is None:
        return _framed(Markup(_shown(found, found.html)), BODY_POLICY, unreadable=wanted)  # noqa: S704 - sanitised when the mail was read
    return _framed(Markup(_shown(found, html)), BODY_POLICY_WITH_IMAGES)  # noqa: S704 - sanitised just now


def _shown(found: MessageView, html: str) -> str:
    """The safe HTML with its own pictures and with its quotes folded; what a forward quotes is what it was sent for."""
    return with_pictures(found, html if found.forward else quotes.folded(html, _("Quoted text")))


def _html_with_images(found: MessageView) -> str | None:
    """The mail sanitised anew with the sources of its pictures kept; None when its bytes are gone or take too long."""
    content = outcomes.raw(viewer(), found.inbound_id)
    if content is None:
        return None
    try:
        return reading().html_with_images(content)
    except Unreadable:
        return None


@pages.post("/messages/<int:message_id>/images")
@signed_in
def remember_images(message_id: int) -> Response:
    """Show the pictures of this mail's author always, or ask again: for this reader alone."""
    found = _message(message_id)
    address = author_of(found)
    if request.form.get("always") == "1":
        images.show(viewer(), address, now())
        hx.toast(_("Pictures in mail of %(address)s are shown to you from now on.", address=address))
    else:
        images.hide(viewer(), address)
        hx.toast(_("Pictures in mail of %(address)s are blocked again until you ask for them.", address=address))
    return hx.redirect(url_for("threads.page", thread_id=found.thread_id, _anchor=f"mail-{message_id}"))


def author_of(found: MessageView) -> str:
    """Whose HTML it is: of a forward the claimed author, else whoever sent it."""
    return (found.original or found.sender).address.lower()


def shows_images(found: MessageView) -> bool:
    """True when the reader wants this author's pictures without being asked. A released mail proved nobody, so it asks."""
    if found.decision != "pass":
        return False
    known: dict[str, bool] = g.setdefault("shown_senders", {})
    author = author_of(found)
    if author not in known:
        known[author] = author in images.shown(viewer(), [author])
    return known[author]


_SOURCELESS = re.compile(r"<img(?![^<>]*\ssrc=)", re.IGNORECASE)


def has_remote_images(found: MessageView) -> bool:
    """True when the sanitiser took the source of a picture away."""
    return bool(_SOURCELESS.search(found.html))


def _framed(html: Markup, policy: str, unreadable: bool = False) -> Response:
    from flask import render_template

    response = make_response(render_template("threads/body.html", html=html, unreadable=unreadable))
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Cache-Control"] = "private, no-store"
    return response


_CID = re.compile(r'(<img\b[^<>]{0,2000}?\bsrc=")cid:([^"<>]{1,500})(")')


def with_pictures(found: MessageView, html: str) -> str:
    """The safe HTML with its `cid:` pictures asked from us by short-lived signed addresses; only those of the same mail."""
    by_id = {one.content_id.strip("<>").lower(): one for one in found.attachments if one.content_id}

    def address(match: re.Match[str]) -> str:
        one = by_id.get(unquote(match[2]).strip("<>").lower())
        where = url_for("threads.picture", token=_signer().dumps([one.id, me().id])) if one else ""
        return match[1] + where + match[3]

    return _CID.sub(address, html)


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(str(current_app.config["SECRET_KEY"]), salt="inline-picture")


@pages.get("/pictures/<token>")
@public
def picture(token: str) -> Response:
    """An inline picture. The sandboxed frame sends no cookie, so the address is the proof: signed, short-lived, for one reader."""
    try:
        attachment_id, rep_id = _signer().loads(token, max_age=INLINE_LIFE)
    except (BadSignature, ValueError, TypeError):
        abort(404)
    rep = Rep.get_or_none(Rep.id == rep_id, Rep.status == "active")
    found = threads.attachment(viewer_of(rep), attachment_id, opening=rep.role == "admin") if rep else None
    content = _bytes_of(found) if found else None
    kind = picture_kind(content) if content else None
    if content is None or kind is None:
        abort(404)
    return _file(content, kind, "inline", "picture")


def picture_kind(content: bytes) -> str | None:
    """The picture's type by its first bytes; None for everything that is not one of the four we show."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in PICTURES.items() if content.startswith(magic)), None)


def _bytes_of(found: tuple[AttachmentView, bytes | None, str]) -> bytes | None:
    view, content, digest = found
    if content is not None:
        return content
    raw = inbound.raw(digest)
    if raw is None:
        return None
    try:
        return reading().attachment(raw, view.part)
    except Unreadable:
        abort(503)


@pages.get("/attachments/<int:attachment_id>")
@signed_in
def attachment(attachment_id: int) -> Response:
    """An attachment as a download, never shown in place: a type that no browser runs, a name that cannot lie about itself."""
    view, content = _attached(attachment_id)
    return _file(content, "application/octet-stream", "attachment", view.filename)


@pages.get("/attachments/<int:attachment_id>/preview")
@signed_in
def preview(attachment_id: int) -> Response:
    """A picture as a picture, by its first bytes and whatever it calls itself; there is no preview of anything else."""
    view, content = _attached(attachment_id)
    kind = picture_kind(content)
    if kind is None:
        abort(404)
    response = _file(content, kind, "inline", view.filename)
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _attached(attachment_id: int) -> tuple[AttachmentView, bytes]:
    """An attachment of a mail that this reader may see, with its bytes, or 404."""
    found = threads.attachment(viewer(), attachment_id)
    if found is None and is_id(attachment_id):
        owner = Attachment.select(Attachment.message).where(Attachment.id == attachment_id)
        if _is_opened(_thread_of(Message.id.in_(owner)) or 0):
            found = threads.attachment(viewer(), attachment_id, opening=True)
    content = _bytes_of(found) if found else None
    if found is None or content is None:
        abort(404)
    return found[0], content


PREVIEWED = 10 * 1024 * 1024  # bytes of a picture that is shown in place


def has_preview(file: AttachmentView) -> bool:
    """True when the file says that it is one of the pictures that are shown; its bytes decide when it is asked for."""
    return file.content_type in ("image/png", "image/jpeg", "image/gif", "image/webp") and file.size <= PREVIEWED and file.note != "dropped"


def _file(content: bytes, kind: str, how: str, name: str) -> Response:
    response = make_response(content)
    response.headers["Content-Type"] = kind
    response.headers["Content-Disposition"] = disposition(how, name)
    response.headers["Content-Security-Policy"] = FILE_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin" if how == "inline" else "same-origin"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def disposition(how: str, name: str) -> str:
    """Content-Disposition by RFC 6266: an ASCII name for old programs, the true one percent-encoded; no control characters."""
    plain = "".join(ch for ch in name.replace("\\", "/").rpartition("/")[2] if ch.isprintable()).strip(". ")[:150] or "attachment"
    simple = "".join(ch if ch.isascii() and (ch.isalnum() or ch in " ._-()") else "_" for ch in plain)
    return f"{how}; filename=\"{simple}\"; filename*=UTF-8''{quote(plain, safe='')}"


@pages.get("/messages/<int:message_id>/raw")
@signed_in
def raw(message_id: int) -> Response:
    """The bytes as they came in."""
    found = _message(message_id)
    content = outcomes.raw(viewer(), found.inbound_id)
    if content is None:
        abort(404)
    return mail_file(content, disposition("attachment", f"mail-{message_id}.eml"))


def mail_file(content: bytes, how: str) -> Response:
    response = _file(content, "message/rfc822", "attachment", "mail.eml")
    response.headers["Content-Disposition"] = how
    return response


@pages.get("/messages/<int:message_id>/headers")
@signed_in
def headers(message_id: int) -> Response:
    """The header block as it came in, decoded as little as possible."""
    found = _message(message_id)
    content = outcomes.raw(viewer(), found.inbound_id)
    if content is None:
        abort(404)
    block = content[:262144].replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].decode("utf-8", "replace")
    return hx.fragment("threads/headers.html", message=found, block=block)


@pages.get("/messages/<int:message_id>/why")
@signed_in
def why(message_id: int) -> Response:
    """The whole trace: what each step found, and why."""
    found = _message(message_id)
    outcome = outcomes.opened(viewer(), found.inbound_id)
    entries = outcomes.trace(viewer(), found.inbound_id) or []
    return hx.fragment("threads/why.html", message=found, outcome=outcome, entries=entries)
