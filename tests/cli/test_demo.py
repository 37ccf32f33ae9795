"""A demo from the command line: what it writes and says, on its own data and on the user's."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from audit.demo import MODEL_FILE, audit_demo
from tests.audit.saved import HOSPITALS, ROUNDS, parts_of
from tests.cli.conftest import run_apart
from tests.shared import shared_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Outcome

SMALL = ("--hospitals", HOSPITALS, "--rounds", ROUNDS)


def model_of(folder: Path) -> bytes:
    return (folder / MODEL_FILE).read_bytes()


# -- what it writes ---------------------------------------------------------------------------------------


def test_a_demo_writes_these_files_and_nothing_else(saved: Path) -> None:
    names = {"chain.rlp", "federation.json", "metrics.json", "model.safetensors", "payloads", "report.html"}
    assert names == {path.name for path in saved.iterdir()}
    assert {part.path.name for part in parts_of(saved)} == {p.name for p in (saved / "payloads").iterdir()}


def test_a_saved_demo_can_be_read_by_others_than_its_owner(saved: Path) -> None:
    """It is there to be handed on: no file is hidden from the group by the way in which it was written."""
    for path in [saved, *saved.rglob("*")]:
        assert path.stat().st_mode & 0o444 == 0o444, path


def test_the_final_model_opens_with_the_safetensors_library(saved: Path) -> None:
    tensors = load_file(saved / MODEL_FILE)
    assert {name: (array.dtype, array.shape) for name, array in tensors.items()} == {
        "linear.weight": (np.float32, (1, 30)),
        "linear.bias": (np.float32, (1,)),
    }


def test_the_metrics_agree_with_an_audit_of_their_own(saved: Path) -> None:
    metrics, report = json.loads((saved / "metrics.json").read_bytes()), audit_demo(saved)
    assert metrics["ledger"]["final_head"] == "0x" + report.final_head.hex()
    assert metrics["audit"]["holds"]
    for told, audited in zip(metrics["rounds"], report.rounds, strict=True):
        assert audited.model is not None
        assert told["model"] == audited.model.hex()
        assert [m["outcome"] for m in told["members"]] == [str(v.outcome) for v in audited.verdicts]
        assert [m["claim"] for m in told["members"]] == [audited.claims[m] for m in range(HOSPITALS)]
        assert sum(m["share"] for m in told["members"]) == pytest.approx(1.0)


def test_pooled_federated_and_each_hospital_alone_stand_side_by_side(saved: Path) -> None:
    metrics = json.loads((saved / "metrics.json").read_bytes())
    assert [(row["who"], row["member"]) for row in metrics["comparison"]] == [
        ("pooled", None),
        ("federated", None),
        *(("alone", member) for member in range(HOSPITALS)),
    ]
    last = metrics["rounds"][-1]["pooled_test"]
    assert {**last, "who": "federated", "member": None} == metrics["comparison"][1]


def test_the_fields_of_the_metrics_are_those_that_the_reference_lists(saved: Path) -> None:
    reference = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"
    section = reference.read_text(encoding="utf-8").split("`metrics.json`, written by", 1)[1]
    section = section.split("The document of `fedledger audit", 1)[0]
    listed = set(re.findall(r"^\|(.*?)\|", section, re.MULTILINE))
    names = {name.replace("[]", "") for cell in listed for name in re.findall(r"`([^`]+)`", cell)}
    assert _leaves(json.loads((saved / "metrics.json").read_bytes())) <= names | _OPEN


# What stands for names that come from the plan.
_OPEN = {
    *(
        f"{place}.{name}"
        for place in ("comparison", "rounds.pooled_test", "rounds.members.claim")
        for name in ("auc", "accuracy", "log_loss", "num_examples")
    ),
    *(f"rounds.stages.{stage}" for stage in ("train", "commit", "reveal", "propose", "attest")),
}


def _leaves(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict) and value:
        return {leaf for k, v in value.items() for leaf in _leaves(v, f"{path}.{k}" if path else k)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {leaf for item in value for leaf in _leaves(item, path)}
    return {path}


# -- determinism ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("--arrival-seed", 5), ("--threads", 2)], ids=str)
def test_a_seed_gives_the_same_model_in_any_order_and_on_any_threads(
    run: Callable[..., Outcome], saved: Path, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    assert run("demo", "--no-serve", *SMALL, "--seed", 7, *arguments, "--out", tmp_path / "out").code == 0
    assert model_of(saved) == model_of(tmp_path / "out")


def test_a_seed_gives_the_same_model_on_a_cpu_with_fewer_features(saved: Path, tmp_path: Path) -> None:
    dispatched = np._core._multiarray_umath.__cpu_dispatch__  # type: ignore[attr-defined]
    found = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    features = [name for name in dispatched if found[name]]
    if not features:
        pytest.skip("numpy has no faster code for this CPU that could be switched off")
    disabled = {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}
    outcome = run_apart("demo", "--no-serve", *SMALL, "--seed", 7, "--out", tmp_path / "out", **disabled)
    assert outcome.code == 0, outcome
    assert "NPY_DISABLE_CPU_FEATURES" not in outcome.err  # numpy's complaint about what it cannot disable
    assert model_of(saved) == model_of(tmp_path / "out")


def test_another_seed_gives_another_model(run: Callable[..., Outcome], saved: Path, tmp_path: Path) -> None:
    assert run("demo", "--no-serve", *SMALL, "--seed", 8, "--out", tmp_path / "out").code == 0
    assert model_of(saved) != model_of(tmp_path / "out")


# -- own data ---------------------------------------------------------------------------------------------

SITES = (
    "St Brigid’s, Dublin",
    "Klinikum Köln",
    "Hôpital de la Croix-Rousse",
    "東京大学医学部附属病院",
    "<script>alert(1)</script>",
    "[bold]Charité[/bold]",
    'the "Royal"',
    "\x1b[31mRed Cross\x1b[0m",
    "Bad\u202eName",
    "007",
    "{{ 7 * 7 }}",
    "  Spaced  out  ",
)


def own_table(path: Path, sites: tuple[str, ...] = SITES, classes: int = 3, rows: int = 24) -> Path:
    """Write a table as hospitals have them: names with commas, gaps, codes, a constant, a byte order mark."""
    rng = random.Random(11)  # noqa: S311 - a table, no secret
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Klinik, Name", "age", "marker", "smoker", "grade", "constant", "note", "Diagnose"])
        for site in sites:
            for row in range(rows):
                ill = row % classes
                age = "" if rng.random() < 0.1 else str(rng.randrange(20, 90))
                marker = "NA" if rng.random() < 0.1 else f"{rng.gauss(ill, 0.7):.4f}"
                grade = "" if rng.random() < 0.2 else rng.choice(["I", "II", "III"])
                smoker = rng.choice(["yes", "no", "TRUE"])
                out.writerow([site, age, marker, smoker, grade, 1, f"patient {rng.random()}", f"type {ill}"])
    return path


OWN = ("--label", "Diagnose", "--site-column", "Klinik, Name")


def test_a_table_of_twelve_odd_hospitals_and_three_classes_trains_and_holds(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    path = own_table(tmp_path / "kliniken.csv")
    out = tmp_path / "out"
    settings = ("--rounds", 2, "--hidden", 8, "--proximal-mu", 0.1, "--epochs", 3)
    outcome = run("demo", "--no-serve", "--data", path, *OWN, *settings, "--out", out)
    assert outcome.code == 0, outcome.err
    metrics = json.loads((out / "metrics.json").read_bytes())
    names = ["7" if name == "007" else name.strip() for name in SITES]  # codes are numbers to the table
    assert sorted(names) == [h["name"] for h in metrics["hospitals"]]
    assert metrics["data"]["classes"] == ["type 0", "type 1", "type 2"]
    assert metrics["data"]["rows"] == len(SITES) * 24
    report = audit_demo(out, expect_head=bytes.fromhex(metrics["ledger"]["final_head"][2:]))
    assert report.holds
    assert all(str(v.outcome) == "accepted" for r in report.rounds for v in r.verdicts)
    _assert_harmless(outcome)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "東京大学医学部附属病院" in page


def _assert_harmless(outcome: Outcome) -> None:
    """Names from the table come out as they are, but for what a terminal would obey."""
    for text in (outcome.out, outcome.err):
        assert all(line.isprintable() for line in text.splitlines())
    assert "[bold]Charité[/bold]" in outcome.out
    assert "<script>alert(1)</script>" in outcome.out
    assert "�[31mRed Cross�[0m" in outcome.out


def test_nothing_of_a_table_but_its_columns_and_categories_gets_into_what_is_shared(
    run: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Neither a hospital's name nor a patient's note nor the file's folder stands in payloads or on chain."""
    folder = tmp_path / "ward-7-secret-folder"
    folder.mkdir()
    path = own_table(folder / "kliniken.csv", SITES[:3])
    assert run("demo", "--no-serve", "--data", path, *OWN, "--rounds", 1, "--out", tmp_path / "out").code == 0
    shared = [p for p in (tmp_path / "out").rglob("*") if p.suffix not in {".json", ".html"} and p.is_file()]
    for file in [*shared, tmp_path / "out" / "federation.json"]:
        data = file.read_bytes()
        for secret in ("ward-7-secret-folder", "Dublin", "Köln", "patient 0"):
            assert secret.encode() not in data, file


