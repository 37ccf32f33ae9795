"""The committed artifacts are what the sources compile to, and have what auditors and clients need."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contracts import build

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = bool(os.environ.get("CI") or os.environ.get("FEDLEDGER_REQUIRE_SOLC"))
INSTALLED = (build.FOLDER / "node_modules" / "solc").is_dir()
NAMES = build.CONTRACTS


def _artifact(name: str) -> dict[str, Any]:
    artifact: dict[str, Any] = json.loads((build.ARTIFACTS / f"{name}.json").read_text(encoding="utf-8"))
    return artifact


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child)
    elif isinstance(node, dict):
        for key, child in node.items():
            yield key
            yield from _strings(child)


def _parameters(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        for parameter in entry.get("inputs", []) + entry.get("outputs", []) + entry.get("components", []):
            yield parameter
            yield from _parameters([parameter])


@pytest.mark.skipif(not (INSTALLED or REQUIRED), reason="solc is not installed: `make contracts` installs it")
def test_committed_artifacts_are_what_the_sources_compile_to() -> None:
    """Byte for byte, so that nobody has to believe the bytecode; `make contracts` writes them anew."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in build.ARTIFACTS.iterdir()}
    assert committed == build.build()


@pytest.mark.parametrize("name", NAMES)
def test_artifacts_hold_no_path_of_the_machine_that_made_them(name: str) -> None:
    assert [text for text in _strings(_artifact(name)) if Path(text).is_absolute() or "\\" in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_compiler_of_an_artifact_is_the_pinned_one(name: str) -> None:
    package = json.loads((build.FOLDER / "package.json").read_text(encoding="utf-8"))
    compiler = _artifact(name)["compiler"]
    assert compiler["version"].split("+")[0] == package["devDependencies"]["solc"]
    assert compiler["settings"] == build.compiler_settings()


@pytest.mark.parametrize("name", NAMES)
def test_immutables_are_named_and_empty_in_the_code_before_deployment(name: str) -> None:
    """An auditor who fills them in gets the code on chain."""
    artifact = _artifact(name)
    code = bytes.fromhex(artifact["deployedBytecode"].removeprefix("0x"))
    expected = {"Consortium": {"approvalPercent", "predecessor"}, "RoundLedger": {"consortium"}}
    assert set(artifact["immutableReferences"]) == expected[name]
    for places in artifact["immutableReferences"].values():
        for place in places:
            word = code[place["start"] : place["start"] + place["length"]]
            assert word == bytes(32)


@pytest.mark.parametrize("name", NAMES)
def test_code_fits_the_size_limit_of_a_contract(name: str) -> None:
    """EIP-170: 24,576 bytes."""
    assert len(_artifact(name)["deployedBytecode"]) // 2 - 1 <= 24_576


@pytest.mark.parametrize("name", NAMES)
def test_no_function_takes_or_gives_text(name: str) -> None:
    """BlockLearning kept a string that ended in a shell; here there is nowhere to put one."""
    types = {parameter["type"].split("[")[0] for parameter in _parameters(_artifact(name)["abi"])}
    assert types & {"string", "bytes"} == set()
    assert "bytes32" in types


def test_storage_layout_tells_where_proofs_find_runs_and_rounds() -> None:
    layout = _artifact("RoundLedger")["storageLayout"]
    slots = {entry["label"]: entry["slot"] for entry in layout["storage"]}
    assert slots == {"runCount": "0", "_runs": "1", "_rounds": "2"}
    members = {m["label"] for m in layout["types"]["t_struct(Round)_storage"]["members"]}
    assert {"header", "sealedAccumulator", "accumulator", "result", "entries"} <= members


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((build.FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_gas_snapshots_hold_every_step_that_has_a_bar() -> None:
    """Forge compares snapshots that exist; one that is missing would pass there."""
    snapshots = json.loads((build.FOLDER / "snapshots" / "RoundLedger.json").read_text(encoding="utf-8"))
    bars = {
        "commit": 65_000,
        "commit, first in a run": 65_000,
        "commit, last of a phase": 65_000,
        "reveal": 46_000,
        "reveal, last of a phase": 46_000,
        "propose": 70_000,
        "propose, first in a run": 70_000,
        "propose, by a member": 70_000,
        "propose, by a member, first in a run": 70_000,
        "attest": 62_000,
        "attest, first to a digest": 80_000,
        "attest, differing": 80_000,
        "attest, certifying": 105_000,
        "attest, certifying, first in a run": 120_000,
    }
    assert {step: gas for step, gas in snapshots.items() if int(gas) > bars.get(step, int(gas))} == {}
    assert bars.keys() <= snapshots.keys()
