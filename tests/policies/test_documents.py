"""F37 to F44, case by case, as the products' own documents would be read: the answer is the thread's, not the policy's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from core.steps.link import LinkPlan, PresentLink, case, fold
from core.types import LinkPolicy, Organisation, Participant, Record
from plugins.policies import all_open, contact_only, recent_open, single_open
from tests.steps.world import BO, CY, NOW, day, record, takes_part

DI = "di@third.example"
SINGLE, RECENT, NONE, ALL = (
    module.register_link_policies()[0] for module in (single_open, recent_open, contact_only, all_open)
)  # fmt: skip
BO_ALONE = (takes_part(1, BO),)
TWO = (takes_part(1, BO), takes_part(2, CY))
THREE = (takes_part(1, BO), takes_part(2, CY), takes_part(3, DI))


def filed(
    policy: LinkPolicy,
    people: tuple[Participant, ...],
    records: Iterable[Record],
    options: dict[str, Any] | None = None,
    **facts: Any,
) -> LinkPlan:
    complete = policy.options.model_validate(options or {}).model_dump(mode="json") if policy.options else {}
    asked = case(NOW, people, tuple(records), options=complete)
    return fold(asked, policy.decide(asked), policy=policy.name, exclusive=policy.exclusive, **facts)


def linked(plan: LinkPlan) -> set[str]:
    return {f"{link.kind} {link.target_id}" for link in plan.links if link.kind not in ("contact", "organisation")}


def reasons(plan: LinkPlan) -> dict[str, str]:
    return {f"{item.record.kind} {item.record.id}": item.reason for item in plan.considered}


# name: (people, records, linked, reasons, waits for a choice)
SINGLE_OPEN: dict[str, tuple[Any, ...]] = {
    # F38
    "one open deal": (BO_ALONE, [record(1)], {"deal 1"}, {"deal 1": "only-open"}, False),
    "one open lead": (BO_ALONE, [record(1, kind="lead")], {"lead 1"}, {"lead 1": "only-open"}, False),
    "one open project": (BO_ALONE, [record(1, kind="project")], {"project 1"}, {"project 1": "only-open"}, False),
    "no record at all": (BO_ALONE, [], set(), {}, False),
    "two open deals": (BO_ALONE, [record(1), record(2)], set(), {"deal 1": "several-open", "deal 2": "several-open"}, True),
    "a deal and a lead are counted together": (
        BO_ALONE,
        [record(1), record(2, kind="lead")],
        set(),
        {"deal 1": "several-open", "lead 2": "several-open"},
        True,
    ),
    # F39
    "one open beside a won, a lost and a deleted one": (
        BO_ALONE,
        [record(1), *(record(n, open=False, status=s) for n, s in ((2, "won"), (3, "lost"), (4, "deleted")))],
        {"deal 1"},
        {"deal 1": "only-open", "deal 2": "not-open", "deal 3": "not-open", "deal 4": "not-open"},
        False,
    ),
    "only closed ones": (BO_ALONE, [record(1, open=False, status="won")], set(), {"deal 1": "not-open"}, False),
    "an archived lead": (BO_ALONE, [record(1, kind="lead", open=False, status="archived")], set(), {"lead 1": "not-open"}, False),
    # F40
    "three recipients, none has an open record": (THREE, [record(1, 2, open=False)], set(), {"deal 1": "not-open"}, False),
    "three recipients, exactly one has an open record": (
        THREE,
        [record(1, 2)],
        {"deal 1"},
        {"deal 1": "only-recipient-open"},
        False,
    ),
    "three recipients, two have different ones": (
        THREE,
        [record(1, 1), record(2, 3)],
        set(),
        {"deal 1": "several-open", "deal 2": "several-open"},
        True,
    ),
    "three recipients, two share one record": (THREE, [record(1, 1, 3)], {"deal 1"}, {"deal 1": "only-recipient-open"}, False),
    "three recipients, one has two": (
        THREE,
        [record(1, 2), record(2, 2)],
        set(),
        {"deal 1": "several-open", "deal 2": "several-open"},
        True,
    ),
    "three recipients, one has an open and one a closed record": (
        THREE,
        [record(1, 1), record(2, 3, open=False)],
        {"deal 1"},
        {"deal 1": "only-recipient-open", "deal 2": "not-open"},
        False,
    ),
    "two recipients, one has one": (TWO, [record(1, 1)], {"deal 1"}, {"deal 1": "only-recipient-open"}, False),
    "a recipient nobody knows changes nothing": (
        (*BO_ALONE, Participant(DI)),
        [record(1)],
        {"deal 1"},
        {"deal 1": "only-recipient-open"},
        False,
    ),
    # F41
    "a record made after the thread began": (BO_ALONE, [record(1, created=1)], set(), {"deal 1": "created-after-thread"}, False),
    "a younger record does not make an older one ambiguous": (
        BO_ALONE,
        [record(1), record(2, created=1)],
        {"deal 1"},
        {"deal 1": "only-open", "deal 2": "created-after-thread"},
        False,
    ),
}


@pytest.mark.parametrize("people, records, wanted, why, waits", SINGLE_OPEN.values(), ids=SINGLE_OPEN)
def test_single_open(people, records, wanted, why, waits):
    plan = filed(SINGLE, people, records)
    assert linked(plan) == wanted
    assert reasons(plan) == why
    assert plan.waiting is waits
    assert {f"{item.kind} {item.id}" for item in plan.candidates} == (set(why) if waits else set())


def test_f37_contacts_and_their_organisations_are_linked_under_every_policy():
    people = (takes_part(1, BO, organisation=5), takes_part(2, CY))
    for policy in (SINGLE, RECENT, NONE, ALL):
        plan = filed(policy, people, [record(1), record(2)], organisations={5: Organisation(5, "Cust Ltd")})
        assert {(link.kind, link.target_id) for link in plan.links} >= {("contact", 1), ("organisation", 5), ("contact", 2)}


class TestF38PerKind:
    OPTION = {"count": "per-kind"}  # noqa: RUF012

    @pytest.mark.parametrize(
        "records, wanted, waits",
        [
            ([record(1), record(2, kind="lead"), record(3, kind="lead")], {"deal 1"}, False),
            ([record(1), record(2), record(3, kind="lead")], {"lead 3"}, False),
            ([record(1), record(2, kind="lead")], set(), True),
            ([record(1), record(2)], set(), True),
            ([record(1)], {"deal 1"}, False),
        ],
        ids=[
            "one deal beside two leads",
            "one lead beside two deals",
            "one of each: a thread holds only one",
            "two deals",
            "one deal",
        ],
    )
    def test_each_kind_is_counted_by_itself(self, records, wanted, waits):
        plan = filed(SINGLE, BO_ALONE, records, self.OPTION)
        assert linked(plan) == wanted
        assert plan.waiting is waits


class TestF42OneRecord:
    HELD = (PresentLink("deal", 9, "rep:ana@sales.example"),)

    def test_a_thread_that_holds_a_record_keeps_it(self):
        plan = filed(SINGLE, BO_ALONE, [record(1)], present=self.HELD)
        assert linked(plan) == set()
        assert reasons(plan) == {"deal 1": "thread-has-record"}

    @pytest.mark.parametrize("policy", [SINGLE, RECENT, NONE, ALL])
    def test_switching_the_policy_removes_nothing(self, policy):
        assert filed(policy, BO_ALONE, [record(1)], present=self.HELD).withdraw == ()


class TestF43RecentDeals:
    DEALS = tuple(record(number, 1, created=-number, updated_at=day(number - 20)) for number in range(1, 9))

    def test_the_five_most_recent_open_deals_of_the_contact(self):
        plan = filed(RECENT, BO_ALONE, self.DEALS)
        assert linked(plan) == {f"deal {number}" for number in (1, 2, 3, 4, 5)}
        assert reasons(plan)["deal 6"] == "not-recent"
        assert not plan.waiting

    def test_of_each_contact(self):
        theirs = tuple(record(number, 2, created=-number) for number in range(11, 18))
        plan = filed(RECENT, TWO, (*self.DEALS, *theirs))
        assert linked(plan) == {f"deal {number}" for number in (1, 2, 3, 4, 5, 11, 12, 13, 14, 15)}

    def test_a_deal_beyond_the_fifth_of_one_contact_may_be_recent_for_another(self):
        shared = record(8, 1, 2, created=-8)
        assert "deal 8" in linked(filed(RECENT, TWO, (*self.DEALS[:7], shared)))

    def test_closed_deals_do_not_use_up_a_place(self):
        closed = tuple(record(number, 1, created=-0.5, open=False) for number in range(20, 26))
        assert len(linked(filed(RECENT, BO_ALONE, (*self.DEALS, *closed)))) == 5

    def test_nor_do_deals_younger_than_the_thread(self):
        young = tuple(record(number, 1, created=1) for number in range(20, 26))
        assert linked(filed(RECENT, BO_ALONE, (*self.DEALS, *young))) == {f"deal {number}" for number in (1, 2, 3, 4, 5)}

    def test_leads_and_projects_are_left_out_and_nobody_is_asked_about_them(self):
        plan = filed(RECENT, BO_ALONE, [record(1, kind="lead"), record(2, kind="project")])
        assert linked(plan) == set()
        assert set(reasons(plan).values()) == {"kind-not-linked"}
        assert not plan.waiting

    @pytest.mark.parametrize(
        "options, wanted",
        [
            ({"number": 2}, {1, 2}),
            ({"number": 2, "by": "updated"}, {8, 7}),
            ({"number": 1, "by": "activity"}, {3}),
            ({"number": 50}, set(range(1, 9))),
        ],
    )
    def test_the_number_and_what_recent_means_are_options(self, options, wanted):
        active = [item if item.id != 3 else replace(item, last_activity_at=day(-0.1)) for item in self.DEALS]
        assert linked(filed(RECENT, BO_ALONE, active, options)) == {f"deal {number}" for number in wanted}

    def test_other_kinds_may_be_taken_in(self):
        records = [record(1), record(2, kind="lead")]
        assert linked(filed(RECENT, BO_ALONE, records, {"kinds": ["deal", "lead"]})) == {"deal 1", "lead 2"}

    def test_of_deals_made_at_one_moment_the_last_entered_comes_first(self):
        twins = [record(number, 1) for number in range(1, 8)]
        assert linked(filed(RECENT, BO_ALONE, twins)) == {f"deal {number}" for number in (3, 4, 5, 6, 7)}


class TestF44:
    def test_contact_only_links_no_record_and_asks_nobody(self):
        plan = filed(NONE, BO_ALONE, [record(1), record(2)])
        assert linked(plan) == set()
        assert set(reasons(plan).values()) == {"contacts-only"}
        assert not plan.waiting

    def test_contact_only_still_files_by_the_address_of_a_record(self):
        assert linked(filed(NONE, BO_ALONE, [record(1)], by_address=[record(1)])) == {"deal 1"}

    def test_all_open_links_every_open_record_of_everybody(self):
        records = [
            record(1, 1),
            record(2, 2, kind="lead"),
            record(3, 3, kind="project"),
            record(4, 1, open=False),
            record(5, 1, created=1),
        ]
        plan = filed(ALL, THREE, records)
        assert linked(plan) == {"deal 1", "lead 2", "project 3"}
        assert reasons(plan)["deal 4"] == "not-open"

    def test_all_open_may_be_narrowed_to_kinds(self):
        plan = filed(ALL, BO_ALONE, [record(1), record(2, kind="lead")], {"kinds": ["lead"]})
        assert linked(plan) == {"lead 2"}
