"""The training loop: the same bytes for the same seed, nothing global moved, FedProx as published."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import UsageError
from node.training import TrainedModel, TrainingSettings, derive_seed, deterministic_torch, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SETTINGS = TrainingSettings(epochs=3, batch_size=8, learning_rate=0.1, momentum=0.9)

_RNG = np.random.Generator(np.random.PCG64(5))
FEATURES = _RNG.standard_normal((50, 6)).astype(np.float32)
TARGETS = (FEATURES @ np.arange(-3, 3, dtype=np.float32) + 0.5).astype(np.float32)


def _model() -> dict[str, NDArray[np.float32]]:
    return {"weight": np.full(6, 0.25, dtype=np.float32), "bias": np.zeros((), dtype=np.float32)}


def _squared_error(parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    residuals = torch.from_numpy(FEATURES)[rows] @ parameters["weight"] + parameters["bias"]
    return (residuals - torch.from_numpy(TARGETS)[rows]).square().mean()


def _train(settings: TrainingSettings = SETTINGS, *, seed: int = 7) -> TrainedModel:
    return fit(_model(), _squared_error, len(FEATURES), settings, seed=seed)


def _bytes(trained: TrainedModel) -> bytes:
    return b"".join(tensor.tobytes() for tensor in trained.tensors.values())


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(optimizer: str) -> None:
    settings = replace(SETTINGS, optimizer=optimizer, momentum=0.0)
    assert _bytes(_train(settings)) == _bytes(_train(settings))
    assert _bytes(_train(settings)) != _bytes(_train(settings, seed=8))


@pytest.mark.usefixtures("threads")
def test_global_random_state_and_thread_count_do_not_matter() -> None:
    expected = _bytes(_train())
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        torch.manual_seed(count)
        np.random.seed(count)
        random.seed(count)
        torch.rand(count)
        with torch.no_grad():
            assert _bytes(_train()) == expected


@pytest.mark.usefixtures("threads")
def test_global_state_is_afterwards_as_it_was() -> None:
    torch.set_num_threads(3)
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    _train()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (str(np.random.get_state()), random.getstate())
    assert torch.get_num_threads() == 3
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.usefixtures("threads")
def test_settings_are_restored_when_training_fails() -> None:
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with pytest.raises(UsageError, match="diverged"):
            _train(replace(SETTINGS, learning_rate=1000.0, momentum=1.0))
        assert torch.get_num_threads() == 2
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=False)


def test_vanishing_subnormals_do_not_matter_and_stay_as_they_were() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this CPU cannot flush subnormals to zero")
    try:
        with deterministic_torch():
            assert torch.tensor(1e-310, dtype=torch.float64).mul(1.0).item() != 0.0
        assert torch.tensor(1e-310, dtype=torch.float64).mul(1.0).item() == 0.0
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.usefixtures("threads")
def test_training_runs_on_one_thread_with_deterministic_kernels() -> None:
    torch.set_num_threads(3)
    seen = set()

    def watched(parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        seen.add((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return _squared_error(parameters, rows)

    fit(_model(), watched, 50, SETTINGS, seed=1)
    assert seen == {(1, True)}


def test_trainings_at_the_same_time_wait_for_each_other_and_give_the_same_bytes() -> None:
    expected = [_bytes(_train(seed=seed)) for seed in range(6)]
    got = [b""] * 6
    batches: list[int] = []

    def work(seed: int) -> None:
        def watched(parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
            batches.append(seed)
            return _squared_error(parameters, rows)

        got[seed] = _bytes(fit(_model(), watched, 50, SETTINGS, seed=seed))

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert got == expected
    turns = [seed for seed, before in zip(batches, [-1, *batches], strict=False) if seed != before]
    assert sorted(turns) == list(range(6))


def test_a_fresh_process_gives_the_same_bytes() -> None:
    code = "from tests.node.test_training import _bytes, _train; print(_bytes(_train()).hex())"
    environment = {**os.environ, "PYTHONHASHSEED": "99", "OMP_NUM_THREADS": "3"}
    fresh = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert fresh.stdout.strip() == _bytes(_train()).hex()


def test_the_given_model_stays_as_it_is() -> None:
    model = _model()
    trained = fit(model, _squared_error, len(FEATURES), SETTINGS, seed=1)
    assert all(np.array_equal(model[name], value) for name, value in _model().items())
    assert all(not np.shares_memory(model[name], value) for name, value in trained.tensors.items())
    assert {str(tensor.dtype) for tensor in trained.tensors.values()} == {"float32"}


def test_each_epoch_sees_each_row_once_with_a_small_batch_at_the_end() -> None:
    seen: list[list[int]] = []

    def watched(parameters: Mapping[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.tolist())
        return _squared_error(parameters, rows)

    fit(_model(), watched, 50, SETTINGS, seed=1)
    epochs = [[row for batch in seen[i : i + 7] for row in batch] for i in range(0, 21, 7)]
    assert [len(batch) for batch in seen] == [8, 8, 8, 8, 8, 8, 2] * 3
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "mu"), [(0.0, 0.0, 0.0), (0.9, 0.01, 0.0), (0.5, 0.02, 0.7)]
)
def test_sgd_and_the_proximal_term_are_those_of_the_paper(
    momentum: float, weight_decay: float, mu: float
) -> None:
    """Full batches, gradients by hand in float64: g + λw + μ(w − w_global), heavy-ball momentum."""
    settings = TrainingSettings(
        epochs=5,
        batch_size=50,
        learning_rate=0.05,
        momentum=momentum,
        weight_decay=weight_decay,
        proximal_mu=mu,
    )
    x = np.hstack([FEATURES, np.ones((50, 1))]).astype(np.float64)
    base = np.array([0.25] * 6 + [0.0])
    w, velocity = base.copy(), np.zeros(7)
    for _ in range(5):
        gradient = 2 * x.T @ (x @ w - TARGETS) / 50 + weight_decay * w + mu * (w - base)
        velocity = momentum * velocity + gradient
        w = w - 0.05 * velocity
    trained = _train(settings)
    got = np.append(trained.tensors["weight"], trained.tensors["bias"])
    np.testing.assert_allclose(got, w, rtol=1e-5, atol=1e-6)


def test_adam_is_the_one_of_plain_torch() -> None:
    settings = TrainingSettings(epochs=4, batch_size=50, learning_rate=0.01, momentum=0.0, optimizer="adam")
    w = torch.tensor([0.25] * 6 + [0.0], requires_grad=True)
    adam = torch.optim.Adam([w], lr=0.01)
    for _ in range(4):
        adam.zero_grad()
        residuals = torch.from_numpy(FEATURES) @ w[:6] + w[6] - torch.from_numpy(TARGETS)
        w.grad = torch.autograd.grad(residuals.square().mean(), w)[0]
        adam.step()
    trained = _train(settings)
    got = np.append(trained.tensors["weight"], trained.tensors["bias"])
    np.testing.assert_allclose(got, w.detach().numpy(), rtol=1e-5)


def test_a_stronger_proximal_term_keeps_the_model_nearer_to_the_global_one() -> None:
    distances = []
    for mu in (0.0, 0.5, 5.0):
        trained = _train(replace(SETTINGS, momentum=0.0, proximal_mu=mu))
        distances.append(float(np.linalg.norm(trained.tensors["weight"] - _model()["weight"])))
    assert distances == sorted(distances, reverse=True)
    assert distances[2] < 0.5 * distances[0]


def test_the_loss_is_that_of_the_last_epoch_and_without_penalties() -> None:
    """With a step too small to move anything it is the loss of the base model."""
    still = TrainingSettings(epochs=2, batch_size=8, learning_rate=1e-12, weight_decay=9.0, proximal_mu=9.0)
    residuals = FEATURES.astype(np.float64) @ np.full(6, 0.25) - TARGETS
    assert _train(still).loss == pytest.approx(np.mean(residuals**2), rel=1e-5)


def test_divergence_is_an_error_that_names_the_epoch() -> None:
    with pytest.raises(
        UsageError, match=r"training diverged in epoch [12]: expected finite loss and parameters"
    ):
        _train(replace(SETTINGS, learning_rate=1000.0, epochs=2, momentum=1.0))


def test_a_last_step_to_infinity_is_divergence_too() -> None:
    """The loss before the step is 0; the parameter after it is beyond float32."""
    model = {"w": np.zeros((), dtype=np.float32)}
    settings = TrainingSettings(epochs=1, learning_rate=1e3, momentum=0.0)
    with pytest.raises(UsageError, match="training diverged in epoch 1"):
        fit(model, lambda p, _: p["w"] * -1e36, 1, settings, seed=0)


@pytest.mark.parametrize(("seed", "rows"), [(-1, 1), (1 << 64, 1), (0, 0)])
def test_a_seed_or_number_of_rows_out_of_range_is_refused(seed: int, rows: int) -> None:
    with pytest.raises(UsageError, match="seed and rows"):
        fit(_model(), _squared_error, rows, SETTINGS, seed=seed)


def test_the_largest_seed_trains() -> None:
    assert _train(seed=(1 << 64) - 1).num_examples == 50


_numbers = st.tuples(*[st.integers(0, (1 << 256) - 1) | st.integers(0, 3)] * 4)


@given(_numbers, _numbers)
def test_each_seed_run_round_and_member_has_a_seed_of_its_own(
    one: tuple[int, ...], two: tuple[int, ...]
) -> None:
    assert (derive_seed(*one) == derive_seed(*two)) == (one == two)
    assert 0 <= derive_seed(*one) < 1 << 64


def test_a_derived_seed_never_changes() -> None:
    assert derive_seed(7, 1, 2, 3) == 3082367725151429083


def test_a_negative_number_has_no_derived_seed() -> None:
    with pytest.raises(UsageError, match="expected integers from 0"):
        derive_seed(0, 0, -1, 0)
