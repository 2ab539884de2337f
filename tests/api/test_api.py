"""The REST API does what the public interface says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core import events, notices
from core.errors import Sentence
from core.reasons import N_
from core.store import company, inbound, never_log, people, plugin_states
from core.store.models import Audit, Link, Notice, Pulse, RecordHistory, Rep, SourceInstance, Throttle
from tests.api.house import House, opened


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as made:
        yield made


def is_problem(response, status: int, where: str | None = None) -> dict:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    content = response.get_json(force=True)
    assert content["status"] == status
    assert content["detail"].strip()
    if where is not None:
        assert content["where"] == where, content
    return content


# --- who may ask --------------------------------------------------------------------------------------------------


def test_without_a_valid_token_nothing_is_told(house):
    is_problem(house.nobody("GET", "/threads"), 401)
    is_problem(house.nobody("GET", "/threads", headers={"Authorization": "Bearer wrong"}), 401)
    is_problem(house.nobody("GET", "/threads", headers={"Authorization": "Basic eDp5"}), 401)
    assert house.nobody("GET", "/threads").headers["WWW-Authenticate"] == "Bearer"
    is_problem(house.sue("GET", "/threads"), 401)


def test_a_token_acts_as_its_rep(house):
    assert house.ana.get("/me") == {"id": house.ana_rep.rep_id, "email": "ana@sales.example", "role": "member"}
    assert house.eve.get("/me")["role"] == "admin"


def test_tokens_are_made_once_and_ended(house):
    made = house.ana("POST", f"/reps/{house.ana_rep.rep_id}/tokens", {"name": "script"})
    assert made.status_code == 201
    token = made.json["token"]
    assert house.nobody("GET", "/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert token not in house.ana("GET", f"/reps/{house.ana_rep.rep_id}/tokens").text
    is_problem(house.bo("DELETE", f"/tokens/{made.json['id']}"), 404)
    assert house.ana("DELETE", f"/tokens/{made.json['id']}").status_code == 204
    is_problem(house.nobody("GET", "/me", headers={"Authorization": f"Bearer {token}"}), 401)
    is_problem(house.bo("POST", f"/reps/{house.ana_rep.rep_id}/tokens"), 404)
    assert house.eve("POST", f"/reps/{house.ana_rep.rep_id}/tokens").status_code == 201


def test_sentences_are_in_the_language_asked_for_or_the_rep_s_own(house):
    mail = house.world.mail(house.ana_rep, "alpha")
    house.world.policy_link(mail.thread_id, house.world.record("Ten chairs"))

    def because(**headers: str) -> str:
        return house.ana("GET", f"/threads/{mail.thread_id}", headers=headers).json["links"][0]["because"]

    english = because()
    Rep.update(language="sv").where(Rep.id == house.ana_rep.rep_id).execute()
    swedish = because()
    assert swedish != english
    assert because(**{"Accept-Language": "*"}) == because(**{"Accept-Language": "xx"}) == swedish
    assert because(**{"Accept-Language": "en-GB, en;q=0.9, sv;q=0.5"}) == english
    assert because(**{"Accept-Language": "it, *;q=0.1"}) not in (english, swedish)
    assert house.bo("GET", "/nothing-here").json["detail"] == house.ana("GET", "/nothing-here").json["detail"]


# --- errors -------------------------------------------------------------------------------------------------------


def test_every_error_is_a_problem_with_a_sentence(house):
    is_problem(house.eve("GET", "/nothing-here"), 404)
    is_problem(house.nobody("GET", "/nothing-here"), 404)
    wrong_method = house.eve("PUT", "/threads")
    is_problem(wrong_method, 405)
    assert "GET" in wrong_method.headers["Allow"]
    is_problem(house.eve("GET", "/threads/99999999999999999999999"), 404)
    is_problem(house.eve("GET", "/threads?cursor=zzz"), 400, "cursor")
    is_problem(house.eve("GET", "/threads?limit=0"), 400, "limit")
    is_problem(house.eve("GET", "/threads?limit=many"), 400, "limit")
    is_problem(house.eve("GET", "/inbound?state=gone"), 400, "state")
    is_problem(house.eve("GET", "/threads?q=a%00b"), 400)


def test_a_query_field_that_does_not_exist_is_named(house):
    deal = house.eve("POST", "/deals", {"title": "x", "external_id": "d1"}).json
    for path, field in (
        ("/deals?externalid=d1", "externalid"), ("/threads?bogus=1", "bogus"), ("/threads?bogus=", "bogus"), ("/find?sender=a@b.example&bogus=1", "bogus"),
        (f"/deals/{deal['id']}?full=1", "full"), ("/me?x", "x"), ("/sources?kind=imap", "kind"),
    ):  # fmt: skip
        assert "no such field" in is_problem(house.eve("GET", path), 400, field)["detail"], path
    is_problem(house.eve("POST", "/deals?dry_run=1", {"title": "y"}), 400, "dry_run")
    is_problem(house.eve("GET", "/threads?a%00b=1"), 400)
    assert [row["id"] for row in house.eve.get("/deals?external_id=d1&q=&status=&cursor=")["items"]] == [deal["id"]]
    lists = ("/sources", "/plugins", "/policies", "/drop-addresses", "/blocked-domains", "/never-log", f"/reps/{house.eve_rep.rep_id}/tokens", f"/deals/{deal['id']}/earlier-threads")
    for path in lists:
        assert house.eve.get(f"{path}?limit=200&cursor=")["next"] is None
    assert house.nobody("GET", "/openapi.json?v=1").status_code == 200


def test_a_bad_body_is_named_by_its_place_and_changes_nothing(house):
    bad = house.eve("POST", "/deals", data=b"{", content_type="application/json")
    assert "JSON" in is_problem(bad, 400, "body")["detail"]
    is_problem(house.eve("POST", "/deals", data=b"", content_type="application/json"), 400, "body")
    is_problem(house.eve("POST", "/deals", data=b"[]"), 422, "body")
    is_problem(house.eve("POST", "/deals", data=b'"x"'), 422, "body")
    is_problem(house.eve("POST", "/deals", data=b"\xff\xfe"), 400)
    is_problem(house.eve("POST", "/deals", data=b'{"title": "a\\u0000b"}'), 400)
    is_problem(house.eve("POST", "/deals", data=b"[" * 100_000), 400)
    is_problem(house.eve("POST", "/deals", {}), 422, "title")
    is_problem(house.eve("POST", "/deals", {"title": "  "}), 422, "title")
    is_problem(house.eve("POST", "/deals", {"title": 7}), 422, "title")
    is_problem(house.eve("POST", "/deals", {"title": "x", "colour": "red"}), 422, "colour")
    is_problem(house.eve("POST", "/deals", {"title": "x", "status": "sold"}), 422, "status")
    is_problem(house.eve("POST", "/deals", {"title": "x", "contacts": [1, 99]}), 422, "contacts.0")
    is_problem(house.eve("POST", "/deals", {"title": "x", "contacts": [True]}), 422)
    is_problem(house.eve("POST", "/deals", {"title": "x", "organisation": 99}), 422, "organisation")
    is_problem(house.eve("POST", "/deals", {"title": "x", "created_at": "yesterday"}), 422, "created_at")
    is_problem(house.eve("POST", "/deals", {"title": "x", "created_at": "2026-01-01T00:00:00"}), 422, "created_at")
    is_problem(house.eve("POST", "/deals", data=b'{"title": "' + b"x" * (1024 * 1024) + b'"}'), 413)
    assert house.eve.get("/deals")["items"] == []
    is_problem(house.eve("POST", "/contacts", {"name": "Bo", "addresses": ["bo@cust.example", "nonsense"]}), 422, "addresses.1")
    assert house.eve.get("/contacts")["items"] == []


def test_too_many_requests_are_slowed_down(house):
    Throttle.insert(key=f"api:{house.bo_rep.rep_id}", tokens=0, at=house.app.extensions["dropcopy"].now()).execute()
    answer = house.bo("GET", "/me")
    is_problem(answer, 429)
    assert answer.headers["Retry-After"]


# --- threads ------------------------------------------------------------------------------------------------------


def test_a_thread_has_the_shape_of_the_public_interface(house):
    contact = house.world.contact("Cy", "cy@cust.example")
    mail = house.world.mail(house.ana_rep, "Ten chairs", subject="Chairs", files=("offer.pdf",), contact=contact)
    deal = house.world.record("Ten chairs", contacts=(contact,), external_id="d1")
    link = house.world.policy_link(mail.thread_id, deal)
    thread = house.ana.get(f"/threads/{mail.thread_id}")
    assert thread["owner"] == "ana@sales.example"
    assert thread["sharing"] == "private"
    assert thread["waiting"] is None
    assert thread["started_at"].endswith("Z")
    assert thread["links"] == [
        {
            "id": link, "kind": "deal", "target_id": deal, "external_id": "d1", "title": "Ten chairs", "reason": "only-open",
            "because": "It is the only open record of the thread's contacts.", "made_by": "policy:single-open", "created_at": thread["links"][0]["created_at"],
        }
    ]  # fmt: skip
    message = thread["messages"][0]
    assert message["from"] == {"name": "Ana", "address": "ana@sales.example"}
    assert message["to"] == [{"name": "Cy", "address": "cy@cust.example"}]
    assert message["cc"] == []
    assert message["message_id"] == mail.message_id
    assert "<" not in message["message_id"]
    assert message["text"] == "Ten chairs"
    assert message["attachments"][0]["filename"] == "offer.pdf"
    assert message["forward"] is None
    listed = house.ana.get("/threads?linked=true")["items"]
    assert [row["id"] for row in listed] == [mail.thread_id]
    assert listed[0]["links"] == thread["links"]
    assert house.ana.get("/threads?linked=false")["items"] == []
    assert house.ana.get("/threads?owner=ana@sales.example")["items"][0]["id"] == mail.thread_id
    assert house.ana.get("/threads?owner=nobody@sales.example")["items"] == []
    assert house.ana.get("/threads?q=chairs+is:linked")["items"][0]["id"] == mail.thread_id
    assert house.ana.get(f"/deals/{deal}/threads")["items"][0]["id"] == mail.thread_id
    assert house.bo.get(f"/deals/{deal}/threads")["items"] == []


def test_lists_are_paged_by_their_next(house):
    for number in range(5):
        house.world.mail(house.ana_rep, "hello", subject=f"t{number}", sharing="company" if number % 2 else "private")
    house.world.mail(house.bo_rep, "hello", subject="t5", sharing="company")
    for query in ("", "&q=hello", "&q=-zzz"):
        seen, cursor = [], ""
        while True:
            page = house.ana.get(f"/threads?limit=2{query}" + (f"&cursor={cursor}" if cursor else ""))
            seen += [row["subject"] for row in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert seen == ["t5", "t4", "t3", "t2", "t1", "t0"], query


def test_the_owner_shares_a_thread_and_nobody_else_does(house):
    mail = house.world.mail(house.ana_rep, "alpha")
    path = f"/threads/{mail.thread_id}"
    is_problem(house.bo("PATCH", path, {"sharing": "company"}), 404)
    is_problem(house.eve("PATCH", path, {"sharing": "company"}), 403)
    is_problem(house.ana("PATCH", path, {"sharing": "public"}), 422, "sharing")
    assert house.ana("PATCH", path, {"sharing": "company"}).json["sharing"] == "company"
    assert house.bo.get("/threads?q=alpha")["items"][0]["id"] == mail.thread_id
    is_problem(house.bo("PATCH", path, {"sharing": "private"}), 403)
    assert house.bo("PATCH", path, {"archived": True, "seen": True}).json["archived"] is True
    assert house.ana.get(path)["archived"] is False


def test_deleted_mail_is_gone_until_it_is_restored(house):
    first = house.world.mail(house.ana_rep, "alpha", subject="a")
    second = house.world.mail(house.ana_rep, "beta", thread=first.thread_id)
    path = f"/threads/{first.thread_id}"
    assert house.ana("DELETE", f"/messages/{second.id}").status_code == 204
    assert [m["id"] for m in house.ana.get(path)["messages"]] == [first.id]
    is_problem(house.ana("DELETE", f"/messages/{second.id}"), 404)
    is_problem(house.bo("POST", f"/messages/{second.id}/restore"), 404)
    assert house.ana("DELETE", path).status_code == 204
    is_problem(house.ana("GET", path), 404)
    assert house.ana.get("/threads?q=alpha")["items"] == []
    is_problem(house.bo("POST", f"{path}/restore"), 404)
    assert house.ana("POST", f"{path}/restore").status_code == 200
    assert [m["id"] for m in house.ana.get(path)["messages"]] == [first.id]
    assert house.ana("POST", f"/messages/{second.id}/restore").json["text"] == "beta"
    assert house.ana("DELETE", f"/messages/{first.id}").status_code == 204
    assert house.ana("DELETE", f"/messages/{second.id}").status_code == 204
    is_problem(house.ana("GET", path), 404)
    assert house.ana("POST", f"/messages/{second.id}/restore").status_code == 200
    assert house.ana.get(path)["message_count"] == 1


def test_an_admin_sees_who_when_and_state_of_a_private_thread_and_opening_it_is_audited(house):
    mail = house.world.mail(house.ana_rep, "very secret", subject="Secret offer")
    row = next(row for row in house.eve.get("/threads")["items"] if row["id"] == mail.thread_id)
    assert (row["subject"], row["snippet"], row["who"], row["links"], row["metadata_only"]) == ("", "", "", [], True)
    assert row["owner"] == "ana@sales.example"
    assert house.eve.get("/threads?q=secret")["items"] == []
    assert not Audit.select().where(Audit.act == "thread-opened").exists()
    opened = house.eve.get(f"/threads/{mail.thread_id}")
    assert opened["messages"][0]["text"] == "very secret"
    house.eve.get(f"/threads/{mail.thread_id}")
    assert [o["who"] for o in house.ana.get(f"/threads/{mail.thread_id}")["openings"]] == ["eve@sales.example"]


def test_linking_by_hand_keeps_one_record_unless_replaced(house):
    mail = house.world.mail(house.ana_rep, "alpha")
    first, second = house.world.record("First"), house.world.record("Second", status="won")
    path = f"/threads/{mail.thread_id}/links"
    made = house.ana("POST", path, {"kind": "deal", "id": first})
    assert made.status_code == 201
    assert made.json["made_by"] == "rep:ana@sales.example"
    conflict = is_problem(house.ana("POST", path, {"kind": "deal", "id": second}), 409)
    assert conflict["link"]["target_id"] == first
    replaced = house.ana("POST", path, {"kind": "deal", "id": second, "replace": True})
    assert replaced.status_code == 201
    assert [link["target_id"] for link in house.ana.get(f"/threads/{mail.thread_id}")["links"]] == [second]
    is_problem(house.bo("POST", path, {"kind": "deal", "id": first}), 404)
    is_problem(house.ana("POST", path, {"kind": "deal", "id": 999}), 404)
    is_problem(house.ana("POST", path, {"kind": "lead", "id": first}), 404)
    is_problem(house.ana("POST", path, {"kind": "user", "id": 1}), 422, "kind")
    assert house.ana("DELETE", f"{path}/{replaced.json['id']}").status_code == 204
    is_problem(house.ana("DELETE", f"{path}/{replaced.json['id']}"), 404)
    removed = Link.get_by_id(replaced.json["id"])
    assert removed.removed_by == "rep:ana@sales.example"
    again = house.ana("POST", path, {"kind": "deal", "id": second})
    assert again.json["id"] == replaced.json["id"]
    assert Link.get_by_id(again.json["id"]).removed_at is None
    assert house.eve("POST", path, {"kind": "contact", "id": house.world.contact("Cy")}).status_code == 201
    assert house.ana.get(f"/threads/{mail.thread_id}")["openings"][0]["act"] == "thread-linked"


def test_many_records_may_be_linked_under_a_many_record_policy(house):
    assert house.eve("PATCH", "/settings", {"policy": {"name": "all-open"}}).status_code == 200
    mail = house.world.mail(house.ana_rep, "alpha")
    for title in ("one", "two"):
        made = house.ana("POST", f"/threads/{mail.thread_id}/links", {"kind": "deal", "id": house.world.record(title)})
        assert made.status_code == 201
    assert len(house.ana.get(f"/threads/{mail.thread_id}")["links"]) == 2


def test_mails_are_split_into_a_thread_of_their_own(house):
    first = house.world.mail(house.ana_rep, "alpha")
    second = house.world.mail(house.ana_rep, "beta", thread=first.thread_id)
    made = house.ana("POST", f"/threads/{first.thread_id}/split", {"messages": [second.id]})
    assert made.status_code == 201
    assert [m["id"] for m in made.json["messages"]] == [second.id]
    assert made.json["related"] == [first.thread_id]
    is_problem(house.ana("POST", f"/threads/{first.thread_id}/split", {"messages": [first.id]}), 422, "messages")
    is_problem(house.bo("POST", f"/threads/{first.thread_id}/split", {"messages": [first.id]}), 404)


# --- inbound ------------------------------------------------------------------------------------------------------


def test_every_accepted_mail_is_listed_with_its_end(house):
    logged = house.world.mail(house.ana_rep, "alpha", subject="a")
    held = house.world.inbound(house.ana_rep, "held", "auth-nothing-published", params={"domain": "sales.example"}, message_id="h@x.example")
    waiting = house.world.inbound(None, "received", "received")
    items = house.eve.get("/inbound")["items"]
    assert [row["id"] for row in items] == [waiting, held, logged.inbound_id]
    assert items[0]["rcpt_to"] == ["acme@drop.example"]
    assert [row["id"] for row in house.eve.get("/inbound?state=held")["items"]] == [held]
    assert [row["id"] for row in house.eve.get("/inbound?state=received")["items"]] == [waiting]
    assert [row["id"] for row in house.eve.get("/inbound?message_id=<h@x.example>")["items"]] == [held]
    assert [row["id"] for row in house.ana.get("/inbound")["items"]] == [held, logged.inbound_id]
    assert house.bo.get("/inbound")["items"] == []
    one = house.ana.get(f"/inbound/{held}")
    assert one["rep"] == "ana@sales.example"
    assert one["sentence"].startswith("sales.example publishes neither")
    assert one["trace"][0] == {
        "step": "admit", "outcome": "bcc", "reason": "admitted", "sentence": "The mail came to the drop address acme@drop.example.", "remedy": "", "params": {"address": "acme@drop.example"},
    }  # fmt: skip
    assert house.ana("GET", f"/inbound/{held}/raw").data == inbound.raw_of(held)
    for path in (f"/inbound/{held}", f"/inbound/{held}/raw", f"/inbound/{waiting}"):
        is_problem(house.bo("GET", path), 404)


def test_pages_of_inbound_join_what_waits_and_what_ended(house):
    ids = [house.world.inbound(house.ana_rep, state, state) for state in ("held", "received", "logged", "processing", "ignored", "received")]
    seen, cursor = [], ""
    while True:
        page = house.eve.get("/inbound?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == sorted(ids, reverse=True)


def test_only_an_admin_lets_an_unproved_mail_in(house):
    held = house.world.inbound(house.ana_rep, "held", "auth-nothing-published", decision="hold")
    is_problem(house.ana("POST", f"/inbound/{held}/release"), 403)
    is_problem(house.bo("POST", f"/inbound/{held}/release"), 404)
    is_problem(house.eve("POST", f"/inbound/{held}/release", {"rep": "nobody@sales.example"}), 422, "rep")
    assert house.eve("POST", f"/inbound/{held}/release", {"rep": "bo@sales.example"}).json["state"] == "received"
    is_problem(house.eve("POST", f"/inbound/{held}/release"), 404)
    ignored = house.world.inbound(house.ana_rep, "ignored", "auth-rejected", decision="reject")
    assert house.eve("POST", f"/inbound/{ignored}/retry").json["state"] == "received"
    logged = house.world.inbound(house.ana_rep, "logged", "logged")
    is_problem(house.eve("POST", f"/inbound/{logged}/release"), 404)


def test_a_stranger_s_mail_is_claimed_by_whoever_owns_the_address(house):
    held = house.world.inbound(None, "held", "unknown-sender", sender="ana@home.example", decision="pass")
    is_problem(house.ana("POST", f"/inbound/{held}/claim"), 404)
    changed = house.eve("PATCH", f"/reps/{house.ana_rep.rep_id}", {"addresses": [{"address": "ana@home.example", "kind": "alternative", "verified": True}]})
    assert changed.status_code == 200
    is_problem(house.bo("POST", f"/inbound/{held}/claim"), 404)
    assert house.ana("POST", f"/inbound/{held}/claim").status_code == 200


def test_why_is_my_mail_not_here(house):
    house.world.mail(house.ana_rep, "alpha", subject="Private matter")
    house.world.inbound(house.ana_rep, "ignored", "auth-rejected", subject="Offer for Cust", message_id="o@x.example")
    assert [row["reason"] for row in house.ana.get("/find?subject=offer")["items"]] == ["auth-rejected"]
    assert [row["reason"] for row in house.ana.get("/find?message_id=%3Co@x.example%3E")["items"]] == ["auth-rejected"]
    assert house.bo.get("/find?message_id=o@x.example")["items"] == []
    assert house.eve.get("/find?subject=private")["items"] == []
    assert len(house.eve.get("/find?sender=ana@sales.example")["items"]) == 2
    assert len(house.eve.get("/find?sender=sales.exam")["items"]) == 2
    assert house.bo.get("/find?sender=sales.exam")["items"] == []
    is_problem(house.ana("GET", "/find"), 400, "message_id")


# --- people and records -------------------------------------------------------------------------------------------


def test_a_deal_lives_from_open_to_deleted_with_its_history(house):
    contact = house.eve("POST", "/contacts", {"name": "Bo", "addresses": ["Bo@Cust.Example"], "external_id": "c1"})
    assert contact.status_code == 201
    assert contact.json["addresses"] == ["bo@cust.example"]
    organisation = house.eve("POST", "/organisations", {"name": "Cust Ltd", "domains": ["Cust.Example"]}).json
    assert organisation["domains"] == ["cust.example"]
    made = house.eve(
        "POST", "/deals",
        {"title": "Ten chairs", "external_id": "d1", "contacts": [contact.json["id"]], "organisation": organisation["id"], "created_at": "2026-01-02T03:04:05+01:00"},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    deal = made.json
    assert deal["created_at"] == "2026-01-02T02:04:05Z"
    assert deal["status"] == "open"
    assert deal["closed_at"] is None
    assert deal["bcc_address"].endswith("@drop.example")
    assert house.ana.get(f"/deals/{deal['id']}") == deal
    assert house.ana.get("/deals?external_id=d1")["items"] == [deal]
    assert house.ana.get("/leads?external_id=d1")["items"] == []
    is_problem(house.ana("GET", f"/leads/{deal['id']}"), 404)
    is_problem(house.eve("POST", "/deals", {"title": "again", "external_id": "d1"}), 422, "external_id")
    won = house.ana("PATCH", f"/deals/{deal['id']}", {"status": "won", "closed_at": "2026-02-01T00:00:00Z"})
    assert won.json["closed_at"] == "2026-02-01T00:00:00Z"
    assert won.json["contacts"] == deal["contacts"]
    opened_again = house.ana("PATCH", f"/deals/{deal['id']}", {"status": "open", "contacts": []}).json
    assert (opened_again["closed_at"], opened_again["contacts"]) == (None, [])
    is_problem(house.ana("DELETE", f"/deals/{deal['id']}"), 403)
    assert house.eve("DELETE", f"/deals/{deal['id']}").status_code == 204
    is_problem(house.eve("GET", f"/deals/{deal['id']}"), 404)
    assert house.eve.get("/deals")["items"] == []
    assert house.eve.get("/deals?status=deleted")["items"][0]["id"] == deal["id"]
    assert [row.status for row in RecordHistory.select().order_by(RecordHistory.id)] == ["open", "won", "open", "deleted"]
    assert house.eve("PATCH", f"/deals/{deal['id']}", {"status": "open"}).status_code == 200
    assert house.eve.get(f"/deals/{deal['id']}")["bcc_address"] == deal["bcc_address"]


def test_every_kind_of_record_has_its_own_statuses(house):
    for kind, status in (("leads", "converted"), ("projects", "canceled")):
        assert house.eve("POST", f"/{kind}", {"title": "x", "status": status}).json["status"] == status
        is_problem(house.eve("POST", f"/{kind}", {"title": "x", "status": "won"}), 422, "status")
        is_problem(house.eve("GET", f"/{kind}?status=won"), 400, "status")


def test_contacts_keep_their_addresses_apart_until_they_are_merged(house):
    first = house.eve("POST", "/contacts", {"name": "Bo", "addresses": ["bo@cust.example"]}).json
    is_problem(house.eve("POST", "/contacts", {"addresses": ["BO@cust.example"]}), 422, "addresses.0")
    second = house.eve("POST", "/contacts", {"name": "Bo B", "addresses": ["b@home.example"]}).json
    merged = house.eve("POST", f"/contacts/{first['id']}/merge", {"other": second["id"]})
    assert merged.json["addresses"] == ["bo@cust.example", "b@home.example"]
    assert house.ana.get(f"/contacts/{second['id']}")["id"] == first["id"]
    assert house.ana.get("/contacts?address=b@home.example")["items"][0]["id"] == first["id"]
    assert house.ana.get("/contacts?q=cust.ex")["items"][0]["id"] == first["id"]
    assert house.ana("PATCH", f"/contacts/{first['id']}", {"name": "Bosse"}).json["name"] == "Bosse"
    assert house.eve("DELETE", f"/contacts/{first['id']}").status_code == 204
    is_problem(house.ana("GET", f"/contacts/{first['id']}"), 404)
    assert house.eve("POST", "/contacts", {"addresses": ["bo@cust.example"]}).status_code == 201


def test_a_contact_without_a_name_goes_by_its_first_address(house):
    made = house.eve("POST", "/contacts", {"addresses": ["NoName@nnn.example", "second@nnn.example"]}).json
    assert made["name"] == "noname@nnn.example"
    path = f"/contacts/{made['id']}"
    for nothing in ("", "  ", None):
        house.ana("PATCH", path, {"name": "Nora"})
        assert house.ana("PATCH", path, {"name": nothing}).json["name"] == "noname@nnn.example"
    assert house.ana("PATCH", path, {"name": "", "addresses": ["second@nnn.example"]}).json["name"] == "second@nnn.example"
    assert house.ana("PATCH", path, {"organisation": None}).json["name"] == "second@nnn.example"
    bare = house.eve("POST", "/contacts", {"name": "Bare"}).json
    for nothing in ("", None):
        assert "give a name" in is_problem(house.ana("PATCH", f"/contacts/{bare['id']}", {"name": nothing}), 422, "name")["detail"]
    is_problem(house.ana("PATCH", path, {"name": "", "addresses": []}), 422, "name")
    assert house.ana.get(path)["addresses"] == ["second@nnn.example"]
    mail = house.world.mail(house.ana_rep, contact=made["id"])
    assert house.ana("POST", f"/threads/{mail.thread_id}/links", {"kind": "contact", "id": made["id"]}).json["title"] == "second@nnn.example"


def test_a_merge_and_a_split_are_taken_back_by_whoever_made_them(house):
    first, second = (house.eve("POST", "/contacts", {"name": name, "addresses": [f"{name}@cust.example"]}).json["id"] for name in ("bo", "di"))
    token = house.eve("POST", f"/contacts/{first}/merge", {"other": second}).json["undo"]
    is_problem(house.ana("POST", f"/undo/{token}"), 404)
    assert house.eve("POST", f"/undo/{token}").json == {"act": "merge"}
    assert [house.ana.get(f"/contacts/{ident}")["addresses"] for ident in (first, second)] == [["bo@cust.example"], ["di@cust.example"]]
    is_problem(house.eve("POST", f"/undo/{token}"), 404)
    mail = house.world.mail(house.ana_rep, "alpha")
    other = house.world.mail(house.ana_rep, "beta", thread=mail.thread_id)
    parted = house.ana("POST", f"/threads/{mail.thread_id}/split", {"messages": [other.id]})
    assert parted.status_code == 201
    assert house.ana("POST", f"/undo/{parted.json['undo']}").json == {"act": "split"}
    assert len(house.ana.get(f"/threads/{mail.thread_id}")["messages"]) == 2
    is_problem(house.ana("GET", f"/threads/{parted.json['id']}"), 404)
    for odd in ("x%00y", "x" * 200, "é"):
        is_problem(house.ana("POST", f"/undo/{odd}"), 404)


def test_an_entered_contact_with_an_external_id_takes_over_whom_mail_made(house):
    """As a loaded one does: the same contact, its mail and its links; one that another program has claimed stays that one's."""
    made = house.world.contact("bo@cust.example", "bo@cust.example", "b@old.example")
    other = house.world.contact("", "bo@home.example")
    mail = house.world.mail(house.ana_rep, contact=made)
    assert house.ana("POST", f"/threads/{mail.thread_id}/links", {"kind": "contact", "id": made}).status_code == 201
    is_problem(house.eve("POST", "/contacts", {"name": "Bo", "addresses": ["bo@cust.example"]}), 422, "addresses.0")
    cust = house.eve("POST", "/organisations", {"name": "Cust Ltd"}).json["id"]
    taken = house.eve(
        "POST", "/contacts", {"name": "Bo Berg", "external_id": "c1", "addresses": ["bo@new.example", "BO@cust.example", "bo@home.example"], "organisation": cust}
    )  # fmt: skip
    assert taken.status_code == 201
    assert {name: taken.json[name] for name in ("id", "external_id", "name", "organisation")} == {"id": made, "external_id": "c1", "name": "Bo Berg", "organisation": cust}
    assert set(taken.json["addresses"]) == {"bo@cust.example", "b@old.example", "bo@home.example", "bo@new.example"}
    assert house.ana.get(f"/contacts/{other}")["id"] == made
    assert [link["title"] for link in house.ana.get(f"/threads/{mail.thread_id}")["links"]] == ["Bo Berg"]
    again = house.eve("POST", "/contacts", {"name": "Bo", "external_id": "c2", "addresses": ["bo@cust.example"]})
    assert str(made) in is_problem(again, 422, "addresses.0")["detail"]
    assert house.ana.get("/contacts?external_id=c2")["items"] == []