@pytest.mark.parametrize(
    ("arguments", "strategy"),
    [
        (("--strategy", "trimmed-mean", "--parameter", "fraction=0.25"), {"fraction": 0.25}),
        (("--strategy", "median"), {}),
        (("--parameter", "weighted=false"), {"weighted": False}),
    ],
    ids=["trimmed mean", "median", "unweighted"],
)
def test_a_table_trains_under_each_strategy_and_holds(
    run: Callable[..., Outcome], tmp_path: Path, arguments: tuple[str, ...], strategy: dict[str, Any]
) -> None:
    path = own_table(tmp_path / "kliniken.csv", SITES[:4], classes=2)
    out = tmp_path / "out"
    outcome = run("demo", "--no-serve", "--data", path, *OWN, *arguments, "--rounds", 1, "--out", out)
    assert outcome.code == 0, outcome.err
    metrics = json.loads((out / "metrics.json").read_bytes())
    assert strategy.items() <= metrics["strategy"]["parameters"].items()
    assert audit_demo(out).holds


def test_a_hospital_with_one_class_trains_and_has_no_auc(run: Callable[..., Outcome], tmp_path: Path) -> None:
    path = own_table(tmp_path / "kliniken.csv", SITES[:3], classes=2)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    healthy = [line for line in lines if SITES[1] not in line or line.endswith("type 0")]
    path.write_text("\n".join(healthy) + "\n", encoding="utf-8")
    out = tmp_path / "out"
    # Twelve rows leave two held out: below the plan's minimum cell, so that hospital reports nothing.
    assert run("demo", "--no-serve", "--data", path, *OWN, "--rounds", 1, "--out", out).code == 0
    metrics = json.loads((out / "metrics.json").read_bytes())
    alone = {row["member"]: row for row in metrics["comparison"]}
    assert alone[0]["auc"] is not None
    claims = {m["member"]: m["claim"] for m in metrics["rounds"][0]["members"]}
    assert claims[0] == {"num_examples": 0, "auc": None, "accuracy": None, "log_loss": None}
    assert audit_demo(out).holds


