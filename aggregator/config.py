"""Configuration files of the services: TOML, read into one frozen dataclass each.

Unknown keys are refused with the nearest known one, so that a misspelled setting is never passed over in
silence. Paths are relative to the file's own folder. Secrets are never in these files: a passphrase comes
from a file of its own or from the environment.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from eth_utils.address import is_checksum_address, is_checksum_formatted_address, to_checksum_address

from ledger.errors import UsageError
from ledger.records import LedgerId
from storage import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contracts.client import Deployment
    from ledger.ports import PayloadStore

__all__ = [
    "PASSPHRASE_VARIABLE",
    "AggregatorConfig",
    "ChainConfig",
    "KeyConfig",
    "MonitoringConfig",
    "Section",
    "StoreConfig",
    "read_passphrase",
    "read_sections",
    "tables_of",
]

PASSPHRASE_VARIABLE = "FEDLEDGER_PASSPHRASE"  # noqa: S105 - its name
_MAX_BYTES = 1 << 20


class Section:
    """A table of a configuration file, taken apart key by key; ``end`` refuses what is left over.

    Args:
        values: the table.
        where: the file and the table, for errors.
        folder: relative paths start here.
    """

    def __init__(self, values: Mapping[str, Any], where: str, folder: Path) -> None:
        self._left = dict(values)
        self._where = where
        self._folder = folder
        self._known: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        """Take a text that is not empty, of printable characters."""
        value = self._take(key, default)
        if not _is_text(value):
            raise self.wrong(key, "a text", value)
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of at least one text."""
        value = self._take(key, None)
        if not isinstance(value, list) or not value or not all(map(_is_text, value)):
            raise self.wrong(key, 'a list of texts, ["…"]', value)
        return tuple(value)

    def optional_texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts, or an empty one where there is none."""
        if key in self._left:
            return self.texts(key)
        self._known.append(key)
        return ()

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Take an integer from ``low`` to ``high``."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.wrong(key, f"a whole number from {low} to {high}", value)
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """Take an integer from ``low`` to ``high``, or None where there is none."""
        if key in self._left:
            return self.integer(key, low, high)
        self._known.append(key)
        return None

    def flag(self, key: str) -> bool:
        """Take true or false; false where it is not set."""
        value = self._take(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false", value)
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Take a number from ``low`` to ``high``."""
        value = self._take(key, default)
        if type(value) not in {int, float} or not low <= value <= high:
            raise self.wrong(key, f"a number from {low} to {high}", value)
        return float(value)

    def path(self, key: str, default: str | None = None) -> Path:
        """Take a path; a relative one starts at the file's folder."""
        text = self.text(key, default)
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError as error:  # ~somebody who is not known here
            raise self.wrong(key, "a path", text) from error

    def optional_path(self, key: str) -> Path | None:
        """Take a path, or None where there is none."""
        if key in self._left:
            return self.path(key)
        self._known.append(key)
        return None

    def choice(self, key: str, values: tuple[str, ...]) -> str:
        """Take one of some texts; the first is the default."""
        value = self.text(key, values[0])
        if value not in values:
            raise self.wrong(key, f"one of {', '.join(values)}", value)
        return value

    def table(self, key: str) -> Section:
        """Take a table, empty where there is none."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table [{key}]", value)
        return Section(value, f"{self._where}: [{key}]", self._folder)

    def mapping(self, key: str) -> dict[str, Any]:
        """Take a table as it is, to be judged by whoever it is for."""
        value = self._take(key, None)
        if not isinstance(value, dict):
            raise self.wrong(key, "a table", value)
        return value

    def address(self, key: str) -> bytes:
        """Take an Ethereum address."""
        value = self.text(key)
        if not re.fullmatch("0x[0-9a-fA-F]{40}", value):
            raise self.wrong(key, "an address: 0x and 40 hex digits", value)
        if is_checksum_formatted_address(value) and not is_checksum_address(value):
            raise self.wrong(key, "an address whose checksum (EIP-55) is right", value)
        return bytes.fromhex(value[2:])

    def end(self) -> None:
        """Refuse a key that nobody took, naming the nearest that there is."""
        for key in sorted(self._left):
            near = difflib.get_close_matches(key, self._known, 1)
            expected = f"perhaps {near[0]}" if near else f"one of {', '.join(self._known)}"
            raise UsageError(f"{self._where}: unknown key", expected=expected, got=key)

    def _take(self, key: str, default: object) -> Any:
        self._known.append(key)
        if key not in self._left and default is None:
            raise UsageError(f"{self._where}: a key is missing", expected=key)
        return self._left.pop(key, default)

    def wrong(self, key: str, expected: str, got: object) -> UsageError:
        """Return the error that says what is wrong with a key's value."""
        shown = f'the text "{got}"' if isinstance(got, str) else got
        return UsageError(f"{self._where}: {key}", expected=expected, got=shown)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def tables_of(path: Path) -> frozenset[str]:
    """Return the names of the tables in a configuration file.

    Raises:
        UsageError: as ``read_sections``.
    """
    return frozenset(_parsed(path))


