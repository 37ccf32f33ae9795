// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Attacks that broke earlier systems, and others that were to be expected
/// @dev Two known ones are tested elsewhere: gas that grows with history in Gas.t.sol, text that ends in a
/// shell in tests/contracts/test_artifacts.py, since no function takes text.
contract AttacksTest is Fixture {
    uint32 private round;

    function setUp() public override {
        super.setUp();
        round = _open();
    }

    // --- free riders

    /// @notice In 2CP another's CID, handed in again, earned as much as the original.
    function test_anothers_commitment_handed_in_as_ones_own_cannot_be_revealed() external {
        bytes32 stolen = _commitment(round, 0);
        _acts(_account(0), _commitCall(round, 0));
        _acts(_account(1), abi.encodeCall(IRoundLedger.commit, (run, round, stolen)));
        vm.warp(_view(round).commitEnd);
        _acts(_account(0), _revealCall(round, 0));
        _refused(_account(1), _revealAs(1, 0), _notCommitted(1));
        vm.assertEq(ledger.entryAt(run, round, 1), stolen, "committed, never revealed");
    }

    /// @notice BlockFlow wanted digests to be unique, so that a copy sent first shut the author out.
    function test_copy_of_a_commitment_sent_first_does_not_shut_its_author_out() external {
        bytes32 stolen = _commitment(round, 0);
        _acts(_account(1), abi.encodeCall(IRoundLedger.commit, (run, round, stolen)));
        _acts(_account(0), _commitCall(round, 0));
        vm.warp(_view(round).commitEnd);
        _acts(_account(0), _revealCall(round, 0));
        vm.assertEq(ledger.entryAt(run, round, 0), _leaf(round, 0), "the author's entry");
    }

    /// @notice In OpenFL a copy made after the original was revealed was accepted.
    function test_copy_of_a_revealed_contribution_comes_too_late() external {
        _commit(round, 3);
        _acts(_account(0), _revealCall(round, 0));
        bytes32 leaf = ledger.leafOf(run, round, 4, _contribution(0));
        bytes32 copied = keccak256(abi.encode(leaf, _salt(4)));
        _refused(
            _account(4),
            abi.encodeCall(IRoundLedger.commit, (run, round, copied)),
            _wrongPhase(IRoundLedger.Phase.Commit, IRoundLedger.Phase.Reveal)
        );
    }

    function test_no_block_accepts_both_a_reveal_and_a_commit() external {
        _commit(round, MEMBERS);
        _acts(_account(0), _revealCall(round, 0));
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _refused(
                _account(i),
                _commitCall(round, i),
                _wrongPhase(IRoundLedger.Phase.Commit, IRoundLedger.Phase.Reveal)
            );
        }
    }

    /// @notice cryptoFL took any 32 bytes for an update.
    function test_commitment_to_nothing_is_no_contribution() external {
        _acts(_account(0), abi.encodeCall(IRoundLedger.commit, (run, round, keccak256("anything"))));
        vm.warp(_view(round).commitEnd);
        _refused(_account(0), _revealCall(round, 0), _notCommitted(0));
        vm.assertEq(_view(round).reveals, 0, "no contribution");
    }

    // --- replays

    function test_commitment_of_an_earlier_round_opens_nothing_in_a_later_one() external {
        bytes32 old = _commitment(round, 0);
        _commit(round, MEMBERS);
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        round = _open();
        _acts(_account(0), abi.encodeCall(IRoundLedger.commit, (run, round, old)));
        vm.warp(_view(round).commitEnd);
        _refused(_account(0), _revealCall(round, 0), _notCommitted(0));
    }

    function test_commitment_of_one_run_opens_nothing_in_another() external {
        bytes32 old = _commitment(round, 0);
        _acts(AGGREGATOR, abi.encodeCall(IRoundLedger.startRun, (terms)));
        run = 2;
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        vm.assertEq(_open(), round, "the same round number");
        _acts(_account(0), abi.encodeCall(IRoundLedger.commit, (run, round, old)));
        vm.warp(_view(round).commitEnd);
        _refused(_account(0), _revealCall(round, 0), _notCommitted(0));
    }

    function test_commitment_for_one_contract_opens_nothing_in_another() external {
        bytes32 old = _commitment(round, 0);
        ledger = IRoundLedger(_create("RoundLedger.sol", abi.encode(consortium)));
        vm.recordLogs();
        vm.prank(OPERATOR, OPERATOR);
        vm.assertEq(ledger.startRun(terms), run, "the same run number");
        for (uint8 i = 0; i < MEMBERS; ++i) {
            vm.prank(_account(i), _account(i));
            ledger.join(run);
        }
        vm.prank(AGGREGATOR, AGGREGATOR);
        vm.assertEq(ledger.open(run), round, "the same round number");
        vm.prank(_account(0), _account(0));
        ledger.commit(run, round, old);
        vm.warp(_view(round).commitEnd);
        _refused(_account(0), _revealCall(round, 0), _notCommitted(0));
    }

    function test_commitment_for_one_chain_opens_nothing_on_another() external {
        _commit(round, MEMBERS);
        bytes memory reveal = _revealCall(round, 0);
        vm.chainId(block.chainid + 1);
        _refused(_account(0), reveal, _notCommitted(0));
    }

    function test_vote_is_spent_with_the_decision_it_helped_to_make() external {
        bytes memory grant = abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 2));
        _vote(grant);
        _vote(abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 0)));
        _acts(_account(0), address(consortium), grant);
        vm.assertEq(consortium.rolesOf(OUTSIDER), 0, "one vote, not four");
    }

    // --- impostors

    /// @notice In OpenFL an outsider registered over a victim, in BCFL anyone overwrote anything.
    function test_nobody_registers_over_a_victim() external {
        bytes memory over =
            abi.encodeCall(IConsortium.voteAdmit, (_account(0), bytes32("mine"), bytes32("mine")));
        _refused(OUTSIDER, address(consortium), over, _notMember(OUTSIDER));
        bytes memory inUse = abi.encodeWithSelector(IConsortium.AccountInUse.selector, _account(0));
        _refused(_account(1), address(consortium), over, inUse);
        bytes memory rotate = abi.encodeCall(IConsortium.voteRotate, (1, _account(0), bytes32("mine")));
        _refused(_account(1), address(consortium), rotate, inUse);
    }

    function test_nobody_overwrites_anothers_entry() external {
        _commit(round, MEMBERS);
        _acts(_account(0), _revealCall(round, 0));
        IRoundLedger.Contribution memory forged = _contribution(0);
        forged.numExamples = 1_000_000;
        bytes memory reveal = abi.encodeCall(IRoundLedger.reveal, (run, round, 0, forged, _salt(0)));
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _refused(_account(i), reveal, _notCommitted(0));
        }
        _refused(OUTSIDER, reveal, _notCommitted(0));
        vm.assertEq(ledger.entryAt(run, round, 0), _leaf(round, 0), "entry");
    }

    /// @notice 2CP left setters open to all.
    function test_outsider_can_do_nothing_but_reveal_for_others_and_abort_in_time(address outsider)
        external
    {
        vm.assume(uint160(outsider) < 0xF00000 || uint160(outsider) >= 0xF00000 + MEMBERS);
        vm.assume(outsider != AGGREGATOR && outsider != OPERATOR);
        bytes memory notAllowed = abi.encodeWithSelector(IRoundLedger.NotAllowed.selector, outsider);
        bytes memory notMember = _notMember(outsider);
        _refused(outsider, abi.encodeCall(IRoundLedger.startRun, (terms)), notAllowed);
        _refused(outsider, abi.encodeCall(IRoundLedger.join, (run)), notMember);
        _refused(outsider, abi.encodeCall(IRoundLedger.leave, (run)), notMember);
        _refused(outsider, abi.encodeCall(IRoundLedger.pause, (run)), notAllowed);
        _refused(outsider, abi.encodeCall(IRoundLedger.resume, (run)), notAllowed);
        _refused(outsider, _commitCall(round, 0), notMember);
        vm.warp(_view(round).commitEnd + GRACE);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _refused(outsider, _proposeCall(round, OTHER), notAllowed);
        _refused(outsider, _attestCall(round, RESULT), notMember);
        _refused(outsider, _replaceCall(round, RESULT, OTHER), notMember);
        vm.warp(_view(round).proposeEnd);
        _acts(outsider, _abortCall(round));
        vm.warp(block.timestamp + GRACE);
        _refused(outsider, _openCall(), notAllowed);
    }

    function test_stolen_key_is_dead_with_the_vote_that_rotates_it() external {
        _vote(abi.encodeCall(IConsortium.voteRotate, (3, _account(50), bytes32("new"))));
        _refused(_account(3), _commitCall(round, 3), _notMember(_account(3)));
        _acts(_account(50), _commitCall(round, 3));
    }

    function test_removed_member_is_dead_at_once_in_open_rounds_too() external {
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        _refused(_account(4), _commitCall(round, 4), _notMember(_account(4)));
        vm.assertEq(_view(round).eligibleCount, MEMBERS, "its place stays, and its absence is on record");
    }

    // --- two for one

    function test_rotated_member_commits_once() external {
        _acts(_account(3), _commitCall(round, 3));
        _vote(abi.encodeCall(IConsortium.voteRotate, (3, _account(50), bytes32("new"))));
        _refused(
            _account(50),
            abi.encodeCall(IRoundLedger.commit, (run, round, bytes32("second"))),
            abi.encodeWithSelector(IRoundLedger.AlreadyCommitted.selector, run, round, 3)
        );
    }

    function test_rotated_member_attests_once_and_may_replace_what_it_attested() external {
        _proposed();
        _acts(_account(3), _attestCall(round, RESULT));
        _vote(abi.encodeCall(IConsortium.voteRotate, (3, _account(50), bytes32("new"))));
        _refused(
            _account(50),
            _attestCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.AlreadyAttested.selector, run, round, 3)
        );
        _acts(_account(50), _replaceCall(round, RESULT, OTHER));
        vm.assertEq(ledger.attestersOf(run, round, RESULT), 0, "one attestation only");
    }

    function test_rotated_member_votes_once() external {
        bytes memory grant = abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 2));
        _acts(_account(3), address(consortium), grant);
        _vote(abi.encodeCall(IConsortium.voteRotate, (3, _account(50), bytes32("new"))));
        bytes32 ballot = keccak256(abi.encode(4, OUTSIDER, 2));
        bytes memory already = abi.encodeWithSelector(IConsortium.AlreadyVoted.selector, ballot, 3);
        _refused(_account(50), address(consortium), grant, already);
    }

    function test_rotated_member_has_three_proposals_in_all() external {
        vm.warp(_view(round).commitEnd + GRACE);
        for (uint256 i = 0; i < 3; ++i) {
            _acts(_account(3), _proposeCall(round, keccak256(abi.encode(i))));
        }
        _vote(abi.encodeCall(IConsortium.voteRotate, (3, _account(50), bytes32("new"))));
        _refused(
            _account(50),
            _proposeCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.TooManyProposals.selector, _account(50))
        );
    }

    function test_leaving_and_joining_again_brings_no_new_proposals() external {
        vm.warp(_view(round).commitEnd + GRACE);
        for (uint256 i = 0; i < 3; ++i) {
            _acts(_account(3), _proposeCall(round, keccak256(abi.encode(i))));
        }
        _acts(_account(3), abi.encodeCall(IRoundLedger.leave, (run)));
        _acts(_account(3), abi.encodeCall(IRoundLedger.join, (run)));
        _refused(
            _account(3),
            _proposeCall(round, RESULT),
            abi.encodeWithSelector(IRoundLedger.TooManyProposals.selector, _account(3))
        );
    }

    function test_toggled_attestations_never_count_twice() external {
        _proposed();
        _acts(_account(0), _attestCall(round, RESULT));
        for (uint256 i = 0; i < 4; ++i) {
            _acts(_account(0), _replaceCall(round, RESULT, OTHER));
            _acts(_account(0), _replaceCall(round, OTHER, RESULT));
        }
        vm.assertEq(ledger.attestersOf(run, round, RESULT), 1, "one member");
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "no quorum");
    }

    // --- whoever runs the services

    function test_lying_aggregator_certifies_nothing() external {
        _proposed();
        _acts(AGGREGATOR, _proposeCall(round, OTHER));
        _refused(AGGREGATOR, _attestCall(round, OTHER), _notMember(AGGREGATOR));
        _attest(round, 0, uint8(QUORUM), RESULT);
        vm.assertEq(_view(round).result, RESULT, "what the members recomputed");
    }

    function test_colluding_minority_certifies_nothing() external {
        _proposed();
        _attest(round, 0, uint8(QUORUM) - 1, OTHER);
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(ledger.runAt(run).base, bytes32(0), "the base stays");
    }

    function test_operator_neither_certifies_nor_aborts_nor_proposes() external {
        _proposed();
        _attest(round, 0, uint8(QUORUM) - 1, RESULT);
        vm.warp(block.timestamp + GRACE);
        bytes memory notAllowed = abi.encodeWithSelector(IRoundLedger.NotAllowed.selector, OPERATOR);
        _refused(OPERATOR, _attestCall(round, RESULT), _notMember(OPERATOR));
        _refused(OPERATOR, _proposeCall(round, OTHER), notAllowed);
        _refused(
            OPERATOR,
            _abortCall(round),
            _wrongPhase(IRoundLedger.Phase.Abortable, IRoundLedger.Phase.Propose)
        );
    }

    /// @notice Were a contract to act for a member, the record would not show which key decided it.
    function test_member_or_aggregator_that_acts_through_a_contract_is_refused() external {
        _throughContract(_account(0), address(ledger), _commitCall(round, 0));
        _commit(round, MEMBERS);
        _reveal(round, MEMBERS);
        _throughContract(AGGREGATOR, address(ledger), _proposeCall(round, RESULT));
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _throughContract(_account(0), address(ledger), _attestCall(round, RESULT));
        _acts(_account(0), _attestCall(round, RESULT));
        _throughContract(_account(0), address(ledger), _replaceCall(round, RESULT, OTHER));
        _throughContract(AGGREGATOR, address(ledger), abi.encodeCall(IRoundLedger.open, (run)));
        _throughContract(_account(0), address(ledger), abi.encodeCall(IRoundLedger.join, (run)));
        _throughContract(_account(0), address(ledger), abi.encodeCall(IRoundLedger.leave, (run)));
    }

    function test_member_that_votes_through_a_contract_is_refused() external {
        bytes[6] memory calls = [
            abi.encodeCall(IConsortium.voteAdmit, (_account(50), OTHER, OTHER)),
            abi.encodeCall(IConsortium.voteRemove, (1)),
            abi.encodeCall(IConsortium.voteRotate, (1, _account(50), OTHER)),
            abi.encodeCall(IConsortium.voteRoles, (_account(50), 1)),
            abi.encodeCall(IConsortium.voteApprove, (_terms(QUORUM + 1))),
            abi.encodeCall(IConsortium.withdrawVote, (OTHER))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            _throughContract(_account(0), address(consortium), calls[i]);
        }
    }

    function test_contract_may_reveal_and_abort_as_anyone_may() external {
        _acts(_account(0), _commitCall(round, 0));
        vm.warp(_view(round).commitEnd);
        vm.prank(OUTSIDER, _account(1));
        ledger.reveal(run, round, 0, _contribution(0), _salt(0));
        vm.warp(_view(round).proposeEnd);
        vm.prank(OUTSIDER, _account(1));
        ledger.abort(run, round);
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Aborted), "aborted");
    }

    /// @dev What the callee sees of a call by a contract with the member's address: another origin.
    function _throughContract(address sender, address target, bytes memory call) private {
        vm.prank(sender, OUTSIDER);
        (bool done, bytes memory answer) = target.call(call);
        vm.assertTrue(!done, "the call is refused");
        vm.assertEq(
            answer, abi.encodeWithSelector(IRoundLedger.NotSigned.selector, sender), "for the right reason"
        );
    }

    function test_operator_pausing_does_not_stop_a_round() external {
        _acts(OPERATOR, abi.encodeCall(IRoundLedger.pause, (run)));
        _commit(round, MEMBERS);
        _reveal(round, MEMBERS);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _attest(round, 0, uint8(QUORUM), RESULT);
        vm.assertEq(_view(round).result, RESULT, "certified");
    }

    function test_nobody_grants_a_role_alone() external {
        bytes memory grant = abi.encodeCall(IConsortium.voteRoles, (OPERATOR, 7));
        _refused(OPERATOR, address(consortium), grant, _notMember(OPERATOR));
        _acts(_account(0), address(consortium), grant);
        vm.assertEq(consortium.rolesOf(OPERATOR), 1, "one vote is not enough");
    }

    /// @notice In FedChain the caller chose the value that it was judged by.
    function test_caller_chooses_no_parameter_of_a_round() external {
        IConsortium.Terms memory t = terms;
        t.quorum = 1;
        t.commitDuration = 1;
        _refused(
            AGGREGATOR,
            abi.encodeCall(IRoundLedger.startRun, (t)),
            abi.encodeWithSelector(IRoundLedger.NotApproved.selector, consortium.termsDigest(t))
        );
        bytes memory call = bytes.concat(_openCall(), abi.encode(uint256(1), uint256(1)));
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        _acts(AGGREGATOR, call);
        vm.assertEq(_view(round + 1).commitEnd, block.timestamp + COMMIT, "as approved");
    }

    function test_vote_conscripts_nobody() external {
        bytes memory startRun = abi.encodeCall(IRoundLedger.startRun, (terms));
        run = abi.decode(_acts(OPERATOR, address(ledger), startRun), (uint64));
        _refused(
            AGGREGATOR, _openCall(), abi.encodeWithSelector(IRoundLedger.TooFewMembers.selector, QUORUM, 0)
        );
    }

    // --- missing members, dead aggregators, deadlines

    /// @notice In BlockLearning one missing trainer stopped the contract for ever.
    function test_missing_members_do_not_stop_a_round() external {
        _commit(round, 4);
        _reveal(round, 3);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        _attest(round, 0, uint8(QUORUM), RESULT);
        vm.assertEq(_view(round).result, RESULT, "certified without members 3 and 4");
        vm.assertEq(ledger.entryAt(run, round, 3), _commitment(round, 3), "committed, not revealed");
        vm.assertEq(ledger.entryAt(run, round, 4), bytes32(0), "absent");
    }

    function test_nobody_at_all_does_not_stop_the_run() external {
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        vm.assertEq(_open(), round + 1, "the next round");
    }

    /// @notice Below its number of peers, Swarm Learning waited for ever.
    function test_members_that_leave_for_good_do_not_lock_the_run_for_the_rest() external {
        for (uint8 i = 0; i < 3; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.leave, (run)));
        }
        vm.warp(_view(round).proposeEnd);
        _acts(OUTSIDER, _abortCall(round));
        bytes memory tooFew = abi.encodeWithSelector(IRoundLedger.TooFewMembers.selector, QUORUM, 2);
        _refused(AGGREGATOR, _openCall(), tooFew);
        _acts(_account(0), abi.encodeCall(IRoundLedger.join, (run)));
        vm.assertEq(_open(), round + 1, "with three again");
    }

    function test_dead_aggregator_does_not_stop_the_members() external {
        for (uint256 n = 0; n < 2; ++n) {
            _commit(round, MEMBERS);
            _reveal(round, MEMBERS);
            vm.warp(block.timestamp + GRACE);
            _acts(_account(2), _proposeCall(round, RESULT));
            _attest(round, 0, uint8(QUORUM), RESULT);
            vm.warp(block.timestamp + GRACE);
            round = abi.decode(_acts(_account(1), address(ledger), _openCall()), (uint32));
        }
        vm.assertEq(round, 3, "two rounds without it, and a third opened");
    }

    function test_aggregator_that_proposes_rubbish_does_not_shut_members_out() external {
        _commit(round, MEMBERS);
        _reveal(round, MEMBERS);
        for (uint256 i = 0; i < 3; ++i) {
            _acts(AGGREGATOR, _proposeCall(round, keccak256(abi.encode(i))));
        }
        vm.warp(block.timestamp + GRACE);
        _acts(_account(2), _proposeCall(round, RESULT));
        _attest(round, 0, uint8(QUORUM), RESULT);
        vm.assertEq(_view(round).result, RESULT, "certified");
    }

    function test_nobody_attests_before_contributions_are_sealed() external {
        _commit(round, MEMBERS);
        bytes memory wrongPhase = _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Reveal);
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _refused(_account(i), _attestCall(round, RESULT), wrongPhase);
        }
    }

    function test_nobody_escapes_the_last_deadline() external {
        _proposed();
        _attest(round, 0, uint8(QUORUM) - 1, RESULT);
        vm.warp(_view(round).proposeEnd);
        bytes memory wrongPhase = _wrongPhase(IRoundLedger.Phase.Propose, IRoundLedger.Phase.Abortable);
        _refused(AGGREGATOR, _proposeCall(round, RESULT), wrongPhase);
        _refused(_account(4), _attestCall(round, RESULT), wrongPhase);
        _refused(_account(0), _replaceCall(round, RESULT, OTHER), wrongPhase);
    }

    function test_late_attestations_change_no_outcome() external {
        _proposed();
        _attest(round, 0, uint8(QUORUM), RESULT);
        bytes32 head = ledger.runAt(run).head;
        _attest(round, 3, 5, OTHER);
        vm.assertEq(_view(round).result, RESULT, "result");
        vm.assertEq(ledger.runAt(run).head, head, "head");
    }

    // --- small counters

    /// @notice OpenFL counted votes in a uint8 and stopped at the 256th.
    function test_no_counter_overflows_with_256_members() external {
        _deploy(256, 0);
        _startRun(_terms(129));
        for (uint256 i = 0; i < 256; ++i) {
            _acts(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
        }
        round = _open();
        vm.assertEq(_view(round).eligibleCount, 256, "all eligible");
        for (uint256 i = 0; i < 256; ++i) {
            _acts(_account(i), _commitCall(round, uint8(i)));
        }
        for (uint256 i = 0; i < 256; ++i) {
            _acts(OUTSIDER, _revealCall(round, uint8(i)));
        }
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "all 256 committed and revealed");
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
        for (uint256 i = 255; i > 127; --i) {
            _acts(_account(i), _attestCall(round, RESULT));
        }
        vm.assertEq(_phase(round), uint8(IRoundLedger.Phase.Propose), "128 are no quorum");
        _acts(_account(0), _attestCall(round, RESULT));
        vm.assertEq(_view(round).result, RESULT, "129 are");
    }

    // --- helpers

    /// @dev The round of `setUp` in its propose phase, with `RESULT` proposed.
    function _proposed() private {
        _commit(round, MEMBERS);
        _reveal(round, MEMBERS);
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
    }

    /// @dev A reveal for `member` of what `victim` revealed.
    function _revealAs(uint8 member, uint8 victim) private view returns (bytes memory) {
        return
            abi.encodeCall(IRoundLedger.reveal, (run, round, member, _contribution(victim), _salt(victim)));
    }

    function _notCommitted(uint8 member) private view returns (bytes memory) {
        return abi.encodeWithSelector(IRoundLedger.NotCommitted.selector, run, round, member);
    }

    function _notMember(address account) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IConsortium.NotMember.selector, account);
    }
}
