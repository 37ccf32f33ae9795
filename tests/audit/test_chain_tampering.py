"""Whatever happens to the chain of a saved demo, the audit says so, and says how far the chain goes."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rlp

import contracts.local
from audit.demo import CHAIN_FILE, MODEL_FILE, audit_demo
from contracts import artifacts
from contracts.local import GENESIS_TIME, LocalChain, faucet, replay
from ledger.checks import Check
from tests.audit.saved import (
    HOSPITALS,
    ROUNDS,
    blocks_of,
    parts_of,
    replace,
    with_chain,
    with_head,
)
from tests.federation import address, federation, fresh_chain, key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from audit.findings import AuditReport

# A demo's blocks, one a transaction: ether for members, operator and aggregator, two contracts, votes, the
# run's start and the joinings; then for each round its opening, commits, reveals, proposal, attestations.
DEPLOYED = HOSPITALS + 2 + 2
STARTED = DEPLOYED + HOSPITALS // 2 + 1 + 1
JOINED = STARTED + HOSPITALS
A_ROUND = 1 + 3 * HOSPITALS + 1

EVERY = 1 if os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough" else 3
"""Which blocks are tampered with: each, or each third to save time."""

HEADER_FIELDS = (
    "parent hash",
    "uncles' hash",
    "coinbase",
    "state root",
    "transactions' root",
    "receipts' root",
    "bloom",
    "difficulty",
    "number",
    "gas limit",
    "gas used",
    "time",
    "extra data",
    "mix hash",
    "nonce",
    "base fee",
    "withdrawals' root",
    "blob gas used",
    "excess blob gas",
    "parent beacon block root",
    "requests' hash",
)

# What execution does not fix; it is held by the next block's parent hash.
NOT_EXECUTED = {"coinbase", "gas limit", "extra data", "mix hash", "parent beacon block root", "time"}


def place_after(blocks: int) -> tuple[int | None, int | None]:
    """Return the newest run and round on a chain of so many blocks."""
    rounds = -(-(blocks - JOINED) // A_ROUND)
    return (1 if blocks >= STARTED else None, rounds if rounds > 0 else None)


def places(report: AuditReport) -> list[tuple[int, int | None, int | None]]:
    return [(f.check, f.run, f.round) for f in report.findings]


def breaks_at(copy: Path, block: int) -> None:
    """Demand that the audit finds one fault: the chain re-executes up to this block and no further."""
    (finding,) = audit_demo(copy).findings
    assert (31, *place_after(block - 1)) == (finding.check, finding.run, finding.round)
    assert f"block {block} of the saved chain" in finding.message


def test_a_demo_has_the_blocks_that_these_tests_count_on(saved: Path) -> None:
    assert len(blocks_of(saved)) == JOINED + ROUNDS * A_ROUND
    assert len(HEADER_FIELDS) == len(rlp.decode(blocks_of(saved)[0])[0])


def test_a_byte_flipped_in_any_block_is_named_with_block_and_round(copy: Path, saved: Path) -> None:
    blocks, rng = blocks_of(saved), np.random.Generator(np.random.PCG64(1))
    for number in range(2, len(blocks), EVERY):  # the last block has a test of its own
        damaged = bytearray(blocks[number - 1])
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        with_chain(copy, *blocks[: number - 1], bytes(damaged), *blocks[number:])
        (finding,) = audit_demo(copy).findings
        # Parts of a header that execution does not fix are held by the next block's parent hash alone.
        following = [place_after(number - 1), place_after(number)]
        assert finding.check == Check.CHAIN_EXECUTION
        assert (finding.run, finding.round) in following
        assert f"block {number} " in finding.message or f"block {number + 1} " in finding.message


@pytest.mark.parametrize("field", range(len(HEADER_FIELDS)), ids=HEADER_FIELDS)
def test_an_edited_header_breaks_the_chain_at_its_block_or_at_the_next(
    copy: Path, saved: Path, field: int
) -> None:
    number = JOINED + 2
    blocks = blocks_of(saved)
    header, *rest = rlp.decode(blocks[number - 1])
    edited = int.from_bytes(header[field], "big") + 1
    header[field] = edited.to_bytes(max(1, len(header[field])), "big")
    with_chain(copy, *blocks[: number - 1], rlp.encode([header, *rest]), *blocks[number:])
    breaks_at(copy, number + 1 if HEADER_FIELDS[field] in NOT_EXECUTED else number)


def test_an_edited_last_header_makes_another_head(copy: Path, saved: Path) -> None:
    """Nothing stands on the last block: where the inventory was edited too, the head alone tells."""
    blocks, known = blocks_of(saved), audit_demo(saved).final_head
    header, *rest = rlp.decode(blocks[-1])
    header[HEADER_FIELDS.index("mix hash")] = bytes(32)
    with_chain(copy, *blocks[:-1], rlp.encode([header, *rest]))
    report = audit_demo(copy)
    assert places(report) == [(33, None, None)]
    assert audit_demo(with_head(copy, report.final_head)).holds
    assert places(audit_demo(copy, expect_head=known)) == [(33, None, None)]


def _without_transaction(block: bytes) -> bytes:
    header, _, *rest = rlp.decode(block)
    return bytes(rlp.encode([header, [], *rest]))


def _with_transaction_of(block: bytes, other: bytes) -> bytes:
    header, _, *rest = rlp.decode(block)
    return bytes(rlp.encode([header, rlp.decode(other)[1], *rest]))


N = JOINED + A_ROUND + 3  # a commit of round 2
STRUCTURAL: dict[str, tuple[Callable[[list[bytes]], list[bytes]], int]] = {
    "transaction removed": (lambda b: [*b[: N - 1], _without_transaction(b[N - 1]), *b[N:]], N),
    "transaction of another block": (
        lambda b: [*b[: N - 1], _with_transaction_of(b[N - 1], b[N]), *b[N:]],
        N,
    ),
    "block dropped": (lambda b: [*b[: N - 1], *b[N:]], N),
    "block twice": (lambda b: [*b[:N], b[N - 1], *b[N:]], N + 1),
    "blocks swapped": (lambda b: [*b[: N - 1], b[N], b[N - 1], *b[N + 1 :]], N),
    "chain twice": (lambda b: [*b, *b], JOINED + ROUNDS * A_ROUND + 1),
    "end cut within a block": (lambda b: [*b[:-1], b[-1][:-1]], JOINED + ROUNDS * A_ROUND),
    "garbage behind the end": (lambda b: [*b, b"\xff" * 40], JOINED + ROUNDS * A_ROUND + 1),
    "zero behind the end": (lambda b: [*b, b"\0"], JOINED + ROUNDS * A_ROUND + 1),
    "length without end": (lambda b: [b"\xff" + b"\xff" * 8, *b], 1),
    "garbage": (lambda _: [b"\xc0garbage"], 1),
}


@pytest.mark.parametrize("tampering", STRUCTURAL)
def test_a_chain_that_was_rearranged_breaks_where_it_was(copy: Path, saved: Path, tampering: str) -> None:
    rearrange, number = STRUCTURAL[tampering]
    breaks_at(with_chain(copy, *rearrange(blocks_of(saved))), number)


def test_nested_lists_without_end_are_refused_and_not_followed(copy: Path) -> None:
    nested = b""
    for _ in range(3000):
        nested = bytes(rlp.codec.length_prefix(len(nested), 0xC0)) + nested
    breaks_at(with_chain(copy, nested), 1)


@pytest.mark.usefixtures("chain_known")
def test_a_chain_cut_short_is_noticed_unless_all_that_names_its_end_was_edited_too(
    copy: Path, saved: Path
) -> None:
    """Cut between any two blocks, a chain is a valid chain. The folder's own inventory gives it away; whoever
    edits that, and puts the older model in place, is given away by nothing but a head held from elsewhere.
    """
    blocks, inventory = blocks_of(saved), (saved / "federation.json").read_bytes()
    known = audit_demo(saved).final_head
    models = [p.path.read_bytes() for kind in ("genesis", "model") for p in parts_of(saved) if p.kind == kind]
    for length in range(0, len(blocks), EVERY):
        with_chain(copy, *blocks[:length])
        replace(copy / "federation.json", inventory)
        cut = audit_demo(copy)
        assert 33 in {f.check for f in cut.findings}, length
        with_head(copy, cut.final_head)
        replace(copy / MODEL_FILE, models[_certified(length)])
        edited = audit_demo(copy)
        if length < DEPLOYED:
            assert places(edited) == [(32, None, None)], length
        elif length < STARTED:
            assert places(edited) == [(57, None, None)], length
        else:
            assert edited.holds, [length, *edited.findings]
            assert "freshness is unproven" in edited.notes[0]
        assert 33 in {f.check for f in audit_demo(copy, expect_head=known).findings}, length


def _certified(blocks: int) -> int:
    """Return the rounds that are certified after so many blocks: by a quorum, not by all."""
    behind = HOSPITALS - (HOSPITALS // 2 + 1)
    return max(0, (blocks - JOINED + behind) // A_ROUND)


def test_the_model_of_a_chain_without_a_certified_round_is_the_plans(copy: Path, saved: Path) -> None:
    with_chain(copy, *blocks_of(saved)[: JOINED + 2])
    report = audit_demo(with_head(copy, audit_demo(copy).final_head))
    assert places(report) == [(57, 1, None)]


def test_a_foreign_transaction_mined_on_top_makes_another_head(copy: Path, saved: Path) -> None:
    """Its author needs no key of the federation: the faucet's is known to all, and the block is valid."""
    known = audit_demo(saved).final_head
    chain = replay((saved / CHAIN_FILE).read_bytes())
    chain.transfer(faucet(), address(key("somebody")), 1)
    _save(chain, copy)
    assert places(audit_demo(copy)) == [(33, None, None)]
    assert audit_demo(with_head(copy, chain.head().hash)).holds
    assert places(audit_demo(copy, expect_head=known)) == [(33, None, None)]


