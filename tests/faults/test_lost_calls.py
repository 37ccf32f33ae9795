"""The fault table: each call to the outside is lost, or done with its reply lost, and the run is the same.

Each row breaks one kind of call, in all roles at once. A role that failed goes on as it is, or is started
anew from its directory, its journal and the chain. The short table loses the first call of a kind, leaves
the second unanswered, and so on by turns, and starts roles anew in every other row. The whole one, under
``FEDLEDGER_HYPOTHESIS=thorough``, breaks each single call, in both ways, with and without a new start.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from functools import partial
from itertools import count, product
from typing import TYPE_CHECKING, Any

import pytest

from ledger.records import Status
from tests.faults.outside import Broken, Consortium

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

THOROUGH = os.environ.get("FEDLEDGER_HYPOTHESIS") == "thorough"
BY_TURNS = {"lost": (1, 4, 7), "unanswered": (2, 5, 8)}

CALLS = (
    "chain.block",
    "chain.call.approvalPercent",
    "chain.call.predecessor",
    "chain.head",
    "chain.history",
    "chain.next_time",
    "chain.transact.attest",
    "chain.transact.commit",
    "chain.transact.join",
    "chain.transact.open",
    "chain.transact.propose",
    "chain.transact.reveal",
    "journal.accepted",
    "journal.contribution",
    "journal.intend",
    "journal.report",
    "journal.reported",
    "local.adopt",
    "local.document",
    "local.has",
    "local.intact",
    "local.put",
    "shared.document",
    "shared.fetch",
    "shared.has",
    "shared.put_file",
    "shared.verify",
)
"""All calls that a round makes when everybody does its part."""

SUFFERED = {"local.intact", "shared.document", "shared.fetch", "shared.has", "shared.put_file"}
"""Calls that may fail without being made again, because what they were for is had from elsewhere."""

Undisturbed = tuple[list[str], Counter[str]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The models of a run without faults, and the most that a role makes of each call."""
    return _played(tmp_path_factory.mktemp("undisturbed"), lambda _: Broken(""))


def _played(root: Path, around: Callable[[int | None], Broken], **options: Any) -> Undisturbed:
    made: list[Broken] = []

    def counted(member: int | None) -> Broken:
        made.append(around(member))
        return made[-1]

    with closing(Consortium(root, counted, **options)) as consortium:
        models = consortium.play()
        consortium.require_nothing_lost_or_done_twice()
        assert set(consortium.sandbox.outcomes) == {"accepted"}
    most: Counter[str] = Counter()
    for broken in made:
        most |= broken.calls
    return models, most


def test_the_table_has_a_row_for_each_call(undisturbed: Undisturbed) -> None:
    _, calls = undisturbed
    assert tuple(sorted(calls)) == CALLS


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_are_lost_by_turns_change_nothing(
    tmp_path: Path, undisturbed: Undisturbed, name: str
) -> None:
    models, calls = _played(tmp_path, lambda _: Broken(name, **BY_TURNS), restart=CALLS.index(name) % 2 == 0)
    assert models == undisturbed[0]
    assert calls[name] > undisturbed[1][name] or name in SUFFERED


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("chain.transact")])
def test_transactions_that_are_lost_by_turns_change_nothing_where_blocks_are_read_at_a_depth(
    tmp_path: Path, undisturbed: Undisturbed, name: str
) -> None:
    """Then a step that was mined without a reply is not seen for some blocks."""
    models, _ = _played(tmp_path, lambda _: Broken(name, **BY_TURNS), confirmations=2)
    assert models == undisturbed[0]


REQUESTS = (
    "rpc.eth_call",
    "rpc.eth_chainId",
    "rpc.eth_getBlockByNumber",
    "rpc.eth_getLogs",
    "rpc.eth_getTransactionCount",
    "rpc.eth_getTransactionReceipt",
    "rpc.eth_sendRawTransaction",
)


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_to_an_endpoint_that_are_lost_by_turns_change_nothing(
    tmp_path: Path, undisturbed: Undisturbed, name: str
) -> None:
    """A raw transaction whose reply is lost was mined: it is found, and not sent again."""
    models, calls = _played(tmp_path, lambda _: Broken(name, **BY_TURNS), by_line=True)
    assert models == undisturbed[0]
    assert calls[name] > 1
    now_and_then = {"rpc.eth_getTransactionByHash", "rpc.eth_getCode"}  # where an answer is missing
    assert {call for call in calls if call.startswith("rpc")} <= {*REQUESTS, *now_and_then}


def _played_without_aggregator(root: Path, name: str) -> list[str]:
    """Of three members two are away until the first round was aborted; nobody has an aggregator."""
    around = partial(Broken, f"chain.transact.{name}", **BY_TURNS)
    with closing(Consortium(root, lambda _: around(), aggregator_alive=False)) as consortium:
        everyone = consortium.services
        for service in everyone:
            consortium.services = [service]
            consortium.play_until(service.home.exists)  # it joins
        consortium.services = everyone[:1]
        consortium.play_until(lambda: _ended(consortium, Status.ABORTED))
        consortium.services = everyone
        models = consortium.play()
        assert _ended(consortium, Status.CERTIFIED)
        consortium.require_nothing_lost_or_done_twice()
        return models


def _ended(consortium: Consortium, status: Status) -> bool:
    current = consortium.sandbox.run.current
    return current is not None and current.status is status


@pytest.fixture(scope="module")
def without_aggregator(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return _played_without_aggregator(tmp_path_factory.mktemp("without"), "nothing")


@pytest.mark.parametrize("name", ["open", "propose", "abort", "attest"])
def test_members_in_the_aggregators_place_send_nothing_twice(
    tmp_path: Path, without_aggregator: list[str], name: str
) -> None:
    assert _played_without_aggregator(tmp_path, name) == without_aggregator


# -- the whole table --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault", "restart"),
    [*product(CALLS + REQUESTS, ("lost", "unanswered"), (False, True))] if THOROUGH else [],
)
def test_each_call_that_fails_alone_changes_nothing(
    tmp_path: Path, undisturbed: Undisturbed, name: str, fault: str, restart: bool
) -> None:
    by_line = name in REQUESTS
    for number in count(1):
        around = _each(name, **{fault: (number,)})
        models, calls = _played(tmp_path / str(number), around, restart=restart, by_line=by_line)
        assert models == undisturbed[0]
        if calls[name] < number:
            break


def _each(name: str, **calls: tuple[int, ...]) -> Callable[[int | None], Broken]:
    return lambda _: Broken(name, **calls)
