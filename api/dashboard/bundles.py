"""The page that verifies a proof bundle, by the policy of whoever drops it there."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from starlette.datastructures import UploadFile

from api.dashboard.pages import page, serves, submits
from api.rest.answers import refused
from api.rest.callers import Standing
from audit.bundles.policy import Policy
from audit.bundles.verification import Verification, verify
from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.errors import UsageError

__all__ = ["MAX_UPLOAD", "router"]

router = APIRouter()

MAX_UPLOAD = 32 << 20
"""Bytes of a bundle and a policy together; larger ones are verified at home."""
_MAX_WAITING = 4
_PIECE = 1 << 18
_LONGEST_NAME = 100

_one_at_a_time = anyio.Semaphore(1)
_uploads = anyio.CapacityLimiter(_MAX_WAITING)


@serves(router, "/verify")
async def ask(request: Request) -> Response:
    """Ask for a bundle."""
    return await _page(request, {"outcome": None, "wrong": None})


@submits(router, "/verify", Standing.READER)
async def judge(request: Request) -> Response:
    """Verify a bundle and show what came of it; nothing of it is kept."""
    async with _uploaded(request) as (bundle, own_policy, name):
        try:
            policy = Policy.parse(own_policy) if own_policy else await _policy_of_service(request)
            async with _one_at_a_time:
                outcome = await run_sync(partial(verify, bundle, policy, scratch=bundle.parent))
        except UsageError as error:
            return await _page(request, {"outcome": None, "wrong": str(error)})
    values = {"outcome": outcome, "policy": policy, "own": bool(own_policy), "name": name, "wrong": None}
    return await _page(request, values | {"proves": _proves(outcome)})


async def _page(request: Request, values: dict[str, Any]) -> Response:
    known = {"most": MAX_UPLOAD >> 20, "has_policy": request.app.state.policy is not None}
    return await page(request, "verify", lambda _: known | values, tagged=False)


@asynccontextmanager
async def _uploaded(request: Request) -> AsyncIterator[tuple[Path, bytes, str]]:
    """Take a form's files: the bundle in a folder of its own, gone afterwards, and the policy's bytes."""
    try:
        _uploads.acquire_on_behalf_of_nowait(request)
    except anyio.WouldBlock:
        what = "too many bundles are being verified; try again in a moment"
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, what) from None
    try:
        async with request.form(max_files=2, max_fields=2) as form:
            bundle, policy = form.get("bundle"), form.get("policy")
            if not isinstance(bundle, UploadFile) or not bundle.size:
                raise UsageError("the form", expected="a bundle’s file")
            own = b""
            if isinstance(policy, UploadFile):
                own = await policy.read(MAX_DOCUMENT_BYTES + 1)
            with tempfile.TemporaryDirectory(prefix="verify-", dir=request.app.state.bundle_folder) as folder:
                path = Path(folder) / "bundle"
                await _write(bundle, path)
                yield path, own, (bundle.filename or "the bundle")[:_LONGEST_NAME]
    finally:
        _uploads.release_on_behalf_of(request)


async def _write(upload: UploadFile, path: Path) -> None:
    async with await anyio.open_file(path, "wb") as file:
        while piece := await upload.read(_PIECE):
            await file.write(piece)


async def _policy_of_service(request: Request) -> Policy:
    make = request.app.state.policy
    if make is None:
        raise UsageError("the form", expected="a policy’s file: this service has none of its own")
    policy: Policy = await run_sync(make)
    return policy


def _proves(outcome: Verification) -> dict[str, Any]:
    """Return what a bundle that holds says of its round."""
    result = outcome.result
    return {
        "status": outcome.status.name.lower(),
        "head": outcome.head.hex(),
        "result": outcome.digest.hex(),
        "model": None if result is None else result.model.digest.hex(),
        "void": result is not None and result.void,
        "accepted": 0 if result is None else sum(v.outcome == "accepted" for v in result.verdicts),
        "verdicts": [] if result is None else [v.document() for v in result.verdicts],
        "behind": outcome.behind,
    }
