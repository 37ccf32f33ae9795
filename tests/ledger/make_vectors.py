"""Writes the vector files beside this script: ``python -m tests.ledger.make_vectors``.

They come from ``naive`` alone, so the modules under test have no part in them. ``test_vectors`` makes them
again and compares. Each file says in ``about`` how its cases are to be read.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.ledger import naive

FOLDER = Path(__file__).parent / "vectors"

SIZES = (0, 1, 2, 255, 4096, naive.CHUNK - 1, naive.CHUNK, naive.CHUNK + 1, 2 * naive.CHUNK, 5_000_001)
LEAVES = (
    (2, 1),
    (173, 7),
    (174, naive.CHUNK),
    (175, 1),
    (348, 9),
    (349, naive.CHUNK),
    (30_276, 5),
    (30_277, 6),
)


def payload(size: int) -> bytes:
    """Return the bytes of a case."""
    return hashlib.shake_256(b"fedledger").digest(size)


def leaf_digests(count: int) -> list[bytes]:
    """Return made-up digests of chunks."""
    return [naive.sha256(b"chunk %d" % i) for i in range(count)]


def cids() -> dict[str, Any]:
    """Digests and CIDs of payloads, and of payloads of which only the chunks' digests are given."""
    cases = [{"size": size, **_named(*naive.cid_of(payload(size)))} for size in SIZES]
    leaf_cases = []
    for count, last in LEAVES:
        lengths = [naive.CHUNK] * (count - 1) + [last]
        leaves = list(zip(leaf_digests(count), lengths, strict=True))
        leaf_cases.append({"leaves": count, "last": last, **_named(*naive.cid_of_leaves(leaves))})
    about = (
        "cases: the payload is the first `size` bytes of SHAKE256('fedledger'). leaf_cases: the payload has "
        "`leaves` chunks of 1 MiB, the last of `last` bytes, and the SHA-256 of chunk i is taken to be "
        "SHA-256('chunk i'), i in decimal. digest: the 32 bytes that the chain holds, in hex. cid: the IPFS "
        "address."
    )
    return {"about": about, "cases": cases, "leaf_cases": leaf_cases}


def _named(digest: bytes, cid: str) -> dict[str, str]:
    return {"digest": digest.hex(), "cid": cid}


def merkle() -> dict[str, Any]:
    """Trees with their proofs, and proofs that do not hold."""
    about = (
        "Trees of RFC 6962 over the entries 'entry 0' to 'entry n-1'. inclusion: proof that `leaf` (a leaf "
        "hash) is at `index` in the tree of `size` entries with `root`. consistency: proof that the tree of "
        "`size1` with `root1` is a prefix of that of `size2` with `root2`. Hashes in hex; `holds` says what "
        "a verifier answers; `case` names what was done to a proof that does not hold."
    )
    inclusion = [case for size in (1, 2, 3, 7) for case in _inclusions(size)]
    consistency = [case for size in (2, 3, 7) for case in _consistencies(size)]
    return {"about": about, "inclusion": inclusion, "consistency": consistency}


def _entries(size: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(size)]


def _inclusions(size: int) -> list[dict[str, Any]]:
    entries, cases = _entries(size), []
    for index in range(size):
        good = {
            "index": index,
            "size": size,
            "leaf": naive.sha256(b"\x00" + entries[index]).hex(),
            "root": naive.tree_hash(entries).hex(),
            "proof": [h.hex() for h in naive.audit_path(index, entries)],
        }
        cases.append({"case": "as made", **good, "holds": True})
        for case, change in _damages(good["proof"], good["root"]).items():
            cases.append({"case": case, **good, **change, "holds": False})
        cases.append({"case": "index past the end", **good, "index": size, "holds": False})
        cases.append({"case": "another leaf", **good, "leaf": naive.sha256(b"other").hex(), "holds": False})
    return cases


def _consistencies(size2: int) -> list[dict[str, Any]]:
    entries, cases = _entries(size2), []
    for size1 in range(1, size2 + 1):
        good = {
            "size1": size1,
            "size2": size2,
            "root1": naive.tree_hash(entries[:size1]).hex(),
            "root2": naive.tree_hash(entries).hex(),
            "proof": [h.hex() for h in naive.consistency(size1, entries)],
        }
        cases.append({"case": "as made", **good, "holds": True})
        for case, change in _damages(good["proof"], good["root2"]).items():
            renamed = {"root2" if name == "root" else name: value for name, value in change.items()}
            cases.append({"case": case, **good, **renamed, "holds": False})
        cases.append({"case": "a prefix longer than the whole", **good, "size1": size2 + 1, "holds": False})
        cases.append({"case": "from the empty tree", **good, "size1": 0, "holds": False})
    return cases