def test_a_contact_that_is_taken_over_keeps_what_the_other_program_does_not_say(house):
    cust = house.world.organisation("Cust Ltd")
    made = house.world.contact("Bo", "bo@cust.example", organisation=cust)
    house.world.contact("Claimed", "di@cust.example")
    house.eve("POST", "/contacts", {"external_id": "di", "addresses": ["di@cust.example"]})
    is_problem(house.eve("POST", "/contacts", {"external_id": "c1", "addresses": ["bo@cust.example", "di@cust.example"]}), 422, "addresses.1")
    taken = house.eve("POST", "/contacts", {"external_id": "c1", "addresses": ["bo@cust.example"]}).json
    assert (taken["id"], taken["name"], taken["organisation"], taken["external_id"]) == (made, "Bo", cust, "c1")


def test_an_entered_organisation_with_an_external_id_takes_over_those_that_mail_made(house):
    made, other = (people.create_organisation(house.eve_rep, {"name": name, "domains": [name]}).id for name in ("new.example", "new.test"))
    contact = house.world.contact("Di", "di@new.test", organisation=other)
    wanted = {"name": "New Ltd", "domains": ["shop.example", "new.example", "new.test"]}
    is_problem(house.eve("POST", "/organisations", wanted), 422, "domains.1")
    taken = house.eve("POST", "/organisations", {**wanted, "external_id": "o9"})
    assert taken.status_code == 201
    assert (taken.json["id"], taken.json["name"], taken.json["external_id"], set(taken.json["domains"])) == (made, "New Ltd", "o9", set(wanted["domains"]))
    assert house.ana.get(f"/contacts/{contact}")["organisation"] == made
    is_problem(house.ana("GET", f"/organisations/{other}"), 404)
    is_problem(house.eve("POST", "/organisations", {"name": "Other", "external_id": "o10", "domains": ["new.test"]}), 422, "domains.0")


