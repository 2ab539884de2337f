"""The inbox: pages of rows, what is new, and what is done to a row or to many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from core.errors import NotAllowed
from core.store import links, search, threads, undo
from core.store.fields import to_micros
from core.store.links import LinkView
from core.store.paging import Page
from core.store.rows import ThreadRow
from core.types import LINK_KINDS
from core.web import access, hx
from core.web.access import signed_in
from core.web.frame import now, rail_counts, viewer
from core.web.links import Question, is_exclusive, link_from_form, title_of
from core.web.refusals import number, numbers

pages = Blueprint("inbox", __name__)

PAGE = 20  # rows at once: what a screen holds; the next ones come when the reader nears the end
PAGES = 20  # that an address brings back at once


def _tabs() -> list[tuple[str, str]]:
    return [("all", _("All")), ("needs-choice", _("Needs a choice")), ("mine", _("Mine")), ("shared", _("Shared")), ("archived", _("Archived"))]


def _place() -> dict[str, Any]:
    """What the address of the page says: the tab and the search."""
    tab = request.args.get("tab", "all")
    if tab not in threads.TABS:
        abort(404)
    return {"tab": tab, "q": request.args.get("q", "").strip()[:300]}


def _place_of(row: ThreadRow) -> tuple[int, int]:
    """Where a row stands in the order of the list."""
    return to_micros(row.last_at), row.id


@pages.get("/inbox")
@signed_in
def page() -> Response:
    place = _place()
    cursor = request.args.get("cursor") or None
    shown = max(1, min(number(request.args.get("pages")) or 1, PAGES))
    found = _pages(place, cursor, 1 if cursor else shown)
    newest = max((_place_of(row) for row in found.items), default=(0, 0))
    return hx.render(
        "inbox/page.html", "inbox/_more.html" if cursor else "inbox/_list.html", found=found, tabs=_tabs(), newest=f"{newest[0]}-{newest[1]}", cursor=cursor, counts=rail_counts(), most=PAGES,
        asks_for_held=search.asks_for_held(viewer(), place["q"]), shown=shown, **place
    )  # fmt: skip


def _pages(place: dict[str, Any], cursor: str | None, count: int) -> Page[ThreadRow]:
    """So many pages as one: whoever comes back to the list finds the rows that were opened before."""
    found = threads.page(viewer(), place["tab"], cursor, PAGE, q=place["q"] or None)
    for _more in range(count - 1):
        if found.next is None:
            break
        older = threads.page(viewer(), place["tab"], found.next, PAGE, q=place["q"] or None)
        found = replace(found, items=[*found.items, *older.items], next=older.next)
    return found


@pages.get("/inbox/new")
@signed_in
def new() -> Response:
    """The pill: how many conversations are newer than the newest one that the reader sees."""
    place = _place()
    since = request.args.get("since", "")[:60]
    edge = tuple(found for found in map(number, since.split("-")) if found is not None)
    found = threads.page(viewer(), place["tab"], None, PAGE, q=place["q"] or None)
    fresh = sum(_place_of(row) > edge for row in found.items)
    return hx.fragment("inbox/_pill.html", fresh=fresh, more=fresh == PAGE and found.next is not None, since=since, **place)


# --- one row ------------------------------------------------------------------------------------------------------


def _row(thread_id: int, question: Question | None = None) -> Response:
    """The row as it is now; a full page for a browser without script."""
    row = threads.row(viewer(), thread_id)
    if row is None:
        abort(404)
    if hx.wants_partial():
        return hx.fragment("inbox/_row.html", row=row, question=question)
    return hx.redirect(url_for("threads.page", thread_id=thread_id) if question else back())


def back(home: str = "") -> str:
    """Where the reader came from, as the form says it; `home`, or the inbox, when it names no place of ours."""
    asked = request.form.get("back", "")
    return asked if access.is_local_path(asked) else home or url_for("inbox.page")


@pages.get("/inbox/<int:thread_id>/link-item")
@signed_in
def link_item(thread_id: int) -> Response:
    """The field of "Link item" in a row, asked for when it is opened: one in each row would double the page."""
    row = threads.row(viewer(), thread_id)
    if row is None:
        abort(404)
    return hx.fragment("inbox/_link_item.html", row=row, question=None)


@pages.post("/inbox/<int:thread_id>/links")
@signed_in
def link(thread_id: int) -> Response:
    outcome = link_from_form(thread_id)
    return _row(thread_id, outcome)


@pages.post("/inbox/<int:thread_id>/sharing")
@signed_in
def share(thread_id: int) -> Response:
    say_shared(threads.set_sharing(viewer(), thread_id, request.form.get("sharing", "")), request.form.get("sharing", ""))
    return _row(thread_id)


def say_shared(token: str | None, sharing: str) -> None:
    if token is None:
        abort(404)
    text = _("Everybody in the company can read this conversation now.") if sharing == "company" else _("Only you can read this conversation now.")
    hx.toast(text, url_for("inbox.take_back", token=token))


@pages.post("/inbox/<int:thread_id>/archive")
@signed_in
def archive(thread_id: int) -> Response:
    """Put one conversation away, or back; it leaves the list it stood in."""
    away = request.form.get("archived", "1") == "1"
    if threads.row(viewer(), thread_id) is None:
        abort(404)
    token = threads.archive(viewer(), [thread_id], away)
    say_archived(token, 1, away)
    return hx.fragment("inbox/_gone.html") if hx.wants_partial() else hx.redirect(back())


def say_archived(token: str, count: int, away: bool) -> None:
    if away:
        text = ngettext("%(num)s conversation is archived. It stays on its records.", "%(num)s conversations are archived. They stay on their records.", count)
    else:
        text = ngettext("%(num)s conversation is back in the inbox.", "%(num)s conversations are back in the inbox.", count)
    hx.toast(text, url_for("inbox.take_back", token=token))


@pages.get("/inbox/find")
@signed_in
def find() -> Response:
    """What the selected conversations can be linked to, while its name is typed."""
    typed = request.args.get("find", "").strip()[:200]
    return hx.fragment("inbox/_targets.html", found=links.targets(typed), typed=typed)


# --- many rows ----------------------------------------------------------------------------------------------------


@pages.post("/inbox/many")
@signed_in
def many() -> Response:
    """The bulk bar: archive, share, make private or delete what is selected."""
    act = request.form.get("act", "")
    ids = numbers("thread", 500)
    rows = [row for row in (threads.row(viewer(), ident) for ident in ids) if row is not None]
    if rows and "link" in request.form:
        _link_each(rows, *_target(request.form["link"]))
    elif not rows:
        hx.toast(_("Select at least one conversation first."), kind="wrong")
    elif act in ("archive", "unarchive"):
        say_archived(threads.archive(viewer(), [row.id for row in rows], act == "archive"), len(rows), act == "archive")
    elif act in ("company", "private", "delete"):
        _each(act, rows)
    else:
        abort(400)
    return hx.redirect(back())


def _target(text: str) -> tuple[str, int]:
    kind, _colon, ident = text.partition(":")
    target_id = number(ident)
    if kind not in LINK_KINDS or target_id is None or not links.target_exists(kind, target_id):
        abort(404)
    return kind, target_id


def _link_each(rows: list[ThreadRow], kind: str, target_id: int) -> None:
    """Link what may be linked; nothing is replaced without a question, so what holds another record stays as it is."""
    tokens: list[str] = []
    done = 0
    for row in rows:
        try:
            made = links.link(viewer(), row.id, kind, target_id, exclusive=is_exclusive())
        except NotAllowed:
            continue
        if isinstance(made, LinkView):
            done += 1
            tokens += [made.undo] if made.undo else []
    text = ngettext("%(num)s conversation is linked to %(title)s.", "%(num)s conversations are linked to %(title)s.", done, title=title_of(kind, target_id))
    if done < len(rows):
        text += " " + _("The others are on another record already or belong to somebody else, so they stay as they are.")
    token = undo.together(viewer(), tokens, now())
    hx.toast(text, url_for("inbox.take_back", token=token) if token else None)


def _each(act: str, rows: list[ThreadRow]) -> None:
    tokens: list[str] = []
    for row in rows:
        try:
            token = threads.delete_thread(viewer(), row.id) if act == "delete" else threads.set_sharing(viewer(), row.id, act)
        except NotAllowed:
            continue
        tokens += [token] if token is not None else []
    done = len(tokens)
    text = {
        "company": ngettext("%(num)s conversation is shared with the company.", "%(num)s conversations are shared with the company.", done),
        "private": ngettext("%(num)s conversation is private.", "%(num)s conversations are private.", done),
        "delete": ngettext("%(num)s conversation is deleted.", "%(num)s conversations are deleted.", done),
    }[act]
    if done < len(rows):
        text += " " + _("The others belong to somebody else, so they stay as they are.")
    token = undo.together(viewer(), tokens, now())
    hx.toast(text, url_for("inbox.take_back", token=token) if token else None)


# --- taking back --------------------------------------------------------------------------------------------------


@pages.post("/undo/<token>")
@signed_in
def take_back(token: str) -> Response:
    """Undo one act of the reader's own, once and within half an hour."""
    done = undo.take_back(viewer(), token[:100], now())
    if done is None:
        hx.toast(_("This cannot be undone any more."), kind="wrong")
    else:
        hx.toast(_("Undone."))
    to = request.args.get("to", "")
    if done is not None and access.is_local_path(to):  # what was taken back stands there; where the reader is may be gone
        return hx.redirect(to)
    referrer = request.referrer or ""
    path = referrer.removeprefix(request.host_url.rstrip("/")) if referrer.startswith(request.host_url) else ""
    return hx.redirect(path if access.is_local_path(path) else url_for("inbox.page"))

