"""`fedledger bundle` and `fedledger verify`, as an auditor types them."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import coincurve
import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from aggregator.config import ChainConfig
from audit.bundles.statement import PAYLOAD_TYPE, PREDICATE_TYPE
from contracts.endpoints import connect
from contracts.keys import new_keystore
from ledger.cid import digest_of
from tests.audit.bundles.played import begun
from tests.audit.saved import demo_under
from tests.chains import RICH, devnet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Outcome

    Run = Callable[..., Outcome]

NOT_NEEDED = {
    "web3",
    "eth_tester",
    "eth",
    "eth_account",
    "torch",
    "requests",
    "urllib3",
    "aiohttp",
    "ipfshttpclient",
    "sqlalchemy",
    "fastapi",
    "pandas",
    "sklearn",
}


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_under(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def files(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with payloads, one without, and a policy of each kind, made by the command."""
    folder = tmp_path_factory.mktemp("bundles")
    for arguments in (
        ["export", "--round", "2", "--payloads", "--out", str(folder / "whole.bundle")],
        ["export", "--round", "1", "--out", str(folder / "small.bundle")],
        ["policy", "--trust", "block", "--trust", "members", "--out", str(folder / "policy.json")],
        ["policy", "--trust", "members", "--quorum", "3", "--out", str(folder / "three.json")],
        ["policy", "--trust", "block", "--earliest", "100000", "--out", str(folder / "late.json")],
    ):
        command = [sys.executable, "-m", "cli.main", "bundle", *arguments, "--demo", str(saved)]
        subprocess.run(command, check=True, timeout=120)
    return folder


def test_a_bundle_is_exported_and_verified(run: Run, files: Path) -> None:
    outcome = run("verify", files / "whole.bundle", "--policy", files / "policy.json")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "holds: check 60 (bundle form): the file is a bundle, whole and with nothing added"
    assert any(line.startswith("holds: check 57 (result model): ") for line in lines)
    assert any(line.startswith("not proven: that the data were honest") for line in lines)
    assert any(line.startswith("bundle: holds; ") and "block, members" in line for line in lines)


def test_without_payloads_it_says_that_the_model_was_not_recomputed(run: Run, files: Path) -> None:
    outcome = run("verify", files / "small.bundle", "--policy", files / "policy.json", "--format", "json")
    document = json.loads(outcome.out)
    assert outcome.code == 0
    assert document["holds"] is True
    assert document["recomputed"] is False
    assert "that the model follows from the updates: the bundle does not hold them" in document["unproven"]
    assert [check["holds"] for check in document["checks"]] == [True] * len(document["checks"])


def test_a_bundle_that_does_not_hold_ends_with_1_and_says_why(run: Run, files: Path, tmp_path: Path) -> None:
    data = (files / "whole.bundle").read_bytes()
    (tmp_path / "longer.bundle").write_bytes(data + b"\0")
    outcome = run("verify", tmp_path / "longer.bundle", "--policy", files / "policy.json")
    assert (outcome.code, outcome.err) == (1, "")
    (finding, verdict) = outcome.out.splitlines()
    expected = f"expected {len(data)} bytes, which the payloads listed add up to, got {len(data) + 1}"
    assert finding == f"does not hold: check 60 (bundle form): length of the file: {expected}"
    assert verdict == "bundle: DOES NOT HOLD; 1 checks; on the word of: block, members"
    told = run("verify", tmp_path / "longer.bundle", "--policy", files / "policy.json", "--format", "json")
    assert (told.code, json.loads(told.out)["holds"]) == (1, False)


def test_a_policy_may_demand_more_than_the_chain(run: Run, files: Path) -> None:
    outcome = run("verify", files / "small.bundle", "--policy", files / "three.json")
    assert outcome.code == 1
    assert "does not hold: check 72 (policy quorum): members behind the result" in outcome.out


def test_a_policy_may_refuse_what_is_old(run: Run, files: Path) -> None:
    outcome = run("verify", files / "small.bundle", "--policy", files / "late.json")
    assert outcome.code == 1
    assert "does not hold: check 66 (block age)" in outcome.out