def test_free_mail_stands_for_no_organisation(house):
    is_problem(house.eve("POST", "/organisations", {"name": "G", "domains": ["gmail.com"]}), 422, "domains.0")
    is_problem(house.eve("POST", "/organisations", {"name": "G", "domains": ["no domain"]}), 422, "domains.0")


def test_reps_are_entered_changed_and_kept_when_they_have_mail(house):
    made = house.eve(
        "POST", "/reps",
        {"email": "Di@sales.example", "name": "Di", "password": "long enough", "addresses": [{"address": "di@home.example", "verified": True}]},
    )  # fmt: skip
    assert made.status_code == 201, made.text
    assert made.json["email"] == "di@sales.example"
    assert {(a["address"], a["kind"], a["verified"]) for a in made.json["addresses"]} == {
        ("di@sales.example", "account", True), ("di@home.example", "alternative", True),
    }  # fmt: skip
    is_problem(house.eve("POST", "/reps", {"email": "di@sales.example"}), 422, "email")
    is_problem(house.eve("POST", "/reps", {"email": "x@sales.example", "password": "short"}), 422, "password")
    is_problem(house.ana("POST", "/reps", {"email": "x@sales.example"}), 403)
    is_problem(house.ana("GET", f"/reps/{made.json['id']}"), 404)
    assert [rep["email"] for rep in house.ana.get("/reps")["items"]] == ["ana@sales.example"]
    assert house.ana("PATCH", f"/reps/{house.ana_rep.rep_id}", {"default_sharing": "company"}).json["default_sharing"] == "company"
    is_problem(house.ana("PATCH", f"/reps/{house.ana_rep.rep_id}", {"role": "admin"}), 403)
    is_problem(house.eve("PATCH", f"/reps/{house.eve_rep.rep_id}", {"role": "member"}), 422, "role")
    assert house.eve("DELETE", f"/reps/{made.json['id']}").status_code == 204
    house.world.mail(house.bo_rep, "alpha")
    is_problem(house.eve("DELETE", f"/reps/{house.bo_rep.rep_id}"), 422)
    assert house.eve("PATCH", f"/reps/{house.bo_rep.rep_id}", {"status": "suspended"}).status_code == 200
    is_problem(house.bo("GET", "/me"), 401)


