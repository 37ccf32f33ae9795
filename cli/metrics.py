"""``metrics.json``, and the same for people: what a demo came to.

``docs/reference/formats.md`` lists the fields.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cli.output import number
from ledger.records import Status
from node.tabular import TabularData

if TYPE_CHECKING:
    from pathlib import Path

    from audit.findings import AuditReport, RoundAudit
    from cli.consortium import LocalConsortium, RoundTimes
    from cli.experiment import Experiment
    from cli.output import Output

__all__ = ["metrics_document", "round_line", "round_metrics", "show_metrics"]


def round_metrics(experiment: Experiment, consortium: LocalConsortium, times: RoundTimes) -> dict[str, Any]:
    """Return what is known of a round as it ends; verdicts and members' claims come from the audit."""
    run = consortium.view.update().runs[consortium.run]
    state = run.rounds[len(run.rounds)]
    metrics: dict[str, Any] = {"round": state.opened.round, "status": state.status.name.lower()}
    metrics |= {"void": False, "result": None, "model": None, "members": [], "pooled_test": None}
    metrics |= {
        "attestations": 0,
        "disputes": len(state.disputes()),
        "gas": times.gas,
        "stages": times.stages,
    }
    if state.status is Status.CERTIFIED:
        result = consortium.result(state.result)
        standing = {**state.attestations, **state.late}
        metrics |= {"void": result.void, "result": state.result.hex(), "model": result.model.digest.hex()}
        metrics["attestations"] = sum(digest == state.result for digest in standing.values())
        metrics["pooled_test"] = experiment.score(result.model, consortium.shared)
    return metrics


def _members(audit: RoundAudit) -> list[dict[str, Any]]:
    total = sum(verdict.weight or 0 for verdict in audit.verdicts)
    return [
        {
            "member": verdict.member,
            "outcome": str(verdict.outcome),
            "check": verdict.check,
            "num_examples": verdict.num_examples,
            "weight": verdict.weight,
            "share": verdict.weight / total if verdict.weight else None,
            "claim": audit.claims.get(verdict.member),
        }
        for verdict in audit.verdicts
    ]


def round_line(metrics: dict[str, Any], times: RoundTimes) -> str:
    """Return what happened in a round, in a few words."""
    seconds = sum(times.stages.values())
    if metrics["status"] != "certified":
        return f": aborted after {number(seconds, 1)} s"
    auc = "" if metrics["pooled_test"] is None else f", AUC {number(metrics['pooled_test']['auc'])}"
    outcome = "void" if metrics["void"] else f"model {metrics['model'][:12]}"
    return (
        f": {times.steps['commit']} committed, {times.steps['reveal']} revealed, {outcome},"
        f" recomputed and attested by {metrics['attestations']}, certified in {number(seconds, 1)} s{auc}"
    )


def metrics_document(
    experiment: Experiment,
    consortium: LocalConsortium,
    rounds: list[dict[str, Any]],
    audit: AuditReport,
    seconds: float,
) -> dict[str, Any]:
    """Return ``metrics.json``; the claims in it come from the audit, which checked their form."""
    run = consortium.view.replay.runs[consortium.run]
    audited = {r.round: r for r in audit.rounds if r.run == consortium.run}
    for metrics in rounds:
        if metrics["round"] in audited:
            metrics["members"] = _members(audited[metrics["round"]])
    schema = experiment.document
    return {
        "format": "fedledger/metrics/1",
        "title": consortium.plan.title,
        "version": version("fedledger"),
        "seed": experiment.settings.seed,
        "data": {
            "source": experiment.source,
            "label": experiment.label,
            "classes": list(schema["label"]["classes"]),
            "columns": len(schema["columns"]),
            "rows": sum(len(h.frame) for h in experiment.hospitals),
        },
        "ledger": {
            "chain_id": consortium.chain.chain_id,
            "consortium": "0x" + consortium.deployment.consortium.hex(),
            "round_ledger": "0x" + consortium.deployment.round_ledger.hex(),
            "run": consortium.run,
            "terms": run.digest.hex(),
            "plan": run.terms.plan.hex(),
            "head": run.head.hex(),
            "final_head": "0x" + audit.final_head.hex(),
        },
        "strategy": {"name": consortium.plan.strategy, "parameters": dict(consortium.plan.parameters)},
        "quorum": run.terms.quorum,
        "min_reveals": run.terms.min_reveals,
        "metric_names": list(consortium.plan.metrics.names),
        "min_cell": consortium.plan.metrics.min_cell,
        "hospitals": [
            {
                "member": index,
                "name": hospital.name,
                "account": consortium.accounts[index].address,
                "train_rows": experiment.rows[index].num_examples,
                "test_rows": experiment.rows[index].test_rows,
            }
            for index, hospital in enumerate(experiment.hospitals)
        ],
        "rounds": rounds,
        "comparison": _comparison(experiment, rounds),
        "audit": {
            "holds": audit.holds,
            "checks": audit.checks_made,
            "seconds": seconds,
            "problems": [finding.line() for finding in audit.findings],
        },
    }


