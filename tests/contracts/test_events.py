"""Logs: the contracts' own become records, foreign ones nothing, malformed ones an error."""

from __future__ import annotations

from dataclasses import fields

import pytest
from eth_abi.abi import encode
from eth_utils.abi import collapse_if_tuple
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import load
from contracts.events import decode_log, snake_case
from ledger import records as r
from ledger.errors import ChainError
from tests.ledger.naive import keccak256
from tests.ledger.recorded import recorded

EVENTS = {**load("Consortium").events(), **load("RoundLedger").events()}
NAMES = {entry["name"]: topic for topic, entry in EVENTS.items()}


def _logs() -> list[tuple[list[bytes], bytes, r.Event]]:
    """The raw logs of the recorded history, with what they say."""
    f, history = recorded()
    newest = f.chain.head().number
    raw = f.chain._w3.eth.get_logs({"fromBlock": 0, "toBlock": newest, "address": []})
    ours = {f.deployment.consortium, f.deployment.round_ledger}
    logs = [log for log in raw if bytes.fromhex(log["address"][2:]) in ours]
    return [
        ([bytes(t) for t in log["topics"]], bytes(log["data"]), told.event)
        for log, told in zip(logs, history, strict=True)
    ]


LOGS = {type(event).__name__: (topics, data, event) for topics, data, event in _logs()}


def test_every_event_of_the_contracts_has_its_record() -> None:
    kinds = {kind.__name__ for union in (r.ConsortiumEvent, r.RunEvent) for kind in union.__args__}
    assert kinds == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_the_events_fields_in_their_order(name: str) -> None:
    inputs = [snake_case(i["name"]) for i in EVENTS[NAMES[name]]["inputs"]]
    assert [field.name for field in fields(getattr(r, name))] == inputs


@pytest.mark.parametrize(
    ("record", "struct"),
    [(r.Terms, "Terms"), (r.Contribution, "Contribution")],
    ids=["Terms", "Contribution"],
)
def test_a_record_has_the_structs_fields_in_their_order(record, struct: str) -> None:
    inputs = [i for entry in EVENTS.values() for i in entry["inputs"]]
    [components] = {
        tuple(snake_case(c["name"]) for c in i["components"])
        for i in inputs
        if i["internalType"].endswith(f".{struct}")
    }
    assert tuple(field.name for field in fields(record)) == components


@pytest.mark.parametrize("name", LOGS)
def test_a_log_becomes_its_record(name: str) -> None:
    topics, data, event = LOGS[name]
    assert decode_log(topics, data) == event


def test_logs_of_other_kinds_are_nothing_to_us() -> None:
    _, data, _ = LOGS["VoteCast"]
    assert decode_log([], data) is None
    assert decode_log([bytes(32)], data) is None


@pytest.mark.parametrize("name", LOGS)
def test_a_log_with_a_topic_too_few_or_too_many_is_refused(name: str) -> None:
    topics, data, _ = LOGS[name]
    for wrong in (topics[:-1], [*topics, bytes(32)]):
        if len(wrong) > 0:
            with pytest.raises(ChainError, match=f"a log that looks like {name} cannot be decoded"):
                decode_log(wrong, data)


@pytest.mark.parametrize("name", LOGS)
def test_a_truncated_log_is_refused(name: str) -> None:
    topics, data, _ = LOGS[name]
    for length in range(len(data)):
        with pytest.raises(ChainError, match=f"a log that looks like {name} cannot be decoded"):
            decode_log(topics, data[:length])


@given(st.sampled_from(sorted(LOGS)), st.data())
def test_any_change_of_a_log_is_refused_or_changes_the_record(name: str, data) -> None:
    topics, body, event = LOGS[name]
    whole = [*topics[1:], body]
    part = data.draw(st.integers(0, len(whole) - 1).filter(lambda i: whole[i]))
    position = data.draw(st.integers(0, len(whole[part]) - 1))
    flip = data.draw(st.integers(1, 255))
    bad = bytearray(whole[part])
    bad[position] ^= flip
    whole[part] = bytes(bad)
    assert _decoded([topics[0], *whole[:-1]], whole[-1]) != event


def _decoded(topics: list[bytes], data: bytes) -> r.Event | str | None:
    try:
        return decode_log(topics, data)
    except ChainError as error:
        return str(error)


@given(st.sampled_from(sorted(EVENTS)), st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=400))
def test_arbitrary_topics_and_data_raise_nothing_else(topic: bytes, topics: list[bytes], data: bytes) -> None:
    _decoded([topic, *topics], data)


HUGE = [2**256 - 1, 2**255, 2**64, 2**32, 0x20, 0x1F, 0]


@pytest.mark.parametrize("offset", HUGE)
@pytest.mark.parametrize("length", HUGE)
def test_an_array_cannot_be_longer_than_its_log(offset: int, length: int) -> None:
    """Terms end with an array; a length or a place that lies must cost neither memory nor time."""
    topics, data, event = LOGS["PlanProposed"]
    place = data.index(encode(["uint256"], [len(event.content.aggregators)]) + bytes(12))
    lying = data[: place - 32] + encode(["uint256", "uint256"], [offset, length]) + data[place + 32 :]
    outcome = _decoded(topics, lying)
    if isinstance(outcome, r.PlanProposed):
        assert len(outcome.content.aggregators) <= len(data) // 32


def test_names_are_spelled_as_in_python() -> None:
    spelled = {"commitEnd": "commit_end", "now_": "now", "run": "run", "oldAccount": "old_account"}
    assert spelled == {name: snake_case(name) for name in spelled}


@pytest.mark.parametrize("name", NAMES)
def test_the_first_topic_is_the_hash_of_the_signature(name: str) -> None:
    types = ",".join(collapse_if_tuple(i) for i in EVENTS[NAMES[name]]["inputs"])
    assert NAMES[name] == keccak256(f"{name}({types})".encode())
