"""Messages of EIP-4361."""

from __future__ import annotations

import string
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from api.access.message import MAX_MESSAGE, SignInMessage, spelled_time
from api.access.signatures import signer
from ledger.errors import UsageError
from tests.api.access.desks import account, signed

if TYPE_CHECKING:
    from collections.abc import Callable

# The example of the EIP.
EXAMPLE = """\
service.invalid wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ServiceOrg Terms of Service: https://service.invalid/tos

URI: https://service.invalid/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_words = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40)
_times = st.integers(0, 4_000_000_000).map(spelled_time)
messages = st.builds(
    SignInMessage,
    domain=st.sampled_from(["a.example", "a.example:8600", "https://a.example", "[::1]:8600"]),
    address=st.binary(min_size=20, max_size=20).map(to_checksum_address),
    uri=_words.map("https://a.example/{}".format),
    chain_id=st.integers(0, 2**256 - 1),
    nonce=_words,
    issued_at=_times,
    statement=st.none() | st.text(string.printable[:95], min_size=1, max_size=100),
    expiration_time=st.none() | _times,
    not_before=st.none() | _times,
    request_id=st.none() | _words,
    resources=st.none() | st.lists(_words.map("ipfs://{}".format), max_size=4).map(tuple),
)


@given(messages)
def test_a_message_that_is_written_is_read_as_it_was(message: SignInMessage) -> None:
    assert SignInMessage.parse(str(message)) == message


@given(messages, st.data())
def test_a_text_is_refused_or_comes_back_as_it_was(message: SignInMessage, data: st.DataObject) -> None:
    """Whatever is done to a message: what the parser takes, it spells the same."""
    text = str(message)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 30, len(text))))
    put = data.draw(st.text(max_size=5) | st.sampled_from(["\n", "\r\n", "\n\n", " ", "\u2028", "\x00", "é"]))
    bent = text[:start] + put + text[end:]
    with suppress(UsageError):
        assert str(SignInMessage.parse(bent)) == bent


@given(st.text(max_size=3000))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(UsageError):
        SignInMessage.parse(text)


def test_the_example_of_the_standard_is_read() -> None:
    message = SignInMessage.parse(EXAMPLE)
    assert str(message) == EXAMPLE
    assert (message.domain, message.chain_id, message.nonce) == ("service.invalid", 1, "32891756")
    assert message.statement == "I accept the ServiceOrg Terms of Service: https://service.invalid/tos"
    assert len(message.resources or ()) == 2


def test_a_message_without_a_statement_keeps_its_empty_line() -> None:
    text = str(replace(SignInMessage.parse(EXAMPLE), statement=None))
    assert "Cc2\n\n\nURI: " in text
    assert SignInMessage.parse(text).statement is None


@pytest.mark.parametrize(
    "bend",
    [
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("C02aaA", "c02aaa"),
        lambda text: text.replace("Version: 1", "Version: 2"),
        lambda text: text.replace("Chain ID: 1", "Chain ID: 01"),
        lambda text: text.replace("Chain ID: 1", "Chain ID: +1"),
        lambda text: text.replace("Nonce: 32891756", "Nonce: 3289175"),
        lambda text: text.replace("Nonce: 32891756", "Nonce: 3289 1756"),
        lambda text: text.replace("2021-09-30", "2021-09-31"),
        lambda text: text.replace("24Z", "24+00:00"),
        lambda text: text.replace("URI: ", "uri: "),
        lambda text: text.replace("URI: ", "URI:"),
        lambda text: text.replace("https://service.invalid/login", "login"),
        lambda text: text.replace("service.invalid wants", "user@service.invalid wants"),
        lambda text: text.replace("service.invalid wants", "wants"),
        lambda text: text.replace("Chain ID: 1\nNonce: 32891756", "Nonce: 32891756\nChain ID: 1"),
        lambda text: text.replace("Nonce: 32891756\n", ""),
        lambda text: text.replace(
            "Resources:", "Request ID: 1\nNot Before: 2021-09-30T16:25:24Z\nResources:"
        ),
        lambda text: text.replace("Resources:", "Resources:\n-x:y"),
        lambda text: text + "\n- ipfs://a" * 7,
        lambda text: text + "x" * MAX_MESSAGE,
    ],
)
def test_a_message_that_is_spelled_otherwise_is_refused(bend: Callable[[str], str]) -> None:
    bent = bend(EXAMPLE)
    assert bent != EXAMPLE
    with pytest.raises(UsageError, match=r"^sign-in message"):
        SignInMessage.parse(bent)


def test_a_signature_says_whose_key_made_it() -> None:
    assert signer(EXAMPLE, signed("member", EXAMPLE)) == account("member")
    assert signer(EXAMPLE + " ", signed("member", EXAMPLE)) != account("member")


def test_a_signature_that_was_turned_round_is_refused() -> None:
    """(r, n−s) with the other parity is by the same key over the same text, and not what the key made."""
    made = signed("member", EXAMPLE)
    turned = (_ORDER - int.from_bytes(made[32:64])).to_bytes(32, "big")
    assert signer(EXAMPLE, made[:32] + turned + bytes([55 - made[64]])) is None


@pytest.mark.parametrize(
    "signature",
    [b"", bytes(64), bytes(65), bytes(66), bytes(64) + b"\x1b", b"\xff" * 32 + bytes(32) + b"\x1b"],
)
def test_what_is_no_signature_is_nobodys(signature: bytes) -> None:
    assert signer(EXAMPLE, signature) is None
