"""Whatever is asked, answers are those of the OpenAPI document (schemathesis)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

if TYPE_CHECKING:
    from tests.api.rest.serving import Service


def test_answers_are_as_documented(service: Service) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/v1/openapi.json")
    asked = 0
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.path == "/v1/events/live":  # it never ends
            continue
        strategy = operation.as_strategy()

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=strategy)
        def check(case: Any) -> None:
            # No schema can say which cursor a list once gave, or that a text of that form is an address.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
        asked += 1
    assert asked > 20


def test_every_operation_shows_an_example_and_says_whom_it_answers(service: Service) -> None:
    document = service.get("/v1/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["description"]
            assert operation["x-least-standing"] in {"nobody", "reader", "member", "auditor"}
            done = next(answer for status, answer in operation["responses"].items() if status[0] == "2")
            assert all("example" in content for content in done["content"].values()), operation
