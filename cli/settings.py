"""Writes the services' settings files: TOML with a comment on each key."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import UsageError

__all__ = ["MONITORING", "quoted", "shared_sections", "write_settings"]

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


def write_settings(out: Path, text: str) -> None:
    """Write a new file.

    Raises:
        UsageError: it is there already, or cannot be written.
    """
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{out} is there already", expected="a new file") from error
    except OSError as error:
        raise UsageError(f"cannot write {out}", got=error.strerror) from error
