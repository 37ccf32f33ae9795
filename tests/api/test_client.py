"""The client says what the service says, in records of the same names."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.responses import RedirectResponse

from api.client import Client
from ledger.errors import UnavailableError, UsageError
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from tests.api.rest.serving import Service


def test_every_reading_method_gets_an_answer(service: Service) -> None:
    client = Client(service.url)
    certified = next(
        round_
        for run in client.runs()
        for round_ in client.rounds(run.run)
        if round_.phase == "certified" and round_.model
    )
    places = {
        "run": certified.run,
        "round_": certified.round,
        "member": 1,
        "terms": next(client.plans()).terms,
        "text": certified.result,
        "path": "/consortium",
    }
    for name, method in inspect.getmembers(client, inspect.ismethod):
        if name.startswith(
            ("_", "verif", "sign", "renew", "who", "browser", "access")
        ):  # none of these reads the ledger
            continue
        parameters = inspect.signature(method).parameters.values()
        wanted = {p.name: places[p.name] for p in parameters if p.default is p.empty}
        found = method(**wanted)
        assert list(found) if inspect.isgenerator(found) else found, name


def test_filters_are_passed_on(service: Service) -> None:
    client = Client(service.url)
    found = list(client.contributions(1, member=1, verdict="accepted"))
    assert found
    assert {(each.member, each.verdict) for each in found} == {(1, "accepted")}
    assert {each.dispute for each in client.attestations(1, dispute=False)} == {False}


def test_refusals_and_nonsense_are_errors_of_ours(service: Service) -> None:
    with pytest.raises(UsageError, match="there is no run 999"):
        Client(service.url).run(999)
    nonsense = FastAPI()

    @nonsense.get("/v1/health")
    def health() -> dict[str, str]:
        return {"well": "perhaps"}

    @nonsense.get("/v1/runs/1")
    def elsewhere() -> RedirectResponse:
        return RedirectResponse("/v1/health")

    with serving(nonsense) as other:
        with pytest.raises(UnavailableError, match="as documented"):
            Client(other.url).health()
        with pytest.raises(UsageError, match="got a redirection"):
            Client(other.url, token="a" * 43).run(1)
    with pytest.raises(UnavailableError, match="does not answer"):
        Client("http://127.0.0.1:1").health()


def test_an_answer_that_drips_is_not_waited_for_without_end() -> None:
    gone = threading.Event()

    async def dripping(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.is_set():
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body"})

    with serving(FastAPI()) as service:
        service.app.mount("/v1", dripping)
        try:
            with pytest.raises(UnavailableError, match="comes too slowly"):
                Client(service.url, timeout=0.5).answer("/health")
        finally:
            gone.set()
