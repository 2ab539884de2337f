"""What every linking policy must do, whatever it chooses: the cases that a plugin's author runs, too.

from tests.policies.cases import PolicyCases

@pytest.fixture
def policy():
    return my_plugin.register_link_policies()[0]

class TestMine(PolicyCases):
    pass
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import reasons
from core.steps.link import case as make_case
from core.types import Link, LinkCase, LinkPolicy, Participant, Record, Skip
from tests.steps.world import NOW, contact, record

PEOPLE = [Participant(f"p{number}@cust{number}.example", contact=contact(number)) for number in range(1, 5)]
STRANGER = Participant("new@third.example", "New")

people = st.lists(st.sampled_from([*PEOPLE, STRANGER]), unique=True, max_size=5)
one_record = st.builds(
    record,
    st.integers(1, 12),
    *[st.integers(1, 6)] * 2,
    kind=st.sampled_from(["deal", "lead", "project"]),
    created=st.sampled_from([-90.0, -3.0, -1.0, 0.0, 2.0]),
    open=st.booleans(),
    updated_at=st.none() | st.just(NOW),
    last_activity_at=st.none() | st.just(NOW),
)


def defaults(policy: LinkPolicy) -> dict[str, Any]:
    """A policy's options as the pipeline gives them: completed by its model, plain JSON values."""
    return policy.options().model_dump(mode="json") if policy.options else {}


@st.composite
def link_cases(draw: st.DrawFn) -> LinkCase:
    return make_case(NOW, draw(people), draw(st.lists(one_record, max_size=12)), subject="Ten oak chairs")


def answered(policy: LinkPolicy, case: LinkCase) -> list[Link | Skip]:
    given_case = make_case(case.started_at, case.participants, case.records, options=defaults(policy), subject=case.subject)
    return list(policy.decide(given_case))


def keys(answers: list[Link | Skip]) -> list[tuple[str, int]]:
    return [(answer.record.kind, answer.record.id) for answer in answers]


# A function-scoped fixture gives the same policy to every example, which is what these cases want.
bounded = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


class PolicyCases:
    """Inherit in a test class beside a fixture `policy`."""

    @bounded
    @given(case=link_cases())
    def test_every_eligible_record_is_answered_once_and_no_other(self, policy: LinkPolicy, case: LinkCase) -> None:
        answers = keys(answered(policy, case))
        assert sorted(answers) == sorted((item.kind, item.id) for item in case.eligible_records)

    @bounded
    @given(case=link_cases())
    def test_closed_and_too_new_records_are_never_linked(self, policy: LinkPolicy, case: LinkCase) -> None:
        for answer in answered(policy, case):
            assert not answer.linked or (answer.record.open and answer.record.created_at <= case.started_at)

    @bounded
    @given(case=link_cases())
    def test_an_exclusive_policy_links_one_record_at_most(self, policy: LinkPolicy, case: LinkCase) -> None:
        links = [answer for answer in answered(policy, case) if answer.linked]
        assert not policy.exclusive or len(links) <= 1

    @bounded
    @given(case=link_cases())
    def test_every_answer_is_explained_by_a_whole_sentence(self, policy: LinkPolicy, case: LinkCase) -> None:
        for answer in answered(policy, case):
            assert answer.reason in reasons.REASONS, f"{answer.reason} is not entered in core.reasons"
            assert "…" not in reasons.sentence(answer.reason, answer.params)
            assert all(isinstance(value, str) for value in answer.params.values())

    @bounded
    @given(case=link_cases())
    def test_it_is_pure(self, policy: LinkPolicy, case: LinkCase) -> None:
        before = copy.deepcopy(case)
        first = answered(policy, case)
        answered(policy, make_case(NOW, [STRANGER], [record(99)]))
        assert answered(policy, case) == first
        assert case == before

    @bounded
    @given(case=link_cases(), random=st.randoms())
    def test_the_order_of_the_people_decides_nothing(self, policy: LinkPolicy, case: LinkCase, random: Any) -> None:
        shuffled = list(case.participants)
        random.shuffle(shuffled)
        other = make_case(NOW, shuffled, case.records, subject=case.subject)
        assert {k for k, a in zip(keys(answered(policy, case)), answered(policy, case), strict=True) if a.linked} == {
            k for k, a in zip(keys(answered(policy, other)), answered(policy, other), strict=True) if a.linked
        }

    @bounded
    @given(case=link_cases())
    def test_the_case_may_come_from_another_process(self, policy: LinkPolicy, case: LinkCase) -> None:
        travelled = msgspec.json.decode(msgspec.json.encode(case), type=LinkCase)
        assert keys(answered(policy, travelled)) == keys(answered(policy, case))

    def test_nothing_is_answered_about_a_case_without_records(self, policy: LinkPolicy) -> None:
        assert answered(policy, make_case(NOW, PEOPLE, [])) == []

    def test_two_hundred_records_are_answered(self, policy: LinkPolicy) -> None:
        crowd = make_case(NOW, PEOPLE, [record(number, 1, 2) for number in range(1, 201)])
        assert len(answered(policy, crowd)) == 200

    def test_it_says_its_name_and_its_title(self, policy: LinkPolicy) -> None:
        assert policy.name == policy.name.lower().strip()
        assert " " not in policy.name
        assert policy.title
        assert policy.version

    def test_its_options_have_defaults_and_can_be_drawn_as_a_form(self, policy: LinkPolicy) -> None:
        if policy.options is None:
            return
        assert answered(policy, make_case(NOW, PEOPLE, [record(1)])), "the defaults must do"
        for name, field in policy.options.model_fields.items():
            assert field.title, f"the option {name} has no title"
            assert field.description, f"the option {name} has no description"

    def test_a_case_without_options_means_the_defaults(self, policy: LinkPolicy) -> None:
        records: list[Record] = [record(1), record(2, 2), record(3, kind="lead")]
        bare = list(policy.decide(make_case(NOW, PEOPLE, records)))
        assert bare == answered(policy, make_case(NOW, PEOPLE, records))

    def test_wrong_options_are_refused_by_the_model(self, policy: LinkPolicy) -> None:
        if policy.options is None:
            return
        for name in policy.options.model_fields:
            with pytest.raises(ValueError):
                policy.options.model_validate({name: object()})
