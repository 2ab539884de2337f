"""Every form of every page, found in the pages themselves: nonsense is never a fault, and what cannot be taken is said beside its field."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode as Node

from core.store import one_time
from core.store.database import connected
from tests.web.places import paths
from tests.web.world import PASSWORD, World

LONG = "x" * 5000
HUGE = "9" * 5000
TYPED = 'input:not([type=hidden]):not([type=checkbox]):not([type=radio]), textarea, select'


def routes(world: World) -> list[Any]:
    """Every route of the pages that takes a form."""
    outside = ("/api/", "/in/", "/livez", "/readyz", "/metrics")
    return [rule for rule in world.app.url_map.iter_rules() if "POST" in rule.methods and not rule.rule.startswith(outside)]


def path_of(rule: Any, number: int) -> str:
    known = {"noun": "deals", "kind": "mailgun", "token": "nothing"}
    return re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda found: known.get(found[1], str(number)), rule.rule)


def field_names(world: World) -> list[str]:
    """Every name of a field that stands in a template, and those that the models of plugins bring."""
    from tools.messages import ROOT

    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "templates").rglob("*.html")]
    named = {name for text in texts for name in re.findall(r'name="([a-z_-]+)"', text)} | {name for text in texts for name in re.findall(r"(?:text|lines|tick)\('([a-z_]+)'", text)}
    plugins = {f"s-{name}" for source in world.house.plugins.sources.values() for name in source.settings.model_fields}
    return sorted(named | plugins | {"contact", "organisation", "trust", "replace"})


NONSENSE = ["", "-1", HUGE, LONG, "<script>alert(1)</script>", "\x00", "%(name)s {x}", "a\r\nb: c", "日本" * 300, "1e999"]


@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_in_every_field_of_every_form_is_never_a_fault(world: World, mail: SimpleNamespace, text: str) -> None:
    names, client = field_names(world), world.client("cleo")
    for rule in routes(world):
        if rule.endpoint in ("auth.logout", "sources.attempt", "upkeep.test_relay"):  # they read no field; the last two ask other hosts
            continue
        for headers in ({}, {"HX-Request": "true"}):
            answer = world.post(client, path_of(rule, 999999), headers=headers, **dict.fromkeys(names, text))
            assert answer.status_code in (200, 303, 400, 401, 404, 422, 429), (rule.rule, headers, answer.status_code)


@pytest.mark.parametrize("number", [999999, 10**30], ids=["missing", "huge"])
def test_what_is_not_there_is_404_in_every_form(world: World, number: int) -> None:
    client = world.client("cleo")
    with_ids = [rule for rule in routes(world) if any(name.endswith("_id") for name in rule.arguments)]
    assert len(with_ids) > 30
    for rule in with_ids:
        form = {"kind": "deal", "id": "1", "act": "remove", "title": "New", "address": "new@cust.example", "sharing": "company", "rep": "1", "other": "1", "role": "member", "status": "active"}
        assert world.post(client, path_of(rule, number), **form).status_code == 404, rule.rule


# --- forms in which something is typed -----------------------------------------------------------------------------


class Case(SimpleNamespace):
    """A form that must be refused: where it stands, who posts it, what is typed, and beside which field the sentence stands."""


def case(endpoint: str, page: str, data: dict[str, str], field: str, *, who: str | None = "cleo", path: str = "", status: int = 422) -> Any:
    return pytest.param(Case(endpoint=endpoint, page=page, data=data, field=field, who=who, path=path or page, status=status), id=f"{endpoint}-{field}")


CASES = [
    case("records.add", "/deals", {"title": "   "}, "title", who="ana"),
    case("records.add", "/leads", {"title": LONG}, "title", who="ana"),
    case("records.change", "/deals/{chairs}", {"title": LONG}, "title", who="ana"),
    case("records.add_person", "/deals/{chairs}", {"address": "no address"}, "address", who="ana", path="/deals/{chairs}/people"),
    case("contacts.add", "/contacts", {"title": "Bo again", "address": "bo@cust.example"}, "address", who="ana"),
    case("contacts.add", "/contacts", {"title": LONG, "address": "lou@cust.example"}, "title", who="ana"),
    case("contacts.change", "/contacts/{bo}", {"name": "Bo Berg", "addresses": "bo@cust.example\nkim@far.example", "organisation": "Cust & Sons"}, "addresses", who="ana"),
    case("contacts.change", "/contacts/{bo}", {"name": LONG, "addresses": "bo@cust.example", "organisation": ""}, "name", who="ana"),
    case("contacts.change", "/contacts/{bo}", {"name": "Bo Berg", "addresses": "bo@cust.example", "organisation": LONG}, "organisation", who="ana"),
    case("organisations.add", "/organisations", {"title": "Other", "domain": "gmail.com"}, "domain", who="ana"),
    case("organisations.add", "/organisations", {"title": " ", "domain": "other.example"}, "title", who="ana"),
    case("organisations.change", "/organisations/1", {"name": "Cust", "domains": "no domain at all"}, "domains", who="ana"),
    case("links.make", "/threads/{thread}/links?new=contact", {"kind": "contact", "title": "Kim", "address": "kim@far.example"}, "address", who="ana", path="/threads/{thread}/create"),
    case("links.make", "/threads/{thread}/links?new=deal", {"kind": "deal", "title": " "}, "title", who="ana", path="/threads/{thread}/create"),
    case("account.add_address", "/account", {"address": "not mine"}, "address", who="ana", path="/account/addresses"),
    case("account.person", "/account", {"name": "Ana S", "time_zone": "Mars/Olympus", "language": "en"}, "time_zone", who="ana", path="/account/person"),
    case("account.person", "/account", {"name": "Ana S", "time_zone": "Europe/Rome", "language": "xx"}, "language", who="ana", path="/account/person"),
    case("account.password", "/account", {"old": "wrong", "password": "new pass phrase", "again": "new pass phrase"}, "old", who="ana", path="/account/password"),
    case("account.password", "/account", {"old": PASSWORD, "password": "short", "again": "short"}, "password", who="ana", path="/account/password"),
    case("account.password", "/account", {"old": PASSWORD, "password": "new pass phrase", "again": "other"}, "again", who="ana", path="/account/password"),
    case("held.release", "/inbound/{held}", {"rep": "", "trust": "1"}, "rep", path="/inbound/{held}/release"),
    case("held.release", "/inbound/{held}", {"rep": "999999"}, "rep", path="/inbound/{held}/release"),
    case("settings.save_company", "/settings", {"name": " ", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "90"}, "name"),
    case("settings.save_company", "/settings", {"name": "Chairs", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "90", "bcc_template": "{slug.__class__}@{domain}"}, "bcc_template"),
    case("settings.save_company", "/settings", {"name": "Chairs", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "90", "bcc_template": "{slug:>30}@{domain}"}, "bcc_template"),
    case("settings.save_company", "/settings", {"name": "Chairs", "slug": "No Slug", "mail_domain": "drop.example", "grace_days": "90"}, "slug"),
    case("settings.save_company", "/settings", {"name": "Chairs", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "many"}, "grace_days"),
    case("settings.save_company", "/settings", {"name": "Chairs", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "9", "record_template": "{nothing}"}, "record_template"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "much", "attachment_limit": "50", "internal_domains": "a.example\nb.example"}, "message_limit"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "900", "attachment_limit": "50"}, "message_limit"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "50", "extra_signers": "one"}, "extra_signers"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "0"}, "attachment_limit"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "50", "extra_signers": "cust..example mailer.example"}, "extra_signers"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "50", "trusted_networks": "our relay"}, "trusted_networks"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "50", "authserv_ids": "mx.sales.example\n<b>x</b>"}, "authserv_ids"),
    case("settings.save_limits", "/settings/limits", {"message_limit": "20", "attachment_limit": "50", "arc_sealers": "no domain"}, "arc_sealers"),
    case("settings.save_policy", "/settings/policy", {"policy": "recent-open", "recent-open-number": "77", "recent-open-by": "created"}, "recent-open-number"),
    case("settings.add_never_log", "/settings/never-log", {"pattern": "just words"}, "pattern"),
    case("settings.add_rep", "/settings/people", {"name": "Dora", "email": "dora", "role": "admin"}, "email"),
    case("settings.add_rep", "/settings/people", {"name": "Ana again", "email": "ana@sales.example", "role": "member"}, "email"),
    case("settings.add_rep", "/settings/people", {"name": "Drop", "email": "chairs@drop.example", "role": "member"}, "email"),
    case("settings.add_alias", "/settings/people", {"address": "chairs@drop.example", "rep": "2"}, "address", path="/settings/people/addresses"),
    case("settings.add_team", "/settings/people", {"address": "Chairs-fwd@drop.example", "rep": "2"}, "address", path="/settings/people/team"),
    case("settings.add_team", "/settings/people", {"address": "ana@sales.example", "rep": "2"}, "address", path="/settings/people/team"),
    case("settings.add_alias", "/settings/people", {"address": "no alias", "rep": "2"}, "address", path="/settings/people/addresses"),
    case("settings.add_team", "/settings/people", {"address": "no team", "rep": "2"}, "address", path="/settings/people/team"),
    case("settings.add_token", "/settings/tokens", {"name": " ", "rep": "2"}, "name"),
    case("upkeep.save_events", "/settings/events", {"event_webhook_url": "ftp://hooks.example"}, "event_webhook_url"),
    case("upkeep.save_events", "/settings/events", {"event_webhook_url": "http://hooks.example"}, "event_webhook_url"),
    case("upkeep.save_events", "/settings/events", {"event_webhook_url": "", "event_webhook_networks": "home"}, "event_webhook_networks"),
    case("upkeep.save_data", "/settings/data", {"keep_held_days": "0", "strangers_limit": "2000"}, "keep_held_days"),
    case("upkeep.save_data", "/settings/data", {"keep_raw_days": "99999999999", "strangers_limit": "2000"}, "keep_raw_days"),
    case("upkeep.save_data", "/settings/data", {"keep_held_days": "7", "strangers_limit": "99999999999999999999"}, "strangers_limit"),
    case("upkeep.save_data", "/settings/data", {"keep_held_days": "7", "strangers_limit": "x"}, "strangers_limit"),
    case("sources.add", "/sources/new/imap", {"name": "Mailbox", "s-host": "", "s-username": "ana", "s-port": "993"}, "s-host"),
    case("sources.add", "/sources/new/imap", {"name": "", "s-host": "mail.example", "s-username": "ana", "s-password": "p"}, "name"),
    case("sources.add", "/sources/new/imap", {"name": "Mailbox", "s-host": "mail.example", "s-username": "ana", "s-password": "p", "s-port": "99999"}, "s-port"),
    case("sources.change", "/sources/{source}", {"name": "", "s-secret": ""}, "name"),
    case("auth.send_reset", "/forgotten", {"email": "nobody"}, "email", who=None),
    case("auth.set_password", "/reset/{token}", {"password": "short", "again": "short"}, "password", who=None),
    case("auth.set_password", "/reset/{token}", {"password": "a long enough one", "again": "another"}, "again", who=None),
    case("auth.sign_in", "/login", {"email": "ana@sales.example", "password": "wrong"}, "", who=None, status=401),
]  # fmt: skip
# Typed in, and nothing that is typed can be wrong: a person's own words for the look, or a search whose field is no part of the form.
NEVER_REFUSED = {"inbox.many"}


@pytest.fixture(scope="module")
def places(world: World, mail: SimpleNamespace) -> dict[str, Any]:
    cleo = world.client("cleo")
    made = world.post(cleo, "/sources/new/mailgun", **{"name": "Mailgun", "s-secret": "key-of-mailgun"})
    with connected():
        token = one_time.make("password", world.rep("ben").id, world.house.seal, world.house.now())
    return {"chairs": world.chairs, "bo": world.bo, "thread": mail.thread, "held": mail.held, "source": made.location.rpartition("/")[2], "token": token}


@pytest.fixture(autouse=True, scope="module")
def _with_a_relay(world: World) -> None:
    """Pages that mail something draw their forms only when a relay is set."""
    object.__setattr__(world.house, "settings", world.house.settings.model_copy(update={"relay_url": "smtp://127.0.0.1:9"}))


def named(form: Node, field: str) -> Node | None:
    return next((node for node in form.css(TYPED + ", input") if node.attributes.get("name") == field), None)


def form_of(text: str, path: str, page: str, field: str) -> Node:
    for form in HTMLParser(text).css("form[method=post]"):
        if (form.attributes.get("action") or page).split("?")[0] == path and named(form, field) is not None:
            return form
    raise AssertionError(f"no form for {path} with a field {field}")


def shown(node: Node) -> str:
    """What a field holds."""
    if node.tag == "textarea":
        return node.text()
    if node.tag == "select":
        chosen = next((one for one in node.css("option") if "selected" in one.attributes), None)
        chosen = chosen or node.css_first("option")
        return "" if chosen is None else chosen.attributes.get("value") or chosen.text()
    return node.attributes.get("value") or ""


@pytest.mark.parametrize("one", CASES)
def test_the_sentence_stands_beside_the_field_and_what_was_typed_is_still_there(world: World, places: dict[str, Any], one: Case) -> None:
    path = one.path.format(**places)
    answer = world.post(world.client(one.who), path, **one.data)
    assert answer.status_code == one.status
    if not one.field:
        assert 'role="alert"' in answer.text
        return
    tree = HTMLParser(answer.text)
    form = form_of(answer.text, path.split("?")[0], path, one.field)
    field = named(form, one.field)
    assert field is not None
    assert field.attributes.get("aria-invalid") == "true"
    sentences = [tree.css_first(f'[id="{ident}"]') for ident in (field.attributes.get("aria-describedby") or "").split()]
    (said,) = [node for node in sentences if node is not None and node.attributes.get("role") == "alert"]
    assert len(said.text().strip()) > 10
    assert said.text().strip()[0].isupper()
    assert said.text().strip().endswith((".", "…"))
    for name, typed in one.data.items():
        node = named(form, name)
        if node is not None and node.attributes.get("type") not in ("password", "hidden", "checkbox") and not (node.tag == "select" and name == one.field):
            assert shown(node) == typed, name


def test_every_form_in_which_something_is_typed_has_its_case(world: World, mail: SimpleNamespace, places: dict[str, Any]) -> None:
    adapter = world.app.url_map.bind("localhost")
    typed_in = set()
    ids = {"thread_id": mail.thread, "message_id": mail.message, "inbound_id": mail.held, "record_id": world.chairs, "contact_id": world.bo, "source_id": places["source"], "token": places["token"]}
    for client, path in [(client, path) for who in (None, "ana", "cleo") for client in (world.client(who),) for path in paths(world, ids)]:
        answer = client.get(path)
        assert answer.status_code < 500, path
        if answer.mimetype != "text/html":
            continue
        for form in HTMLParser(answer.text).css("form[method=post]"):
            if form.css(TYPED):
                typed_in.add(adapter.match((form.attributes.get("action") or path).split("?")[0], method="POST")[0])
    assert {"records.add", "settings.save_limits", "auth.sign_in", "links.make"} <= typed_in
    assert typed_in - {one.values[0].endpoint for one in CASES} - NEVER_REFUSED == set()


# --- parts of pages ------------------------------------------------------------------------------------------------


def test_a_refused_part_of_a_page_swaps_nothing_and_says_its_sentence(world: World, mail: SimpleNamespace) -> None:
    answer = world.post(world.client("ana"), f"/threads/{mail.thread}/sharing", headers={"HX-Request": "true"}, sharing="everybody")
    assert (answer.status_code, answer.headers["HX-Reswap"]) == (422, "none")
    assert "use private or company" in answer.headers["HX-Trigger"]
    gone = world.post(world.client("ben"), f"/threads/{mail.thread}/sharing", headers={"HX-Request": "true"}, sharing="company")
    assert (gone.status_code, gone.headers["HX-Reswap"]) == (404, "none")
    assert "It was deleted" in gone.headers["HX-Trigger"]


def test_a_link_that_somebody_else_removed_is_shown_as_gone(world: World, mail: SimpleNamespace) -> None:
    ana = world.client("ana")
    for _ in range(2):
        answer = world.post(ana, f"/threads/{mail.thread}/links/{mail.link}/unlink", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "gone already" in answer.headers["HX-Trigger"]
    assert 'id="links"' in answer.text
