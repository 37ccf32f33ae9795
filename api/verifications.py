"""Replays on demand: jobs that are kept in files, run one after the other, and survive a restart by name.

Whoever asks gets a number under which the job's progress and outcome are found. A job that was not finished
when the service ended is *interrupted*: it is not taken up again, because nobody may be waiting for it any
more.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from ledger.errors import FedledgerError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from audit.findings import AuditReport

__all__ = ["Busy", "Job", "Replayer", "Verifications"]

MAX_WAITING = 4
"""Jobs that wait for their turn; more are refused."""
MAX_KEPT = 100
"""Jobs whose outcome is kept; the oldest goes first."""

_ENDED = ("done", "failed", "interrupted")
_log = logging.getLogger(__name__)


class Busy(UnavailableError):
    """Too many jobs wait already."""


class Replayer(Protocol):
    """Replays a run from chain and payloads."""

    def __call__(self, run: int, progress: Callable[[int, int], None]) -> AuditReport:
        """Return what it found."""
        ...


@dataclass(frozen=True)
class Job:
    """A replay that was asked for.

    Args:
        id: its number, in hex.
        run: which run.
        round: of which only this round is reported; None for all.
        state: ``queued``, ``running``, ``done``, ``failed`` or ``interrupted``.
        done: rounds replayed.
        total: rounds in all, once that is known.
        holds: whether all that was checked holds.
        report: the report, as ``fedledger audit --format json`` gives it.
        error: why it could not be found out.
    """

    id: str
    run: str
    round: int | None
    state: str = "queued"
    done: int = 0
    total: int | None = None
    holds: bool | None = None
    report: dict[str, Any] | None = None
    error: str | None = None


class Verifications:
    """Jobs of one service.

    Args:
        folder: where they are kept, one file each.
        replay: does the work.
    """

    def __init__(self, folder: Path, replay: Replayer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._replay = replay
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._closed = False
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for path in sorted(folder.iterdir()):
            self._take_up(path)
        self._newest = max((int(number, 16) for number in self._jobs), default=0)
        threading.Thread(target=self._work, name="verifications", daemon=True).start()

    def _take_up(self, path: Path) -> None:
        """Read a job of an earlier process; what is no job's file is left alone."""
        if not re.fullmatch(r"[0-9a-f]{16}\.json", path.name):
            return
        try:
            job = Job(**orjson.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            _log.warning("%s is not a job's file", path.name)
            return
        self._jobs[job.id] = job
        if job.state not in _ENDED:
            self._put(replace(job, state="interrupted"))

    def submit(self, run: int, round_: int | None) -> Job:
        """Take a job.

        Raises:
            Busy: too many wait already.
        """
        with self._lock:
            if self._waiting.qsize() >= MAX_WAITING:
                raise Busy("replays that wait", expected=f"at most {MAX_WAITING}; ask again later")
            self._newest += 1
            job = Job(f"{self._newest:016x}", str(run), round_)
            self._put(job)
            self._waiting.put(job.id)
            self._forget_oldest()
        return job

    def get(self, number: str) -> Job | None:
        """Return a job; None where there is none of that number."""
        return self._jobs.get(number)

    def newest_first(self) -> list[Job]:
        """Return all jobs."""
        with self._lock:
            return [self._jobs[number] for number in sorted(self._jobs, reverse=True)]

    def _work(self) -> None:
        while True:
            self._run(self._jobs[self._waiting.get()])

    def _run(self, job: Job) -> None:
        self._put(replace(job, state="running"))

        def progress(done: int, total: int) -> None:
            self._put(replace(self._jobs[job.id], done=done, total=total), durably=False)

        try:
            document = _of_round(self._replay(int(job.run), progress).document(), job.round)
        except FedledgerError as error:
            self._put(replace(self._jobs[job.id], state="failed", error=str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next job is served
            _log.exception("a replay of run %s failed", job.run)
            self._put(replace(self._jobs[job.id], state="failed", error=type(error).__name__))
        else:
            holds = not document["findings"]
            self._put(replace(self._jobs[job.id], state="done", holds=holds, report=document))

    def close(self) -> None:
        """Write nothing from now on; a replay under way ends with the process, as if that had been killed."""
        with self._writing:
            self._closed = True

    def _put(self, job: Job, *, durably: bool = True) -> None:
        self._jobs[job.id] = job
        if not durably:
            return
        with self._writing:
            if self._closed:
                return
            unfinished = self._folder / f"{job.id}.part"
            unfinished.write_bytes(orjson.dumps(asdict(job)))
            unfinished.replace(self._folder / f"{job.id}.json")

    def _forget_oldest(self) -> None:
        ended = [number for number, job in sorted(self._jobs.items()) if job.state in _ENDED]
        for number in ended[: max(0, len(self._jobs) - MAX_KEPT)]:
            del self._jobs[number]
            (self._folder / f"{number}.json").unlink(missing_ok=True)


def _of_round(document: dict[str, Any], round_: int | None) -> dict[str, Any]:
    """Leave out other rounds; what concerns the whole run or ledger stays."""
    if round_ is None:
        return document
    findings = [each for each in document["findings"] if each["round"] in {None, round_}]
    rounds = [each for each in document["rounds"] if each["round"] == round_]
    return document | {"findings": findings, "rounds": rounds, "holds": not findings}
