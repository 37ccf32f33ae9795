"""Plan, result and report: what is written is read, and nothing else is one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ledger import documents
from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.documents import Limits, MetricsPolicy, Outcome, Plan, Report, Result, Verdict, verdicts_root
from ledger.errors import MalformedDocument, UsageError
from ledger.tensors import TensorSpec
from tests.federation import word
from tests.ledger import naive, samples

PLAN = Plan(
    title="Breast cancer, logistic regression",
    task={"kind": "tabular", "columns": ["a", "b"]},
    model=PayloadRef(word("genesis"), 8192),
    tensors=(
        TensorSpec("weight", "F32", (1, 2)),
        TensorSpec("bias", "F32", ()),
        TensorSpec("steps", "I64", (3, 0), trainable=False),
    ),
    strategy="fedavg",
    parameters={"weighted": True},
    limits=Limits(1 << 20, 100.0, 10_000),
    metrics=MetricsPolicy(("auc", "accuracy"), 5),
    rounds=5,
)
VERDICTS = (
    Verdict(0, Outcome.ACCEPTED, word("leaf 0"), 120, weight=100),
    Verdict(1, Outcome.REJECTED, word("leaf 1"), 2**64, check=13),
    Verdict(2, Outcome.WITHHELD, word("leaf 2"), 80),
    Verdict(3, Outcome.NOT_REVEALED, word("commitment 3")),
    Verdict(7, Outcome.ABSENT),
)
RESULT = Result(
    ledger="eip155:1337:0x" + "ab" * 20,
    run=1,
    round=2,
    terms=word("terms"),
    plan=PLAN.digest,
    epoch=4,
    parent_head=word("head"),
    accumulator=word("accumulator"),
    base_result=bytes(32),
    base=PLAN.model,
    model=PayloadRef(word("model"), 8192),
    void=False,
    verdicts=VERDICTS,
)
REPORT = Report(
    ledger=RESULT.ledger,
    run=1,
    round=2,
    member=3,
    model=word("model"),
    num_examples=40,
    metrics={"auc": None, "accuracy": 0.875},
    salt=word("salt"),
)
DOCUMENTS = {"plan": PLAN, "result": RESULT, "report": REPORT}

Path = tuple[str | int, ...]


@given(samples.plans)
def test_a_plan_is_read_back_as_it_was_written(plan: Plan) -> None:
    assert plan == Plan.parse(plan.encode())


@given(samples.results())
def test_a_result_is_read_back_as_it_was_written(result: Result) -> None:
    assert result == Result.parse(result.encode())


@given(samples.reports)
def test_a_report_is_read_back_as_it_was_written(report: Report) -> None:
    assert report == Report.parse(report.encode())


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_that_was_read_encodes_to_the_same_bytes(document) -> None:
    assert document.encode() == type(document).parse(document.encode()).encode()


def test_a_plans_and_a_results_digest_is_the_hash_of_their_bytes() -> None:
    assert naive.sha256(PLAN.encode()) == PLAN.digest == digest_of(PLAN.encode())
    assert naive.sha256(RESULT.encode()) == RESULT.digest


def test_the_type_of_a_document_says_which_it_is() -> None:
    types = {name: json.loads(d.encode())["type"] for name, d in DOCUMENTS.items()}
    assert types == {
        "plan": "fedledger/plan/1",
        "result": "fedledger/result/1",
        "report": "fedledger/report/1",
    }
    for document in DOCUMENTS.values():
        for other in DOCUMENTS.values():
            if other is not document:
                _refused(type(document), other.encode())


# -- one thing wrong at a time -------------------------------------------------------------------------------


def _refused(kind: Any, data: bytes, check: Check = Check.DOCUMENT_FORM) -> str:
    with pytest.raises(MalformedDocument) as caught:
        kind.parse(data)
    assert caught.value.check is check, caught.value
    return str(caught.value)


def _paths(value: Any, at: Path = ()) -> list[Path]:
    """Paths of all fields of all objects."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in [(*at, k), *_paths(v, (*at, k))]]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _paths(v, (*at, i))]
    return []


def _parent(value: Any, path: Path) -> Any:
    for step in path[:-1]:
        value = value[step]
    return value


FREE = {"task", "parameters", "metrics"}
"""Objects whose fields are for others to read; a report's metrics are a name and a number each."""

FIELDS = [
    pytest.param(document, path, id=f"{name}-{'.'.join(map(str, path))}")
    for name, document in DOCUMENTS.items()
    for path in _paths(json.loads(document.encode()))
    if not (set(path[:-1]) & FREE and path[0] != "metrics")
    and not (name == "report" and path[0] == "metrics" and path[1:])
]


def _changed(document: Any, path: Path) -> tuple[dict[str, Any], Any]:
    value = json.loads(document.encode())
    return value, _parent(value, path)


