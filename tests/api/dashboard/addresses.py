"""One address of each page that a service has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.api.rest.serving import Service


def addresses(service: Service) -> list[str]:
    """Return an address of each kind of page, with what the ledger has."""
    certified = next(each for each in service.items("/v1/runs/1/rounds") if each["verdicts_root"])
    place = f"/runs/1/rounds/{certified['round']}"
    replays = service.get("/v1/verifications")
    jobs = replays.json()["items"] if replays.status_code == 200 else []
    return [
        "/",
        "/runs/1",
        "/runs/1?until=1",
        place,
        f"{place}?proof={certified['eligible'][0]}",
        "/members",
        "/members/1",
        "/plans",
        f"/plans/{service.items('/v1/plans')[0]['terms']}",
        f"/models/{certified['model']['digest']}",
        "/search",
        f"/search?q={certified['result']}",
        "/verify",
        *(["/verifications"] if replays.status_code == 200 else []),
        *(f"/verifications/{job['id']}" for job in jobs[:1] if job["state"] == "done"),
    ]
