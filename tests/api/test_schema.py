"""The OpenAPI document is true: random requests made from it get answers that fit it, and never a fault."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from core.store.models import Throttle
from tests.api.house import OPERATIONS, House, opened
from tests.api.test_matrix import Scene

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("schema")) as made:
        Scene(made)
        yield made


@pytest.fixture(scope="module")
def document(house):
    return schemathesis.openapi.from_wsgi("/api/v1/openapi.json", house.app)


@pytest.mark.parametrize("name", [one.name for one in OPERATIONS])
def test_random_requests_get_answers_that_fit_the_document(document, house, name):
    described = document.find_operation_by_id(name)

    @hypothesis.given(case=described.as_strategy())
    @hypothesis.settings(
        max_examples=8, deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    def holds(case):
        Throttle.delete().execute()
        for caller in (house.eve, house.bo):
            response = case.call(headers={**(case.headers or {}), **caller.headers})
            case.validate_response(response, checks=CHECKS)

    holds()
