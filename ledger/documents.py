"""The three documents: plan, result and report.

All are canonical JSON (``ledger.canonical``); ``parse`` accepts exactly the bytes that ``encode`` gives.
``docs/reference/formats.md`` lists their fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ledger import canonical, merkle
from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.errors import MalformedDocument
from ledger.tensors import DTYPE_BYTES, TensorSpec, trainable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ledger.canonical import Fields

__all__ = [
    "MAX_WEIGHT",
    "UPDATE_READERS",
    "Limits",
    "MetricsPolicy",
    "Outcome",
    "Plan",
    "Report",
    "Result",
    "Verdict",
    "verdicts_root",
]

MAX_WEIGHT = (1 << 29) - 1
"""Largest num_examples in a valid update: a binary32 times an integer below 2^29 is exact in binary64."""

_MEMBERS = "members"
UPDATE_READERS = ("members-and-auditors", _MEMBERS)
"""To whom a plan may let services hand the updates' bytes."""

_PLAN, _RESULT, _REPORT = "fedledger/plan/1", "fedledger/result/1", "fedledger/report/1"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on an update.

    Args:
        max_bytes: length of its payload.
        max_abs: magnitude of a value.
        max_num_examples: the weight of one update is capped here.
    """

    max_bytes: int
    max_abs: float
    max_num_examples: int


@dataclass(frozen=True, slots=True)
class MetricsPolicy:
    """What members report of the attested model on their own held-out rows.

    Args:
        names: metrics in the order in which they are shown.
        min_cell: no metric is reported on fewer rows than this.
    """

    names: tuple[str, ...]
    min_cell: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained and how; members approve its digest with the terms.

    Args:
        title: one line for people.
        task: what a node needs to build the model and its data; the node's task reads it.
        model: the genesis model.
        tensors: the model's tensors, trainable ones first.
        strategy: name of the aggregation rule.
        parameters: its parameters.
        limits: bounds on an update.
        metrics: what members report.
        rounds: certified rounds after which a run of this plan is complete.
        update_readers: to whom a service hands the updates' bytes: ``members`` or ``members-and-auditors``;
            None, where the document does not say, is the latter.
    """

    title: str
    task: Mapping[str, Any]
    model: PayloadRef
    tensors: tuple[TensorSpec, ...]
    strategy: str
    parameters: Mapping[str, Any]
    limits: Limits
    metrics: MetricsPolicy
    rounds: int
    update_readers: str | None = None

    @property
    def auditors_read_updates(self) -> bool:
        """Whether a service hands the updates' bytes to auditors, too."""
        return self.update_readers != _MEMBERS

    @property
    def trainable(self) -> tuple[TensorSpec, ...]:
        """The tensors that an update holds."""
        return trainable(self.tensors)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            {
                "type": _PLAN,
                "title": self.title,
                "task": dict(self.task),
                "model": {
                    **_ref(self.model),
                    "tensors": [
                        {"name": t.name, "dtype": t.dtype, "shape": list(t.shape), "trainable": t.trainable}
                        for t in self.tensors
                    ],
                },
                "strategy": {"name": self.strategy, "parameters": dict(self.parameters)},
                "limits": {
                    "max_bytes": self.limits.max_bytes,
                    "max_abs": self.limits.max_abs,
                    "max_num_examples": self.limits.max_num_examples,
                },
                "metrics": {"names": list(self.metrics.names), "min_cell": self.metrics.min_cell},
                "privacy": {"encryption": "none"}
                | ({} if self.update_readers is None else {"update_readers": self.update_readers}),
                "rounds": self.rounds,
            }
        )

    @property
    def digest(self) -> bytes:
        """Digest of the canonical bytes."""
        return digest_of(self.encode())

    @classmethod
    def parse(cls, data: bytes) -> Plan:
        """Read a plan document.

        Raises:
            MalformedDocument: check 20.
        """
        top = canonical.parse(data, _PLAN)
        model, strategy = top.inner("model"), top.inner("strategy")
        limits, metrics, privacy = top.inner("limits"), top.inner("metrics"), top.inner("privacy")
        privacy.constant("encryption", "none")
        plan = cls(
            title=top.take("title", str),
            task=top.inner("task").rest(),
            model=_take_ref(model),
            tensors=tuple(_tensor(item) for item in model.items("tensors")),
            strategy=strategy.take("name", str),
            parameters=strategy.inner("parameters").rest(),
            limits=Limits(
                max_bytes=limits.integer("max_bytes", 1),
                max_abs=limits.number("max_abs", 0.0, 3.4028234663852886e38),
                max_num_examples=limits.integer("max_num_examples", 1, MAX_WEIGHT),
            ),
            metrics=MetricsPolicy(_names(metrics), metrics.integer("min_cell", 1)),
            rounds=top.integer("rounds", 1, (1 << 32) - 1),
            # Older documents do not say it, and keep their digests.
            update_readers=privacy.choice("update_readers", UPDATE_READERS)
            if privacy.has("update_readers")
            else None,
        )
        for fields in (top, model, strategy, limits, metrics, privacy):
            fields.end()
        _check_tensors(plan.tensors)
        return plan


