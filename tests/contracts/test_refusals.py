"""Every custom error of the contracts comes out as a ``ContractError`` with its name and arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple

from contracts.artifacts import load
from contracts.client import Founder, deploy
from contracts.events import snake_case
from contracts.local import faucet
from ledger.commitments import ZERO, terms_digest
from ledger.errors import ChainError, ContractError
from ledger.records import Phase
from tests.contracts import stages
from tests.contracts.forwarder import Forwarder
from tests.contracts.stages import OTHER, RESULT
from tests.federation import address, contribution, fresh_chain, key, word
from tests.ledger import rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.federation import Federation

Case = tuple[
    "Callable[[], Federation]", "Callable[[Federation], object]", "Callable[[Federation], dict[str, Any]]"
]

STRANGER = key("outsider")


def _approve(f: Federation, **changes: object) -> object:
    return f.consortium.vote_approve(f.members[0], stages.with_terms(f, **changes).terms)


def _admit(f: Federation, account: bytes) -> object:
    return f.consortium.vote_admit(f.members[0], account, ZERO, ZERO)


def _vote_twice(f: Federation) -> None:
    for _ in range(2):
        f.consortium.vote_remove(f.members[0], 3)


# Of each error: a stage at which it arises, the call that is refused, and the error's arguments.
CASES: dict[str, Case] = {
    "NotMember": (
        stages.deployed,
        lambda f: f.consortium.vote_remove(STRANGER, 0),
        lambda _: {"account": address(STRANGER)},
    ),
    "UnknownMember": (
        stages.deployed,
        lambda f: f.consortium.vote_remove(f.members[0], 200),
        lambda _: {"member": 200},
    ),
    "AccountInUse": (
        stages.deployed,
        lambda f: _admit(f, address(f.members[2])),
        lambda f: {"account": address(f.members[2])},
    ),
    "ZeroAccount": (stages.deployed, lambda f: _admit(f, bytes(20)), lambda _: {}),
    "NoFounders": (stages.deployed, lambda f: deploy(f.chain, faucet(), []), lambda _: {}),
    "InvalidApprovalPercent": (
        stages.deployed,
        lambda f: deploy(f.chain, faucet(), [Founder(address(STRANGER))], approval_percent=101),
        lambda _: {"percent": 101},
    ),
    "LastMember": (
        stages.alone,
        lambda f: f.consortium.vote_remove(f.members[0], 0),
        lambda _: {"member": 0},
    ),
    "AlreadyVoted": (stages.deployed, _vote_twice, lambda _: {"ballot": rules.removal(3), "member": 0}),
    "NotVoted": (
        stages.deployed,
        lambda f: f.consortium.withdraw_vote(f.members[1], word("ballot")),
        lambda _: {"ballot": word("ballot"), "member": 1},
    ),
    "InvalidRoles": (
        stages.deployed,
        lambda f: f.consortium.vote_roles(f.members[0], address(STRANGER), 8),
        lambda _: {"roles": 8},
    ),
    "RolesUnchanged": (
        stages.deployed,
        lambda f: f.consortium.vote_roles(f.members[0], address(f.operator), 1),
        lambda f: {"account": address(f.operator), "roles": 1},
    ),
    "AlreadyApproved": (
        stages.started,
        lambda f: f.consortium.vote_approve(f.members[0], f.terms),
        lambda f: {"terms": terms_digest(f.terms)},
    ),
    "InvalidTerms": (stages.deployed, lambda f: _approve(f, quorum=0), lambda _: {"field": 1}),
    "NotSigned": (
        stages.deployed,
        lambda f: Forwarder(f.chain).call("Consortium", f.deployment.consortium, "voteRemove", [0]),
        lambda f: {"sender": f.chain.created()[-1]},
    ),
    "UnknownRun": (stages.started, lambda f: f.ledger.join(f.members[0], 2), lambda _: {"run": 2}),
    "UnknownRound": (
        stages.started,
        lambda f: f.ledger.abort(STRANGER, 1, 1),
        lambda _: {"run": 1, "round": 1},
    ),
    "NotApproved": (
        stages.deployed,
        lambda f: f.ledger.start_run(f.operator, f.terms),
        lambda f: {"terms": terms_digest(f.terms)},
    ),
    "NotAllowed": (
        stages.started,
        lambda f: f.ledger.pause(STRANGER, 1),
        lambda _: {"account": address(STRANGER)},
    ),
    "AlreadyJoined": (
        stages.started,
        lambda f: f.ledger.join(f.members[1], 1),
        lambda _: {"run": 1, "member": 1},
    ),
    "NotPaused": (stages.started, lambda f: f.ledger.resume(f.operator, 1), lambda _: {"run": 1}),
    "Paused": (stages.paused, lambda f: f.ledger.open(f.aggregator, 1), lambda _: {"run": 1}),
    "NotJoined": (
        stages.committing,
        lambda f: f.ledger.leave(f.members[3], 1),
        lambda _: {"run": 1, "member": 3},
    ),
    "NotEligible": (
        stages.committing,
        lambda f: f.ledger.commit(f.members[3], 1, 1, word("commitment")),
        lambda _: {"run": 1, "round": 1, "member": 3},
    ),
    "RoundStillOpen": (
        stages.committing,
        lambda f: f.ledger.open(f.aggregator, 1),
        lambda _: {"run": 1, "round": 1},
    ),
    "AlreadyCommitted": (
        stages.committing,
        lambda f: f.ledger.commit(f.members[0], 1, 1, word("commitment")),
        lambda _: {"run": 1, "round": 1, "member": 0},
    ),
    "ZeroCommitment": (
        stages.committing,
        lambda f: f.ledger.commit(f.members[1], 1, 1, ZERO),
        lambda _: {},
    ),
    "WrongPhase": (
        stages.committing,
        lambda f: f.ledger.reveal(f.members[0], 1, 1, 0, f.contribution(1, 0), f.salt(1, 0)),
        lambda _: {"expected": Phase.REVEAL, "actual": Phase.COMMIT},
    ),
    "NotCommitted": (
        stages.revealing,
        lambda f: f.ledger.reveal(f.members[1], 1, 1, 1, contribution("another"), f.salt(1, 1)),
        lambda _: {"run": 1, "round": 1, "member": 1},
    ),
    "ZeroResult": (stages.proposing, lambda f: f.propose(1, ZERO), lambda _: {}),
    "NothingProposed": (
        stages.proposing,
        lambda f: f.attest(1, RESULT, 0),
        lambda _: {"run": 1, "round": 1},
    ),
    "TooEarly": (
        stages.proposing,
        lambda f: f.ledger.propose(f.members[0], 1, 1, RESULT),
        lambda f: {
            "allowed_from": f.ledger.round_at(1, 1)["reveal_end"] + f.terms.grace,
            "now": f.chain.next_time(),
        },
    ),
    "TooManyProposals": (
        stages.attesting,
        lambda f: f.propose(1, word("a fourth")),
        lambda f: {"proposer": address(f.aggregator)},
    ),
    "AlreadyAttested": (
        stages.attesting,
        lambda f: f.attest(1, OTHER, 0),
        lambda _: {"run": 1, "round": 1, "member": 0},
    ),
    "NotAttested": (
        stages.attesting,
        lambda f: f.ledger.replace_attestation(f.members[1], 1, 1, OTHER, RESULT, ZERO),
        lambda _: {"run": 1, "round": 1, "member": 1, "result": OTHER},
    ),
    "RunFinished": (
        stages.certified,
        lambda f: f.ledger.open(f.aggregator, 1),
        lambda _: {"run": 1, "max_rounds": 1},
    ),
    "QuorumTooSmall": (
        stages.outnumbered,
        lambda f: f.ledger.join(f.members[3], 1),
        lambda _: {"quorum": 2, "members": 4},
    ),
    "TooFewMembers": (
        stages.outnumbered,
        lambda f: f.ledger.open(f.aggregator, 2),
        lambda _: {"needed": 2, "joined": 0},
    ),
}

NOT_REACHED = {"ConsortiumFull": "it takes 256 admissions"}


@pytest.mark.parametrize("name", CASES)
def test_a_refused_call_says_why_with_arguments(name: str) -> None:
    stage, call, arguments = CASES[name]
    f = stage()
    with pytest.raises(ContractError) as caught:
        call(f)
    assert (caught.value.name, caught.value.arguments) == (name, arguments(f))
    assert f"was refused by the contract with {name}(" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", CASES)
def test_a_refused_call_costs_nothing(name: str) -> None:
    """It is simulated first, and nothing is sent."""
    stage, call, _ = CASES[name]
    f = stage()
    with pytest.raises(ContractError):
        call(f)
    before = f.chain.head()
    with pytest.raises(ContractError):
        call(f)
    if name != "NotSigned":  # whose case creates a contract first
        assert f.chain.head() == before


ERRORS = {
    entry["name"]: entry
    for contract in ("Consortium", "RoundLedger")
    for entry in load(contract).errors().values()
}


def test_every_custom_error_has_its_case() -> None:
    assert set(ERRORS) == CASES.keys() | NOT_REACHED.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": ZERO},
        {"quorum": 257},
        {"min_reveals": 0},
        {"commit_duration": 0},
        {"reveal_duration": 0},
        {"propose_duration": 0},
        {"grace": 80},
        {"max_rounds": 0},
        {"aggregators": ()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_invalid_terms_are_refused_by_the_position_of_the_field(changes: dict[str, object]) -> None:
    names = ["plan", "quorum", "min_reveals", "commit_duration", "reveal_duration", "propose_duration"]
    names += ["grace", "max_rounds", "aggregators"]
    with pytest.raises(ContractError) as caught:
        _approve(stages.deployed(), **changes)
    assert caught.value.arguments == {"field": names.index(next(iter(changes)))}


# -- revert data, whatever an endpoint sends -----------------------------------------------------------------


def _reverting(data: bytes) -> tuple[Any, bytes]:
    """A chain with a contract that reverts with this data, whatever it is asked."""
    chain = fresh_chain()
    runtime = _ending_with(data, b"\xfd")
    creation = _ending_with(runtime, b"\xf3")
    receipt, _ = chain._send(faucet(), {"data": creation, "gas": 2_000_000})
    assert receipt.contract is not None
    return chain, receipt.contract


def _ending_with(data: bytes, operation: bytes) -> bytes:
    """Code that copies data from behind itself to memory and reverts with, or returns, them."""
    # PUSH2 length PUSH1 14 PUSH1 0 CODECOPY PUSH2 length PUSH1 0
    length = len(data).to_bytes(2, "big")
    return b"\x61" + length + bytes.fromhex("600e600039") + b"\x61" + length + b"\x60\x00" + operation + data


SAMPLES = {"bytes32": b"\xab" * 32, "address": b"\xcd" * 20}


@pytest.mark.parametrize("name", ERRORS)
def test_an_errors_arguments_are_decoded_by_name(name: str) -> None:
    types = [collapse_if_tuple(i) for i in ERRORS[name]["inputs"]]
    values = [SAMPLES.get(t, 3) for t in types]
    [selector] = {
        s for c in ("Consortium", "RoundLedger") for s, e in load(c).errors().items() if e["name"] == name
    }
    chain, contract = _reverting(selector + encode(types, values))
    with pytest.raises(ContractError) as caught:
        chain.call("RoundLedger", contract, "runCount")
    names = [snake_case(i["name"]) for i in ERRORS[name]["inputs"]]
    assert (caught.value.name, caught.value.arguments) == (name, dict(zip(names, values, strict=True)))


TOO_EARLY = next(s for s, e in load("RoundLedger").errors().items() if e["name"] == "TooEarly")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "execution reverted"),
        (b"\x01\x02\x03\x04", "got 0x"),
        (TOO_EARLY, "got 0x"),
        (TOO_EARLY + bytes(63), "got 0x"),
        (TOO_EARLY + b"\xff" * 64, "got 0x"),
        (TOO_EARLY[:3], "execution reverted"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["not today"]), "not today"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["[" * 5_000]), r"\[\[\["),
        (bytes.fromhex("08c379a0") + encode(["string"], ["b'\\x01'" + "(" * 5_000]), "b'"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), "execution reverted|Panic"),
    ],
    ids=[
        "nothing",
        "unknown",
        "no arguments",
        "cut",
        "out of range",
        "three bytes",
        "text",
        "brackets",
        "literal",
        "panic",
    ],
)
def test_other_revert_data_are_a_chain_error_in_one_line(data: bytes, said: str) -> None:
    chain, contract = _reverting(data)
    with pytest.raises(ChainError, match=said) as caught:
        chain.call("RoundLedger", contract, "runCount")
    assert not isinstance(caught.value, ContractError)
    assert str(caught.value).isprintable()
