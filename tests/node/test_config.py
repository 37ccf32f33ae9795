"""Settings of node and aggregator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from aggregator.config import PASSPHRASE_VARIABLE, AggregatorConfig, ChainConfig, KeyConfig
from ledger.errors import UsageError
from node.config import NodeConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHAIN = ChainConfig(
    ("http://127.0.0.1:8545", "https://second/x"), 1337, bytes([1]) * 20, bytes([2]) * 20, 11, 3, 7
)
NODE = f"""
{CHAIN.toml()}
[key]
keystore = "keys/member.json"
[store]
shared = "shared"
[node]
state = "state"
data = "/data/own.csv"
seed = 5
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def call(text: str) -> Path:
        (tmp_path / "node.toml").write_text(text, encoding="utf-8")
        return tmp_path / "node.toml"

    return call


def test_a_node_is_told_what_its_file_says(write: Callable[[str], Path], tmp_path: Path) -> None:
    config = NodeConfig.read(write(NODE))
    assert config.chain == CHAIN
    assert config.key.keystore == tmp_path / "keys" / "member.json"
    assert config.store.shared == str(tmp_path / "shared")
    assert config.state == tmp_path / "state"
    assert str(config.data) == "/data/own.csv"
    assert (config.seed, config.threads, config.poll_seconds) == (5, 1, 2.0)


def test_a_network_file_is_read_as_it_was_written(write: Callable[[str], Path]) -> None:
    assert ChainConfig.read(write(CHAIN.toml())) == CHAIN


def test_multiaddrs_stay_as_they_are(write: Callable[[str], Path]) -> None:
    place = "/ip4/127.0.0.1/tcp/5001,/dns/ipfs/tcp/5001"
    assert NodeConfig.read(write(NODE.replace('"shared"', f'"{place}"'))).store.shared == place


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed = 5", "sed = 5", r"\[node\]: a key is missing: expected seed"),
        ("seed = 5", "seed = 5\ntreads = 2", r"\[node\]: unknown key: expected perhaps threads, got treads"),
        ("[store]", "[shop]\n[store]", r"node\.toml: unknown key: expected .*, got shop"),
        ("seed = 5", "seed = -5", r"\[node\]: seed: expected a whole number from 0 to \d+, got -5"),
        ("seed = 5", "seed = true", r"\[node\]: seed: expected a whole number from 0 to \d+, got True"),
        ("seed = 5", 'seed = "5"', r"\[node\]: seed: expected a whole number"),
        ("chain_id = 1337", "", r"\[chain\]: a key is missing: expected chain_id"),
        ('"0x0101', '"0x01', r"\[chain\]: consortium: expected an address: 0x and 40 hex digits"),
        ('state = "state"', "state = 3", r"\[node\]: state: expected a text, got 3"),
        ('"shared"', '""', r"\[store\]: shared: expected a text, got"),
        ("[key]", "key = 3\n[other]", r"node\.toml"),
        ("seed = 5", "seed = = 5", r"is not TOML"),
        ("seed = 5", "seed = " + "[" * 100_000, r"is not TOML"),
        ("seed = 5", "seed = 0x" + "f" * 5_000, r"\[node\]: seed: expected .* too large to be shown"),
        ('"state"', '"~nobody-of-that-name/x"', r"\[node\]: state: expected a path, got the text"),
        ('"state"', '"a\\u0000b"', r"\[node\]: state: expected a text"),
        ('"shared"', '"http://127.0.0.1:5001"', r"shared: expected a folder, or multiaddrs like /ip4/"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_and_table(
    write: Callable[[str], Path], old: str, new: str, said: str
) -> None:
    assert old in NODE
    with pytest.raises(UsageError, match=said) as caught:
        NodeConfig.read(write(NODE.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """From a pipe without a writer one would read for ever."""
    os.mkfifo(tmp_path / "node.toml")
    with pytest.raises(UsageError, match="expected a configuration file, got something else"):
        NodeConfig.read(tmp_path / "node.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.toml: expected a configuration file, got no such file"):
        AggregatorConfig.read(tmp_path / "nothing.toml")


def test_a_passphrase_comes_from_its_file_or_else_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSPHRASE_VARIABLE, raising=False)
    assert KeyConfig(tmp_path / "key.json").passphrase() is None
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "from outside")
    assert KeyConfig(tmp_path / "key.json").passphrase() == "from outside"
    (tmp_path / "secret").write_text("in a file\r\nand more\n", encoding="utf-8")
    assert KeyConfig(tmp_path / "key.json", tmp_path / "secret").passphrase() == "in a file"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_passphrase_file_without_one_is_refused_without_showing_it(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(UsageError, match="passphrase in"):
        KeyConfig(tmp_path / "key.json", tmp_path / "secret").passphrase()
