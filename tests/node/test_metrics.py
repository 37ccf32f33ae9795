"""Metrics, against sklearn's and against values worked by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from node.metrics import CLASSIFICATION_METRICS, classification_metrics


def _of(probabilities: list[list[float]], labels: list[int]) -> dict[str, float | None]:
    with np.errstate(divide="ignore"):
        return classification_metrics(np.log(np.array(probabilities)), np.array(labels))


def test_two_classes_by_hand() -> None:
    metrics = _of([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], [0, 0, 1, 1])
    loss = -(math.log(0.9) + math.log(0.4) + math.log(0.7) + math.log(0.2)) / 4
    assert metrics == {"accuracy": 0.5, "auc": 0.75, "log_loss": round(loss, 6)}


def test_auc_is_undefined_with_one_class_and_the_rest_is_not() -> None:
    assert _of([[0.9, 0.1], [0.4, 0.6]], [0, 0]) == {
        "accuracy": 0.5,
        "auc": None,
        "log_loss": round(-(math.log(0.9) + math.log(0.4)) / 2, 6),
    }


def test_auc_of_three_classes_is_undefined_without_one_of_them() -> None:
    assert _of([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]], [0, 1])["auc"] is None


def test_nothing_is_defined_without_rows() -> None:
    metrics = classification_metrics(np.empty((0, 2)), np.empty(0, dtype=np.int64))
    assert metrics == dict.fromkeys(CLASSIFICATION_METRICS)


def test_nothing_is_defined_where_the_model_gives_no_number() -> None:
    assert _of([[math.nan, 0.5], [0.5, 0.5]], [0, 1]) == dict.fromkeys(CLASSIFICATION_METRICS)


def test_one_confident_mistake_leaves_the_loss_finite() -> None:
    metrics = _of([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    assert metrics["log_loss"] == round(-math.log(1e-15) / 2, 6)


def test_a_probability_of_zero_ranks_last() -> None:
    assert _of([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], [0, 1, 1])["auc"] == 1.0


def test_scores_beyond_float32_still_rank() -> None:
    """At a logit of 100 both probabilities round to 1; their logarithms do not."""
    logits = np.array([[-100.0], [100.0], [101.0]])
    log_probabilities = np.hstack([-np.logaddexp(0, logits), -np.logaddexp(0, -logits)])
    assert classification_metrics(log_probabilities, np.array([0, 0, 1]))["auc"] == 1.0


_rows = st.integers(2, 4).flatmap(
    lambda classes: st.lists(
        st.tuples(
            st.integers(0, classes - 1), st.lists(st.floats(0.01, 1), min_size=classes, max_size=classes)
        ),
        min_size=1,
        max_size=25,
    )
)


@given(_rows)
def test_metrics_are_those_of_sklearn(rows: list[tuple[int, list[float]]]) -> None:
    labels = np.array([label for label, _ in rows])
    probabilities = np.array([scores for _, scores in rows])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = probabilities.shape[1]
    metrics = classification_metrics(np.log(probabilities), labels)
    assert metrics["accuracy"] == pytest.approx(
        accuracy_score(labels, np.log(probabilities).argmax(axis=1)), abs=1e-6
    )
    assert metrics["log_loss"] == pytest.approx(
        log_loss(labels, probabilities, labels=range(classes)), abs=1e-6
    )
    if len(set(labels.tolist())) < classes:
        assert metrics["auc"] is None
    else:
        # Logarithms, because rounding may tie or untie probabilities that lie within an ulp.
        ranks = np.log(probabilities)
        areas = [roc_auc_score(labels == c, ranks[:, c]) for c in ([1] if classes == 2 else range(classes))]
        assert metrics["auc"] == pytest.approx(np.mean(areas), abs=1e-6)
    assert json.loads(json.dumps(metrics)) == metrics
