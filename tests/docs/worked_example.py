"""The worked example of ``docs/reference/formats.md``, made from that page and from nothing of this project.

A chain, a run and a round of three members, small enough to be read. Members 0 and 1 contribute, member 2
commits and does not reveal.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from tests.ledger.naive import cid_of, keccak256, sha256, tree_hash, words

CHAIN_ID, RUN, ROUND, EPOCH = 1, 1, 1, 1
LEDGER, CONSORTIUM, DEPLOYER, AGGREGATOR, ACCOUNT = (bytes([byte]) * 20 for byte in (17, 34, 51, 68, 85))
ZERO = bytes(32)
QUORUM, MIN_REVEALS, COMMIT, REVEAL, PROPOSE, GRACE, MAX_ROUNDS = 2, 1, 60, 50, 80, 20, 4
ELIGIBLE = 0b111
LEDGER_TEXT = f"eip155:{CHAIN_ID}:0x{LEDGER.hex()}"

TENSORS: list[dict[str, Any]] = [
    {"name": "w", "dtype": "F32", "shape": [2], "trainable": True},
    {"name": "steps", "dtype": "I64", "shape": [], "trainable": False},
]
BASE = (1.0, -2.0)
STEPS = struct.pack("<q", 7)
DELTAS = {0: (0.5, 0.25), 1: (0.1, -0.001)}
NUM_EXAMPLES = {0: 3, 1: 5}
SALTS = {member: bytes([member + 1]) * 32 for member in range(3)}
SEALED_COMMITMENT = sha256(b"what member 2 never revealed")


def canonical(document: dict[str, Any]) -> bytes:
    """RFC 8785 for documents of ASCII names and small integers."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def binary32(value: float) -> float:
    """Round a binary64 to the nearest binary32."""
    (rounded,) = struct.unpack("<f", struct.pack("<f", value))
    return float(rounded)