def _tensor(fields: Fields) -> TensorSpec:
    shape: list[Any] = fields.take("shape", list)
    if len(shape) > 16 or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise MalformedDocument(Check.DOCUMENT_FORM, f"{fields.path}: shape", expected="integers", got=shape)
    spec = TensorSpec(
        name=fields.take("name", str),
        dtype=fields.choice("dtype", tuple(DTYPE_BYTES)),
        shape=tuple(shape),
        trainable=fields.take("trainable", bool),
    )
    fields.end()
    return spec


def _check_tensors(tensors: tuple[TensorSpec, ...]) -> None:
    names = [t.name for t in tensors]
    if len(set(names)) != len(names) or "__metadata__" in names:
        raise MalformedDocument(Check.DOCUMENT_FORM, "plan: tensor names", expected="each once", got=names)
    flags = [t.trainable for t in tensors]
    if not any(flags) or flags != sorted(flags, reverse=True):
        raise MalformedDocument(
            Check.DOCUMENT_FORM, "plan: tensors", expected="trainable ones, then the others"
        )
    for t in tensors:
        if t.trainable and t.dtype != "F32":
            raise MalformedDocument(
                Check.DOCUMENT_FORM, f"plan: trainable tensor {t.name}", expected="F32", got=t.dtype
            )


def _names(fields: Fields) -> tuple[str, ...]:
    names: list[Any] = fields.take("names", list)
    if not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        raise MalformedDocument(
            Check.DOCUMENT_FORM, f"{fields.path}: names", expected="distinct texts", got=names
        )
    return tuple(names)


class Outcome(StrEnum):
    """What became of an eligible member in a round."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHHELD = "withheld"
    NOT_REVEALED = "not-revealed"
    ABSENT = "absent"
    REVEALED = "revealed"
    """In an aborted round, where nobody judged the update; never in a result document."""


_JUDGED = tuple(o for o in Outcome if o is not Outcome.REVEALED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One eligible member's verdict.

    Args:
        member: index.
        outcome: what became of it.
        leaf: the contribution on chain, where it was revealed; the commitment where it was not; else None.
        num_examples: as claimed in the reveal; None where nothing was revealed.
        weight: what counted in the aggregate; None unless accepted.
        check: number of the check that failed; None unless rejected.
    """

    member: int
    outcome: Outcome
    leaf: bytes | None = None
    num_examples: int | None = None
    weight: int | None = None
    check: int | None = None

    def document(self) -> dict[str, Any]:
        """Return the verdict as it stands in the result document."""
        document: dict[str, Any] = {"member": self.member, "outcome": str(self.outcome)}
        if self.leaf is not None:
            document["commitment" if self.outcome is Outcome.NOT_REVEALED else "leaf"] = self.leaf.hex()
        if self.num_examples is not None:
            document["num_examples"] = str(self.num_examples)
        if self.weight is not None:
            document["weight"] = self.weight
        if self.check is not None:
            document["check"] = self.check
        return document

    @classmethod
    def parse(cls, fields: Fields) -> Verdict:
        """Read one; which fields there are follows from the outcome."""
        member = fields.integer("member", 0, 255)
        outcome = Outcome(fields.choice("outcome", _JUDGED))
        leaf = num_examples = weight = check = None
        if outcome is Outcome.NOT_REVEALED:
            leaf = fields.hex("commitment")
        elif outcome is not Outcome.ABSENT:
            leaf, num_examples = fields.hex("leaf"), fields.big("num_examples")
        if outcome is Outcome.ACCEPTED:
            weight = fields.integer("weight", 1, MAX_WEIGHT)
        if outcome is Outcome.REJECTED:
            check = fields.integer("check", 1, Check.UPDATE_MAGNITUDE)
        fields.end()
        return cls(member, outcome, leaf, num_examples, weight, check)


def verdicts_root(verdicts: Sequence[Verdict]) -> bytes:
    """RFC 6962 root over the verdicts' canonical bytes, by ascending member."""
    return merkle.root([merkle.leaf_hash(canonical.encode(v.document())) for v in verdicts])


