"""Whatever happens to one payload of a saved demo, the audit says so, and says where."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audit.demo import MODEL_FILE, PAYLOADS, audit_demo
from ledger import merkle
from ledger.canonical import encode
from ledger.documents import Result
from tests.audit.saved import HOSPITALS, ROUNDS, Part, parts_of, payload, replace

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("chain_known")


def _flipped(offset: Callable[[bytes], int]) -> Callable[[Path], None]:
    def tamper(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[offset(data)] ^= 1
        replace(path, bytes(data))

    return tamper


def _changed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: replace(path, change(path.read_bytes()))


def _linked(path: Path) -> None:
    """The right bytes, but through a link: who follows it reads whatever the link names by then."""
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _emptied(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _plugged(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


TAMPERINGS: dict[str, Callable[[Path], None]] = {
    "first byte flipped": _flipped(lambda _data: 0),
    "byte of the header flipped": _flipped(lambda _data: 12),
    "byte in the middle flipped": _flipped(lambda data: len(data) // 2),
    "last byte flipped": _flipped(lambda data: len(data) - 1),
    "cut short": _changed(lambda data: data[:-1]),
    "emptied": _changed(lambda _data: b""),
    "extended": _changed(lambda data: data + b"\0"),
    "removed": Path.unlink,
    "link in its place": _linked,
    "folder in its place": _emptied,
    "pipe in its place": _piped,
    "socket in its place": _plugged,
}


def _found(folder: Path) -> set[tuple[int, int | None, int | None]]:
    return {(f.check, f.round, f.member) for f in audit_demo(folder).findings}


def _same(folder: Path, part: Part) -> Path:
    return folder / PAYLOADS / part.path.name


def test_a_saved_demo_holds_each_kind_of_payload(saved: Path) -> None:
    """The tests below would prove nothing about a kind that is not there."""
    kinds = [part.kind for part in parts_of(saved)]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "plan": 1,
        "genesis": 1,
        "update": HOSPITALS * ROUNDS,
        "result": ROUNDS,
        "model": ROUNDS,
        "report": HOSPITALS * ROUNDS,
    }


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_any_payload_that_was_tampered_with_is_named_with_round_and_member(
    copy: Path, saved: Path, tampering: str
) -> None:
    for part in parts_of(saved):
        path = _same(copy, part)
        TAMPERINGS[tampering](path)
        assert set(part.places) == _found(copy), part
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        os.link(part.path, path)
    assert _found(copy) == set()


def test_two_payloads_of_one_kind_that_change_places_are_both_named(copy: Path, saved: Path) -> None:
    parts = parts_of(saved)
    for kind in ("update", "report", "result", "model"):
        one, other = [part for part in parts if part.kind == kind][:2]
        paths = _same(copy, one), _same(copy, other)
        for path, data in zip(paths, (other.path.read_bytes(), one.path.read_bytes()), strict=True):
            replace(path, data)
        found = _found(copy)
        assert {one.places[0], other.places[0]} <= found <= {*one.places, *other.places}, kind
        for part, path in zip((one, other), paths, strict=True):
            path.unlink()
            os.link(part.path, path)


def test_a_members_update_of_another_round_in_its_place_is_named(copy: Path, saved: Path) -> None:
    updates = {(p.round, p.member): p for p in parts_of(saved) if p.kind == "update"}
    replace(_same(copy, updates[2, 1]), updates[1, 1].path.read_bytes())
    assert {(54, 2, 1)} == _found(copy)


def _accepts_less(document: dict[str, Any]) -> None:
    del document["verdicts"][1]["weight"]
    document["verdicts"][1] |= {"outcome": "rejected", "check": 13}


def _weighs_more(document: dict[str, Any]) -> None:
    document["verdicts"][1]["weight"] += 1


def _names_another_model(document: dict[str, Any]) -> None:
    document["model"]["digest"] = "ab" * 32


def _says_void(document: dict[str, Any]) -> None:
    document["void"] = True
    document["model"] = document["base"]


EDITS = [_accepts_less, _weighs_more, _names_another_model, _says_void]


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("renamed", [False, True], ids=["under the old name", "under its new CID"])
def test_a_result_that_was_edited_without_a_trace_in_itself_is_named(
    copy: Path, saved: Path, edit: Callable[[dict[str, Any]], None], renamed: bool
) -> None:
    """The document is whole and canonical, with the verdicts' root made anew: only the chain tells."""
    part = next(p for p in parts_of(saved) if p.kind == "result" and p.round == ROUNDS)
    document = json.loads(part.path.read_bytes())
    edit(document)
    leaves = [merkle.leaf_hash(encode(verdict)) for verdict in document["verdicts"]]
    data = encode({**document, "verdicts_root": merkle.root(leaves).hex()})
    Result.parse(data)
    _same(copy, part).unlink()
    replace(payload(copy, data) if renamed else _same(copy, part), data)
    assert {(21, ROUNDS, None)} == _found(copy)


def test_an_edited_plan_is_named_once_and_stops_the_replay_of_its_rounds(copy: Path, saved: Path) -> None:
    part = next(p for p in parts_of(saved) if p.kind == "plan")
    document = json.loads(part.path.read_bytes())
    document["limits"]["max_abs"] = 1
    replace(_same(copy, part), encode(document))
    (finding,) = audit_demo(copy).findings
    assert finding.line().startswith("run 1: check 50 (result plan): the plan, without which")


def test_an_edited_final_model_is_named_with_the_round_that_made_it(copy: Path, saved: Path) -> None:
    for data in (b"", b"\0" * 100, next(p for p in parts_of(saved) if p.kind == "genesis").path.read_bytes()):
        replace(copy / MODEL_FILE, data)
        assert {(57, ROUNDS, None)} == _found(copy)
    (copy / MODEL_FILE).unlink()
    assert {(57, ROUNDS, None)} == _found(copy)


def test_a_folder_without_payloads_names_all_that_is_missing(copy: Path) -> None:
    for path in (copy / PAYLOADS).iterdir():
        path.unlink()
    (copy / PAYLOADS).rmdir()
    expected = {(50, None, None), *((21, round_, None) for round_ in range(1, ROUNDS + 1))}
    assert expected == _found(copy)


def test_payloads_that_the_chain_does_not_name_are_no_part_of_the_federation(copy: Path) -> None:
    replace(payload(copy, b"a note"), b"a note")
    replace(copy / PAYLOADS / "notes.txt", b"another")
    assert audit_demo(copy).holds