def test_an_entered_address_is_asked_once_whether_it_is_the_rep_s_own(house, monkeypatch):
    monkeypatch.setattr(notices, "relay_configured", lambda settings: True)

    def asked() -> list[str]:
        return [address for (address,) in Notice.select(Notice.address).where(Notice.kind == "confirm-address").order_by(Notice.id).tuples()]

    path, alone = f"/reps/{house.bo_rep.rep_id}", {"addresses": [{"address": "Bo.Alt@b.example"}]}
    changed = house.eve("PATCH", path, alone)
    assert [(one["address"], one["verified"]) for one in changed.json["addresses"]] == [("bo@sales.example", True), ("bo.alt@b.example", False)]
    assert asked() == ["bo.alt@b.example"]
    assert house.eve("PATCH", path, alone).status_code == house.eve("PATCH", path, {"name": "Bo B"}).status_code == 200
    assert asked() == ["bo.alt@b.example"]
    notices.confirmed(house.bo_rep.rep_id, "bo.alt@b.example", house.world.now)
    again = house.eve("PATCH", path, {"addresses": [*alone["addresses"], {"address": "sure@b.example", "verified": True}]})
    assert [one["verified"] for one in again.json["addresses"]] == [True, True, True]
    made = house.eve("POST", "/reps", {"email": "di@sales.example", "addresses": [{"address": "di@home.example"}, {"address": "di@alias.example", "kind": "alias"}]})
    assert made.status_code == 201
    assert asked() == ["bo.alt@b.example", "di@home.example"]
    is_problem(house.eve("PATCH", path, {"name": "Other", "addresses": [{"address": "acme@drop.example"}]}), 422, "addresses")
    assert house.eve.get(path)["name"] == "Bo B"
    house.eve("PATCH", path, {"status": "suspended", "addresses": [{"address": "late@b.example"}]})
    assert asked() == ["bo.alt@b.example", "di@home.example"]


