"""Plans as people write and read them: a draft in JSON that becomes a plan, and a plan in plain words."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.config import Section
from aggregator.strategies import strategy
from ledger.canonical import read_json
from ledger.documents import UPDATE_READERS, Limits, MetricsPolicy, Plan
from ledger.errors import UsageError
from ledger.tensors import encode_header
from node.updates import write_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledger.cid import PayloadRef
    from ledger.ports import PayloadStore
    from ledger.records import Terms
    from node.tasks import Task

__all__ = ["compose", "draft_of", "explain", "explain_terms", "publish_draft", "read_draft"]

_MAX_DRAFT_BYTES = 1 << 20
_HEADER_ROOM = 65_536
"""Bytes that an update's file may be longer than ours would be: other writers spell headers otherwise."""

_SHOWN = 200
"""Characters of a plan's title that are shown."""

MAX_ABS = 1e6
MAX_NUM_EXAMPLES = 1_000_000
MIN_CELL = 5


def compose(
    title: str,
    document: Mapping[str, Any],
    task: Task,
    model: PayloadRef,
    *,
    rounds: int,
    rule: str,
    parameters: Mapping[str, Any],
    max_abs: float = MAX_ABS,
    max_num_examples: int = MAX_NUM_EXAMPLES,
    metrics: Sequence[str] | None = None,
    min_cell: int = MIN_CELL,
    update_readers: str | None = None,
) -> Plan:
    """Return the plan of a task; ``max_bytes`` follows from the model's tensors.

    Args:
        title: one line for people.
        document: what the task was made from.
        task: the task.
        model: its genesis model, in the store already.
        rounds: certified rounds.
        rule: name of the strategy.
        parameters: its parameters.
        max_abs: magnitude of a value of an update.
        max_num_examples: cap on an update's weight.
        metrics: names of what members report; None for all that the task has.
        min_cell: no metric is reported on fewer rows.
        update_readers: to whom services hand updates' bytes; None for members and auditors.
    """
    specs = task.tensors()
    length = len(encode_header(specs, {})) + sum(spec.nbytes for spec in specs)
    return Plan(
        title=title,
        task=document,
        model=model,
        tensors=specs,
        strategy=rule,
        parameters=parameters,
        limits=Limits(length + _HEADER_ROOM, max_abs, max_num_examples),
        metrics=MetricsPolicy(tuple(task.metrics if metrics is None else metrics), min_cell),
        rounds=rounds,
        update_readers=update_readers,
    )


def draft_of(
    title: str,
    document: Mapping[str, Any],
    *,
    rounds: int,
    rule: str,
    seed: int,
    update_readers: str = UPDATE_READERS[0],
) -> dict[str, Any]:
    """Return a draft with the usual limits, to be looked through and changed before it is proposed."""
    from node.tasks import task_from  # noqa: PLC0415 - torch is loaded where something is made of a task

    return {
        "title": title,
        "rounds": rounds,
        "strategy": {"name": rule, "parameters": {}},
        "limits": {"max_abs": MAX_ABS, "max_num_examples": MAX_NUM_EXAMPLES},
        "metrics": {"names": list(task_from(document).metrics), "min_cell": MIN_CELL},
        "privacy": {"update_readers": update_readers},
        "genesis": {"seed": seed},
        "task": dict(document),
    }


def read_draft(path: Path) -> Section:
    """Read a draft.

    Raises:
        UsageError: there is no such file, or it is no JSON object.
    """
    try:
        with path.open("rb") as file:
            values = read_json(file.read(_MAX_DRAFT_BYTES))
    except FileNotFoundError as error:
        raise UsageError(f"{path}", expected="a draft of a plan", got="no such file") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}", got=error.strerror) from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON", got=error) from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}", expected="a JSON object", got=type(values).__name__)
    return Section(values, path.name, path.parent)


def publish_draft(draft: Section, store: PayloadStore) -> Plan:
    """Make the plan of a draft, and put its genesis model and itself into the store.

    Raises:
        UsageError: something in the draft cannot be used; nothing was written then.
        UnavailableError: the store does not answer.
    """
    from node.tasks import task_for, task_from  # noqa: PLC0415 - as above

    rule, limits = draft.table("strategy"), draft.table("limits")
    metrics, genesis, privacy = draft.table("metrics"), draft.table("genesis"), draft.table("privacy")
    document = draft.mapping("task")
    settings: dict[str, Any] = {
        "rounds": draft.integer("rounds", 1, 10_000),
        "rule": rule.text("name"),
        "parameters": rule.mapping("parameters"),
        "max_abs": limits.number("max_abs", 1e-30, 1e30),
        "max_num_examples": limits.integer("max_num_examples", 1, (1 << 29) - 1),
        "metrics": metrics.texts("names"),
        "min_cell": metrics.integer("min_cell", 1, 1 << 40),
        "update_readers": privacy.choice("update_readers", UPDATE_READERS),
    }
    title, seed = draft.text("title"), genesis.integer("seed", 0, (1 << 53) - 1)
    for section in (draft, rule, limits, metrics, genesis, privacy):
        section.end()
    strategy(settings["rule"], settings["parameters"])
    task = task_from(document)
    with tempfile.TemporaryDirectory(prefix="fedledger-plan-") as folder:
        path = Path(folder) / "genesis"
        write_model(path, task.genesis(seed), task.tensors())
        plan = compose(title, document, task, store.put_file(path), **settings)
    task_for(plan)
    store.put(plan.encode())
    return plan


def explain(plan: Plan) -> list[str]:
    """Return a plan in plain words, one statement a line, for those who decide on it."""
    label, columns = plan.task.get("label"), plan.task.get("columns")
    lines = [f"{plan.title[:_SHOWN]} (plan {plan.digest.hex()})"]
    if isinstance(label, dict) and isinstance(columns, list):
        names = ", ".join(str(column.get("name")) for column in columns if isinstance(column, dict))
        stated = label.get("classes")  # nobody checked the document but for its form
        classes = ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)
        lines += [f"predicts {label.get('column')}: {classes}", f"reads {len(columns)} columns: {names}"]
    else:
        lines.append(f"task: {plan.task.get('kind')}")
    elements = sum(spec.elements for spec in plan.tensors)
    leaving = (
        "what leaves the hospital each round: the trained change of the model, unencrypted, at most"
        f" {plan.limits.max_bytes:,} bytes; the number of rows trained on; on its held-out rows, if there are"
        f" at least {plan.metrics.min_cell}: {', '.join(plan.metrics.names)}"
    )
    readers = "members and auditors" if plan.auditors_read_updates else "members alone"
    parameters = f" {json.dumps(dict(plan.parameters))}" if plan.parameters else ""
    return [
        *lines,
        f"model: {json.dumps(plan.task.get('model'))}, {elements:,} parameters",
        f"strategy: {plan.strategy}{parameters}",
        f"who gets the updates from the auditors' service: {readers}",
        f"rounds: {plan.rounds} certified ones",
        leaving,
    ]


def explain_terms(terms: Terms) -> str:
    """Return in plain words what members vote on beside the plan."""
    return (
        f"a result counts when {terms.quorum} members recomputed it, and is void with fewer than"
        f" {terms.min_reveals} accepted updates; at most {terms.max_rounds} openings; commit"
        f" {terms.commit_duration} s, reveal {terms.reveal_duration} s, propose {terms.propose_duration} s;"
        f" members act in the aggregator's place after {terms.grace} s"
    )
