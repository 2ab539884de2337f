"""Every policy that ships passes the shared policy cases, and the one that the plugin guide shows does as well."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import plugins.policies
from core.hookspecs import hookimpl
from core.types import Link, LinkCase, LinkPolicy, Skip
from tests.policies.cases import PolicyCases
from tests.steps import world

MODULES = [importlib.import_module(f"plugins.policies.{info.name}") for info in pkgutil.iter_modules(plugins.policies.__path__)]
SHIPPED = [policy for module in MODULES for policy in module.register_link_policies()]


def decide(case):
    for record in case.eligible_records:
        only = len(case.eligible_records) == 1
        yield Link(record, reason="only-open") if only else Skip(record, reason="several-open")


@hookimpl
def register_link_policies():
    return [LinkPolicy("single-open", "Only when it is unambiguous", decide, exclusive=True)]


@pytest.fixture(params=[*SHIPPED, *register_link_policies()], ids=lambda policy: f"{policy.name}, {policy.title}")
def policy(request: pytest.FixtureRequest) -> LinkPolicy:
    return request.param


class TestShipped(PolicyCases):
    pass


def test_four_policies_ship_and_only_the_single_one_is_exclusive():
    assert {policy.name: policy.exclusive for policy in SHIPPED} == {
        "single-open": True,
        "recent-open": False,
        "contact-only": False,
        "all-open": False,
    }


def test_every_policy_explains_itself():
    assert all(module.__doc__ and len(module.__doc__) > 100 for module in MODULES)


def test_a_policy_is_tested_without_a_database():
    assert [answer.record.id for answer in decide(LinkCase(world.NOW, records=(world.record(1),))) if answer.linked] == [1]


def test_the_cases_catch_a_policy_that_links_what_it_was_not_asked_about():
    def careless(case: LinkCase) -> Iterator[Link]:
        for item in case.records:
            yield Link(item, reason="only-open")

    faulty = LinkPolicy("careless", "Everything", careless)
    with pytest.raises(AssertionError):
        PolicyCases().test_closed_and_too_new_records_are_never_linked(faulty)
