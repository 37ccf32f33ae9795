"""``fedledger bundle``: make proof bundles, policies to judge them by, and statements about them."""

from __future__ import annotations

import json
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aggregator.config import ChainConfig
from aggregator.connection import open_ledger
from audit.bundles.export import export_bundle, make_policy
from audit.bundles.policy import Earliest, Policy
from audit.bundles.statement import envelope
from audit.bundles.statement import statement as statement_of
from audit.bundles.verification import verify
from audit.demo import PAYLOADS, saved_ledger
from cli.access import ADDRESS, key_options, store_option
from cli.output import Output, format_option
from contracts.client import Deployment, RoundLedger
from contracts.endpoints import connect
from ledger.errors import UsageError, VerificationError
from storage import Archive, DirectoryStore, LocalFirst, open_store
from storage.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eth_account.signers.local import LocalAccount

    from aggregator.workspace import Payloads
    from contracts.chain import Chain

__all__ = ["bundle"]

F = TypeVar("F", bound="Callable[..., Any]")


@click.group()
def bundle() -> None:
    """Make proof bundles, policies, and signed statements."""


@dataclass(frozen=True)
class _Source:
    """Where a ledger is."""

    chain: Chain
    deployment: Deployment
    confirmations: int = 0


def _source_options(command: F) -> F:
    """Add the options that name a ledger and hand the command its ``source`` and ``demo`` folder."""

    @click.option(
        "--demo", "folder", type=click.Path(path_type=Path), help="Folder that `fedledger demo` wrote."
    )
    @click.option("--rpc", multiple=True, help="JSON-RPC endpoint of a chain; may be given again.")
    @click.option("--ledger", type=ADDRESS, help="Address of the RoundLedger on that chain.")
    @click.option("--network", type=click.Path(path_type=Path), help="File that `fedledger deploy` wrote.")
    @wraps(command)
    def with_source(
        *args: Any,
        folder: Path | None,
        rpc: tuple[str, ...],
        ledger: bytes | None,
        network: Path | None,
        **kwargs: Any,
    ) -> Any:
        source = _source(folder, rpc, ledger, network)
        return command(*args, source=source, folder=folder, **kwargs)

    return with_source  # type: ignore[return-value]


def _source(folder: Path | None, rpc: tuple[str, ...], ledger: bytes | None, network: Path | None) -> _Source:
    given = {"--demo": folder, "--rpc": rpc, "--ledger": ledger, "--network": network}
    names = tuple(name for name, value in given.items() if value)
    if names not in {("--demo",), ("--rpc", "--ledger"), ("--network",)}:
        expected = "--demo, or --network, or --rpc with --ledger"
        raise UsageError("where the ledger is", expected=expected, got=", ".join(names) or "none of them")
    if folder is not None:
        return _Source(*saved_ledger(folder))
    if network is not None:
        follower = open_ledger(config := ChainConfig.read(network))
        return _Source(follower.chain, follower.deployment, config.confirmations)
    chain, address = connect(rpc), ledger or b""
    return _Source(chain, Deployment(RoundLedger(chain, address).consortium(), address))


@contextmanager
def _payloads(folder: Path | None, store: str | None) -> Iterator[Payloads]:
    if (folder is None) is (store is None):
        got = "both" if store else "neither"
        raise UsageError("where the payloads are", expected="--store, or --demo alone", got=got)
    if folder is not None:
        yield Archive(folder / PAYLOADS)
        return
    with tempfile.TemporaryDirectory(prefix="fedledger-bundle-") as scratch:
        yield LocalFirst(DirectoryStore(Path(scratch) / "payloads"), open_store(str(store)))


_block_option = click.option(
    "--block", type=click.IntRange(0), help="Block of the proofs.  [default: the newest confirmed one]"
)
_out_option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File to write; a new one."
)


