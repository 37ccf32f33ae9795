"""`docs/reference/formats.md` has the code's fields, and its worked example is what the code gives."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aggregator.rounds import RoundInputs, recompute
from audit.demo import CHAIN_FILE, INVENTORY_FILE, MODEL_FILE, PAYLOADS, Inventory
from contracts.local import LocalChain
from ledger import records
from ledger.checks import Check
from ledger.cid import PayloadRef
from ledger.commitments import RoundKind, attestation_value, commitment, extend
from ledger.documents import MAX_WEIGHT, Outcome, Plan, Report, Result, Verdict
from ledger.errors import VerificationError
from ledger.replay import MAX_PROPOSALS, Replay
from ledger.tensors import DTYPE_BYTES, MODEL_METADATA, UpdateBinding, encode_header, header_limit
from node.tabular import Architecture, Column, Holdout, TabularSchema
from node.training import TrainingSettings
from tests.docs import worked_example as example
from tests.docs.conftest import SavedDemo, run
from tests.docs.pages import BY_NAME, codes, rows, section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PAGE = BY_NAME["docs/reference/formats.md"]
BUILT = example.build()


def fields_of(heading: str, page: Path = PAGE) -> set[str]:
    """Names in the first column of a section's tables of fields."""
    return {code for row in rows(section(page, heading)) for code in codes(row[0])}


