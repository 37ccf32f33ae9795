"""Typed clients of the two contracts. NatSpec in ``contracts/src`` says what each call does and who may.

Each call that changes something signs and sends one transaction and returns its receipt. All raise
``ContractError`` (the contract refuses, with its custom error) or ``ChainError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from contracts import artifacts
from contracts.ether import shortage
from ledger.commitments import ZERO
from ledger.errors import ChainError, ContractError, UsageError
from ledger.records import Phase, Role, RunStarted, Status, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.chain import Chain, Receipt, Signer
    from ledger.records import Contribution

__all__ = [
    "AGGREGATOR",
    "AUDITOR",
    "OPERATOR",
    "Consortium",
    "Deployment",
    "Founder",
    "RoundLedger",
    "deploy",
]

OPERATOR, AGGREGATOR, AUDITOR = Role
"""Role bits of the consortium contract."""

# Gas limits: about twice the bar of each step, so that a step that needs more fails loudly instead of costing
# without end. Votes that execute, and starting a run, loop over what the caller supplies.
_GAS = {
    "commit": 130_000,
    "reveal": 100_000,
    "propose": 150_000,
    "attest": 250_000,
    "replaceAttestation": 250_000,
}
_GAS_OTHERWISE = 2_000_000
_GAS_CREATION = 12_000_000


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the two contracts are: 20-byte addresses, and the block from which on they have events."""

    consortium: bytes
    round_ledger: bytes
    first_block: int = 0


@dataclass(frozen=True, slots=True)
class Founder:
    """A member from the first day on."""

    account: bytes
    encryption_key: bytes = ZERO
    metadata: bytes = ZERO


def deploy(
    chain: Chain,
    signer: Signer,
    founders: Sequence[Founder],
    *,
    operators: Sequence[bytes] = (),
    aggregators: Sequence[bytes] = (),
    auditors: Sequence[bytes] = (),
    approval_percent: int = 0,
    predecessor: bytes = ZERO,
) -> Deployment:
    """Create both contracts.

    Args:
        chain: where.
        signer: who pays; the account keeps no power.
        founders: the first members, in the order of their indices.
        operators: accounts that may pause a run.
        aggregators: accounts that plans may name.
        auditors: accounts that services let read.
        approval_percent: votes needed, in percent of the members; always more than half.
        predecessor: final head of the ledger that this one succeeds.

    Raises:
        ContractError: the contract refuses what is asked for; nothing was paid.
        ChainError: the chain did not answer, or the account cannot pay for both contracts.
    """
    needed = 2 * _GAS_CREATION * chain.gas_price()
    balance = chain.balance(bytes.fromhex(signer.address[2:])) if needed else 0
    if balance < needed:  # else the first would be paid for in vain
        raise shortage(signer.address, balance, needed)
    members = [(f.account, f.encryption_key, f.metadata) for f in founders]
    roles = [list(operators), list(aggregators), list(auditors)]
    arguments = [members, *roles, approval_percent, predecessor]
    creation = chain.deploy(signer, "Consortium", arguments, _GAS_CREATION)
    consortium = _created(creation)
    ledger = _created(chain.deploy(signer, "RoundLedger", [consortium], _GAS_CREATION))
    return Deployment(consortium, ledger, creation.block)


def _created(receipt: Receipt) -> bytes:
    if receipt.contract is None:
        raise ChainError("a contract was created, but the receipt does not say where")
    return receipt.contract


class _Client:
    def __init__(self, chain: Chain, address: bytes) -> None:
        self.chain = chain
        self.address = address
        self._name = type(self).__name__

    def _call(self, function: str, *arguments: object) -> Any:
        try:
            return self.chain.call(self._name, self.address, function, arguments)
        except ContractError:
            raise
        except ChainError as error:
            if self.is_shipped_code():
                raise
            raise UsageError(f"no {self._name} at {to_checksum_address(self.address)}") from error

    def _transact(self, signer: Signer, function: str, *arguments: object) -> Receipt:
        gas = _GAS.get(function, _GAS_OTHERWISE)
        return self.chain.transact(signer, self._name, self.address, function, arguments, gas)

    def is_shipped_code(self) -> bool:
        """Whether the code at the address is the one that ships with this software."""
        return artifacts.load(self._name).matches(self.chain.code(self.address))


