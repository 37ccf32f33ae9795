"""A verified round as an in-toto Statement in a DSSE envelope, for tools that hold such for software.

Sources: in-toto attestation framework, Statement v1; DSSE v1, which allows no envelope without a signature.
So whoever verified signs: with a secp256k1 key, over SHA-256 of the pre-authentication encoding, in DER.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import coincurve

from ledger.cid import CHUNK_BYTES
from ledger.errors import UsageError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from audit.bundles.verification import Verification
    from ledger.cid import PayloadRef

__all__ = ["PAYLOAD_TYPE", "PREDICATE_TYPE", "envelope", "pre_authentication", "statement"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:fedledger:certified-round:1"
_STATEMENT = "https://in-toto.io/Statement/v1"


def statement(verification: Verification) -> dict[str, Any]:
    """Return the Statement of a certified round: model and result document, and what was verified.

    Raises:
        UsageError: the bundle does not hold, or the round has no result.
    """
    result = verification.result
    if not verification.holds or result is None:
        got = "one that does not hold" if not verification.holds else "an aborted round"
        raise UsageError("a statement", expected="the bundle of a certified round, which holds", got=got)
    known = verification.document()
    predicate = {
        name: known[name]
        for name in (
            "ledger",
            "run",
            "round",
            "block",
            "head",
            "behind",
            "void",
            "recomputed",
            "trust",
            "verdicts",
            "unproven",
        )
    }
    predicate |= {"plan": result.plan.hex(), "terms": result.terms.hex(), "model": result.model.digest.hex()}
    model = {"name": "model", "digest": _digests(result.model, verification.model_sha256)}
    document = {"name": "result", "digest": {"sha256": verification.digest.hex()}}
    return {
        "_type": _STATEMENT,
        "subject": [model, document],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def _digests(model: PayloadRef, sha256: bytes) -> dict[str, str]:
    """A payload of one chunk has its SHA-256 for a digest; a longer one its tree's, and its own if known."""
    if model.length <= CHUNK_BYTES:
        return {"sha256": model.digest.hex()}
    own = {"sha256": sha256.hex()} if sha256 else {}
    return {**own, "unixfsSha256": model.digest.hex()}


def pre_authentication(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs for a payload (its PAE)."""
    kind = PAYLOAD_TYPE.encode()
    return b" ".join((b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(payload), payload))


def envelope(statement_: dict[str, Any], signer: LocalAccount) -> dict[str, Any]:
    """Return the signed envelope of a Statement; ``keyid`` is the signer's address."""
    payload = json.dumps(statement_, sort_keys=True, separators=(",", ":")).encode()
    signature = coincurve.PrivateKey(bytes(signer.key)).sign(pre_authentication(payload))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [
            {"keyid": str(signer.address), "sig": base64.b64encode(signature).decode("ascii")},
        ],
    }