def paths(
    value: Any, free: Iterable[str] = (), prefix: str = "", *, leaves_only: bool = False
) -> Iterator[str]:
    """Paths of all fields in a document: `a.b`, `a[].b`; what lies in `free` ones is not looked into."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, free, f"{prefix}[]", leaves_only=leaves_only)
    elif isinstance(value, dict):
        for name, inner in value.items():
            path = f"{prefix}.{name}" if prefix else name
            below = [] if path in free else list(paths(inner, free, path, leaves_only=leaves_only))
            if not below or not leaves_only:
                yield path
            yield from below


# -- fields -----------------------------------------------------------------------------------------------

PLAN = json.loads(BUILT.files["plan"])
VERDICTS = [
    Verdict(0, Outcome.ACCEPTED, bytes(32), 5, weight=5),
    Verdict(1, Outcome.REJECTED, bytes(32), 5, check=13),
    Verdict(2, Outcome.WITHHELD, bytes(32), 5),
    Verdict(3, Outcome.NOT_REVEALED, bytes(32)),
    Verdict(4, Outcome.ABSENT),
]


def test_fields_of_a_plan_are_those_of_the_page() -> None:
    plan = replace(Plan.parse(BUILT.files["plan"]), update_readers="members")
    whole = json.loads(plan.encode())
    assert fields_of("6. Plan") == set(paths(whole, free={"task", "strategy.parameters"}))


def test_fields_of_a_result_are_those_of_the_page() -> None:
    document = json.loads(BUILT.files["result"])
    document["verdicts"] = [verdict.document() for verdict in VERDICTS]
    outcomes = {str(verdict.outcome) for verdict in VERDICTS}
    assert fields_of("7. Result") == set(paths(document)) | outcomes


def test_fields_of_a_verdict_follow_from_its_outcome_as_the_page_says() -> None:
    stated = {
        codes(row[0])[0]: set(codes(row[1]))
        for row in rows(section(PAGE, "7. Result"))
        if "outcome" not in row[0]
    }
    for verdict in VERDICTS:
        assert stated[str(verdict.outcome)] == set(verdict.document()) - {"member", "outcome"}


def test_fields_of_a_report_are_those_of_the_page() -> None:
    report = Report("eip155:1:0x", 1, 1, 0, bytes(32), 9, {"auc": None}, bytes(32))
    assert fields_of("8. Report") == set(paths(json.loads(report.encode()), free={"metrics"}))


def test_fields_of_an_inventory_are_those_of_the_page() -> None:
    assert fields_of("`federation.json`") == set(paths(json.loads(Inventory(bytes(32)).encode())))


def test_metadata_of_tensor_files_are_those_of_the_page() -> None:
    binding = UpdateBinding(records.LedgerId(1, bytes(20)), 1, 1, 0, bytes(32), 1)
    assert fields_of("Update file") == set(binding.metadata())
    assert json.dumps(MODEL_METADATA) in section(PAGE, "Model file")


def test_dtypes_and_their_widths_are_those_of_the_page() -> None:
    table = rows(section(PAGE, "5. Tensor files").partition("### ")[0])
    stated = {codes(row[i])[0]: int(row[i + 1]) for row in table for i in (0, 2, 4) if codes(row[i])}
    assert stated == DTYPE_BYTES


def test_types_of_documents_are_those_of_the_code() -> None:
    named = set(re.findall(r"`(fedledger/[a-z]+/\d)`", PAGE.read_text(encoding="utf-8")))
    documents = [PLAN, json.loads(BUILT.files["result"]), json.loads(Inventory(bytes(32)).encode())]
    expected = {document["type"] for document in documents} | {"fedledger/report/1", "fedledger/update/1"}
    assert named - {MODEL_METADATA["format"]} == expected | {"fedledger/metrics/1", "fedledger/audit/1"}


def test_numbers_of_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert MAX_WEIGHT == 2**29 - 1
    assert "2²⁹ − 1" in text
    margin = header_limit((), MODEL_METADATA) - 2 * len(encode_header((), MODEL_METADATA))
    assert f"{margin:,} + 2 ×" in section(PAGE, "What a reader demands")
    assert f"More than {MAX_PROPOSALS} of either is refused" in text
    for kind in RoundKind:
        assert f"| {kind.value} | {kind.name.lower()} |" in section(PAGE, "9. Hashes on chain")


def test_every_check_of_the_code_is_in_the_page() -> None:
    text = re.sub(r"`[^`\n]*`|0x\w+", "", PAGE.read_text(encoding="utf-8").partition("## 17.")[0])
    named = {int(number) for number in re.findall(r"\b\d{1,2}\b", text)}
    named |= {
        n
        for low, high in re.findall(r"\b(\d{1,2}) to (\d{1,2})\b", text)
        for n in range(int(low), int(high) + 1)
    }
    assert {check.value for check in Check} <= named


def test_events_of_the_page_are_those_of_the_records() -> None:
    known = {
        kind.__name__ for union in (records.ConsortiumEvent, records.RunEvent) for kind in union.__args__
    }
    text = section(PAGE, "10. The record: events and the rules they follow")
    stated = {code for row in rows(text) for code in codes(row[0])}
    assert stated == known


def test_files_of_a_saved_federation_are_those_of_the_page(saved_demo: SavedDemo) -> None:
    stated = {
        code.rstrip("/") for code in fields_of("15. A saved federation") if "." in code or code == "payloads/"
    }
    assert stated == {path.name for path in saved_demo.folder.iterdir()}
    assert {CHAIN_FILE, INVENTORY_FILE, MODEL_FILE, PAYLOADS} <= stated


def test_the_genesis_of_the_page_is_the_one_that_ships() -> None:
    chain = LocalChain(clock=lambda: 0)
    header = chain._provider.chain.get_canonical_block_header_by_number(0)
    text = section(PAGE, "`chain.rlp`")
    for value in (chain.chain_id, header.timestamp, header.gas_limit, header.base_fee_per_gas):
        assert f" {value}" in text
    for digest in (header.hash, header.state_root, header.parent_beacon_block_root):
        assert f"`{digest.hex()}`" in text


def test_fields_of_metrics_are_those_of_the_page(saved_demo: SavedDemo) -> None:
    metrics = json.loads((saved_demo.folder / "metrics.json").read_text(encoding="utf-8"))
    free = {"strategy.parameters", "rounds[].members[].claim", "rounds[].pooled_test", "rounds[].stages"}
    found = set(paths(metrics, free, leaves_only=True))
    found -= {f"comparison[].{name}" for name in metrics["metric_names"]}
    text = section(PAGE, "17. `metrics.json` and the audit's JSON")
    stated = {code for row in rows(text.partition("The document of")[0]) for code in codes(row[0])}
    assert stated == found
    assert set(re.findall(r"`(\w+)`", next(line for line in text.splitlines() if "stages`" in line))) >= set(
        metrics["rounds"][0]["stages"]
    )


def test_fields_of_an_audits_json_are_those_of_the_page(saved_demo: SavedDemo) -> None:
    wrong_head = f"fedledger audit --demo {saved_demo.folder} --expect-head {'0' * 64} --format json || true"
    audit = json.loads(run(wrong_head, saved_demo.folder).stdout)
    free = {"members", "run_heads", "models", "rounds[].verdicts", "rounds[].attestations", "rounds[].claims"}
    text = section(PAGE, "17. `metrics.json` and the audit's JSON").partition("The document of")[2]
    assert {code for row in rows(text) for code in codes(row[0])} == set(paths(audit, free, leaves_only=True))


def test_fields_of_the_tabular_task_are_those_of_its_page() -> None:
    columns = (Column("a"), Column("b", ("x",)))
    schema = TabularSchema("y", ("0", "1"), columns, architecture=Architecture((4,)))
    stated = fields_of("Fields", BY_NAME["docs/reference/tabular-task.md"]) - {"tabular-classification"}
    assert {code for code in stated if "[]" in code or "." in code or code == "kind"} == set(
        paths(schema.document(), leaves_only=True)
    )


def test_defaults_of_training_are_those_of_the_page() -> None:
    defaults = {**TrainingSettings().document(), "fraction": Holdout().fraction}
    table = rows(section(BY_NAME["docs/reference/tabular-task.md"], "Fields"))
    stated = {codes(row[0])[0].rpartition(".")[2]: row[2] for row in table}
    for name, value in defaults.items():
        if name != "optimizer":
            assert f"default {value:g}" in stated[name]


# -- the worked example -----------------------------------------------------------------------------------


def _opened() -> records.RoundOpened:
    head, consortium = (
        BUILT.values["first head"],
        BUILT.values["after MemberAdmitted(0, account, zero, zero, 1)"],
    )
    return records.RoundOpened(
        run=example.RUN,
        round=example.ROUND,
        opener=example.AGGREGATOR,
        epoch=example.EPOCH,
        eligible=example.ELIGIBLE,
        parent_head=bytes.fromhex(head),
        base=example.ZERO,
        consortium_accumulator=bytes.fromhex(consortium),
        late_accumulator=example.ZERO,
        accumulator=bytes.fromhex(BUILT.values["round seed"]),
        commit_end=example.COMMIT,
    )


def _terms() -> records.Terms:
    numbers = (
        example.QUORUM,
        example.MIN_REVEALS,
        example.COMMIT,
        example.REVEAL,
        example.PROPOSE,
        example.GRACE,
    )
    plan = Plan.parse(BUILT.files["plan"]).digest
    return records.Terms(plan, *numbers, example.MAX_ROUNDS, (example.AGGREGATOR,))


def _contribution(member: int) -> records.Contribution:
    length, digest, _ = BUILT.values[f"update {member}: length, digest, CID"].split()
    return records.Contribution(
        bytes.fromhex(digest), bytes.fromhex(digest), int(length), example.NUM_EXAMPLES[member]
    )


def _events() -> list[tuple[bytes, records.Event]]:
    """The example's round, with the sender of each step."""
    signer = [bytes([1 + member]) * 20 for member in range(3)]
    result = bytes.fromhex(BUILT.values["result: length, digest, CID"].split()[1])
    commitments = [bytes.fromhex(BUILT.values[f"commitment {member}"]) for member in range(3)]
    at = (example.RUN, example.ROUND)
    steps: list[tuple[bytes, records.Event]] = [(example.AGGREGATOR, _opened())]
    steps += [(signer[m], records.Committed(*at, m, commitments[m])) for m in range(3)]
    steps += [(signer[m], records.Revealed(*at, m, _contribution(m), example.SALTS[m])) for m in range(2)]
    return [
        *steps,
        (example.AGGREGATOR, records.Proposed(*at, example.AGGREGATOR, result)),
        *((signer[m], records.Attested(*at, m, result, example.ZERO, example.ZERO)) for m in range(2)),
        (signer[1], records.RoundCertified(*at, result, _after_attestations(), _next_head())),
    ]


