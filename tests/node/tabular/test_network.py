"""The two models, against plain torch modules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ledger.cid import digest_of
from ledger.errors import UsageError
from ledger.tensors import TensorSpec
from node.tabular.network import Architecture, Network


def test_logistic_regression_has_one_linear_layer_and_one_logit_for_two_classes() -> None:
    assert Network(Architecture(), 5, 2).specs() == (
        TensorSpec("linear.weight", "F32", (1, 5)),
        TensorSpec("linear.bias", "F32", (1,)),
    )


def test_an_mlp_names_its_layers_in_order_and_has_a_logit_for_each_of_three_classes() -> None:
    specs = Network(Architecture((4, 2)), 5, 3).specs()
    assert [(spec.name, spec.shape) for spec in specs] == [
        ("layers.0.weight", (4, 5)),
        ("layers.0.bias", (4,)),
        ("layers.1.weight", (2, 4)),
        ("layers.1.bias", (2,)),
        ("layers.2.weight", (3, 2)),
        ("layers.2.bias", (3,)),
    ]


def test_a_model_too_large_for_memory_is_refused_before_it_is_built() -> None:
    with pytest.raises(UsageError, match="parameters of the model: expected at most 134217728"):
        Network(Architecture((1 << 16, 1 << 16)), 10, 2)


def test_genesis_of_logistic_regression_is_zero() -> None:
    genesis = Network(Architecture(), 5, 2).genesis(seed=3)
    assert all(not tensor.any() for tensor in genesis.values())


def test_genesis_of_an_mlp_is_the_same_bytes_everywhere() -> None:
    """The digest is written down: a new numpy or another CPU must not move it."""
    genesis = Network(Architecture((4, 2)), 5, 3).genesis(seed=3)
    joined = b"".join(tensor.tobytes() for tensor in genesis.values())
    assert digest_of(joined).hex() == "8889169837f8a19efba664bf4f10c783b4a8d0a060fdc1378b631c0934ab30d8"


def test_genesis_weights_fill_he_bounds_and_change_with_the_seed() -> None:
    network = Network(Architecture((64,)), 24, 2)
    weight = network.genesis(seed=0)["layers.0.weight"]
    bound = math.sqrt(6 / 24)
    assert np.abs(weight).max() <= bound
    assert np.abs(weight).max() > 0.99 * bound
    assert abs(weight.mean()) < 0.05 * bound
    assert weight.tobytes() != network.genesis(seed=1)["layers.0.weight"].tobytes()


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed of the genesis model"):
        Network(Architecture(), 1, 2).genesis(-1)


@pytest.mark.parametrize("hidden", [(), (4,), (4, 3)])
@pytest.mark.parametrize("classes", [2, 3])
def test_logits_and_loss_are_those_of_plain_torch_modules(hidden: tuple[int, ...], classes: int) -> None:
    network = Network(Architecture(hidden), 5, classes)
    generator = torch.Generator().manual_seed(1)
    parameters = {s.name: torch.randn(s.shape, generator=generator) for s in network.specs()}
    rows = torch.randn((7, 5), generator=generator)
    labels = torch.tensor([0, 1, classes - 1, 0, 1, 1, 0])

    modules: list[nn.Module] = []
    for weight, bias in zip(list(parameters.values())[::2], list(parameters.values())[1::2], strict=True):
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = weight, bias
        modules += [linear, nn.ReLU()]
    logits = nn.Sequential(*modules[:-1])(rows).detach()
    if classes == 2:
        loss = nn.BCEWithLogitsLoss()(logits[:, 0], labels.float())
        probabilities = torch.stack(
            [1 - logits[:, 0].double().sigmoid(), logits[:, 0].double().sigmoid()], dim=1
        )
    else:
        loss = nn.CrossEntropyLoss()(logits, labels)
        probabilities = logits.double().softmax(dim=1)

    torch.testing.assert_close(network.logits(parameters, rows), logits)
    torch.testing.assert_close(network.loss(logits, labels), loss)
    torch.testing.assert_close(network.log_probabilities(logits).exp(), probabilities)
