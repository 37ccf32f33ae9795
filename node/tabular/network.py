"""The models of a tabular classification: logistic regression and a multilayer perceptron, in float32.

Two classes take one output, the logit of the second class; more take one logit each. Tensors are named
``linear.weight`` and ``linear.bias``, or ``layers.0.weight``, ``layers.0.bias``, ``layers.1.weight``, …;
weights are (outputs, inputs) as in ``torch.nn.Linear``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from ledger.errors import UsageError
from ledger.tensors import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ledger.canonical import Fields

__all__ = ["Architecture", "Network"]

_MAX_LAYERS, _MAX_WIDTH = 16, 1 << 16
_MAX_PARAMETERS = 1 << 27  # 512 MiB of float32


@dataclass(frozen=True, slots=True)
class Architecture:
    """Which model.

    Args:
        hidden: widths of the hidden layers, each followed by ReLU; none is logistic regression.
    """

    hidden: tuple[int, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as it stands in the plan."""
        if not self.hidden:
            return {"architecture": "logistic"}
        return {"architecture": "mlp", "hidden": list(self.hidden)}

    @classmethod
    def parse(cls, fields: Fields) -> Architecture:
        """Read it from a document."""
        hidden: tuple[Any, ...] = ()
        if fields.choice("architecture", ("logistic", "mlp")) == "mlp":
            hidden = tuple(fields.take("hidden", list))
            if not 1 <= len(hidden) <= _MAX_LAYERS or not all(_is_width(width) for width in hidden):
                raise UsageError(
                    f"{fields.path}: hidden",
                    expected=f"1 to {_MAX_LAYERS} widths from 1 to {_MAX_WIDTH}",
                    got=list(hidden),
                )
        fields.end()
        return cls(hidden)


def _is_width(value: object) -> bool:
    return type(value) is int and 1 <= value <= _MAX_WIDTH


class Network:
    """A model with its sizes.

    Args:
        architecture: which model.
        inputs: features of a row.
        classes: number of classes, at least 2.

    Raises:
        UsageError: it would have more than 2^27 parameters.
    """

    def __init__(self, architecture: Architecture, inputs: int, classes: int) -> None:
        self._outputs = 1 if classes == 2 else classes
        widths = [inputs, *architecture.hidden, self._outputs]
        self._shapes = {
            f"layers.{i}" if architecture.hidden else "linear": (widths[i + 1], widths[i])
            for i in range(len(widths) - 1)
        }
        parameters = sum(rows * columns + rows for rows, columns in self._shapes.values())
        if parameters > _MAX_PARAMETERS:
            raise UsageError("parameters of the model", expected=f"at most {_MAX_PARAMETERS}", got=parameters)

    def specs(self) -> tuple[TensorSpec, ...]:
        """Return the tensors, layer by layer, weight before bias."""
        return tuple(
            spec
            for name, (rows, columns) in self._shapes.items()
            for spec in (
                TensorSpec(f"{name}.weight", "F32", (rows, columns)),
                TensorSpec(f"{name}.bias", "F32", (rows,)),
            )
        )

    def genesis(self, seed: int) -> dict[str, NDArray[np.float32]]:
        """Return initial tensors, the same bytes on every machine.

        Biases are zero. Weights of an MLP are uniform within ±√(6 / inputs) of their layer (He et al., 2015,
        "Delving Deep into Rectifiers"); those of logistic regression are zero, as its loss is convex.

        Raises:
            UsageError: the seed is negative.
        """
        if seed < 0:
            raise UsageError("seed of the genesis model", expected="0 or more", got=seed)
        # numpy promises that a bit generator's raw stream stays as it is; of distributions it does not.
        stream = np.random.PCG64(seed)
        tensors: dict[str, NDArray[np.float32]] = {}
        for name, (rows, columns) in self._shapes.items():
            bound = math.sqrt(6.0 / columns) if name != "linear" else 0.0
            unit = (stream.random_raw(rows * columns) >> np.uint64(11)) * 2.0**-53
            weight = ((2.0 * unit - 1.0) * bound).astype(np.float32) + np.float32(0.0)  # no negative zero
            tensors[f"{name}.weight"] = weight.reshape(rows, columns)
            tensors[f"{name}.bias"] = np.zeros(rows, dtype=np.float32)
        return tensors

    def logits(self, parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """Return the logits of some rows: float32, (rows, outputs)."""
        last = len(self._shapes) - 1
        for i, name in enumerate(self._shapes):
            rows = functional.linear(rows, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            if i < last:
                rows = functional.relu(rows)
        return rows

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of some rows.

        Args:
            logits: as ``logits`` gives them.
            labels: int64, (rows,); index of each row's class.
        """
        if self._outputs == 1:
            return functional.binary_cross_entropy_with_logits(logits.squeeze(1), labels.to(logits.dtype))
        return functional.cross_entropy(logits, labels)

    def log_probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the natural logarithms of the classes' probabilities: float64, (rows, classes)."""
        logits = logits.double()
        if self._outputs == 1:
            return torch.cat([functional.logsigmoid(-logits), functional.logsigmoid(logits)], dim=1)
        return functional.log_softmax(logits, dim=1)
