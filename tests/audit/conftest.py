"""A saved demo, and audits that do not execute the same chain twice."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pytest

import audit.demo
from contracts.local import LocalChain, replay
from tests.audit.saved import copy_of, demo_under

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved demo; nobody writes into it."""
    return demo_under(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another demo of the same settings, by other keys; nobody writes into it."""
    return demo_under(tmp_path_factory.getbasetemp() / "others")


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """A copy of the saved demo, by links: files in it are replaced and never edited in place."""
    return copy_of(saved, tmp_path / "copy")


@lru_cache(maxsize=2)
def _replayed(data: bytes, onto: LocalChain | None = None) -> LocalChain:
    return replay(data, onto)


@pytest.fixture
def chain_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute a saved chain once for many audits, which only read the chain that comes out."""
    monkeypatch.setattr(audit.demo, "replay", _replayed)
