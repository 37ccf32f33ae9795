"""Options that the commands of members and operators share: which network, whose key, which store."""

from __future__ import annotations

import os
import re
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from eth_utils.address import is_checksum_address, is_checksum_formatted_address

from aggregator.config import PASSPHRASE_VARIABLE, ChainConfig, KeyConfig, read_passphrase
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from ledger.replay import Replay

__all__ = [
    "ADDRESS",
    "DIGEST",
    "address_of",
    "confirmed",
    "key_options",
    "member_of",
    "network_file_option",
    "network_option",
    "passphrase_for",
    "passphrase_option",
    "pick",
    "signer_of",
    "store_option",
]

F = TypeVar("F", bound="Callable[..., Any]")


class _Address(click.ParamType[bytes]):
    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        text = str(value)
        if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
            self.fail(f"expected 0x and 40 hex digits, got {text!r}", param, ctx)
        if is_checksum_formatted_address(text) and not is_checksum_address(text):
            self.fail(
                f"{text} has a digit or a capital letter wrong: its checksum (EIP-55) is not right",
                param,
                ctx,
            )
        return bytes.fromhex(text[2:])


class _Digest(click.ParamType[str]):
    """A digest in hex, or its first digits where they say enough."""

    name = "digest"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value).removeprefix("0x")
        if not re.fullmatch("[0-9a-f]{4,64}", text):
            self.fail(f"expected 4 to 64 lower-case hex digits, got {text!r}", param, ctx)
        return text


ADDRESS, DIGEST = _Address(), _Digest()


def pick(prefix: str, digests: set[bytes], what: str) -> bytes:
    """Return the digest that begins so.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = sorted(digest for digest in digests if digest.hex().startswith(prefix))
    if not digests:
        raise UsageError(f"{what} {prefix}: there is none yet")
    if len(found) != 1:
        known = ", ".join(digest.hex()[:12] for digest in sorted(digests))
        raise UsageError(f"{what} {prefix}", expected=f"one of {known}", got=f"{len(found)} that fit")
    return found[0]


def address_of(account: LocalAccount) -> bytes:
    """Return a key's address as bytes."""
    return bytes.fromhex(account.address.removeprefix("0x"))


def member_of(replay: Replay, signer: LocalAccount) -> int:
    """Return the member for which a key signs.

    Raises:
        UsageError: it signs for none.
    """
    member = replay.consortium.accounts.get(address_of(signer))
    if member is None:
        raise UsageError("this key signs for no member of the consortium", got=signer.address)
    return member


network_file_option = click.option(
    "--network",
    type=click.Path(path_type=Path),
    default="consortium.toml",
    show_default=True,
    help="File that `fedledger deploy` wrote.",
)


def network_option(command: F) -> F:
    """Add ``--network`` and hand the command a ``follower`` of that ledger, checked."""

    @network_file_option
    @wraps(command)
    def with_follower(*args: Any, network: Path, **kwargs: Any) -> Any:
        from aggregator.connection import open_ledger  # noqa: PLC0415 - help and usage errors need no web3

        follower: Follower = open_ledger(ChainConfig.read(network))
        return command(*args, follower=follower, **kwargs)

    return with_follower  # type: ignore[return-value]


passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help=f"File whose first line opens the key; otherwise ${PASSPHRASE_VARIABLE}, or a prompt.",
)


def key_options(command: F) -> F:
    """Add ``--key`` and ``--passphrase-file`` and hand the command the unlocked ``signer``."""

    @click.option(
        "--key", type=click.Path(path_type=Path), required=True, help="Keystore file of the key that signs."
    )
    @passphrase_option
    @wraps(command)
    def with_signer(*args: Any, key: Path, passphrase_file: Path | None, **kwargs: Any) -> Any:
        return command(*args, signer=signer_of(KeyConfig(key, passphrase_file)), **kwargs)

    return with_signer  # type: ignore[return-value]


def store_option(*, required: bool) -> Callable[[F], F]:
    """Add ``--store``, the payload store that all roles share."""
    return click.option(
        "--store",
        required=required,
        help="The shared payloads: a folder, or multiaddrs of IPFS daemons, separated by commas.",
    )


def signer_of(config: KeyConfig) -> LocalAccount:
    """Unlock a key with the passphrase of its file, of the environment, or asked for.

    Raises:
        UsageError: there is no passphrase to be had, or it does not fit.
    """
    from contracts.keys import unlock  # noqa: PLC0415 - as above

    passphrase = config.passphrase()
    if passphrase is None:
        passphrase = _ask(f"Passphrase of {config.keystore.name}", confirm=False)
    return unlock(config.keystore, passphrase)


def passphrase_for(new: Path, passphrase_file: Path | None) -> str:
    """Return the passphrase for a key to be made; one that is typed is typed twice."""
    if passphrase_file is not None:
        return read_passphrase(passphrase_file)
    return os.environ.get(PASSPHRASE_VARIABLE) or _ask(f"Passphrase for {new.name}", confirm=True)


def confirmed(question: str) -> bool:
    """Ask at the terminal for a yes or a no.

    Raises:
        UsageError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", expected="--yes")
    return click.confirm(question, err=True)


def _ask(prompt: str, *, confirm: bool) -> str:
    if not sys.stdin.isatty():
        expected = f"a passphrase file, or {PASSPHRASE_VARIABLE} in the environment"
        raise UsageError("there is no terminal to ask for the passphrase at", expected=expected)
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
