"""``fedledger preflight``: everything that a service needs, looked at before it runs."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aggregator.config import PASSPHRASE_VARIABLE, AggregatorConfig, tables_of
from aggregator.connection import open_ledger
from aggregator.rounds import open_plan
from cli.access import address_of, member_of, signer_of
from cli.output import Output, format_option
from ledger.cid import PayloadHasher
from ledger.errors import FedledgerError, UnavailableError, UsageError, VerificationError
from ledger.records import Role
from node.config import NodeConfig
from storage import DirectoryStore, IpfsStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.cid import PayloadRef
    from ledger.ports import PayloadStore

__all__ = ["preflight"]

_CLOCK_SECONDS = 60
_FREE_BYTES = 1 << 30
_GAS_OF_A_ROUND = 600_000
_PROBE = b"fedledger preflight"


def _ref(data: bytes) -> PayloadRef:
    hasher = PayloadHasher()
    hasher.update(data)
    return hasher.ref()


_PROBE_REF = _ref(_PROBE)


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
    help="The settings of a node or an aggregator.",
)
@format_option
@click.pass_context
def preflight(ctx: click.Context, config: Path, format_: str) -> None:
    """Check chain, contracts, key, store, data, clock and disk, and say what to do about each.

    Exit code: 0 all is well, 1 something is not, 2 the settings cannot be read.
    """
    settings = _settings(config)
    output = Output(format_)
    outcomes = []
    for outcome in _checks(settings):
        outcomes.append(outcome)
        output.say(f"{'ok ' if outcome.well else 'BAD'}  {outcome.name}: {outcome.found}")
        if outcome.advice and not outcome.well:
            output.say(f"     {outcome.advice}")
    output.document([vars(outcome) for outcome in outcomes])
    ctx.exit(0 if all(outcome.well for outcome in outcomes) else 1)


def _settings(config: Path) -> NodeConfig | AggregatorConfig:
    """Read settings as those of the service whose own table they hold."""
    kinds: tuple[type[NodeConfig | AggregatorConfig], ...] = (NodeConfig, AggregatorConfig)
    return kinds["aggregator" in tables_of(config)].read(config)


def _checks(settings: NodeConfig | AggregatorConfig) -> Iterator[_Outcome]:
    follower = None
    try:
        follower = open_ledger(settings.chain)
        follower.update()
        number = follower.chain.head().number
        yield _Outcome(
            "chain", True, f"ledger {follower.replay.ledger}, block {number}, the contracts' code fits"
        )
    except FedledgerError as error:
        follower = None
        yield _Outcome(
            "chain", False, error.for_logs(), "check [chain]: endpoints, chain_id and both addresses"
        )
    yield from _of_key(settings, follower)
    if follower is not None:
        yield _checked("clock", lambda: _clock(follower), "set this machine's clock (NTP)")
    advice = (
        "start the store, or check [store]; docs/how-to/keep-payloads-in-ipfs.md says what it must be like"
    )
    yield _checked("store", lambda: _store(settings.store.open(), follower), advice)
    if isinstance(settings, NodeConfig):
        yield from _of_data(settings, follower)
    yield _checked("disk", lambda: _disk(settings.state), "make room, or move the folder that is named state")


def _checked(name: str, check: Callable[[], str], advice: str) -> _Outcome:
    try:
        return _Outcome(name, True, check())
    except FedledgerError as error:
        return _Outcome(name, False, error.for_logs(), advice)


def _of_key(settings: NodeConfig | AggregatorConfig, follower: Follower | None) -> Iterator[_Outcome]:
    """The key: whether it opens, what it is to the consortium, and whether it can pay."""
    try:
        signer = signer_of(settings.key)
    except FedledgerError as error:
        yield _Outcome(
            "key",
            False,
            error.for_logs(),
            f"check [key] keystore and passphrase_file, or set {PASSPHRASE_VARIABLE}",
        )
        return
    if follower is None:
        yield _Outcome("key", True, f"{signer.address} opens")
        return
    if isinstance(settings, NodeConfig):
        advice = "ask the members to vote `fedledger member add`"
        yield _checked("key", lambda: _member(signer, follower), advice)
    else:
        yield _checked("key", lambda: _aggregator(signer, follower), "ask the members to vote for the role")
    yield _checked("gas", lambda: _gas(signer, follower), f"send ether to {signer.address}")


def _member(signer: LocalAccount, follower: Follower) -> str:
    return f"{signer.address} signs for member {member_of(follower.replay, signer)}"


def _aggregator(signer: LocalAccount, follower: Follower) -> str:
    if not follower.replay.consortium.roles.get(address_of(signer), 0) & Role.AGGREGATOR:
        raise UsageError("this key has no aggregator's role in the consortium", got=signer.address)
    return f"{signer.address} is an aggregator"


def _gas(signer: LocalAccount, follower: Follower) -> str:
    price = follower.chain.gas_price()
    if not price:
        return "free on this chain"
    balance = follower.chain.balance(address_of(signer))
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


def _store(store: PayloadStore, follower: Follower | None) -> str:
    reason = store.exposure() if isinstance(store, IpfsStore) else None
    if reason is not None:
        raise UnavailableError(reason)
    _write_and_read(store)
    if follower is None:
        return f"wrote and read back {_PROBE_REF.cid}"
    plans = {terms.plan for terms in follower.replay.consortium.proposed.values()}
    missing = [digest.hex()[:12] for digest in sorted(plans) if not _has_document(store, digest)]
    if missing:
        what = f"it can be written, but holds no plan {', '.join(missing)}: is it the consortium's?"
        raise UnavailableError(what)
    return f"wrote and read back {_PROBE_REF.cid}; holds the {len(plans)} plans that were proposed"


def _write_and_read(store: PayloadStore) -> None:
    """Put the probe and get it back. A daemon keeps what it gets, so the probe is always the same."""
    if isinstance(store, DirectoryStore):
        store.path(_PROBE_REF).unlink(missing_ok=True)  # what is there would not be written again
    if store.get(store.put(_PROBE)) != _PROBE:
        raise UnavailableError("the store gave back other bytes than were written")
    if isinstance(store, DirectoryStore):
        store.path(_PROBE_REF).unlink(missing_ok=True)


def _has_document(store: PayloadStore, digest: bytes) -> bool:
    try:
        store.document(digest)
    except (UnavailableError, VerificationError):
        return False
    return True


def _of_data(settings: NodeConfig, follower: Follower | None) -> Iterator[_Outcome]:
    """The data against each accepted plan; where there is none, whether there are any."""
    try:
        with closing(settings.open_journal(settings.chain.ledger, owner=False)) as journal:
            accepted = sorted(journal.accepted())
    except FedledgerError as error:
        yield _Outcome("state", False, error.for_logs(), "check [node] state")
        return
    if not accepted:
        advice = "`fedledger plan list`, then `fedledger node accept PLAN`"
        yield _Outcome("plan", False, "none was accepted on this node", advice)
    if not accepted or follower is None:
        yield _checked("data", lambda: _is_there(settings.data), "check [node] data")
        return
    for digest in accepted:
        yield _checked("data", partial(_data, settings, digest), "correct the file, or [node] data")


def _is_there(data: Path) -> str:
    if not data.is_file():
        raise UnavailableError(f"{data}", expected="a CSV file", got="none")
    return f"{data} is there; it is held against a plan once one is accepted"


def _data(settings: NodeConfig, digest: bytes) -> str:
    from node.tasks import task_for  # noqa: PLC0415 - torch is loaded where there are data to look at

    plan = open_plan(settings.store.open().document(digest), digest)
    data = task_for(plan).load(settings.data)
    return f"fits plan {digest.hex()[:12]}: {data.num_examples} rows to train on, {data.test_rows} held out"


def _disk(state: Path) -> str:
    place = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        raise UnavailableError("free disk space", expected="at least 1 GiB", got=f"{free >> 20} MiB")
    return f"{free / (1 << 30):.0f} GiB free"
