"""Keys in keystore files."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from contracts.keys import keystore_address, new_keystore, unlock
from ledger.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

FAST = 1 << 12
"""Scrypt's cost in tests: the format is the same."""
PASSPHRASE = "correct horse, naïve battery"


def test_a_key_that_was_made_opens_with_its_passphrase(tmp_path: Path) -> None:
    address = new_keystore(tmp_path / "key.json", PASSPHRASE, scrypt_n=FAST)
    assert unlock(tmp_path / "key.json", PASSPHRASE).address == address
    assert keystore_address(tmp_path / "key.json") == address


def test_the_file_is_a_keystore_of_version_3_that_only_its_owner_reads(tmp_path: Path) -> None:
    new_keystore(tmp_path / "key.json", PASSPHRASE, scrypt_n=FAST)
    keystore = json.loads((tmp_path / "key.json").read_bytes())
    assert keystore["version"] == 3
    assert keystore["crypto"]["kdf"] == "scrypt"
    assert keystore["crypto"]["cipher"] == "aes-128-ctr"
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600


def test_a_keystore_that_another_program_wrote_opens(tmp_path: Path) -> None:
    account = Account.create()
    keystore = Account.encrypt(account.key, PASSPHRASE, kdf="pbkdf2", iterations=1000)
    (tmp_path / "key.json").write_text(json.dumps(keystore), encoding="utf-8")
    assert unlock(tmp_path / "key.json", PASSPHRASE).address == account.address


def test_another_passphrase_does_not_open_it_and_is_not_repeated(tmp_path: Path) -> None:
    new_keystore(tmp_path / "key.json", PASSPHRASE, scrypt_n=FAST)
    with pytest.raises(UsageError, match="the passphrase does not open this key") as caught:
        unlock(tmp_path / "key.json", "wrong-secret")
    assert "wrong-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_key_is_written_over(tmp_path: Path) -> None:
    address = new_keystore(tmp_path / "key.json", PASSPHRASE, scrypt_n=FAST)
    with pytest.raises(UsageError, match="is there already: expected a new file"):
        new_keystore(tmp_path / "key.json", "other", scrypt_n=FAST)
    assert unlock(tmp_path / "key.json", PASSPHRASE).address == address


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="passphrase: expected at least one character"):
        new_keystore(tmp_path / "key.json", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"{}", b'{"version": 1}', b'{"version": 3}', b'{"version": 3, "crypto": 7}'],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.json").write_bytes(content)
    with pytest.raises(UsageError, match="expected an Ethereum keystore, version 3"):
        unlock(tmp_path / "key.json", PASSPHRASE)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"key\.json: expected a keystore file, got no such file"):
        unlock(tmp_path / "key.json", PASSPHRASE)
    with pytest.raises(UsageError, match="cannot write"):
        new_keystore(tmp_path / "nowhere" / "key.json", PASSPHRASE, scrypt_n=FAST)