def test_a_pooled_baseline_that_diverges_costs_no_result(run: Callable[..., Outcome], tmp_path: Path) -> None:
    """Each hospital takes one step an epoch, all rows in one place take nine: too many at such a rate."""
    path = own_table(tmp_path / "kliniken.csv", classes=2)
    settings = ("--epochs", 2, "--learning-rate", 1000, "--proximal-mu", 0.5, "--rounds", 1)
    out = tmp_path / "out"
    outcome = run("demo", "--no-serve", "--data", path, *OWN, *settings, "--out", out)
    assert outcome.code == 0, outcome.err
    pooled, federated, *alone = json.loads((out / "metrics.json").read_bytes())["comparison"]
    scores = {"auc": None, "accuracy": None, "log_loss": None}
    assert pooled == {"who": "pooled", "member": None, **scores}
    assert all(row["auc"] is not None for row in (federated, *alone))
    assert re.search(r"^pooled +– +– +–$", outcome.out, re.MULTILINE)


def test_a_real_cohort_by_region_trains_and_holds(run: Callable[..., Outcome], tmp_path: Path) -> None:
    """TCGA-BRCA: who died within the follow-up, by the region of the hospital that recruited the patient."""
    folds = shared_file("data", "tcga-brca", "train_test_split.csv").read_text(encoding="utf-8")
    region = {row["pid"]: row["fold2"].split("_")[1] for row in csv.DictReader(folds.splitlines())}
    patients = shared_file("data", "tcga-brca", "brca.csv").read_text(encoding="utf-8")
    known = [row for row in csv.DictReader(patients.splitlines()) if row["pid"] in region]
    rows = [{**row, "region": region[row["pid"]]} for row in known]
    path = tmp_path / "brca.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)
    arguments = ("--data", path, "--label", "E", "--site-column", "region", "--rounds", 2)
    assert run("demo", "--no-serve", *arguments, "--out", tmp_path / "out").code == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_bytes())
    assert [h["name"] for h in metrics["hospitals"]] == ["0", "1", "2", "3", "4", "5"]
    assert metrics["data"]["rows"] == len(rows)
    assert audit_demo(tmp_path / "out").holds
