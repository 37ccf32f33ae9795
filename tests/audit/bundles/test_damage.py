"""Nothing in a bundle can be changed, but for what the verifier says that nobody proved."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.bundles.verification import verify
from tests.audit.bundles.case import CASES, good, policies, with_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from audit.bundles.policy import Policy
    from ledger.records import Recorded

WHOLE = ("holds-payloads", "holds-bare", "holds-sealed", "holds-aborted", "holds-silent-members")

many = settings(
    max_examples=max(150, settings().max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _holds(path: Path, data: bytes, policy: Policy) -> bool:
    path.write_bytes(data)
    return verify(path, policy).holds


@pytest.mark.parametrize("name", WHOLE)
@many
@given(data=st.data())
def test_a_bundle_with_one_byte_changed_never_holds(made: Path, tmp_path: Path, name: str, data: Any) -> None:
    whole = (made / f"{name}.bundle").read_bytes()
    place, bits = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    changed = whole[:place] + bytes((whole[place] ^ bits,)) + whole[place + 1 :]
    assert not _holds(tmp_path / "changed", changed, policies()[CASES[name].policy])


@many
@given(data=st.data())
def test_a_bundle_with_bytes_cut_out_or_put_in_never_holds(made: Path, tmp_path: Path, data: Any) -> None:
    whole = (made / "holds-payloads.bundle").read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    new = data.draw(st.binary(max_size=40))
    changed = whole[:start] + new + whole[end:]
    if changed != whole:
        assert not _holds(tmp_path / "changed", changed, policies()["everything"])


@many
@given(data=st.binary(max_size=300))
def test_what_is_no_bundle_is_refused_with_a_reason(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "noise"
    path.write_bytes(data)
    outcome = verify(path, policies()["members"])
    assert outcome.failed is not None
    assert outcome.failed.message


def _scalars(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all texts and numbers in JSON."""
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _scalars(each, (*path, key))
    else:
        yield path


def _turned(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    last = value[-1:]
    return value[:-1] + ("1" if last == "0" else "0")


@pytest.mark.parametrize("name", WHOLE)
def test_every_value_of_the_first_line_counts(made: Path, tmp_path: Path, name: str) -> None:
    whole = (made / f"{name}.bundle").read_bytes()
    line, _, rest = whole.partition(b"\n")
    document, policy = json.loads(line), policies()[CASES[name].policy]
    idle = []
    for path in _scalars(document):
        other = json.loads(line)
        place = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = _turned(place[path[-1]])
        spelled = json.dumps(other, separators=(",", ":"), sort_keys=True).encode()
        if _holds(tmp_path / "changed", spelled + b"\n" + rest, policy):
            idle.append(path)
    assert idle == []


UNPROVEN = {"block", "log_index", "time", "transaction"}
BY_ANYONE = {("RunStarted", "sender"), ("Revealed", "sender"), ("RoundAborted", "sender")}


def _variants(recorded: Recorded) -> Iterator[tuple[str, Recorded]]:
    for name in ("block", "log_index", "time"):
        for step in (-1, 1):
            value = max(0, getattr(recorded.position, name) + step)
            if value != getattr(recorded.position, name):
                yield name, replace(recorded, position=replace(recorded.position, **{name: value}))
    for name in ("sender", "transaction"):
        yield name, replace(recorded, **{name: _other(getattr(recorded, name))})
    for field in fields(recorded.event):
        value = getattr(recorded.event, field.name)
        for other in _others(value):
            yield field.name, replace(recorded, event=replace(recorded.event, **{field.name: other}))


def _others(value: Any) -> Iterator[Any]:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in _others(getattr(value, field.name)):
                yield replace(value, **{field.name: other})
    else:
        yield _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    return (*value, bytes(20)) if isinstance(value, tuple) else bytes((value[0] ^ 1,)) + value[1:]


@pytest.mark.parametrize(("round_", "policy"), [(1, "everything"), (3, "block"), (1, "members")])
def test_what_may_differ_in_an_event_is_what_the_verifier_calls_unproven(
    tmp_path: Path, round_: int, policy: str
) -> None:
    """A liar who changes one value of an event, and makes the digests of the file fit."""
    parts = good(round_)
    free, seen = set(), Counter[str]()
    for place, recorded in reversed(list(enumerate(parts.events))):
        seen[kind := type(recorded.event).__name__] += 1
        if seen[kind] > 2:  # two of a kind are as good as all
            continue
        for name, other in _variants(recorded):
            changed = parts.copy()
            changed.events[place] = other
            if _holds(tmp_path / "changed", changed.data(), policies()[policy]):
                free.add((kind, name))
    assert {pair for pair in free if pair[1] not in UNPROVEN} <= BY_ANYONE


def test_a_payload_that_is_not_in_the_record_cannot_be_slipped_in(tmp_path: Path) -> None:
    def slip(document: dict[str, Any]) -> None:
        document["payloads"].append({"role": "update:0", "digest": "00" * 32, "length": 0})

    assert not _holds(tmp_path / "changed", with_line(good(), slip), policies()["block"])
