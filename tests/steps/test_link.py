"""What no policy may overrule: addresses of records, what a person unlinked, one record a thread, closed records."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import reasons
from core.steps.link import Considered, LinkPlan, PresentLink, case, fold
from core.types import Link, LinkCase, Organisation, Participant, Record, Skip
from tests.steps.world import BO, CY, NOW, day, record, takes_part


def asked(*records: Record, people: tuple[Participant, ...] = (takes_part(1, BO),)) -> LinkCase:
    return case(NOW, people, records, subject="Ten oak chairs")


def folded(*records: Record, answers: Iterable[Link | Skip] | None = (), exclusive: bool = True, **facts: Any) -> LinkPlan:
    people = facts.pop("people", (takes_part(1, BO),))
    return fold(asked(*records, people=people), answers, policy="some", exclusive=exclusive, **facts)


def linked(plan: LinkPlan) -> list[tuple[str, int, str]]:
    return [(link.kind, link.target_id, link.made_by) for link in plan.links if link.kind not in ("contact", "organisation")]


def said(plan: LinkPlan) -> dict[int, str]:
    return {item.record.id: item.reason for item in plan.considered}


def offered(plan: LinkPlan) -> set[int]:
    return {item.id for item in plan.candidates}


def yes(*records: Record) -> list[Link]:
    return [Link(item, "only-open") for item in records]


def no(*records: Record, offer: bool = True) -> list[Skip]:
    return [Skip(item, "several-open", offer=offer) for item in records]


class TestTheCase:
    def test_each_record_stands_once_and_the_last_active_first(self):
        old, new = record(1, created=-9), record(2, created=-20, last_activity_at=day(-1))
        assert [item.id for item in asked(old, new, old).records] == [2, 1]

    def test_a_case_is_bounded(self):
        assert len(asked(*(record(n) for n in range(300))).records) == 200

    def test_open_ones_are_not_crowded_out_by_closed_ones(self):
        won = [record(n, status="won", open=False, last_activity_at=day(-1)) for n in range(1, 211)]
        opened = [record(300, last_activity_at=day(-90)), record(301, last_activity_at=day(-80))]
        whole = asked(*won, *opened)
        assert [item.id for item in whole.eligible_records] == [301, 300]
        assert (len(whole.records), whole.more) == (200, 12)
        plan = fold(whole, no(*opened), policy="some", exclusive=True)
        assert plan.more == 162
        assert offered(plan) == {300, 301}

    def test_a_deal_and_a_lead_of_one_number_are_two(self):
        assert len(asked(record(1), record(1, kind="lead")).records) == 2


class TestPeople:
    def test_contacts_and_their_organisations_are_linked_under_any_policy(self):
        people = (takes_part(1, BO, organisation=5), takes_part(2, CY), Participant("di@third.example"))
        plan = folded(people=people, organisations={5: Organisation(5, "Cust Ltd")}, answers=None, auto=False)
        assert [(link.kind, link.target_id, link.reason) for link in plan.links] == [
            ("contact", 1, "thread-contact"),
            ("organisation", 5, "contact-organisation"),
            ("contact", 2, "thread-contact"),
        ]

    def test_colleagues_of_one_organisation_link_it_once(self):
        people = (takes_part(1, BO, organisation=5), takes_part(2, CY, organisation=5))
        plan = folded(people=people, organisations={5: Organisation(5, "Cust Ltd")})
        assert [link.kind for link in plan.links] == ["contact", "organisation", "contact"]

    def test_what_is_linked_or_was_unlinked_by_hand_is_not_linked_again(self):
        people = (takes_part(1, BO, organisation=5), takes_part(2, CY))
        plan = folded(
            people=people,
            organisations={5: Organisation(5, "Cust Ltd")},
            present=[PresentLink("contact", 1, "core")],
            removed={("organisation", 5), ("contact", 2)},
        )
        assert plan.links == ()


class TestPolicies:
    def test_a_chosen_record_is_linked_in_the_policys_name(self):
        plan = folded(record(1), answers=yes(record(1)))
        assert linked(plan) == [("deal", 1, "policy:some")]
        assert not plan.waiting
        assert said(plan) == {1: "only-open"}

    def test_records_that_a_policy_offers_make_the_thread_wait(self):
        plan = folded(record(1), record(2), answers=no(record(1), record(2)))
        assert linked(plan) == []
        assert plan.waiting
        assert offered(plan) == {1, 2}

    def test_records_that_it_does_not_offer_do_not(self):
        plan = folded(record(1), answers=no(record(1), offer=False))
        assert not plan.waiting
        assert plan.candidates == ()

    def test_a_contact_without_records_waits_for_nothing(self):
        plan = folded()
        assert not plan.waiting
        assert "no-candidates" in [entry.reason for entry in plan.trace]

    @pytest.mark.parametrize(
        "closed, reason",
        [
            (record(1, status="won", open=False), "not-open"),
            (record(1, status="deleted", open=False), "not-open"),
            (record(1, created=1), "created-after-thread"),
        ],
    )
    def test_closed_and_too_new_records_are_skipped_before_any_policy(self, closed, reason):
        plan = folded(closed, answers=yes(closed))
        assert linked(plan) == []
        assert said(plan) == {1: reason}
        assert not plan.waiting
        assert plan.candidates == ()

    def test_a_record_made_in_the_very_moment_of_the_mail_counts(self):
        assert linked(folded(record(1, created=0), answers=yes(record(1)))) == [("deal", 1, "policy:some")]

    def test_a_policy_cannot_link_what_it_was_not_given(self):
        plan = folded(record(1), answers=[*yes(record(99)), *no(record(1))])
        assert linked(plan) == []
        assert set(said(plan)) == {1}

    def test_a_policy_that_failed_links_nothing_and_offers_everything(self):
        plan = folded(record(1), record(2, open=False), answers=None)
        assert linked(plan) == []
        assert said(plan) == {1: "policy-unavailable", 2: "not-open"}
        assert plan.waiting
        assert offered(plan) == {1}

    def test_a_record_without_an_answer_is_explained_all_the_same(self):
        plan = folded(record(1), record(2), answers=yes(record(1)))
        assert said(plan)[2] == "not-chosen"

    def test_the_first_answer_about_a_record_counts(self):
        assert linked(folded(record(1), answers=[*no(record(1)), *yes(record(1))])) == []

    def test_automatic_linking_may_be_off(self):
        plan = folded(record(1), answers=yes(record(1)), auto=False, rep="Ana")
        assert linked(plan) == []
        assert said(plan) == {1: "automatic-linking-off"}
        assert not plan.waiting
        assert plan.considered[0].params == {"rep": "Ana"}

    def test_an_unreadable_forward_waits_whatever_the_policy_says(self):
        assert folded(waits="forward-unreadable").waiting
        assert folded(record(1), waits="forward-unreadable", present=[PresentLink("deal", 1, "policy:some")]).waiting
        assert folded(record(1), waits="forward-unreadable", by_address=[record(1)]).waiting


class TestByHand:
    def test_what_a_person_unlinked_no_policy_brings_back(self):
        plan = folded(record(1), answers=yes(record(1)), removed={("deal", 1)})
        assert linked(plan) == []
        assert said(plan) == {1: "unlinked-by-hand"}
        assert not plan.waiting

    def test_nor_does_an_address_or_a_replay(self):
        plan = folded(record(1), by_address=[record(1)], removed={("deal", 1)})
        assert linked(plan) == []
        assert said(plan) == {1: "unlinked-by-hand"}

    def test_a_lead_of_the_same_number_is_another_record(self):
        assert linked(folded(record(1), answers=yes(record(1)), removed={("lead", 1)})) == [("deal", 1, "policy:some")]


class TestOneRecord:
    def test_a_thread_that_holds_a_record_gets_no_second_one(self):
        plan = folded(record(1), answers=yes(record(1)), present=[PresentLink("lead", 9, "rep:ana@sales.example")])
        assert linked(plan) == []
        assert said(plan) == {1: "thread-has-record"}
        assert not plan.waiting

    def test_the_record_that_it_holds_is_not_added_again(self):
        plan = folded(record(1), answers=yes(record(1)), present=[PresentLink("deal", 1, "policy:some")])
        assert linked(plan) == []
        assert plan.considered == (Considered(record(1), True, "only-open"),)

    def test_a_contact_in_the_thread_is_no_record(self):
        plan = folded(record(1), answers=yes(record(1)), present=[PresentLink("contact", 1, "core")])
        assert linked(plan) == [("deal", 1, "policy:some")]

    def test_a_policy_that_chooses_two_gets_none_and_both_are_offered(self):
        plan = folded(record(1), record(2), answers=yes(record(1), record(2)))
        assert linked(plan) == []
        assert plan.waiting
        assert offered(plan) == {1, 2}
        assert set(said(plan).values()) == {"policy-several"}

    def test_a_many_record_policy_links_them_all_beside_what_is_there(self):
        plan = folded(
            record(1),
            record(2),
            answers=yes(record(1), record(2)),
            exclusive=False,
            present=[PresentLink("deal", 3, "rep:ana@sales.example")],
        )
        assert {target for _, target, _ in linked(plan)} == {1, 2}

    def test_switching_the_policy_removes_nothing(self):
        held = [PresentLink("deal", 1, "policy:all-open"), PresentLink("deal", 2, "policy:all-open")]
        plan = folded(record(1), record(2), record(3), answers=no(record(1), record(2), record(3)), present=held)
        assert (linked(plan), plan.withdraw, plan.waiting) == ([], (), False)


class TestByAddress:
    """F6: mail to a record's own address."""

    def test_it_is_filed_on_the_record_also_on_a_closed_one(self):
        shut = record(1, open=False, status="won")
        plan = folded(shut, by_address=[shut], answers=[])
        assert linked(plan) == [("deal", 1, "address")]
        assert said(plan) == {1: "by-address"}

    def test_it_needs_no_contact_of_the_record(self):
        assert linked(folded(by_address=[record(1)])) == [("deal", 1, "address")]

    def test_it_works_with_automatic_linking_off_and_a_broken_policy(self):
        assert linked(folded(by_address=[record(1)], auto=False)) == [("deal", 1, "address")]
        assert linked(folded(by_address=[record(1)], answers=None)) == [("deal", 1, "address")]

    def test_it_comes_before_the_policy(self):
        plan = folded(record(2), by_address=[record(1)], answers=yes(record(2)))
        assert linked(plan) == [("deal", 1, "address")]
        assert said(plan) == {1: "by-address", 2: "thread-has-record"}
        assert not plan.waiting

    def test_several_addresses_under_a_one_record_policy_wait_for_a_choice(self):
        plan = folded(record(3), by_address=[record(1), record(2)], answers=yes(record(3)))
        assert linked(plan) == []
        assert plan.waiting
        assert plan.candidates[:2] == (record(1), record(2))
        assert said(plan)[1] == said(plan)[2] == "several-addresses"

    def test_several_addresses_under_a_many_record_policy_link_each(self):
        plan = folded(by_address=[record(1), record(2, kind="lead")], exclusive=False)
        assert linked(plan) == [("deal", 1, "address"), ("lead", 2, "address")]

    def test_one_address_twice_is_one(self):
        assert linked(folded(by_address=[record(1), record(1)])) == [("deal", 1, "address")]

    def test_another_records_address_in_a_thread_that_holds_one_asks_the_person(self):
        plan = folded(by_address=[record(1)], present=[PresentLink("deal", 9, "rep:ana@sales.example")])
        assert (linked(plan), plan.withdraw) == ([], ())
        assert said(plan) == {1: "thread-has-record"}
        assert offered(plan) == {1}
        assert plan.waiting

    @pytest.mark.parametrize("exclusive", [True, False])
    @pytest.mark.parametrize("order", list(permutations([(), (1,), (2,)])))
    def test_copies_of_one_mail_give_the_same_links_in_any_order(self, exclusive, order):
        """Each copy named other addresses; linking runs again over the union, as the pipeline does for a duplicate."""
        records = (record(1), record(2), record(3))
        chosen = yes(record(3))
        live: dict[tuple[str, int], PresentLink] = {}
        union: list[Record] = []
        for copy in order:
            union += [records[number - 1] for number in copy]
            plan = folded(*records, answers=chosen, by_address=union, exclusive=exclusive, present=list(live.values()))
            for gone in plan.withdraw:
                del live[gone.kind, gone.target_id]
            for kind, target, made_by in linked(plan):
                live[kind, target] = PresentLink(kind, target, made_by, by_this_mail=True)  # type: ignore[arg-type]
        at_once = folded(*records, answers=chosen, by_address=[record(1), record(2)], exclusive=exclusive)
        assert set(live) == {(kind, target) for kind, target, _ in linked(at_once)}
        assert plan.waiting is at_once.waiting is exclusive

    def test_an_address_in_a_later_copy_takes_the_place_of_what_the_policy_chose(self):
        chosen = [PresentLink("deal", 3, "policy:some", by_this_mail=True)]
        plan = folded(record(3), answers=yes(record(3)), by_address=[record(1)], present=chosen)
        assert plan.withdraw == tuple(chosen)
        assert linked(plan) == [("deal", 1, "address")]

    def test_what_the_policy_chose_for_an_earlier_mail_stays_and_the_person_is_asked(self):
        plan = folded(by_address=[record(1)], present=[PresentLink("deal", 3, "policy:some")])
        assert (plan.withdraw, linked(plan), plan.waiting) == ((), [], True)

    def test_an_address_that_a_person_unlinked_leaves_the_other_one(self):
        plan = folded(by_address=[record(1), record(2)], removed={("deal", 1)})
        assert linked(plan) == [("deal", 2, "address")]

    def test_what_a_person_linked_is_never_withdrawn(self):
        held = [PresentLink("deal", 1, "rep:ana@sales.example")]
        plan = folded(by_address=[record(1), record(2)], present=held)
        assert plan.withdraw == ()
        assert said(plan) == {1: "several-addresses", 2: "several-addresses"}
        assert not plan.waiting


