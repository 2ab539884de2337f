"""First-run set-up and `load`: all or nothing, idempotent, and every bad row named with its place."""

from __future__ import annotations

import copy
import datetime as dt
from typing import Any

import pytest

from core.errors import BadInput
from core.steps.attribute import attribute
from core.store import company as company_settings
from core.store import drops, lookups, reps
from core.store.fields import to_micros
from core.store.load import load
from core.store.models import (
    ApiToken,
    Contact,
    ContactAddress,
    DropAddress,
    NeverLog,
    Organisation,
    Record,
    RecordContact,
    RecordHistory,
    Rep,
    Setting,
    TeamAddress,
)
from core.store.setup import set_up
from tests.spine import NOW, Company, at_once
from tests.store.small_world import World

pytest_plugins = ["tests.spine"]

FILE: dict[str, Any] = {
    "reps": [
        {
            "external_id": "r1", "email": "Ana@Sales.Example", "name": "Ana", "role": "member", "password": "a long enough one", "default_sharing": "company",
            "addresses": [
                {"address": "ana@home.example", "kind": "alternative", "verified": True, "connected_at": "2026-01-02T03:04:05Z"},
                {"address": "ana@pending.example", "kind": "alternative"}, {"address": "sales@alias.example", "kind": "alias"},
            ],
        },
        {"external_id": "r2", "email": "sue@sales.example", "status": "suspended"},
    ],
    "team_addresses": [{"address": "team@sales.example", "connected_by": "r1"}],
    "organisations": [{"external_id": "o1", "name": "Cust Ltd", "domains": ["cust.example"]}],
    "contacts": [{"external_id": "c1", "name": "Bo", "addresses": ["bo@cust.example"], "organisation": "o1"}],
    "deals": [
        {"external_id": "d1", "title": "Ten chairs", "contacts": ["c1"], "organisation": "o1", "status": "open", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-02-01T00:00:00Z", "closed_at": None},
        {"external_id": "d2", "title": "Sofa", "contacts": ["c1"], "status": "won", "created_at": "2026-01-01T00:00:00Z", "closed_at": "2026-03-01T00:00:00Z"},
    ],
    "leads": [{"external_id": "l1", "title": "Lamps", "contacts": ["c1"], "status": "converted"}],
    "projects": [{"external_id": "p1", "title": "Loft", "status": "canceled"}],
    "never_log": ["spam.example", "X@Y.example"],
}  # fmt: skip
TABLES = (Rep, reps.SenderAddress, TeamAddress, Organisation, Contact, ContactAddress, Record, RecordContact, RecordHistory, NeverLog)


def rows() -> list[Any]:
    """Everything that load writes, without the moments of writing."""
    moving = {"created_at", "updated_at", "password_hash", "learned_at"}
    return [[{name: value for name, value in row.items() if name not in moving} for row in model.select().order_by(model.id if hasattr(model, "id") else 1).dicts()] for model in TABLES]


def given(world: World, **more: Any) -> dict[str, str]:
    options = {
        "company": "Acme", "slug": "acme", "mail_domain": "drop.example", "admin_email": "root@sales.example", "password": "correct horse battery",
        "policy": "single-open", "policies": ["single-open"], **more,
    }  # fmt: skip
    return set_up(**options, seal=world.seal, now=world.now)


# --- set-up -------------------------------------------------------------------------------------------------------


def test_the_addresses_of_a_fresh_company_work_at_once(any_store: World) -> None:
    answer = given(any_store)
    assert drops.find(answer["bcc_address"], any_store.seal, any_store.now).kind == "bcc"  # type: ignore[union-attr]
    assert drops.find(answer["forward_address"].upper(), any_store.seal, any_store.now).kind == "forward"  # type: ignore[union-attr]
    assert drops.find("other@drop.example", any_store.seal, any_store.now) is None
    assert Rep.get().role == "admin"


@pytest.mark.parametrize(
    "wrong",
    [
        {"company": ""}, {"slug": "-acme"}, {"slug": "ac me"}, {"mail_domain": "drop"}, {"mail_domain": "dro p.example"}, {"mail_domain": "a@b.example"}, {"admin_email": "root"},
        {"policy": "none"}, {"password": "x"}, {"company": "A" * 300},
    ],
)  # fmt: skip
def test_a_wrong_set_up_leaves_nothing_behind(any_store: World, wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput) as raised:
        given(any_store, **wrong)
    assert raised.value.where
    assert [model.select().count() for model in (Setting, Rep, DropAddress, ApiToken)] == [0, 0, 0, 0]


def test_two_set_ups_at_once_make_one_company(any_store: World) -> None:
    def one(number: int) -> str:
        try:
            return given(any_store, admin_email=f"root{number}@sales.example")["bcc_address"]
        except BadInput as error:
            return error.where

    assert sorted(at_once([lambda n=n: one(n) for n in range(4)])) == ["acme@drop.example", "setup", "setup", "setup"]
    assert Rep.select().count() == 1


def test_a_changed_slug_keeps_the_old_address_for_the_grace_period(any_store: World) -> None:
    given(any_store)
    drops.set_slug("newco", any_store.seal, any_store.now)
    company_settings.forget_cache()
    assert drops.universal() == ("newco@drop.example", "newco-fwd@drop.example")
    old = drops.find("acme@drop.example", any_store.seal, any_store.now)
    assert old is not None
    assert old.retired
    assert drops.find("acme@drop.example", any_store.seal, any_store.now + dt.timedelta(days=91)) is None
    drops.set_slug("acme", any_store.seal, any_store.now)
    company_settings.forget_cache()
    back = drops.find("acme@drop.example", any_store.seal, any_store.now + dt.timedelta(days=91))
    assert back is not None
    assert not back.retired


def test_a_new_domain_changes_the_address_of_each_record_and_keeps_the_old_one_for_the_grace_period(any_store: World) -> None:
    given(any_store)
    load(copy.deepcopy(FILE), NOW)
    drops.give_addresses(any_store.seal, any_store.now)
    seen, other = (row.id for row in Record.select().order_by(Record.id).limit(2))
    before = drops.record_addresses([seen, other], any_store.seal)
    assert set(before) == {seen, other}
    company_settings.change_company({"mail_domain": "mail.example"})
    changed = any_store.now + dt.timedelta(days=200)
    drops.enter_universal(any_store.seal, changed)
    after = drops.record_addresses([seen, other], any_store.seal)
    assert len({*after.values(), *before.values()}) == 4
    assert all(address.endswith("@mail.example") for address in after.values())
    assert drops.record_address(seen, any_store.seal, changed) == after[seen]
    drops.enter_universal(any_store.seal, changed)  # saved once more as it stands
    assert drops.record_addresses([seen, other], any_store.seal) == after
    for days, living in ((0, [*before.values(), *after.values()]), (89, [*before.values(), *after.values()]), (91, [*after.values()])):
        found = drops.among([*before.values(), *after.values()], any_store.seal, changed + dt.timedelta(days=days))
        assert [drop.address for drop in found] == living
    assert [drops.find(before[ident], any_store.seal, changed).record_id for ident in (seen, other)] == [seen, other]


def test_a_slip_in_the_domain_that_is_put_right_costs_no_record_its_address(any_store: World) -> None:
    given(any_store)
    load(copy.deepcopy(FILE), NOW)
    drops.give_addresses(any_store.seal, any_store.now)
    same, rotated = (row.id for row in Record.select().order_by(Record.id).limit(2))
    leaked = drops.record_address(rotated, any_store.seal, any_store.now)
    minutes = (any_store.now + dt.timedelta(minutes=number) for number in range(1, 9))
    drops.rotate(rotated, any_store.seal, next(minutes))
    before = drops.record_addresses([same, rotated], any_store.seal)
    for _twice in range(2):
        for domain in ("slip.example", "drop.example"):
            company_settings.change_company({"mail_domain": domain})
            drops.enter_universal(any_store.seal, next(minutes))
    assert drops.record_addresses([same, rotated], any_store.seal) == before
    assert leaked not in before.values()
    far = any_store.now + dt.timedelta(days=400)
    assert [drop.address for drop in drops.among([*before.values(), leaked], any_store.seal, far)] == [*before.values()]


def test_a_template_with_its_token_twice_gives_each_record_one_address_for_good(any_store: World) -> None:
    given(any_store)
    load(copy.deepcopy(FILE), NOW)
    company_settings.change_company({"record_template": "r-{token}-{token}@{domain}"})
    drops.enter_universal(any_store.seal, any_store.now)
    drops.give_addresses(any_store.seal, any_store.now)
    ident = Record.select().first().id
    before = drops.record_address(ident, any_store.seal, any_store.now)
    drops.enter_universal(any_store.seal, any_store.now + dt.timedelta(minutes=1))
    assert drops.record_address(ident, any_store.seal, any_store.now) == before


def test_a_stored_setting_that_cannot_be_meant_any_more_has_its_default_and_stops_nothing(any_store: World, caplog: pytest.LogCaptureFixture) -> None:
    given(any_store)
    Setting.insert(name="trusted_networks", value=["my own relay"]).execute()
    company_settings.forget_cache()
    assert (company_settings.company().trusted_networks, company_settings.company().slug) == ((), "acme")
    assert "trusted_networks" in caplog.text
    assert company_settings.change_company({"grace_days": 30}).grace_days == 30
    assert company_settings.change_company({"trusted_networks": ["10.0.0.0/8"]}).trusted_networks == ("10.0.0.0/8",)


# --- load ---------------------------------------------------------------------------------------------------------


def test_everything_of_a_file_is_entered(any_store: World) -> None:
    counts = load(copy.deepcopy(FILE), NOW)
    assert counts == {"reps": 2, "team_addresses": 1, "organisations": 1, "contacts": 1, "deals": 2, "leads": 1, "projects": 1, "never_log": 2}
    ana = Rep.get(Rep.external_id == "r1")
    assert (ana.email, ana.default_sharing) == ("ana@sales.example", "company")
    assert [fact.kind for fact in reps.sender_facts("ana@home.example")] == ["alternative"]
    assert reps.sender_facts("ana@home.example")[0].connected_at == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    assert reps.sender_facts("ana@pending.example") == []
    assert [fact.kind for fact in reps.sender_facts("sales@alias.example")] == ["alias"]
    assert [fact.kind for fact in reps.sender_facts("team@sales.example")] == ["team"]
    assert reps.sender_facts("sue@sales.example")[0].suspended
    lookups.forget_ours()
    contact = lookups.contacts_by_address(["bo@cust.example"])["bo@cust.example"]
    found = {record.external_id: record for record in lookups.records_of([contact.id], NOW)}
    assert {key: record.open for key, record in found.items()} == {"d1": True, "d2": False, "l1": False}
    before = {record.external_id: record.open for record in lookups.records_of([contact.id], dt.datetime(2026, 2, 1, tzinfo=dt.UTC))}
    assert before["d2"]  # it was open then
    assert {row.pattern for row in NeverLog.select()} == {"spam.example", "x@y.example"}


def test_loading_twice_changes_nothing(any_store: World) -> None:
    load(copy.deepcopy(FILE), NOW)
    first = rows()
    load(copy.deepcopy(FILE), NOW + dt.timedelta(days=1))
    assert rows() == first


def test_a_changed_row_is_changed_and_its_history_kept(any_store: World) -> None:
    load(copy.deepcopy(FILE), NOW)
    changed = copy.deepcopy(FILE)
    changed["deals"][0] |= {"status": "lost", "closed_at": "2026-11-25T00:00:00Z", "contacts": [], "title": "Twelve chairs"}
    load(changed, NOW + dt.timedelta(days=6))
    deal = Record.get(Record.external_id == "d1")
    assert (deal.title, deal.status) == ("Twelve chairs", "lost")
    contact = lookups.contacts_by_address(["bo@cust.example"])["bo@cust.example"]
    then = {record.external_id: record for record in lookups.records_of([contact.id], NOW)}
    assert then["d1"].open  # at the time of an earlier mail it was, and Bo stood on it


def test_what_a_file_leaves_out_stays_as_it_is(any_store: World) -> None:
    """A rep confirmed an address and switched linking off since; a mail moved the deal's last activity."""
    load(copy.deepcopy(FILE), NOW)
    later = NOW + dt.timedelta(days=3)
    Rep.update(auto_link=False).execute()
    reps.SenderAddress.update(verified_at=later, connected_at=later).where(reps.SenderAddress.address == "ana@pending.example").execute()
    Record.update(last_activity_at=later).where(Record.external_id == "d1").execute()
    load(copy.deepcopy(FILE), NOW + dt.timedelta(days=6))
    load({"deals": [{"external_id": "d2", "title": "Sofa bed"}], "contacts": [{"external_id": "c1"}]}, NOW + dt.timedelta(days=6))
    assert not Rep.get().auto_link
    assert reps.sender_facts("ana@pending.example")[0].connected_at == later
    assert Record.get(Record.external_id == "d1").last_activity_at == later
    sofa = Record.get(Record.external_id == "d2")
    assert (sofa.title, sofa.status, sofa.closed_at) == ("Sofa bed", "won", dt.datetime(2026, 3, 1, tzinfo=dt.UTC))
    assert [person.contact.name for person in sofa.people if person.removed_at is None] == ["Bo"]


def test_a_loaded_contact_without_a_name_goes_by_its_address(any_store: World) -> None:
    for given_name, known_as in (({}, "noname@nnn.example"), ({"name": "Nora"}, "Nora"), ({}, "Nora"), ({"name": ""}, "noname@nnn.example")):
        load({"contacts": [{"external_id": "n", "addresses": ["noname@nnn.example"], **given_name}]}, NOW)
        assert Contact.get(Contact.external_id == "n").name == known_as


def test_an_address_counts_as_its_kind_has_it_unless_the_file_says(any_store: World) -> None:
    kinds = ("connected", "account", "alias", "alternative")
    told = [{"address": f"{kind}@home.example", "kind": kind} for kind in kinds] + [{"address": "not-yet@home.example", "kind": "connected", "verified": False}]
    load({"reps": [{"external_id": "r1", "email": "ana@sales.example", "addresses": told}]}, NOW)
    counting = {row["address"]: [fact.kind for fact in reps.sender_facts(row["address"])] for row in told}
    assert counting == {**{f"{kind}@home.example": [kind] for kind in kinds[:3]}, "alternative@home.example": [], "not-yet@home.example": []}


def test_an_account_address_that_its_rep_connected_too_is_both(any_store: World) -> None:
    """Two have connected it; of one of them it is the account address, so it is theirs (F20)."""
    mine = {"address": "ana@sales.example", "kind": "connected", "connected_at": "2026-03-01T00:00:00Z"}
    longer = {**mine, "connected_at": "2026-01-01T00:00:00Z"}
    load({"reps": [{"external_id": "r1", "email": "ana@sales.example", "addresses": [mine]}, {"external_id": "r2", "email": "ben@sales.example", "addresses": [longer]}]}, NOW)
    found = attribute("ana@sales.example", reps.sender_facts("ana@sales.example"))
    assert (found.rep_email, found.rule) == ("ana@sales.example", "account-address")


def test_an_account_address_that_changed_is_the_rep_s_no_longer(any_store: World) -> None:
    load({"reps": [{"external_id": "r1", "email": "ana@sales.example"}]}, NOW)
    load({"reps": [{"external_id": "r1", "email": "ana.berg@sales.example"}]}, NOW)
    assert reps.sender_facts("ana@sales.example") == []
    assert {fact.kind for fact in reps.sender_facts("ana.berg@sales.example")} == {"account"}


@pytest.mark.parametrize(
    "change, where",
    [
        (lambda f: f["deals"][1].update(status="perhaps"), "deals[1].status"),
        (lambda f: f["deals"][1].update(contacts=["nobody"]), "deals[1].contacts[0]"),
        (lambda f: f["deals"][0].update(organisation="nobody"), "deals[0].organisation"),
        (lambda f: f["deals"][0].update(created_at="yesterday"), "deals[0].created_at"),
        (lambda f: f["deals"][0].update(created_at="2026-01-01T00:00:00"), "deals[0].created_at"),
        (lambda f: f["deals"][0].pop("title"), "deals[0].title"),
        (lambda f: f["leads"][0].update(status="won"), "leads[0].status"),
        (lambda f: f["projects"][0].update(price=3), "projects[0].price"),
        (lambda f: f["reps"][1].update(email="nobody"), "reps[1].email"),
        (lambda f: f["reps"][1].update(email="ana@sales.example"), "reps[1].email"),
        (lambda f: f["reps"][0].update(password="short"), "reps[0].password"),
        (lambda f: f["reps"][0]["addresses"][0].update(kind="secret"), "reps[0].addresses[0].kind"),
        (lambda f: f["team_addresses"][0].update(connected_by="nobody"), "team_addresses[0].connected_by"),
        (lambda f: f["contacts"][0].update(organisation="nobody"), "contacts[0].organisation"),
        (lambda f: f["contacts"].append({"external_id": "c2", "addresses": ["bo@cust.example"]}), "contacts[1].addresses[0]"),
        (lambda f: f["organisations"].append({"external_id": "o2", "name": "B", "domains": ["ok.example", "cust.example"]}), "organisations[1].domains[1]"),
        (lambda f: f["organisations"][0].update(domains=["-.."]), "organisations[0].domains[0]"),
        (lambda f: f["deals"][0].update(created_at="9999-12-31T23:59:59-23:00"), "deals[0].created_at"),
        (lambda f: f["deals"][0].update(title="a\0b"), "deals[0].title"),
        (lambda f: f["contacts"][0].update(name="n" * 1001), "contacts[0].name"),
        (lambda f: f["deals"].append({"external_id": "d1", "title": "Another"}), None),
        *((lambda f, word=word: f["never_log"].append(word), None) for word in (" ", "@", "x@", "nodot", "a b.example")),
        (lambda f: f.update(people=[]), "people"),
        (lambda f: f.update(reps={}), "reps"),
    ],
)
def test_a_bad_row_is_named_with_its_position_and_nothing_is_entered(any_store: World, change: Any, where: str | None) -> None:
    wrong = copy.deepcopy(FILE)
    change(wrong)
    if where is None:  # the last row of its list
        kind = next(name for name in ("never_log", "deals") if len(wrong[name]) > len(FILE[name]))
        where = f"{kind}[{len(FILE[kind])}]" + (".external_id" if kind == "deals" else "")
    with pytest.raises(BadInput) as raised:
        load(wrong, NOW)
    assert raised.value.where == where
    assert "\n" not in str(raised.value)
    assert [model.select().count() for model in TABLES] == [0] * len(TABLES)


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_what_is_no_object_is_refused_with_a_sentence(any_store: World, content: Any) -> None:
    with pytest.raises(BadInput, match="one JSON object"):
        load(content, NOW)


def test_two_loads_at_once_enter_everything_once(any_store: World) -> None:
    def one() -> str:
        try:
            load(copy.deepcopy(FILE), NOW)
        except BadInput as error:
            return error.where
        return ""

    at_once([one for _ in range(3)])
    load(copy.deepcopy(FILE), NOW)
    assert [Rep.select().count(), Contact.select().count(), Record.select().count()] == [2, 1, 4]


def test_a_loaded_address_counts_for_the_next_mail(company: Company) -> None:
    company.send(company.mail(sender="Ana <ana@sales.example>", to="New <new@spam.example>"))
    load({"never_log": ["spam.example"]}, company.at)
    company.fresh()
    company.work()
    assert company.ends() == ["ignored(never-log)"]


def test_a_moment_that_nobody_can_say_breaks_no_reader(any_store: World) -> None:
    """A row of an older time, or of another program."""
    load(copy.deepcopy(FILE), NOW)
    Record.update(created_at=to_micros(NOW) * 1000).where(Record.external_id == "d1").execute()
    assert Record.get(Record.external_id == "d1").created_at.year == 9999
