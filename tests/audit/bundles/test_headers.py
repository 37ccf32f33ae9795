"""Block hashes of Ethereum and of QBFT, and who sealed."""

from __future__ import annotations

import coincurve
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from audit.bundles import rlp
from audit.bundles.headers import Header, recover, seals_needed
from tests.audit.bundles.played import FIXED, played, with_fields
from tests.federation import address, key

VALIDATORS = [key(f"validator {n}") for n in range(4)]


def test_a_header_s_hash_is_the_block_s() -> None:
    chain = played().federation.chain
    for number in (1, 20, chain.head().number):
        block, header = chain.block(number), Header.parse(chain.header(number))
        assert (header.number, header.hash, header.time) == (block.number, block.hash, block.time)
        assert header.validators == header.sealers == ()


@pytest.mark.parametrize(
    ("validators", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7)]
)
def test_two_thirds_are_rounded_up(validators: int, needed: int) -> None:
    """As Besu's ``calculateRequiredValidatorQuorum`` does; two of four would let two chains stand."""
    assert seals_needed(validators) == needed


def _sealed(round_: bytes, seals: list[rlp.Item]) -> bytes:
    named: list[rlp.Item] = [address(v) for v in VALIDATORS]
    header = played().federation.chain.header(9)
    return with_fields(header, {12: rlp.encode([FIXED, named, [], round_, seals])})


def _seal(round_: bytes, signer: int) -> bytes:
    digest = keccak(_sealed(round_, []))
    return coincurve.PrivateKey(bytes(VALIDATORS[signer].key)).sign_recoverable(digest, hasher=None)


def test_a_sealed_block_s_hash_depends_neither_on_seals_nor_on_the_round() -> None:
    plain = Header.parse(_sealed(b"", []))
    assert plain.hash == keccak(_sealed(b"", []))
    later = Header.parse(_sealed(b"\5", [_seal(b"\5", 0), _seal(b"\5", 3)]))
    assert later.hash == plain.hash
    assert later.sealers == (address(VALIDATORS[0]), address(VALIDATORS[3]))
    assert later.validators == tuple(map(address, VALIDATORS))


@pytest.mark.parametrize(
    "extra",
    [
        b"x" * 33,
        rlp.encode([FIXED, [], [], b""]),
        rlp.encode([FIXED, [b"short"], [], b"", []]),
        rlp.encode([FIXED, b"", [], b"", []]),
        rlp.encode([FIXED, [], [], b"", [b"\1" * 64]]),
        rlp.encode([FIXED, [], [], b"", [b"\0" * 65]]),
        rlp.encode([FIXED, [], [], b"", [b"\1" * 64 + b"\x1b"]]),
        rlp.encode([FIXED, [], [], b"", [[]]]),
    ],
)
def test_extra_data_that_are_neither_are_refused(extra: bytes) -> None:
    header = with_fields(played().federation.chain.header(9), {12: extra})
    with pytest.raises(ValueError, match=r"RLP|extra data|signature"):
        Header.parse(header)


@pytest.mark.parametrize(("place", "value"), [(3, b"\1" * 31), (3, []), (8, b"\1" * 9), (11, b"\0\1")])
def test_fields_of_another_shape_are_refused(place: int, value: rlp.Item) -> None:
    header = with_fields(played().federation.chain.header(9), {place: value})
    with pytest.raises(ValueError, match=r"RLP|state root"):
        Header.parse(header)


def test_a_header_has_an_upper_bound() -> None:
    with pytest.raises(ValueError, match="longer than"):
        Header.parse(bytes(1 << 17))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 3))
def test_who_signed_is_recovered(digest: bytes, signer: int) -> None:
    signature = coincurve.PrivateKey(bytes(VALIDATORS[signer].key)).sign_recoverable(digest, hasher=None)
    assert recover(signature, digest) == address(VALIDATORS[signer])


@given(st.binary(max_size=70))
def test_what_is_no_signature_has_no_signer(signature: bytes) -> None:
    try:
        assert len(recover(signature, FIXED)) == 20
    except ValueError as error:
        assert "signature" in str(error)  # noqa: PT017 - either will do
