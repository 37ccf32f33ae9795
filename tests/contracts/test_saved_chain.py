"""A saved chain is believed only where it re-executes.

What re-execution cannot see is what no rule fixes in the newest block's header, and a chain cut short at a
block's border: both give another head, so whoever knows the head refuses them.
"""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import rlp
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.follower import Follower
from contracts.local import faucet, replay
from ledger.checks import Check
from ledger.errors import ChainError, VerificationError
from tests.federation import address, fresh_chain, key
from tests.ledger.recorded import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.local import LocalChain

HEADER = [name for name, _ in PragueBlockHeader._meta.fields]
FREE = {"coinbase", "gas_limit", "timestamp", "extra_data", "mix_hash", "parent_beacon_block_root"}
"""Header fields that no rule derives from what came before; the next block's parent hash binds them."""

TRANSACTION = [
    "chain_id",
    "nonce",
    "max_priority_fee",
    "max_fee",
    "gas",
    "to",
    "value",
    "data",
    "access_list",
]
TRANSACTION += ["y_parity", "r", "s"]


def _saved(chain: LocalChain) -> bytes:
    with TemporaryDirectory() as folder:
        chain.save(Path(folder) / "chain")
        return (Path(folder) / "chain").read_bytes()


def _split(data: bytes) -> list[bytes]:
    blocks, position = [], 0
    while position < len(data):
        _, _, length, start = rlp.codec.consume_length_prefix(data, position)
        blocks.append(data[position : start + length])
        position = start + length
    return blocks


@cache
def _small() -> tuple[bytes, bytes]:
    """Three transfers: the saved bytes, and the head's hash."""
    chain = fresh_chain()
    for n in range(3):
        chain.transfer(faucet(), b"\x07" * 20, n)
    return _saved(chain), chain.head().hash


@cache
def _federation() -> bytes:
    """The recorded history's chain."""
    return _saved(recorded()[0].chain)


def _outcome(data: bytes) -> bytes | Check:
    """The head's hash, or the check that refuses."""
    try:
        return replay(data).head().hash
    except VerificationError as error:
        return error.check


def test_a_saved_chain_re_executes_to_the_same_head_and_events() -> None:
    f, history = recorded()
    chain = replay(_federation())
    assert chain.head() == f.chain.head()
    follower = Follower(chain, f.deployment)
    follower.update()
    assert tuple(follower.history) == history
    assert f.ledger.run_at(1) == type(f.ledger)(chain, f.deployment.round_ledger).run_at(1)


def test_saving_a_replayed_chain_gives_the_same_bytes() -> None:
    data, _ = _small()
    assert _saved(replay(data)) == data


# -- one field, one byte -------------------------------------------------------------------------------------


def _other(value: bytes) -> bytes:
    """Another value of the same kind: the last bit, which keeps integers short and addresses long."""
    changed = value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x01"
    return b"" if changed == b"\x00" else changed


def _with(blocks: Sequence[bytes], index: int, block: Any) -> bytes:
    return b"".join([*blocks[:index], rlp.encode(block), *blocks[index + 1 :]])


@pytest.mark.parametrize("field", HEADER)
def test_a_changed_header_field_is_refused_in_any_block_but_the_newest(field: str) -> None:
    blocks = _split(_small()[0])
    block = rlp.decode(blocks[0])
    header = list(block[0])
    header[HEADER.index(field)] = _other(header[HEADER.index(field)])
    expected = Check.CHAIN_GENESIS if field == "parent_hash" else Check.CHAIN_EXECUTION
    assert _outcome(_with(blocks, 0, [header, *block[1:]])) is expected


@pytest.mark.parametrize("field", HEADER)
def test_a_changed_header_field_of_the_newest_block_is_refused_or_gives_another_head(field: str) -> None:
    data, head = _small()
    blocks = _split(data)
    block = rlp.decode(blocks[-1])
    header = list(block[0])
    place = HEADER.index(field)
    if field == "timestamp":  # later: an earlier one collides with the block before
        header[place] = (int.from_bytes(header[place], "big") + 5).to_bytes(4, "big")
    else:
        header[place] = _other(header[place])
    outcome = _outcome(_with(blocks, 2, [header, *block[1:]]))
    assert outcome != head
    assert (outcome is not Check.CHAIN_EXECUTION) is (field in FREE)


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("field", TRANSACTION)
def test_a_changed_transaction_is_refused(index: int, field: str) -> None:
    blocks = _split(_small()[0])
    header, [transaction], *rest = rlp.decode(blocks[index])
    values = rlp.decode(transaction[1:])
    place = TRANSACTION.index(field)
    values[place] = [[bytes(20), []]] if field == "access_list" else _other(values[place])
    changed = transaction[:1] + rlp.encode(values)
    assert _outcome(_with(blocks, index, [header, [changed], *rest])) is Check.CHAIN_EXECUTION


