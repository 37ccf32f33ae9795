"""Update and model files: what is written opens anywhere, what is read is what the plan says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save

from ledger.cid import PayloadRef, digest_of
from ledger.documents import MAX_WEIGHT
from ledger.errors import UnavailableError, UsageError, VerificationError
from ledger.records import LedgerId
from ledger.tensors import MODEL_METADATA, TensorSpec, UpdateBinding, parse_layout
from node.updates import read_model, write_model, write_update

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SPECS = (
    TensorSpec("layer.weight", "F32", (2, 3)),
    TensorSpec("empty", "F32", (0, 4)),
    TensorSpec("scale", "F32", ()),
    TensorSpec("steps", "I64", (2,), trainable=False),
    TensorSpec("mask", "BOOL", (3,), trainable=False),
    TensorSpec("half", "BF16", (2,), trainable=False),
)
BINDING = UpdateBinding(LedgerId(1337, bytes(range(20))), 1, 2, 3, b"\xab" * 32, num_examples=40)


def _model(scale: float = 1.0) -> dict[str, NDArray[Any]]:
    return {
        "layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3) * np.float32(scale),
        "empty": np.empty((0, 4), dtype=np.float32),
        "scale": np.array(scale, dtype=np.float32),
        "steps": np.array([1, -(1 << 60)], dtype=np.int64),
        "mask": np.array([True, False, True]),
        "half": np.array([0x3F80, 0xBF80], dtype=np.uint16),
    }


def _write(path: Path, trained: dict[str, NDArray[Any]], *, max_abs: float = 100.0) -> PayloadRef:
    return write_update(path, trained, _model(), SPECS, BINDING, max_abs=max_abs)


def test_an_update_opens_with_the_safetensors_library_and_says_what_it_is_bound_to(tmp_path: Path) -> None:
    path = tmp_path / "update"
    ref = _write(path, _model(1.5))
    assert ref == PayloadRef(digest_of(path.read_bytes()), path.stat().st_size)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == BINDING.metadata()
    deltas = load_file(path)
    assert sorted(deltas) == ["empty", "layer.weight", "scale"]
    np.testing.assert_array_equal(deltas["layer.weight"], np.arange(6).reshape(2, 3) * 0.5)
    assert deltas["scale"] == np.float32(0.5)


def test_an_update_passes_the_checks_of_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "update"
    _write(path, _model(1.5))
    data = path.read_bytes()
    layout = parse_layout(data, len(data), SPECS[:3], BINDING.metadata())
    assert layout.data_start % 4096 == 0


def test_a_model_survives_its_file_and_frozen_tensors_keep_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "model"
    ref = write_model(path, _model(), SPECS)
    read = read_model(path, SPECS)
    assert list(read) == [spec.name for spec in SPECS]
    for name, tensor in _model().items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert read[name].tobytes() == tensor.tobytes()
    assert ref == PayloadRef(digest_of(path.read_bytes()), path.stat().st_size)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_any_float32_survives_a_model_file(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    specs = (TensorSpec("x", "F32", (len(values),)),)
    path = tmp_path_factory.mktemp("models") / "model"
    tensor = np.array(values, dtype=np.float32)
    write_model(path, {"x": tensor}, specs)
    assert read_model(path, specs)["x"].tobytes() == tensor.tobytes()
    assert load_file(path)["x"].tobytes() == tensor.tobytes()


def test_equal_models_are_equal_bytes_whatever_their_memory_looks_like(tmp_path: Path) -> None:
    twisted = _model()
    twisted["layer.weight"] = np.asfortranarray(twisted["layer.weight"])
    twisted["steps"] = twisted["steps"].astype(">i8")
    reordered = dict(reversed(twisted.items()))
    one, two = tmp_path / "one", tmp_path / "two"
    assert write_model(one, _model(), SPECS) == write_model(two, reordered, SPECS)
    assert one.read_bytes() == two.read_bytes()


def test_a_model_of_another_writer_is_read(tmp_path: Path) -> None:
    """Another order of tensors and no padding: the format allows both."""
    path = tmp_path / "model"
    tensors: dict[str, NDArray[Any]] = {"b": np.arange(3, dtype=np.float32), "a": np.ones(2, dtype=np.int64)}
    path.write_bytes(save(tensors, metadata=MODEL_METADATA))
    specs = (TensorSpec("b", "F32", (3,)), TensorSpec("a", "I64", (2,), trainable=False))
    read = read_model(path, specs)
    assert all(np.array_equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "inf"), (101.5, "101.5"), (-3e38, r"3\.0.*e\+38")],
)
def test_a_value_that_everybody_would_reject_is_not_written(tmp_path: Path, value: float, shown: str) -> None:
    trained = _model()
    trained["layer.weight"][1, 2] = value
    base = _model()
    base["layer.weight"][1, 2] = 0.0
    message = (
        f"update of tensor layer.weight: expected finite values of magnitude at most 100.0, got {shown}$"
    )
    with pytest.raises(UsageError, match=message):
        write_update(tmp_path / "update", trained, base, SPECS, BINDING, max_abs=100.0)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_beyond_float32_is_not_written(tmp_path: Path) -> None:
    trained, base = _model(), _model()
    trained["scale"], base["scale"] = np.array(3e38, dtype=np.float32), np.array(-3e38, dtype=np.float32)
    with pytest.raises(UsageError, match=r"tensor scale: .* got inf"):
        write_update(tmp_path / "update", trained, base, SPECS, BINDING, max_abs=3.4e38)


def test_a_value_at_the_bound_is_written(tmp_path: Path) -> None:
    trained = _model()
    trained["scale"] = np.array(101.0, dtype=np.float32)
    _write(tmp_path / "update", trained, max_abs=100.0)
    assert load_file(tmp_path / "update")["scale"] == np.float32(100.0)


@pytest.mark.parametrize("num_examples", [0, -1, MAX_WEIGHT + 1])
def test_an_update_needs_a_number_of_examples_that_counts(tmp_path: Path, num_examples: int) -> None:
    binding = UpdateBinding(BINDING.ledger, 1, 2, 3, BINDING.base_model, num_examples)
    with pytest.raises(UsageError, match="num_examples of an update: expected 1 to 536870911"):
        write_update(tmp_path / "update", _model(), _model(), SPECS, binding, max_abs=1.0)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (
            "layer.weight",
            np.zeros((3, 2), dtype=np.float32),
            r"expected float32 \(2, 3\), got float32 \(3, 2\)",
        ),
        (
            "layer.weight",
            np.zeros((2, 3), dtype=np.float64),
            r"expected float32 \(2, 3\), got float64 \(2, 3\)",
        ),
        ("stranger", np.zeros(1, dtype=np.float32), "tensors of a model: expected .* got .*stranger"),
    ],
)
def test_a_tensor_that_does_not_fit_is_not_written(
    tmp_path: Path, name: str, tensor: NDArray[Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_model(tmp_path / "model", {**_model(), name: tensor}, SPECS)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    model = _model()
    del model["scale"]
    with pytest.raises(UsageError, match="expected one named scale"):
        write_model(tmp_path / "model", model, SPECS)
    with pytest.raises(UsageError, match="expected one named scale"):
        _write(tmp_path / "update", model)


def test_an_older_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"x" * 100_000)
    ref = write_model(path, _model(), SPECS)
    assert path.stat().st_size == ref.length
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="No such file"):
        write_model(tmp_path / "nowhere" / "model", _model(), SPECS)
    with pytest.raises(UnavailableError, match="No such file"):
        read_model(tmp_path / "nowhere", SPECS)


def test_links_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    write_model(tmp_path / "model", _model(), SPECS)
    (tmp_path / "link").symlink_to(tmp_path / "model")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(UnavailableError, match="reading"):
            read_model(tmp_path / name, SPECS)


@given(st.data())
def test_a_file_with_any_damage_to_its_form_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut anywhere or lengthened: never an array, always a numbered check."""
    path = tmp_path_factory.mktemp("models") / "model"
    write_model(path, _model(), SPECS)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(data.draw(st.sampled_from([whole[:cut], whole + whole[:1], whole + b"\0" * (cut + 1)])))
    with pytest.raises(VerificationError, match=r"^check (6|7|12) "):
        read_model(path, SPECS)


def test_a_model_of_another_plan_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "model"
    write_model(path, {"x": np.zeros(3, dtype=np.float32)}, (TensorSpec("x", "F32", (3,)),))
    with pytest.raises(VerificationError, match=r"check 9 .*layer\.weight"):
        read_model(path, SPECS)
    with pytest.raises(VerificationError, match=r"check 11 .*expected \[4\], got \[3\]"):
        read_model(path, (TensorSpec("x", "F32", (4,)),))


def test_an_update_is_not_read_as_a_model(tmp_path: Path) -> None:
    _write(tmp_path / "update", _model(2.0))
    with pytest.raises(VerificationError, match="check 8 "):
        read_model(tmp_path / "update", SPECS[:3])
