"""Entity tags, cursors and errors."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
import requests

from api.app import create_app
from tests.api.index.worlds import ForkingChain, opened, read_all, sqlite
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.rest.serving import Service

PATHS = ["/v1/runs", "/v1/runs/1", "/v1/runs/1/contributions?member=1", "/v1/consortium", "/v1/disputes"]


@pytest.mark.parametrize("path", PATHS)
def test_what_a_client_has_is_not_sent_again(service: Service, path: str) -> None:
    tag = service.get(path).headers["ETag"]
    again = service.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    assert service.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert service.get(path + ("&" if "?" in path else "?") + "limit=3").headers["ETag"] != tag


def test_a_tag_changes_with_what_the_index_has_read(tmp_path: Path) -> None:
    chain = ForkingChain()
    with opened(sqlite(tmp_path / "index")) as database, serving(create_app(database)) as service:
        read_all(database, chain)
        tags = [service.get("/v1/plans").headers["ETag"]]
        chain.ledger.plan()
        chain.mine()
        chain.withholding = True
        read_all(database, chain)
        tags.append(service.get("/v1/plans").headers["ETag"])
        chain.withholding = False
        read_all(database, chain)  # no new block, but the plan document is there now
        tags.append(service.get("/v1/plans").headers["ETag"])
    assert len(set(tags)) == 3


def test_a_cursor_is_good_for_its_own_list_only(service: Service) -> None:
    cursor = service.get("/v1/runs/1/contributions?limit=1").json()["next"]
    assert service.get(f"/v1/runs/1/contributions?limit=1&after={cursor}").status_code == 200
    for other in ("/v1/runs/2/contributions", "/v1/runs/1/contributions?member=1", "/v1/runs"):
        assert service.get(other, params={"after": cursor}).status_code == 400


def test_a_cursor_that_was_made_up_is_refused(service: Service) -> None:
    cursor = service.get("/v1/runs/1/contributions?limit=1").json()["next"]
    raw = base64.urlsafe_b64decode(cursor + "==")
    bent = [raw[:-1], raw + b" ", raw[:6] + b"[1]", raw[:6] + b"null", raw[:6] + b'["x",{}]', bytes(9)]
    texts = [base64.urlsafe_b64encode(each).decode().rstrip("=") for each in bent]
    for text in ["a" * 600, "a", "\x00", "'; DROP TABLE run; --", "{{7*7}}", *texts]:
        answer = service.get("/v1/runs/1/contributions", params={"after": text})
        assert answer.status_code in {400, 422}, text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/runs/99999", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/runs/0", 422),
        ("GET", "/v1/runs/9223372036854775808", 422),
        ("GET", "/v1/runs/{{7*7}}", 422),
        ("GET", "/v1/runs?limit=201", 422),
        ("GET", "/v1/runs/1/contributions?verdict=';DROP TABLE run", 422),
        ("GET", "/v1/search?q=' OR 1=1", 400),
        ("GET", "/v1/runs/1%00", 422),
        ("POST", "/v1/runs", 405),
    ],
)
def test_every_error_is_a_problem(service: Service, method: str, path: str, status: int) -> None:
    answer = requests.request(method, service.url + path, timeout=30)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert set(problem) == {"type", "title", "status", "detail"}
