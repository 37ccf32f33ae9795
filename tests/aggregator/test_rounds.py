"""What becomes of each contribution in a round, and of the model: good ones, bad ones, none."""

from __future__ import annotations

import json
import pickle
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rfc8785

from aggregator.rounds import model_of, open_plan, open_result
from ledger.checks import Check
from ledger.cid import PayloadRef, digest_of
from ledger.commitments import ZERO, commitment, leaf
from ledger.documents import Plan
from ledger.errors import ContractError, MalformedDocument, VerificationError
from ledger.records import Phase, Status
from ledger.tensors import TensorSpec
from tests.consortium import Enduring, Forge, Forged, Forger, Sandbox, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_ABS = 1e6
CHEAT, COUNT = 2, 3


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A consortium that lasts for many rounds; each test plays the next one."""
    with closing(Sandbox(tmp_path_factory.mktemp("lasting"), members=COUNT, max_abs=MAX_ABS)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A fresh one; whatever a test did to it, the audit of it must hold in the end."""
    with closing(Sandbox(tmp_path, members=COUNT)) as made:
        yield made
        made.require_audit_holds()


def _with_value(value: float) -> Callable[[Forge], Forged]:
    """One value among good ones: the last of the last tensor."""

    def forge(f: Forge) -> Forged:
        arrays = {spec.name: np.full(spec.shape, 0.25, np.float32) for spec in f.specs}
        arrays[f.specs[-1].name].reshape(-1)[-1] = value
        return f.forged(f.file(arrays))

    return forge


def _with_first_spec(**changes: Any) -> Callable[[Forge], Forged]:
    return lambda f: f.forged(f.file(0.25, (replace(f.specs[0], **changes), *f.specs[1:])))


def _bound_to(**changes: Any) -> Callable[[Forge], Forged]:
    return lambda f: f.forged(f.file(0.25, **changes))


def _to_another_ledger(f: Forge) -> Forged:
    return f.forged(f.file(0.25, ledger=replace(f.binding.ledger, contract=bytes(20))))


def _declaring(**changes: Any) -> Callable[[Forge], Forged]:
    return lambda f: f.forged(f.file(), **changes)


def _examples(number: int) -> Callable[[Forge], Forged]:
    """The file and the chain say the same."""
    return lambda f: f.forged(f.file(num_examples=number), num_examples=number)


def _edited(edit: Callable[[bytes], bytes]) -> Callable[[Forge], Forged]:
    return lambda f: f.forged(edit(f.file()))


def _header_of(length: int) -> Callable[[bytes], bytes]:
    return lambda data: length.to_bytes(8, "little") + data[8:]


def _duplicated(data: bytes) -> bytes:
    """A header in which a name stands twice, the second time with other offsets; as long as before."""
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip(b" ")
    twice = header[:-1] + b',"__metadata__":{}}'
    return data[:8] + twice.ljust(size, b" ") + data[8 + size :]


