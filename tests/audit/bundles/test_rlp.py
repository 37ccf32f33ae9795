"""RLP as Ethereum spells it, and nothing else."""

from __future__ import annotations

import pytest
import rlp as reference
from hypothesis import given
from hypothesis import strategies as st

from audit.bundles import rlp

ITEMS = st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=5), max_leaves=20)


def _depth(item: rlp.Item) -> int:
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 0


@given(ITEMS)
def test_what_is_written_is_what_the_reference_writes_and_is_read_back(item: rlp.Item) -> None:
    data = rlp.encode(item)
    assert data == reference.encode(item)
    if _depth(item) <= 8:
        assert rlp.decode(data) == item


@given(st.binary(max_size=80))
def test_bytes_have_one_meaning_or_none(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except ValueError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "8100",  # a byte that needs no prefix
        "817f",
        "b80161",  # a long length for a short string
        "b90038" + "61" * 56,  # a length with a leading zero
        "83616263" + "00",  # trailing bytes
        "836162",  # cut short
        "c3610000" + "00",
        "bf" + "ff" * 8,  # a length beyond everything
        "c0" * 2,
        "c1" * 40 + "c0",  # nested deeply
    ],
)
def test_what_could_be_spelled_otherwise_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="RLP"):
        rlp.decode(bytes.fromhex(data))


def test_brackets_without_end_do_not_exhaust_the_stack() -> None:
    item: rlp.Item = []
    for _ in range(900):
        item = [item]
    with pytest.raises(ValueError, match="nested deeper"):
        rlp.decode(rlp.encode(item))


@pytest.mark.parametrize("item", [b"\0", b"\0\1", b"\1" * 33, [b"\1"]])
def test_an_integer_has_no_leading_zeros_and_fits_a_word(item: rlp.Item) -> None:
    with pytest.raises(ValueError, match="expected an integer"):
        rlp.integer(item)
