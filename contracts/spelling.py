"""How geth spells blocks, transactions, logs and errors in JSON-RPC; made from py-evm's and eth-tester's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from eth_bloom.bloom import BloomFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "INVALID",
    "NO_METHOD",
    "PARAMS",
    "PARSE",
    "REFUSED",
    "Refusal",
    "block_fields",
    "encoded",
    "error_answer",
    "has_topics",
    "log_fields",
    "logs_bloom",
    "spelled",
    "transaction_fields",
]

PARSE, INVALID, NO_METHOD, PARAMS, REFUSED = -32700, -32600, -32601, -32602, -32000


class Refusal(Exception):
    """A JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            self.error["data"] = data


def block_fields(block: Any) -> dict[str, Any]:
    """A block without its transactions; its size, which nothing here reads, is not worked out."""
    header = block.header
    return {
        "number": header.block_number,
        "hash": header.hash,
        "parentHash": header.parent_hash,
        "sha3Uncles": header.uncles_hash,
        "miner": header.coinbase,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transaction_root,
        "receiptsRoot": header.receipt_root,
        "logsBloom": header.bloom.to_bytes(256, "big"),
        "difficulty": header.difficulty,
        "totalDifficulty": 0,
        "gasLimit": header.gas_limit,
        "gasUsed": header.gas_used,
        "timestamp": header.timestamp,
        "extraData": header.extra_data,
        "mixHash": header.mix_hash,
        "nonce": header.nonce,
        "baseFeePerGas": header.base_fee_per_gas,
        "withdrawalsRoot": header.withdrawals_root,
        "blobGasUsed": header.blob_gas_used,
        "excessBlobGas": header.excess_blob_gas,
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "requestsHash": header.requests_hash,
        "size": 0,
        "uncles": [],
        "withdrawals": [],
    }


def transaction_fields(transaction: Any, block: Any, place: int | None) -> dict[str, Any]:
    """A transaction at its place in a block, or one that waits for its block."""
    typed = hasattr(transaction, "type_id")
    shown = {
        "hash": transaction.hash,
        "type": transaction.type_id if typed else 0,
        "nonce": transaction.nonce,
        "from": transaction.sender,
        "to": transaction.to or None,
        "value": transaction.value,
        "gas": transaction.gas,
        "gasPrice": transaction.max_fee_per_gas,
        "input": transaction.data,
        "r": transaction.r,
        "s": transaction.s,
        "v": transaction.y_parity if typed else transaction.v,
        "blockHash": None if block is None else block.hash,
        "blockNumber": None if block is None else block.number,
        "transactionIndex": place,
    }
    if not typed:
        return shown
    shown |= {"yParity": transaction.y_parity, "chainId": transaction.chain_id}
    shown["accessList"] = [
        {"address": address, "storageKeys": [key.to_bytes(32, "big") for key in keys]}
        for address, keys in transaction.access_list
    ]
    if transaction.type_id >= 2:
        tip = transaction.max_priority_fee_per_gas
        shown |= {"maxFeePerGas": transaction.max_fee_per_gas, "maxPriorityFeePerGas": tip}
        if block is not None:
            base = block.header.base_fee_per_gas
            shown["gasPrice"] = min(transaction.max_fee_per_gas, base + tip)
    return shown


def log_fields(log: dict[str, Any]) -> dict[str, Any]:
    """A log of eth-tester's."""
    shown = {name: value for name, value in log.items() if name != "type"}
    return {**shown, "topics": list(log["topics"]), "removed": False}


def has_topics(log: dict[str, Any], wanted: Sequence[Any]) -> bool:
    """Whether a log fits a filter's topics: at each place a topic, several, or any."""
    topics = log["topics"]
    if len(wanted) > len(topics):
        return False
    for topic, allowed in zip(topics, wanted, strict=False):
        choices = [allowed] if isinstance(allowed, str) else allowed
        if choices and topic.lower() not in {choice.lower() for choice in choices}:
            return False
    return True


def logs_bloom(logs: Sequence[dict[str, Any]]) -> bytes:
    """The bloom filter of addresses and topics."""
    bloom = BloomFilter()
    for log in logs:
        bloom.extend(bytes.fromhex(word.removeprefix("0x")) for word in (log["address"], *log["topics"]))
    return int(bloom).to_bytes(256, "big")


def spelled(value: Any) -> Any:
    """Spell an answer as geth does."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes | bytearray):
        return "0x" + bytes(value).hex()
    if isinstance(value, dict):
        return {name: spelled(each) for name, each in value.items()}
    if isinstance(value, str):
        return value.lower() if re.fullmatch(r"0x[0-9a-fA-F]*", value) else value
    return [spelled(each) for each in value] if isinstance(value, list | tuple) else value


def error_answer(key: Any, refusal: Refusal) -> dict[str, Any]:
    """The answer that a refusal is."""
    return {"jsonrpc": "2.0", "id": key, "error": refusal.error}


def encoded(answer: Any) -> bytes:
    """An answer as it is sent."""
    return json.dumps(answer).encode()