class TestWhatIsSaid:
    def test_at_most_fifty_are_listed_and_the_rest_is_counted(self):
        crowd = [record(n) for n in range(1, 81)]
        plan = folded(*crowd, answers=no(*crowd))
        assert len(plan.considered) == 50
        assert plan.more == 30
        assert len(plan.candidates) == 50
        assert plan.trace[-1].reason == "more-candidates"

    def test_linked_records_stand_first_then_offered_ones(self):
        plan = folded(record(1, open=False), record(2), record(3), answers=[*no(record(2)), *yes(record(3))], exclusive=False)
        assert [item.record.id for item in plan.considered] == [3, 2, 1]

    def test_every_reason_has_its_sentence(self):
        plans = [
            folded(record(1), answers=None),
            folded(record(1), answers=[], auto=False, rep="Ana"),
            folded(record(1), record(2), answers=yes(record(1), record(2))),
            folded(record(1), record(2), answers=yes(record(1)), by_address=[record(3)]),
            folded(record(1, open=False), record(2, created=3), people=(takes_part(1, BO, organisation=5),)),
            folded(record(1), by_address=[record(4), record(5)]),
        ]
        for entry in (entry for plan in plans for entry in plan.trace):
            assert entry.reason in reasons.REASONS
            assert "…" not in reasons.sentence(entry.reason, entry.params)