# --- the house ----------------------------------------------------------------------------------------------------


def test_settings_change_by_the_keys_that_are_given(house):
    before = house.eve.get("/settings")
    assert before["slug"] == "acme"
    assert before["policy"] == {"name": "single-open", "options": before["policy"]["options"]}
    changed = house.eve("PATCH", "/settings", {"message_limit": 1048576, "internal_domains": ["Sales.Example"]})
    assert changed.json == {**before, "message_limit": 1048576, "internal_domains": ["sales.example"]}
    pinned = house.eve("PATCH", "/settings", {"extra_signers": {"cust.example": ["mailer.example"]}})
    assert pinned.json["extra_signers"] == {"cust.example": ["mailer.example"]}
    changed = house.eve("PATCH", "/settings", {"extra_signers": {}})
    is_problem(house.ana("GET", "/settings"), 403)
    is_problem(house.ana("PATCH", "/settings", {"slug": "mine"}), 403)
    is_problem(house.eve("PATCH", "/settings", {"message_limit": 1}), 422, "message_limit")
    is_problem(house.eve("PATCH", "/settings", {"nonsense": 1}), 422, "nonsense")
    is_problem(house.eve("PATCH", "/settings", {"policy": {"name": "guess"}}), 422, "policy.name")
    is_problem(house.eve("PATCH", "/settings", {"policy": {"name": "recent-open", "options": {"numbr": 3}}}), 422, "policy.options.numbr")
    is_problem(house.eve("PATCH", "/settings", {"record_template": "deals@{domain}"}), 422, "record_template")
    for template in ("record_template", "bcc_template", "forward_template"):
        over = {template: "{mailbox}+{token}@{domain}"}
        assert "mailbox" in is_problem(house.eve("PATCH", "/settings", over), 422, template)["detail"]
        is_problem(house.eve("PATCH", "/settings", {**over, "mailbox": " "}), 422, template)
    is_problem(house.eve("PATCH", "/settings", {"internal_domains": ["sales.example", "no domain"]}), 422, "internal_domains")
    is_problem(house.eve("PATCH", "/settings", {"attachment_limit": 2097152, "slug": "not a slug"}), 422, "slug")
    assert house.eve.get("/settings") == changed.json


