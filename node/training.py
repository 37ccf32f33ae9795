"""Local training with torch that gives the same bytes for the same seed.

Guarantees of ``fit`` on one machine and one torch build: equal model, data, settings and seed give equal
bytes, whatever the state of the global random generators, torch's thread count and earlier calls; and all of
that state is afterwards as it was. Between machines the bytes may differ, as matrix kernels depend on the
CPU. Nothing rests on them being equal: members recompute the aggregate, never each other's training.
"""

from __future__ import annotations

import hashlib
import math
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from ledger.canonical import Fields

__all__ = ["TrainedModel", "TrainingSettings", "derive_seed", "deterministic_torch", "fit"]

_OPTIMIZERS = ("sgd", "adam")
_MAX_SEED = (1 << 64) - 1

# Thread counts and determinism are settings of the whole process, so two trainings at once would undo each
# other's. One lock makes them wait for each other; reentrant, because a task may evaluate while it trains.
_torch_settings = threading.RLock()


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a member trains in one round; part of the plan.

    Args:
        epochs: passes over the training rows, 1 to 10,000.
        batch_size: rows in a batch; the last batch of an epoch may be smaller.
        learning_rate: step size of the optimizer.
        momentum: of SGD, without dampening or Nesterov's variant; must be 0 for Adam, which has its own.
        weight_decay: factor of the L2 penalty that is added to the gradient.
        proximal_mu: FedProx's factor μ (Li et al., 2020, "Federated Optimization in Heterogeneous Networks",
            equation 2); 0 is plain FedAvg.
        optimizer: ``sgd``, or ``adam`` with β = (0.9, 0.999) and ε = 1e-8. Its state lives for one round.
    """

    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0
    proximal_mu: float = 0.0
    optimizer: str = "sgd"

    @classmethod
    def parse(cls, fields: Fields) -> TrainingSettings:
        """Read the settings from a document.

        Raises:
            MalformedDocument: a field is missing, unknown or out of range.
        """
        optimizer = fields.choice("optimizer", _OPTIMIZERS)
        settings = cls(
            epochs=fields.integer("epochs", 1, 10_000),
            batch_size=fields.integer("batch_size", 1, 1 << 31),
            learning_rate=fields.number("learning_rate", 1e-12, 1e3),
            momentum=fields.number("momentum", 0.0, 1.0 if optimizer == "sgd" else 0.0),
            weight_decay=fields.number("weight_decay", 0.0, 1e3),
            proximal_mu=fields.number("proximal_mu", 0.0, 1e6),
            optimizer=optimizer,
        )
        fields.end()
        return settings

    def document(self) -> dict[str, Any]:
        """Return the settings as they stand in the plan."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a member's training came to.

    Args:
        tensors: all tensors of the model by name; trainable ones are float32.
        num_examples: training rows, which weight the update in the average.
        loss: mean loss over the rows of the last epoch, without the proximal term and the L2 penalty.
    """

    tensors: Mapping[str, NDArray[Any]] = field(repr=False)
    num_examples: int
    loss: float


def derive_seed(seed: int, run: int, round_number: int, member: int) -> int:
    """Return the seed of one member's training in one round: 64 bits of a SHA-256.

    Args:
        seed: the consortium's or the node's own seed, below 2^256 like the others.
        run: the run.
        round_number: the round in it.
        member: the member's index.
    """
    numbers = (seed, run, round_number, member)
    if not all(0 <= n < 1 << 256 for n in numbers):
        raise UsageError("seed, run, round and member", expected="integers from 0 to 2^256 - 1", got=numbers)
    material = b"fedledger/training-seed/1" + b"".join(n.to_bytes(32, "big") for n in numbers)
    return int.from_bytes(hashlib.sha256(material).digest()[:8], "big")


@contextmanager
def deterministic_torch() -> Iterator[None]:
    """One thread, deterministic kernels, full float32 precision, subnormals kept; restored at the end.

    One thread because a sum split over threads is added in another order. Other threads of the process that
    enter wait here until this one leaves.
    """
    with _torch_settings:
        threads = torch.get_num_threads()
        deterministic = torch.are_deterministic_algorithms_enabled()
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        precision = torch.get_float32_matmul_precision()
        # torch can set this flag but not tell it; a subnormal that vanishes does.
        flushing = float(np.float64(1e-310) * np.float64(1.0)) == 0.0
        try:
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
            torch.set_float32_matmul_precision("highest")
            torch.set_flush_denormal(False)
            yield
        finally:
            torch.set_flush_denormal(flushing)
            torch.set_float32_matmul_precision(precision)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.set_num_threads(threads)


def fit(
    model: Mapping[str, NDArray[np.float32]],
    batch_loss: Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor],
    num_examples: int,
    settings: TrainingSettings,
    *,
    seed: int,
) -> TrainedModel:
    """Train from a round's base model on a member's rows.

    Args:
        model: the tensors to train, float32; left as they are.
        batch_loss: given the parameters by name and the int64 indices of a batch's rows, the mean loss over
            that batch, a scalar. It must draw no random numbers of its own.
        num_examples: number of rows, at least 1.
        settings: optimizer, proximal term, epochs.
        seed: 0 to 2^64 − 1; fixes the order of the rows, see ``derive_seed``.

    Raises:
        UsageError: the seed or the number of rows is out of range, or training diverged: the loss or a
            parameter is no longer finite. The message names the epoch.
    """
    if not 0 <= seed <= _MAX_SEED or num_examples < 1:
        raise UsageError(
            "seed and rows", expected="0 to 2^64 - 1, at least 1 row", got=f"{seed}, {num_examples}"
        )
    with deterministic_torch(), torch.enable_grad():
        base = {name: torch.from_numpy(np.array(value, dtype=np.float32)) for name, value in model.items()}
        parameters = {name: value.clone().requires_grad_() for name, value in base.items()}
        optimizer = _optimizer(list(parameters.values()), settings)
        order = torch.Generator().manual_seed(seed)
        loss = math.nan
        for epoch in range(1, settings.epochs + 1):
            losses = []
            for rows in _batches(num_examples, settings.batch_size, order):
                optimizer.zero_grad()
                data_loss = batch_loss(parameters, rows)
                (data_loss + _proximal_term(parameters, base, settings.proximal_mu)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(data_loss.item() * len(rows))
            loss = math.fsum(losses) / num_examples if all(map(math.isfinite, losses)) else math.nan
            if not math.isfinite(loss) or not all(bool(p.isfinite().all()) for p in parameters.values()):
                raise UsageError(f"training diverged in epoch {epoch}", expected="finite loss and parameters")
        tensors = {name: value.detach().numpy() for name, value in parameters.items()}
    return TrainedModel(tensors, num_examples, loss)


def _batches(rows: int, batch_size: int, order: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Return one epoch's batches: each row once, in an order drawn anew, the last batch possibly smaller."""
    return torch.split(torch.randperm(rows, generator=order), batch_size)


def _optimizer(parameters: list[torch.Tensor], settings: TrainingSettings) -> torch.optim.Optimizer:
    # foreach and fused choose other kernels by device and size; the plain loop is the reference.
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            parameters,
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            foreach=False,
            fused=False,
        )
    return torch.optim.SGD(
        parameters,
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        foreach=False,
        fused=False,
    )


def _proximal_term(
    parameters: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor], mu: float
) -> torch.Tensor | float:
    """μ/2 · ‖w − w_global‖², over all parameters."""
    if mu == 0.0:
        return 0.0
    return mu / 2 * torch.stack([(parameters[name] - base[name]).square().sum() for name in base]).sum()
