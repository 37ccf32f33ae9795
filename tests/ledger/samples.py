"""Documents by Hypothesis: every value that their types allow."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.cid import PayloadRef
from ledger.documents import (
    MAX_WEIGHT,
    UPDATE_READERS,
    Limits,
    MetricsPolicy,
    Outcome,
    Plan,
    Report,
    Result,
    Verdict,
)
from ledger.tensors import DTYPE_BYTES, TensorSpec

digests = st.binary(min_size=32, max_size=32)
counts = st.integers(1, 2**53 - 1)
big = st.integers(0, 2**256 - 1)
texts = st.text(max_size=12)
refs = st.builds(PayloadRef, digests, st.integers(0, 2**53 - 1))
json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 2**53 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)

names = texts.filter(lambda name: name != "__metadata__")
dtypes = st.sampled_from(sorted(DTYPE_BYTES))


dimensions = st.integers(0, 2**40 - 1)


@st.composite
def tensor_specs(draw: st.DrawFn, dimensions: st.SearchStrategy[int] = dimensions) -> tuple[TensorSpec, ...]:
    """At least one trainable tensor, then the others, all of different names."""
    shapes = st.lists(dimensions, max_size=16).map(tuple)
    unique = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    trainable = draw(st.integers(1, len(unique)))
    return tuple(
        TensorSpec(name, "F32" if i < trainable else draw(dtypes), draw(shapes), i < trainable)
        for i, name in enumerate(unique)
    )


plans = st.builds(
    Plan,
    title=texts,
    task=json_objects,
    model=refs,
    tensors=tensor_specs(),
    strategy=texts,
    parameters=json_objects,
    limits=st.builds(Limits, counts, st.floats(0, 3.4028234663852886e38), st.integers(1, MAX_WEIGHT)),
    metrics=st.builds(MetricsPolicy, st.lists(texts, max_size=4, unique=True).map(tuple), counts),
    rounds=st.integers(1, 2**32 - 1),
    update_readers=st.none() | st.sampled_from(UPDATE_READERS),
)


@st.composite
def verdicts(draw: st.DrawFn, member: int) -> Verdict:
    """One verdict with the fields that its outcome asks for."""
    outcome = draw(st.sampled_from([o for o in Outcome if o is not Outcome.REVEALED]))
    if outcome is Outcome.ABSENT:
        return Verdict(member, outcome)
    if outcome is Outcome.NOT_REVEALED:
        return Verdict(member, outcome, leaf=draw(digests))
    weight = draw(st.integers(1, MAX_WEIGHT)) if outcome is Outcome.ACCEPTED else None
    check = draw(st.integers(1, 14)) if outcome is Outcome.REJECTED else None
    return Verdict(member, outcome, draw(digests), draw(big), weight, check)


@st.composite
def results(draw: st.DrawFn) -> Result:
    """A result with verdicts of some members, ascending."""
    members = sorted(draw(st.sets(st.integers(0, 255), max_size=6)))
    return Result(
        ledger=draw(texts),
        run=draw(big),
        round=draw(counts),
        terms=draw(digests),
        plan=draw(digests),
        epoch=draw(st.integers(0, 2**53 - 1)),
        parent_head=draw(digests),
        accumulator=draw(digests),
        base_result=draw(digests),
        base=draw(refs),
        model=draw(refs),
        void=draw(st.booleans()),
        verdicts=tuple(draw(verdicts(m)) for m in members),
    )


reports = st.builds(
    Report,
    ledger=texts,
    run=big,
    round=counts,
    member=st.integers(0, 255),
    model=digests,
    num_examples=st.integers(0, 2**53 - 1),
    metrics=st.dictionaries(
        texts, st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=4
    ),
    salt=digests,
)