def _damages(proof: list[str], root: str) -> dict[str, dict[str, Any]]:
    stranger = naive.sha256(b"stranger").hex()
    damages: dict[str, dict[str, Any]] = {
        "another root": {"root": stranger},
        "a hash too many": {"proof": [*proof, stranger]},
        "the root behind the proof": {"proof": [*proof, root]},
    }
    if proof:
        damages["a hash too few"] = {"proof": proof[:-1]}
        damages["another first hash"] = {"proof": [stranger, *proof[1:]]}
        damages["a hash of 31 bytes"] = {"proof": [proof[0][:-2], *proof[1:]]}
    if len(set(proof)) > 1:
        damages["the other way round"] = {"proof": proof[::-1]}
    return damages


def commitments() -> dict[str, Any]:
    """Hashes that chain and software agree on, each from its arguments."""
    about = (
        "What the contracts hash, under the names of `ledger.commitments`: digest is keccak256 of the ABI "
        "encoding of the arguments in the order given; bytes and addresses in hex. The aggregators of terms "
        "are an array."
    )
    ledger = {"chain_id": 1337, "contract": bytes(range(20)).hex()}
    place = {**ledger, "run": 2, "round": 3}
    return {
        "about": about,
        "leaf": [
            _hashed({**place, "member": member, **_contribution(examples)})
            for member, examples in ((0, 1), (255, 2**64 - 1))
        ],
        "commitment": [_hashed({"leaf": _word("leaf"), "salt": _word("salt")})],
        "extend": [
            _hashed({"accumulator": _word("acc"), "kind": kind, "actor": actor, "value": _word("value")})
            for kind, actor in ((1, 0), (4, 255), (3, 2**160 - 1))
        ],
        "extend_late": [
            _hashed({"late": "00" * 32, "round": 3, "member": 5, "value": _word("value")}),
        ],
        "attestation_value": [
            _hashed({"result": _word("result"), "report": _word("report"), "previous": "00" * 32}),
        ],
        "consortium_genesis": [
            _hashed({**ledger, "predecessor": _word("before"), "approval_percent": 67}),
        ],
        "first_head": [
            _hashed({**ledger, "run": 2, "terms": _word("terms"), "consortium_accumulator": _word("acc")}),
        ],
        "final_head": [
            _hashed(
                {
                    "head": _word("head"),
                    "run": 2,
                    "round": 3,
                    "status": status,
                    "accumulator": _word("acc"),
                    "result": result,
                }
            )
            for status, result in ((2, _word("result")), (3, "00" * 32))
        ],
        "round_seed": [
            _hashed(
                {
                    **place,
                    "terms": _word("terms"),
                    "parent_head": _word("head"),
                    "base": "00" * 32,
                    "epoch": 4,
                    "consortium_accumulator": _word("acc"),
                    "late_accumulator": _word("late"),
                    "eligible": 2**255 + 5,
                }
            )
        ],
        "terms_digest": [_terms(aggregators) for aggregators in (1, 16)],
    }


def _word(text: str) -> str:
    return naive.sha256(text.encode()).hex()


def _contribution(num_examples: int) -> dict[str, Any]:
    named = {"payload": _word("payload"), "update": _word("update"), "byte_length": 2**64 - 1}
    return {**named, "num_examples": num_examples}


def _value(value: int | str) -> int | bytes:
    return value if isinstance(value, int) else bytes.fromhex(value)


def _hashed(arguments: dict[str, Any]) -> dict[str, Any]:
    encoded = naive.words(*(_value(value) for value in arguments.values()))
    return {**arguments, "digest": naive.keccak256(encoded).hex()}


def _terms(count: int) -> dict[str, Any]:
    fields = {
        "plan": _word("plan"),
        "quorum": 3,
        "min_reveals": 2,
        "commit_duration": 60,
        "reveal_duration": 50,
        "propose_duration": 2**32 - 1,
        "grace": 0,
        "max_rounds": 9,
    }
    aggregators = [naive.sha256(b"%d" % i)[:20] for i in range(count)]
    # The array is dynamic: in its place stands where it begins, behind the nine words of the fields.
    head = naive.words(*(_value(value) for value in fields.values()), 9 * 32)
    digest = naive.keccak256(head + naive.words(count, *aggregators))
    return {**fields, "aggregators": [a.hex() for a in aggregators], "digest": digest.hex()}


VECTORS = {"cid.json": cids, "commitments.json": commitments, "merkle.json": merkle}


def text(name: str) -> str:
    """Return the text of a vector file, one case a line."""
    parts = []
    for key, value in VECTORS[name]().items():
        shown = json.dumps(value)
        if isinstance(value, list):
            shown = "[\n  " + ",\n  ".join(json.dumps(case) for case in value) + "\n ]"
        parts.append(f" {json.dumps(key)}: {shown}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    for file in VECTORS:
        (FOLDER / file).write_text(text(file), encoding="utf-8")
