// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bitmap} from "../src/Bitmap.sol";
import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Handler} from "./Handler.sol";
import {Replay} from "./Replay.sol";
import {vm} from "./Vm.sol";

/// @title What holds after any sequence of calls
/// @dev The handler itself fails where a round moves back, a member acts twice in a phase, an entry is set
/// twice, or a round is certified by anything but a quorum of its eligible members: see Handler and Replay.
contract InvariantsTest {
    using Bitmap for uint256;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private _handler;
    IConsortium private _consortium;
    IRoundLedger private _ledger;
    Replay private _replay;
    uint64 private _run;

    function setUp() external {
        _handler = new Handler();
        address replay;
        (_consortium, _ledger, replay, _run) = _handler.parts();
        _replay = Replay(replay);
    }

    /// @notice Asked by forge: which calls a run is made of.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_handler), _actions());
    }

    /// @notice Asked by forge: which contracts the calls go to.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_accumulators_and_heads_equal_a_replay_of_the_events() external view {
        (uint32 epoch, bytes32 accumulator, uint256 present) = _consortium.snapshot();
        vm.assertEq(accumulator, _replay.consortiumAccumulator(), "the consortium's accumulator");
        vm.assertEq(epoch, _replay.epoch(), "epoch");
        vm.assertEq(present, _replay.present(), "members");
        IRoundLedger.RunView memory r = _ledger.runAt(_run);
        vm.assertEq(r.head, _replay.head(_run), "head");
        vm.assertEq(r.base, _replay.base(_run), "base");
        vm.assertEq(r.late, _replay.late(_run), "late accumulator");
        vm.assertEq(r.joined, _replay.joined(_run), "joined");
        vm.assertEq(r.rounds, _replay.roundCount(_run), "rounds");
    }

    function invariant_all_rounds_old_ones_too_are_as_their_events_say() external view {
        for (uint32 round = 1; round <= _handler.rounds(); ++round) {
            IRoundLedger.RoundView memory r = _ledger.roundAt(_run, round);
            Replay.Round memory expected = _replay.roundAt(_run, round);
            vm.assertEq(uint8(r.status), uint8(expected.status), "status");
            vm.assertEq(r.result, expected.result, "result");
            vm.assertEq(r.eligible, expected.eligible, "eligible");
            vm.assertEq(r.awaiting, expected.awaiting, "awaiting");
            vm.assertEq(r.sealedAccumulator, expected.sealedAccumulator, "sealed accumulator");
            vm.assertEq(r.accumulator, expected.accumulator, "accumulator");
            vm.assertEq(r.commits, expected.commits, "commits");
            vm.assertEq(r.reveals, expected.reveals, "reveals");
            for (uint8 member = 0; member < _handler.members(); ++member) {
                bytes32 entry = _ledger.entryAt(_run, round, member);
                vm.assertEq(entry, _replay.entries(_run, round, member), "entry");
            }
        }
    }

    function invariant_reveals_are_at_most_commits_and_commits_at_most_the_eligible() external view {
        for (uint32 round = 1; round <= _handler.rounds(); ++round) {
            IRoundLedger.RoundView memory r = _ledger.roundAt(_run, round);
            vm.assertLe(r.reveals, r.commits, "reveals");
            vm.assertLe(r.commits, r.eligibleCount, "commits");
            vm.assertEq(r.eligibleCount, r.eligible.count(), "eligible");
            vm.assertEq(r.awaiting & ~r.eligible, 0, "awaiting");
            vm.assertTrue(r.commitEnd <= r.revealEnd && r.revealEnd < r.proposeEnd, "deadlines in order");
        }
    }

    function invariant_certified_rounds_have_a_quorum_of_distinct_eligible_members() external view {
        uint256 quorum = _ledger.runAt(_run).quorum;
        for (uint32 round = 1; round <= _handler.rounds(); ++round) {
            IRoundLedger.RoundView memory r = _ledger.roundAt(_run, round);
            vm.assertTrue(2 * quorum > r.eligibleCount, "the quorum is a majority of the eligible");
            if (r.status != IRoundLedger.Status.Certified) continue;
            uint256 attesters = _ledger.attestersOf(_run, round, r.result);
            vm.assertEq((attesters & r.eligible).count(), quorum, "a quorum");
            vm.assertEq(attesters & ~r.eligible, 0, "of eligible members");
        }
    }

    function invariant_every_open_round_ends_once_time_passes() external {
        uint32 round = _handler.rounds();
        if (round == 0) return;
        IRoundLedger.RoundView memory r = _ledger.roundAt(_run, round);
        if (r.status != IRoundLedger.Status.Open) return;
        uint256 before = vm.snapshotState();
        if (block.timestamp < r.proposeEnd) vm.warp(r.proposeEnd + 1 days);
        vm.prank(address(0xBAD), address(0xBAD));
        _ledger.abort(_run, round);
        r = _ledger.roundAt(_run, round);
        vm.assertEq(uint8(r.status), uint8(IRoundLedger.Status.Aborted), "anyone aborted it");
        vm.revertToState(before);
    }

    /// @notice Guards the others: a handler that got nowhere would break nothing.
    function test_the_handler_reaches_every_kind_of_step_and_both_ends_of_a_round() external {
        bytes4[] memory actions = _actions();
        uint256 random = 7;
        for (uint256 i = 0; i < 2_000; ++i) {
            random = uint256(keccak256(abi.encode(random)));
            uint256 willing = random | (random >> 1); // three in four
            bytes memory seeds = abi.encode(willing, keccak256(abi.encode(random, i)), random % 5);
            (bool done, bytes memory answer) =
                address(_handler).call(bytes.concat(actions[random % actions.length], _widened(seeds)));
            vm.assertEq(done ? bytes("") : answer, "", "nothing contradicts");
        }
        _reached(IRoundLedger.open.selector, 20);
        _reached(IRoundLedger.commit.selector, 50);
        _reached(IRoundLedger.reveal.selector, 30);
        _reached(IRoundLedger.propose.selector, 20);
        _reached(IRoundLedger.attest.selector, 50);
        _reached(IRoundLedger.replaceAttestation.selector, 1);
        _reached(IRoundLedger.abort.selector, 5);
        _reached(IRoundLedger.join.selector, 5);
        _reached(IRoundLedger.leave.selector, 5);
        _reached(IConsortium.voteAdmit.selector, 5);
        _reached(IConsortium.voteRemove.selector, 5);
        _reached(IConsortium.voteRotate.selector, 5);
        _reached(IConsortium.voteRoles.selector, 5);
        vm.assertLe(5, _handler.ended(IRoundLedger.Status.Certified), "certified rounds");
        vm.assertLe(5, _handler.ended(IRoundLedger.Status.Aborted), "aborted rounds");
        vm.assertLe(5, _replay.lateAttestations(_run), "late attestations");
        (uint32 epoch,,) = _consortium.snapshot();
        vm.assertLe(15, epoch, "membership changes");
    }

    function _reached(bytes4 selector, uint256 times) private view {
        vm.assertLe(times, _handler.accepted(selector), "the handler gets this accepted");
    }

    /// @dev Seeds that an action's narrower parameters accept too: only the lowest byte of each is kept for
    /// them.
    function _widened(bytes memory seeds) private pure returns (bytes memory) {
        (uint256 first, uint256 second, uint256 third) = abi.decode(seeds, (uint256, uint256, uint256));
        return abi.encode(first, second & 0xff, third);
    }

    function _actions() private pure returns (bytes4[] memory actions) {
        actions = new bytes4[](20);
        actions[0] = Handler.wait.selector;
        actions[1] = Handler.advance.selector;
        actions[2] = Handler.advance.selector;
        actions[3] = Handler.open.selector;
        actions[4] = Handler.commit.selector;
        actions[5] = Handler.copyCommitment.selector;
        actions[6] = Handler.reveal.selector;
        actions[7] = Handler.propose.selector;
        actions[8] = Handler.attest.selector;
        actions[9] = Handler.attestToTheRoundBefore.selector;
        actions[10] = Handler.replaceAttestation.selector;
        actions[11] = Handler.abort.selector;
        actions[12] = Handler.join.selector;
        actions[13] = Handler.leave.selector;
        actions[14] = Handler.pauseOrResume.selector;
        actions[15] = Handler.vote.selector;
        actions[16] = Handler.withdrawVote.selector;
        actions[17] = Handler.decide.selector;
        actions[18] = Handler.attest.selector;
        actions[19] = Handler.wait.selector;
    }
}