def _after_attestations() -> bytes:
    return bytes.fromhex(BUILT.values["accumulator after the proposal and attestations of 0, 1"])


def _next_head() -> bytes:
    return bytes.fromhex(BUILT.values["next head"])


def _replay() -> Replay:
    """A judge that stands where the example begins: three members, and a run of approved terms."""
    ledger = records.LedgerId(example.CHAIN_ID, example.LEDGER)
    replay = Replay(ledger, example.CONSORTIUM)
    assert replay.consortium.accumulator.hex() == BUILT.values["consortium seed"]
    admitted = records.MemberAdmitted(0, example.ACCOUNT, example.ZERO, example.ZERO, 1)
    approved = _terms()
    position = records.Position(1, 0, 0)
    replay.apply(records.Recorded(position, example.DEPLOYER, example.CONSORTIUM, bytes(32), admitted))
    state = replay.consortium
    assert state.accumulator.hex() == BUILT.values["after MemberAdmitted(0, account, zero, zero, 1)"]
    state.members, state.accounts = example.ELIGIBLE, {bytes([1 + m]) * 20: m for m in range(3)}
    state.roles[example.AGGREGATOR] = int(records.Role.AGGREGATOR)
    digest = bytes.fromhex(BUILT.values["terms"])
    state.approved.add(digest)
    head = bytes.fromhex(BUILT.values["first head"])
    started = records.RunStarted(example.RUN, digest, approved, head)
    replay.apply(
        records.Recorded(records.Position(2, 0, 0), example.AGGREGATOR, example.LEDGER, bytes(32), started)
    )
    replay.runs[example.RUN].joined = example.ELIGIBLE
    return replay