BAD = [
    pytest.param(_with_value(float("nan")), 13, id="a NaN"),
    pytest.param(_with_value(float("inf")), 13, id="an infinity"),
    pytest.param(_with_value(float("-inf")), 13, id="a negative infinity"),
    pytest.param(_with_value(3e38), 14, id="one value of 3e38"),
    pytest.param(
        _with_value(-float(np.nextafter(np.float32(MAX_ABS), np.float32(np.inf)))), 14, id="just over"
    ),
    pytest.param(_with_first_spec(shape=(2, 1)), 11, id="a wrong shape"),
    pytest.param(_with_first_spec(shape=(1, 3)), 11, id="a longer tensor"),
    pytest.param(_with_first_spec(dtype="I32"), 10, id="a wrong dtype"),
    pytest.param(_with_first_spec(name="linear.wait"), 9, id="a wrong name"),
    pytest.param(lambda f: f.forged(f.file(0.25, f.specs[:1])), 9, id="a missing tensor"),
    pytest.param(
        lambda f: f.forged(f.file(0.25, (*f.specs, TensorSpec("more", "F32", (1,))))), 9, id="one tensor more"
    ),
    pytest.param(_bound_to(round=999), 8, id="another round"),
    pytest.param(_bound_to(run=2), 8, id="another run"),
    pytest.param(_bound_to(member=0), 8, id="another member"),
    pytest.param(_bound_to(base_model=digest_of(b"other")), 8, id="another base model"),
    pytest.param(_to_another_ledger, 8, id="another ledger"),
    pytest.param(_bound_to(num_examples=23), 8, id="another num_examples than declared"),
    pytest.param(_examples(0), 2, id="no examples"),
    pytest.param(_examples(1 << 29), 2, id="two to the 29 examples"),
    pytest.param(_examples(10**12), 2, id="ten to the 12 examples"),
    pytest.param(_examples((1 << 64) - 1), 2, id="all the examples that the chain can hold"),
    pytest.param(_declaring(byte_length=(1 << 16) + 1), 1, id="a length above max_bytes"),
    pytest.param(_declaring(byte_length=(1 << 64) - 1), 1, id="all the bytes that the chain can hold"),
    pytest.param(_declaring(byte_length=0), 1, id="no bytes"),
    pytest.param(lambda f: f.forged(f.file() + bytes(1 << 16)), 1, id="a payload over max_bytes"),
    pytest.param(_declaring(update=digest_of(b"plain text")), 3, id="an update that is not the payload"),
    pytest.param(lambda f: f.forged(b"\xff" * 9000), 6, id="garbage"),
    pytest.param(lambda f: f.forged(b"\x00"), 6, id="one byte"),
    pytest.param(lambda f: f.forged(pickle.dumps({"linear.weight": [0.5] * 9})), 6, id="a pickle"),
    pytest.param(_edited(_header_of((1 << 63) - 1)), 6, id="a header longer than any file"),
    pytest.param(_edited(_header_of(1 << 20)), 6, id="a header longer than the file"),
    pytest.param(_edited(_header_of(64)), 7, id="a header shorter than it is"),
    pytest.param(_edited(_duplicated), 7, id="a name twice in the header"),
    pytest.param(_edited(lambda data: data + b"\x00"), 12, id="a byte behind the data"),
    pytest.param(_edited(lambda data: data[:-1]), 12, id="a byte missing at the end"),
]


@pytest.mark.parametrize(("forge", "check"), BAD)
def test_a_bad_update_is_rejected_for_its_reason_and_the_rest_is_certified(
    lasting: Sandbox, forge: Callable[[Forge], Forged], check: int
) -> None:
    forger = Forger(lasting, CHEAT, forge)
    lasting.nodes[CHEAT] = forger
    state = lasting.play()
    assert lasting.outcomes == ["accepted"] * CHEAT + [f"rejected {check}"]
    forged, _ = forger.forged[state.opened.round]
    verdict = lasting.result.verdict_of(CHEAT)
    assert verdict is not None
    assert (verdict.num_examples, verdict.weight) == (forged.contribution.num_examples, None)
    assert not lasting.result.void
    assert sorted({**state.attestations, **state.late}) == list(range(COUNT))


def test_the_audit_of_all_these_rounds_holds(lasting: Sandbox) -> None:
    """Each rejected update is judged anew there, and fails the same check."""
    if not lasting.run.rounds:
        lasting.play()
    lasting.require_audit_holds()


def test_a_rejected_update_does_not_move_the_model(lasting: Sandbox) -> None:
    """It moves by the mean of the others, worked out here with numpy alone."""
    values = {0: (0.5, 24), 1: (-1.0, 9)}
    for member, (value, examples) in values.items():
        lasting.nodes[member] = Forger(lasting, member, _honest(value, examples))
    lasting.nodes[CHEAT] = Forger(lasting, CHEAT, _with_value(float("nan")))
    lasting.play()
    total = sum(examples for _, examples in values.values())
    mean = sum(value * examples for value, examples in values.values()) / total
    base, model = lasting.model(lasting.base()), lasting.model(lasting.result.model)
    for name, before in base.items():
        np.testing.assert_array_equal(model[name], (before.astype(np.float64) + mean).astype(np.float32))
    for member in values:
        lasting.nodes[member] = lasting.honest[member]


