"""Contract accounts, on a real virtual machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eth_account.messages import _hash_eip191_message, encode_defunct
from eth_utils.address import to_checksum_address

from api.access.signatures import signed_hash
from api.access.wallets import Wallets
from contracts.local import LocalChain, faucet
from ledger import records as r
from ledger.errors import ChainError
from tests.api.access.desks import KEYS, World, account, signed

if TYPE_CHECKING:
    from collections.abc import Callable

# Deployed code, in assembly. Arguments: the hash at 4, the signature's r, s and v at 0x64, 0x84 and 0xa4.
_WHOSE = "60043560005260a43560001a602052606435604052608435606052602060806080600060015afa50608051"
_YES = "631626ba7e60e01b600052"
CODES: dict[str, str] = {
    "wallet": _WHOSE + "73{owner}14631626ba7e0260e01b60005260206000f3",
    "reverts": "60006000fd",
    "reverts with the answer": _YES + "60206000fd",
    "answers nothing": "00",
    "answers with too little": _YES + "60046000f3",
    "answers with too much": _YES + "60406000f3",
    "answers with a number": "600160005260206000f3",
    "answers with garbage": "7f" + "ff" * 32 + "60005260206000f3",
    "answers with more than the word": "7f1626ba7e" + "00" * 27 + "0160005260206000f3",
    "burns all gas": "5b600056",
    "no operation": "fe",
    # OffchainLookup of EIP-3668, with lists that are empty
    "sends elsewhere": "63556f183060e01b60005260a060245260c060445260e06084526101046000fd",
}


@pytest.fixture(scope="module")
def chain() -> LocalChain:
    return LocalChain()


@pytest.fixture(scope="module")
def contracts(chain: LocalChain) -> dict[str, bytes]:
    """Addresses of the contracts; the wallet belongs to the auditor's key."""
    return {
        name: deployed(chain, code.format(owner=KEYS["auditor"].address[2:])) for name, code in CODES.items()
    }


def deployed(chain: LocalChain, code: str) -> bytes:
    runtime = bytes.fromhex(code)
    init = bytes.fromhex(f"60{len(runtime):02x}80600b6000396000f3") + runtime
    receipt, done = chain._send(faucet(), {"data": init, "gas": 1_000_000})
    assert done
    assert receipt.contract is not None
    return receipt.contract


@pytest.fixture
def accept(chain: LocalChain) -> Callable[..., bool]:
    return Wallets(lambda: chain, lambda: chain.head().number).accept


def test_a_wallet_says_whether_its_owner_signed(
    accept: Callable[..., bool], contracts: dict[str, bytes]
) -> None:
    assert accept(contracts["wallet"], "a text", signed("auditor", "a text"))
    assert not accept(contracts["wallet"], "another text", signed("auditor", "a text"))
    assert not accept(contracts["wallet"], "a text", signed("member", "a text"))
    assert not accept(contracts["wallet"], "a text", b"\0" * 65)
    assert not accept(contracts["wallet"], "a text", b"")


@pytest.mark.parametrize("name", [name for name in CODES if name != "wallet"])
def test_whatever_else_a_contract_does_is_no(
    accept: Callable[..., bool], contracts: dict[str, bytes], name: str
) -> None:
    assert not accept(contracts[name], "a text", signed("auditor", "a text"))


def test_where_there_is_no_contract_there_is_no_signature(accept: Callable[..., bool]) -> None:
    assert not accept(account("auditor"), "a text", signed("auditor", "a text"))
    assert not accept(bytes(19) + b"\x04", "a text", b"\x16\x26\xba\x7e" + bytes(28))


def test_a_contract_is_asked_as_of_the_block_that_the_index_has_read(
    chain: LocalChain, contracts: dict[str, bytes]
) -> None:
    before = Wallets(lambda: chain, lambda: 0)
    assert not before.accept(contracts["wallet"], "a text", signed("auditor", "a text"))


def test_the_hash_is_that_which_wallets_sign() -> None:
    for text in ("", "a text", "ä" * 100):
        assert signed_hash(text) == _hash_eip191_message(encode_defunct(text=text))


# -- at the desk ------------------------------------------------------------------------------------------


def _as_wallet(desk: World, wallet: bytes, key: str) -> int:
    text = str(desk.message(key, address=to_checksum_address(wallet)))
    return int(desk.send(text, signed(key, text)).status_code)


def test_a_contract_account_of_the_consortium_signs_in(
    desk: World, chain: LocalChain, contracts: dict[str, bytes]
) -> None:
    wallet = contracts["wallet"]
    assert _as_wallet(desk, wallet, "auditor") == 400, "no contract is asked where none can sign in"
    asked: list[int] = []

    def connect() -> LocalChain:
        asked.append(1)
        return chain

    desk.desk.wallets = Wallets(connect, lambda: chain.head().number)
    assert _as_wallet(desk, wallet, "auditor") == 400
    assert asked == [], "nor for an account that the consortium does not know"
    desk.happens(r.RolesChanged(wallet, 4))
    desk.read()
    assert _as_wallet(desk, wallet, "auditor") == 200
    assert _as_wallet(desk, wallet, "member") == 400
    assert desk.sign_in("auditor").status_code == 200
    assert len(asked) == 2, "nor for a key's own signature"


def test_a_chain_that_does_not_answer_is_no_refusal(desk: World, contracts: dict[str, bytes]) -> None:
    def connect() -> LocalChain:
        raise ChainError("no endpoint answers")

    desk.happens(r.RolesChanged(contracts["wallet"], 4))
    desk.read()
    desk.desk.wallets = Wallets(connect, lambda: 1)
    assert _as_wallet(desk, contracts["wallet"], "auditor") == 503


def test_a_signature_is_no_longer_than_a_kilobyte(desk: World) -> None:
    text = str(desk.message("auditor"))
    assert desk.send(text, b"\1" * 1024).status_code == 400
    assert desk.send(text, b"\1" * 1025).status_code == 422
    assert desk.send(text, b"").status_code == 422
