"""The judge against the contracts: whatever a consortium does, both hold the same.

A real consortium is driven by members, operators, aggregators and strangers who try legal and illegal calls
in any order. After each call the replay must have accepted what the contracts accepted and hold what they
hold. A call that breaks a rule must have been refused with the custom error of one that it breaks
(``tests.ledger.rules``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger import records
from ledger.commitments import ZERO
from ledger.errors import ContractError
from ledger.records import ConsortiumEvent, Phase, RunEvent, Status
from tests.federation import Federation, address, federation, fresh_chain, fund, key, word
from tests.ledger.rules import Rules

if TYPE_CHECKING:
    from contracts.local import LocalChain
    from ledger.replay import RoundState, RunState

STRANGERS = 3
NAMES = [
    *(f"member {m}" for m in range(5)),
    *(f"new account {n}" for n in range(STRANGERS)),
    "operator",
    "aggregator",
    "outsider",
]
ACCOUNTS = [*(address(key(name)) for name in NAMES), bytes(20)]
RUNS = [1] * 8 + [2, 0]
RESULTS = [word("result A"), word("result B"), ZERO]
SEEN: Counter[str] = Counter()

# Hypothesis chooses what is tried; within that, all choices are equally likely, or few rounds would end.
dices = st.integers(0, 2**32 - 1).map(Random)


@cache
def _chain() -> LocalChain:
    """One chain for all examples, each with contracts of its own."""
    chain = fresh_chain()
    fund(chain, [key(name) for name in NAMES])
    return chain


class ConsortiumMachine(RuleBasedStateMachine):
    """Any order of any calls."""

    @initialize(dice=dices)
    def found(self, dice: Random) -> None:
        """A consortium of three to five, its run and one round."""
        size, percent = dice.randint(3, 5), dice.choice([0, 0, 80])
        quorum = size // 2 + 1 + (size > 3 and dice.choice([0, 1]))
        self.f: Federation = federation(
            _chain(), members=size, quorum=quorum, approval_percent=percent, max_rounds=dice.randint(2, 9)
        )
        self.follower = self.f.follower()
        self.height = self.f.chain.head().number
        self.rules = Rules(self.follower.replay, percent)
        for recorded in self.follower.history:
            self.rules.found(recorded.event)
        self.call("operator", "start_run", self.f.terms)
        for name in NAMES[:size]:
            self.call(name, "vote_approve", self.f.terms)
        self.call("operator", "start_run", self.f.terms)
        self.call(dice.choice(self.present()), "vote_roles", address(self.f.outsider), 1)
        self.a_vote_is_taken_back()
        self.the_run_goes_on(dice)

    # -- one call ------------------------------------------------------------------------------------------

    def call(self, actor: str, function: str, *arguments: Any) -> None:
        """Make a call and hold its outcome against the rules."""
        chain, client = self.f.chain, self.f.consortium
        if not hasattr(client, function):
            client = self.f.ledger
        self.rules.now = chain.next_time()
        broken = set(getattr(self.rules, function)(address(key(actor)), *arguments))
        try:
            getattr(client, function)(key(actor), *arguments)
        except ContractError as error:
            refusal = error.name
        else:
            refusal = None
        assert refusal in broken if broken else refusal is None, (actor, function, arguments, refusal, broken)
        if refusal is None:
            self.follow()
        else:
            SEEN[refusal] += 1
            assert chain.head().number == self.height

    def follow(self) -> None:
        """Let the judge read what is new, and compare it with the contracts."""
        known = len(self.follower.history)
        self.follower.update()
        self.height = self.follower.history[-1].position.block
        new = [recorded.event for recorded in self.follower.history[known:]]
        assert new
        for event in new:
            SEEN[type(event).__name__] += 1
            self.rules.observe(event)
        assert self.rules.due is None
        self.touched = [e.member for e in new if isinstance(e, records.Committed | records.Revealed)]
        self.attested = [
            result for e in new if isinstance(e, records.Attested) for result in (e.result, e.previous)
        ]
        self.compare_consortium(next((e.ballot for e in new if isinstance(e, records.VoteCast)), None))
        for number in sorted({e.run for e in new if isinstance(e, RunEvent)}):
            self.compare_run(number, self.follower.replay.runs[number])
        for run, round_ in sorted({(e.run, e.round) for e in new if hasattr(e, "round")}):
            self.compare_round(run, round_, self.follower.replay.runs[run].rounds[round_])

    def compare_consortium(self, ballot: bytes | None) -> None:
        state = self.follower.replay.consortium
        assert self.f.consortium.snapshot() == {
            "epoch": state.epoch,
            "accumulator": state.accumulator,
            "members": state.members,
        }
        if ballot is not None:
            standing = sum(1 << m for m in self.rules.votes[ballot] & self.rules.present)
            assert standing == self.f.chain.call(*self.consortium, "votesOf", [ballot])
            assert self.rules.threshold() == self.f.chain.call(*self.consortium, "threshold")

    @property
    def consortium(self) -> tuple[str, bytes]:
        return "Consortium", self.f.deployment.consortium

    def compare_run(self, number: int, run: RunState) -> None:
        view = self.f.ledger.run_at(number)
        assert view == {
            "terms": run.digest,
            "plan": run.terms.plan,
            "quorum": run.terms.quorum,
            "min_reveals": run.terms.min_reveals,
            "commit_duration": run.terms.commit_duration,
            "reveal_duration": run.terms.reveal_duration,
            "propose_duration": run.terms.propose_duration,
            "grace": run.terms.grace,
            "max_rounds": run.terms.max_rounds,
            "rounds": len(run.rounds),
            "last_end": run.last_end,
            "paused": run.paused,
            "joined": run.joined,
            "head": run.head,
            "base": run.base,
            "late": run.late,
        }

    def compare_round(self, run: int, number: int, state: RoundState) -> None:
        ledger, now = self.f.ledger, self.f.chain.head().time
        commit_end, reveal_end, propose_end = state.ends()
        acted = {*state.attestations, *state.late}
        assert ledger.round_at(run, number) == {
            "status": state.status,
            "phase": state.phase(now),
            "epoch": state.opened.epoch,
            "eligible_count": len(state.eligible),
            "commits": len(state.commitments),
            "reveals": len(state.reveals),
            "commit_end": commit_end,
            "reveal_end": reveal_end,
            "propose_end": propose_end,
            "eligible": state.opened.eligible,
            "awaiting": sum(1 << m for m in state.eligible if m not in acted),
            "sealed_accumulator": state.sealed_accumulator,
            "accumulator": state.accumulator,
            "result": state.result,
        }
        for member in self.touched:
            entry = state.leaves.get(member, state.commitments.get(member, ZERO))
            assert entry == ledger.entry_at(run, number, member)
        for result in self.attested:
            assert sum(1 << m for m in state.behind(result)) == ledger.attesters_of(run, number, result)

    # -- calls by anyone, legal or not ---------------------------------------------------------------------

    @rule(dice=dices)
    def vote(self, dice: Random) -> None:
        """Anyone votes on anything, or takes a vote back."""
        undecided = sorted(b for b, voters in self.rules.votes.items() if voters) or [word("no ballot")]
        account, member, number = dice.choice(ACCOUNTS), dice.randint(0, 6), dice.randint(0, 8)
        motions: list[tuple[str, tuple[Any, ...]]] = [
            ("vote_admit", (account, word(f"key {number % 2}"), word("metadata"))),
            ("vote_remove", (member,)),
            ("vote_rotate", (member, account, word(f"key {number % 2}"))),
            ("vote_roles", (account, number)),
            ("vote_approve", (self.terms(number),)),
            ("withdraw_vote", (dice.choice(undecided),)),
        ]
        function, arguments = dice.choice(motions)
        self.call(dice.choice(NAMES), function, *arguments)

    @rule(dice=dices)
    def administer(self, dice: Random) -> None:
        """Anyone does something about runs, operators more often than others."""
        function = dice.choice(["start_run", "join", "leave", "leave", "pause", "resume", "open"])
        actor = dice.choice([*NAMES, *["operator"] * 8])
        if function != "start_run":
            self.call(actor, function, dice.choice(RUNS))
        elif len(self.follower.replay.runs) < 3:
            self.call(actor, function, self.terms(dice.choice([0, 1, 6])))

    @rule(dice=dices)
    def act(self, dice: Random) -> None:
        """Anyone takes a step of a round, whatever its phase."""
        functions = ["commit", "reveal", "propose", "attest", "replace_attestation", "abort"]
        function, actor, run = dice.choice(functions), dice.choice(["aggregator", *NAMES]), dice.choice(RUNS)
        round_, member = self.round(run, dice.choice([0] * 8 + [-1, 1])), dice.randint(0, 5)
        salt = dice.choice([self.f.salt(round_, member)] * 3 + [word("another salt")])
        result = dice.choice(RESULTS)
        own = self.commitment(run, round_, self.member(actor) or 0)
        arguments: dict[str, tuple[Any, ...]] = {
            "commit": (dice.choice([own] * 8 + [ZERO]),),
            "reveal": (member, self.f.contribution(round_, member), salt),
            "propose": (result,),
            "attest": (result, word("report")),
            "replace_attestation": (dice.choice(RESULTS), result, ZERO),
            "abort": (),
        }
        self.call(actor, function, run, round_, *arguments[function])

    # -- things that consortia do --------------------------------------------------------------------------

    @rule(dice=dices)
    def all_vote(self, dice: Random) -> None:
        """All members vote for one thing, in turn; those who come after it was decided vote on it anew."""
        account, member = _account(dice.choice(NAMES[5:8])), dice.randint(0, 4)
        motions: list[tuple[str, tuple[Any, ...]]] = [
            ("vote_rotate", (member, account, word("key 2"))),
            ("vote_admit", (account, word("key 3"), ZERO)),
            ("vote_remove", (member,)),
            ("vote_roles", (dice.choice([account, _account("aggregator")]), dice.randint(0, 7))),
            ("vote_approve", (self.terms(6),)),
        ]
        function, arguments = dice.choice(motions)
        for voter in self.present():
            self.call(voter, function, *arguments)

    @rule()
    def a_vote_is_taken_back(self) -> None:
        undecided = [
            (ballot, name)
            for ballot, voters in sorted(self.rules.votes.items())
            for name in self.present()
            if self.member(name) in voters
        ]
        for ballot, name in undecided[:1]:
            self.call(name, "withdraw_vote", ballot)

    @rule(dice=dices)
    def the_run_goes_on(self, dice: Random) -> None:
        """A round is opened and played, or an open one goes on, or is given up."""
        if not self.is_open():
            self.open_a_round(dice)
        if dice.random() < 0.9:
            self.play_the_round(dice)
        elif self.is_open():
            self.wait_until(self.deadlines()[-1])
            self.call("outsider", "abort", 1, len(self.follower.replay.runs[1].rounds))

    def open_a_round(self, dice: Random) -> None:
        """Members join that may, one may leave; the aggregator opens, or after the grace period a member."""
        run = self.follower.replay.runs[1]
        for name in self.present():
            if not run.joined >> (self.member(name) or 0) & 1:
                self.call(name, "join", 1)
        if dice.random() < 0.3:
            self.call(dice.choice(self.present()), "leave", 1)
        if not run.paused and dice.random() < 0.3:
            self.call("operator", "pause", 1)
        if run.paused:
            self.call("aggregator", "open", 1)
            self.call("operator", "resume", 1)
        opener = dice.choice(["aggregator", "aggregator", self.present()[0]])
        if opener != "aggregator":
            self.f.chain.skip(dice.choice([run.terms.grace, run.terms.grace - 3]))
        self.call(opener, "open", 1)

    def play_the_round(self, dice: Random) -> None:
        """Members do what is due, but for some that miss and some that attest to something else."""
        results, missing = dice.sample(RESULTS[:-1], 2), dice.choice([0.0, 0.1, 0.6])
        for _ in range(dice.choice([1, 3, 3])):
            if self.is_open():
                deadlines = self.deadlines()
                self.everyone_goes_on(dice, results, missing)
                if self.is_open() and self.deadlines() == deadlines:  # somebody is missing
                    self.wait_until(deadlines[0])
        number = len(self.follower.replay.runs[1].rounds)
        for name in dice.sample(self.present(), min(2, len(self.present()))):
            self.call(name, "replace_attestation", 1, number, results[1], results[0], ZERO)
            self.call(name, "attest", 1, number, dice.choice(results), word("late"))

    def everyone_goes_on(self, dice: Random, results: list[bytes], missing: float) -> None:
        number = len(self.follower.replay.runs[1].rounds)
        state = self.follower.replay.runs[1].rounds[number]
        phase = state.phase(self.f.chain.next_time())
        if phase is Phase.PROPOSE:
            self.call(dice.choice(["aggregator", self.present()[0]]), "propose", 1, number, results[0])
        for name in self.present():
            member = self.member(name)
            if member is None or dice.random() < missing:
                continue
            if phase is Phase.COMMIT:
                self.call(name, "commit", 1, number, self.commitment(1, number, member))
            elif phase is Phase.REVEAL:
                opened = self.f.contribution(number, member), self.f.salt(number, member)
                self.call(name, "reveal", 1, number, member, *opened)
            elif phase is Phase.PROPOSE:
                self.call(name, "attest", 1, number, dice.choice([results[0], *results]), ZERO)

    @precondition(lambda self: self.is_open())
    @rule(dice=dices)
    def a_deadline_comes_near(self, dice: Random) -> None:
        """The next transaction's block time is that of a phase's end, or a second to either side."""
        self.wait_until(dice.choice(self.deadlines()) + dice.choice([-1, 0, 1]))

    @rule(seconds=st.sampled_from([1, 20, 30]))
    def time_passes(self, seconds: int) -> None:
        self.f.chain.skip(seconds)

    def deadlines(self) -> list[int]:
        """Block times of the open round's deadlines that are still to come."""
        state = self.follower.replay.runs[1].current
        assert state is not None
        grace_end = state.ends()[1] + state.terms.grace
        return sorted(end for end in {*state.ends(), grace_end} if end > self.f.chain.next_time()) or [0]

    def wait_until(self, time: int) -> None:
        self.f.chain.skip(max(0, time - self.f.chain.next_time()))

    def terms(self, number: int) -> records.Terms:
        """Return terms like the run's, or with one thing else, mostly wrong."""
        changes: dict[int, dict[str, Any]] = {
            1: {"quorum": 0},
            2: {"grace": self.f.terms.propose_duration},
            3: {"max_rounds": 0},
            4: {"aggregators": (address(self.f.outsider),)},
            5: {"plan": ZERO},
            6: {"propose_duration": 500},
        }
        return replace(self.f.terms, **changes.get(number, {}))

    # -- helpers -------------------------------------------------------------------------------------------

    def is_open(self) -> bool:
        run = self.follower.replay.runs.get(1) if hasattr(self, "follower") else None
        return run is not None and run.current is not None and run.current.status is Status.OPEN

    def present(self) -> list[str]:
        """Names of the accounts that sign for members."""
        return [name for name in NAMES if self.member(name) is not None]

    def member(self, name: str) -> int | None:
        return self.follower.replay.consortium.accounts.get(address(key(name)))

    def round(self, run: int, offset: int) -> int:
        state = self.follower.replay.runs.get(run)
        return max(0, (0 if state is None else len(state.rounds)) + offset)

    def commitment(self, run: int, round_: int, member: int) -> bytes:
        return replace(self.f, run=run).commitment(round_, member)

    def teardown(self) -> None:
        """A judge that comes later and reads everything at once holds the same."""
        if hasattr(self, "follower"):
            late = self.f.follower().replay
            assert self.follower.replay.consortium == late.consortium
            assert self.follower.replay.runs == late.runs
            self.compare_consortium(None)
            for number, run in late.runs.items():
                self.compare_run(number, run)
                for round_, state in run.rounds.items():
                    self.touched, self.attested = state.eligible, sorted({*state.attestations.values()})
                    self.compare_round(number, round_, state)


def _account(name: str | None) -> bytes:
    return bytes(20) if name is None else address(key(name))


def test_the_judge_and_the_contracts_hold_the_same_whatever_a_consortium_does() -> None:
    SEEN.clear()
    run_state_machine_as_test(
        ConsortiumMachine,
        settings=settings(
            max_examples=settings.default.max_examples // 6,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
    kinds = [kind.__name__ for union in (ConsortiumEvent, RunEvent) for kind in union.__args__]
    assert [kind for kind in kinds if kind not in SEEN] == []