def _comparison(experiment: Experiment, rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pooled, federated and each hospital alone, on the same held-out rows: computed outside the ledger."""
    pooled = experiment.baseline(TabularData.union(experiment.rows), len(experiment.rows))
    certified = [r for r in rounds if r["pooled_test"] is not None]
    rows = [{"who": "pooled", "member": None, **pooled}]
    if certified:
        rows.append({"who": "federated", "member": None, **certified[-1]["pooled_test"]})
    for member, data in enumerate(experiment.rows):
        rows.append({"who": "alone", "member": member, **experiment.baseline(data, member)})
    return rows


def show_metrics(metrics: dict[str, Any], out: Path, output: Output) -> None:
    """Print the rounds and the summary for people."""
    names = ("auc", "accuracy", "log_loss")
    pooled = [[number((r["pooled_test"] or {}).get(name)) for name in names] for r in metrics["rounds"]]
    rows = [(*_round_row(r), *scores) for r, scores in zip(metrics["rounds"], pooled, strict=True)]
    columns = ("round", "status", "accepted", "attested", "seconds", *names)
    output.table("Rounds (metrics on all held-out rows, computed outside the ledger)", columns, rows)
    who = {None: "", **{h["member"]: h["name"] for h in metrics["hospitals"]}}
    rows = [
        (f"{r['who']} {who[r['member']]}".strip(), *(number(r[name]) for name in names))
        for r in metrics["comparison"]
    ]
    output.table("Comparison on the same rows, computed outside the ledger", ("model", *names), rows)
    output.table(
        "Last round: each hospital's share, and its own claim on its own rows",
        _CLAIM_COLUMNS,
        _claim_rows(metrics),
    )
    output.say()
    audit, head = metrics["audit"], metrics["ledger"]["final_head"]
    for problem in audit["problems"]:
        output.say(f"does not hold: {problem}")
    verdict = "holds" if audit["holds"] else "DOES NOT HOLD"
    output.say(f"audit: {verdict}; {audit['checks']} checks in {number(audit['seconds'], 1)} s")
    output.say(f"files: {out}/ (open report.html)")
    program = "fedledger" if shutil.which("fedledger") else sys.argv[0]
    command = shlex.join([program, "audit", "--demo", str(out), "--expect-head", head])
    output.say(f"check it yourself: {command}")


_CLAIM_COLUMNS = ("hospital", "share", "auc", "accuracy", "log_loss", "rows")


def _round_row(metrics: dict[str, Any]) -> tuple[str, ...]:
    accepted = sum(m["outcome"] == "accepted" for m in metrics["members"])
    status = metrics["status"] + (" (void)" if metrics["void"] else "")
    seconds = number(sum(metrics["stages"].values()), 2)
    members = len(metrics["members"])
    return (str(metrics["round"]), status, f"{accepted}/{members}", str(metrics["attestations"]), seconds)


def _claim_rows(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    names = {h["member"]: h["name"] for h in metrics["hospitals"]}
    rows = []
    for member in metrics["rounds"][-1]["members"] if metrics["rounds"] else []:
        claim = member["claim"] or {}
        scores = [number(claim.get(name)) for name in ("auc", "accuracy", "log_loss")]
        rows.append(
            (
                names[member["member"]],
                number(member["share"], 3),
                *scores,
                str(claim.get("num_examples", "–")),
            )
        )
    return rows
