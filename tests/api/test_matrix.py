"""Every route of the API answers each role as declared here; a new route without a row fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.store import threads
from core.store.models import Throttle
from tests.api.house import OPERATIONS, Caller, House, opened

# What each caller gets: (Bo, Eve the admin, Ana the owner) on what is Ana's own and private.
ALL = (200, 200, 200)
ADMIN = (403, 200, 403)
MADE_BY_ADMIN = (403, 201, 403)
GONE_BY_ADMIN = (403, 204, 403)
PRIVATE = (404, 200, 200)  # an admin may look: audited
OWNERS = (404, 403, 200)  # the owner alone; an admin knows that it is there
UNREAD = (404, 404, 200)  # an admin has not opened it, so for this act it is not there

T, M, L, I, H = "{thread}", "{message}", "{link}", "{inbound}", "{held}"  # noqa: E741 - ids of Ana's things

# operation -> (path with Ana's ids, body, (Bo, Eve, Ana))
MATRIX: dict[str, tuple[str, Any, tuple[int, int, int]]] = {
    "inbound_list": ("/inbound", None, ALL),
    "inbound_one": (f"/inbound/{I}", None, PRIVATE),
    "inbound_raw": (f"/inbound/{I}/raw", None, PRIVATE),
    "inbound_release": (f"/inbound/{H}/release", None, (404, 200, 403)),
    "inbound_retry": (f"/inbound/{H}/retry", None, PRIVATE),
    "inbound_claim": (f"/inbound/{H}/claim", None, (404, 200, 403)),
    "find": ("/find?sender=ana@sales.example", None, ALL),
    "thread_list": ("/threads", None, ALL),
    "thread_one": (f"/threads/{T}", None, PRIVATE),
    "thread_change": (f"/threads/{T}", {"sharing": "company"}, OWNERS),
    "thread_delete": (f"/threads/{T}", None, (404, 403, 204)),
    "thread_restore": ("/threads/{deleted}/restore", None, UNREAD),
    "thread_split": (f"/threads/{T}/split", {"messages": [M]}, (404, 404, 201)),
    "undo_act": ("/undo/{undo}", None, UNREAD),
    "message_one": (f"/messages/{M}", None, PRIVATE),
    "message_delete": (f"/messages/{M}", None, (404, 404, 204)),
    "message_restore": ("/messages/{deleted_message}/restore", None, UNREAD),
    "link_add": (f"/threads/{T}/links", {"kind": "contact", "id": "{contact}"}, (404, 201, 201)),
    "link_remove": (f"/threads/{T}/links/{L}", None, (404, 204, 204)),
    "contact_list": ("/contacts", None, ALL),
    "contact_add": ("/contacts", {"name": "New"}, MADE_BY_ADMIN),
    "contact_one": ("/contacts/{contact}", None, ALL),
    "contact_change": ("/contacts/{contact}", {"name": "Cyrus"}, ALL),
    "contact_delete": ("/contacts/{contact}", None, GONE_BY_ADMIN),
    "contact_merge": ("/contacts/{contact}/merge", {"other": "{other_contact}"}, ADMIN),
    "contact_threads": ("/contacts/{contact}/threads", None, ALL),
    "organisation_list": ("/organisations", None, ALL),
    "organisation_add": ("/organisations", {"name": "New"}, MADE_BY_ADMIN),
    "organisation_one": ("/organisations/{organisation}", None, ALL),
    "organisation_change": ("/organisations/{organisation}", {"name": "Newer"}, ALL),
    "organisation_delete": ("/organisations/{organisation}", None, GONE_BY_ADMIN),
    "organisation_threads": ("/organisations/{organisation}/threads", None, ALL),
    "me": ("/me", None, ALL),
    "rep_list": ("/reps", None, ALL),
    "rep_add": ("/reps", {"email": "new@sales.example"}, MADE_BY_ADMIN),
    "rep_one": ("/reps/{ana}", None, PRIVATE),
    "rep_change": ("/reps/{ana}", {"name": "Ana A"}, PRIVATE),
    "rep_delete": ("/reps/{sue}", None, GONE_BY_ADMIN),
    "rep_threads": ("/reps/{ana}/threads", None, PRIVATE),
    "token_list": ("/reps/{ana}/tokens", None, PRIVATE),
    "token_add": ("/reps/{ana}/tokens", None, (404, 201, 201)),
    "token_delete": ("/tokens/{token}", None, (404, 204, 204)),
    "settings": ("/settings", None, ADMIN),
    "settings_change": ("/settings", {"grace_days": 3}, ADMIN),
    "drop_address_list": ("/drop-addresses", None, ALL),
    "never_log_list": ("/never-log", None, ALL),
    "never_log_add": ("/never-log", {"pattern": "new.example"}, MADE_BY_ADMIN),
    "never_log_delete": ("/never-log/{never_log}", None, GONE_BY_ADMIN),
    "blocked_domain_list": ("/blocked-domains", None, ADMIN),
    "blocked_domain_add": ("/blocked-domains", {"domain": "other.example"}, MADE_BY_ADMIN),
    "blocked_domain_delete": ("/blocked-domains/loud.example", None, GONE_BY_ADMIN),
    "outbox_state": ("/outbox", None, ADMIN),
    "event_webhook_secret": ("/event-webhook/secret", None, MADE_BY_ADMIN),
    "policy_list": ("/policies", None, ALL),
    "plugin_list": ("/plugins", None, ADMIN),
    "source_list": ("/sources", None, ADMIN),
    "source_add": ("/sources", {"kind": "mailgun", "name": "second", "settings": {"secret": "key-123456789012345678901234567890"}}, MADE_BY_ADMIN),
    "source_one": ("/sources/{source}", None, ADMIN),
    "source_change": ("/sources/{source}", {"enabled": False}, ADMIN),
    "source_delete": ("/sources/{source}", None, GONE_BY_ADMIN),
    "source_poll": ("/sources/{source}/poll", None, (403, 422, 403)),
    "openapi_document": ("/openapi.json", None, ALL),
    "docs_page": ("/docs", None, ALL),
}
for _kind in ("deal", "lead", "project"):
    MATRIX |= {
        f"{_kind}_list": (f"/{_kind}s", None, ALL),
        f"{_kind}_add": (f"/{_kind}s", {"title": "New"}, MADE_BY_ADMIN),
        f"{_kind}_one": (f"/{_kind}s/{{{_kind}}}", None, ALL),
        f"{_kind}_change": (f"/{_kind}s/{{{_kind}}}", {"title": "Newer"}, ALL),
        f"{_kind}_delete": (f"/{_kind}s/{{{_kind}}}", None, GONE_BY_ADMIN),
        f"{_kind}_rotate": (f"/{_kind}s/{{{_kind}}}/address", None, ALL),
        f"{_kind}_threads": (f"/{_kind}s/{{{_kind}}}/threads", None, ALL),
        f"{_kind}_earlier_threads": (f"/{_kind}s/{{{_kind}}}/earlier-threads", None, ALL),
    }

SECRET = "zebrafinch"  # stands in Ana's private mail alone


class Scene:
    """One of everything, Ana's and private where that can be."""

    def __init__(self, house: House) -> None:
        self.house = house
        world, ana = house.world, house.ana_rep
        contact = world.contact("Cy", "cy@cust.example")
        mail = world.mail(ana, f"about the {SECRET}", subject=f"Subject {SECRET}", contact=contact, files=(f"{SECRET}.pdf",))
        world.mail(ana, f"more {SECRET}", subject=f"Subject {SECRET}", thread=mail.thread_id)
        records = {kind: world.record(f"A {kind}", kind, contacts=(contact,)) for kind in ("deal", "lead", "project")}
        gone = world.mail(ana, f"old {SECRET}")
        threads.delete_thread(ana, gone.thread_id)
        half = world.mail(ana, f"half {SECRET}")
        gone_message = world.mail(ana, f"half gone {SECRET}", thread=half.thread_id)
        threads.delete_message(ana, gone_message.id)
        self.ids: dict[str, Any] = {
            "thread": mail.thread_id, "message": mail.id, "link": world.policy_link(mail.thread_id, records["deal"]), "inbound": mail.inbound_id,
            "held": world.inbound(ana, "held", "auth-nothing-published", decision="hold", sender="ana@sales.example", subject=f"Held {SECRET}"),
            "deleted": gone.thread_id, "deleted_message": gone_message.id, "contact": contact, "other_contact": world.contact("Di", "di@cust.example"),
            "organisation": world.organisation("Cust"), "ana": ana.rep_id, "sue": house.sue_rep.rep_id, "undo": threads.archive(ana, [world.mail(ana, f"aside {SECRET}").thread_id], True), **records,
        }  # fmt: skip
        made = house.ana("POST", f"/reps/{ana.rep_id}/tokens")
        self.ids["token"] = made.json["id"]
        house.eve("POST", "/blocked-domains", {"domain": "loud.example"})
        self.ids["never_log"] = house.eve("POST", "/never-log", {"pattern": "spam.example"}).json["id"]
        source = house.eve("POST", "/sources", {"kind": "mailgun", "name": "first", "settings": {"secret": "key-123456789012345678901234567890"}})
        self.ids["source"] = source.json["id"]

    def ask(self, caller: Caller, name: str, ids: dict[str, Any] | None = None) -> Any:
        operation = next(one for one in OPERATIONS if one.name == name)
        path, body, _ = MATRIX[name]
        known = ids or self.ids
        return caller(operation.method, path.format(**known), _filled(body, known))


