"""Policies are read as written, and in no other way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from audit.bundles.policy import Policy
from ledger.errors import UsageError
from tests.audit.bundles.case import policies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ["members", "block", "everything", "validators", "recent", "strangers", "nameless"]


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_read_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(policies()[name].text())
    assert Policy.read(path) == policies()[name]


def _changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(policies()["everything"].text())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(note="hello"),
        lambda d: d.update(type="fedledger/policy/2"),
        lambda d: d.pop("code"),
        lambda d: d["code"].update(library="00" * 32),
        lambda d: d.update(quorum=0),
        lambda d: d.update(quorum=257),
        lambda d: d.update(chain_id=1),
        lambda d: d.update(trust={}),
        lambda d: d.update(trust={"members": False}),
        lambda d: d["trust"].update(members="yes"),
        lambda d: d["trust"].update(everybody=True),
        lambda d: d["trust"]["block"].update(hash="0x" + "00" * 32),
        lambda d: d["trust"]["block"].update(time=1),
        lambda d: d["trust"].update(validators=[]),
        lambda d: d["trust"].update(validators=["00" * 20, "00" * 20]),
        lambda d: d["trust"].update(validators=["00" * 19]),
        lambda d: d["trust"].update(validators=[7]),
        lambda d: d.pop("members"),
        lambda d: d["members"].update({"256": ["00" * 20]}),
        lambda d: d["members"].update({"01": ["00" * 20]}),
        lambda d: d["members"].update({"9": []}),
        lambda d: d["members"].update({"9": d["members"]["0"]}),
        lambda d: d["members"].update({"9": "00" * 20}),
        lambda d: d.update(earliest={"number": -1}),
        lambda d: d.update(earliest={"block": 1}),
    ],
)
def test_a_policy_that_is_not_quite_one_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(UsageError, match="policy"):
        Policy.parse(_changed(change))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"{" * 9000, b'{"type":1}', b" " * (2 << 20)])
def test_what_is_no_policy_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        Policy.parse(data)
    assert "\n" not in str(caught.value)


def test_a_bundle_in_the_place_of_a_policy_is_refused_in_plain_words() -> None:
    with pytest.raises(UsageError, match="the policy: expected a file of JSON text, got other bytes"):
        Policy.parse(b'{"type": "\xf8')


def test_a_policy_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the policy"):
        Policy.read(tmp_path / "none.json")


def test_accounts_may_be_written_with_0x() -> None:
    written = _changed(lambda d: d["members"].update({"0": ["0x" + each for each in d["members"]["0"]]}))
    assert Policy.parse(written) == policies()["everything"]
