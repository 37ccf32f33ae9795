"""A saved demo for tests to tamper with, and what is to be known of it without asking the audit."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import rlp

from audit.demo import CHAIN_FILE, INVENTORY_FILE, PAYLOADS
from cli.demo import DemoSettings, run_demo
from cli.output import Output
from ledger.cid import PayloadRef, digest_of

if TYPE_CHECKING:
    from pathlib import Path

HOSPITALS = 3
ROUNDS = 2


@cache
def demo_under(base: Path) -> Path:
    """Return the folder of a small demo, made once for each base directory. Nobody may write into it."""
    folder = base / "saved-demo"
    run_demo(DemoSettings(hospitals=HOSPITALS, rounds=ROUNDS), folder, Output("json"))
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    """Copy a saved demo by links: tests may replace, add and remove files, and edit none in place."""
    (to / PAYLOADS).mkdir(parents=True)
    for path in folder.rglob("*"):
        if path.is_file():
            os.link(path, to / path.relative_to(folder))
    return to


def replace(path: Path, data: bytes) -> None:
    """Give a file other bytes, without touching those that a link shares with it."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def state_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Return what can be seen of each file and folder below: mode, time of the last change, digest."""
    state = {}
    for path in sorted([folder, *folder.rglob("*")]):
        info = path.lstat()
        regular = stat.S_ISREG(info.st_mode)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
        state[str(path.relative_to(folder))] = (info.st_mode, info.st_mtime_ns, digest)
    return state


def payload(folder: Path, data: bytes) -> Path:
    """Return where a payload of these bytes is kept in a saved demo."""
    return folder / PAYLOADS / PayloadRef(digest_of(data), len(data)).cid


@dataclass(frozen=True, order=True)
class Part:
    """A payload of a saved demo: what it is, and where in the federation it belongs.

    Args:
        kind: plan, genesis, update, result, model or report.
        round: its round; 0 for none.
        member: its member; −1 for none.
        path: its file.
    """

    kind: str
    round: int
    member: int
    path: Path

    @property
    def places(self) -> list[tuple[int, int | None, int | None]]:
        """Check, round and member that an audit must name where this payload is not what it was."""
        check = {"plan": 50, "genesis": 51, "update": 54, "result": 21, "model": 57, "report": 59}[self.kind]
        own = (check, self.round or None, None if self.member < 0 else self.member)
        rests_on_it = self.kind in {"genesis", "result", "model"} and self.round < ROUNDS
        return [own, (51, self.round + 1, None)] if rests_on_it else [own]


def parts_of(folder: Path) -> list[Part]:
    """Sort the payloads of a saved demo by reading them, with nothing but JSON and the safetensors header."""
    documents: list[tuple[Path, dict[str, Any]]] = []
    tensors: list[tuple[Path, dict[str, str]]] = []
    for path in sorted((folder / PAYLOADS).iterdir()):
        data = path.read_bytes()
        if data.startswith(b"{"):
            documents.append((path, json.loads(data)))
        else:
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            tensors.append((path, header.get("__metadata__", {})))
    parts = [_document_part(path, document) for path, document in documents]
    models = {d["model"]["digest"]: d["round"] for _, d in documents if d["type"] == "fedledger/result/1"}
    for path, metadata in tensors:
        round_ = models.get(digest_of(path.read_bytes()).hex())
        if "member" in metadata:
            parts.append(Part("update", int(metadata["round"]), int(metadata["member"]), path))
        else:
            parts.append(Part("genesis", 0, -1, path) if round_ is None else Part("model", round_, -1, path))
    return sorted(parts)


def _document_part(path: Path, document: dict[str, Any]) -> Part:
    kind = document["type"].split("/")[1]
    return Part(kind, document.get("round", 0), document.get("member", -1), path)


def blocks_of(folder: Path) -> list[bytes]:
    """Take the saved chain apart into its blocks."""
    data, blocks, position = (folder / CHAIN_FILE).read_bytes(), [], 0
    while position < len(data):
        _, _, length, start = rlp.codec.consume_length_prefix(data, position)
        blocks.append(data[position : start + length])
        position = start + length
    return blocks


def with_chain(folder: Path, *blocks: bytes) -> Path:
    """Give a copy of a saved demo another chain."""
    replace(folder / CHAIN_FILE, b"".join(blocks))
    return folder


def with_head(folder: Path, head: bytes) -> Path:
    """Let the inventory of a copy name another newest block, as whoever changes the chain would."""
    document = json.loads((folder / INVENTORY_FILE).read_bytes())
    document["head"] = head.hex()
    replace(folder / INVENTORY_FILE, json.dumps(document, separators=(",", ":"), sort_keys=True).encode())
    return folder