KINDS = st.sampled_from(["deal", "lead", "project"])
RECORDS = st.lists(
    st.builds(lambda number, kind, is_open, created: record(number, kind=kind, open=is_open, created=created),
              st.integers(1, 5), KINDS, st.booleans(), st.sampled_from([-5, 0, 3])),
    max_size=6,
)  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(RECORDS, st.data(), st.booleans(), st.booleans())
def test_whatever_a_policy_says_the_rules_of_the_house_hold(records, data, exclusive, auto):
    subset = st.lists(st.sampled_from(records), max_size=4) if records else st.just([])
    answers = [Link(item, "only-open") if data.draw(st.booleans()) else Skip(item, "several-open") for item in data.draw(subset)]
    by_address = data.draw(subset)
    removed = {(item.kind, item.id) for item in data.draw(subset)}
    present = [
        PresentLink(item.kind, item.id, "rep:ana@sales.example") for item in {(r.kind, r.id): r for r in data.draw(subset)}.values()
    ][:1]
    plan = folded(
        *records, answers=answers, exclusive=exclusive, auto=auto, by_address=by_address, removed=removed, present=present
    )
    eligible = {(item.kind, item.id) for item in asked(*records).eligible_records}
    made = {(kind, target): made_by for kind, target, made_by in linked(plan)}
    assert not made.keys() & removed
    assert not made.keys() & {(link.kind, link.target_id) for link in present}
    assert all(made_by == "address" or key in eligible for key, made_by in made.items())
    assert not exclusive or len(made) + len(present) <= 1
    assert {(item.record.kind, item.record.id) for item in plan.considered} >= {(item.kind, item.id) for item in records}
    asked_for_another = exclusive and present and by_address
    assert not (plan.waiting and (made or present) and not asked_for_another)
    assert not plan.waiting or plan.candidates