def _honest(value: float, examples: int) -> Callable[[Forge], Forged]:
    return lambda f: f.forged(f.file(value, num_examples=examples), num_examples=examples)


def test_weights_are_capped_as_the_plan_says_and_the_verdict_keeps_what_was_claimed(lasting: Sandbox) -> None:
    lasting.nodes[CHEAT] = Forger(lasting, CHEAT, _honest(0.25, 1001))
    lasting.play()
    verdict = lasting.result.verdict_of(CHEAT)
    assert verdict is not None
    assert (verdict.outcome, verdict.num_examples, verdict.weight) == ("accepted", 1001, 1000)


@pytest.mark.parametrize("longer_by", [-1, 1])
def test_a_lie_about_the_length_is_a_payload_that_nobody_can_have(lasting: Sandbox, longer_by: int) -> None:
    """A reference is digest and length; stores never hand on what does not match both."""
    lasting.nodes[CHEAT] = Forger(
        lasting, CHEAT, lambda f: f.forged(f.file(), byte_length=len(f.file()) + longer_by)
    )
    lasting.play()
    assert lasting.outcomes == ["accepted"] * CHEAT + ["withheld"]


def test_a_payload_that_is_in_the_store_under_a_false_name_is_withheld(sandbox: Sandbox) -> None:
    """Whatever lies under the name, it is not what the chain holds."""
    forger = Forger(sandbox, CHEAT, lambda f: f.forged(f.file()), publishes=None)
    sandbox.nodes[CHEAT] = forger
    sandbox.play_to(Phase.PROPOSE)
    contribution = sandbox.round.reveals[CHEAT]
    ref = PayloadRef(contribution.payload, contribution.byte_length)
    sandbox.shared.path(ref).write_bytes(b"\x00" * ref.length)
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * CHEAT + ["withheld"]


def test_a_copy_of_anothers_update_is_rejected_by_what_it_is_bound_to(sandbox: Sandbox) -> None:
    """Even a copier that saw the victim's update before it committed gains nothing."""
    victim = sandbox.journal(0)

    def copy(f: Forge) -> Forged:
        entry = victim.contribution(sandbox.local.run, f.binding.round)
        assert entry is not None
        return Forged(None, entry.contribution)

    sandbox.nodes[CHEAT] = Forger(sandbox, CHEAT, copy)
    sandbox.play()
    assert sandbox.round.reveals[CHEAT] == sandbox.round.reveals[0]
    assert sandbox.outcomes == ["accepted"] * CHEAT + ["rejected 8"]


def test_a_copy_of_anothers_commitment_cannot_be_opened(sandbox: Sandbox) -> None:
    sandbox.settle(sandbox.local.aggregator, *sandbox.nodes[:CHEAT])
    stolen = sandbox.round.commitments[0]
    cheat, run = sandbox.local.accounts[CHEAT], sandbox.local.run
    sandbox.ledger.commit(cheat, run, 1, stolen)
    sandbox.settle(*sandbox.nodes[:CHEAT], until=Phase.PROPOSE)
    entry = sandbox.journal(0).contribution(run, 1)
    assert entry is not None
    with pytest.raises(ContractError, match="NotCommitted"):
        sandbox.ledger.reveal(cheat, run, 1, CHEAT, entry.contribution, entry.salt)
    sandbox.nodes[CHEAT] = Enduring(sandbox.nodes[CHEAT].step)
    sandbox.play_on()
    assert sandbox.outcomes == ["accepted"] * CHEAT + ["not-revealed"]


def test_nothing_can_be_committed_once_a_reveal_can_be_seen(sandbox: Sandbox) -> None:
    """A round that waited for its deadline: the last member would commit after the first reveal."""
    sandbox.settle(sandbox.local.aggregator, *sandbox.nodes[:CHEAT])
    sandbox.skip_to(sandbox.round.commit_end)
    assert sandbox.nodes[0].step() == "reveal"
    contribution = sandbox.round.reveals[0]
    digest = commitment(leaf(sandbox.local.ledger_id, 1, 1, CHEAT, contribution), bytes(32))
    with pytest.raises(ContractError, match="WrongPhase"):
        sandbox.ledger.commit(sandbox.local.accounts[CHEAT], 1, 1, digest)