def test_a_new_slug_makes_new_addresses_and_the_old_ones_go_on_working(house):
    assert house.eve("PATCH", "/settings", {"slug": "newname"}).json["slug"] == "newname"
    rows = house.ana.get("/drop-addresses")["items"]
    living = {row["address"] for row in rows if row["retired_at"] is None}
    assert living == {"newname@drop.example", "newname-fwd@drop.example"}
    assert {row["address"] for row in rows if row["works_until"]} == {"acme@drop.example", "acme-fwd@drop.example"}


def test_the_never_log_list_is_kept_by_admins(house):
    made = house.eve("POST", "/never-log", {"pattern": "Spam.Example"})
    assert (made.status_code, made.json["pattern"]) == (201, "spam.example")
    assert house.eve("POST", "/never-log", {"pattern": "spam.example"}).json["id"] == made.json["id"]
    is_problem(house.ana("POST", "/never-log", {"pattern": "x.example"}), 403)
    for bad in ("", " ", "*", "*.*", "(a+)+$", "no at sign or dot", "a@b@c"):
        is_problem(house.eve("POST", "/never-log", {"pattern": bad}), 422, "pattern")
    assert house.eve("POST", "/never-log", {"pattern": "*@News.example"}).status_code == 201
    assert [row["pattern"] for row in house.ana.get("/never-log")["items"]] == ["*@news.example", "spam.example"]
    for typed, kept in (("*@Ünder.example", "*@xn--nder-zra.example"), ("*.bücher.example", "*.xn--bcher-kva.example"), ("news*@bücher.*", "news*@xn--bcher-kva.*")):
        assert house.eve("POST", "/never-log", {"pattern": typed}).json["pattern"] == kept
    assert not never_log.would_log("x@xn--nder-zra.example")
    for bad in ("*@bü*.example", "ü*@cust.example", "*@ü_.example", "*@\u212aust\u00fc-.example"):
        is_problem(house.eve("POST", "/never-log", {"pattern": bad}), 422, "pattern")
    assert house.eve("DELETE", f"/never-log/{made.json['id']}").status_code == 204
    is_problem(house.eve("DELETE", f"/never-log/{made.json['id']}"), 404)