def _filled(body: Any, ids: dict[str, Any]) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, ids) for value in body]
    return ids[body[1:-1]] if isinstance(body, str) and body.startswith("{") else body


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    with opened(folder) as house:
        yield Scene(house)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Scene]:
    with opened(tmp_path) as house:
        yield Scene(house)


def test_every_route_of_the_app_stands_in_the_matrix(scene):
    routes = {rule.endpoint.removeprefix("api.") for rule in scene.house.app.url_map.iter_rules() if rule.rule.startswith("/api/")}
    assert routes == set(MATRIX)
    assert {one.name for one in OPERATIONS} == set(MATRIX)


def test_every_route_declares_its_rule(scene):
    for rule in scene.house.app.url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            assert scene.house.app.view_functions[rule.endpoint].access in ("public", "rep", "admin"), rule.rule


PUBLIC = {"openapi_document", "docs_page"}


@pytest.mark.parametrize("who", ["nobody", "sue"])
def test_without_an_active_rep_no_route_answers(scene, who):
    for name in MATRIX:
        Throttle.delete().execute()
        answer = scene.ask(getattr(scene.house, who), name)
        assert answer.status_code == (200 if name in PUBLIC else 401), name
        assert SECRET not in answer.text, name


def test_another_rep_gets_what_the_matrix_says_and_never_the_private_mail(scene):
    for name, (_, _, (expected, _, _)) in MATRIX.items():
        answer = scene.ask(scene.house.bo, name)
        assert answer.status_code == expected, (name, answer.text)
        assert SECRET not in answer.text, name


