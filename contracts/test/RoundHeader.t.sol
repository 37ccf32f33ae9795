// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRoundLedger} from "../src/IRoundLedger.sol";
import {RoundHeader, RoundHeaders} from "../src/RoundHeader.sol";
import {vm} from "./Vm.sol";

/// @title Fields that share a word keep out of each other
contract RoundHeaderTest {
    uint256 private constant NOW = 1_800_000_000;

    struct Opening {
        uint32 epoch;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 proposeDuration;
        uint32 grace;
        uint16 eligibleCount;
        uint16 quorum;
    }

    function test_opened_header_says_what_it_was_given(Opening memory o) external {
        RoundHeader header = _opened(o);
        vm.assertEq(uint8(header.status()), uint8(IRoundLedger.Status.Open), "status");
        vm.assertEq(header.epoch(), o.epoch, "epoch");
        vm.assertEq(header.commitEnd(), NOW + o.commitDuration, "end of commits");
        vm.assertEq(header.eligibleCount(), o.eligibleCount, "eligible");
        vm.assertEq(header.quorum(), o.quorum, "quorum");
        vm.assertEq(uint256(header.commits()) + header.reveals(), 0, "no commits, no reveals");
        header = header.withCommit();
        uint256 revealEnd = (o.eligibleCount == 1 ? NOW : header.commitEnd()) + o.revealDuration;
        vm.assertEq(header.revealEnd(), revealEnd, "end of reveals");
        vm.assertEq(header.proposeEnd(), revealEnd + o.proposeDuration, "end of proposals");
        vm.assertEq(header.graceEnd(), revealEnd + o.grace, "end of grace");
    }

    function test_all_commits_and_reveals_leave_everything_else_as_it_was(Opening memory o, uint32 wait)
        external
    {
        RoundHeader header = _opened(o);
        vm.warp(NOW + wait % o.commitDuration);
        for (uint256 i = 0; i < o.eligibleCount; ++i) {
            header = header.withCommit();
        }
        vm.assertEq(header.commits(), o.eligibleCount, "all committed");
        vm.assertEq(header.commitEnd(), block.timestamp, "commits ended now");
        vm.assertEq(header.revealEnd(), block.timestamp + o.revealDuration, "reveals have their duration");
        vm.warp(block.timestamp + wait % o.revealDuration);
        for (uint256 i = 0; i < o.eligibleCount; ++i) {
            header = header.withReveal();
        }
        vm.assertEq(header.reveals(), o.eligibleCount, "all revealed");
        vm.assertEq(header.revealEnd(), block.timestamp, "reveals ended now");
        vm.assertEq(
            header.proposeEnd(), block.timestamp + o.proposeDuration, "proposals have their duration"
        );
        vm.assertEq(header.graceEnd(), block.timestamp + o.grace, "so has grace");
        vm.assertEq(header.epoch(), o.epoch, "epoch");
        vm.assertEq(header.commits(), o.eligibleCount, "commits");
        vm.assertEq(header.eligibleCount(), o.eligibleCount, "eligible");
        vm.assertEq(header.quorum(), o.quorum, "quorum");
    }

    function test_an_end_changes_the_status_and_nothing_else(Opening memory o, bool certified) external {
        RoundHeader header = _opened(o);
        IRoundLedger.Status outcome = certified ? IRoundLedger.Status.Certified : IRoundLedger.Status.Aborted;
        RoundHeader ended = header.ended(outcome);
        vm.assertEq(uint8(ended.status()), uint8(outcome), "status");
        uint256 phase = uint8(certified ? IRoundLedger.Phase.Certified : IRoundLedger.Phase.Aborted);
        vm.assertEq(uint8(ended.phase()), phase, "phase");
        vm.assertEq(RoundHeader.unwrap(ended) >> 8, RoundHeader.unwrap(header) >> 8, "everything else");
    }

    function test_phases_follow_each_other_and_a_boundary_belongs_to_the_later_one(
        Opening memory o,
        uint256 time
    ) external {
        RoundHeader header = _opened(o);
        if (o.eligibleCount > 1) header = header.withCommit();
        time = NOW + time % (4 * uint256(type(uint32).max));
        vm.warp(time);
        IRoundLedger.Phase expected = IRoundLedger.Phase.Commit;
        if (time >= header.commitEnd()) expected = IRoundLedger.Phase.Reveal;
        if (time >= header.revealEnd()) expected = IRoundLedger.Phase.Propose;
        if (time >= header.proposeEnd()) expected = IRoundLedger.Phase.Abortable;
        vm.assertEq(uint8(header.phase()), uint8(expected), "phase");
        for (uint256 i = 0; i < 3; ++i) {
            uint40[3] memory ends = [header.commitEnd(), header.revealEnd(), header.proposeEnd()];
            vm.warp(ends[i] - 1);
            uint8 before = uint8(header.phase());
            vm.warp(ends[i]);
            vm.assertTrue(uint8(header.phase()) > before, "a phase ends at its deadline, not after it");
        }
    }

    function test_header_of_a_round_that_was_never_opened_has_no_phase() external pure {
        vm.assertEq(uint8(RoundHeader.wrap(0).status()), uint8(IRoundLedger.Status.None), "status");
    }

    /// @dev Durations and counts as terms allow them.
    function _opened(Opening memory o) private returns (RoundHeader) {
        vm.warp(NOW);
        if (o.commitDuration == 0) o.commitDuration = 1;
        if (o.revealDuration == 0) o.revealDuration = 1;
        if (o.proposeDuration == 0) o.proposeDuration = 1;
        o.eligibleCount = o.eligibleCount % 256 + 1;
        return RoundHeaders.opened(
            o.epoch,
            o.commitDuration,
            o.revealDuration,
            o.proposeDuration,
            o.grace,
            o.eligibleCount,
            o.quorum
        );
    }
}