@bundle.command()
@_source_options
@store_option(required=False)
@click.option("--run", type=click.IntRange(1), default=1, show_default=True, help="Number of the run.")
@click.option("--round", "round_", type=click.IntRange(1), required=True, help="Number of the round.")
@click.option(
    "--payloads", "with_payloads", is_flag=True, help="Put models and updates in, to recompute from."
)
@_block_option
@_out_option
@format_option
def export(
    source: _Source,
    folder: Path | None,
    store: str | None,
    run: int,
    round_: int,
    *,
    with_payloads: bool,
    block: int | None,
    out: Path,
    format_: str,
) -> None:
    """Write the proof bundle of an ended round to one file.

    With --payloads whoever has the file has the members' updates: give it only to those whom the plan allows.
    """
    with _payloads(folder, store) as payloads:
        exported = export_bundle(
            source.chain,
            source.deployment,
            payloads,
            run,
            round_,
            out,
            with_payloads=with_payloads,
            block=block,
            confirmations=source.confirmations,
        )
    output, snapshot = Output(format_), exported.bundle.snapshot
    for note in exported.notes:
        output.say(f"note: {note}")
    place = "no block" if snapshot is None else f"block {snapshot.number}, 0x{snapshot.hash.hex()}"
    output.say(f"proofs: {place}")
    output.say(f"bundle: {out}, {exported.length} bytes")
    output.document(
        {
            "file": str(out),
            "length": exported.length,
            "block": None if snapshot is None else snapshot.number,
            "block_hash": None if snapshot is None else "0x" + snapshot.hash.hex(),
            "notes": list(exported.notes),
        }
    )


@bundle.command()
@_source_options
@click.option(
    "--trust",
    type=click.Choice(["block", "validators", "members"]),
    multiple=True,
    required=True,
    help="Who has to speak for a bundle: the newest block, its validators (QBFT), the members' keys; may be"
    " given again, then all of them.",
)
@click.option("--quorum", type=click.IntRange(1, 256), help="Members behind a result.  [default: majority]")
@click.option(
    "--earliest", type=click.IntRange(0), help="Number of the oldest block that a bundle may stand on."
)
@_block_option
@_out_option
@format_option
def policy(
    source: _Source,
    folder: Path | None,  # noqa: ARG001 - a policy needs no payloads
    trust: tuple[str, ...],
    quorum: int | None,
    earliest: int | None,
    block: int | None,
    out: Path,
    format_: str,
) -> None:
    """Write a policy for bundles of a ledger, from a chain or a saved federation of your own.

    A policy says whom you trust. Make it where you do, read it, and compare its accounts with what their
    owners told you; never take one from whoever hands you a bundle.
    """
    made = make_policy(
        source.chain,
        source.deployment,
        trust,
        quorum=quorum,
        block=block,
        confirmations=source.confirmations,
    )
    if earliest is not None:
        made = replace(made, earliest=Earliest(earliest, 0))
    _write(out, made.text())
    output = Output(format_)
    output.say(f"ledger: {made.ledger}, quorum {made.quorum}, trusts: {', '.join(made.trusts)}")
    for member, accounts in sorted((made.members or {}).items()):
        output.say(f"member {member}: {', '.join('0x' + account.hex() for account in sorted(accounts))}")
    output.say(f"policy: {out}; read it before you use it")
    output.document({"file": str(out), "policy": json.loads(made.text())})


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--policy", "policy_file", type=click.Path(path_type=Path), required=True, help="Your policy.")
@key_options
@_out_option
@format_option
def statement(file: Path, policy_file: Path, signer: LocalAccount, out: Path, format_: str) -> None:
    """Verify the bundle FILE and sign an in-toto Statement that says so (DSSE envelope).

    The key is yours: the statement is your word that you verified, for tools that know your key.
    """
    outcome = verify(file, Policy.read(policy_file))
    if outcome.failed is not None:
        step = outcome.failed
        raise VerificationError(step.check, f"{file} does not hold: {step.message}")
    made = statement_of(outcome)
    _write(out, json.dumps(envelope(made, signer), indent=2) + "\n")
    output = Output(format_)
    output.say(f"statement: {out}, signed by {signer.address}")
    output.document({"file": str(out), "keyid": signer.address, "statement": made})


def _write(out: Path, text: str) -> None:
    with whole_file(out, new=True) as file:
        file.write(text.encode("utf-8"))
