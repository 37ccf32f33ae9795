"""Every route × everything that somebody can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.api.access.desks import KEYS, World, world

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDINGS = ["nobody", "reader", "member", "auditor"]
HOLDERS = {"nobody": None, "reader": "operator", "member": "member", "auditor": "auditor"}

# Each route with the least standing that it demands: whoever adds one says here whom it answers.
ROUTES = {
    "GET /access-log": "members alone",
    "GET /access-log/head": "members alone",
    "GET /consortium": "reader",
    "GET /consortium/history": "reader",
    "GET /consortium/roles": "reader",
    "GET /disputes": "reader",
    "GET /events": "reader",
    "GET /events/live": "reader",
    "GET /health": "nobody",
    "GET /members": "reader",
    "GET /members/{member}": "reader",
    "GET /members/{member}/history": "reader",
    "GET /models/{model}": "reader",
    "GET /payloads/{digest}": "reader",
    "GET /plans": "reader",
    "GET /plans/{terms}": "reader",
    "GET /runs": "reader",
    "GET /runs/{run}": "reader",
    "GET /runs/{run}/attestations": "reader",
    "GET /runs/{run}/contributions": "reader",
    "GET /runs/{run}/metrics": "reader",
    "GET /runs/{run}/models": "reader",
    "GET /runs/{run}/proofs/consistency": "reader",
    "GET /runs/{run}/proposals": "reader",
    "GET /runs/{run}/rounds": "reader",
    "GET /runs/{run}/rounds/{round}": "reader",
    "GET /runs/{run}/rounds/{round}/bundle": "auditor",
    "GET /runs/{run}/rounds/{round}/contributions/{member}": "reader",
    "GET /runs/{run}/rounds/{round}/proofs/inclusion/{member}": "reader",
    "GET /runs/{run}/shares": "reader",
    "GET /search": "reader",
    "GET /verifications": "reader",
    "GET /verifications/{number}": "reader",
    "GET /who-am-i": "reader",
    "POST /sign-in": "nobody",
    "POST /sign-in/code": "reader",
    "POST /sign-in/nonce": "nobody",
    "POST /sign-in/renew": "reader",
    "POST /sign-out": "nobody",
    "POST /verifications": "auditor",
}


# Pages, and what is of neither: whoever is not signed in is sent to the page on which he can do so.
PAGES = {
    "GET /": "reader",
    "GET /access-log": "members alone",
    "GET /members": "reader",
    "GET /members/{member}": "reader",
    "GET /models/{model}": "reader",
    "GET /plans": "reader",
    "GET /plans/{terms}": "reader",
    "GET /runs/{run}": "reader",
    "GET /runs/{run}/rounds/{round}": "reader",
    "GET /search": "reader",
    "GET /sign-in": "nobody",
    "GET /static/{name}": "nobody",
    "GET /verifications": "reader",
    "GET /verifications/{number}": "reader",
    "GET /verify": "reader",
    "POST /sign-in": "nobody",
    "POST /sign-in/message": "nobody",
    "POST /sign-out": "nobody",
    "POST /verifications": "auditor",
    "POST /verify": "reader",
    "GET /v1/openapi.json": "nobody",
}
WHOLE = {route.replace(" ", " /v1", 1): standing for route, standing in ROUTES.items()} | PAGES


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that no test of this file changes."""
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


def test_every_route_is_in_the_table(shared: World) -> None:
    """The application itself is asked, so that nothing is left out because no document names it."""
    found = set()
    for included in shared.app.routes:
        routes = (
            included.effective_route_contexts()
            if hasattr(included, "effective_route_contexts")
            else [included]
        )
        found |= {f"{method} {route.path}" for route in routes for method in route.methods - {"HEAD"}}
    assert found == set(WHOLE)


def test_the_document_says_what_the_table_says(shared: World) -> None:
    document = shared.app.openapi()
    found = {
        f"{method.upper()} {path.removeprefix('/v1')}": operation["x-least-standing"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert found == ROUTES


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("route", WHOLE)
def test_a_route_answers_those_that_it_should_and_no_others(shared: World, route: str, standing: str) -> None:
    method, path = route.split()
    for name, value in (
        ("member", "0"),
        ("run", "1"),
        ("round", "1"),
        ("number", "0" * 16),
        ("name", "style.css"),
    ):
        path = path.replace(f"{{{name}}}", value)
    for name in ("model", "terms", "digest"):
        path = path.replace(f"{{{name}}}", "5f" * 32)
    holder = HOLDERS[standing]
    headers = {} if holder is None else {"Authorization": f"Bearer {shared.token(holder)}"}
    if path.startswith("/sign-in"):
        headers["Origin"] = shared.desk.url  # as from its own page
    url = f"{shared.desk.url}{path}"
    endless = path.endswith("/live")  # its head tells
    with shared.http.request(
        method, url, headers=headers, stream=endless, allow_redirects=False, timeout=30
    ) as answer:
        status, where = answer.status_code, answer.headers.get("Location", "")
    wanted = WHOLE[route]
    if wanted == "members alone":
        allowed = standing == "member"
    else:
        allowed = STANDINGS.index(standing) >= STANDINGS.index(wanted)
    if allowed:
        assert status not in {401, 403, 500, 503}
    elif standing == "nobody" and route in PAGES:
        assert (status, where.partition("?")[0]) == (303, "/sign-in")
    else:
        assert status == (401 if standing == "nobody" else 403)


AS = {
    "/v1/access-log": "member",
    "/v1/access-log/head": "member",
    "/v1/payloads/{digest}": "auditor",
    "/v1/sign-in": "auditor",
    "/v1/sign-in/nonce": "auditor",
    "/v1/sign-in/code": "auditor",
    "/v1/sign-in/renew": "auditor",
    "/v1/who-am-i": "auditor",
}
"""Routes that a public service has not, and whose token is sent there."""


def test_routes_on_access_answer_as_documented(shared: World) -> None:
    held = {name: shared.token(name) for name in set(AS.values())}
    document = schemathesis.openapi.from_url(f"{shared.desk.url}/v1/openapi.json")
    operations = [found.ok() for found in document.get_all_operations() if found.ok().path in AS]
    assert len(operations) == len(AS)
    for operation in operations:

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            # No schema can say which message is to be signed, and by whose key; or which payload is there.
            headers = {"Authorization": f"Bearer {held[AS[case.operation.path]]}"}
            excluded = [positive_data_acceptance, ignored_auth]
            case.call_and_validate(headers=headers, excluded_checks=excluded)

        check()


def test_routes_of_sign_in_show_examples(shared: World) -> None:
    document = shared.app.openapi()
    for path in ("/v1/sign-in", "/v1/sign-in/nonce", "/v1/sign-out", "/v1/who-am-i"):
        for operation in document["paths"][path].values():
            assert operation["responses"]["200"]["content"]["application/json"]["example"]
    asked = document["paths"]["/v1/sign-in"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert set(asked) == {"message", "signature", "cookie"}


def test_a_route_that_needs_a_token_says_so(shared: World) -> None:
    document = shared.app.openapi()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for operation in path.values():
            assert ("security" in operation) == (operation["x-least-standing"] != "nobody")


def test_nothing_of_a_token_or_signature_is_in_an_error(shared: World) -> None:
    token = shared.token("member")
    answers = [shared.ask("/runs/1/rounds/1/bundle", token), shared.ask("/runs", token[:-1])]
    assert all(token[:-1] not in answer.text for answer in answers)
    answer = shared.sign_in("stranger")
    assert KEYS["stranger"].address[2:].lower() not in answer.text.lower()
