"""The face of the ground floor: what a module offers is listed, and what is listed is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import contracts
import ledger
import storage

ROOMS = (ledger, storage, contracts)
MODULES = [
    f"{room.__name__}.{module.name}"
    for room in ROOMS
    for module in pkgutil.iter_modules(room.__path__)
    if module.name != "build"  # a script that needs a compiler
]


def _defined(tree: ast.Module) -> set[str]:
    """Public names that a module defines at its top."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            targets = [t for target in node.targets for t in ast.walk(target)]
            names |= {t.id for t in targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_") and name != "T"}  # a type variable


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_every_public_name_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    assert _defined(tree) == set(module.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for public in (getattr(module, n) for n in module.__all__):
        if inspect.isclass(public):
            own = [m for n, m in vars(public).items() if not n.startswith("_") and inspect.isroutine(m)]
            assert all(inspect.getdoc(m) for m in [public, *own]), public
        elif inspect.isroutine(public):
            assert inspect.getdoc(public), public


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_a_room_shows_how_it_is_used(room) -> None:
    assert ">>>" in room.__doc__
