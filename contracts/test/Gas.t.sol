// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title Gas as on a receipt: base cost and calldata included, refunds taken off
/// @dev Numbers are kept in `snapshots/` and compared by every test run.
contract GasTest is Fixture {
    uint256 private constant COMMIT_BAR = 65_000;
    uint256 private constant REVEAL_BAR = 46_000;
    uint256 private constant PROPOSE_BAR = 70_000;
    uint256 private constant ATTEST_BAR = 62_000;
    uint256 private constant NEW_DIGEST_BAR = 80_000;
    uint256 private constant CERTIFY_BAR = 105_000;
    uint256 private constant FIRST_CERTIFY_BAR = 120_000;

    /// @dev What a round of `_round` cost, step by step, without calldata.
    uint256[] private _costs;

    function test_steps_of_a_first_round_stay_below_their_bars() external {
        _measured("open, first in a run", AGGREGATOR, _openCall());
        vm.assertLe(
            _measured("commit, first in a run", _account(0), _commitCall(1, 0)), COMMIT_BAR, "commit"
        );
        _commitFrom(1, 1, MEMBERS - 1);
        uint256 gas = _measured("commit, last of a phase", _account(4), _commitCall(1, 4));
        vm.assertLe(gas, COMMIT_BAR, "last commit");
        gas = _measured("reveal", OUTSIDER, _revealCall(1, 0));
        vm.assertLe(gas, REVEAL_BAR, "reveal");
        _revealFrom(1, 1, MEMBERS - 1);
        vm.assertLe(
            _measured("reveal, last of a phase", OUTSIDER, _revealCall(1, 4)), REVEAL_BAR, "last reveal"
        );
        gas = _measured("propose, first in a run", AGGREGATOR, _proposeCall(1, RESULT));
        vm.assertLe(gas, PROPOSE_BAR, "propose");
        gas = _measured("attest, first to a digest", _account(0), _attestCall(1, RESULT));
        vm.assertLe(gas, NEW_DIGEST_BAR, "first attest");
        vm.assertLe(_measured("attest", _account(1), _attestCall(1, RESULT)), ATTEST_BAR, "attest");
        vm.warp(block.timestamp + 1);
        gas = _measured("attest, certifying, first in a run", _account(2), _attestCall(1, RESULT));
        vm.assertLe(gas, FIRST_CERTIFY_BAR, "first certifying attest");
        gas = _measured("attest, late, first in a run", _account(3), _attestCall(1, RESULT));
        vm.assertLe(gas, ATTEST_BAR, "first late attest");
        gas = _measured("attest, late", _account(4), _attestCall(1, RESULT));
        vm.assertLe(gas, ATTEST_BAR, "late attest");
    }

    function test_steps_of_a_later_round_stay_below_their_bars() external {
        _certified();
        _measured("open", AGGREGATOR, _openCall());
        vm.assertLe(_measured("commit", _account(0), _commitCall(2, 0)), COMMIT_BAR, "commit");
        _commitFrom(2, 1, MEMBERS);
        _revealFrom(2, 0, MEMBERS);
        vm.assertLe(_measured("propose", AGGREGATOR, _proposeCall(2, RESULT)), PROPOSE_BAR, "propose");
        uint256 gas = _measured("propose, second in a round", AGGREGATOR, _proposeCall(2, OTHER));
        vm.assertLe(gas, PROPOSE_BAR, "second proposal");
        _call(_account(0), _attestCall(2, RESULT));
        gas = _measured("attest, differing", _account(1), _attestCall(2, OTHER));
        vm.assertLe(gas, NEW_DIGEST_BAR, "differing attest");
        _measured("replaceAttestation", _account(0), _replaceCall(2, RESULT, OTHER));
        // Another time and another result than those of the round before: storing the same is cheaper.
        vm.warp(block.timestamp + 1);
        gas = _measured("attest, certifying", _account(2), _attestCall(2, OTHER));
        vm.assertLe(gas, CERTIFY_BAR, "certifying attest");
    }

    function test_first_proposals_by_members_stay_below_the_bar() external {
        for (uint32 round = 1; round < 3; ++round) {
            _call(AGGREGATOR, _openCall());
            _commitFrom(round, 0, MEMBERS);
            _revealFrom(round, 0, MEMBERS);
            vm.warp(block.timestamp + GRACE);
            string memory name = round == 1 ? "propose, by a member, first in a run" : "propose, by a member";
            uint256 gas = _measured(name, _account(round), _proposeCall(round, RESULT));
            vm.assertLe(gas, PROPOSE_BAR, "proposal by a member");
            vm.warp(_view(round).proposeEnd);
            _call(OUTSIDER, _abortCall(round));
        }
    }

    function test_steps_outside_of_rounds_are_on_record() external {
        _measured("startRun, one aggregator", OPERATOR, abi.encodeCall(IRoundLedger.startRun, (terms)));
        run = 2;
        _measured("join, first of a run", _account(0), abi.encodeCall(IRoundLedger.join, (run)));
        _measured("join", _account(1), abi.encodeCall(IRoundLedger.join, (run)));
        _measured("leave", _account(1), abi.encodeCall(IRoundLedger.leave, (run)));
        _measured("pause", OPERATOR, abi.encodeCall(IRoundLedger.pause, (run)));
        _measured("resume", OPERATOR, abi.encodeCall(IRoundLedger.resume, (run)));
        run = 1;
        _open();
        vm.warp(_view(1).proposeEnd);
        _measured("abort", OUTSIDER, _abortCall(1));
    }

    function test_votes_are_on_record() external {
        bytes memory admit = abi.encodeCall(IConsortium.voteAdmit, (_account(5), OTHER, REPORT));
        _measuredVote("voteAdmit, first", _account(0), admit);
        _measuredVote("voteAdmit", _account(1), admit);
        _measuredVote("voteAdmit, deciding", _account(2), admit);
        IConsortium.Terms memory t = _terms(4);
        bytes memory approve = abi.encodeCall(IConsortium.voteApprove, (t));
        _measuredVote("voteApprove, first", _account(0), approve);
        _measuredVote("voteApprove", _account(1), approve);
        _measuredVote("voteApprove", _account(2), approve);
        _measuredVote("voteApprove, deciding", _account(3), approve);
    }

    /// @notice In 2CP a contribution cost 2.4 times as much after 40 rounds.
    function test_gas_in_round_1000_is_that_of_round_2() external {
        _round(1);
        _round(2);
        uint256[] memory second = _costs;
        for (uint32 round = 3; round <= 1_000; ++round) {
            _round(round);
        }
        vm.assertEq(second.length, 1 + 3 * uint256(MEMBERS) + 1, "every step was measured");
        for (uint256 i = 0; i < second.length; ++i) {
            vm.assertEq(_costs[i], second[i], "the same step costs the same");
        }
        vm.assertEq(ledger.runAt(run).rounds, 1_000, "a thousand rounds");
    }

    function _round(uint32 round) private {
        delete _costs;
        bytes32 result = keccak256(abi.encode(round));
        vm.warp(block.timestamp + 1);
        _cost(AGGREGATOR, _openCall());
        for (uint8 i = 0; i < MEMBERS; ++i) {
            vm.assertLe(_cost(_account(i), _commitCall(round, i)), COMMIT_BAR, "commit");
        }
        for (uint8 i = 0; i < MEMBERS; ++i) {
            vm.assertLe(_cost(OUTSIDER, _revealCall(round, i)), REVEAL_BAR, "reveal");
        }
        vm.assertLe(_cost(AGGREGATOR, _proposeCall(round, result)), PROPOSE_BAR, "propose");
        vm.assertLe(_cost(_account(0), _attestCall(round, result)), NEW_DIGEST_BAR, "first attest");
        vm.assertLe(_cost(_account(1), _attestCall(round, result)), ATTEST_BAR, "attest");
        uint256 bar = round == 1 ? FIRST_CERTIFY_BAR : CERTIFY_BAR;
        vm.assertLe(_cost(_account(2), _attestCall(round, result)), bar, "certifying attest");
        vm.assertLe(_cost(_account(3), _attestCall(round, result)), ATTEST_BAR, "late attest");
        vm.assertLe(_cost(_account(4), _attestCall(round, result)), ATTEST_BAR, "late attest");
    }

    /// @dev Kept without calldata, since a number of two bytes costs more there than one of one.
    function _cost(address sender, bytes memory call) private returns (uint256 gas) {
        _call(sender, call);
        gas = vm.lastCallGas().gasTotalUsed;
        uint256 ofCalldata = 0;
        for (uint256 i = 0; i < call.length; ++i) {
            ofCalldata += call[i] == 0 ? 4 : 16;
        }
        _costs.push(gas - ofCalldata);
    }

    function _commitFrom(uint32 round, uint8 from, uint8 to) private {
        for (uint8 i = from; i < to; ++i) {
            _call(_account(i), _commitCall(round, i));
        }
    }

    function _revealFrom(uint32 round, uint8 from, uint8 to) private {
        for (uint8 i = from; i < to; ++i) {
            _call(OUTSIDER, _revealCall(round, i));
        }
    }

    function _measured(string memory name, address sender, bytes memory call) private returns (uint256) {
        _call(sender, call);
        return vm.snapshotGasLastCall("RoundLedger", name);
    }

    function _measuredVote(string memory name, address sender, bytes memory call) private {
        vm.prank(sender, sender);
        (bool done,) = address(consortium).call(call);
        vm.assertTrue(done, name);
        vm.snapshotGasLastCall("Consortium", name);
    }

    /// @dev Without the replay, whose own calls would be the last ones.
    function _call(address sender, bytes memory call) private {
        vm.prank(sender, sender);
        (bool done,) = address(ledger).call(call);
        vm.assertTrue(done, "the call is accepted");
    }
}
