"""The API of the house itself: settings, drop addresses, the never-log list, policies, plugins and sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from core import events, notices, sources
from core.errors import BadInput
from core.health import plugins as health_of
from core.reasons import N_
from core.store import drops, never_log, strangers
from core.store.company import Company, change_company, company, differences, forget_cache
from core.store.complaints import first_complaint
from core.store.database import write
from core.store.models import SourceInstance
from core.store.visibility import Viewer, is_id, note
from core.types import Source
from core.web import api_json as json
from core.web import api_shapes as shapes
from core.web.api_contract import changes_of, house, operation
from core.web.problem import Problem, missing

# --- settings -----------------------------------------------------------------------------------------------------

_ADDRESSES = {"mail_domain", "bcc_template", "forward_template", "record_template", "mailbox"}  # drop addresses are made of these


def _settings(now: Company) -> dict[str, Any]:
    return now.model_dump(mode="json")


@operation("GET", "/settings", "The company's settings.", rule="admin", answer=shapes.SettingsShape)
def settings(viewer: Viewer) -> Any:
    return _settings(company())


@operation("PATCH", "/settings", "Change settings; only the keys given change, all or none.", rule="admin", body=shapes.SettingsChange, answer=shapes.SettingsShape)
def settings_change(viewer: Viewer, body: BaseModel) -> Any:
    changes = body.model_dump(mode="json", exclude_unset=True)
    if "policy" in changes:
        changes["policy"] = _checked_policy(changes["policy"])
    slug = changes.pop("slug", None)
    before = company()
    try:
        with write():
            if changes:
                change_company(changes)
            if slug is not None:
                drops.set_slug(slug, house().seal, house().now())
            elif _ADDRESSES & set(changes):
                drops.enter_universal(house().seal, house().now())
            changed = sorted([*changes, *(["slug"] if slug is not None else [])])
            note(viewer, "settings-changed", "settings", house().now(), changed=changed, values=differences(before, company()))
    finally:
        forget_cache()
    return _settings(company())


def _checked_policy(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The policy with its options as its own model has them. Raises BadInput."""
    policies = house().plugins.policies
    policy = policies.get(wanted["name"])
    if policy is None:
        raise BadInput("policy.name", N_("there is no such policy; use one of %(choices)s"), choices=", ".join(sorted(policies)))
    options = wanted.get("options") or {}
    if policy.options is None:
        if options:
            raise BadInput("policy.options", N_("this policy has no options"))
        return {"name": policy.name, "options": {}}
    unknown = next((name for name in options if name not in policy.options.model_fields), None)
    if unknown is not None and policy.options.model_config.get("extra") != "allow":
        raise BadInput(f"policy.options.{unknown}", N_("there is no such field"))
    try:
        return {"name": policy.name, "options": policy.options.model_validate(options).model_dump(mode="json")}
    except ValidationError as error:
        complaint = first_complaint(error)
        raise BadInput(f"policy.options.{complaint.where}".rstrip("."), complaint.sentence) from None


# --- addresses and the never-log list -----------------------------------------------------------------------------


@operation("GET", "/drop-addresses", "Where copies are sent: the BCC address, the forwarding address, and retired ones.", query=shapes.ListQuery, answer=shapes.DropAddressList)
def drop_address_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    return {"items": drops.universal_rows(house().seal), "next": None}


@operation("GET", "/never-log", "Addresses and domains that are never logged.", query=shapes.ListQuery, answer=shapes.NeverLogList)
def never_log_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    return json.page_of(never_log.page(query.cursor, query.limit))


@operation("POST", "/never-log", "Never log this address or domain.", rule="admin", body=shapes.NeverLogWanted, answer=shapes.NeverLogShape, status=201)
def never_log_add(viewer: Viewer, body: shapes.NeverLogWanted) -> Any:
    return json.plain(never_log.add(viewer, body.pattern))


@operation("DELETE", "/never-log/<int:never_log_id>", "Take an entry off the list.", rule="admin")
def never_log_delete(viewer: Viewer, never_log_id: int) -> None:
    if not never_log.remove(viewer, never_log_id):
        raise missing()


# --- strangers ----------------------------------------------------------------------------------------------------


@operation("GET", "/blocked-domains", "Domains whose strangers are not listed.", rule="admin", query=shapes.ListQuery, answer=shapes.BlockedDomainList)
def blocked_domain_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    return {"items": [json.plain(one) for one in strangers.blocked()], "next": None}


@operation("POST", "/blocked-domains", "List no strangers of this domain any more.", rule="admin", body=shapes.BlockedDomainWanted, answer=shapes.BlockedDomainShape, status=201)
def blocked_domain_add(viewer: Viewer, body: shapes.BlockedDomainWanted) -> Any:
    with write():
        strangers.block(body.domain, viewer.email, house().now())
        note(viewer, "domain-blocked", f"domain:{strangers.normal(body.domain)}", house().now())
    return json.plain(strangers.blocked_one(body.domain))


@operation("DELETE", "/blocked-domains/<domain>", "List strangers of this domain again.", rule="admin")
def blocked_domain_delete(viewer: Viewer, domain: str) -> None:
    with write():
        if not strangers.unblock(domain):
            raise missing()
        note(viewer, "domain-unblocked", f"domain:{domain[:253]}", house().now())


# --- what goes out ------------------------------------------------------------------------------------------------


@operation("GET", "/outbox", "How Dropcopy's own mail stands: what waits, and what went wrong.", rule="admin", answer=shapes.OutboxShape)
def outbox_state(viewer: Viewer) -> Any:
    state = notices.waiting(house().now())
    return {"waiting": state.number, "oldest": state.oldest, "trouble": state.trouble, "given_up": state.given_up}