def test_foreign_and_missing_look_alike(scene):
    nowhere = {**dict.fromkeys(scene.ids, 987654321)}
    for name, (path, _, (expected, _, _)) in MATRIX.items():
        if expected == 404 and "{" in path:
            foreign, missing = scene.ask(scene.house.bo, name), scene.ask(scene.house.bo, name, nowhere)
            assert (foreign.status_code, foreign.json) == (missing.status_code, missing.json), name


def test_missing_ids_are_404_for_everybody(scene):
    nowhere = {**dict.fromkeys(scene.ids, 987654321)}
    for name, (path, _, (_, expected, _)) in MATRIX.items():
        if "{" in path and expected != 422:
            assert scene.ask(scene.house.eve, name, nowhere).status_code == 404, name


_READS = [one.name for one in OPERATIONS if one.method == "GET"]
_ACTS = [one.name for one in OPERATIONS if one.method != "GET"]


def test_the_admin_and_the_owner_read_what_the_matrix_says(scene):
    for name in _READS:
        for caller, expected in ((scene.house.eve, MATRIX[name][2][1]), (scene.house.ana, MATRIX[name][2][2])):
            answer = scene.ask(caller, name)
            assert answer.status_code == expected, (name, answer.text)


def test_an_admin_s_lists_hold_nothing_that_was_written(scene):
    for name in ("thread_list", "inbound_list", "contact_threads", "deal_threads", "rep_threads", "find"):
        answer = scene.ask(scene.house.eve, name)
        visible = answer.text.replace(f"Held {SECRET}", "")  # a held mail waits for an admin's look
        assert SECRET not in visible, name
    assert scene.house.eve.get(f"/threads?q={SECRET}")["items"] == []


def test_acts_of_the_admin_and_the_owner(tmp_path_factory):
    """Each act on a scene of its own would be slow, so acts that undo nothing share one, in an order that lets them."""
    gone_last = ("delete", "merge", "restore", "release", "retry", "claim", "remove", "split")
    order = sorted(_ACTS, key=lambda name: (any(word in name for word in gone_last), "delete" in name, "thread_delete" in name, name))
    for number, who in ((1, "eve"), (2, "ana")):
        with opened(tmp_path_factory.mktemp(who)) as house:
            scene = Scene(house)
            for name in order:
                if name.startswith("inbound_"):
                    scene.ids["held"] = house.world.inbound(house.ana_rep, "held", "auth-nothing-published", decision="hold", sender="ana@sales.example")
                if name == "message_delete":
                    scene.ids["message"] = house.world.mail(house.ana_rep, "one more", thread=scene.ids["thread"]).id
                if who == "ana" and name == "thread_split":
                    scene.ids["message"] = house.world.mail(house.ana_rep, "one more", thread=scene.ids["thread"]).id
                answer = scene.ask(getattr(house, who), name)
                assert answer.status_code == MATRIX[name][2][number], (who, name, answer.text)
