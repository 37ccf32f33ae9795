"""Writes the services' settings files: TOML with a comment on each key.

What a file cannot do without is an option, or is asked for at a terminal.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aggregator.config import ChainConfig
from cli.access import network_file_option, passphrase_option
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MONITORING", "Begun", "asked_option", "quoted", "settings_options", "shared_sections"]

F = TypeVar("F", bound="Callable[..., Any]")

_SHARED = """\
[key]
# Ethereum keystore of this role. Its passphrase comes from the file named here, from the environment
# variable FEDLEDGER_PASSPHRASE, or is asked for at the terminal.
keystore = {keystore}
{passphrase_line}

[store]
# The payloads that all roles share: a folder, or multiaddrs of IPFS daemons, separated by commas.
shared = {shared}
# Your word that each of these daemons has a private-network key, which no daemon tells.
# private_network = true
"""

MONITORING = """\
[monitoring]
# Metrics and health on this port of loopback; 0 for nowhere.
port = 0
# text, json, or auto: text on a terminal, JSON elsewhere.
log = "auto"
"""


def quoted(value: Path | str) -> str:
    """Return a text as TOML spells it."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def shared_sections(key: Path, passphrase_file: Path | None, store: str) -> str:
    """Return the tables ``[key]`` and ``[store]``; paths relative to the shell's folder are made absolute."""
    shared = store if store.startswith(("/ip", "/dns")) else str(Path(store).absolute())
    line = '# passphrase_file = "passphrase"'
    if passphrase_file is not None:
        line = f"passphrase_file = {quoted(passphrase_file.absolute())}"
    return _SHARED.format(keystore=quoted(key.absolute()), passphrase_line=line, shared=quoted(shared))


class _AskedOption(click.Option):
    """A required option that is asked for at a terminal, and missing elsewhere."""

    def prompt_for_value(self, ctx: click.Context) -> Any:
        if not sys.stdin.isatty():
            raise click.MissingParameter(ctx=ctx, param=self)
        return super().prompt_for_value(ctx)


def asked_option(flag: str, *, help: str, type: Any = None) -> Callable[[F], F]:  # noqa: A002 - click's words
    """Add a required option whose help text is the question where it is not given."""
    return click.option(
        flag,
        cls=_AskedOption,
        required=True,
        prompt=help.rstrip("."),
        prompt_required=True,
        type=type,
        help=help,
    )


@dataclass(frozen=True)
class Begun:
    """What all settings files begin with, and where this one is going to be written."""

    sections: str
    state: Path
    out: Path

    def write(self, text: str) -> None:
        """Write the new file.

        Raises:
            UsageError: it is there already, or cannot be written.
        """
        try:
            with self.out.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise UsageError(f"{self.out} is there already", expected="a new file") from error
        except OSError as error:
            raise UsageError(f"cannot write {self.out}", got=error.strerror) from error


def settings_options(role: str) -> Callable[[F], F]:
    """Add the options that all settings files need and hand the command what was ``begun`` with them."""

    def add(command: F) -> F:
        @network_file_option
        @asked_option("--key", type=click.Path(path_type=Path), help=f"Keystore file of the {role}'s key.")
        @passphrase_option
        @asked_option("--store", help="The shared payloads: a folder, or multiaddrs of IPFS daemons.")
        @click.option(
            "--state", type=click.Path(path_type=Path), default="state", show_default=True, help="Own folder."
        )
        @click.option(
            "--out",
            type=click.Path(path_type=Path),
            default=f"{role}.toml",
            show_default=True,
            help="File to write.",
        )
        @wraps(command)
        def with_begun(
            *args: Any,
            network: Path,
            key: Path,
            passphrase_file: Path | None,
            store: str,
            state: Path,
            out: Path,
            **kwargs: Any,
        ) -> Any:
            sections = f"{ChainConfig.read(network).toml()}\n{shared_sections(key, passphrase_file, store)}"
            return command(*args, begun=Begun(sections, state.absolute(), out), **kwargs)

        return with_begun  # type: ignore[return-value]

    return add