@pytest.mark.parametrize("missing", ["bundle", "policy"])
def test_a_file_that_is_not_there_is_a_mistake_of_usage(
    run: Run, files: Path, tmp_path: Path, missing: str
) -> None:
    bundle = tmp_path / "none" if missing == "bundle" else files / "small.bundle"
    policy = tmp_path / "none" if missing == "policy" else files / "policy.json"
    outcome = run("verify", bundle, "--policy", policy)
    assert outcome.code == 2
    assert "none" in outcome.complaint


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--rpc", "http://127.0.0.1:1"],
        ["--demo", "x", "--network", "y"],
        ["--network", "x", "--rpc", "http://127.0.0.1:1", "--ledger", "0x" + "00" * 20],
    ],
)
def test_exactly_one_ledger_is_to_be_named(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    outcome = run("bundle", "export", "--round", "1", "--out", tmp_path / "a", *arguments)
    assert outcome.code == 2
    assert "where the ledger is: expected --demo, or --network, or --rpc with --ledger" in outcome.complaint


def test_payloads_come_from_the_demo_or_a_store(run: Run, saved: Path, tmp_path: Path) -> None:
    outcome = run(
        "bundle", "export", "--demo", saved, "--store", tmp_path, "--round", "1", "--out", tmp_path / "a"
    )
    assert outcome.code == 2
    assert "where the payloads are: expected --store, or --demo alone, got both" in outcome.complaint


def test_nothing_is_overwritten(run: Run, saved: Path, files: Path) -> None:
    before = (files / "small.bundle").read_bytes(), (files / "policy.json").read_bytes()
    export = run("bundle", "export", "--demo", saved, "--round", "2", "--out", files / "small.bundle")
    policy = run("bundle", "policy", "--demo", saved, "--trust", "members", "--out", files / "policy.json")
    assert (export.code, policy.code) == (2, 2)
    assert "is there already" in export.complaint
    assert "is there already" in policy.complaint
    assert ((files / "small.bundle").read_bytes(), (files / "policy.json").read_bytes()) == before


@pytest.mark.parametrize("bundle", ["small.bundle", "whole.bundle"])
def test_verifying_loads_no_chain_no_network_and_no_training(files: Path, bundle: str) -> None:
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    print('code', ended.code)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    command = [
        sys.executable,
        "-c",
        code,
        "verify",
        str(files / bundle),
        "--policy",
        str(files / "policy.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    *_, ended, modules = done.stdout.splitlines()
    assert ended == "code 0"
    loaded = set(modules.split())
    assert loaded & NOT_NEEDED == set()
    assert ("numpy" in loaded) is (bundle == "whole.bundle")


def test_verifying_opens_no_socket(files: Path) -> None:
    """In a process that may not."""
    code = (
        "import sys\n"
        "def refuse(event, _arguments):\n"
        "    if event.startswith('socket.'):\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "from cli.main import main\n"
        "main()\n"
    )
    whole, policy = str(files / "whole.bundle"), str(files / "policy.json")
    command = [sys.executable, "-c", code, "verify", whole, "--policy", policy]
    assert subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDLEDGER_PASSPHRASE", "correct horse")
    new_keystore(tmp_path / "auditor.json", "correct horse", scrypt_n=2)
    return tmp_path / "auditor.json"


def test_a_statement_is_signed_over_what_was_verified(
    run: Run, files: Path, tmp_path: Path, key: Path
) -> None:
    out = tmp_path / "statement.json"
    outcome = run(
        "bundle",
        "statement",
        files / "whole.bundle",
        "--policy",
        files / "policy.json",
        "--key",
        key,
        "--out",
        out,
    )
    assert outcome.code == 0, outcome.err
    envelope = json.loads(out.read_text())
    assert envelope["payloadType"] == PAYLOAD_TYPE
    payload = base64.b64decode(envelope["payload"])
    statement = json.loads(payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    verified = json.loads(
        run("verify", files / "whole.bundle", "--policy", files / "policy.json", "--format", "json").out
    )
    digests = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert digests == {"model": verified["model"], "result": verified["result"]}
    assert statement["predicate"]["recomputed"] is True
    assert statement["predicate"]["head"] == verified["head"]
    (signature,) = envelope["signatures"]
    _require_signed(payload, base64.b64decode(signature["sig"]), signature["keyid"], key)


def _require_signed(payload: bytes, signature: bytes, keyid: str, key: Path) -> None:
    """As DSSE says, by hand: the pre-authentication encoding, SHA-256, ECDSA in DER."""
    secret = Account.decrypt(json.loads(key.read_text()), "correct horse")
    public = coincurve.PrivateKey(bytes(secret)).public_key
    assert keyid == Account.from_key(secret).address
    assert keyid[2:].lower() == keccak(public.format(compressed=False)[1:])[12:].hex()
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    assert public.verify(signature, signed)
    assert not public.verify(signature, signed + b" ")


def test_no_statement_is_made_of_what_does_not_hold(run: Run, files: Path, tmp_path: Path, key: Path) -> None:
    out = tmp_path / "statement.json"
    outcome = run(
        "bundle",
        "statement",
        files / "small.bundle",
        "--policy",
        files / "three.json",
        "--key",
        key,
        "--out",
        out,
    )
    assert outcome.code == 1
    assert "check 72 (policy quorum)" in outcome.complaint
    assert not out.exists()


def test_the_model_in_a_bundle_is_the_demo_s(files: Path, saved: Path) -> None:
    data = (files / "whole.bundle").read_bytes()
    document = json.loads(data.partition(b"\n")[0])
    model = (saved / "model.safetensors").read_bytes()
    listed = {payload["role"]: payload["digest"] for payload in document["payloads"]}
    assert listed["model"] == digest_of(model).hex()
    assert model in data


@pytest.mark.parametrize("by", ["rpc", "network"])
def test_a_living_ledger_is_named_by_its_endpoint_or_its_network_file(
    run: Run, tmp_path: Path, by: str
) -> None:
    with devnet() as url:
        made = begun(tmp_path / "made", connect([url]), RICH)
        made.play(1)
        place = made.federation.deployment
        network = tmp_path / "consortium.toml"
        network.write_text(ChainConfig.of((url,), made.federation.chain.chain_id, place, 0).toml())
        ledger = ["--rpc", url, "--ledger", "0x" + place.round_ledger.hex()]
        source = ledger if by == "rpc" else ["--network", network]
        bundle, policy = tmp_path / "a.bundle", tmp_path / "policy.json"
        store = ["--store", made.store.root]
        exported = run(
            "bundle", "export", *source, *store, "--round", "1", "--out", bundle, "--format", "json"
        )
        assert exported.code == 0, exported.err
        block = str(json.loads(exported.out)["block"])
        assert (
            run("bundle", "policy", *source, "--trust", "block", "--block", block, "--out", policy).code == 0
        )
    verified = run("verify", bundle, "--policy", policy)
    assert verified.code == 0, verified.out
