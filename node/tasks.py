"""What a member can be asked to train, and how a plan's task becomes a thing that trains.

A task of one's own is a class with the methods of ``Task`` and a line that registers it:

    class MeanOfColumn:
        def __init__(self, document): self.column = document["column"]
        …

    register_task("mean-of-column", MeanOfColumn)

``tests/node/test_tasks.py`` holds such a task in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ledger.errors import UsageError
from ledger.tensors import encode_header
from node.tabular import KIND, TabularClassification
from node.training import TrainedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from ledger.documents import Plan
    from ledger.tensors import TensorSpec

__all__ = ["Dataset", "Task", "TrainedModel", "register_task", "task_for", "task_from"]


class Dataset(Protocol):
    """A member's own rows, checked."""

    @property
    def num_examples(self) -> int:
        """Rows to train on, at least 1."""

    @property
    def test_rows(self) -> int:
        """Rows kept back to report metrics on; 0 where there are none."""


class Task(Protocol):
    """What a plan's ``task`` stands for on a member's machine.

    A task is built from the plan alone, so that all members build the same one. It keeps no state between
    calls: what ``train`` returns depends on its arguments only. What ``load`` returns is handed to ``train``
    and ``evaluate`` and looked into by nobody else, so a task may narrow ``data`` to a type of its own.
    """

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that ``evaluate`` returns."""

    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the model's tensors, trainable ones first."""

    def genesis(self, seed: int) -> dict[str, NDArray[Any]]:
        """Return initial tensors: the same for the same seed, and no global random state used or moved."""

    def load(self, source: Path | pd.DataFrame) -> Dataset:
        """Read a member's own data and check them against the plan.

        Raises:
            DataError: they do not fit; file, column and row are named, for the member's eyes only.
        """

    def train(self, model: Mapping[str, NDArray[Any]], data: Any, *, seed: int) -> TrainedModel:
        """Train from a round's base model, which stays as it is.

        Args:
            model: all tensors by name.
            data: what ``load`` returned.
            seed: 0 to 2^64 − 1; equal arguments give equal bytes on one machine.

        Raises:
            UsageError: the model does not fit, or training diverged.
        """

    def evaluate(self, model: Mapping[str, NDArray[Any]], data: Any) -> Mapping[str, float | None]:
        """Score a model on the held-out rows: finite numbers, or None where a metric is not defined."""


_factories: dict[str, Callable[[Mapping[str, Any]], Task]] = {KIND: TabularClassification.from_document}


def register_task(kind: str, factory: Callable[[Mapping[str, Any]], Task]) -> None:
    """Make a kind of task known to this process.

    Args:
        kind: the value of ``kind`` in a plan's ``task``.
        factory: given a plan's ``task``, returns the task or raises UsageError; a plan may come from anybody.

    Raises:
        UsageError: the kind is taken.
    """
    if kind in _factories:
        raise UsageError("kind of task to register", expected="one that is not taken", got=kind)
    _factories[kind] = factory


def task_from(document: Mapping[str, Any]) -> Task:
    """Return the task that a document describes; this is how a plan's author gets the genesis model.

    Raises:
        UsageError: the kind is unknown, or the document is not what its kind asks for.
    """
    kind = document.get("kind")
    factory = _factories.get(kind) if isinstance(kind, str) else None
    if factory is None:
        raise UsageError("kind of task", expected=f"one of {', '.join(sorted(_factories))}", got=kind)
    return factory(document)


def task_for(plan: Plan) -> Task:
    """Return a plan's task, after checking that the rest of the plan fits it.

    Raises:
        UsageError: the task is unknown or malformed, its tensors are not the plan's, no update of theirs
            would fit into the plan's ``max_bytes``, or the plan asks for a metric that the task has not.
    """
    task = task_from(plan.task)
    specs = task.tensors()
    for expected, got in zip(specs, plan.tensors, strict=False):
        if expected != got:
            raise UsageError("tensors of the plan", expected=expected, got=got)
    if len(specs) != len(plan.tensors):
        raise UsageError("number of tensors of the plan", expected=len(specs), got=len(plan.tensors))
    length = len(encode_header(plan.trainable, {})) + sum(spec.nbytes for spec in plan.trainable)
    if length > plan.limits.max_bytes:
        raise UsageError("max_bytes of the plan", expected=f"at least {length}", got=plan.limits.max_bytes)
    for name in plan.metrics.names:
        if name not in task.metrics:
            raise UsageError("metric of the plan", expected=f"one of {', '.join(task.metrics)}", got=name)
    return task