def read_sections(path: Path, names: tuple[str, ...]) -> dict[str, Section]:
    """Read a configuration file into its tables; those that are missing are empty.

    Args:
        path: the file.
        names: the tables that it may have.

    Raises:
        UsageError: there is no such file, it is not TOML, or has an unknown table.
    """
    top = Section(_parsed(path), path.name, path.parent)
    tables = {name: top.table(name) for name in names}
    top.end()
    return tables


def _parsed(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}", expected="a configuration file", got="something else")
    try:
        with path.open("rb") as file:
            return tomllib.loads(file.read(_MAX_BYTES).decode("utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}", expected="a configuration file", got="no such file") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}", got=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not TOML", got=error) from error


@dataclass(frozen=True)
class ChainConfig:
    """Which ledger, and how to reach it.

    Args:
        endpoints: URLs of JSON-RPC endpoints; the next is asked where one does not answer.
        chain_id: what each of them must say it is.
        consortium: address of the ``Consortium``.
        round_ledger: address of the ``RoundLedger``.
        first_block: where their events begin; 0 where nobody knows.
        confirmations: blocks that must stand on top of a block before it is believed; 0 where blocks are
            final, as with QBFT.
        priority_fee: wei per gas for the block's proposer; None for 1 gwei, or 0 where gas is free.
    """

    endpoints: tuple[str, ...]
    chain_id: int
    consortium: bytes
    round_ledger: bytes
    first_block: int = 0
    confirmations: int = 0
    priority_fee: int | None = None

    @classmethod
    def take(cls, section: Section) -> Self:
        """Take the table ``[chain]``."""
        config = cls(
            endpoints=section.texts("endpoints"),
            chain_id=section.integer("chain_id", 1, (1 << 63) - 1),
            consortium=section.address("consortium"),
            round_ledger=section.address("round_ledger"),
            first_block=section.integer("first_block", 0, (1 << 63) - 1, 0),
            confirmations=section.integer("confirmations", 0, 10_000, 0),
            priority_fee=section.optional_integer("priority_fee", 0, 10**15),
        )
        section.end()
        return config

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a network file, which has this table alone.

        Raises:
            UsageError: something in it cannot be used.
        """
        return cls.take(read_sections(path, ("chain",))["chain"])

    @property
    def ledger(self) -> LedgerId:
        """Which ledger it is."""
        return LedgerId(self.chain_id, self.round_ledger)

    @classmethod
    def of(
        cls, endpoints: tuple[str, ...], chain_id: int, deployment: Deployment, confirmations: int
    ) -> Self:
        """Describe a deployment."""
        return cls(
            endpoints,
            chain_id,
            deployment.consortium,
            deployment.round_ledger,
            deployment.first_block,
            confirmations,
        )

    def toml(self) -> str:
        """Return the table as it is written to a file."""
        endpoints = ", ".join(_quoted(url) for url in self.endpoints)
        return (
            "[chain]\n"
            "# JSON-RPC endpoints of the chain; the next is asked where one does not answer.\n"
            f"endpoints = [{endpoints}]\n"
            f"chain_id = {self.chain_id}\n"
            f'consortium = "{to_checksum_address(self.consortium)}"\n'
            f'round_ledger = "{to_checksum_address(self.round_ledger)}"\n'
            "# Block in which the contracts were created; what came before it is not read.\n"
            f"first_block = {self.first_block}\n"
            "# Blocks on top of a block before it is believed; 0 where blocks are final, as with QBFT.\n"
            f"confirmations = {self.confirmations}\n"
            "# Wei per gas for the block's proposer; unless said 1 gwei, or 0 where gas is free.\n"
            f"{'# ' if self.priority_fee is None else ''}priority_fee = {self.priority_fee or 0}\n"
        )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclass(frozen=True)
class KeyConfig:
    """Where a service's key is.

    Args:
        keystore: an Ethereum keystore file, version 3.
        passphrase_file: a file whose first line opens it; None for the environment.
    """

    keystore: Path
    passphrase_file: Path | None = None

    @classmethod
    def take(cls, section: Section) -> Self:
        """Take the table ``[key]``."""
        config = cls(section.path("keystore"), section.optional_path("passphrase_file"))
        section.end()
        return config

    def passphrase(self) -> str | None:
        """Return the passphrase from its file or the environment; None where it is in neither.

        Raises:
            UsageError: the file cannot be read or is empty.
        """
        if self.passphrase_file is None:
            return os.environ.get(PASSPHRASE_VARIABLE)
        return read_passphrase(self.passphrase_file)


def read_passphrase(path: Path) -> str:
    """Return the first line of a file.

    Raises:
        UsageError: the file cannot be read or is empty.
    """
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline(4096).rstrip("\r\n")
    except (OSError, ValueError) as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else "a file that cannot be read"
        raise UsageError(
            f"{path}", expected="a file with the passphrase in its first line", got=what
        ) from None
    if not line:
        raise UsageError(f"{path}", expected="a passphrase in the first line", got="an empty line")
    return line


@dataclass(frozen=True)
class StoreConfig:
    """The payload store that all roles share.

    Args:
        shared: a folder, or multiaddrs of IPFS daemons, separated by commas.
        private_network: the operator's word that each of these daemons has a private-network key.
    """

    shared: str
    private_network: bool = False

    @classmethod
    def take(cls, section: Section) -> Self:
        """Take the table ``[store]``; a folder is relative to the file's own."""
        text = section.text("shared")
        if "://" in text:
            raise section.wrong("shared", "a folder, or multiaddrs like /ip4/127.0.0.1/tcp/5001", text)
        place = text if text.startswith(("/ip", "/dns")) else str(section.path("shared", text))
        config = cls(place, section.flag("private_network"))
        section.end()
        return config

    def open(self) -> PayloadStore:
        """Open the store.

        Raises:
            UsageError: it cannot be used.
            UnavailableError: it is a folder that is not there.
        """
        return open_store(self.shared, private_network=self.private_network)


