"""Slots are where the compiler says, and hold what the contracts' own getters say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from audit.bundles import layout
from tests.audit.bundles.played import played
from tests.docs.pages import ROOT


def _layout(contract: str) -> Any:
    return json.loads((ROOT / "contracts" / "artifacts" / f"{contract}.json").read_text())["storageLayout"]


def _slots(variables: Any, names: dict[str, int]) -> dict[str, int]:
    return {v["label"]: int(v["slot"]) for v in variables if v["label"] in names}


def test_slots_of_variables_are_the_compiler_s() -> None:
    consortium, ledger = _layout("Consortium"), _layout("RoundLedger")
    assert _slots(consortium["storage"], layout.CONSORTIUM) == layout.CONSORTIUM
    assert _slots(ledger["storage"], layout.LEDGER) == layout.LEDGER
    for name, constants in (("Run", layout.RUN), ("Round", layout.ROUND), ("Entry", layout.ENTRY)):
        members = ledger["types"][f"t_struct({name})_storage"]["members"]
        assert _slots(members, constants) == constants
        packed = {m["label"]: m["offset"] for m in members if m["label"] in constants}
        assert set(packed.values()) == {0}
    shared = {v["label"]: v["offset"] for v in consortium["storage"] if v["slot"] == "2"}
    assert shared == {"_epoch": 0, "_memberCount": layout.MEMBER_COUNT_BIT // 8}


def test_parts_of_a_round_s_header_are_where_the_source_says() -> None:
    source = (ROOT / "contracts" / "src" / "RoundHeader.sol").read_text()
    for name, bit in layout.HEADER.items():
        assert f"uint256 private constant {name.upper()} = {bit};" in source


@pytest.mark.parametrize("round_", range(1, 7))
def test_words_worked_out_are_the_words_stored(round_: int) -> None:
    made = played()
    f = made.federation
    run = f.follower().replay.runs[1]
    newest = round_ == len(run.rounds)
    words = layout.ledger_words(1, run, run.rounds[round_], newest=newest)
    words[layout.head_slot(1)] = int.from_bytes(run.head, "big")
    proven = f.chain.proven(f.deployment.round_ledger, list(words), f.chain.head().number)
    assert [value for value, _ in proven.slots] == list(words.values())


def test_the_consortium_s_words_are_the_words_stored() -> None:
    f = played().federation
    words = layout.consortium_words(f.follower().replay.consortium)
    proven = f.chain.proven(f.deployment.consortium, list(words), f.chain.head().number)
    assert [value for value, _ in proven.slots] == list(words.values())