def test_policies_and_plugins_are_listed(house):
    policies = {policy["name"]: policy for policy in house.ana.get("/policies")["items"]}
    assert {"single-open", "recent-open", "contact-only", "all-open"} <= set(policies)
    assert policies["single-open"]["chosen"]
    assert policies["single-open"]["exclusive"]
    assert all(plugin["enabled"] for plugin in house.eve.get("/plugins")["items"])
    is_problem(house.ana("GET", "/plugins"), 403)


def test_what_a_plugin_or_a_source_came_to_grief_over_is_told(house):
    made = house.eve("POST", "/sources", {"kind": "mailgun", "name": "grieving", "settings": {"secret": "key-123456789012345678901234567890"}}).json
    SourceInstance.update(last_error=Sentence(N_("It was not loaded: another plugin is named %(name)s. Rename one of them."), name="x")).where(SourceInstance.id == made["id"]).execute()
    assert house.eve("GET", f"/sources/{made['id']}").json["last_error"].startswith("It was not loaded: another plugin is named x.")
    plugin_states.failed("plugins.policies.single_open", "RuntimeError", house.app.extensions["dropcopy"].now())
    rows = {row["module"]: row for row in house.eve("GET", "/plugins").json["items"]}
    assert "RuntimeError" in rows["plugins.policies.single_open"]["last_error"]
    assert rows["plugins.policies.all_open"]["last_error"] == ""