@dataclass(frozen=True, slots=True)
class Result:
    """What a round came to; its digest is what members attest to.

    Args:
        ledger: the ledger as CAIP-10 text.
        run: the run.
        round: the round.
        terms: digest of the run's terms.
        plan: digest of the plan document.
        epoch: membership version of the round's opening.
        parent_head: the run's head at the opening.
        accumulator: the round's accumulator as it stood when reveals ended.
        base_result: the newest certified result before this round; zero for none.
        base: the base model.
        model: the aggregated model; the base where void.
        void: whether too little was accepted, or the aggregate was not finite.
        verdicts: one for each eligible member, by ascending index.
    """

    ledger: str
    run: int
    round: int
    terms: bytes
    plan: bytes
    epoch: int
    parent_head: bytes
    accumulator: bytes
    base_result: bytes
    base: PayloadRef
    model: PayloadRef
    void: bool
    verdicts: tuple[Verdict, ...]

    def encode(self) -> bytes:
        """Return the canonical bytes: the same for every honest recomputer."""
        return canonical.encode(
            {
                "type": _RESULT,
                "ledger": self.ledger,
                "run": str(self.run),
                "round": self.round,
                "terms": self.terms.hex(),
                "plan": self.plan.hex(),
                "epoch": self.epoch,
                "parent_head": self.parent_head.hex(),
                "accumulator": self.accumulator.hex(),
                "base_result": self.base_result.hex(),
                "base": _ref(self.base),
                "model": _ref(self.model),
                "void": self.void,
                "verdicts": [v.document() for v in self.verdicts],
                "verdicts_root": verdicts_root(self.verdicts).hex(),
            }
        )

    @property
    def digest(self) -> bytes:
        """Digest of the canonical bytes."""
        return digest_of(self.encode())

    def verdict_of(self, member: int) -> Verdict | None:
        """Return a member's verdict; None where it was not eligible."""
        return next((v for v in self.verdicts if v.member == member), None)

    @classmethod
    def parse(cls, data: bytes) -> Result:
        """Read a result document.

        Raises:
            MalformedDocument: check 20; check 58 where the verdicts' root is not theirs.
        """
        top = canonical.parse(data, _RESULT)
        base, model = top.inner("base"), top.inner("model")
        stated_root = top.hex("verdicts_root")
        result = cls(
            ledger=top.take("ledger", str),
            run=top.big("run"),
            round=top.integer("round", 1),
            terms=top.hex("terms"),
            plan=top.hex("plan"),
            epoch=top.integer("epoch"),
            parent_head=top.hex("parent_head"),
            accumulator=top.hex("accumulator"),
            base_result=top.hex("base_result"),
            base=_take_ref(base),
            model=_take_ref(model),
            void=top.take("void", bool),
            verdicts=tuple(Verdict.parse(item) for item in top.items("verdicts")),
        )
        for fields in (top, base, model):
            fields.end()
        members = [v.member for v in result.verdicts]
        if members != sorted(set(members)):
            raise MalformedDocument(
                Check.DOCUMENT_FORM, "result: verdicts", expected="ascending members", got=members
            )
        root = verdicts_root(result.verdicts)
        if stated_root != root:
            raise MalformedDocument(
                Check.RESULT_ROOT, "result: verdicts_root", expected=root, got=stated_root
            )
        return result


@dataclass(frozen=True, slots=True)
class Report:
    """A member's metrics of an attested model on its own held-out rows: its claim, and nobody else's.

    Args:
        ledger: the ledger as CAIP-10 text.
        run: the run.
        round: the round.
        member: who reports.
        model: digest of the model.
        num_examples: held-out rows; 0 where they were fewer than the plan's minimum cell.
        metrics: value by name; None where it is not defined or not reported.
        salt: 32 random bytes, so that nobody finds the metrics by trying.
    """

    ledger: str
    run: int
    round: int
    member: int
    model: bytes
    num_examples: int
    metrics: Mapping[str, float | None]
    salt: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            {
                "type": _REPORT,
                "ledger": self.ledger,
                "run": str(self.run),
                "round": self.round,
                "member": self.member,
                "model": self.model.hex(),
                "num_examples": self.num_examples,
                "metrics": dict(self.metrics),
                "salt": self.salt.hex(),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Report:
        """Read a report.

        Raises:
            MalformedDocument: check 20.
        """
        top = canonical.parse(data, _REPORT)
        metrics = top.inner("metrics")
        report = cls(
            ledger=top.take("ledger", str),
            run=top.big("run"),
            round=top.integer("round", 1),
            member=top.integer("member", 0, 255),
            model=top.hex("model"),
            num_examples=top.integer("num_examples"),
            metrics={name: _metric(name, value) for name, value in metrics.rest().items()},
            salt=top.hex("salt"),
        )
        top.end()
        return report


def _metric(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedDocument(
            Check.DOCUMENT_FORM, f"report: metric {name}", expected="a number or null", got=value
        )
    return float(value)


def _ref(ref: PayloadRef) -> dict[str, Any]:
    return {"digest": ref.digest.hex(), "length": ref.length}


def _take_ref(fields: Fields) -> PayloadRef:
    return PayloadRef(fields.hex("digest"), fields.integer("length", 0))
