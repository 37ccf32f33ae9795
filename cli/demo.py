"""``fedledger demo``: a consortium on one machine, from data to an audited model."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audit.demo import CHAIN_FILE, INVENTORY_FILE, MODEL_FILE, PAYLOADS, Inventory, audit_demo
from cli.consortium import LocalConsortium
from cli.experiment import DemoSettings, experiment_of
from cli.metrics import metrics_document, round_line, round_metrics, show_metrics
from cli.output import Output, format_option
from cli.report import write_report
from cli.saved_service import serve_saved
from ledger.errors import UnavailableError, UsageError
from node.tabular import Architecture
from node.training import TrainingSettings
from node.updates import write_model
from storage import DirectoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.experiment import Experiment
    from ledger.documents import Plan

__all__ = ["DemoSettings", "demo", "run_demo"]

_LISTED = 12
"""Hospitals whose rows are listed one by one."""


def run_demo(settings: DemoSettings, out: Path, output: Output) -> dict[str, Any]:
    """Run a demo and leave its files in ``out``, which appears only when all is done.

    Returns:
        The metrics, as in ``metrics.json``.

    Raises:
        UsageError: something in the settings or the data cannot be used; nothing was written.
    """
    _refuse_used(out)
    experiment = experiment_of(settings)
    with _whole_folder(out) as partial:
        return _run(experiment, partial, output)


def _refuse_used(out: Path) -> None:
    try:
        used = out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir())))
        held = out.is_dir() and (out.is_mount() or out.samefile(Path.cwd()))
    except OSError as error:
        raise UsageError(f"cannot write to {out}", got=error.strerror) from error
    if used:
        raise UsageError(f"{out} is in use already", expected="a folder that is empty or not there")
    if held:  # it could be filled, but not replaced at one stroke
        raise UsageError(f"{out} cannot be replaced", expected="a folder inside it")


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """Fill a folder that takes its name, and its place, only when the block is done; else nothing is left.

    Raises:
        UsageError: there is no place for it, or somebody else has filled it in the meantime.
        UnavailableError: the disk refuses.
    """
    out = out.absolute()
    place = next(folder for folder in out.parents if folder.exists())
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=place))
    except OSError as error:
        raise UsageError(f"cannot write into {place}", got=error.strerror) from error
    try:
        yield partial
        partial.chmod(0o755)
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(out)
    except OSError as error:
        _refuse_used(out)
        raise UnavailableError(f"cannot write {out}", got=error.strerror) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run(experiment: Experiment, partial: Path, output: Output) -> dict[str, Any]:
    settings = experiment.settings
    shared = DirectoryStore(partial / PAYLOADS)
    with tempfile.TemporaryDirectory(prefix=".roles-", dir=partial) as state:
        genesis = Path(state) / "genesis"
        write_model(genesis, experiment.task.genesis(settings.seed), experiment.task.tensors())
        plan = experiment.plan(shared.put_file(genesis))
        output.say(_headline(experiment, plan))
        consortium = LocalConsortium(
            experiment.hospitals, plan, shared, Path(state), seed=settings.seed, threads=settings.threads
        )
        output.say(_ground(consortium))
        try:
            rounds = _train(experiment, consortium, output)
            return _save(experiment, consortium, rounds, partial, output)
        finally:
            consortium.close()


def _headline(experiment: Experiment, plan: Plan) -> str:
    rows = [data.num_examples + data.test_rows for data in experiment.rows]
    sizes = f"{min(rows)} to {max(rows)} rows each"
    if min(rows) == max(rows):
        sizes = f"{rows[0]} rows each"
    elif len(rows) <= _LISTED:
        sizes = f"{', '.join(map(str, rows))} rows"
    rounds = "1 round" if plan.rounds == 1 else f"{plan.rounds} rounds"
    return f"{plan.title}: {len(rows)} hospitals ({sizes}), {plan.strategy}, {rounds}"


def _ground(consortium: LocalConsortium) -> str:
    members, votes = len(consortium.nodes), consortium.terms.quorum
    return (
        f"contracts deployed, {members} members admitted, plan {consortium.plan.digest.hex()[:12]} approved"
        f" by {votes} votes, run {consortium.run} started and joined by {members}"
    )


def _train(experiment: Experiment, consortium: LocalConsortium, output: Output) -> list[dict[str, Any]]:
    arrivals = random.Random(experiment.settings.arrival_seed)  # noqa: S311 - order of turns, no secret
    order = list(range(len(experiment.hospitals)))
    rounds: list[dict[str, Any]] = []
    with output.steps("training") as advance:
        while True:
            if experiment.settings.arrival_seed:
                arrivals.shuffle(order)
            times = consortium.run_round(order)
            if times is None:
                return rounds
            rounds.append(round_metrics(experiment, consortium, times))
            done = sum(r["status"] == "certified" and not r["void"] for r in rounds)
            advance(done, experiment.settings.rounds, round_line(rounds[-1], times))


def _save(
    experiment: Experiment,
    consortium: LocalConsortium,
    rounds: list[dict[str, Any]],
    partial: Path,
    output: Output,
) -> dict[str, Any]:
    head = consortium.chain.save(partial / CHAIN_FILE)
    replay = consortium.view.update()
    (partial / INVENTORY_FILE).write_bytes(Inventory.of(head.hash, replay, partial / PAYLOADS).encode())
    run = replay.runs[consortium.run]
    model = consortium.plan.model if not run.certified() else consortium.result(run.base).model
    shutil.copyfile(consortium.shared.path(model), partial / MODEL_FILE)
    for payload in (partial / PAYLOADS).iterdir():
        payload.chmod(0o644)  # the folder is there to be handed on
    begun = time.perf_counter()
    with output.steps("auditing") as progress:
        audit = audit_demo(
            partial,
            expect_head=head.hash,
            threads=experiment.settings.threads,
            progress=lambda done, total: progress(done, total, ""),
        )
    seconds = time.perf_counter() - begun
    metrics = metrics_document(experiment, consortium, rounds, audit, seconds)
    (partial / "metrics.json").write_text(
        json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    write_report(partial / "report.html", metrics)
    return metrics


def _parameters(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    parameters = {}
    for value in values:
        name, separator, text = value.partition("=")
        try:
            parameters[name] = json.loads(text)
        except ValueError:
            separator = ""
        if not name or not separator:
            raise click.BadParameter(f"expected NAME=VALUE such as fraction=0.2, got {value!r}")
    return parameters


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="CSV file; by default a breast cancer table.")
@click.option("--label", help="Column to be predicted.")
@click.option("--site-column", help="Column that names each row's hospital.")
@click.option(
    "--exclude",
    metavar="COLUMN",
    multiple=True,
    help="Column that the model does not read; may be given again.",
)
@click.option("--hospitals", type=int, help="How many to split the rows among, unevenly.  [default: 4]")
@click.option(
    "--rounds", type=click.IntRange(1, 10_000), default=5, show_default=True, help="Certified rounds."
)
@click.option(
    "--strategy",
    "strategy_name",
    default="fedavg",
    show_default=True,
    help="Aggregation rule; an unknown one is answered with the list.",
)
@click.option(
    "--parameter",
    callback=_parameters,
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the strategy, e.g. fraction=0.2; may be given again.",
)
@click.option(
    "--hidden",
    type=click.IntRange(1, 4096),
    multiple=True,
    help="Width of a hidden layer, which makes it an MLP; may be given again.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1, 10_000),
    help=f"Passes over a hospital's rows in a round.  [default: {TrainingSettings().epochs}]",
)
@click.option(
    "--learning-rate",
    type=float,
    help=f"Step size of training.  [default: {TrainingSettings().learning_rate}]",
)
@click.option("--proximal-mu", type=float, help="FedProx's proximal factor.  [default: 0]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [default: demo-DATE-TIME]")
@click.option(
    "--seed", type=click.IntRange(0, (1 << 53) - 1), default=7, show_default=True, help="Fixes the model."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Worker threads for aggregation.",
)
@click.option("--arrival-seed", type=int, default=0, help="Shuffles who acts first; never changes the model.")
@click.option(
    "--serve/--no-serve",
    "serve",
    default=None,
    help="Whether to keep the dashboard open in the end.  [default: serve; not with --format json]",
)
@format_option
@click.pass_context
def demo(
    ctx: click.Context, /, out: Path | None, *, serve: bool | None, format_: str, **options: Any
) -> None:
    """Train a model among hospitals on this machine, each round certified on a chain, and audit it.

    Writes model.safetensors, metrics.json, report.html, and all that `fedledger audit --demo` replays. Ends
    with a dashboard on loopback, open until Ctrl-C; scripts say --no-serve.
    """
    settings = _settings(**options)
    output = Output(format_)
    folder = out if out is not None else Path(time.strftime("demo-%Y%m%d-%H%M%S"))
    metrics = run_demo(settings, folder, output)
    show_metrics(metrics, folder, output)
    output.document(metrics | {"out": str(folder)})
    if serve or (serve is None and format_ == "text"):
        serve_saved(folder, output)
    ctx.exit(0 if metrics["audit"]["holds"] else 1)


def _settings(
    hospitals: int | None,
    strategy_name: str,
    parameter: dict[str, Any],
    hidden: tuple[int, ...],
    epochs: int | None,
    learning_rate: float | None,
    proximal_mu: float | None,
    **rest: Any,
) -> DemoSettings:
    if hospitals is not None and rest["site_column"] is not None:
        raise UsageError("--hospitals and --site-column exclude each other")
    training: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate, "proximal_mu": proximal_mu}
    return DemoSettings(
        hospitals=4 if hospitals is None else hospitals,
        strategy=strategy_name,
        parameters=parameter,
        architecture=Architecture(hidden),
        training=TrainingSettings(**{k: v for k, v in training.items() if v is not None}),
        **rest,
    )