@pytest.mark.parametrize(("document", "path"), FIELDS)
def test_a_missing_field_is_refused(document, path: Path) -> None:
    value, parent = _changed(document, path)
    del parent[path[-1]]
    assert f"expected {path[-1]}" in _refused(type(document), rfc8785.dumps(value))


@pytest.mark.parametrize(("document", "path"), FIELDS)
def test_a_renamed_field_is_refused(document, path: Path) -> None:
    value, parent = _changed(document, path)
    parent[f"{path[-1]}_"] = parent.pop(path[-1])
    _refused(type(document), rfc8785.dumps(value))


@pytest.mark.parametrize(("document", "path"), FIELDS)
def test_an_unknown_field_is_refused(document, path: Path) -> None:
    value, parent = _changed(document, path)
    parent["zzz"] = 1
    assert "zzz" in _refused(type(document), rfc8785.dumps(value))


@pytest.mark.parametrize(("document", "path"), FIELDS)
def test_a_field_that_stands_twice_is_refused(document, path: Path) -> None:
    _, parent = _changed(document, path)
    field = json.dumps(path[-1]) + ":" + rfc8785.dumps(parent[path[-1]]).decode()
    text = document.encode().decode()
    # A sibling of the same name and value may stand in another object; twice in any object is refused.
    assert field in text
    _refused(type(document), text.replace(field, f"{field},{field}", 1).encode())


@pytest.mark.parametrize(("document", "path"), FIELDS)
def test_a_field_of_another_type_is_refused(document, path: Path) -> None:
    value, parent = _changed(document, path)
    good = parent[path[-1]]
    others: list[Any] = [None, True, 1, 1.5, "x", [], {}, [1], {"x": 1}]
    for other in others:
        if type(other) is type(good) or (
            isinstance(good, float | int) and isinstance(other, float) and path[-1] == "max_abs"
        ):
            continue
        parent[path[-1]] = other
        if path[-1] in {"task", "parameters"} and isinstance(other, dict):
            continue
        _refused(type(document), rfc8785.dumps(value))


OUT_OF_RANGE = [
    ("plan", ("rounds",), [0, -1, 2**32, 1.5]),
    ("plan", ("limits", "max_bytes"), [0, -1]),
    ("plan", ("limits", "max_abs"), [-1, 3.5e38, 1e300]),
    ("plan", ("limits", "max_num_examples"), [0, 2**29]),
    ("plan", ("metrics", "min_cell"), [0]),
    ("plan", ("metrics", "names"), [["auc", "auc"], [1], [None]]),
    ("plan", ("model", "length"), [-1]),
    ("plan", ("model", "digest"), ["", "ab", "AB" * 32, "ab" * 33, "zz" * 32]),
    ("plan", ("model", "tensors"), [[]]),
    ("plan", ("model", "tensors", 0, "dtype"), ["F16", "f32", "F31", ""]),
    ("plan", ("model", "tensors", 2, "dtype"), ["F31", "i64"]),
    ("plan", ("model", "tensors", 0, "shape"), [[-1], [1.5], [True], ["1"], [2**40], [1] * 17, [[1]]]),
    ("plan", ("model", "tensors", 0, "name"), ["bias", "__metadata__"]),
    ("plan", ("model", "tensors", 0, "trainable"), [False]),
    ("plan", ("model", "tensors", 2, "trainable"), [True]),
    ("plan", ("privacy", "encryption"), ["", "x25519"]),
    ("plan", ("privacy", "update_readers"), ["", "auditors", "everybody", "Members", None, ["members"]]),
    ("result", ("run",), ["-1", "01", str(2**256), "x", ""]),
    ("result", ("round",), [0, -1]),
    ("result", ("epoch",), [-1]),
    ("result", ("verdicts", 0, "member"), [-1, 256, 1, 8]),
    (
        "result",
        ("verdicts", 0, "outcome"),
        ["", "revealed", "ACCEPTED", "rejected", "absent", "not-revealed"],
    ),
    ("result", ("verdicts", 0, "weight"), [0, 2**29]),
    ("result", ("verdicts", 1, "check"), [0, 15, 20, 57]),
    ("result", ("verdicts", 2, "num_examples"), ["-1", str(2**256), "1.0"]),
    ("result", ("verdicts", 4, "outcome"), ["accepted", "withheld", "rejected", "not-revealed"]),
    ("report", ("member",), [-1, 256]),
    ("report", ("num_examples",), [-1]),
    ("report", ("metrics",), [{"auc": "0.5"}, {"auc": True}, {"auc": [0.5]}, {"auc": {}}]),
]


@pytest.mark.parametrize(
    ("name", "path", "values"), OUT_OF_RANGE, ids=[f"{n}-{'.'.join(map(str, p))}" for n, p, _ in OUT_OF_RANGE]
)
def test_a_value_out_of_range_is_refused(name: str, path: Path, values: list[Any]) -> None:
    document = DOCUMENTS[name]
    for wrong in values:
        value, parent = _changed(document, path)
        parent[path[-1]] = wrong
        _refused(type(document), rfc8785.dumps(value))


