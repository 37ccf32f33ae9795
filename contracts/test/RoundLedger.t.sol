// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Runs: who takes part, and when a round opens
contract RunTest is Fixture {
    // --- startRun

    function test_startRun_takes_the_terms_and_seeds_the_head() external view {
        IRoundLedger.RunView memory r = ledger.runAt(run);
        vm.assertEq(run, 1, "runs are numbered from 1");
        vm.assertEq(ledger.runCount(), 1, "run count");
        vm.assertEq(r.terms, consortium.termsDigest(terms), "terms");
        vm.assertEq(r.plan, terms.plan, "plan");
        vm.assertEq(r.quorum, QUORUM, "quorum");
        vm.assertEq(r.minReveals, 2, "minReveals");
        vm.assertEq(r.commitDuration, COMMIT, "commitDuration");
        vm.assertEq(r.revealDuration, REVEAL, "revealDuration");
        vm.assertEq(r.proposeDuration, PROPOSE, "proposeDuration");
        vm.assertEq(r.grace, GRACE, "grace");
        vm.assertEq(r.maxRounds, MAX_ROUNDS, "maxRounds");
        vm.assertEq(r.rounds, 0, "no round yet");
        vm.assertEq(r.lastEnd, START, "lastEnd is the start");
        vm.assertTrue(!r.paused, "not paused");
        vm.assertEq(r.joined, (1 << MEMBERS) - 1, "all joined");
        vm.assertEq(r.head, replay.head(run), "head equals the replay of events");
        vm.assertEq(r.base, bytes32(0), "no certified round yet");
        vm.assertEq(r.late, bytes32(0), "no late attestation yet");
    }

    function test_startRun_is_for_operators_members_and_the_terms_aggregators() external {
        bytes memory call = abi.encodeCall(IRoundLedger.startRun, (terms));
        _acts(OPERATOR, call);
        _acts(_account(4), call);
        _acts(AGGREGATOR, call);
        vm.assertEq(ledger.runCount(), 4, "four runs");
        _refused(OUTSIDER, call, _notAllowed(OUTSIDER));
        _refused(AUDITOR, call, _notAllowed(AUDITOR));
    }

    function test_startRun_is_refused_before_the_terms_are_approved() external {
        IConsortium.Terms memory t = _terms(QUORUM);
        t.plan = keccak256("another plan");
        bytes memory call = abi.encodeCall(IRoundLedger.startRun, (t));
        bytes32 digest = consortium.termsDigest(t);
        _acts(_account(0), address(consortium), abi.encodeCall(IConsortium.voteApprove, (t)));
        _acts(_account(1), address(consortium), abi.encodeCall(IConsortium.voteApprove, (t)));
        _refused(OPERATOR, call, abi.encodeWithSelector(IRoundLedger.NotApproved.selector, digest));
        _acts(_account(2), address(consortium), abi.encodeCall(IConsortium.voteApprove, (t)));
        _acts(OPERATOR, call);
    }

    function test_startRun_is_refused_while_an_aggregator_lacks_the_role() external {
        _vote(abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 0)));
        _refused(OPERATOR, abi.encodeCall(IRoundLedger.startRun, (terms)), _notAllowed(AGGREGATOR));
    }

    function test_runs_that_do_not_exist_are_unknown(uint64 other) external {
        vm.assume(other != run);
        bytes memory unknown = abi.encodeWithSelector(IRoundLedger.UnknownRun.selector, other);
        _refused(_account(0), abi.encodeCall(IRoundLedger.join, (other)), unknown);
        _refused(_account(0), abi.encodeCall(IRoundLedger.leave, (other)), unknown);
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.open, (other)), unknown);
        _refused(OPERATOR, abi.encodeCall(IRoundLedger.pause, (other)), unknown);
        _refused(OPERATOR, abi.encodeCall(IRoundLedger.resume, (other)), unknown);
        _refused(OUTSIDER, abi.encodeCall(IRoundLedger.runAt, (other)), unknown);
    }

    // --- join, leave

    function test_join_and_leave_count_from_the_next_opening_on() external {
        _acts(_account(4), abi.encodeCall(IRoundLedger.leave, (run)));
        uint32 round = _open();
        _acts(_account(3), abi.encodeCall(IRoundLedger.leave, (run)));
        _acts(_account(4), abi.encodeCall(IRoundLedger.join, (run)));
        vm.assertEq(_view(round).eligible, 15, "members 0 to 3");
        _acts(_account(3), _commitCall(round, 3));
        _refused(
            _account(4),
            _commitCall(round, 4),
            abi.encodeWithSelector(IRoundLedger.NotEligible.selector, run, round, 4)
        );
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(_view(_open()).eligible, 23, "0, 1, 2 and 4");
    }

    function test_join_and_leave_are_refused_twice() external {
        _refused(
            _account(0),
            abi.encodeCall(IRoundLedger.join, (run)),
            abi.encodeWithSelector(IRoundLedger.AlreadyJoined.selector, run, 0)
        );
        _acts(_account(0), abi.encodeCall(IRoundLedger.leave, (run)));
        _refused(
            _account(0),
            abi.encodeCall(IRoundLedger.leave, (run)),
            abi.encodeWithSelector(IRoundLedger.NotJoined.selector, run, 0)
        );
    }

    function test_join_and_leave_are_for_members() external {
        bytes memory notMember = abi.encodeWithSelector(IConsortium.NotMember.selector, AGGREGATOR);
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.join, (run)), notMember);
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.leave, (run)), notMember);
    }

    function test_join_is_refused_where_the_quorum_would_be_no_majority() external {
        _admit(5);
        bytes memory tooSmall = abi.encodeWithSelector(IRoundLedger.QuorumTooSmall.selector, QUORUM, 6);
        _refused(_account(5), abi.encodeCall(IRoundLedger.join, (run)), tooSmall);
        _acts(_account(0), abi.encodeCall(IRoundLedger.leave, (run)));
        _acts(_account(5), abi.encodeCall(IRoundLedger.join, (run)));
        _refused(_account(0), abi.encodeCall(IRoundLedger.join, (run)), tooSmall);
    }

    function test_members_removed_from_the_consortium_make_room_for_others() external {
        _admit(5);
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        _acts(_account(5), abi.encodeCall(IRoundLedger.join, (run)));
        vm.assertEq(_view(_open()).eligible, 47, "0 to 3 and 5");
    }

    // --- pause

    function test_pause_and_resume_are_for_operators() external {
        _refused(_account(0), abi.encodeCall(IRoundLedger.pause, (run)), _notAllowed(_account(0)));
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.pause, (run)), _notAllowed(AGGREGATOR));
        _acts(OPERATOR, abi.encodeCall(IRoundLedger.pause, (run)));
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.resume, (run)), _notAllowed(AGGREGATOR));
    }

    function test_pause_stops_the_next_opening_until_resumed() external {
        bytes memory paused = abi.encodeWithSelector(IRoundLedger.Paused.selector, run);
        bytes memory notPaused = abi.encodeWithSelector(IRoundLedger.NotPaused.selector, run);
        _refused(OPERATOR, abi.encodeCall(IRoundLedger.resume, (run)), notPaused);
        vm.expectEmit(address(ledger));
        emit IRoundLedger.RunPaused(run, OPERATOR);
        _acts(OPERATOR, abi.encodeCall(IRoundLedger.pause, (run)));
        vm.assertTrue(ledger.runAt(run).paused, "paused");
        _refused(OPERATOR, abi.encodeCall(IRoundLedger.pause, (run)), paused);
        _refused(AGGREGATOR, _openCall(), paused);
        vm.expectEmit(address(ledger));
        emit IRoundLedger.RunResumed(run, OPERATOR);
        _acts(OPERATOR, abi.encodeCall(IRoundLedger.resume, (run)));
        vm.assertEq(_open(), 1, "round 1");
    }

    // --- open

    function test_open_takes_everything_from_storage() external {
        uint32 round = _open();
        IRoundLedger.RoundView memory r = _view(round);
        vm.assertEq(uint8(r.status), uint8(IRoundLedger.Status.Open), "status");
        vm.assertEq(uint8(r.phase), uint8(IRoundLedger.Phase.Commit), "phase");
        vm.assertEq(r.epoch, MEMBERS, "epoch");
        vm.assertEq(r.eligible, (1 << MEMBERS) - 1, "eligible");
        vm.assertEq(r.awaiting, r.eligible, "awaiting all");
        vm.assertEq(r.eligibleCount, MEMBERS, "count of the eligible");
        vm.assertEq(uint256(r.commits) + r.reveals, 0, "no commits, no reveals");
        vm.assertEq(r.commitEnd, START + COMMIT, "end of commits");
        vm.assertEq(r.revealEnd, START + COMMIT, "nothing to reveal yet");
        vm.assertEq(r.proposeEnd, START + COMMIT + PROPOSE, "end of proposals");
        vm.assertEq(r.sealedAccumulator, replay.roundAt(run, round).sealedAccumulator, "seed");
        vm.assertEq(r.accumulator, r.sealedAccumulator, "accumulator");
        vm.assertEq(r.result, bytes32(0), "no result");
        _acts(_account(0), _commitCall(round, 0));
        vm.assertEq(_view(round).revealEnd, START + COMMIT + REVEAL, "end of reveals");
        vm.assertEq(
            _view(round).proposeEnd, START + COMMIT + REVEAL + PROPOSE, "end of proposals after reveals"
        );
    }

    function test_open_is_for_an_aggregator_at_once_and_for_members_after_grace() external {
        bytes memory early =
            abi.encodeWithSelector(IRoundLedger.TooEarly.selector, START + GRACE, START + GRACE - 1);
        vm.warp(START + GRACE - 1);
        _refused(_account(2), _openCall(), early);
        _refused(OUTSIDER, _openCall(), _notAllowed(OUTSIDER));
        _refused(OPERATOR, _openCall(), _notAllowed(OPERATOR));
        vm.warp(START + GRACE);
        _acts(_account(2), _openCall());
    }

    function test_grace_for_opening_runs_from_the_end_of_the_round_before() external {
        uint32 round = _certified();
        vm.assertEq(ledger.runAt(run).lastEnd, block.timestamp, "ended now");
        _refused(
            _account(0),
            _openCall(),
            abi.encodeWithSelector(IRoundLedger.TooEarly.selector, block.timestamp + GRACE, block.timestamp)
        );
        round = _open();
        vm.warp(_view(round).proposeEnd + 10);
        _acts(OUTSIDER, _abortCall(round));
        vm.warp(block.timestamp + GRACE);
        _acts(_account(0), _openCall());
    }

    function test_open_by_a_member_is_for_those_that_take_part() external {
        _acts(_account(4), abi.encodeCall(IRoundLedger.leave, (run)));
        vm.warp(START + GRACE);
        _refused(_account(4), _openCall(), abi.encodeWithSelector(IRoundLedger.NotJoined.selector, run, 4));
    }

    function test_aggregator_without_the_role_opens_no_more() external {
        _vote(abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 0)));
        _refused(AGGREGATOR, _openCall(), _notAllowed(AGGREGATOR));
    }

    function test_role_alone_does_not_let_an_unnamed_aggregator_open() external {
        _vote(abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 2)));
        _refused(OUTSIDER, _openCall(), _notAllowed(OUTSIDER));
    }

    function test_open_is_refused_while_the_round_before_is_undecided() external {
        uint32 round = _open();
        bytes memory still = abi.encodeWithSelector(IRoundLedger.RoundStillOpen.selector, run, round);
        _refused(AGGREGATOR, _openCall(), still);
        vm.warp(_view(round).proposeEnd + 1 days);
        _refused(AGGREGATOR, _openCall(), still);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(_open(), round + 1, "next round");
    }

    function test_open_is_refused_after_maxRounds_whatever_became_of_them() external {
        IConsortium.Terms memory t = _terms(QUORUM);
        t.maxRounds = 2;
        _startRun(t);
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        _certified();
        uint32 round = _open();
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        _refused(AGGREGATOR, _openCall(), abi.encodeWithSelector(IRoundLedger.RunFinished.selector, run, 2));
    }

    function test_open_needs_as_many_members_as_quorum_and_minReveals() external {
        for (uint8 i = 2; i < MEMBERS; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.leave, (run)));
        }
        _refused(
            AGGREGATOR, _openCall(), abi.encodeWithSelector(IRoundLedger.TooFewMembers.selector, QUORUM, 2)
        );
        IConsortium.Terms memory t = _terms(QUORUM);
        t.minReveals = 4;
        _startRun(t);
        for (uint8 i = 0; i < 3; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        _refused(AGGREGATOR, _openCall(), abi.encodeWithSelector(IRoundLedger.TooFewMembers.selector, 4, 3));
        _acts(_account(3), abi.encodeCall(IRoundLedger.join, (run)));
        vm.assertEq(_open(), 1, "four are enough");
    }

    function test_rounds_are_judged_by_the_members_of_their_opening() external {
        uint32 round = _open();
        _admit(5);
        _vote(abi.encodeCall(IConsortium.voteRemove, (0)));
        vm.assertEq(_view(round).epoch, MEMBERS, "the epoch of the opening");
        vm.assertEq(_view(round).eligible, (1 << MEMBERS) - 1, "its members");
    }

    function test_runs_do_not_touch_each_other() external {
        uint64 first = run;
        uint32 round = _certified();
        bytes32 head = ledger.runAt(first).head;
        _acts(AGGREGATOR, abi.encodeCall(IRoundLedger.startRun, (terms)));
        run = 2;
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        vm.assertEq(_certified(), round, "the same round number");
        vm.assertEq(ledger.runAt(first).head, head, "the first run's head stays");
        vm.assertTrue(ledger.runAt(run).head != head, "the second has its own");
    }

    function _admit(uint8 member) private {
        bytes32 key = keccak256("key");
        _vote(abi.encodeCall(IConsortium.voteAdmit, (_account(member), key, keccak256("metadata"))));
    }

    function _notAllowed(address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.NotAllowed.selector, account);
    }
}

