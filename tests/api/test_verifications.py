"""Replays on demand are run one after the other, kept, bounded, and known after a restart."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from api.app import create_app
from api.client import Client
from api.index.documents import Documents
from api.index.indexer import Indexer
from api.verifications import MAX_KEPT, MAX_WAITING, Busy, Job, Verifications
from audit.findings import AuditReport, Finding
from audit.live import audit_live
from ledger.commitments import ZERO
from ledger.errors import ChainError, UsageError
from tests.api.index.worlds import opened, sqlite
from tests.api.rest.serving import serving
from tests.consortium import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ENDED = {"done", "failed", "interrupted"}


def _ended(jobs: Verifications, number: str) -> Job:
    """Wait until a job has ended."""
    last = time.monotonic() + 60
    while (job := jobs.get(number)) is not None and job.state not in _ENDED:
        assert time.monotonic() < last
        time.sleep(0.01)
    assert job is not None
    return job


def _quick(run: int, progress: Callable[[int, int], None]) -> AuditReport:
    progress(2, 2)
    return AuditReport(findings=[Finding(57, "another model", run, 2)])


def test_a_finding_of_one_round_is_not_another_rounds(tmp_path: Path) -> None:
    jobs = Verifications(tmp_path, _quick)
    whole, first, second = (_ended(jobs, jobs.submit(1, round_).id) for round_ in (None, 1, 2))
    assert [job.holds for job in (whole, first, second)] == [False, True, False]
    assert (whole.done, whole.total) == (2, 2)


def test_an_error_is_told_and_the_next_job_is_served(tmp_path: Path) -> None:
    answers: list[Any] = [ChainError("no endpoint answers"), ZeroDivisionError(), AuditReport()]

    def replay(_run: int, _progress: Any) -> AuditReport:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    jobs = Verifications(tmp_path, replay)
    ended = [_ended(jobs, jobs.submit(1, None).id) for _ in range(3)]
    assert [job.state for job in ended] == ["failed", "failed", "done"]
    assert [job.error for job in ended] == ["no endpoint answers", "ZeroDivisionError", None]


def test_too_many_at_a_time_are_refused_and_a_restart_calls_them_interrupted(tmp_path: Path) -> None:
    begun, never = threading.Event(), threading.Event()

    def stuck(_run: int, _progress: Any) -> AuditReport:
        begun.set()
        never.wait()
        return AuditReport()

    jobs = Verifications(tmp_path, stuck)
    numbers = [jobs.submit(1, None).id]
    assert begun.wait(60)
    numbers += [jobs.submit(1, None).id for _ in range(MAX_WAITING)]
    with pytest.raises(Busy, match="replays that wait"):
        jobs.submit(1, None)
    (tmp_path / "notes.txt").write_text("no job")
    (tmp_path / f"{99:016x}.json").write_text("{")
    after = Verifications(tmp_path, _quick)
    states = {job.id: job.state for job in after.newest_first()}
    assert states == dict.fromkeys(numbers, "interrupted")
    assert after.submit(1, None).id not in numbers
    never.set()


def test_the_oldest_outcomes_are_forgotten(tmp_path: Path) -> None:
    jobs = Verifications(tmp_path, _quick)
    numbers = [_ended(jobs, jobs.submit(1, None).id).id for _ in range(MAX_KEPT + 3)]
    assert [job.id for job in jobs.newest_first()] == numbers[: -MAX_KEPT - 1 : -1]
    assert len(list(tmp_path.iterdir())) == MAX_KEPT


def test_a_real_run_is_replayed_over_http(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path, members=3, rounds=1)
    deployment = sandbox.local.deployment
    try:
        sandbox.play()
        with opened(sqlite(tmp_path / "index")) as database:
            reading = Indexer(database, sandbox.chain, deployment, approval_percent=0, predecessor=ZERO)
            while reading.step():
                pass
            while Documents(database.writer, sandbox.shared, reading.ledger).sweep():
                pass

            def replay(run: int, progress: Callable[[int, int], None]) -> AuditReport:
                return audit_live(
                    sandbox.chain, deployment.round_ledger, sandbox.shared, run=run, progress=progress
                )

            jobs = Verifications(tmp_path / "jobs", replay)
            with serving(create_app(database, jobs=jobs)) as service:
                client = Client(service.url)
                asked = client.verify(1, 1)
                assert asked.state == "queued"
                assert _ended(jobs, asked.id).state == "done"
                job = client.verification(asked.id)
                assert (job.holds, job.done, job.total) == (True, 1, 1)
                assert job.report is not None
                certified = client.round(1, 1)
                assert job.report["rounds"][0]["model"] == (certified.model and certified.model.digest)
                assert {metric.name for metric in client.metrics(1)} == {"accuracy", "log_loss"}
                assert [verdict.verdict for verdict in client.contributions(1)] == ["accepted"] * 3
                answer = service.get("/v1/verifications").json()["items"]
                assert [(each["id"], each["report"]) for each in answer] == [(asked.id, None)]
                with pytest.raises(UsageError, match="no round 7 of run 1"):
                    client.verify(1, 7)
    finally:
        sandbox.close()
