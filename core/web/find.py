""""Why is my mail not here?", and the palette that goes to anything by its name."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for
from flask_babel import gettext as _

from core.store import links, outcomes, threads
from core.types import RECORD_KINDS
from core.web import hx
from core.web.access import signed_in
from core.web.frame import KIND_ICONS, KIND_NAMES, KIND_PATHS, is_admin, plain_gettext, viewer
from core.web.settings import sections

pages = Blueprint("find", __name__)


@pages.get("/find")
@signed_in
def page() -> Response:
    """What became of a mail: by its Message-ID, its sender or words of its subject, within what the asker may see."""
    asked = {name: request.args.get(name, "").strip()[:998] for name in ("message_id", "sender", "subject")}
    found = outcomes.find(viewer(), asked["message_id"], asked["sender"], asked["subject"]) if any(asked.values()) else None
    return hx.render("find/page.html", "find/page.html", asked=asked, found=found)


@dataclass(frozen=True, slots=True)
class Place:
    url: str
    title: str
    detail: str
    icon: str


@pages.get("/anything")
@signed_in
def anything() -> Response:
    """Pages, people, records and conversations whose name holds the typed words."""
    typed = request.args.get("q", "").strip()[:200]
    found = [place for place in _pages() if typed.casefold() in f"{place.title} {place.detail}".casefold()][: 11 if typed else None]
    if typed:
        for one in links.targets(typed, limit=5):
            detail = plain_gettext(one.detail) if one.kind in RECORD_KINDS else one.detail  # of a record, its status
            found.append(Place(f"/{KIND_PATHS[one.kind]}/{one.id}", one.title, " · ".join(filter(None, (str(KIND_NAMES[one.kind]), detail, one.whom))), KIND_ICONS[one.kind]))
        rows = threads.page(viewer(), "all", None, 6, q=typed).items
        found += [Place(url_for("threads.page", thread_id=row.id), row.subject or _("(no subject)"), row.who, "mail") for row in rows]
    return hx.fragment("find/_anything.html", found=found, typed=typed)


def _pages() -> list[Place]:
    nouns = (("deals", _("Deals"), "handshake"), ("leads", _("Leads"), "sprout"), ("projects", _("Projects"), "folder-kanban"))
    names = [
        ("inbox.page", _("Inbox"), "inbox"), ("choices.page", _("Needs a choice"), "circle-question-mark"), ("held.page", _("Quarantine"), "shield-alert"),
        ("contacts.page", _("Contacts"), "users"), ("organisations.page", _("Organisations"), "building-2"), ("find.page", _("Where is my mail?"), "file-search"),
        ("reports.page", _("Reports"), "chart-column"), ("account.page", _("My account"), "circle-user-round"),
    ]  # fmt: skip
    if is_admin():
        names += [("sources.page", _("Sources"), "cable"), ("plugins.page", _("Plugins"), "puzzle"), ("settings.page", _("Settings"), "settings")]
    found = [Place(url_for(endpoint), title, "", sign) for endpoint, title, sign in names]
    found[3:3] = [Place(url_for("records.page", noun=noun), title, "", sign) for noun, title, sign in nouns]
    return found + ([Place(url_for(endpoint), title, _("Settings"), "settings") for endpoint, title in sections()] if is_admin() else [])