# -- void rounds ------------------------------------------------------------------------------------------


def test_a_round_with_too_few_accepted_updates_is_void_and_certified(sandbox: Sandbox) -> None:
    """The model stays, every verdict is listed, and the next round builds on the same base."""
    sandbox.play()
    base = sandbox.result.model
    for member in range(1, COUNT):
        sandbox.nodes[member] = Forger(sandbox, member, _with_value(float("nan")))
    sandbox.play()
    assert sandbox.round.status is Status.CERTIFIED
    assert sandbox.result.void
    assert sandbox.result.base == sandbox.result.model == base
    assert sandbox.outcomes == ["accepted", "rejected 13", "rejected 13"]
    sandbox.nodes[:] = sandbox.honest
    sandbox.play()
    assert sandbox.result.base == base
    assert not sandbox.result.void
    assert sandbox.result.model != base
    audited = sandbox.require_audit_holds().rounds
    assert [r.void for r in audited] == [False, True, False]


def test_just_enough_accepted_updates_give_a_model(sandbox: Sandbox) -> None:
    sandbox.nodes[CHEAT] = Forger(sandbox, CHEAT, _with_value(float("nan")))
    sandbox.play()
    assert sandbox.local.terms.min_reveals == CHEAT
    assert not sandbox.result.void


def test_a_round_in_which_nobody_commits_is_void_and_certified(sandbox: Sandbox) -> None:
    """Members that have nothing to give can still agree on that."""
    sandbox.local.aggregator.step()
    sandbox.skip_to(sandbox.round.commit_end)
    assert sandbox.phase is Phase.PROPOSE
    sandbox.play_on()
    assert sandbox.outcomes == ["absent"] * COUNT
    assert sandbox.result.void


def test_finite_updates_whose_aggregate_overflows_make_the_round_void(tmp_path: Path) -> None:
    """2e38 twice is more than binary32 holds; no update is to blame, so all are accepted."""
    with closing(Sandbox(tmp_path, members=COUNT, max_abs=3.4e38)) as sandbox:
        for member in range(COUNT):
            sandbox.nodes[member] = Forger(sandbox, member, lambda f: f.forged(f.file(2e38)))
        sandbox.play()
        assert not sandbox.result.void
        heavy = sandbox.result.model
        np.testing.assert_array_equal(sandbox.model(heavy)["linear.bias"], np.float32(2e38))
        sandbox.play()
        assert sandbox.result.void
        assert sandbox.outcomes == ["accepted"] * COUNT
        assert sandbox.result.model == sandbox.result.base == heavy
        sandbox.play()
        assert sandbox.result.base == heavy
        sandbox.require_audit_holds()


# -- documents --------------------------------------------------------------------------------------------


def test_a_plan_is_opened_only_under_its_own_digest(lasting: Sandbox) -> None:
    data = lasting.plan.encode()
    assert open_plan(data, lasting.plan.digest) == Plan.parse(data)
    with pytest.raises(VerificationError) as error:
        open_plan(data, ZERO)
    assert error.value.check is Check.RESULT_PLAN


def test_a_result_is_opened_only_under_its_own_digest(lasting: Sandbox) -> None:
    result = lasting.result
    assert open_result(result.encode(), result.digest) == result
    with pytest.raises(VerificationError) as error:
        open_result(replace(result, epoch=99).encode(), result.digest)
    assert error.value.check is Check.DOCUMENT_DIGEST


def test_a_result_whose_verdicts_stand_in_another_order_is_no_result(lasting: Sandbox) -> None:
    document = json.loads(lasting.result.encode())
    document["verdicts"].reverse()
    data = rfc8785.dumps(document)
    with pytest.raises(MalformedDocument):
        open_result(data, digest_of(data))


def test_a_run_builds_on_the_plans_model_until_a_result_is_certified(lasting: Sandbox) -> None:
    assert model_of(lasting.plan, ZERO, lasting.shared.document) == lasting.plan.model
    result = lasting.result
    assert model_of(lasting.plan, result.digest, lasting.shared.document) == result.model
    assert verdict_of(result, 0) == "accepted"