class Consortium(_Client):
    """The ``Consortium`` contract at an address."""

    def vote_admit(self, signer: Signer, account: bytes, encryption_key: bytes, metadata: bytes) -> Receipt:
        """Vote to admit a member."""
        return self._transact(signer, "voteAdmit", account, encryption_key, metadata)

    def vote_remove(self, signer: Signer, member: int) -> Receipt:
        """Vote to remove a member."""
        return self._transact(signer, "voteRemove", member)

    def vote_rotate(self, signer: Signer, member: int, account: bytes, encryption_key: bytes) -> Receipt:
        """Vote to give a member another account and encryption key."""
        return self._transact(signer, "voteRotate", member, account, encryption_key)

    def vote_roles(self, signer: Signer, account: bytes, roles: int) -> Receipt:
        """Vote to set an account's roles to exactly these bits."""
        return self._transact(signer, "voteRoles", account, roles)

    def vote_approve(self, signer: Signer, terms: Terms) -> Receipt:
        """Vote to approve training terms."""
        return self._transact(signer, "voteApprove", terms.abi())

    def withdraw_vote(self, signer: Signer, ballot: bytes) -> Receipt:
        """Take a vote back."""
        return self._transact(signer, "withdrawVote", ballot)

    def votes_of(self, ballot: bytes) -> int:
        """Return the present members that vote for a ballot that is open, as bits."""
        voters: int = self._call("votesOf", ballot)
        return voters

    def threshold(self) -> int:
        """Return the votes that decide now."""
        votes: int = self._call("threshold")
        return votes

    def member_of(self, account: bytes) -> int:
        """Return the member for which an account signs now; ``ContractError`` NotMember for none."""
        member: int = self._call("memberOf", account)
        return member

    def is_approved(self, terms: bytes) -> bool:
        """Whether terms were approved."""
        approved: bool = self._call("isApproved", terms)
        return approved

    def snapshot(self) -> dict[str, Any]:
        """Return ``epoch``, ``accumulator`` and ``members`` (bits)."""
        state: dict[str, Any] = self._call("snapshot")
        return state

    def approval_percent(self) -> int:
        """Return the constructor's approval percent."""
        percent: int = self._call("approvalPercent")
        return percent

    def predecessor(self) -> bytes:
        """Return the constructor's predecessor head."""
        head: bytes = self._call("predecessor")
        return head


class RoundLedger(_Client):
    """The ``RoundLedger`` contract at an address."""

    def consortium(self) -> bytes:
        """Return the address of the consortium that it asks."""
        address: bytes = self._call("consortium")
        return address

    def start_run(self, signer: Signer, terms: Terms) -> int:
        """Start a run of approved terms and return its number."""
        receipt = self._transact(signer, "startRun", terms.abi())
        for recorded in self.chain.history([self.address], receipt.block, receipt.block):
            if recorded.transaction == receipt.transaction and isinstance(recorded.event, RunStarted):
                return recorded.event.run
        raise ChainError("a run was started, but the chain does not show its event")

    def join(self, signer: Signer, run: int) -> Receipt:
        """Take part from the next opening on."""
        return self._transact(signer, "join", run)

    def leave(self, signer: Signer, run: int) -> Receipt:
        """Take no part from the next opening on."""
        return self._transact(signer, "leave", run)

    def pause(self, signer: Signer, run: int) -> Receipt:
        """Stop the next opening."""
        return self._transact(signer, "pause", run)

    def resume(self, signer: Signer, run: int) -> Receipt:
        """Lift the pause."""
        return self._transact(signer, "resume", run)

    def open(self, signer: Signer, run: int) -> Receipt:
        """Open the next round."""
        return self._transact(signer, "open", run)

    def commit(self, signer: Signer, run: int, round_: int, commitment: bytes) -> Receipt:
        """Commit to a contribution."""
        return self._transact(signer, "commit", run, round_, commitment)

    def reveal(
        self, signer: Signer, run: int, round_: int, member: int, contribution: Contribution, salt: bytes
    ) -> Receipt:
        """Open a commitment."""
        c = contribution
        values = (c.payload, c.update, c.byte_length, c.num_examples)
        return self._transact(signer, "reveal", run, round_, member, values, salt)

    def propose(self, signer: Signer, run: int, round_: int, result: bytes) -> Receipt:
        """Propose a result document."""
        return self._transact(signer, "propose", run, round_, result)

    def attest(self, signer: Signer, run: int, round_: int, result: bytes, report: bytes) -> Receipt:
        """State that the signer's member recomputed this result."""
        return self._transact(signer, "attest", run, round_, result, report)

    def replace_attestation(
        self, signer: Signer, run: int, round_: int, previous: bytes, result: bytes, report: bytes
    ) -> Receipt:
        """Stand by another result than before."""
        return self._transact(signer, "replaceAttestation", run, round_, previous, result, report)

    def abort(self, signer: Signer, run: int, round_: int) -> Receipt:
        """End an undecided round after its last deadline."""
        return self._transact(signer, "abort", run, round_)

    def run_count(self) -> int:
        """Return how many runs were started."""
        count: int = self._call("runCount")
        return count

    def run_at(self, run: int) -> dict[str, Any]:
        """Return a run's stored state; names as in ``IRoundLedger.RunView``, in snake case."""
        state: dict[str, Any] = self._call("runAt", run)
        return state

    def round_at(self, run: int, round_: int) -> dict[str, Any]:
        """Return a round's stored state; names as in ``IRoundLedger.RoundView``, in snake case."""
        state: dict[str, Any] = self._call("roundAt", run, round_)
        return state | {"status": Status(state["status"]), "phase": Phase(state["phase"])}

    def entry_at(self, run: int, round_: int, member: int) -> bytes:
        """Return a member's commitment, or after its reveal its leaf."""
        entry: bytes = self._call("entryAt", run, round_, member)
        return entry

    def attesters_of(self, run: int, round_: int, result: bytes) -> int:
        """Return the members that stand by a result, as bits."""
        members: int = self._call("attestersOf", run, round_, result)
        return members
