// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {IRoundLedger} from "../src/IRoundLedger.sol";
import {Replay} from "./Replay.sol";
import {vm} from "./Vm.sol";

/// @title A consortium that tests bend
/// @notice Five founders, quorum 3, one run that all of them joined. Every call that a test makes goes
/// through `acts` or `refused`, and a replay takes in the events of the former.
abstract contract Fixture {
    address internal constant AGGREGATOR = address(0xA66);
    address internal constant OPERATOR = address(0x09E);
    address internal constant AUDITOR = address(0xA0D);
    address internal constant OUTSIDER = address(0xBAD);

    uint8 internal constant MEMBERS = 5;
    uint16 internal constant QUORUM = 3;
    uint32 internal constant COMMIT = 600;
    uint32 internal constant REVEAL = 300;
    uint32 internal constant PROPOSE = 900;
    uint32 internal constant GRACE = 120;
    uint32 internal constant MAX_ROUNDS = 1_100;
    uint256 internal constant START = 1_800_000_000;

    bytes32 internal constant RESULT = keccak256("result");
    bytes32 internal constant OTHER = keccak256("another result");
    bytes32 internal constant REPORT = keccak256("report");

    IConsortium internal consortium;
    IRoundLedger internal ledger;
    Replay internal replay;
    IConsortium.Terms internal terms;
    uint64 internal run;

    function setUp() public virtual {
        vm.warp(START);
        _deploy(MEMBERS, 0);
        _startRun(_terms(QUORUM));
        for (uint8 i = 0; i < MEMBERS; ++i) {
            _acts(_account(i), address(ledger), abi.encodeCall(IRoundLedger.join, (run)));
        }
    }

    function _deploy(uint256 founders, uint8 approvalPercent) internal {
        vm.recordLogs();
        consortium = IConsortium(
            _create("Consortium.sol", _arguments(_founders(founders), _one(OPERATOR), approvalPercent, 0))
        );
        ledger = IRoundLedger(_create("RoundLedger.sol", abi.encode(consortium)));
        replay = new Replay(consortium, address(ledger), 0, approvalPercent);
        replay.take(vm.getRecordedLogs(), address(this));
    }

    /// @dev As the compiler settings of the shipped artifacts make it, which those of the tests are not.
    function _create(string memory source, bytes memory arguments) internal returns (address) {
        return vm.deployCode(source, arguments);
    }

    function _arguments(
        IConsortium.Founder[] memory founders,
        address[] memory operators,
        uint8 approvalPercent,
        bytes32 predecessor
    ) internal pure returns (bytes memory) {
        return abi.encode(founders, operators, _one(AGGREGATOR), _one(AUDITOR), approvalPercent, predecessor);
    }

    function _startRun(IConsortium.Terms memory terms_) internal {
        terms = terms_;
        _approve(terms_);
        bytes memory answer =
            _acts(OPERATOR, address(ledger), abi.encodeCall(IRoundLedger.startRun, (terms_)));
        run = abi.decode(answer, (uint64));
    }

    function _approve(IConsortium.Terms memory terms_) internal {
        _vote(abi.encodeCall(IConsortium.voteApprove, (terms_)));
    }

    /// @dev As many of the first members that are present as it takes.
    function _vote(bytes memory ballot) internal {
        uint256 needed = consortium.threshold();
        for (uint8 i = 0; needed > 0; ++i) {
            address account = consortium.memberAt(i).account;
            if (account == address(0)) continue;
            _acts(account, address(consortium), ballot);
            --needed;
        }
    }

    /// @dev The call succeeds, and the replay finds nothing wrong with its events.
    function _acts(address sender, address target, bytes memory call) internal returns (bytes memory) {
        vm.recordLogs();
        vm.prank(sender, sender);
        (bool done, bytes memory answer) = target.call(call);
        vm.assertEq(done ? bytes("") : answer, "", "the call is accepted");
        replay.take(vm.getRecordedLogs(), sender);
        return answer;
    }

    function _acts(address sender, bytes memory call) internal {
        _acts(sender, address(ledger), call);
    }

    /// @dev The call is refused with exactly this error.
    function _refused(address sender, address target, bytes memory call, bytes memory expected) internal {
        vm.prank(sender, sender);
        (bool done, bytes memory answer) = target.call(call);
        vm.assertTrue(!done, "the call is refused");
        vm.assertEq(answer, expected, "the call is refused for the right reason");
    }

    function _refused(address sender, bytes memory call, bytes memory expected) internal {
        _refused(sender, address(ledger), call, expected);
    }

    function _account(uint256 member) internal pure returns (address) {
        return address(uint160(0xF00000 + member));
    }

    function _founders(uint256 n) internal pure returns (IConsortium.Founder[] memory founders) {
        founders = new IConsortium.Founder[](n);
        for (uint256 i = 0; i < n; ++i) {
            founders[i] = IConsortium.Founder(
                _account(i), keccak256(abi.encode("key", i)), keccak256(abi.encode("metadata", i))
            );
        }
    }

    function _one(address account) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = account;
    }

    function _terms(uint16 quorum) internal pure returns (IConsortium.Terms memory) {
        return IConsortium.Terms({
            plan: keccak256("plan"),
            quorum: quorum,
            minReveals: 2,
            commitDuration: COMMIT,
            revealDuration: REVEAL,
            proposeDuration: PROPOSE,
            grace: GRACE,
            maxRounds: MAX_ROUNDS,
            aggregators: _one(AGGREGATOR)
        });
    }

    function _contribution(uint8 member) internal pure returns (IRoundLedger.Contribution memory) {
        return IRoundLedger.Contribution({
            payload: keccak256(abi.encode("payload", member)),
            update: keccak256(abi.encode("update", member)),
            byteLength: 1_048_576,
            numExamples: 1_000 + uint64(member)
        });
    }

    function _salt(uint8 member) internal pure returns (bytes32) {
        return keccak256(abi.encode("salt", member));
    }

    function _leaf(uint32 round, uint8 member) internal view returns (bytes32) {
        return ledger.leafOf(run, round, member, _contribution(member));
    }

    function _commitment(uint32 round, uint8 member) internal view returns (bytes32) {
        return keccak256(abi.encode(_leaf(round, member), _salt(member)));
    }

    function _openCall() internal view returns (bytes memory) {
        return abi.encodeCall(IRoundLedger.open, (run));
    }

    function _commitCall(uint32 round, uint8 member) internal view returns (bytes memory) {
        return abi.encodeCall(IRoundLedger.commit, (run, round, _commitment(round, member)));
    }

    function _revealCall(uint32 round, uint8 member) internal view returns (bytes memory) {
        return
            abi.encodeCall(IRoundLedger.reveal, (run, round, member, _contribution(member), _salt(member)));
    }

    function _proposeCall(uint32 round, bytes32 result) internal view returns (bytes memory) {
        return abi.encodeCall(IRoundLedger.propose, (run, round, result));
    }

    function _attestCall(uint32 round, bytes32 result) internal view returns (bytes memory) {
        return abi.encodeCall(IRoundLedger.attest, (run, round, result, REPORT));
    }

    function _replaceCall(uint32 round, bytes32 previous, bytes32 result)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeCall(IRoundLedger.replaceAttestation, (run, round, previous, result, REPORT));
    }

    function _abortCall(uint32 round) internal view returns (bytes memory) {
        return abi.encodeCall(IRoundLedger.abort, (run, round));
    }

    function _open() internal returns (uint32) {
        return abi.decode(_acts(AGGREGATOR, address(ledger), _openCall()), (uint32));
    }

    /// @dev Members 0 to n − 1 commit; fewer than all leave the phase to its deadline.
    function _commit(uint32 round, uint8 n) internal {
        for (uint8 i = 0; i < n; ++i) {
            _acts(_account(i), _commitCall(round, i));
        }
        if (n < _view(round).eligibleCount) vm.warp(_view(round).commitEnd);
    }

    /// @dev Members 0 to n − 1 reveal; fewer than committed leave the phase to its deadline.
    function _reveal(uint32 round, uint8 n) internal {
        for (uint8 i = 0; i < n; ++i) {
            _acts(_account(i), _revealCall(round, i));
        }
        if (n < _view(round).commits) vm.warp(_view(round).revealEnd);
    }

    function _attest(uint32 round, uint8 from, uint8 to, bytes32 result) internal {
        for (uint8 i = from; i < to; ++i) {
            _acts(_account(i), _attestCall(round, result));
        }
    }

    /// @dev A new round in its propose phase, to which all members contributed.
    function _openToPropose() internal returns (uint32 round) {
        round = _open();
        _commit(round, MEMBERS);
        _reveal(round, MEMBERS);
    }

    /// @dev The same with `RESULT` proposed.
    function _openToAttest() internal returns (uint32 round) {
        round = _openToPropose();
        _acts(AGGREGATOR, _proposeCall(round, RESULT));
    }

    function _certified() internal returns (uint32 round) {
        round = _openToAttest();
        _attest(round, 0, uint8(QUORUM), RESULT);
    }

    function _view(uint32 round) internal view returns (IRoundLedger.RoundView memory) {
        return ledger.roundAt(run, round);
    }

    function _phase(uint32 round) internal view returns (uint256) {
        return uint256(_view(round).phase);
    }

    function _wrongPhase(IRoundLedger.Phase expected, IRoundLedger.Phase actual)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IRoundLedger.WrongPhase.selector, expected, actual);
    }

    function _bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
