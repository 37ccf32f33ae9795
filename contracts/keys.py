"""Keys in files: Ethereum keystore version 3 (Web3 Secret Storage), as geth, Besu and wallets read them.

The key is encrypted with scrypt and AES-128-CTR; who has the file needs the passphrase too. Neither key nor
passphrase stands in any message of this module.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from eth_account import Account
from eth_utils.address import to_checksum_address

from ledger.canonical import read_json
from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

__all__ = ["keystore_address", "new_keystore", "unlock"]

_MAX_BYTES = 1 << 16
_SCRYPT_N = 1 << 18
"""geth's own; unlocking takes a second or two and 256 MiB."""


def new_keystore(path: Path, passphrase: str, *, scrypt_n: int = _SCRYPT_N) -> str:
    """Make a new key, write it encrypted, readable by its owner alone, and return its address.

    Args:
        path: the file; it must not be there yet.
        passphrase: opens it again.
        scrypt_n: scrypt's cost, a power of two.

    Raises:
        UsageError: the file is there already, its folder is not, or the passphrase is empty.
        UnavailableError: the disk refuses.
    """
    if not passphrase:
        raise UsageError("passphrase", expected="at least one character", got="none")
    account: LocalAccount = Account.create()
    keystore = Account.encrypt(account.key, passphrase, kdf="scrypt", iterations=scrypt_n)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already", expected="a new file: no key is written over") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}", got=error.strerror) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(keystore, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UnavailableError(f"cannot write {path}", got=error.strerror) from error
    return str(account.address)


def keystore_address(path: Path) -> str:
    """Return the address that a keystore says it is for; only ``unlock`` proves it.

    Raises:
        UsageError: there is no keystore of version 3.
    """
    text = str(_read(path).get("address", "")).removeprefix("0x")
    if not re.fullmatch("[0-9a-fA-F]{40}", text):
        raise UsageError(f"{path}: address", expected="40 hex digits", got=text)
    return str(to_checksum_address("0x" + text))


def unlock(path: Path, passphrase: str) -> LocalAccount:
    """Decrypt a keystore.

    Raises:
        UsageError: it is no keystore of version 3, or the passphrase does not open it.
    """
    keystore = _read(path)
    try:
        key = Account.decrypt(keystore, passphrase)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if "MAC" in str(error):
            raise UsageError(f"{path}: the passphrase does not open this key") from None
        raise UsageError(f"{path}", expected="an Ethereum keystore, version 3", got="another file") from None
    account: LocalAccount = Account.from_key(key)
    return account


def _read(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            keystore = read_json(file.read(_MAX_BYTES))
    except FileNotFoundError as error:
        raise UsageError(f"{path}", expected="a keystore file", got="no such file") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}", expected="an Ethereum keystore, version 3", got="another file") from error
    if not isinstance(keystore, dict) or keystore.get("version") != 3:
        raise UsageError(f"{path}", expected="an Ethereum keystore, version 3", got="another file")
    return keystore
