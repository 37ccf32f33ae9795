"""Attacks by participants on a whole consortium, each found once and kept as a test that it is repelled."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from eth_utils.address import to_checksum_address

from aggregator.rounds import revealed_payload
from audit.demo import CHAIN_FILE, INVENTORY_FILE, MODEL_FILE, PAYLOADS, Inventory, audit_demo
from contracts import artifacts
from contracts.chain import encode_call
from ledger.cid import digest_of
from ledger.errors import UsageError
from ledger.records import Phase, Status
from storage import DirectoryStore
from tests.consortium import Forger, Only, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from audit.findings import AuditReport
    from ledger.cid import PayloadRef


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(tmp_path)
    yield made
    made.close()


class _Silent:
    def step(self) -> None:
        return None


def _audit(sandbox: Sandbox) -> AuditReport:
    """Save the federation as the demo does, and audit that."""
    folder = sandbox.root / "saved"
    shutil.copytree(sandbox.shared.root, folder / PAYLOADS)
    head = sandbox.chain.save(folder / CHAIN_FILE).hash
    replay = sandbox.local.view.update()
    (folder / INVENTORY_FILE).write_bytes(Inventory.of(head, replay, folder / PAYLOADS).encode())
    run = replay.runs[sandbox.local.run]
    model = sandbox.local.result(run.base).model
    shutil.copyfile(sandbox.shared.path(model), folder / MODEL_FILE)
    return audit_demo(folder, expect_head=head)


def test_true_result_whose_document_its_proposer_keeps_to_himself_is_certified(sandbox: Sandbox) -> None:
    sandbox.play_to(Phase.PROPOSE)
    aggregator: Any = sandbox.local.aggregator
    replay = aggregator._follower.update()
    result = aggregator._workspace.recompute(replay, 1, 1)
    sandbox.ledger.propose(sandbox.aggregator_key, 1, 1, result.digest)
    sandbox.put_aggregator(_Silent())
    assert sandbox.play_on().status is Status.CERTIFIED
    sandbox.require_audit_holds()


class _Delayed:
    """A store that shows what some members were served, and what they pass on only later, as IPFS may."""

    def __init__(self, shared: DirectoryStore, side: DirectoryStore, held_back: list[bytes]) -> None:
        self.shared, self.side, self.held_back = shared, side, held_back

    def _place(self, ref: PayloadRef) -> DirectoryStore:
        return self.side if self.side.has(ref) else self.shared

    def put(self, data: bytes) -> PayloadRef:
        return self.shared.put(data)

    def put_file(self, path: Path) -> PayloadRef:
        data = path.read_bytes()
        return (self.side if data in self.held_back else self.shared).put(data)

    def get(self, ref: PayloadRef) -> bytes:
        return self._place(ref).get(ref)

    def fetch(self, ref: PayloadRef, into: Path) -> None:
        self._place(ref).fetch(ref, into)

    def verify(self, ref: PayloadRef) -> None:
        self._place(ref).verify(ref)

    def has(self, ref: PayloadRef) -> bool:
        return self.side.has(ref) or self.shared.has(ref)

    def document(self, digest: bytes) -> bytes:
        return self.shared.document(digest)


def test_members_split_over_what_each_was_served_meet_on_what_all_have_in_the_end(tmp_path: Path) -> None:
    """Two cheats serve their payloads to different members; the aggregator proposes both halves."""
    sandbox = Sandbox(tmp_path, members=5)
    held_back: list[bytes] = []
    sides = [DirectoryStore(tmp_path / f"side-{i}") for i in range(3)]
    for i in range(3):
        sandbox.nodes[i] = sandbox.node(i, shared=_Delayed(sandbox.shared, sides[i], held_back))

    def forge(forger: Any) -> Any:
        forged = forger.forged(forger.file(0.25))
        held_back.append(forged.data)
        return forged

    for member in (3, 4):
        forger = Forger(sandbox, member, forge, publishes=None)
        sandbox.nodes[member] = Only(sandbox, forger, Phase.COMMIT, Phase.REVEAL)
    sandbox.play_to(Phase.PROPOSE)
    aggregator: Any = sandbox.local.aggregator
    sandbox.put_aggregator(_Silent())
    by_member = {m: revealed_payload(c) for m, c in sandbox.round.reveals.items()}
    by_digest = {digest_of(payload): payload for payload in held_back}
    data = {member: by_digest[by_member[member].digest] for member in (3, 4)}
    for member in (3, 4):
        aggregator._store.local.put(data[member])
    replay = aggregator._follower.update()
    for hidden in (4, 3):
        result = aggregator._workspace.recompute(replay, 1, 1, withheld=frozenset({hidden}))
        sandbox.shared.put(result.encode())
        sandbox.ledger.propose(sandbox.aggregator_key, 1, 1, result.digest)
    for side, member in zip(sides, (3, 4, 3), strict=True):
        side.put(data[member])
    assert [sandbox.nodes[i].step() for i in range(3)] == ["attest"] * 3
    assert len(set(sandbox.round.attestations.values())) == 2
    held_back.clear()
    for payload in data.values():
        sandbox.shared.put(payload)
    state = sandbox.play_on()
    assert state.status is Status.CERTIFIED
    sandbox.require_audit_holds()
    sandbox.close()


def test_an_event_inside_a_set_code_transaction_blinds_nobody(sandbox: Sandbox) -> None:
    """EIP-7702 transactions are the one kind that eth-tester cannot show; anyone may abort in one."""
    sandbox.play_to(Phase.COMMIT)
    sandbox.settle(*sandbox.nodes[:1])
    sandbox.skip_to(sandbox.round.commit_end)
    sandbox.skip_to(sandbox.round.ends()[2])
    outsider, w3 = sandbox.account(), sandbox.chain._w3
    entry = artifacts.load("RoundLedger").function("abort")
    signed = outsider.sign_authorization(
        {"chainId": sandbox.chain.chain_id, "address": outsider.address, "nonce": 1}
    )
    transaction = {
        "to": to_checksum_address(sandbox.local.deployment.round_ledger),
        "data": encode_call(entry, [1, 1]),
        "value": 0,
        "gas": 500_000,
        "chainId": sandbox.chain.chain_id,
        "nonce": 0,
        "maxFeePerGas": 2 * w3.eth.get_block("latest")["baseFeePerGas"],
        "maxPriorityFeePerGas": 0,
        "type": 4,
        "authorizationList": [signed],
    }
    w3.eth.send_raw_transaction(outsider.sign_transaction(transaction).raw_transaction)
    assert sandbox.play_on().status is Status.ABORTED
    assert sandbox.play().status is Status.CERTIFIED
    assert _audit(sandbox).holds


def test_a_later_ledger_on_the_same_chain_spoils_no_audit(sandbox: Sandbox) -> None:
    sandbox.play()
    consortium = sandbox.local.deployment.consortium
    sandbox.chain.deploy(sandbox.local.accounts[3], "RoundLedger", [consortium], 12_000_000)
    report = _audit(sandbox)
    assert report.holds
    assert "a later RoundLedger" in " ".join(report.notes)
    assert report.ledger == str(sandbox.local.ledger_id)


def test_a_further_run_that_any_member_may_start_spoils_no_audit(sandbox: Sandbox) -> None:
    sandbox.play()
    sandbox.ledger.start_run(sandbox.local.accounts[3], sandbox.local.terms)
    assert _audit(sandbox).holds


def test_a_reveal_that_lies_about_its_length_in_an_aborted_round_spoils_no_audit(sandbox: Sandbox) -> None:
    """The digest names a payload that is there; a raw CID does not depend on the length."""
    model = sandbox.plan.model
    lie = {"payload": model.digest, "update": model.digest, "byte_length": model.length - 1}
    sandbox.nodes[3] = Forger(sandbox, 3, lambda forger: forger.forged(b"x", **lie), publishes=None)
    sandbox.play_to(Phase.COMMIT)
    sandbox.settle(sandbox.nodes[0], sandbox.nodes[3])
    sandbox.skip_to(sandbox.round.commit_end)
    sandbox.settle(sandbox.nodes[0], sandbox.nodes[3], until=Phase.PROPOSE)
    sandbox.skip_to(sandbox.round.ends()[2])
    sandbox.ledger.abort(sandbox.account(), 1, 1)
    sandbox.nodes[3] = sandbox.honest[3]
    sandbox.play()
    report = _audit(sandbox)
    assert report.holds
    assert any("member 3: the update cannot be had" in note for note in report.notes)


def test_a_run_whose_grace_period_outlasts_honest_refusal_is_not_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.consortium._GRACE_SECONDS", 43_201)
    with pytest.raises(UsageError, match="grace period of run 1: expected at most half of the propose phase"):
        Sandbox(tmp_path)