/// @title Commit and reveal
contract ContributionTest is Fixture {
    uint32 private round;

    function setUp() public override {
        super.setUp();
        round = _open();
    }

    // --- commit

    function test_commit_is_recorded_and_enters_the_accumulator() external {
        bytes32 commitment = _commitment(round, 2);
        vm.expectEmit(address(ledger));
        emit IRoundLedger.Committed(run, round, 2, commitment);
        _acts(_account(2), _commitCall(round, 2));
        vm.assertEq(ledger.entryAt(run, round, 2), commitment, "entry");
        vm.assertEq(ledger.entryAt(run, round, 1), bytes32(0), "and nobody else's");
        vm.assertEq(_view(round).commits, 1, "one commitment");
        vm.assertEq(
            _view(round).accumulator, replay.roundAt(run, round).accumulator, "accumulator equals the replay"
        );
    }

    function test_commit_is_refused_twice() external {
        _acts(_account(0), _commitCall(round, 0));
        _refused(
            _account(0),
            abi.encodeCall(IRoundLedger.commit, (run, round, keccak256("changed my mind"))),
            abi.encodeWithSelector(IRoundLedger.AlreadyCommitted.selector, run, round, 0)
        );
    }

    function test_commit_is_refused_for_zero() external {
        _refused(
            _account(0),
            abi.encodeCall(IRoundLedger.commit, (run, round, 0)),
            abi.encodeWithSelector(IRoundLedger.ZeroCommitment.selector)
        );
    }

    function test_commit_is_refused_for_whom_is_no_member_or_was_not_at_the_opening() external {
        bytes memory notMember = abi.encodeWithSelector(IConsortium.NotMember.selector, AGGREGATOR);
        _refused(AGGREGATOR, _commitCall(round, 0), notMember);
        _vote(abi.encodeCall(IConsortium.voteAdmit, (_account(5), 0, 0)));
        _refused(
            _account(5),
            _commitCall(round, 5),
            abi.encodeWithSelector(IRoundLedger.NotEligible.selector, run, round, 5)
        );
    }

    function test_commit_is_refused_from_the_deadline_on() external {
        vm.warp(START + COMMIT - 1);
        _acts(_account(0), _commitCall(round, 0));
        vm.warp(START + COMMIT);
        _refused(
            _account(1),
            _commitCall(round, 1),
            _wrongPhase(IRoundLedger.Phase.Commit, IRoundLedger.Phase.Reveal)
        );
    }

    function test_commits_close_in_the_block_of_the_last_that_can_come() external {
        vm.warp(START + 77);
        _commit(round, MEMBERS - 1);
        vm.warp(START + 78);
        _acts(_account(MEMBERS - 1), _commitCall(round, MEMBERS - 1));
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Reveal), "phase");
        vm.assertEq(_view(round).commitEnd, START + 78, "end of commits");
        vm.assertEq(_view(round).revealEnd, START + 78 + REVEAL, "reveals have their whole duration");
        vm.assertEq(_view(round).proposeEnd, START + 78 + REVEAL + PROPOSE, "so have proposals");
    }

    function test_rounds_that_do_not_exist_are_unknown(uint64 run_, uint32 round_) external {
        vm.assume(run_ != run || round_ != round);
        bytes memory unknown = abi.encodeWithSelector(IRoundLedger.UnknownRound.selector, run_, round_);
        IRoundLedger.Contribution memory c = _contribution(0);
        _refused(_account(0), abi.encodeCall(IRoundLedger.commit, (run_, round_, RESULT)), unknown);
        _refused(_account(0), abi.encodeCall(IRoundLedger.reveal, (run_, round_, 0, c, RESULT)), unknown);
        _refused(AGGREGATOR, abi.encodeCall(IRoundLedger.propose, (run_, round_, RESULT)), unknown);
        _refused(_account(0), abi.encodeCall(IRoundLedger.attest, (run_, round_, RESULT, REPORT)), unknown);
        _refused(
            _account(0),
            abi.encodeCall(IRoundLedger.replaceAttestation, (run_, round_, OTHER, RESULT, REPORT)),
            unknown
        );
        _refused(OUTSIDER, abi.encodeCall(IRoundLedger.abort, (run_, round_)), unknown);
        _refused(OUTSIDER, abi.encodeCall(IRoundLedger.roundAt, (run_, round_)), unknown);
        _refused(OUTSIDER, abi.encodeCall(IRoundLedger.entryAt, (run_, round_, 0)), unknown);
        _refused(OUTSIDER, abi.encodeCall(IRoundLedger.attestersOf, (run_, round_, RESULT)), unknown);
    }

    // --- reveal

    function test_reveal_is_refused_before_commits_close() external {
        _acts(_account(0), _commitCall(round, 0));
        _refused(
            _account(0),
            _revealCall(round, 0),
            _wrongPhase(IRoundLedger.Phase.Reveal, IRoundLedger.Phase.Commit)
        );
    }

    function test_reveal_overwrites_the_commitment_with_the_leaf() external {
        _commit(round, MEMBERS);
        vm.expectEmit(address(ledger));
        emit IRoundLedger.Revealed(run, round, 3, _contribution(3), _salt(3));
        _acts(OUTSIDER, _revealCall(round, 3));
        vm.assertEq(ledger.entryAt(run, round, 3), _leaf(round, 3), "entry");
        vm.assertEq(_view(round).reveals, 1, "one reveal");
        vm.assertEq(
            _view(round).sealedAccumulator,
            replay.roundAt(run, round).sealedAccumulator,
            "accumulator equals the replay"
        );
    }

    function test_leaf_binds_chain_contract_run_round_member_and_contribution(
        uint64 run_,
        uint32 round_,
        uint8 member,
        IRoundLedger.Contribution memory c
    ) external view {
        bytes32 expected = keccak256(
            abi.encode(
                block.chainid, ledger, run_, round_, member, c.payload, c.update, c.byteLength, c.numExamples
            )
        );
        vm.assertEq(ledger.leafOf(run_, round_, member, c), expected, "leaf");
    }

    function test_reveal_accepts_whatever_was_committed_to(IRoundLedger.Contribution memory c, bytes32 salt)
        external
    {
        bytes32 leaf = ledger.leafOf(run, round, 0, c);
        _acts(
            _account(0), abi.encodeCall(IRoundLedger.commit, (run, round, keccak256(abi.encode(leaf, salt))))
        );
        vm.warp(_view(round).commitEnd);
        _acts(_account(0), abi.encodeCall(IRoundLedger.reveal, (run, round, 0, c, salt)));
        vm.assertEq(ledger.entryAt(run, round, 0), leaf, "entry");
    }

    function test_reveal_is_refused_if_anything_differs_from_what_was_committed(uint8 field, uint256 change)
        external
    {
        vm.assume(uint64(change) != 0);
        _commit(round, MEMBERS);
        IRoundLedger.Contribution memory c = _contribution(0);
        bytes32 salt = _salt(0);
        field = uint8(_bound(field, 0, 4));
        if (field == 0) c.payload ^= bytes32(change);
        if (field == 1) c.update ^= bytes32(change);
        if (field == 2) c.byteLength ^= uint64(change);
        if (field == 3) c.numExamples ^= uint64(change);
        if (field == 4) salt ^= bytes32(change);
        _refused(
            _account(0), abi.encodeCall(IRoundLedger.reveal, (run, round, 0, c, salt)), _notCommitted(0)
        );
    }

    function test_reveal_is_refused_twice_and_for_whom_committed_to_nothing() external {
        _commit(round, 3);
        _acts(_account(0), _revealCall(round, 0));
        _refused(_account(0), _revealCall(round, 0), _notCommitted(0));
        _refused(_account(3), _revealCall(round, 3), _notCommitted(3));
        _refused(_account(3), _revealCall(round, 200), _notCommitted(200));
    }

    function test_reveal_is_refused_from_the_deadline_on() external {
        _commit(round, 3);
        vm.warp(START + COMMIT + REVEAL - 1);
        _acts(_account(0), _revealCall(round, 0));
        vm.warp(START + COMMIT + REVEAL);
        _refused(
            _account(1),
            _revealCall(round, 1),
            _wrongPhase(IRoundLedger.Phase.Reveal, IRoundLedger.Phase.Propose)
        );
    }

    function test_reveals_close_in_the_block_of_the_last_that_can_come() external {
        _commit(round, 3);
        vm.warp(START + COMMIT + 11);
        _reveal(round, 2);
        vm.warp(START + COMMIT + 12);
        _acts(_account(2), _revealCall(round, 2));
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "phase");
        vm.assertEq(_view(round).revealEnd, START + COMMIT + 12, "end of reveals");
        vm.assertEq(
            _view(round).proposeEnd, START + COMMIT + 12 + PROPOSE, "proposals have their whole duration"
        );
    }

    function test_there_is_no_reveal_phase_where_nobody_committed() external {
        vm.warp(START + COMMIT);
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "phase");
        vm.assertEq(_view(round).proposeEnd, START + COMMIT + PROPOSE, "end of proposals");
        _refused(
            _account(0),
            _revealCall(round, 0),
            _wrongPhase(IRoundLedger.Phase.Reveal, IRoundLedger.Phase.Propose)
        );
    }

    function test_a_contribution_of_a_member_removed_after_its_commit_is_still_revealed() external {
        _commit(round, MEMBERS);
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        _acts(OUTSIDER, _revealCall(round, 4));
        vm.assertEq(ledger.entryAt(run, round, 4), _leaf(round, 4), "entry");
    }

    function _notCommitted(uint8 member) private view returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.NotCommitted.selector, run, round, member);
    }
}

