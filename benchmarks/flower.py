"""The other side of the comparisons: Flower, in a process and, where wanted, an environment of its own."""

from __future__ import annotations

import json
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.tensors import UpdateBinding, encode_header

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.data import MadeUpRound

__all__ = ["Flower", "FlowerMissingError"]

_PROGRAM = Path(__file__).with_name("flower_peer.py")


class FlowerMissingError(Exception):
    """There is no Flower to compare with."""


class Flower(AbstractContextManager["Flower"]):
    """A process that loads and aggregates with Flower on request.

    Args:
        python: an interpreter that has ``flwr``.

    Raises:
        FlowerMissingError: it has not.
    """

    def __init__(self, python: Path) -> None:
        try:
            # Isolated, so that the program's folder does not come before Flower's own modules.
            command = [str(python), "-I", str(_PROGRAM)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise FlowerMissingError(f"cannot run {python}: {error.strerror}") from error
        try:
            self.version: str = self._read()["version"]
        except ValueError as error:
            self._process.wait()
            raise FlowerMissingError(f"{python} has no flwr; `make bench` installs it") from error

    def seconds(
        self, round_: MadeUpRound, rule: str, *, serialized: bool = False, loading: bool = True
    ) -> float:
        """Load the updates of a round, aggregate them, and return the seconds that took.

        Args:
            round_: the round; the same files that this project reads.
            rule: ``fedavg``, ``median`` or ``trimmed-mean`` with a fifth cut from each end.
            serialized: load, in place of arrays, copies of them in the very bytes that Flower keeps in memory
                (``serialize`` writes them), which is the least that loading can cost.
            loading: whether loading counts.
        """
        taken = self._ask({"rule": rule, "serialized": serialized, **self._files(round_)})
        return float(taken["aggregate"] + (taken["load"] if loading else 0.0))

    def serialize(self, round_: MadeUpRound) -> None:
        """Write the files that ``serialized`` loads."""
        self._ask({"rule": "serialize", **self._files(round_)})

    @staticmethod
    def _files(round_: MadeUpRound) -> dict[str, Any]:
        updates = []
        for update in round_.updates:
            bound, examples = round_.binding, update.contribution.num_examples
            base = bound.base.digest
            metadata = UpdateBinding(
                bound.ledger, bound.run, bound.round, update.member, base, examples
            ).metadata()
            start = len(encode_header(round_.plan.trainable, metadata))
            updates.append({"path": str(update.path), "start": start, "num_examples": examples})
        return {"updates": updates, "sizes": [spec.elements for spec in round_.plan.trainable]}

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
