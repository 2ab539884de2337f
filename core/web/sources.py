"""Sources: the ways in, each with its state in words. Forms are drawn from the plugin's settings; secrets are write-only."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from flask import Blueprint, Response, abort, request, url_for
from flask_babel import gettext as _

from core import sources
from core.errors import BadInput, HttpTrouble
from core.http import Client
from core.store import confirmations, outcomes
from core.store.models import SourceInstance, SourceRequest
from core.store.visibility import note
from core.types import Source
from core.web import forms, hx
from core.web.access import admin_only
from core.web.frame import complaint, house, now, plain_gettext, reading, viewer
from core.web.ingest import MARK
from core.web.reading import Unreadable

pages = Blueprint("sources", __name__, url_prefix="/sources")


def _kinds() -> dict[str, Source]:
    """What an admin can add. SMTP and LMTP are here too: a further port, one behind a proxy for example."""
    return dict(sorted(house().plugins.sources.items(), key=lambda pair: (pair[0] in sources.BUILT_IN, pair[1].title)))


@pages.get("")
@admin_only
def page() -> Response:
    rows = list(SourceInstance.select().order_by(SourceInstance.name))
    last = {name: outcomes.last_through(name) for name in sources.BUILT_IN if getattr(house().settings, name)}
    return hx.render(
        "sources/page.html", "sources/page.html", rows=rows, kinds=_kinds(), settings=house().settings, last=last, confirmations=confirmations.newest(now(), _text_of)
    )


def _text_of(raw_mail: bytes) -> str:
    try:
        return reading().text(raw_mail)
    except Unreadable:  # the code stands in the subject
        return ""


@pages.get("/new/<kind>")
@admin_only
def new(kind: str) -> Response:
    return _form(kind, None)


def _form(kind: str, row: SourceInstance | None, status: int = 200, wrong: dict[str, str] | None = None, values: dict[str, Any] | None = None) -> Response:
    source = _kinds().get(kind)
    if source is None:
        abort(404)
    kept = set(sources.open_secrets(row, house().seal)) if row is not None else set()
    drawn = forms.fields(source.settings, values if values is not None else (row.settings if row is not None else {}), kept=kept, wrong=wrong, gettext=plain_gettext)
    asked = list(SourceRequest.select().where(SourceRequest.instance == row.id).order_by(SourceRequest.id.desc()).limit(20)) if row is not None else []
    ends = outcomes.views(viewer(), [ident for one in asked for ident in _mails(one)])
    open_again = {one.id for one in asked if any(ident in ends and ends[ident].state in ("held", "ignored") for ident in _mails(one))}
    url = sources.url_of(row, house()) if row is not None and source.handle is not None else ""
    name = request.form.get("name", row.name if row is not None else "")
    manual = _manual(source) if source.handle is not None else []
    return hx.render(
        "sources/one.html", "sources/one.html", status, source=source, row=row, drawn=drawn, name=name, wrong=wrong or {}, requests=asked, ends=ends, open_again=open_again, url=url, manual=manual
    )  # fmt: skip


def _manual(source: Source) -> list[list[str]]:
    """The head of the plugin's file, which says how the provider is set up: paragraphs, each in lines that stay apart."""
    text = inspect.getdoc(sys.modules[source.settings.__module__]) or ""
    found = []
    for paragraph in text.split("\n\n"):
        lines = [line.strip().replace("**", "").replace("`", "") for line in paragraph.splitlines()]
        found.append(lines if "\n  " in paragraph else [" ".join(lines)])
    return found


@pages.post("/new/<kind>")
@admin_only
def add(kind: str) -> Response:
    source = _kinds().get(kind)
    if source is None:
        abort(404)
    values = forms.read(source.settings, request.form, "s-")
    try:
        row = sources.add(source, request.form.get("name", "")[:100], values, house().seal, house())
    except BadInput as error:
        return _form(kind, None, 422, {error.where.removeprefix("settings.").partition(".")[0]: complaint(error)}, values)
    note(viewer(), "source-added", f"source:{row.id}", now(), kind=kind)
    hx.toast(_("The source is added."))
    return hx.redirect(url_for("sources.show", source_id=row.id))


def _mails(asked: SourceRequest) -> list[int]:
    """The inbound ids of the mails that a request brought."""
    facts: dict[str, Any] = asked.facts or {}
    return list(facts.get("inbound", ()))


def _row(source_id: int) -> tuple[SourceInstance, Source]:
    row = SourceInstance.get_or_none(SourceInstance.id == source_id)
    source = _kinds().get(row.kind) if row is not None else None
    if row is None or source is None:
        abort(404)
    return row, source


