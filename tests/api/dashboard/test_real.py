"""A real federation, seen on the pages: replayed from chain and payloads, and proved by a bundle."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
import requests

from api.app import create_app
from api.index.documents import Documents
from api.index.indexer import Indexer
from api.verifications import Verifications
from audit.bundles.export import export_bundle, make_policy
from audit.live import audit_live
from ledger.commitments import ZERO
from storage import Archive
from tests.api.index.worlds import opened, sqlite
from tests.api.rest.serving import Service, serving
from tests.consortium import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audit.findings import AuditReport


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A played run of three members with one round, and its service."""
    folder: Path = tmp_path_factory.mktemp("real")
    sandbox = Sandbox(folder, members=3, rounds=1)
    place = (sandbox.chain, sandbox.local.deployment)
    try:
        sandbox.play()
        with opened(sqlite(folder / "index")) as database:
            reading = Indexer(database, *place, approval_percent=0, predecessor=ZERO)
            while reading.step():
                pass
            while Documents(database.writer, sandbox.shared, reading.ledger).sweep():
                pass

            def replay(run: int, progress: Callable[[int, int], None]) -> AuditReport:
                return audit_live(
                    sandbox.chain, place[1].round_ledger, sandbox.shared, run=run, progress=progress
                )

            def bundle(run: int, round_: int, path: Path) -> Any:
                return export_bundle(*place, Archive(sandbox.shared.root), run, round_, path)

            jobs = Verifications(folder / "jobs", replay)
            policy = make_policy(*place, ["block", "members"])
            with serving(create_app(database, jobs=jobs, bundle=bundle, policy=lambda: policy)) as service:
                yield service
    finally:
        sandbox.close()


def _post(service: Service, path: str, **options: Any) -> requests.Response:
    return requests.post(service.url + path, headers={"Origin": service.url}, timeout=60, **options)


@pytest.mark.slow
def test_every_check_of_a_real_round_holds_once_it_was_replayed(real: Service) -> None:
    page = _post(real, "/verifications", data={"run": "1"})
    place = page.url.removeprefix(real.url)
    while real.item(f"/v1{place}")["state"] != "done":
        threading.Event().wait(0.05)
    text = real.get("/runs/1/rounds/1").text
    outcomes = re.findall(
        r'<td class="n">(\d+)</td><th scope="row">.*?check-outcome (\w+)">', text, re.DOTALL
    )
    checks = [20, 21, 32, *range(34, 42), *range(50, 60)]
    assert outcomes == [(str(check), "none" if check == 55 else "holds") for check in checks]
    assert "<strong>Holds.</strong>" in real.get("/runs/1").text


@pytest.mark.slow
def test_a_bundle_from_the_rounds_page_is_judged_on_the_bundle_page(real: Service) -> None:
    link = re.search(r'href="(/v1/runs/1/rounds/1/bundle)"', real.get("/runs/1/rounds/1").text)
    assert link is not None
    bundle = real.get(link[1]).content
    good = _post(real, "/verify", files={"bundle": ("round-1.bundle", bundle)})
    assert "Holds, by this service’s own policy:</strong> <bdi>round-1.bundle</bdi>" in good.text
    assert "that the model follows from the updates: the bundle does not hold them" in good.text
    bent = bundle[:-1] + bytes([bundle[-1] ^ 1])
    assert "Does not hold" in _post(real, "/verify", files={"bundle": ("bent", bent)}).text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"bundle": ("b", b"")}, "expected a bundle’s file"),
        ({"other": ("b", b"x")}, "expected a bundle’s file"),
        ({"bundle": ("b", b"x"), "policy": ("p", b"{}")}, "the policy is not one of type"),
        ({"bundle": ("b", b"x"), "policy": ("p", b"[" * 70_000)}, "the policy"),
        ({"bundle": ("<b>", b"\x00\xff")}, "&lt;b&gt;"),
    ],
)
def test_what_is_no_bundle_or_policy_is_told(real: Service, files: Any, said: str) -> None:
    answer = _post(real, "/verify", files=files)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert said in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.slow
def test_a_form_that_is_none_and_one_that_is_too_large_are_refused(real: Service) -> None:
    assert _post(real, "/verify", data=b"x").status_code == 400
    large = _post(real, "/verify", files={"bundle": ("b", bytes(33 << 20))})
    assert (large.status_code, "Too large" in large.text) == (413, True)
    assert _post(real, "/verify", files={f"f{n}": ("b", b"x") for n in range(9)}).status_code == 400
