"""The hashes that chain and software agree on, against a second implementation and against the contracts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import commitments as c
from ledger.errors import UsageError
from ledger.records import Contribution, LedgerId, RoundOpened, Status, Terms
from tests.federation import Federation, contribution, federation, word
from tests.ledger import naive
from tests.ledger.make_vectors import FOLDER

VECTORS = json.loads((FOLDER / "commitments.json").read_text(encoding="utf-8"))
CASES = [(name, case) for name, cases in VECTORS.items() if name != "about" for case in cases]

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
durations = st.integers(0, 2**32 - 1)
contributions = st.builds(Contribution, words, words, st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
terms_strategy = st.builds(
    Terms,
    words,
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**16 - 1),
    durations,
    durations,
    durations,
    durations,
    durations,
    st.lists(addresses, max_size=17).map(tuple),
)


def _arguments(case: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(bytes.fromhex(v) for v in value)
        return bytes.fromhex(value) if isinstance(value, str) else value

    return {name: plain(value) for name, value in case.items() if name != "digest"}


def _computed(name: str, case: dict[str, Any]) -> bytes:
    a = _arguments(case)
    ledger = LedgerId(a.pop("chain_id"), a.pop("contract")) if "chain_id" in a else None
    by_name = {
        "leaf": lambda: c.leaf(
            ledger,
            a["run"],
            a["round"],
            a["member"],
            Contribution(a["payload"], a["update"], a["byte_length"], a["num_examples"]),
        ),
        "consortium_genesis": lambda: c.consortium_genesis(
            ledger.chain_id, ledger.contract, a["predecessor"], a["approval_percent"]
        ),
        "final_head": lambda: c.final_head(
            a["head"], a["run"], a["round"], Status(a["status"]), a["accumulator"], a["result"]
        ),
        "round_seed": lambda: c.round_seed(
            ledger, a.pop("terms"), RoundOpened(opener=bytes(20), accumulator=bytes(32), commit_end=0, **a)
        ),
        "terms_digest": lambda: c.terms_digest(Terms(**a)),
        "first_head": lambda: c.first_head(ledger, *a.values()),
    }
    return by_name.get(name, lambda: getattr(c, name)(*a.values()))()


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_a_hash_is_the_one_of_the_vectors(name: str, case: dict[str, Any]) -> None:
    assert case["digest"] == _computed(name, case).hex()


def test_the_vectors_cover_every_hash() -> None:
    # What a ballot hashes to is held against the contract's own events (tests/cli/test_operators.py).
    others = {"ZERO", "TERMS_TYPE", "ConsortiumKind", "RoundKind", "event_value", "ballot"}
    hashes = set(c.__all__) - others
    assert hashes == {name for name, _ in CASES}


@given(st.integers(1, 2**63), addresses, st.integers(1, 2**64 - 1), st.integers(0, 255), contributions, words)
def test_a_commitment_is_computed_as_documented(chain_id, contract, run, member, contribution_, salt) -> None:
    k = contribution_
    place = (chain_id, contract, run, 7, member)
    leaf = naive.keccak256(naive.words(*place, k.payload, k.update, k.byte_length, k.num_examples))
    computed = c.leaf(LedgerId(chain_id, contract), run, 7, member, k)
    assert leaf == computed
    assert naive.keccak256(naive.words(leaf, salt)) == c.commitment(computed, salt)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_id": 2},
        {"contract": bytes(19) + b"\x01"},
        {"run": 2},
        {"round": 2},
        {"member": 2},
        {"payload": word("other")},
        {"update": word("other")},
        {"byte_length": 2},
        {"num_examples": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_leaf_binds_everything_about_a_contribution(change: dict[str, Any]) -> None:
    def leaf(**values: Any) -> bytes:
        v = {"chain_id": 1, "contract": bytes(20), "run": 1, "round": 1, "member": 1, **values}
        k = Contribution(
            v.get("payload", word("a")),
            v.get("update", word("b")),
            v.get("byte_length", 1),
            v.get("num_examples", 1),
        )
        return c.leaf(LedgerId(v["chain_id"], v["contract"]), v["run"], v["round"], v["member"], k)

    assert leaf() != leaf(**change)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: c.commitment(bytes(33), bytes(32)),
        lambda: c.extend(bytes(32), 1, -1, bytes(32)),
        lambda: c.extend(bytes(32), 1, 2**256, bytes(32)),
        lambda: c.leaf(LedgerId(1, bytes(19)), 1, 1, 1, contribution("a")),
        lambda: c.leaf(LedgerId(1, bytes(20)), 1, 1, 1, contribution("a", num_examples=-1)),
        lambda: c.event_value(["address[]"], [["not an address"]]),
    ],
)
def test_a_value_that_the_contracts_cannot_hold_is_a_usage_error(wrong) -> None:
    with pytest.raises(UsageError, match="a value that the contracts cannot hold: got"):
        wrong()


# -- against the contracts ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed() -> Federation:
    return federation()


@given(terms=terms_strategy)
def test_the_contract_gives_terms_the_same_digest(deployed: Federation, terms: Terms) -> None:
    deployed = replace(deployed, terms=terms)
    assert deployed.terms_digest() == c.terms_digest(terms)


@given(
    run=st.integers(0, 2**64 - 1), round_=durations, member=st.integers(0, 255), contribution_=contributions
)
def test_the_contract_gives_a_contribution_the_same_leaf(
    deployed: Federation, run: int, round_: int, member: int, contribution_: Contribution
) -> None:
    k = contribution_
    arguments = [run, round_, member, (k.payload, k.update, k.byte_length, k.num_examples)]
    leaf = deployed.chain.call("RoundLedger", deployed.deployment.round_ledger, "leafOf", arguments)
    assert leaf == c.leaf(deployed.id, run, round_, member, k)


@pytest.mark.parametrize("predecessor", [c.ZERO, word("head of the ledger before")])
@pytest.mark.parametrize("percent", [0, 100])
def test_a_consortium_begins_with_its_founders(predecessor: bytes, percent: int) -> None:
    """The accumulator after deployment, computed from the constructor's arguments alone."""
    f = federation(approval_percent=percent, predecessor=predecessor)
    address = f.deployment.consortium
    accumulator = naive.keccak256(naive.words(f.chain.chain_id, address, predecessor, percent))
    events = [r for r in f.follower().history if r.contract == address]
    for recorded in events[: len(f.members)]:
        e = recorded.event
        value = naive.keccak256(naive.words(e.member, e.account, e.encryption_key, e.metadata, e.epoch))
        accumulator = naive.keccak256(naive.words(accumulator, 1, recorded.sender, value))
    for recorded in events[len(f.members) :]:
        value = naive.keccak256(naive.words(recorded.event.account, recorded.event.roles))
        accumulator = naive.keccak256(naive.words(accumulator, 4, recorded.sender, value))
    assert len(events) == len(f.members) + 3
    assert {"epoch": 4, "accumulator": accumulator, "members": 0b1111} == f.consortium.snapshot()
