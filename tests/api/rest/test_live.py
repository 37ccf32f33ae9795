"""Events as they come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from api.app import create_app
from tests.api.index.worlds import ForkingChain, opened, read_all, sqlite
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.api.rest.serving import Service


def _messages(service: Service, last: str | None) -> Iterator[dict[str, Any]]:
    """Yield the stream's messages."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with requests.get(f"{service.url}/v1/events/live", headers=headers, stream=True, timeout=30) as stream:
        assert stream.status_code == 200
        message: dict[str, Any] = {}
        for line in stream.iter_lines(chunk_size=1):
            name, _, value = line.decode().partition(": ")
            if name in {"id", "event"}:
                message[name] = value
            elif name == "data":
                message[name] = json.loads(value)
            elif not name and message:
                yield message
                message = {}


def test_a_client_that_comes_back_is_served_what_it_missed(service: Service) -> None:
    every = service.items("/v1/events")
    stream = _messages(service, "0-0-")
    first = [next(stream) for _ in range(20)]
    assert [message["data"] for message in first] == every[:20]
    stream.close()
    again = _messages(service, first[9]["id"])
    assert [next(again)["data"] for _ in range(20)] == every[10:30]
    again.close()


def test_new_events_come_and_a_replaced_block_is_told(tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(30):
        chain.grow(choice)
    with opened(sqlite(tmp_path / "index")) as database, serving(create_app(database)) as service:
        read_all(database, chain)
        last = list(service.items("/v1/events"))[-1]
        stream = _messages(service, f"{last['block']}-{last['log_index']}-")
        chain.ledger.plan()
        chain.mine()
        read_all(database, chain)
        new = next(stream)
        assert new["data"]["kind"] == "PlanProposed"
        stream.close()
        chain.take_back(1, "another")
        chain.ledger.rotate(0, "somebody else")
        chain.mine()
        chain.mine()
        read_all(database, chain)
        stream = _messages(service, new["id"])
        assert next(stream)["event"] == "reorganised"
        stream.close()


@pytest.mark.parametrize("last", ["x", "1-2-xyz", "1-2-" + "0" * 15, "-1-0-", "9" * 30])
def test_an_id_that_was_made_up_is_refused(service: Service, last: str) -> None:
    answer = service.get("/v1/events/live", headers={"Last-Event-ID": last})
    assert answer.status_code == 400
