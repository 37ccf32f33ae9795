"""The task of a tabular classification: what ``node.tasks.Task`` asks for, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ledger.errors import UsageError
from node.metrics import CLASSIFICATION_METRICS, classification_metrics
from node.tabular.network import Network
from node.tabular.preparation import TabularData, prepare
from node.tabular.schema import TabularSchema
from node.tabular.table import Table
from node.training import TrainedModel, deterministic_torch, fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from ledger.tensors import TensorSpec

__all__ = ["TabularClassification"]

_SCORED_ROWS = 1 << 14  # at once, so that memory does not grow with both rows and width


class TabularClassification:
    """Logistic regression or an MLP on a hospital's table.

    Nothing of a hospital's rows leaves these methods but the trained tensors, their number and the metrics.
    Errors about data show the cell at fault; they are for the hospital's own operator.

    Args:
        schema: what the plan fixes.
    """

    def __init__(self, schema: TabularSchema) -> None:
        self._schema = schema
        self._network = Network(schema.architecture, schema.features, len(schema.classes))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TabularClassification:
        """Build the task from a plan's ``task``.

        Raises:
            UsageError: it is not what it must be.
        """
        return cls(TabularSchema.parse(document))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that ``evaluate`` returns."""
        return CLASSIFICATION_METRICS

    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the model's tensors, all of them trainable."""
        return self._network.specs()

    def genesis(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return initial tensors; the same seed gives the same bytes on every machine."""
        return self._network.genesis(seed)

    def load(self, source: Path | pd.DataFrame) -> TabularData:
        """Read a hospital's own rows and check them against the plan; ``node.tabular.preparation`` says how.

        Columns that the plan does not name are ignored; of a file they are not even kept.

        Raises:
            DataError: they do not fit; file, column and row are named.
        """
        wanted = [self._schema.label, *(column.name for column in self._schema.columns)]
        return prepare(Table.of(source, wanted), self._schema)

    def train(self, model: Mapping[str, NDArray[Any]], data: TabularData, *, seed: int) -> TrainedModel:
        """Train on the training rows from a given model, which stays as it is; see ``node.training.fit``.

        Raises:
            UsageError: the model has other tensors than this task, or training diverged.
        """
        self._check(model)
        features, labels = torch.from_numpy(data.train_features), torch.from_numpy(data.train_labels)

        def batch_loss(parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
            return self._network.loss(self._network.logits(parameters, features[rows]), labels[rows])

        return fit(model, batch_loss, data.num_examples, self._schema.training, seed=seed)

    def evaluate(self, model: Mapping[str, NDArray[Any]], data: TabularData) -> dict[str, float | None]:
        """Score a model on the held-out rows; see ``node.metrics.classification_metrics``.

        Raises:
            UsageError: the model has other tensors than this task.
        """
        self._check(model)
        with deterministic_torch(), torch.no_grad():
            parameters = {name: torch.from_numpy(np.array(value)) for name, value in model.items()}
            parts = torch.split(torch.from_numpy(data.test_features), _SCORED_ROWS)
            scores = [
                self._network.log_probabilities(self._network.logits(parameters, part)) for part in parts
            ]
            return classification_metrics(torch.cat(scores).numpy(), data.test_labels)

    def _check(self, model: Mapping[str, NDArray[Any]]) -> None:
        expected = {spec.name: ("float32", spec.shape) for spec in self.tensors()}
        got = {name: (str(value.dtype), value.shape) for name, value in model.items()}
        if got != expected:
            raise UsageError("tensors of the model", expected=expected, got=got)