def test_the_outbox_is_told_and_the_webhook_s_secret_is_shown_once(house):
    assert house.eve("GET", "/outbox").json == {"waiting": 0, "oldest": None, "trouble": "", "given_up": 0}
    first, second = (house.eve("POST", "/event-webhook/secret").json["secret"] for _ in range(2))
    assert first.startswith("whsec_")
    assert first != second
    assert second not in house.eve("GET", "/settings").text
    assert events.webhook_secret(house.app.extensions["dropcopy"].seal) == second


def test_a_blocked_domain_is_listed_until_it_is_taken_off(house):
    assert house.eve("POST", "/blocked-domains", {"domain": "Loud.Example."}).json["domain"] == "loud.example"
    assert [one["domain"] for one in house.eve("GET", "/blocked-domains").json["items"]] == ["loud.example"]
    assert house.eve("DELETE", "/blocked-domains/loud.example").status_code == 204
    assert house.eve("DELETE", "/blocked-domains/loud.example").status_code == 404
    assert house.eve("POST", "/blocked-domains", {"domain": "%"}).status_code == 422


def test_a_record_gets_a_new_address_and_the_old_one_is_told_no_more(house):
    made = house.eve("POST", "/deals", {"title": "Chairs"}).json
    changed = house.bo("POST", f"/deals/{made['id']}/address").json
    assert changed["bcc_address"] not in ("", made["bcc_address"])
    assert house.eve("GET", f"/deals/{made['id']}").json["bcc_address"] == changed["bcc_address"]
    assert house.bo("POST", "/deals/99999/address").status_code == 404


def test_a_webhook_source_carries_its_url_and_hides_its_secret(house):
    made = house.eve("POST", "/sources", {"kind": "mailgun", "name": "Mailgun", "settings": {"secret": "key-123456789012345678901234567890"}})
    assert made.status_code == 201, made.text
    assert "/in/mailgun-" in made.json["url"]
    assert "key-1234" not in made.text
    path = f"/sources/{made.json['id']}"
    assert house.eve("PATCH", path, {"enabled": False}).json["enabled"] is False
    is_problem(house.eve("PATCH", path, {"name": " "}), 422, "name")
    is_problem(house.eve("POST", f"{path}/poll"), 422)
    is_problem(house.eve("POST", "/sources", {"kind": "mailgun", "name": "Mailgun", "settings": {"secret": "key-123456789012345678901234567890"}}), 422, "name")
    is_problem(house.eve("POST", "/sources", {"kind": "pigeon", "name": "P"}), 422, "kind")
    is_problem(house.eve("POST", "/sources", {"kind": "imap", "name": "I", "settings": {"nonsense": 1}}), 422)
    is_problem(house.ana("GET", "/sources"), 403)
    assert house.eve("DELETE", path).status_code == 204
    is_problem(house.eve("GET", path), 404)


# --- live pages ---------------------------------------------------------------------------------------------------


def test_a_change_of_a_private_thread_is_told_to_nobody_else(house):
    mail = house.world.mail(house.ana_rep, "alpha")

    def numbers() -> dict[str, int]:
        return dict(Pulse.select(Pulse.name, Pulse.number).tuples())

    before = numbers()
    house.ana("POST", f"/threads/{mail.thread_id}/links", {"kind": "deal", "id": house.world.record("x")})
    after = numbers()
    assert after[f"rep:{house.ana_rep.rep_id}"] > before.get(f"rep:{house.ana_rep.rep_id}", 0)
    assert after.get(f"rep:{house.bo_rep.rep_id}", 0) == before.get(f"rep:{house.bo_rep.rep_id}", 0)
    assert after.get("company", 0) == before.get("company", 0)


def test_the_company_s_settings_reach_the_next_request(house):
    house.eve("PATCH", "/settings", {"grace_days": 7})
    assert company.company().grace_days == 7