@dataclass(frozen=True)
class MonitoringConfig:
    """What a service shows of itself.

    Args:
        port: where metrics and health are served on loopback; 0 for nowhere.
        log: ``text``, ``json``, or ``auto``: text on a terminal, JSON elsewhere.
    """

    port: int = 0
    log: str = "auto"

    @classmethod
    def take(cls, section: Section) -> Self:
        """Take the table ``[monitoring]``."""
        config = cls(section.integer("port", 0, 65_535, 0), section.choice("log", ("auto", "text", "json")))
        section.end()
        return config


@dataclass(frozen=True)
class AggregatorConfig:
    """All that an aggregator is told.

    Args:
        chain: which ledger.
        key: its key.
        store: the payload store that all roles share.
        state: its own folder.
        poll_seconds: how often it looks at the chain while nothing is due.
        threads: worker threads for aggregation.
        monitoring: what it shows of itself.
    """

    chain: ChainConfig
    key: KeyConfig
    store: StoreConfig
    state: Path
    poll_seconds: float = 2.0
    threads: int = 1
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``aggregator.toml``.

        Raises:
            UsageError: something in it cannot be used; file, table and key are named.
        """
        sections = read_sections(path, ("chain", "key", "store", "aggregator", "monitoring"))
        own = sections["aggregator"]
        config = cls(
            chain=ChainConfig.take(sections["chain"]),
            key=KeyConfig.take(sections["key"]),
            store=StoreConfig.take(sections["store"]),
            state=own.path("state"),
            poll_seconds=own.number("poll_seconds", 0.05, 3600, 2.0),
            threads=own.integer("threads", 1, 64, 1),
            monitoring=MonitoringConfig.take(sections["monitoring"]),
        )
        own.end()
        return config
