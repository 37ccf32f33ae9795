"""What a demo trains on, and what the ledger's result is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aggregator.strategies import strategy
from cli.data import Hospital, breast_cancer, by_site, read_table, split_unevenly
from ledger.errors import DataError, UsageError
from node.metrics import CLASSIFICATION_METRICS
from node.plans import compose
from node.tabular import Architecture, Holdout, TabularClassification, TabularData, describe
from node.training import TrainingSettings, derive_seed
from node.updates import read_model

if TYPE_CHECKING:
    from ledger.cid import PayloadRef
    from ledger.documents import Plan
    from storage import DirectoryStore

__all__ = ["DemoSettings", "Experiment", "experiment_of"]


@dataclass(frozen=True)
class DemoSettings:
    """What a demo is asked to do.

    Args:
        data: CSV file; None for scikit-learn's breast cancer table.
        label: its label column.
        site_column: its hospital column; None to split its rows unevenly.
        exclude: columns that the model does not read.
        hospitals: how many, where there is no hospital column.
        rounds: certified rounds.
        strategy: name of the aggregation rule.
        parameters: its parameters.
        architecture: the model.
        training: how members train.
        seed: from which the split, the hold-out, the genesis model and all training follow.
        threads: worker threads for aggregation.
        arrival_seed: order in which hospitals act; it never changes the model.
    """

    data: Path | None = None
    label: str | None = None
    site_column: str | None = None
    exclude: tuple[str, ...] = ()
    hospitals: int = 4
    rounds: int = 5
    strategy: str = "fedavg"
    parameters: dict[str, Any] = field(default_factory=dict)
    architecture: Architecture = field(default_factory=Architecture)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 7
    threads: int = 1
    arrival_seed: int = 0


@dataclass(frozen=True)
class Experiment:
    """Hospitals, what they train, and their prepared rows, which the demo alone sees in one place."""

    settings: DemoSettings
    hospitals: list[Hospital]
    label: str
    document: dict[str, Any]
    task: TabularClassification
    rows: list[TabularData]

    @property
    def source(self) -> str:
        """Where the rows come from, for people: of a file its name, as its folders are nobody's business."""
        return Path(str(self.hospitals[0].frame.attrs.get("source", "the table"))).name

    def plan(self, model: PayloadRef) -> Plan:
        """Return the plan that the hospitals are asked to approve."""
        return compose(
            f"Predicting {self.label} from {self.source}",
            self.document,
            self.task,
            model,
            rounds=self.settings.rounds,
            rule=self.settings.strategy,
            parameters=self.settings.parameters,
        )

    def score(self, model: PayloadRef, store: DirectoryStore) -> dict[str, float | None]:
        """Score a model on all hospitals' held-out rows at once: outside the ledger, and only here."""
        tensors = read_model(store.path(model), self.task.tensors())
        return self.task.evaluate(tensors, TabularData.union(self.rows))

    def baseline(self, data: TabularData, member: int) -> dict[str, float | None]:
        """Train as long as the federation did, on other rows, and score on the same held-out rows.

        Training that diverges has no metrics; the federation's result does not depend on it.
        """
        model = self.task.genesis(self.settings.seed)
        try:
            for round_ in range(1, self.settings.rounds + 1):
                seed = derive_seed(self.settings.seed, 0, round_, member)
                model = dict(self.task.train(model, data, seed=seed).tensors)
        except UsageError:
            return dict.fromkeys(CLASSIFICATION_METRICS)
        return self.task.evaluate(model, TabularData.union(self.rows))


def _load(task: TabularClassification, hospital: Hospital) -> TabularData:
    try:
        return task.load(hospital.frame)
    except DataError as error:
        raise DataError(f"hospital {hospital.name}: {error}") from error


def _hospitals(settings: DemoSettings) -> tuple[list[Hospital], str]:
    if settings.data is None:
        if settings.label is not None or settings.site_column is not None or settings.exclude:
            raise UsageError("--label, --site-column and --exclude need --data")
        frame, label = breast_cancer()
    elif settings.label is None:
        raise UsageError("--data needs --label, the column to be predicted")
    else:
        frame, label = read_table(settings.data, settings.label, settings.exclude), settings.label
    if settings.site_column is None:
        return split_unevenly(frame, settings.hospitals, settings.seed), label
    if settings.site_column == label:
        raise UsageError("the hospital column and the label are the same", got=label)
    return by_site(frame, settings.site_column), label


def experiment_of(settings: DemoSettings) -> Experiment:
    """Read and split the data, and fix what is trained.

    Raises:
        UsageError: something in the settings or the data cannot be used.
    """
    strategy(settings.strategy, settings.parameters)
    hospitals, label = _hospitals(settings)
    document = describe(
        [h.frame for h in hospitals],
        label=label,
        architecture=settings.architecture,
        training=settings.training,
        holdout=Holdout(seed=settings.seed),
    )
    task = TabularClassification.from_document(document)
    return Experiment(settings, hospitals, label, document, task, [_load(task, h) for h in hospitals])
