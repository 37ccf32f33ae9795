"""A real consortium on a chain in this process, for tests to bend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from eth_account import Account
from eth_utils.crypto import keccak

from contracts.client import Consortium, Deployment, Founder, RoundLedger, deploy
from contracts.follower import Follower
from contracts.local import GENESIS_TIME, LocalChain, faucet
from ledger.commitments import ZERO, commitment, leaf
from ledger.records import Contribution, LedgerId, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eth_account.signers.local import LocalAccount

    from contracts.chain import Chain

_ETHER = 10**18


@cache
def key(name: str) -> LocalAccount:
    """Return the account of that name; the same at every run."""
    account: LocalAccount = Account.from_key(keccak(text=name))
    return account


def address(account: LocalAccount) -> bytes:
    """Return the account's 20 bytes."""
    return bytes.fromhex(account.address.removeprefix("0x"))


def word(text: str) -> bytes:
    """Return 32 bytes that nobody mistakes for others."""
    return bytes(keccak(text=text))


def fresh_chain() -> LocalChain:
    """Return a chain whose clock moves with blocks and ``skip`` alone."""
    return LocalChain(clock=lambda: GENESIS_TIME)


def fund(chain: Chain, accounts: Iterable[LocalAccount], payer: LocalAccount | None = None) -> None:
    """Give ether to those that have none."""
    for account in accounts:
        if not chain.balance(address(account)):
            chain.transfer(payer or faucet(), address(account), _ETHER)


def contribution(text: str, *, num_examples: int = 100) -> Contribution:
    """Return a contribution whose payload is not encrypted."""
    return Contribution(word(text), word(text), 4096, num_examples)


@dataclass
class Federation:
    """Contracts on a chain, their accounts, and one run of approved terms.

    Attributes:
        members: accounts that sign for members 0, 1, ….
        operator, aggregator, outsider: accounts that are no member's.
        run: number of the run, once started.
    """

    chain: LocalChain
    deployment: Deployment
    members: list[LocalAccount]
    operator: LocalAccount
    aggregator: LocalAccount
    outsider: LocalAccount
    terms: Terms
    run: int = 0

    @property
    def consortium(self) -> Consortium:
        """Client of the registry."""
        return Consortium(self.chain, self.deployment.consortium)

    @property
    def ledger(self) -> RoundLedger:
        """Client of the ledger."""
        return RoundLedger(self.chain, self.deployment.round_ledger)

    @property
    def id(self) -> LedgerId:
        """Which ledger."""
        return LedgerId(self.chain.chain_id, self.deployment.round_ledger)

    def follower(self) -> Follower:
        """Return a follower that has read everything."""
        follower = Follower(self.chain, self.deployment)
        follower.update()
        return follower

    def start(self) -> None:
        """Approve the terms, start the run, and let all members join."""
        for voter in self.members:
            if not self.consortium.is_approved(self.terms_digest()):
                self.consortium.vote_approve(voter, self.terms)
        self.run = self.ledger.start_run(self.operator, self.terms)
        for member in self.members:
            self.ledger.join(member, self.run)

    def terms_digest(self) -> bytes:
        """Return the terms' digest as the contract computes it."""
        arguments = [self.terms.abi()]
        digest: bytes = self.chain.call("Consortium", self.deployment.consortium, "termsDigest", arguments)
        return digest

    def open(self) -> int:
        """Open the next round as the aggregator, and return its number."""
        self.ledger.open(self.aggregator, self.run)
        rounds: int = self.ledger.run_at(self.run)["rounds"]
        return rounds

    def commitment(self, round_: int, member: int) -> bytes:
        """Return the commitment that ``commit`` sends."""
        return commitment(
            leaf(self.id, self.run, round_, member, self.contribution(round_, member)),
            self.salt(round_, member),
        )

    def contribution(self, round_: int, member: int) -> Contribution:
        """Return a member's contribution to a round."""
        return contribution(f"update {round_} {member}", num_examples=100 + member)

    def salt(self, round_: int, member: int) -> bytes:
        """Return a member's salt in a round."""
        return word(f"salt {round_} {member}")

    def commit(self, round_: int, *members: int) -> None:
        """Let members commit."""
        for m in members:
            self.ledger.commit(self.members[m], self.run, round_, self.commitment(round_, m))

    def reveal(self, round_: int, *members: int) -> None:
        """Let members reveal."""
        for m in members:
            opened = self.contribution(round_, m), self.salt(round_, m)
            self.ledger.reveal(self.members[m], self.run, round_, m, *opened)

    def propose(self, round_: int, result: bytes) -> None:
        """Propose as the aggregator."""
        self.ledger.propose(self.aggregator, self.run, round_, result)

    def attest(self, round_: int, result: bytes, *members: int, report: bytes = ZERO) -> None:
        """Let members attest."""
        for m in members:
            self.ledger.attest(self.members[m], self.run, round_, result, report)

    def skip_phase(self, round_: int) -> None:
        """Turn the clock to the end of the round's present phase."""
        now = self.chain.next_time()
        state = self.ledger.round_at(self.run, round_)
        ends = (state["commit_end"], state["reveal_end"], state["propose_end"])
        self.chain.skip(next(end for end in ends if end > now) - now)

    def certify(self, round_: int, result: bytes) -> None:
        """Play an open round to its certificate with all members."""
        everyone = range(len(self.members))
        self.commit(round_, *everyone)
        self.reveal(round_, *everyone)
        self.propose(round_, result)
        self.attest(round_, result, *range(self.terms.quorum))


def federation(
    chain: Chain | None = None,
    *,
    members: int = 4,
    quorum: int = 3,
    min_reveals: int = 2,
    grace: int = 20,
    max_rounds: int = 50,
    approval_percent: int = 0,
    predecessor: bytes = ZERO,
    payer: LocalAccount | None = None,
) -> Federation:
    """Deploy contracts for that many members; nothing is approved yet. Payer is the faucet where None."""
    chain = chain or fresh_chain()
    accounts = [key(f"member {m}") for m in range(members)]
    operator, aggregator, outsider = key("operator"), key("aggregator"), key("outsider")
    fund(chain, [*accounts, operator, aggregator, outsider], payer)
    deployment = deploy(
        chain,
        payer or faucet(),
        [Founder(address(a), word(f"key {m}"), word(f"metadata {m}")) for m, a in enumerate(accounts)],
        operators=[address(operator)],
        aggregators=[address(aggregator)],
        auditors=[address(outsider)],
        approval_percent=approval_percent,
        predecessor=predecessor,
    )
    terms = Terms(word("plan"), quorum, min_reveals, 60, 50, 80, grace, max_rounds, (address(aggregator),))
    return Federation(chain, deployment, accounts, operator, aggregator, outsider, terms)
