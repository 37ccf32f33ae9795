"""Statements name digests as in-toto knows them, and are made of nothing that does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from audit.bundles.policy import Policy
from audit.bundles.statement import pre_authentication, statement
from audit.bundles.verification import Verification, verify
from ledger.cid import CHUNK_BYTES, PayloadRef
from ledger.errors import UsageError
from tests.audit.bundles.case import CASES

if TYPE_CHECKING:
    from pathlib import Path


def _verified(made: Path, name: str) -> Verification:
    return verify(made / f"{name}.bundle", Policy.read(made / f"{CASES[name].policy}.policy.json"))


def test_a_small_model_is_named_by_its_sha256(made: Path) -> None:
    outcome = _verified(made, "holds-payloads")
    assert outcome.result is not None
    model, result = statement(outcome)["subject"]
    assert model == {"name": "model", "digest": {"sha256": outcome.result.model.digest.hex()}}
    assert outcome.model_sha256 == outcome.result.model.digest
    assert result == {"name": "result", "digest": {"sha256": outcome.digest.hex()}}


@pytest.mark.parametrize("known", [True, False])
def test_a_long_model_is_named_by_its_tree_and_its_sha256_where_it_is_known(
    made: Path, *, known: bool
) -> None:
    outcome = _verified(made, "holds-payloads")
    assert outcome.result is not None
    outcome.result = replace(outcome.result, model=PayloadRef(bytes(32), CHUNK_BYTES + 1))
    outcome.model_sha256 = b"\1" * 32 if known else b""
    digest = statement(outcome)["subject"][0]["digest"]
    assert digest == ({"sha256": "01" * 32} if known else {}) | {"unixfsSha256": "00" * 32}


def test_what_was_not_proven_is_in_the_statement(made: Path) -> None:
    predicate = statement(_verified(made, "holds-bare"))["predicate"]
    assert predicate["trust"] == ["members"]
    assert predicate["block"] is None
    assert predicate["recomputed"] is False
    assert any("what they store" in line for line in predicate["unproven"])


@pytest.mark.parametrize("name", ["trailing-byte", "holds-aborted"])
def test_only_a_certified_round_that_holds_gets_one(made: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected the bundle of a certified round, which holds"):
        statement(_verified(made, name))


def test_what_is_signed_is_the_pre_authentication_encoding_of_dsse() -> None:
    """The example of the DSSE protocol, with this payload type."""
    assert pre_authentication(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
