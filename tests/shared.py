"""Cases that other implementations gave, in a folder beside this checkout; without it their tests skip."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("FEDLEDGER_SHARED", Path(__file__).parents[2] / "shared"))


def shared_file(*parts: str) -> Path:
    """Return a file of the shared folder, or skip the test."""
    path = SHARED.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"{'/'.join(parts)} is not in the shared folder (FEDLEDGER_SHARED)")
    return path


def shared_vectors(name: str) -> dict[str, Any]:
    """Return the vectors of the shared folder's file ``vectors/<name>``, or skip the test."""
    vectors: dict[str, Any] = json.loads(shared_file("vectors", name).read_text(encoding="utf-8"))
    return vectors
