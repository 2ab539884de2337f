"""What an admin keeps an eye on: presets with what they change, the relay of outgoing mail, the event webhook, and how much is kept and how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, request, session, url_for
from flask_babel import gettext as _

from core import events as house_events
from core import notices
from core.errors import BadInput
from core.reasons import N_
from core.store import sizes
from core.store.company import change_company, company, differences, preset_changes
from core.store.database import write
from core.store.visibility import note
from core.web import forms, hx
from core.web.access import admin_only
from core.web.frame import complaint, house, me, now, plain_gettext, policy_title, size_in_words, viewer
from core.web.settings import note_settings, settings_page

pages = Blueprint("upkeep", __name__, url_prefix="/settings")

PRESETS = ("pipedrive", "hubspot")


# --- presets ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that a preset would change, in words."""

    name: str
    before: str
    after: str


def changes_of(preset: str) -> list[Change]:
    """What choosing this preset would change now; empty when everything stands as it says."""
    present = company().model_dump(mode="json")
    words = {"message_limit": _("Whole mail"), "attachment_limit": _("One attachment"), "policy": _("Linking policy")}
    wanted = {name: (_in_words(name, present[name]), _in_words(name, value)) for name, value in preset_changes(preset).items() if name in words}
    return [Change(words[name], before, after) for name, (before, after) in wanted.items() if before != after]


def _in_words(name: str, value: Any) -> str:
    return _policy_in_words(value["name"], value["options"]) if name == "policy" else size_in_words(value)


def _policy_in_words(name: str, options: Mapping[str, Any]) -> str:
    """The title, and each option that differs from the policy's own default."""
    policy = house().plugins.policies.get(name)
    model = policy.options if policy else None
    drawn = zip(forms.fields(model, options, gettext=plain_gettext), forms.fields(model, {}), strict=True)
    own = [f"{field.label}: {_option_in_words(field)}" for field, plain in drawn if field.value != plain.value]
    return policy_title(name) + (f" ({'; '.join(own)})" if own else "")


def _option_in_words(field: forms.Field) -> str:
    chosen = field.value if isinstance(field.value, (list, tuple)) else [field.value]
    shown = dict(field.choices)
    return ", ".join(shown.get(str(one), str(one)) for one in chosen)


@pages.get("/preset/<kind>")
@admin_only
def preset(kind: str) -> Response:
    """What would change, before it is taken."""
    if kind not in PRESETS:
        abort(404)
    return settings_page("preset", kind=kind, changes=changes_of(kind))


@pages.post("/preset/<kind>")
@admin_only
def take_preset(kind: str) -> Response:
    if kind not in PRESETS:
        abort(404)
    before = company()
    with write():
        change_company(preset_changes(kind))
        note(viewer(), "preset-taken", "settings", now(), preset=kind, values=differences(before, company()))
    hx.toast(_("Taken. It applies from the next mail on; what is logged already stays as it is."))
    return hx.redirect(url_for("settings.policy"))


# --- outgoing mail ------------------------------------------------------------------------------------------------


@pages.get("/outgoing")
@admin_only
def outgoing() -> Response:
    return _outgoing()


def _outgoing(status: int = 200, wrong: str = "") -> Response:
    settings = house().settings
    relay = notices.relay_configured(settings)
    return settings_page(
        "outgoing", status, "relay" if wrong else "", wrong, relay=relay, sender=notices.sender_address(settings) if relay else "",
        waiting=notices.waiting(now()), kinds=notices_in_words(), place=relay_place(settings.relay_url),
    )  # fmt: skip


def relay_place(url: str) -> str:
    """The relay without user and password."""
    return url.rpartition("@")[2].rpartition("//")[2] if url else ""


def notices_in_words() -> list[str]:
    """What Dropcopy sends, and nothing else."""
    return [
        _("links that confirm an address, at that address"), _("invitations and links to set a password, at the account address"),
        _("a note to the rep when an attachment was too large, once a day at most"),
    ]  # fmt: skip


@pages.post("/outgoing/test")
@admin_only
def test_relay() -> Response:
    """Send one mail to the admin who asks, at once; what the relay says is shown."""
    try:
        notices.send_test(house().settings, me().email)
    except BadInput as error:
        return _outgoing(422, complaint(error))
    hx.toast(_("The relay took a test mail to %(address)s.", address=me().email))
    return hx.redirect(url_for("upkeep.outgoing"))


# --- event webhook ------------------------------------------------------------------------------------------------


@pages.get("/events")
@admin_only
def events() -> Response:
    return _events(secret=house().seal.open(session.pop("shown-webhook-secret", "") or ""))


def _events(status: int = 200, where: str = "", wrong: str = "", secret: str = "") -> Response:
    state = next((one for one in house_events.health(house().plugins) if one.sink == house_events.WEBHOOK), None)
    return settings_page("events", status, where, wrong, state=state, secret=secret)


@pages.post("/events")
@admin_only
def save_events() -> Response:
    form = request.form
    networks = [line.strip() for line in form.get("event_webhook_networks", "").replace(",", "\n").splitlines() if line.strip()]
    changes: dict[str, Any] = {"event_webhook_url": form.get("event_webhook_url", "").strip(), "event_webhook_networks": networks}
    try:
        before = company()
        with write():
            change_company(changes)
            note_settings(before)
    except BadInput as error:
        return _events(422, error.where if error.where in changes else "event_webhook_url", complaint(error))
    hx.toast(_("Saved."))
    return hx.redirect(url_for("upkeep.events"))


@pages.post("/events/secret")
@admin_only
def renew_secret() -> Response:
    """A new signing secret, shown on the next page, once."""
    with write():
        secret = house_events.renew_webhook_secret(house().seal)
        note(viewer(), "webhook-secret-renewed", "settings", now())
    session["shown-webhook-secret"] = house().seal.close(secret)
    hx.toast(_("The secret is made. Copy it now."))
    return hx.redirect(url_for("upkeep.events"))


# --- data and retention -------------------------------------------------------------------------------------------


@pages.get("/data")
@admin_only
def data() -> Response:
    """How much is kept, and when what goes."""
    return settings_page("data", kept=sizes.by_state(), storage=sizes.storage(house().settings), oldest=sizes.oldest())


@pages.post("/data")
@admin_only
def save_data() -> Response:
    form = request.form
    names = ("keep_raw_days", "keep_held_days", "keep_ignored_days", "keep_strangers_days", "strangers_limit", "strangers_megabytes")
    try:
        changes = {name: _whole(name, form[name]) for name in names if name in form}
        before = company()
        with write():
            change_company(changes)
            note_settings(before)
    except BadInput as error:
        return settings_page("data", 422, error.where, complaint(error), kept=sizes.by_state(), storage=sizes.storage(house().settings), oldest=sizes.oldest())
    hx.toast(_("Saved."))
    return hx.redirect(url_for("upkeep.data"))


def _whole(place: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(place, N_("give a whole number")) from None