def tensor_file(tensors: list[dict[str, Any]], metadata: dict[str, str], data: bytes) -> tuple[bytes, bytes]:
    """Return the header's JSON without its padding, and the whole file."""
    sizes = {"F32": 4, "I64": 8}
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for t in tensors:
        begin = end
        end += sizes[t["dtype"]] * (t["shape"][0] if t["shape"] else 1)
        header[t["name"]] = {"dtype": t["dtype"], "shape": t["shape"], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    room = max(0, 1024 - len(json.dumps(header["__metadata__"], separators=(",", ":"))))
    total = -(-(8 + len(text) + room) // 4096) * 4096
    return text, struct.pack("<Q", total - 8) + text.ljust(total - 8) + data


def floats(*values: float) -> bytes:
    """Little-endian binary32."""
    return struct.pack(f"<{len(values)}f", *values)


def aggregate(element: int) -> float:
    """FedAvg of one element, operation by operation."""
    acc = 0.0
    for member in (0, 1):
        acc = acc + binary32(DELTAS[member][element]) * NUM_EXAMPLES[member]
    return binary32(binary32(BASE[element]) + acc / sum(NUM_EXAMPLES.values()))


def link(accumulator: bytes, kind: int, actor: int | bytes, value: bytes) -> bytes:
    """Take one step into an accumulator."""
    return keccak256(words(accumulator, kind, actor, value))


@dataclass
class Example:
    """Everything in it, by the names of the page.

    Attributes:
        values: texts and digests, in the order in which they follow from each other.
        files: the files of bytes, by name.
    """

    values: dict[str, str]
    files: dict[str, bytes]

    def text(self) -> str:
        """Return the example as it stands in the page."""
        return "\n".join(f"{name}\n    {value}" for name, value in self.values.items())


def _plan(genesis: bytes, length: int) -> bytes:
    return canonical(
        {
            "type": "fedledger/plan/1",
            "title": "Two numbers",
            "task": {"kind": "example"},
            "model": {"digest": genesis.hex(), "length": length, "tensors": TENSORS},
            "strategy": {"name": "fedavg", "parameters": {}},
            "limits": {"max_bytes": 8192, "max_abs": 10, "max_num_examples": 1000},
            "metrics": {"names": ["auc"], "min_cell": 5},
            "privacy": {"encryption": "none"},
            "rounds": 1,
        }
    )


def _terms(plan: bytes) -> bytes:
    numbers = (QUORUM, MIN_REVEALS, COMMIT, REVEAL, PROPOSE, GRACE, MAX_ROUNDS)
    # Nine arguments; the last is an array, so its place holds an offset, and length and items follow.
    return keccak256(words(plan, *numbers, 9 * 32, 1, AGGREGATOR))


def _update(member: int, base_model: bytes) -> tuple[bytes, bytes]:
    metadata = {
        "format": "fedledger/update/1",
        "ledger": LEDGER_TEXT,
        "run": str(RUN),
        "round": str(ROUND),
        "member": str(member),
        "base_model": base_model.hex(),
        "num_examples": str(NUM_EXAMPLES[member]),
    }
    return tensor_file(TENSORS[:1], metadata, floats(*DELTAS[member]))


def build() -> Example:
    """Work the example out."""
    v: dict[str, str] = {}
    files: dict[str, bytes] = {}

    def keep(name: str, data: bytes) -> bytes:
        files[name] = data
        digest, cid = cid_of(data)
        v[f"{name}: length, digest, CID"] = f"{len(data)} {digest.hex()} {cid}"
        return digest

    keep("1,048,577 zero bytes", bytes(1_048_577))
    v["ledger"] = LEDGER_TEXT

    header, data = tensor_file(TENSORS, {"format": "fedledger/model/1"}, floats(*BASE) + STEPS)
    v["genesis model: header before padding"] = header.decode()
    v["genesis model: data"] = data[4096:].hex()
    base = keep("genesis model", data)

    plan = _plan(base, len(data))
    v["plan"] = plan.decode()
    plan_digest = keep("plan", plan)
    terms = _terms(plan_digest)
    v["terms"] = terms.hex()

    consortium = keccak256(words(CHAIN_ID, CONSORTIUM, ZERO, 0))
    v["consortium seed"] = consortium.hex()
    admitted = keccak256(words(0, ACCOUNT, ZERO, ZERO, 1))
    consortium = link(consortium, 1, DEPLOYER, admitted)
    v["after MemberAdmitted(0, account, zero, zero, 1)"] = consortium.hex()
    head = keccak256(words(CHAIN_ID, LEDGER, RUN, terms, consortium))
    v["first head"] = head.hex()
    opened = (terms, head, ZERO, EPOCH, consortium, ZERO, ELIGIBLE)
    accumulator = keccak256(words(CHAIN_ID, LEDGER, RUN, ROUND, *opened))
    v["round seed"] = accumulator.hex()

    leaves, commitments = {}, {2: SEALED_COMMITMENT}
    for member in (0, 1):
        header, data = _update(member, base)
        v[f"update {member}: header before padding"] = header.decode()
        v[f"update {member}: data"] = data[4096:].hex()
        digest = keep(f"update {member}", data)
        place = (CHAIN_ID, LEDGER, RUN, ROUND, member)
        leaves[member] = keccak256(words(*place, digest, digest, len(data), NUM_EXAMPLES[member]))
        commitments[member] = keccak256(words(leaves[member], SALTS[member]))
        v[f"leaf {member}"] = leaves[member].hex()
        v[f"commitment {member}"] = commitments[member].hex()
    v["commitment 2"] = SEALED_COMMITMENT.hex()
    for member in range(3):
        accumulator = link(accumulator, 1, member, commitments[member])
    v["accumulator after commits of 0, 1, 2"] = accumulator.hex()
    for member in (0, 1):
        accumulator = link(accumulator, 2, member, leaves[member])
    v["accumulator after reveals of 0, 1 (sealed)"] = accumulator.hex()

    aggregated = floats(aggregate(0), aggregate(1))
    _, data = tensor_file(TENSORS, {"format": "fedledger/model/1"}, aggregated + STEPS)
    v["new model: data"] = data[4096:].hex()
    model = keep("new model", data)
    verdicts: list[dict[str, Any]] = [
        {
            "member": m,
            "outcome": "accepted",
            "leaf": leaves[m].hex(),
            "num_examples": str(NUM_EXAMPLES[m]),
            "weight": NUM_EXAMPLES[m],
        }
        for m in (0, 1)
    ]
    verdicts.append({"member": 2, "outcome": "not-revealed", "commitment": SEALED_COMMITMENT.hex()})
    result = canonical(
        {
            "type": "fedledger/result/1",
            "ledger": LEDGER_TEXT,
            "run": str(RUN),
            "round": ROUND,
            "terms": terms.hex(),
            "plan": plan_digest.hex(),
            "epoch": EPOCH,
            "parent_head": head.hex(),
            "accumulator": accumulator.hex(),
            "base_result": ZERO.hex(),
            "base": {"digest": base.hex(), "length": len(files["genesis model"])},
            "model": {"digest": model.hex(), "length": len(data)},
            "void": False,
            "verdicts": verdicts,
            "verdicts_root": tree_hash([canonical(verdict) for verdict in verdicts]).hex(),
        }
    )
    v["result"] = result.decode()
    result_digest = keep("result", result)

    accumulator = link(accumulator, 3, AGGREGATOR, result_digest)
    value = keccak256(words(result_digest, ZERO, ZERO))
    v["attestation value, no report"] = value.hex()
    for member in (0, 1):
        accumulator = link(accumulator, 4, member, value)
    v["accumulator after the proposal and attestations of 0, 1"] = accumulator.hex()
    v["next head"] = keccak256(words(head, RUN, ROUND, 2, accumulator, result_digest)).hex()
    return Example(v, files)