/// @title Propose, attest, and how a round ends
contract DecisionTest is Fixture {
    // --- propose

    function test_propose_is_recorded_and_leaves_the_sealed_accumulator_alone() external {
        uint32 round = _openToPropose();
        bytes32 sealed_ = _view(round).sealedAccumulator;
        vm.expectEmit(address(ledger));
        emit IRoundLedger.Proposed(run, round, AGGREGATOR, RESULT);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        vm.assertEq(_view(round).sealedAccumulator, sealed_, "sealed accumulator");
        vm.assertEq(
            _view(round).accumulator,
            keccak256(abi.encode(sealed_, 3, AGGREGATOR, RESULT)),
            "the accumulator goes on from it"
        );
    }

    function test_propose_is_refused_outside_its_phase() external {
        uint32 round = _open();
        _refused(
            AGGREGATOR,
            _proposeCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Commit)
        );
        _commit(round, MEMBERS);
        _refused(
            AGGREGATOR,
            _proposeCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Reveal)
        );
        _reveal(round, MEMBERS);
        vm.warp(_view(round).proposeEnd);
        _refused(
            AGGREGATOR,
            _proposeCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Abortable)
        );
    }

    function test_propose_is_refused_for_zero() external {
        uint32 round = _openToPropose();
        _refused(
            AGGREGATOR, _proposeCall(round, 0), abi.encodeWithSelector(IRoundLedger.ZeroResult.selector)
        );
    }

    function test_propose_is_for_eligible_members_after_grace_whether_or_not_a_proposal_stands() external {
        uint32 round = _openToAttest();
        uint40 from = _view(round).revealEnd + GRACE;
        vm.warp(from - 1);
        _refused(
            _account(1),
            _proposeCall(round, OTHER),
            abi.encodeWithSelector(IRoundLedger.TooEarly.selector, from, from - 1)
        );
        vm.warp(from);
        _acts(_account(1), _proposeCall(round, OTHER));
    }

    function test_propose_is_refused_for_whom_is_neither_aggregator_nor_eligible() external {
        _acts(_account(4), abi.encodeCall(IRoundLedger.leave, (run)));
        uint32 round = _open();
        vm.warp(START + COMMIT + GRACE);
        _refused(
            _account(4),
            _proposeCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.NotEligible.selector, run, round, 4)
        );
        bytes memory notAllowed = abi.encodeWithSelector(IRoundLedger.NotAllowed.selector, OPERATOR);
        _refused(OPERATOR, _proposeCall(round, RESULT), notAllowed);
        _vote(abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 0)));
        notAllowed = abi.encodeWithSelector(IRoundLedger.NotAllowed.selector, AGGREGATOR);
        _refused(AGGREGATOR, _proposeCall(round, RESULT), notAllowed);
    }

    function test_propose_is_refused_a_fourth_time_in_a_round_and_possible_again_in_the_next() external {
        for (uint256 n = 0; n < 2; ++n) {
            uint32 round = _openToPropose();
            vm.warp(_view(round).revealEnd + GRACE);
            _proposesThreeTimesOnly(round, AGGREGATOR);
            _proposesThreeTimesOnly(round, _account(1));
            vm.warp(_view(round).proposeEnd);
            _acts(OUTSIDER, _abortCall(round));
        }
    }

    function test_member_that_was_an_aggregator_has_three_proposals_in_all() external {
        IConsortium.Terms memory t = _terms(QUORUM);
        t.aggregators = _one(_account(0));
        _vote(abi.encodeCall(IConsortium.voteRoles, (_account(0), 2)));
        _startRun(t);
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        _acts(_account(0), _openCall());
        vm.warp(_view(1).commitEnd + GRACE);
        _acts(_account(0), _proposeCall(1, RESULT));
        _acts(_account(0), _proposeCall(1, RESULT));
        _vote(abi.encodeCall(IConsortium.voteRoles, (_account(0), 0)));
        _acts(_account(0), _proposeCall(1, RESULT));
        _refused(_account(0), _proposeCall(1, RESULT), _tooMany(_account(0)));
    }

    // --- attest

    function test_attest_is_refused_before_anything_was_proposed() external {
        uint32 round = _openToPropose();
        _refused(
            _account(0),
            _attestCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.NothingProposed.selector, run, round)
        );
    }

    function test_attest_is_refused_outside_its_phase() external {
        uint32 round = _open();
        _refused(
            _account(0),
            _attestCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Commit)
        );
        _commit(round, MEMBERS);
        _refused(
            _account(0),
            _attestCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Reveal)
        );
        _reveal(round, MEMBERS);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        vm.warp(_view(round).proposeEnd - 1);
        _acts(_account(0), _attestCall(round, RESULT));
        vm.warp(_view(round).proposeEnd);
        _refused(
            _account(1),
            _attestCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Abortable)
        );
        _refused(
            _account(0),
            _replaceCall(round, RESULT, OTHER),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Abortable)
        );
        _acts(OUTSIDER, _abortCall(round));
        _refused(
            _account(1),
            _attestCall(round, RESULT),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Aborted)
        );
    }

    function test_attest_is_for_eligible_members_once() external {
        _acts(_account(4), abi.encodeCall(IRoundLedger.leave, (run)));
        uint32 round = _open();
        vm.warp(START + COMMIT);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _acts(_account(0), _attestCall(round, RESULT));
        vm.assertEq(_view(round).awaiting, 14, "1, 2 and 3 have yet to attest");
        _refused(
            _account(0),
            _attestCall(round, OTHER),
            abi.encodeWithSelector(IRoundLedger.AlreadyAttested.selector, run, round, 0)
        );
        _refused(
            _account(4),
            _attestCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.NotEligible.selector, run, round, 4)
        );
        _refused(
            AGGREGATOR,
            _attestCall(round, RESULT),
            abi.encodeWithSelector(IConsortium.NotMember.selector, AGGREGATOR)
        );
        _refused(
            _account(1), _attestCall(round, 0), abi.encodeWithSelector(IRoundLedger.ZeroResult.selector)
        );
    }

    function test_the_attestation_that_makes_a_quorum_certifies() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 2, RESULT);
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "two of three");
        vm.assertEq(ledger.attestersOf(run, round, RESULT), 3, "members 0 and 1");
        vm.warp(block.timestamp + 5);
        _acts(_account(4), _attestCall(round, RESULT));
        IRoundLedger.RoundView memory r = _view(round);
        vm.assertEq(uint8(r.status), uint8(IRoundLedger.Status.Certified), "status");
        vm.assertEq(uint8(r.phase), uint8(IRoundLedger.Phase.Certified), "phase");
        vm.assertEq(r.result, RESULT, "result");
        vm.assertEq(r.accumulator, replay.roundAt(run, round).accumulator, "accumulator equals the replay");
        vm.assertEq(ledger.runAt(run).base, RESULT, "the run's base");
        vm.assertEq(ledger.runAt(run).head, replay.head(run), "the run's head");
        vm.assertEq(ledger.runAt(run).lastEnd, block.timestamp, "the time of its end");
        _refused(
            AGGREGATOR,
            _proposeCall(round, OTHER),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Certified)
        );
        _refused(
            OUTSIDER,
            _abortCall(round),
            _wrongPhase(IRoundLedger.Phase.Abortable, IRoundLedger.Phase.Certified)
        );
    }

    function test_a_result_that_nobody_proposed_is_a_dispute_and_may_win() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 2, OTHER);
        _attest(round, 2, 4, RESULT);
        vm.assertEq(ledger.attestersOf(run, round, OTHER), 3, "on record");
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "undecided");
        _attest(round, 4, 5, OTHER);
        vm.assertEq(_view(round).result, OTHER, "the first digest with a quorum");
    }

    function test_quorum_of_one_certifies_with_the_first_attestation() external {
        _deploy(1, 0);
        _startRun(_soloTerms());
        _acts(_account(0), abi.encodeCall(IRoundLedger.join, (run)));
        uint32 round = _open();
        vm.warp(_view(round).commitEnd);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _acts(_account(0), _attestCall(round, RESULT));
        vm.assertEq(_view(round).result, RESULT, "certified");
    }

    // --- replaceAttestation

    function test_replacement_moves_the_attestation_and_stays_on_record() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 1, OTHER);
        bytes32 before = _view(round).accumulator;
        vm.expectEmit(address(ledger));
        emit IRoundLedger.Attested(run, round, 0, RESULT, REPORT, OTHER);
        _acts(_account(0), _replaceCall(round, OTHER, RESULT));
        vm.assertEq(ledger.attestersOf(run, round, OTHER), 0, "taken from the old");
        vm.assertEq(ledger.attestersOf(run, round, RESULT), 1, "given to the new");
        bytes32 value = keccak256(abi.encode(RESULT, REPORT, OTHER));
        vm.assertEq(
            _view(round).accumulator, keccak256(abi.encode(before, 4, 0, value)), "both in the accumulator"
        );
    }

    function test_replacement_can_make_the_quorum() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 1, OTHER);
        _attest(round, 1, 3, RESULT);
        _acts(_account(0), _replaceCall(round, OTHER, RESULT));
        vm.assertEq(_view(round).result, RESULT, "certified");
        _refused(
            _account(1),
            _replaceCall(round, RESULT, OTHER),
            _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Certified)
        );
    }

    function test_replacement_names_what_the_member_stands_by() external {
        uint32 round = _openToAttest();
        bytes memory expected =
            abi.encodeWithSelector(IRoundLedger.NotAttested.selector, run, round, 0, OTHER);
        _refused(_account(0), _replaceCall(round, OTHER, RESULT), expected);
        _attest(round, 0, 1, RESULT);
        _attest(round, 1, 2, OTHER);
        _refused(_account(0), _replaceCall(round, OTHER, RESULT), expected);
    }

    function test_replacement_by_the_same_or_by_zero_is_refused() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 1, RESULT);
        _refused(
            _account(0),
            _replaceCall(round, RESULT, RESULT),
            abi.encodeWithSelector(IRoundLedger.AlreadyAttested.selector, run, round, 0)
        );
        _refused(
            _account(0),
            _replaceCall(round, RESULT, 0),
            abi.encodeWithSelector(IRoundLedger.ZeroResult.selector)
        );
    }

    // --- late attestations

    function test_late_attestations_are_recorded_once_a_member_whatever_they_say() external {
        uint32 round = _certified();
        bytes32 head = ledger.runAt(run).head;
        bytes32 accumulator = _view(round).accumulator;
        bytes32 first = keccak256(abi.encode(0, round, 3, keccak256(abi.encode(OTHER, REPORT, 0))));
        vm.expectEmit(address(ledger));
        emit IRoundLedger.AttestedLate(run, round, 3, OTHER, REPORT, first);
        _acts(_account(3), _attestCall(round, OTHER));
        vm.warp(block.timestamp + 365 days);
        _acts(_account(4), _attestCall(round, RESULT));
        vm.assertEq(ledger.runAt(run).late, replay.late(run), "late accumulator equals the replay");
        vm.assertEq(ledger.runAt(run).head, head, "the head stays");
        vm.assertEq(_view(round).accumulator, accumulator, "so does the round's accumulator");
        vm.assertEq(_view(round).awaiting, 0, "all have attested");
        vm.assertEq(ledger.attestersOf(run, round, OTHER), 0, "late ones are not tallied");
        bytes memory already = abi.encodeWithSelector(IRoundLedger.AlreadyAttested.selector, run, round, 3);
        _refused(_account(3), _attestCall(round, RESULT), already);
        already = abi.encodeWithSelector(IRoundLedger.AlreadyAttested.selector, run, round, 0);
        _refused(_account(0), _attestCall(round, RESULT), already);
    }

    function test_late_attestations_bind_the_next_round() external {
        uint32 round = _certified();
        uint256 before = vm.snapshotState();
        _open();
        bytes32 without = _view(round + 1).sealedAccumulator;
        vm.revertToState(before);
        _acts(_account(3), _attestCall(round, OTHER));
        _open();
        vm.assertTrue(without != _view(round + 1).sealedAccumulator, "another seed");
    }

    function test_late_attestation_of_nothing_or_by_whom_was_not_eligible_is_refused() external {
        _acts(_account(4), abi.encodeCall(IRoundLedger.leave, (run)));
        uint32 round = _open();
        vm.warp(_view(round).commitEnd);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _attest(round, 0, 3, RESULT);
        _refused(
            _account(4),
            _attestCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.NotEligible.selector, run, round, 4)
        );
        _refused(
            _account(3), _attestCall(round, 0), abi.encodeWithSelector(IRoundLedger.ZeroResult.selector)
        );
    }

    // --- abort

    function test_abort_is_for_anyone_after_the_last_deadline_and_for_nobody_before() external {
        uint32 round = _openToAttest();
        _attest(round, 0, 2, RESULT);
        vm.warp(_view(round).proposeEnd - 1);
        _refused(
            OPERATOR,
            _abortCall(round),
            _wrongPhase(IRoundLedger.Phase.Abortable, IRoundLedger.Phase.Propose)
        );
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Aborted), "phase");
        vm.assertEq(_view(round).result, bytes32(0), "no result");
        vm.assertEq(ledger.runAt(run).head, replay.head(run), "the head moves on");
        vm.assertEq(ledger.runAt(run).lastEnd, block.timestamp, "the time of its end");
        _refused(
            OUTSIDER,
            _abortCall(round),
            _wrongPhase(IRoundLedger.Phase.Abortable, IRoundLedger.Phase.Aborted)
        );
    }

    function test_abort_before_any_proposal_closes_over_the_sealed_accumulator() external {
        uint32 round = _open();
        _commit(round, 3);
        _reveal(round, 1);
        vm.warp(_view(round).proposeEnd);
        bytes32 sealed_ = _view(round).sealedAccumulator;
        bytes32 head = keccak256(abi.encode(ledger.runAt(run).head, run, round, 3, sealed_, 0));
        vm.expectEmit(address(ledger));
        emit IRoundLedger.RoundAborted(run, round, sealed_, head);
        _acts(OUTSIDER, _abortCall(round));
    }

    function test_round_after_an_aborted_one_starts_from_the_same_base() external {
        _certified();
        uint32 round = _openToAttest();
        _attest(round, 0, 2, OTHER);
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(ledger.runAt(run).base, RESULT, "the base of the certified round");
        _open();
    }

    // --- helpers

    function _proposesThreeTimesOnly(uint32 round, address proposer) private {
        for (uint256 i = 0; i < 3; ++i) {
            _acts(proposer, _proposeCall(round, keccak256(abi.encode(i))));
        }
        _refused(proposer, _proposeCall(round, RESULT), _tooMany(proposer));
    }

    function _tooMany(address proposer) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.TooManyProposals.selector, proposer);
    }

    function _soloTerms() private pure returns (IConsortium.Terms memory t) {
        t = _terms(1);
        t.minReveals = 1;
    }
}