@settings(max_examples=settings.default.max_examples // 2)
@given(st.data())
def test_a_flipped_byte_is_refused_unless_it_is_free_in_the_newest_header(data) -> None:
    good, head = _small()
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    outcome = _outcome(bytes(bad))
    newest = len(good) - len(_split(good)[-1])
    assert outcome != head
    assert isinstance(outcome, Check) or position >= newest


def test_a_flipped_byte_of_a_federations_chain_is_refused() -> None:
    """One byte in each of some blocks: code, votes, commitments, attestations."""
    good = _federation()
    blocks = _split(good)
    for index in range(8, len(blocks) - 1, 11):
        bad = bytearray(blocks[index])
        bad[len(bad) // 2] ^= 1
        assert isinstance(_outcome(b"".join([*blocks[:index], bytes(bad), *blocks[index + 1 :]])), Check)


# -- blocks --------------------------------------------------------------------------------------------------


def test_a_chain_cut_at_a_blocks_border_is_a_chain_with_another_head() -> None:
    """Hence the head that an auditor pins."""
    data, head = _small()
    blocks = _split(data)
    for kept in range(3):
        outcome = _outcome(b"".join(blocks[:kept]))
        assert isinstance(outcome, bytes)
        assert len(outcome) == 32
        assert outcome != head


def test_a_chain_cut_inside_a_block_is_refused() -> None:
    data, _ = _small()
    border = len(data) - len(_split(data)[-1])
    for length in (1, 2, 3, 100, border - 1, border + 1, border + 3, len(data) - 1):
        with pytest.raises(
            VerificationError, match=r"check 31 \(chain execution\): block \d of the saved chain"
        ):
            replay(data[:length])


def _forked() -> list[bytes]:
    """Blocks 1 and 2 of another chain from the same genesis."""
    chain = fresh_chain()
    for n in (7, 8):
        chain.transfer(faucet(), b"\x09" * 20, n)
    return _split(_saved(chain))


REORDERED = {
    "two blocks exchanged": lambda b: [b[1], b[0], b[2]],
    "the last two exchanged": lambda b: [b[0], b[2], b[1]],
    "a block left out": lambda b: [b[0], b[2]],
    "the first left out": lambda b: b[1:],
    "a block twice": lambda b: [b[0], b[0], b[1], b[2]],
    "the last twice": lambda b: [*b, b[2]],
    "the first again at the end": lambda b: [*b, b[0]],
    "another chain's block at the end": lambda b: [*b, _forked()[0]],
    "another chain's second block": lambda b: [b[0], _forked()[1], b[2]],
    "a fork beside the second block": lambda b: [b[0], _forked()[0], _forked()[1]],
    "two chains": lambda b: [*b, *_forked()],
}


@pytest.mark.parametrize("order", REORDERED.values(), ids=REORDERED)
def test_blocks_in_any_other_order_are_refused(order) -> None:
    assert isinstance(_outcome(b"".join(order(_split(_small()[0])))), Check)


def test_a_refusal_names_the_first_block_at_fault() -> None:
    first, second, third = _split(_small()[0])
    for data, said in {
        first + third: "block 2 of the saved chain: got it says that it is block 3",
        first + second + first: "block 3 of the saved chain: got it says that it is block 1",
        first + second + third[:-1]: "block 3 of the saved chain: got the file ends inside it",
    }.items():
        with pytest.raises(VerificationError, match=said):
            replay(data)


def test_a_block_that_somebody_appended_gives_another_head() -> None:
    """Whoever has a key with ether may go on from any chain; that is no change of what was."""
    data, head = _small()
    chain = replay(data)
    chain.transfer(faucet(), b"\x08" * 20, 1)
    longer = _saved(chain)
    assert longer.startswith(data)
    outcome = _outcome(longer)
    assert isinstance(outcome, bytes)
    assert outcome != head


def test_a_transaction_without_the_senders_key_cannot_be_appended() -> None:
    """A commitment in a member's name needs that member's signature; the nonce binds its place."""
    blocks = _split(_small()[0])
    header, transactions, *rest = rlp.decode(blocks[2])
    stranger = Account.from_key(secrets.token_bytes(32))
    signed = stranger.sign_transaction(
        {
            "type": 2,
            "chainId": fresh_chain().chain_id,
            "nonce": 0,
            "to": "0x" + "07" * 20,
            "value": 0,
            "gas": 21_000,
            "maxFeePerGas": 10**9,
            "maxPriorityFeePerGas": 0,
        }
    )
    forged = _with(blocks, 2, [header, [bytes(signed.raw_transaction)], *rest])
    assert _outcome(forged) is Check.CHAIN_EXECUTION
    assert _outcome(_with(blocks, 2, [header, transactions * 2, *rest])) is Check.CHAIN_EXECUTION
    assert _outcome(_with(blocks, 2, [header, [], *rest])) is Check.CHAIN_EXECUTION


def test_another_genesis_is_refused_as_such() -> None:
    """A chain on which accounts begin with other balances."""
    blocks = _split(_small()[0])
    header, *rest = rlp.decode(blocks[0])
    with pytest.raises(
        VerificationError, match=r"check 30 \(chain genesis\): .* expected [0-9a-f]{64}, got 0101"
    ):
        replay(_with(blocks, 0, [[b"\x01" * 32, *header[1:]], *rest]))


def _nested(depth: int) -> bytes:
    """Lists in lists, in RLP."""
    prefixes, length = [], 1
    for _ in range(depth):
        size = length.to_bytes((length.bit_length() + 7) // 8, "big")
        prefixes.append(bytes([0xC0 + length]) if length < 56 else bytes([0xF7 + len(size)]) + size)
        length += len(prefixes[-1])
    return b"".join(reversed(prefixes)) + b"\xc0"


GARBAGE = {
    "a zero": b"\x00",
    "an empty text": b"\x80",
    "an empty list": b"\xc0",
    "lists in a list": b"\xc3\xc0\xc0\xc0",
    "a length without a list": b"\xf9",
    "a list of 2^64 bytes": b"\xff" + b"\xff" * 8,
    "JSON": b'{"blocks": []}',
    "zeros": bytes(1_000),
    "ones": b"\xff" * 1_000,
    "deep nesting": _nested(300_000),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        replay(data)
    assert caught.value.check is Check.CHAIN_EXECUTION
    assert str(caught.value).startswith("check 31 (chain execution): block 1 of the saved chain: got ")
    assert str(caught.value).isprintable()


@settings(max_examples=settings.default.max_examples // 2)
@given(st.binary(min_size=1, max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    assert isinstance(_outcome(data), Check)


@pytest.mark.parametrize("behind", [b"\x00", b"\x80", b"\xc0", b" "])
def test_a_byte_behind_the_last_block_is_refused(behind: bytes) -> None:
    with pytest.raises(VerificationError, match="block 4 of the saved chain"):
        replay(_small()[0] + behind)


def test_a_block_in_another_spelling_is_refused() -> None:
    """A length in more bytes than it needs would give one chain two files."""
    first, *others = _split(_small()[0])
    assert first[0] == 0xF9  # a list whose length takes two bytes
    assert _outcome(b"".join([b"\xfa\x00" + first[1:], *others])) is Check.CHAIN_EXECUTION


def test_an_empty_list_does_not_pass_for_a_zero() -> None:
    blocks = _split(_small()[0])
    header, *rest = rlp.decode(blocks[2])
    assert header[HEADER.index("difficulty")] == b""
    header[HEADER.index("difficulty")] = []
    with pytest.raises(
        VerificationError, match="block 3 of the saved chain: got it is not spelled canonically"
    ):
        replay(_with(blocks, 2, [header, *rest]))


def test_a_block_with_withdrawals_is_refused() -> None:
    """Ethereum credits them: ether that no signed transaction moved."""
    first, *others = _split(_small()[0])
    header, transactions, uncles, withdrawals = rlp.decode(first)
    assert withdrawals == []
    withdrawal = [b"", b"", b"\x07" * 20, b"\x01"]
    data = b"".join([rlp.encode([header, transactions, uncles, [withdrawal]]), *others])
    with pytest.raises(VerificationError, match="block 1 of the saved chain: got it holds withdrawals"):
        replay(data)


def test_a_member_without_ether_cannot_spoil_the_replay() -> None:
    """A refused transaction leaves no trace in the saved chain."""
    chain = fresh_chain()
    chain.transfer(faucet(), address(key("a")), 10**18)
    with pytest.raises(ChainError, match="has 0 ether; this needs about 0"):
        chain.transfer(key("poor"), b"\x07" * 20, 1)
    chain.transfer(key("a"), b"\x07" * 20, 1)
    assert replay(_saved(chain)).head() == chain.head()
