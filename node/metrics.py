"""Metrics of a classifier on a member's held-out rows.

Values are plain floats rounded to 6 decimals, because float32 scores carry no more and because they go into a
canonical JSON report; None stands where a metric is not defined on the rows at hand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLASSIFICATION_METRICS", "classification_metrics"]

CLASSIFICATION_METRICS = ("accuracy", "auc", "log_loss")

_DECIMALS = 6
_LEAST_LOG_PROBABILITY = math.log(1e-15)
"""One confident mistake must not make the mean loss of a whole hospital infinite."""


def classification_metrics(
    log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> dict[str, float | None]:
    """Score a classifier.

    Args:
        log_probabilities: float64, (rows, classes); natural logarithms.
        labels: int64, (rows,); index of each row's class.

    Returns:
        ``accuracy`` (of the most probable class, the first among equals), ``auc`` (area under the ROC curve:
        of the second class where there are two, else the mean over classes, each against the rest; None
        unless every class is present), ``log_loss`` (mean of −ln p of the true class, p at least 1e-15). All
        are None where there are no rows or a score is not a number.
    """
    if len(labels) == 0 or bool(np.isnan(log_probabilities).any()):
        return dict.fromkeys(CLASSIFICATION_METRICS)
    hits = int(np.count_nonzero(log_probabilities.argmax(axis=1) == labels))
    of_truth = np.maximum(log_probabilities[np.arange(len(labels)), labels], _LEAST_LOG_PROBABILITY)
    return {
        "accuracy": _rounded(hits / len(labels)),
        "auc": _auc(log_probabilities, labels),
        "log_loss": _rounded(-math.fsum(of_truth.tolist()) / len(labels)),
    }


def _auc(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    classes = log_probabilities.shape[1]
    if len(np.unique(labels)) < classes:
        return None
    # Ranks decide, so logarithms serve as well as probabilities and do not saturate at 1. sklearn takes no
    # infinities; the least float64 keeps a class of probability zero in last place.
    scores = np.maximum(log_probabilities, np.finfo(np.float64).min)
    one_against_rest = [1] if classes == 2 else range(classes)
    areas = [float(roc_auc_score(labels == c, scores[:, c])) for c in one_against_rest]
    return _rounded(math.fsum(areas) / len(areas))


def _rounded(value: float) -> float:
    return round(value, _DECIMALS) + 0.0  # a negative zero becomes 0.0
