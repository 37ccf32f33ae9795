"""``fedledger preflight``: everything that a node needs, looked at before it runs."""

from __future__ import annotations

import secrets
import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.connection import open_ledger
from aggregator.rounds import open_plan
from cli.access import address_of, member_of, signer_of
from cli.output import Output, format_option
from ledger.errors import FedledgerError, UnavailableError
from node.config import NodeConfig
from node.tasks import task_for
from storage import IpfsStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contracts.follower import Follower
    from ledger.ports import PayloadStore

__all__ = ["preflight"]

_CLOCK_SECONDS = 60
_FREE_BYTES = 1 << 30
_GAS_OF_A_ROUND = 600_000


@dataclass(frozen=True)
class _Outcome:
    """One check: whether it is well, what was found, and what to do where it is not."""

    name: str
    well: bool
    found: str
    advice: str = ""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="node.toml",
    show_default=True,
    help="The node's settings.",
)
@format_option
@click.pass_context
def preflight(ctx: click.Context, config: Path, format_: str) -> None:
    """Check chain, contracts, key, store, data, clock and disk, and say what to do about each.

    Exit code: 0 all is well, 1 something is not, 2 the settings cannot be read.
    """
    settings = NodeConfig.read(config)
    output = Output(format_)
    outcomes = []
    for outcome in _checks(settings):
        outcomes.append(outcome)
        output.say(f"{'ok ' if outcome.well else 'BAD'}  {outcome.name}: {outcome.found}")
        if outcome.advice and not outcome.well:
            output.say(f"     {outcome.advice}")
    output.document([vars(outcome) for outcome in outcomes])
    ctx.exit(0 if all(outcome.well for outcome in outcomes) else 1)


def _checks(settings: NodeConfig) -> Iterator[_Outcome]:
    try:
        follower = open_ledger(settings.chain)
        follower.update()
    except FedledgerError as error:
        yield _Outcome("chain", False, str(error), "check [chain]: endpoints, chain_id and both addresses")
        follower = None
    if follower is not None:
        number = follower.chain.head().number
        yield _Outcome(
            "chain", True, f"ledger {follower.replay.ledger}, block {number}, the contracts' code fits"
        )
        yield _checked("key", lambda: _key(settings, follower), "ask a member to vote `fedledger member add`")
        yield _checked("gas", lambda: _gas(settings, follower), "send ether to the member's account")
        yield _checked("clock", lambda: _clock(follower), "set this machine's clock (NTP)")
    advice = (
        "start the store, or check [store]; docs/how-to/keep-payloads-in-ipfs.md says what it must be like"
    )
    yield _checked("store", lambda: _store(settings.store.open()), advice)
    if follower is not None:
        yield from _plans(settings, follower)
    yield _checked("disk", lambda: _disk(settings.state), "make room, or move [node] state")


def _checked(name: str, check: Callable[[], str], advice: str) -> _Outcome:
    try:
        return _Outcome(name, True, check())
    except FedledgerError as error:
        return _Outcome(name, False, str(error), advice)


def _key(settings: NodeConfig, follower: Follower) -> str:
    signer = signer_of(settings.key)
    return f"{signer.address} signs for member {member_of(follower.replay, signer)}"


def _gas(settings: NodeConfig, follower: Follower) -> str:
    price = follower.chain.gas_price()
    if not price:
        return "free on this chain"
    balance = follower.chain.balance(address_of(signer_of(settings.key)))
    rounds = balance // (price * _GAS_OF_A_ROUND)
    if not rounds:
        raise UnavailableError("balance", expected="enough for a round", got=f"{balance} wei")
    return f"enough for about {rounds:,} rounds"


def _clock(follower: Follower) -> str:
    apart = int(time.time()) - follower.chain.next_time()
    if abs(apart) > _CLOCK_SECONDS:
        what = "this machine's clock against the chain's newest block"
        raise UnavailableError(what, expected=f"within {_CLOCK_SECONDS} s", got=f"{apart} s")
    return f"{apart} s from the chain's"


def _store(store: PayloadStore) -> str:
    reason = store.exposure() if isinstance(store, IpfsStore) else None
    if reason is not None:
        raise UnavailableError(reason)
    probe = b"fedledger preflight " + secrets.token_hex(16).encode()
    ref = store.put(probe)
    if store.get(ref) != probe:
        raise UnavailableError("the store gave back other bytes than were written")
    return f"wrote and read back {ref.cid}"


def _plans(settings: NodeConfig, follower: Follower) -> Iterator[_Outcome]:
    """The data against each accepted plan."""
    try:
        with closing(settings.open_journal(follower.replay.ledger, owner=False)) as journal:
            accepted = sorted(journal.accepted())
    except FedledgerError as error:
        yield _Outcome("state", False, str(error), "check [node] state")
        return
    if not accepted:
        advice = "`fedledger plan list`, then `fedledger node accept PLAN`"
        yield _Outcome("plan", False, "none was accepted on this node", advice)
    for digest in accepted:
        yield _checked("data", partial(_data, settings, digest), "correct the file, or [node] data")


def _data(settings: NodeConfig, digest: bytes) -> str:
    plan = open_plan(settings.store.open().document(digest), digest)
    data = task_for(plan).load(settings.data)
    return f"fits plan {digest.hex()[:12]}: {data.num_examples} rows to train on, {data.test_rows} held out"


def _disk(state: Path) -> str:
    place = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        raise UnavailableError("free disk space", expected="at least 1 GiB", got=f"{free >> 20} MiB")
    return f"{free / (1 << 30):.0f} GiB free"