def _apply(replay: Replay, events: list[tuple[bytes, records.Event]]) -> None:
    """Play steps of the round: up to the reveals in its first block, the others when reveals have ended."""
    for index, (sender, event) in enumerate(events):
        late = not isinstance(event, records.RoundOpened | records.Committed | records.Revealed)
        position = records.Position(4, index, example.REVEAL) if late else records.Position(3, index, 0)
        replay.apply(records.Recorded(position, sender, example.LEDGER, bytes(32), event))


def _head_after(events: list[tuple[bytes, records.Event]]) -> bytes:
    replay = _replay()
    _apply(replay, events)
    return replay.runs[example.RUN].head


def test_the_code_accepts_the_history_of_the_worked_example() -> None:
    replay, events = _replay(), _events()
    _apply(replay, events)
    state = replay.runs[example.RUN].rounds[example.ROUND]
    assert state.sealed.hex() == BUILT.values["accumulator after reveals of 0, 1 (sealed)"]
    assert state.status is records.Status.CERTIFIED
    assert replay.runs[example.RUN].head == _next_head()


@pytest.mark.parametrize("place", range(9))
def test_no_step_before_the_certificate_can_be_left_out_of_the_worked_example(place: int) -> None:
    events = _events()
    assert len(events) == 10
    del events[place]
    with pytest.raises(VerificationError):
        _head_after(events)


def test_without_its_certificate_the_worked_example_has_no_new_head() -> None:
    assert _head_after(_events()[:-1]).hex() == BUILT.values["first head"]


def test_the_code_comes_to_the_result_of_the_worked_example(tmp_path: Path) -> None:
    replay = _replay()
    _apply(replay, _events()[:6])
    for name in ("genesis model", "update 0", "update 1"):
        (tmp_path / name).write_bytes(BUILT.files[name])
    plan = Plan.parse(BUILT.files["plan"])
    inputs = RoundInputs(replay, example.RUN, example.ROUND, plan, plan.model, tmp_path / "genesis model")
    out = tmp_path / "model"
    result = recompute(inputs, lambda member, _ref: tmp_path / f"update {member}", out)
    assert result.encode() == BUILT.files["result"]
    assert out.read_bytes() == BUILT.files["new model"]
    assert Result.parse(BUILT.files["result"]) == result


def test_the_code_gives_the_hashes_of_the_worked_example() -> None:
    values = BUILT.values
    ledger = records.LedgerId(example.CHAIN_ID, example.LEDGER)
    assert str(ledger) == values["ledger"]
    for name, data in BUILT.files.items():
        length, digest, cid = values[f"{name}: length, digest, CID"].split()
        assert (int(length), PayloadRef(bytes.fromhex(digest), len(data)).cid) == (len(data), cid)
    result = bytes.fromhex(values["result: length, digest, CID"].split()[1])
    value = attestation_value(result, example.ZERO, example.ZERO)
    assert value.hex() == values["attestation value, no report"]
    leaf = bytes.fromhex(values["leaf 0"])
    assert commitment(leaf, example.SALTS[0]).hex() == values["commitment 0"]
    accumulator = bytes.fromhex(values["round seed"])
    for member in range(3):
        entry = bytes.fromhex(values[f"commitment {member}"])
        accumulator = extend(accumulator, RoundKind.COMMITTED, member, entry)
    assert accumulator.hex() == values["accumulator after commits of 0, 1, 2"]


def test_the_code_writes_the_headers_of_the_worked_example() -> None:
    plan = Plan.parse(BUILT.files["plan"])
    ledger = records.LedgerId(example.CHAIN_ID, example.LEDGER)
    header = encode_header(plan.tensors, MODEL_METADATA)
    assert BUILT.files["new model"].startswith(header)
    assert struct.unpack("<Q", header[:8]) == (len(header) - 8,)
    for member in range(2):
        binding = UpdateBinding(
            ledger, example.RUN, example.ROUND, member, plan.model.digest, example.NUM_EXAMPLES[member]
        )
        assert BUILT.files[f"update {member}"].startswith(encode_header(plan.trainable, binding.metadata()))