@pages.get("/<int:source_id>")
@admin_only
def show(source_id: int) -> Response:
    row, source = _row(source_id)
    return _form(source.name, row)


@pages.post("/<int:source_id>")
@admin_only
def change(source_id: int) -> Response:
    row, source = _row(source_id)
    values = forms.read(source.settings, request.form, "s-")
    try:
        sources.change(row, source, house().seal, name=request.form.get("name", row.name)[:100], values=values)
    except BadInput as error:
        return _form(source.name, row, 422, {error.where.removeprefix("settings.").partition(".")[0]: complaint(error)}, values)
    note(viewer(), "source-changed", f"source:{row.id}", now())
    hx.toast(_("Saved."))
    return hx.redirect(url_for("sources.show", source_id=row.id))


@pages.post("/<int:source_id>/enabled")
@admin_only
def enable(source_id: int) -> Response:
    row, source = _row(source_id)
    wanted = request.form.get("enabled") == "1"
    sources.change(row, source, house().seal, enabled=wanted)
    note(viewer(), "source-enabled" if wanted else "source-paused", f"source:{row.id}", now())
    hx.toast(_("The source takes mail again.") if wanted else _("The source is paused."))
    return hx.redirect(url_for("sources.page"))


@pages.post("/<int:source_id>/try")
@admin_only
def attempt(source_id: int) -> Response:
    """Test the settings, or poll now: whichever the kind of source offers; its sentence is shown."""
    row, source = _row(source_id)
    act = source.poll if request.form.get("act") == "poll" else source.test
    if act is None and source.handle is not None and request.form.get("act") != "poll":
        _try_address(row)
        return hx.redirect(url_for("sources.show", source_id=row.id))
    if act is None:
        abort(404)
    try:
        context = sources.context_of(row, source, house())
        hx.toast(plain_gettext(act(context)) or _("It works."))
        sources.note_last(row.id, context)
    except BadInput as error:
        hx.toast(complaint(error), kind="wrong")
    except Exception as error:
        hx.toast(_("It failed: %(error)s", error=f"{type(error).__name__}: {error}"[:300]), kind="wrong")
    return hx.redirect(url_for("sources.show", source_id=row.id))


def _try_address(row: SourceInstance) -> None:
    """Ask a webhook's public address as a stranger would: it must lead through proxy and certificate to this very source."""
    everywhere = Client(networks=("0.0.0.0/0", "::/0"), plain=True)  # the address is our own, also in a private network
    where = house().settings.web_url
    try:
        answer = everywhere.get(sources.url_of(row, house()))
    except HttpTrouble as trouble:
        hx.toast(_("%(where)s, the public address of this Dropcopy, cannot be reached: %(trouble)s", where=where, trouble=trouble), kind="wrong")
        return
    if answer.headers.get(MARK.lower()) != str(row.id):
        sentence = _("%(where)s, the public address of this Dropcopy, is answered with status %(status)s by something else.", where=where, status=answer.status)
        hx.toast(sentence, kind="wrong")
    elif not row.enabled:
        hx.toast(_("Its address leads here, but the source is paused: the provider is told to come again later."), kind="wrong")
    else:
        hx.toast(_("Its address leads here. Now let the provider send a mail: its request appears below, whatever is wrong with it."))


@pages.post("/<int:source_id>/requests/<int:request_id>/again")
@admin_only
def again(source_id: int, request_id: int) -> Response:
    """Judge the mails of a request once more, from the bytes that came with it."""
    row, _source = _row(source_id)
    asked = SourceRequest.get_or_none(SourceRequest.id == request_id, SourceRequest.instance == row.id)
    if asked is None:
        abort(404)
    done = [outcomes.retry(viewer(), ident) for ident in _mails(asked)]
    if any(done):
        house().bell.ring()
        hx.toast(_("It is judged once more, by the rules of today."))
    else:
        hx.toast(_("There is nothing to judge again: the mail is logged, on its way, or no mail was kept."), kind="wrong")
    return hx.redirect(url_for("sources.show", source_id=row.id))


@pages.post("/<int:source_id>/remove")
@admin_only
def remove(source_id: int) -> Response:
    row, _source = _row(source_id)
    sources.remove(row)
    note(viewer(), "source-removed", f"source:{row.id}", now(), kind=row.kind)
    hx.toast(_("The source is removed. Mail that came by it stays."))
    return hx.redirect(url_for("sources.page"))
