"""Compile the Solidity sources and write what the rest of the project and its auditors need of them.

``python -m contracts.build`` writes one JSON file a contract to ``contracts/artifacts``. They are committed,
so that nobody needs a compiler to run fedledger, and ``tests/contracts/test_artifacts.py`` rebuilds and
compares them. The compiler is npm's build of solc behind ``contracts/tools/solc``; its settings are read from
``contracts/foundry.toml``, so that the Foundry tests run the very bytes that ship.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import solcx

FOLDER = Path(__file__).resolve().parent
ARTIFACTS = FOLDER / "artifacts"
CONTRACTS = ("Consortium", "RoundLedger")


def compiler_settings() -> dict[str, Any]:
    """Settings for solc's standard JSON, without its output selection, from Foundry's configuration."""
    profile = tomllib.loads((FOLDER / "foundry.toml").read_text(encoding="utf-8"))["profile"]["default"]
    (shipped,) = profile["additional_compiler_profiles"]
    return {
        "evmVersion": profile["evm_version"],
        "metadata": {"appendCBOR": profile["cbor_metadata"], "bytecodeHash": profile["bytecode_hash"]},
        "optimizer": {"enabled": shipped["optimizer"], "runs": shipped["optimizer_runs"]},
        "viaIR": shipped["via_ir"],
    }


def build() -> dict[str, str]:
    """Compile the sources.

    Returns:
        The text of each artifact by file name; the same bytes on every machine.

    Raises:
        solcx.exceptions.SolcError: the sources do not compile, or the compiler is not installed.
    """
    solc = FOLDER / "tools" / "solc"
    paths = sorted((FOLDER / "src").glob("*.sol"))
    sources = {f"src/{path.name}": {"content": path.read_text(encoding="utf-8")} for path in paths}
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"]
    settings = compiler_settings()
    output = solcx.compile_standard(
        {
            "language": "Solidity",
            "sources": sources,
            "settings": {**settings, "outputSelection": {"*": {"*": outputs, "": ["ast"]}}},
        },
        solc_binary=solc,
    )
    version = str(solcx.wrapper.get_solc_version(solc, with_commit_hash=True))
    compiler = {"version": version, "settings": settings}
    return {f"{name}.json": _artifact(name, output, compiler) for name in CONTRACTS}


def _artifact(name: str, output: dict[str, Any], compiler: dict[str, Any]) -> str:
    source = f"src/{name}.sol"
    compiled = output["contracts"][source][name]
    deployed = compiled["evm"]["deployedBytecode"]
    names = _declarations(output["sources"][source]["ast"])
    immutables = {names[key]: places for key, places in deployed["immutableReferences"].items()}
    artifact = {
        "contractName": name,
        "sourceName": source,
        "compiler": compiler,
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + deployed["object"],
        "immutableReferences": immutables,
        "storageLayout": _without_ast_ids(compiled["storageLayout"]),
    }
    return json.dumps(artifact, indent=2, sort_keys=True) + "\n"


def _declarations(node: Any) -> dict[str, str]:
    """Name of each variable declared below an AST node, by the node's id as solc writes it in references."""
    if isinstance(node, list):
        return {key: name for child in node for key, name in _declarations(child).items()}
    if not isinstance(node, dict):
        return {}
    own = {str(node["id"]): node["name"]} if node.get("nodeType") == "VariableDeclaration" else {}
    return own | _declarations(list(node.values()))


def _without_ast_ids(node: Any) -> Any:
    """The storage layout without ids that move with every edit of a source and say nothing to a reader."""
    if isinstance(node, list):
        return [_without_ast_ids(child) for child in node]
    if isinstance(node, dict):
        return {_plain(key): _without_ast_ids(child) for key, child in node.items() if key != "astId"}
    return _plain(node) if isinstance(node, str) else node


def _plain(type_name: str) -> str:
    """`t_struct(Run)3124_storage` as `t_struct(Run)_storage`."""
    return re.sub(r"\)\d+", ")", type_name)


def main() -> int:
    """Write the artifacts."""
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in build().items():
        (ARTIFACTS / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"contracts/artifacts/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