@operation(
    "POST", "/event-webhook/secret", "Make a new signing secret for outgoing webhooks, in place of the one before; it is shown this once.", rule="admin",
    answer=shapes.WebhookSecretShape, status=201,
)  # fmt: skip
def event_webhook_secret(viewer: Viewer) -> Any:
    with write():
        secret = events.renew_webhook_secret(house().seal)
        note(viewer, "webhook-secret-renewed", "settings", house().now())
    return {"secret": secret}


# --- policies and plugins -----------------------------------------------------------------------------------------


@operation("GET", "/policies", "The linking policies one can choose from.", query=shapes.ListQuery, answer=shapes.PolicyList)
def policy_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    chosen = company().policy.name
    items = [
        {
            "name": policy.name, "title": policy.title, "exclusive": policy.exclusive, "version": policy.version, "chosen": policy.name == chosen,
            "options": None if policy.options is None else policy.options.model_json_schema(),
        }
        for policy in house().plugins.policies.values()
    ]  # fmt: skip
    return {"items": items, "next": None}


@operation("GET", "/plugins", "The plugins with their health.", rule="admin", query=shapes.ListQuery, answer=shapes.PluginList)
def plugin_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    return {"items": health_of(house()), "next": None}


# --- sources ------------------------------------------------------------------------------------------------------


def _source(row: SourceInstance) -> dict[str, Any]:
    source = house().plugins.sources.get(row.kind)
    secret = sources.secret_names(source.settings) if source is not None else set()
    return {
        "id": row.id, "kind": row.kind, "name": row.name, "enabled": row.enabled,
        "settings": {name: value for name, value in (row.settings or {}).items() if name not in secret},
        "secrets": sorted(sources.open_secrets(row, house().seal)), "url": sources.url_of(row, house()) if source is not None and source.handle is not None else None,
        "last_mail_at": row.last_mail_at, "last_error": row.last_error, "created_at": row.created_at,
    }  # fmt: skip


def _instance(source_id: int) -> tuple[SourceInstance, Source | None]:
    row = SourceInstance.select().where(SourceInstance.id == source_id).first() if is_id(source_id) else None
    if row is None:
        raise missing()
    return row, house().plugins.sources.get(row.kind)


@operation("GET", "/sources", "The ways in that were added.", rule="admin", query=shapes.ListQuery, answer=shapes.SourceList)
def source_list(viewer: Viewer, query: shapes.ListQuery) -> Any:
    return {"items": [_source(row) for row in SourceInstance.select().order_by(SourceInstance.id)], "next": None}


@operation("POST", "/sources", "Add a way in; a webhook's answer carries its url.", rule="admin", body=shapes.SourceWanted, answer=shapes.SourceShape, status=201)
def source_add(viewer: Viewer, body: shapes.SourceWanted) -> Any:
    source = house().plugins.sources.get(body.kind)
    if source is None:
        raise BadInput("kind", N_("there is no such kind of source; use one of %(choices)s"), choices=", ".join(sorted(house().plugins.sources)))
    row = sources.add(source, body.name, body.settings, house().seal, house(), enabled=body.enabled)
    with write():
        note(viewer, "source-added", f"source:{row.id}", house().now(), name=row.name)
    return _source(row)


@operation("GET", "/sources/<int:source_id>", "One way in.", rule="admin", answer=shapes.SourceShape)
def source_one(viewer: Viewer, source_id: int) -> Any:
    return _source(_instance(source_id)[0])


@operation("PATCH", "/sources/<int:source_id>", "Change a way in; secrets that are not given stay.", rule="admin", body=shapes.SourceChange, answer=shapes.SourceShape)
def source_change(viewer: Viewer, source_id: int, body: shapes.SourceChange) -> Any:
    row, source = _instance(source_id)
    if source is None:
        raise Problem(422, f"The plugin {row.kind} is not loaded, so this source cannot be changed; it can be deleted.", where="kind")
    name = None if body.name is None else body.name.strip()
    if name is not None:
        if not name:
            raise BadInput("name", N_("give the source a name"))
        if SourceInstance.select().where(SourceInstance.name == name, SourceInstance.id != source_id).exists():
            raise BadInput("name", N_("there is a source named %(name)s already"), name=name)
    if changes_of(body):
        sources.change(row, source, house().seal, name=name, enabled=body.enabled, values=body.settings)
        with write():
            note(viewer, "source-changed", f"source:{row.id}", house().now(), changed=sorted(changes_of(body)))
    return _source(_instance(source_id)[0])


@operation("DELETE", "/sources/<int:source_id>", "Remove a way in; its mail stays.", rule="admin")
def source_delete(viewer: Viewer, source_id: int) -> None:
    row, _ = _instance(source_id)
    sources.remove(row)
    with write():
        note(viewer, "source-removed", f"source:{row.id}", house().now(), name=row.name)


@operation("POST", "/sources/<int:source_id>/poll", "Look for mail now.", rule="admin", answer=shapes.PollAnswer, also=(422, 502))
def source_poll(viewer: Viewer, source_id: int) -> Any:
    row, source = _instance(source_id)
    if source is None or source.poll is None:
        raise Problem(422, "This source cannot be polled: mail comes to it by itself.", where="kind")
    try:
        context = sources.context_of(row, source, house())
        sentence = source.poll(context)
        sources.note_last(row.id, context)
    except BadInput:
        raise
    except Exception as error:
        raise Problem(502, f"The mailbox could not be looked at: {str(error)[:300] or type(error).__name__}.") from error
    house().bell.ring()
    return {"sentence": str(sentence)}