def test_a_second_ledger_mined_on_top_is_noted_and_spoils_nothing(copy: Path, saved: Path) -> None:
    """Anyone can make one; its rounds must not stand beside the consortium's."""
    chain = replay((saved / CHAIN_FILE).read_bytes())
    later = federation(chain, members=2, quorum=2).deployment.round_ledger
    _save(chain, copy)
    report = audit_demo(with_head(copy, chain.head().hash))
    assert report.holds
    assert f"the chain holds a later RoundLedger at 0x{later.hex()}; it was not audited" in report.notes
    assert report.ledger == audit_demo(saved).ledger
    assert report.rounds == audit_demo(saved).rounds


def test_a_chain_without_a_ledger_is_refused(copy: Path) -> None:
    chain = fresh_chain()
    chain.transfer(faucet(), address(key("somebody")), 1)
    _save(chain, copy)
    (finding,) = audit_demo(with_head(copy, chain.head().hash)).findings
    assert finding.check == Check.CHAIN_CODE
    assert finding.message.endswith("expected at least 1, got 0")


@pytest.mark.parametrize("contract", ["Consortium", "RoundLedger"])
def test_contracts_with_other_code_are_refused(
    copy: Path, contract: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = artifacts.load(contract)
    last = shipped.creation.index(shipped.runtime) + len(shipped.runtime) - 1
    _save(_deployed_with_flipped_byte(contract, last, monkeypatch), copy)
    finding = audit_demo(copy).findings[-1]
    assert finding.check == Check.CHAIN_CODE
    assert contract in finding.message


def test_a_consortium_from_another_constructor_is_refused(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code that it left behind is ours; what it left in storage does not follow from the events."""
    last = len(artifacts.load("Consortium").creation) - 1  # of a constant that only the constructor reads
    _save(_deployed_with_flipped_byte("Consortium", last, monkeypatch), copy)
    finding = audit_demo(copy).findings[-1]
    assert finding.check == Check.CONSORTIUM_HISTORY
    assert "stored accumulator" in finding.message


def _deployed_with_flipped_byte(contract: str, place: int, monkeypatch: pytest.MonkeyPatch) -> LocalChain:
    honest = artifacts.load
    creation = bytearray(honest(contract).creation)
    creation[place] ^= 1
    altered = dataclasses.replace(honest(contract), creation=bytes(creation))
    with monkeypatch.context() as attack:
        attack.setattr(artifacts, "load", lambda name: altered if name == contract else honest(name))
        return federation(members=2, quorum=2).chain


def test_a_ledger_that_asks_another_consortium_than_ours_is_refused(copy: Path) -> None:
    chain = fresh_chain()
    chain.deploy(faucet(), "RoundLedger", [bytes(19) + b"\1"], 6_000_000)
    _save(chain, copy)
    (finding,) = audit_demo(with_head(copy, chain.head().hash)).findings
    assert finding.check == Check.CHAIN_CODE
    assert "is not Consortium's" in finding.message


def test_a_chain_from_another_genesis_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as attack:
        attack.setattr(contracts.local, "GENESIS_TIME", GENESIS_TIME + 1)
        chain = LocalChain(clock=lambda: GENESIS_TIME + 1)
        chain.transfer(faucet(), address(key("somebody")), 1)
    _save(chain, copy)
    assert places(audit_demo(with_head(copy, chain.head().hash))) == [(30, None, None)]


def test_a_whole_forged_federation_is_told_only_by_a_head_held_from_elsewhere(
    saved: Path, other: Path
) -> None:
    """Somebody ran a demo with keys of their own and put it in place: everything in it holds."""
    known = audit_demo(saved).final_head
    report = audit_demo(other)
    assert report.holds
    assert known != report.final_head
    assert places(audit_demo(other, expect_head=known)) == [(33, None, None)]


def test_the_chain_of_another_federation_does_not_fit_the_payloads(copy: Path, other: Path) -> None:
    with_chain(copy, *blocks_of(other))
    with_head(copy, audit_demo(other).final_head)
    found: set[Any] = {f.check for f in audit_demo(copy).findings}
    assert {21} <= found <= {21, 57}


def _save(chain: LocalChain, copy: Path) -> None:
    (copy / CHAIN_FILE).unlink()
    chain.save(copy / CHAIN_FILE)
