// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bitmap} from "../src/Bitmap.sol";
import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @title What anyone might send, in any order
/// @notice Each action picks its sender, moment and arguments from its seeds, sensible or not. Refusals are
/// part of the game; a panic, an event that contradicts those before it or a round that moves back is not,
/// and fails.
contract Handler is Fixture {
    using Bitmap for uint256;

    /// @dev Accounts of members, of former members, and of members to come.
    uint256 private constant ACCOUNTS = 9;

    /// @notice How often a call with this selector was accepted.
    mapping(bytes4 selector => uint256) public accepted;
    /// @notice How many rounds ended so.
    mapping(IRoundLedger.Status status => uint256) public ended;

    uint32 private _seenRound;
    IRoundLedger.Status private _seenStatus;
    IRoundLedger.Phase private _seenPhase;

    constructor() {
        setUp();
    }

    modifier observed() {
        _;
        _observe();
    }

    function parts() external view returns (IConsortium, IRoundLedger, address replay_, uint64 run_) {
        return (consortium, ledger, address(replay), run);
    }

    function rounds() public view returns (uint32) {
        return ledger.runAt(run).rounds;
    }

    /// @notice Members ever admitted.
    function members() public view returns (uint8) {
        return uint8(consortium.memberCount());
    }

    // --- time

    function wait(uint256 time) external observed {
        vm.warp(block.timestamp + _bound(time, 1, 200));
    }

    /// @notice Everybody does the next thing, as far as `willing` has their bits.
    function advance(uint256 willing) external observed {
        uint32 round = rounds();
        if (round == 0) return _openOrMakeRoom();
        IRoundLedger.RoundView memory r = _view(round);
        if (r.phase == IRoundLedger.Phase.Commit) _advanceCommits(round, r, willing);
        else if (r.phase == IRoundLedger.Phase.Reveal) _advanceReveals(round, r, willing);
        else if (r.phase == IRoundLedger.Phase.Propose) _advanceDecision(round, r, willing);
        else if (r.phase == IRoundLedger.Phase.Abortable) _try(OUTSIDER, _abortCall(round));
        else _openOrMakeRoom();
    }

    // --- the ledger

    function open(uint256 who) external observed {
        _try(_anyone(who), _openCall());
    }

    function commit(uint256 who, bytes32 commitment) external observed {
        _try(_anyone(who), abi.encodeCall(IRoundLedger.commit, (run, rounds(), commitment)));
    }

    function copyCommitment(uint256 who, uint8 victim) external observed {
        uint32 round = rounds();
        if (round == 0) return;
        bytes32 copied = ledger.entryAt(run, round, victim % members());
        _try(_anyone(who), abi.encodeCall(IRoundLedger.commit, (run, round, copied)));
    }

    function reveal(uint256 who, uint8 member, bytes32 salt) external observed {
        member = uint8(_bound(member, 0, members()));
        _try(_anyone(who), _revealCall(rounds(), member));
        IRoundLedger.Contribution memory c = _contribution(member);
        _try(_anyone(who), abi.encodeCall(IRoundLedger.reveal, (run, rounds(), member, c, salt)));
    }

    function propose(uint256 who, uint256 result) external observed {
        _try(_anyone(who), _proposeCall(rounds(), _anyResult(result)));
    }

    function attest(uint256 who, uint256 result) external observed {
        _try(_anyone(who), _attestCall(rounds(), _anyResult(result)));
    }

    function attestToTheRoundBefore(uint256 who, uint256 result) external observed {
        if (rounds() > 1) _try(_anyone(who), _attestCall(rounds() - 1, _anyResult(result)));
    }

    function replaceAttestation(uint256 who, uint256 previous, uint256 result) external observed {
        _try(_anyone(who), _replaceCall(rounds(), _anyResult(previous), _anyResult(result)));
    }

    function abort(uint256 who) external observed {
        _try(_anyone(who), _abortCall(rounds()));
    }

    function join(uint256 who) external observed {
        _try(_anyone(who), abi.encodeCall(IRoundLedger.join, (run)));
    }

    function leave(uint256 who) external observed {
        // Otherwise too few are left for most rounds.
        if (ledger.runAt(run).joined.count() > QUORUM) {
            _try(_anyone(who), abi.encodeCall(IRoundLedger.leave, (run)));
        }
    }

    function pauseOrResume(uint256 who) external observed {
        _try(_anyone(who), abi.encodeCall(IRoundLedger.pause, (run)));
        _try(OPERATOR, abi.encodeCall(IRoundLedger.resume, (run)));
    }

    // --- the consortium

    function vote(uint256 who, uint256 matter) external observed {
        _tryOfConsortium(_anyone(who), _anyMatter(matter));
    }

    function withdrawVote(uint256 who, uint256 matter) external observed {
        uint8 member = uint8(_bound(matter, 0, members()));
        bytes32 ballot = keccak256(abi.encode(2, member));
        _tryOfConsortium(_anyone(who), abi.encodeCall(IConsortium.withdrawVote, (ballot)));
    }

    function decide(uint256 matter) external observed {
        bytes memory ballot = _anyMatter(matter);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _tryOfConsortium(_account(i), ballot);
        }
    }

    // --- how

    function _openOrMakeRoom() private {
        if (_try(AGGREGATOR, _openCall())) return;
        // Too few took part, or the aggregator had lost its role.
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _try(_account(i), abi.encodeCall(IRoundLedger.join, (run)));
            _tryOfConsortium(_account(i), abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 2)));
        }
    }

    function _advanceCommits(uint32 round, IRoundLedger.RoundView memory r, uint256 willing) private {
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            uint8 member = _memberOf(_account(i));
            if (willing.has(member)) _try(_account(i), _commitCall(round, member));
        }
        if (_view(round).phase == r.phase) vm.warp(_view(round).commitEnd);
    }

    function _advanceReveals(uint32 round, IRoundLedger.RoundView memory r, uint256 willing) private {
        for (uint8 member = 0; member < members(); ++member) {
            bool committed = ledger.entryAt(run, round, member) != 0;
            if (committed && willing.has(member)) _try(OUTSIDER, _revealCall(round, member));
        }
        if (_view(round).phase == r.phase) vm.warp(_view(round).revealEnd);
    }

    function _advanceDecision(uint32 round, IRoundLedger.RoundView memory r, uint256 willing) private {
        if (!_try(AGGREGATOR, _proposeCall(round, RESULT))) vm.warp(r.revealEnd + GRACE);
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            uint8 member = _memberOf(_account(i));
            _try(_account(i), _proposeCall(round, RESULT));
            if (willing.has(member)) _decideFor(round, member, _account(i), willing >> 64);
        }
        if (_view(round).phase == r.phase) vm.warp(r.proposeEnd);
    }

    /// @dev One in four attests to another result, and half of those think better of it.
    function _decideFor(uint32 round, uint8 member, address account, uint256 minds) private {
        bool dissents = minds.has(member) && !(minds >> 64).has(member);
        _try(account, _attestCall(round, dissents ? OTHER : RESULT));
        if (dissents && member % 2 == 0) _try(account, _replaceCall(round, OTHER, RESULT));
    }

    /// @dev The member for which the account signs, or one that exists in no test.
    function _memberOf(address account) private view returns (uint8) {
        try consortium.memberOf(account) returns (uint8 member) {
            return member;
        } catch {
            return 255;
        }
    }

    function _anyone(uint256 seed) private pure returns (address) {
        uint256 i = seed % (ACCOUNTS + 3);
        if (i < ACCOUNTS) return _account(i);
        if (i == ACCOUNTS) return AGGREGATOR;
        return i == ACCOUNTS + 1 ? OPERATOR : OUTSIDER;
    }

    function _anyResult(uint256 seed) private pure returns (bytes32) {
        if (seed % 16 == 0) return 0;
        return seed % 4 == 0 ? OTHER : RESULT;
    }

    function _anyMatter(uint256 seed) private view returns (bytes memory) {
        uint256 kind = (seed >> 8) % 8;
        address account = _account((seed >> 16) % ACCOUNTS);
        uint8 member = uint8((seed >> 24) % (uint256(members()) + 1));
        (,, uint256 present) = consortium.snapshot();
        if (kind == 0 && present.count() > QUORUM + 1) {
            return abi.encodeCall(IConsortium.voteRemove, (member));
        }
        if (kind == 1) return abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 0));
        if (kind == 2) return abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 2));
        if (kind < 5) return abi.encodeCall(IConsortium.voteAdmit, (account, RESULT, OTHER));
        return abi.encodeCall(IConsortium.voteRotate, (member, account, bytes32(seed % 3)));
    }

    function _try(address sender, bytes memory call) private returns (bool) {
        return _try(sender, address(ledger), call);
    }

    function _tryOfConsortium(address sender, bytes memory call) private {
        _try(sender, address(consortium), call);
    }

    function _try(address sender, address target, bytes memory call) private returns (bool done) {
        vm.recordLogs();
        vm.prank(sender, sender);
        bytes memory answer;
        (done, answer) = target.call(call);
        if (done) {
            ++accepted[bytes4(call)];
            replay.take(vm.getRecordedLogs(), sender);
        } else {
            vm.assertTrue(answer.length >= 4, "a refusal says why");
            vm.assertTrue(bytes4(answer) != bytes4(keccak256("Panic(uint256)")), "and is no panic");
        }
    }

    function _observe() private {
        uint32 round = rounds();
        if (round == 0) return;
        IRoundLedger.RoundView memory r = _view(round);
        if (round == _seenRound) {
            vm.assertTrue(r.status >= _seenStatus, "status only moves forward");
            vm.assertTrue(r.phase >= _seenPhase, "phase only moves forward");
        }
        bool isOpen = r.status == IRoundLedger.Status.Open;
        if (!isOpen && (round != _seenRound || r.status != _seenStatus)) ++ended[r.status];
        (_seenRound, _seenStatus, _seenPhase) = (round, r.status, r.phase);
    }
}