def test_verdicts_that_are_not_ascending_are_refused() -> None:
    value = json.loads(RESULT.encode())
    value["verdicts"][0], value["verdicts"][1] = value["verdicts"][1], value["verdicts"][0]
    assert "expected ascending members, got [1, 0, 2, 3, 7]" in _refused(Result, rfc8785.dumps(value))
    value["verdicts"] = [value["verdicts"][1]] * 2
    assert "expected ascending members, got [0, 0]" in _refused(Result, rfc8785.dumps(value))


@given(samples.results().filter(lambda result: result.verdicts), st.data())
def test_an_edited_verdict_is_refused_by_the_root(result: Result, data) -> None:
    """Check 58: the verdicts are bound by a tree, so that one can be proved without the others."""
    value = json.loads(result.encode())
    verdict = data.draw(st.sampled_from(value["verdicts"]))
    if "leaf" in verdict:
        verdict["num_examples"] = str(int(verdict["num_examples"]) ^ 1)
    elif "commitment" in verdict:
        verdict["commitment"] = f"{int(verdict['commitment'], 16) ^ 1:064x}"
    else:
        value["verdicts"].remove(verdict)
    _refused(Result, rfc8785.dumps(value), Check.RESULT_ROOT)


def test_another_root_is_refused() -> None:
    value = json.loads(RESULT.encode())
    value["verdicts_root"] = bytes(32).hex()
    message = _refused(Result, rfc8785.dumps(value), Check.RESULT_ROOT)
    assert f"expected {verdicts_root(VERDICTS).hex()}, got {bytes(32).hex()}" in message


def test_the_root_is_the_tree_over_the_verdicts_bytes() -> None:
    entries = [rfc8785.dumps(v) for v in json.loads(RESULT.encode())["verdicts"]]
    assert naive.tree_hash(entries) == verdicts_root(VERDICTS)
    assert naive.sha256(b"") == verdicts_root(())


@given(st.data())
def test_any_flipped_byte_is_refused_or_makes_another_document(data) -> None:
    name = data.draw(st.sampled_from(sorted(DOCUMENTS)))
    document = DOCUMENTS[name]
    good = document.encode()
    index, flip = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    bad = good[:index] + bytes([good[index] ^ flip]) + good[index + 1 :]
    outcome = _outcome(type(document), bad)
    refused = outcome is Check.DOCUMENT_FORM or outcome is Check.RESULT_ROOT
    assert refused or (outcome != document and outcome.encode() == bad)


def _outcome(kind: Any, data: bytes) -> Any:
    try:
        return kind.parse(data)
    except MalformedDocument as error:
        return error.check


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_truncated_or_padded_document_is_refused(document) -> None:
    good = document.encode()
    for bad in [*(good[:n] for n in range(len(good))), good + b" ", good + b"\x00", good + b"{}"]:
        _refused(type(document), bad)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_document(data: bytes) -> None:
    for document in DOCUMENTS.values():
        _refused(type(document), data)


# -- what they say -------------------------------------------------------------------------------------------


def test_a_plan_says_whether_auditors_get_updates_and_an_older_one_that_they_do() -> None:
    assert PLAN.auditors_read_updates
    assert b"update_readers" not in PLAN.encode(), "digests of plans that there are do not move"
    for readers, auditors in (("members", False), ("members-and-auditors", True)):
        plan = replace(PLAN, update_readers=readers)
        assert Plan.parse(plan.encode()) == plan
        assert plan.auditors_read_updates == auditors
        assert plan.digest != PLAN.digest


def test_a_plan_knows_the_tensors_of_an_update() -> None:
    assert [t.name for t in PLAN.trainable] == ["weight", "bias"]


def test_a_member_finds_its_verdict() -> None:
    assert RESULT.verdict_of(7) == Verdict(7, Outcome.ABSENT)
    assert RESULT.verdict_of(5) is None


def test_claims_wider_than_json_integers_travel_as_text() -> None:
    """A claim of 2^64 − 1 examples is recorded as it was made."""
    verdict = Verdict(0, Outcome.REJECTED, word("leaf"), 2**64 - 1, check=2)
    assert verdict.document()["num_examples"] == "18446744073709551615"


def test_a_metric_that_is_not_a_number_cannot_be_reported() -> None:
    with pytest.raises(UsageError, match="no canonical JSON form"):
        Report("l", 1, 1, 1, bytes(32), 1, {"loss": float("nan")}, bytes(32)).encode()


def test_a_huge_but_finite_metric_can_be_reported() -> None:
    """A diverging member's loss of 1e17 is spelled without a point, and is still a float when it is read."""
    report = Report("l", 1, 1, 1, bytes(32), 1, {"loss": 1e17}, bytes(32))
    assert Report.parse(report.encode()).metrics == {"loss": 1e17}


def test_the_largest_weight_is_what_a_product_stays_exact_with() -> None:
    assert documents.MAX_WEIGHT == 2**29 - 1
