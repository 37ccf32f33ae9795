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
from cli.output import Output
from storage.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MONITORING",
    "Begun",
    "asked_option",
    "quoted",
    "settings_options",
    "shared_sections",
    "store_section",
]

F = TypeVar("F", bound="Callable[..., Any]")

_SHARED = """\
[key]
# Ethereum keystore of this role. Its passphrase comes from the file named here, from the environment
# variable FEDLEDGER_PASSPHRASE, or is asked for at the terminal.
keystore = {keystore}
{passphrase_line}

{store}"""

_STORE = """\
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


def shared_sections(key: Path, passphrase_file: Path | None, store: str, out: Path) -> str:
    """Return the tables ``[key]`` and ``[store]`` of the settings file ``out``."""
    line = '# passphrase_file = "passphrase"'
    if passphrase_file is not None:
        line = f"passphrase_file = {quoted(_spelled(passphrase_file, out))}"
    return _SHARED.format(
        keystore=quoted(_spelled(key, out)), passphrase_line=line, store=store_section(store, out)
    )


def store_section(store: str, out: Path) -> str:
    """Return the table ``[store]`` of the settings file ``out``."""
    elsewhere = "://" in store or store.startswith(("/ip", "/dns"))
    return _STORE.format(shared=quoted(store if elsewhere else _spelled(Path(store), out)))


def _spelled(path: Path, out: Path) -> str:
    """Return a path as the file ``out`` names it, so that both can be moved together."""
    whole, folder = path.absolute(), out.absolute().parent
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


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
            UsageError: it is there already.
            UnavailableError: it cannot be written.
        """
        with whole_file(self.out, new=True) as file:
            file.write(text.encode())

    def spelled(self, path: Path) -> str:
        """Return a path as the file names it: from the file's own folder on, where it lies below that."""
        return _spelled(path, self.out)


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
            shared = shared_sections(key, passphrase_file, store, out)
            sections = f"{ChainConfig.read(network).toml()}\n{shared}"
            for path in (key, passphrase_file):
                if path is not None and not path.exists():
                    Output("text").note(f"{path} is not there yet")
            return command(*args, begun=Begun(sections, state, out), **kwargs)

        return with_begun  # type: ignore[return-value]

    return add
