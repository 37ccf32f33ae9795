"""The committed vector files."""

from __future__ import annotations

import json

import pytest

from tests.ledger.make_vectors import FOLDER, VECTORS, text


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_file_is_what_its_script_writes(name: str) -> None:
    assert text(name) == (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_each_vector_file_says_how_to_read_it(path) -> None:
    assert path.name in VECTORS
    assert len(json.loads(path.read_text(encoding="utf-8"))["about"]) > 100
