// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Vm, vm} from "./Vm.sol";

/// @title An auditor that believes nothing but events
/// @notice Works out accumulators, heads and rounds from recorded events alone, as the interfaces describe
/// them, and fails where an event contradicts those before it. It shares no code with the contracts.
contract Replay {
    struct Round {
        bool isOpen;
        IRoundLedger.Status status;
        uint256 eligible;
        uint256 awaiting;
        bytes32 sealedAccumulator;
        bytes32 accumulator;
        bytes32 result;
        uint256 commits;
        uint256 reveals;
        uint256 proposals;
    }

    uint256 private immutable _chainId = block.chainid;
    address private immutable _ledger;

    uint256 public present;
    uint32 public epoch;
    bytes32 public consortiumAccumulator;
    mapping(uint8 member => address) public accounts;

    mapping(uint64 run => bytes32) public terms;
    mapping(uint64 run => uint16) public quorums;
    mapping(uint64 run => uint32) public roundCount;
    mapping(uint64 run => uint256) public joined;
    mapping(uint64 run => bytes32) public head;
    mapping(uint64 run => bytes32) public base;
    mapping(uint64 run => bytes32) public late;
    mapping(uint64 run => uint256) public lateAttestations;
    mapping(uint64 run => mapping(uint32 round => Round)) private _rounds;
    mapping(uint64 run => mapping(uint32 round => mapping(uint8 member => bytes32))) public entries;
    mapping(uint64 run => mapping(uint32 round => mapping(bytes32 result => uint256))) public attesters;

    constructor(IConsortium consortium, address ledger, bytes32 predecessor, uint8 approvalPercent) {
        _ledger = ledger;
        consortiumAccumulator =
            keccak256(abi.encode(_chainId, address(consortium), predecessor, uint256(approvalPercent)));
    }

    function roundAt(uint64 run, uint32 round) external view returns (Round memory) {
        return _rounds[run][round];
    }

    /// @notice Takes in the events of one transaction that `sender` sent.
    function take(Vm.Log[] calldata logs, address sender) external {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter == _ledger) _takeOfLedger(logs[i], sender);
            else _takeOfConsortium(logs[i], sender);
        }
    }

    function _takeOfConsortium(Vm.Log calldata log, address sender) private {
        uint256 kind = _kindOf(log.topics[0]);
        consortiumAccumulator =
            keccak256(abi.encode(consortiumAccumulator, kind, uint256(uint160(sender)), _digestOf(log)));
        uint8 member = uint8(uint256(log.topics[1]));
        if (kind == 1) {
            (,, uint32 epoch_) = abi.decode(log.data, (bytes32, bytes32, uint32));
            present |= 1 << member;
            accounts[member] = address(uint160(uint256(log.topics[2])));
            _nextEpoch(epoch_);
        } else if (kind == 2) {
            present &= ~(1 << member);
            accounts[member] = address(0);
            _nextEpoch(abi.decode(log.data, (uint32)));
        } else if (kind == 3) {
            (, uint32 epoch_) = abi.decode(log.data, (bytes32, uint32));
            accounts[member] = address(uint160(uint256(log.topics[3])));
            _nextEpoch(epoch_);
        } else if (kind == 7 || kind == 8) {
            vm.assertEq(
                sender, accounts[uint8(uint256(log.topics[2]))], "a vote's sender signs for the member"
            );
        }
    }

    function _nextEpoch(uint32 epoch_) private {
        vm.assertEq(epoch_, ++epoch, "epochs follow each other");
    }

    function _kindOf(bytes32 topic) private pure returns (uint256) {
        if (topic == IConsortium.MemberAdmitted.selector) return 1;
        if (topic == IConsortium.MemberRemoved.selector) return 2;
        if (topic == IConsortium.KeyRotated.selector) return 3;
        if (topic == IConsortium.RolesChanged.selector) return 4;
        if (topic == IConsortium.PlanProposed.selector) return 5;
        if (topic == IConsortium.PlanApproved.selector) return 6;
        if (topic == IConsortium.VoteCast.selector) return 7;
        if (topic == IConsortium.VoteWithdrawn.selector) return 8;
        revert("unknown event of the consortium");
    }

    /// @dev Indexed arguments come first in all of these events, so topics and data make up their encoding;
    /// only the terms of a proposed plan are of dynamic length.
    function _digestOf(Vm.Log calldata log) private pure returns (bytes32) {
        if (log.topics[0] == IConsortium.PlanProposed.selector) {
            return keccak256(abi.encode(log.topics[1], abi.decode(log.data, (IConsortium.Terms))));
        }
        bytes memory encoded;
        for (uint256 i = 1; i < log.topics.length; ++i) {
            encoded = bytes.concat(encoded, log.topics[i]);
        }
        return keccak256(bytes.concat(encoded, log.data));
    }

    function _takeOfLedger(Vm.Log calldata log, address sender) private {
        bytes32 topic = log.topics[0];
        uint64 run = uint64(uint256(log.topics[1]));
        if (topic == IRoundLedger.RunStarted.selector) return _start(run, log);
        if (topic == IRoundLedger.RunJoined.selector) {
            joined[run] |= 1 << uint256(log.topics[2]);
        } else if (topic == IRoundLedger.RunLeft.selector) {
            joined[run] &= ~(1 << uint256(log.topics[2]));
        } else if (topic != IRoundLedger.RunPaused.selector && topic != IRoundLedger.RunResumed.selector) {
            _takeOfRound(run, uint32(uint256(log.topics[2])), log, sender);
        }
    }

    function _start(uint64 run, Vm.Log calldata log) private {
        (IConsortium.Terms memory content, bytes32 head_) =
            abi.decode(log.data, (IConsortium.Terms, bytes32));
        terms[run] = log.topics[2];
        quorums[run] = content.quorum;
        head[run] = keccak256(abi.encode(_chainId, _ledger, run, log.topics[2], consortiumAccumulator));
        vm.assertEq(head_, head[run], "a run's first head");
    }

    function _takeOfRound(uint64 run, uint32 round, Vm.Log calldata log, address sender) private {
        bytes32 topic = log.topics[0];
        Round storage r = _rounds[run][round];
        if (topic == IRoundLedger.RoundOpened.selector) return _open(run, round, r, log);
        if (topic == IRoundLedger.AttestedLate.selector) return _attestLate(run, round, r, log, sender);
        vm.assertTrue(r.isOpen, "only an open round moves");
        if (topic == IRoundLedger.Committed.selector) _commit(run, round, r, log, sender);
        else if (topic == IRoundLedger.Revealed.selector) _reveal(run, round, r, log);
        else if (topic == IRoundLedger.Proposed.selector) _propose(r, log, sender);
        else if (topic == IRoundLedger.Attested.selector) _attest(run, round, r, log, sender);
        else if (topic == IRoundLedger.RoundCertified.selector) _certify(run, round, r, log);
        else if (topic == IRoundLedger.RoundAborted.selector) _abort(run, round, r, log);
        else revert("unknown event of the ledger");
    }

    function _open(uint64 run, uint32 round, Round storage r, Vm.Log calldata log) private {
        (uint32 epoch_, uint256 eligible,,,,, bytes32 accumulator,) =
            abi.decode(log.data, (uint32, uint256, bytes32, bytes32, bytes32, bytes32, bytes32, uint40));
        vm.assertEq(round, ++roundCount[run], "rounds follow each other");
        vm.assertTrue(!_rounds[run][round - 1].isOpen, "the round before has ended");
        vm.assertEq(eligible, joined[run] & present, "eligible are the present members that joined");
        vm.assertEq(epoch_, epoch, "a round is judged by the members of its opening");
        r.isOpen = true;
        r.status = IRoundLedger.Status.Open;
        r.eligible = eligible;
        r.awaiting = eligible;
        bytes memory place = abi.encode(_chainId, _ledger, run, round, terms[run], head[run], base[run]);
        bytes memory members = abi.encode(epoch, consortiumAccumulator, late[run], eligible);
        r.sealedAccumulator = keccak256(bytes.concat(place, members));
        r.accumulator = r.sealedAccumulator;
        vm.assertEq(accumulator, r.sealedAccumulator, "a round's first accumulator");
    }

    function _commit(uint64 run, uint32 round, Round storage r, Vm.Log calldata log, address sender)
        private
    {
        uint8 member = uint8(uint256(log.topics[3]));
        bytes32 commitment = abi.decode(log.data, (bytes32));
        vm.assertEq(sender, accounts[member], "a member commits with its own key");
        vm.assertTrue((r.eligible >> member) & 1 == 1, "only eligible members commit");
        vm.assertEq(r.reveals + r.proposals, 0, "nobody commits once anything was revealed");
        vm.assertEq(entries[run][round][member], bytes32(0), "a member commits once");
        entries[run][round][member] = commitment;
        ++r.commits;
        _extendSealed(r, 1, member, commitment);
    }

    function _reveal(uint64 run, uint32 round, Round storage r, Vm.Log calldata log) private {
        uint8 member = uint8(uint256(log.topics[3]));
        (IRoundLedger.Contribution memory c, bytes32 salt) =
            abi.decode(log.data, (IRoundLedger.Contribution, bytes32));
        bytes32 leaf = keccak256(
            abi.encode(
                _chainId, _ledger, run, round, member, c.payload, c.update, c.byteLength, c.numExamples
            )
        );
        vm.assertEq(r.proposals, 0, "nobody reveals once anything was proposed");
        vm.assertEq(
            entries[run][round][member], keccak256(abi.encode(leaf, salt)), "a reveal opens its commitment"
        );
        entries[run][round][member] = leaf;
        ++r.reveals;
        _extendSealed(r, 2, member, leaf);
    }

    function _propose(Round storage r, Vm.Log calldata log, address sender) private {
        vm.assertEq(uint256(log.topics[3]), uint160(sender), "a proposal names its sender");
        ++r.proposals;
        _extend(r, 3, uint160(sender), abi.decode(log.data, (bytes32)));
    }

    function _attest(uint64 run, uint32 round, Round storage r, Vm.Log calldata log, address sender)
        private
    {
        uint8 member = uint8(uint256(log.topics[3]));
        (bytes32 result, bytes32 report, bytes32 previous) =
            abi.decode(log.data, (bytes32, bytes32, bytes32));
        vm.assertEq(sender, accounts[member], "a member attests with its own key");
        vm.assertTrue(r.proposals > 0, "nobody attests before a proposal");
        if (previous == 0) {
            _takeTurn(r, member);
        } else {
            vm.assertTrue(
                (attesters[run][round][previous] >> member) & 1 == 1, "what is replaced was attested"
            );
            attesters[run][round][previous] &= ~(1 << member);
        }
        attesters[run][round][result] |= 1 << member;
        _extend(r, 4, member, keccak256(abi.encode(result, report, previous)));
    }

    function _attestLate(uint64 run, uint32 round, Round storage r, Vm.Log calldata log, address sender)
        private
    {
        uint8 member = uint8(uint256(log.topics[3]));
        (bytes32 result, bytes32 report, bytes32 late_) = abi.decode(log.data, (bytes32, bytes32, bytes32));
        vm.assertEq(sender, accounts[member], "a member attests with its own key");
        vm.assertEq(uint8(r.status), uint8(IRoundLedger.Status.Certified), "late comes after certification");
        _takeTurn(r, member);
        ++lateAttestations[run];
        late[run] = keccak256(
            abi.encode(late[run], round, member, keccak256(abi.encode(result, report, bytes32(0))))
        );
        vm.assertEq(late_, late[run], "the late accumulator");
    }

    /// @dev Holds both that the member was eligible and that it attests only once.
    function _takeTurn(Round storage r, uint8 member) private {
        vm.assertTrue((r.awaiting >> member) & 1 == 1, "an eligible member attests once");
        r.awaiting &= ~(1 << member);
    }

    function _certify(uint64 run, uint32 round, Round storage r, Vm.Log calldata log) private {
        (bytes32 result, bytes32 accumulator, bytes32 head_) =
            abi.decode(log.data, (bytes32, bytes32, bytes32));
        uint256 voters = attesters[run][round][result];
        vm.assertEq(voters & ~r.eligible, 0, "those who certify were eligible");
        vm.assertTrue(
            _count(voters) == quorums[run], "a quorum of distinct members certifies, the moment it exists"
        );
        vm.assertTrue(2 * uint256(quorums[run]) > _count(r.eligible), "the quorum is a majority");
        base[run] = result;
        r.result = result;
        _end(run, round, r, IRoundLedger.Status.Certified, result);
        vm.assertEq(accumulator, r.accumulator, "the accumulator at certification");
        vm.assertEq(head_, head[run], "the head after certification");
    }

    function _abort(uint64 run, uint32 round, Round storage r, Vm.Log calldata log) private {
        (bytes32 accumulator, bytes32 head_) = abi.decode(log.data, (bytes32, bytes32));
        _end(run, round, r, IRoundLedger.Status.Aborted, 0);
        vm.assertEq(accumulator, r.accumulator, "the accumulator at the abort");
        vm.assertEq(head_, head[run], "the head after the abort");
    }

    function _end(uint64 run, uint32 round, Round storage r, IRoundLedger.Status status, bytes32 result)
        private
    {
        r.isOpen = false;
        r.status = status;
        head[run] = keccak256(abi.encode(head[run], run, round, status, r.accumulator, result));
    }

    function _extendSealed(Round storage r, uint256 kind, uint256 actor, bytes32 value) private {
        _extend(r, kind, actor, value);
        r.sealedAccumulator = r.accumulator;
    }

    function _extend(Round storage r, uint256 kind, uint256 actor, bytes32 value) private {
        r.accumulator = keccak256(abi.encode(r.accumulator, kind, actor, value));
    }

    function _count(uint256 set) private pure returns (uint256 n) {
        for (; set != 0; set &= set - 1) {
            ++n;
        }
    }
}
