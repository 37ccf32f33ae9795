"""Bundles from chains of each kind, and what an export refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from audit.bundles import rlp
from audit.bundles.export import export_bundle, make_policy
from audit.bundles.headers import Header
from audit.bundles.verification import verify
from contracts.client import Deployment
from contracts.endpoints import connect
from ledger import canonical
from ledger.checks import Check
from ledger.errors import ChainError, FedledgerError, PayloadMissing, UsageError, VerificationError
from storage import Archive
from tests.audit.bundles.played import Parts, begun, played, with_fields
from tests.chains import RICH, anvil, devnet, endpoint, forward, rpc
from tests.federation import address, key

if TYPE_CHECKING:
    from pathlib import Path

    from ledger.cid import PayloadRef
    from tests.audit.bundles.played import Played
    from tests.chains import Reply

TRUST = ("block", "members")


def _exported(made: Played, out: Path, round_: int = 1, **options: Any) -> Any:
    f = made.federation
    return export_bundle(f.chain, f.deployment, Archive(made.store.root), 1, round_, out, **options)


@pytest.mark.parametrize("kind", [devnet, anvil], ids=["devnet", "anvil"])
def test_a_bundle_is_made_over_json_rpc(kind: Any, tmp_path: Path) -> None:
    """`eth_getProof`, headers and transactions put together again, as any node gives them."""
    with kind() as url:
        made = begun(tmp_path, connect([url]), RICH)
        made.play(1)
        exported = _exported(made, tmp_path / "a.bundle", with_payloads=True)
        policy = make_policy(made.federation.chain, made.federation.deployment, TRUST, block=_block(exported))
    assert exported.notes == ()
    outcome = verify(tmp_path / "a.bundle", policy)
    assert outcome.failed is None
    assert outcome.recomputed
    assert len(exported.bundle.transactions) == 12


def _block(exported: Any) -> int:
    return int(exported.bundle.snapshot.number)


def test_devnet_spells_proofs_as_anvil_does(tmp_path: Path) -> None:
    names = []
    for kind in (devnet, anvil):
        with kind() as url:
            made = begun(tmp_path / kind.__name__, connect([url]), RICH)
            place = "0x" + made.federation.deployment.consortium.hex()
            words = ["0x" + slot.to_bytes(32, "big").hex() for slot in (0, 5)]
            answer = rpc(url, "eth_getProof", place, words, "latest")
            names.append((sorted(answer), [sorted(each) for each in answer["storageProof"]]))
            assert [int(each["key"], 16) for each in answer["storageProof"]] == [0, 5]
            assert int(answer["storageProof"][1]["value"], 16) == 0
            assert all(node.startswith("0x") for node in answer["accountProof"])
            nobody = rpc(url, "eth_getProof", "0x" + "77" * 20, [], "latest")
            assert int(nobody["nonce"], 16) == int(nobody["balance"], 16) == 0
    assert names[0] == names[1]


def test_a_chain_that_gives_no_proofs_gives_a_bundle_of_signatures(tmp_path: Path) -> None:
    with devnet() as url:

        def without_proofs(request: dict[str, Any]) -> Reply:
            if request["method"] == "eth_getProof":
                refusal = {"code": -32601, "message": "the method does not exist"}
                return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "error": refusal}).encode()
            return forward(url, request)

        made = begun(tmp_path, connect([url]), RICH)
        made.play(1)
        with endpoint(without_proofs) as (proxy, _):
            made.federation.chain = connect([proxy])  # type: ignore[assignment]
            exported = _exported(made, tmp_path / "a.bundle")
            policy = make_policy(made.federation.chain, made.federation.deployment, ["members"])
    assert exported.bundle.snapshot is None
    assert "no proofs of the chain's state" in exported.notes[0]
    outcome = verify(tmp_path / "a.bundle", policy)
    assert outcome.holds
    assert any("the code of the contracts" in line for line in outcome.unproven)


@pytest.mark.parametrize("lie", ["accountProof", "storageProof"])
def test_an_endpoint_that_lies_makes_no_bundle_that_holds(lie: str, tmp_path: Path) -> None:
    with devnet() as url:

        def lying(request: dict[str, Any]) -> Reply:
            status, body = forward(url, request)
            if request["method"] != "eth_getProof":
                return status, body
            answer = json.loads(body)
            answer["result"][lie] = answer["result"][lie][1:]
            return status, json.dumps(answer).encode()

        made = begun(tmp_path, connect([url]), RICH)
        made.play(1)
        with endpoint(lying) as (proxy, _):
            made.federation.chain = connect([proxy])  # type: ignore[assignment]
            exported = _exported(made, tmp_path / "a.bundle")
    assert exported.bundle.snapshot is None
    assert "prove nothing" in exported.notes[0]


def test_of_an_earlier_block_the_chain_in_this_process_gives_proofs_too(tmp_path: Path) -> None:
    made = played()
    exported = _exported(made, tmp_path / "a.bundle", block=made.early)
    assert exported.bundle.lineage == ()
    f = made.federation
    assert verify(tmp_path / "a.bundle", make_policy(f.chain, f.deployment, TRUST, block=made.early)).holds
    later = verify(tmp_path / "a.bundle", make_policy(f.chain, f.deployment, TRUST))
    assert later.failed is not None
    assert later.failed.check is Check.TRUSTED_BLOCK


@pytest.mark.parametrize(
    ("run", "round_", "block", "message"),
    [
        (9, 1, None, "number of the run: expected 1 to 2, got 9"),
        (1, 9, None, "number of the round: expected 1 to 6, got 9"),
        (1, 6, "early", "number of the round: expected 1 to 1, got 6"),
        (1, 1, 10**9, "the block: expected"),
    ],
)
def test_what_is_not_there_cannot_be_exported(
    tmp_path: Path, run: int, round_: int, block: Any, message: str
) -> None:
    made = played()
    f, chosen = made.federation, made.early if block == "early" else block
    with pytest.raises(UsageError, match=message):
        export_bundle(
            f.chain, f.deployment, Archive(made.store.root), run, round_, tmp_path / "a", block=chosen
        )
    assert list(tmp_path.iterdir()) == []


def test_a_round_that_is_open_cannot_be_exported(tmp_path: Path) -> None:
    made = begun(tmp_path)
    made.federation.open()
    with pytest.raises(UsageError, match="round 1 has not ended by block"):
        _exported(made, tmp_path / "a.bundle")


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "a.bundle"
    out.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        _exported(played(), out)
    assert out.read_text() == "mine"


def test_a_payload_that_cannot_be_had_leaves_nothing_behind(tmp_path: Path) -> None:
    made = played()

    class Lost(Archive):
        def obtain(self, ref: PayloadRef) -> Path:
            raise PayloadMissing(f"payload {ref.cid} is not there")

    f = made.federation
    with pytest.raises(PayloadMissing):
        export_bundle(
            f.chain,
            f.deployment,
            Lost(made.store.root),
            1,
            1,
            tmp_path / "a.bundle",
            with_payloads=True,
        )
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_killed_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    """It stops in the middle of the file, as a full pipe would make it."""
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from storage.files import whole_file\n"
        "with whole_file(Path(sys.argv[1]), new=True) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); time.sleep(60)\n"
    )
    out = tmp_path / "a.bundle"
    with subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=20)
    assert not out.exists()


def test_a_policy_is_made_only_for_the_contracts_that_ship() -> None:
    f = played().federation
    swapped = Deployment(f.deployment.round_ledger, f.deployment.consortium)
    with pytest.raises(FedledgerError):
        make_policy(f.chain, swapped, ["members"])
    other = replace(f.deployment, round_ledger=address(key("nobody")))
    with pytest.raises(VerificationError, match="is not RoundLedger's"):
        make_policy(f.chain, other, ["members"])


def test_validators_are_trusted_only_where_headers_name_them() -> None:
    f = played().federation
    with pytest.raises(UsageError, match="whose headers name them"):
        make_policy(f.chain, f.deployment, ["validators"])


def test_validators_of_a_chain_come_from_its_newest_header(monkeypatch: pytest.MonkeyPatch) -> None:
    f = played().federation
    validators = [address(key(f"validator {n}")) for n in range(4)]
    extra = rlp.encode([bytes(32), list(validators), [], b"", []])
    header = with_fields(f.chain.header(f.chain.head().number), {12: extra})
    monkeypatch.setattr(f.chain, "header", lambda _number: header)
    assert make_policy(f.chain, f.deployment, ["validators"]).validators == frozenset(validators)


def test_a_header_that_a_node_tells_wrongly_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = played()
    header = made.federation.chain.header(made.federation.chain.head().number)
    changed = with_fields(header, {11: b"\1"})
    assert Header.parse(changed).hash != Header.parse(header).hash
    monkeypatch.setattr(made.federation.chain, "header", lambda _number: changed)
    exported = _exported(made, tmp_path / "a.bundle")
    assert exported.bundle.snapshot is None
    assert "put together again" in exported.notes[0]


def test_without_a_transaction_s_bytes_its_signature_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = played()

    def refuse(_transaction: bytes) -> bytes:
        raise ChainError("not kept")

    monkeypatch.setattr(made.federation.chain, "signed", refuse)
    exported = _exported(made, tmp_path / "a.bundle")
    assert exported.bundle.transactions == ()
    assert exported.notes == (
        "12 steps of the round came in transactions that show no signature of their own",
    )


def test_nodes_that_the_chain_gave_and_no_verifier_needs_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = played()
    chain, needless = made.federation.chain, rlp.encode([b"\x20" + bytes(32), bytes(32)])
    given = chain.proof
    monkeypatch.setattr(chain, "proof", lambda *asked: [needless, *given(*asked)])
    _exported(made, tmp_path / "a.bundle")
    snapshot = Parts.of(tmp_path / "a.bundle").bundle.snapshot
    assert snapshot is not None
    assert needless not in snapshot.nodes


def test_where_the_first_line_would_be_too_long_attestations_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = played()
    whole = len(_exported(made, tmp_path / "whole.bundle").bundle.encode())
    monkeypatch.setattr(canonical, "MAX_DOCUMENT_BYTES", whole - 1)
    exported = _exported(made, tmp_path / "a.bundle")
    assert len(exported.bundle.transactions) == 3
    assert "only attestations" in exported.notes[0]
    f = made.federation
    assert verify(tmp_path / "a.bundle", make_policy(f.chain, f.deployment, ["members"])).holds
