// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bitmap} from "./Bitmap.sol";
import {HashChain} from "./HashChain.sol";
import {IConsortium} from "./IConsortium.sol";
import {IRoundLedger} from "./IRoundLedger.sol";
import {RoundHeader, RoundHeaders} from "./RoundHeader.sol";

/// @title The record of a consortium's training runs
/// @dev Storage is laid out so that the steps of a round write few slots, and slots that already hold
/// something: `open` fills those that every round needs, joining and starting a run those that count
/// proposals.
contract RoundLedger is IRoundLedger {
    using Bitmap for uint256;
    using HashChain for bytes32;

    uint8 private constant COMMITTED = 1;
    uint8 private constant REVEALED = 2;
    uint8 private constant PROPOSED = 3;
    uint8 private constant ATTESTED = 4;

    uint8 private constant OPERATOR = 1;
    uint8 private constant AGGREGATOR = 2;

    uint8 private constant MAX_PROPOSALS = 3;

    /// @param known set when the account was named, or the member first joined; kept for good
    /// @param round the newest round proposed in
    /// @param proposals those in that round
    struct Proposer {
        bool known;
        uint32 round;
        uint8 proposals;
    }

    /// @dev Fields up to `paused` are one slot; each that follows has its own.
    struct Run {
        uint16 quorum;
        uint16 minReveals;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 proposeDuration;
        uint32 grace;
        uint32 maxRounds;
        uint32 rounds;
        bool paused;
        uint40 lastEnd;
        bytes32 terms;
        bytes32 plan;
        uint256 joined;
        bytes32 head;
        bytes32 base;
        bytes32 late;
        mapping(address account => Proposer) aggregators;
        mapping(uint8 member => Proposer) members;
    }

    /// @param digest the member's commitment, from its reveal on the leaf
    struct Entry {
        bytes32 digest;
    }

    /// @param sealedAccumulator grows until reveals end
    /// @param accumulator zero until the first proposal; from then on it grows instead of the sealed one
    struct Round {
        RoundHeader header;
        uint256 eligible;
        uint256 awaiting;
        bytes32 sealedAccumulator;
        bytes32 accumulator;
        bytes32 result;
        mapping(uint8 member => Entry) entries;
        mapping(bytes32 result => uint256 members) attesters;
    }

    /// @inheritdoc IRoundLedger
    IConsortium public immutable consortium;
    /// @inheritdoc IRoundLedger
    uint64 public runCount;

    mapping(uint64 run => Run) private _runs;
    mapping(uint64 run => mapping(uint32 round => Round)) private _rounds;

    /// @param consortium_ the registry that says who may act; for good
    constructor(IConsortium consortium_) {
        consortium = consortium_;
    }

    /// @inheritdoc IRoundLedger
    function startRun(IConsortium.Terms calldata terms) external returns (uint64 run) {
        bytes32 digest = consortium.termsDigest(terms);
        if (!consortium.isApproved(digest)) revert NotApproved(digest);
        run = ++runCount;
        Run storage r = _runs[run];
        for (uint256 i = 0; i < terms.aggregators.length; ++i) {
            address aggregator = terms.aggregators[i];
            if (!_hasRole(aggregator, AGGREGATOR)) revert NotAllowed(aggregator);
            r.aggregators[aggregator].known = true;
        }
        if (!r.aggregators[msg.sender].known && !_hasRole(msg.sender, OPERATOR)) _memberOrNotAllowed();
        r.quorum = terms.quorum;
        r.minReveals = terms.minReveals;
        r.commitDuration = terms.commitDuration;
        r.revealDuration = terms.revealDuration;
        r.proposeDuration = terms.proposeDuration;
        r.grace = terms.grace;
        r.maxRounds = terms.maxRounds;
        r.lastEnd = uint40(block.timestamp);
        r.terms = digest;
        r.plan = terms.plan;
        // slither-disable-next-line unused-return : a run is seeded by the accumulator alone
        (, bytes32 consortiumAccumulator,) = consortium.snapshot();
        bytes32 head =
            keccak256(abi.encode(block.chainid, address(this), run, digest, consortiumAccumulator));
        r.head = head;
        emit RunStarted(run, digest, terms, head);
    }

    /// @inheritdoc IRoundLedger
    function join(uint64 run) external {
        Run storage r = _requireRun(run);
        uint8 member = _signer();
        uint256 joined = r.joined;
        if (joined.has(member)) revert AlreadyJoined(run, member);
        joined = joined.with(member);
        // slither-disable-next-line unused-return : only an opening binds epoch and accumulator
        (,, uint256 present) = consortium.snapshot();
        uint256 members = (joined & present).count();
        if (2 * uint256(r.quorum) <= members) revert QuorumTooSmall(r.quorum, members);
        r.joined = joined;
        r.members[member].known = true;
        emit RunJoined(run, member);
    }

    /// @inheritdoc IRoundLedger
    function leave(uint64 run) external {
        Run storage r = _requireRun(run);
        uint8 member = _signer();
        if (!r.joined.has(member)) revert NotJoined(run, member);
        r.joined = r.joined.without(member);
        emit RunLeft(run, member);
    }

    /// @inheritdoc IRoundLedger
    function pause(uint64 run) external {
        Run storage r = _requireRun(run);
        if (!_hasRole(msg.sender, OPERATOR)) revert NotAllowed(msg.sender);
        if (r.paused) revert Paused(run);
        r.paused = true;
        emit RunPaused(run, msg.sender);
    }

    /// @inheritdoc IRoundLedger
    function resume(uint64 run) external {
        Run storage r = _requireRun(run);
        if (!_hasRole(msg.sender, OPERATOR)) revert NotAllowed(msg.sender);
        if (!r.paused) revert NotPaused(run);
        r.paused = false;
        emit RunResumed(run, msg.sender);
    }

    /// @inheritdoc IRoundLedger
    function open(uint64 run) external returns (uint32 round) {
        Run storage r = _requireRun(run);
        _requireSigned();
        if (r.paused) revert Paused(run);
        round = r.rounds;
        if (_rounds[run][round].header.status() == Status.Open) revert RoundStillOpen(run, round);
        if (round == r.maxRounds) revert RunFinished(run, round);
        r.rounds = ++round;

        (uint32 epoch, bytes32 consortiumAccumulator, uint256 eligible) = consortium.snapshot();
        eligible &= r.joined;
        _requireMayOpen(run, r, eligible);
        uint256 needed = r.quorum > r.minReveals ? r.quorum : r.minReveals;
        uint256 eligibleCount = eligible.count();
        if (eligibleCount < needed) revert TooFewMembers(needed, eligibleCount);
        // The quorum exceeds half of them: joining sees to that, and everything else only makes them fewer.

        Round storage o = _rounds[run][round];
        RoundHeader header = RoundHeaders.opened(
            epoch, r.commitDuration, r.revealDuration, r.proposeDuration, r.grace, eligibleCount, r.quorum
        );
        o.header = header;
        o.eligible = eligible;
        o.awaiting = eligible;
        bytes32 seed = keccak256(
            abi.encode(
                block.chainid,
                address(this),
                run,
                round,
                r.terms,
                r.head,
                r.base,
                epoch,
                consortiumAccumulator,
                r.late,
                eligible
            )
        );
        o.sealedAccumulator = seed;
        emit RoundOpened(
            run,
            round,
            msg.sender,
            epoch,
            eligible,
            r.head,
            r.base,
            consortiumAccumulator,
            r.late,
            seed,
            header.commitEnd()
        );
    }

    /// @inheritdoc IRoundLedger
    function commit(uint64 run, uint32 round, bytes32 commitment) external {
        (Round storage r, RoundHeader header) = _requirePhase(run, round, Phase.Commit);
        // slither-disable-next-line tx-origin : as in _requireSigned, written out to save a jump
        if (msg.sender != tx.origin) revert NotSigned(msg.sender);
        uint8 member = consortium.memberOf(msg.sender);
        if (!r.eligible.has(member)) revert NotEligible(run, round, member);
        if (commitment == 0) revert ZeroCommitment();
        Entry storage entry = r.entries[member];
        if (entry.digest != 0) revert AlreadyCommitted(run, round, member);
        entry.digest = commitment;
        r.header = header.withCommit();
        r.sealedAccumulator = r.sealedAccumulator.link(COMMITTED, member, commitment);
        emit Committed(run, round, member, commitment);
    }

    /// @inheritdoc IRoundLedger
    function reveal(uint64 run, uint32 round, uint8 member, Contribution calldata contribution, bytes32 salt)
        external
    {
        (Round storage r, RoundHeader header) = _requirePhase(run, round, Phase.Reveal);
        bytes32 leaf = leafOf(run, round, member, contribution);
        Entry storage entry = r.entries[member];
        if (entry.digest != keccak256(abi.encode(leaf, salt))) revert NotCommitted(run, round, member);
        entry.digest = leaf;
        r.header = header.withReveal();
        r.sealedAccumulator = r.sealedAccumulator.link(REVEALED, member, leaf);
        emit Revealed(run, round, member, contribution, salt);
    }

    /// @inheritdoc IRoundLedger
    function propose(uint64 run, uint32 round, bytes32 result) external {
        (Round storage r, RoundHeader header) = _requirePhase(run, round, Phase.Propose);
        if (result == 0) revert ZeroResult();
        _requireSigned();
        _countProposal(run, round, r, header);
        bytes32 accumulator = r.accumulator;
        if (accumulator == 0) accumulator = r.sealedAccumulator;
        r.accumulator = accumulator.link(PROPOSED, uint160(msg.sender), result);
        emit Proposed(run, round, msg.sender, result);
    }

    /// @inheritdoc IRoundLedger
    function attest(uint64 run, uint32 round, bytes32 result, bytes32 report) external {
        (Round storage r, RoundHeader header) = _requireRound(run, round);
        Phase phase = header.phase();
        if (phase == Phase.Certified) return _attestLate(run, round, r, result, report);
        if (phase != Phase.Propose) revert WrongPhase(Phase.Propose, phase);
        uint8 member = _takeTurn(run, round, r, result);
        _attest(run, round, r, header, member, result, report, 0);
    }

    /// @inheritdoc IRoundLedger
    function replaceAttestation(uint64 run, uint32 round, bytes32 previous, bytes32 result, bytes32 report)
        external
    {
        (Round storage r, RoundHeader header) = _requirePhase(run, round, Phase.Propose);
        uint8 member = _signer();
        uint256 attesters = r.attesters[previous];
        if (!attesters.has(member)) revert NotAttested(run, round, member, previous);
        if (result == 0) revert ZeroResult();
        if (result == previous) revert AlreadyAttested(run, round, member);
        r.attesters[previous] = attesters.without(member);
        _attest(run, round, r, header, member, result, report, previous);
    }

    /// @inheritdoc IRoundLedger
    function abort(uint64 run, uint32 round) external {
        (Round storage r, RoundHeader header) = _requirePhase(run, round, Phase.Abortable);
        bytes32 accumulator = r.accumulator;
        if (accumulator == 0) accumulator = r.sealedAccumulator;
        bytes32 head = _end(run, round, r, header, Status.Aborted, accumulator, 0);
        emit RoundAborted(run, round, accumulator, head);
    }

    /// @inheritdoc IRoundLedger
    function runAt(uint64 run) external view returns (RunView memory) {
        Run storage r = _requireRun(run);
        return RunView({
            terms: r.terms,
            plan: r.plan,
            quorum: r.quorum,
            minReveals: r.minReveals,
            commitDuration: r.commitDuration,
            revealDuration: r.revealDuration,
            proposeDuration: r.proposeDuration,
            grace: r.grace,
            maxRounds: r.maxRounds,
            rounds: r.rounds,
            lastEnd: r.lastEnd,
            paused: r.paused,
            joined: r.joined,
            head: r.head,
            base: r.base,
            late: r.late
        });
    }

    /// @inheritdoc IRoundLedger
    function roundAt(uint64 run, uint32 round) external view returns (RoundView memory) {
        (Round storage r, RoundHeader header) = _requireRound(run, round);
        return RoundView({
            status: header.status(),
            phase: header.phase(),
            epoch: header.epoch(),
            eligibleCount: header.eligibleCount(),
            commits: header.commits(),
            reveals: header.reveals(),
            commitEnd: header.commitEnd(),
            revealEnd: header.revealEnd(),
            proposeEnd: header.proposeEnd(),
            eligible: r.eligible,
            awaiting: r.awaiting,
            sealedAccumulator: r.sealedAccumulator,
            accumulator: r.accumulator == 0 ? r.sealedAccumulator : r.accumulator,
            result: r.result
        });
    }

    /// @inheritdoc IRoundLedger
    function entryAt(uint64 run, uint32 round, uint8 member) external view returns (bytes32) {
        (Round storage r,) = _requireRound(run, round);
        return r.entries[member].digest;
    }

    /// @inheritdoc IRoundLedger
    function attestersOf(uint64 run, uint32 round, bytes32 result) external view returns (uint256) {
        (Round storage r,) = _requireRound(run, round);
        return r.attesters[result];
    }

    /// @inheritdoc IRoundLedger
    function leafOf(uint64 run, uint32 round, uint8 member, Contribution calldata contribution)
        public
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, address(this), run, round, member, contribution));
    }

    /// @dev Takes the sender's member off those that have yet to attest.
    function _takeTurn(uint64 run, uint32 round, Round storage r, bytes32 result)
        private
        returns (uint8 member)
    {
        if (result == 0) revert ZeroResult();
        member = _signer();
        uint256 awaiting = r.awaiting;
        if (!awaiting.has(member)) {
            if (r.eligible.has(member)) revert AlreadyAttested(run, round, member);
            revert NotEligible(run, round, member);
        }
        r.awaiting = awaiting.without(member);
    }

    function _attest(
        uint64 run,
        uint32 round,
        Round storage r,
        RoundHeader header,
        uint8 member,
        bytes32 result,
        bytes32 report,
        bytes32 previous
    ) private {
        bytes32 accumulator = r.accumulator;
        if (accumulator == 0) revert NothingProposed(run, round);
        accumulator = accumulator.link(ATTESTED, member, keccak256(abi.encode(result, report, previous)));
        r.accumulator = accumulator;
        uint256 attesters = r.attesters[result].with(member);
        r.attesters[result] = attesters;
        emit Attested(run, round, member, result, report, previous);
        if (attesters.count() < header.quorum()) return;
        r.result = result;
        _runs[run].base = result;
        bytes32 head = _end(run, round, r, header, Status.Certified, accumulator, result);
        emit RoundCertified(run, round, result, accumulator, head);
    }

    function _attestLate(uint64 run, uint32 round, Round storage r, bytes32 result, bytes32 report) private {
        uint8 member = _takeTurn(run, round, r, result);
        bytes32 value = keccak256(abi.encode(result, report, bytes32(0)));
        bytes32 late = keccak256(abi.encode(_runs[run].late, round, member, value));
        _runs[run].late = late;
        emit AttestedLate(run, round, member, result, report, late);
    }

    function _end(
        uint64 run,
        uint32 round,
        Round storage r,
        RoundHeader header,
        Status status,
        bytes32 accumulator,
        bytes32 result
    ) private returns (bytes32 head) {
        r.header = header.ended(status);
        Run storage run_ = _runs[run];
        head = keccak256(abi.encode(run_.head, run, round, status, accumulator, result));
        run_.head = head;
        run_.lastEnd = uint40(block.timestamp);
    }

    /// @dev Lets an aggregator propose at once and an eligible member after the grace period, both three
    /// times. Members are counted by index, so that a new key brings no new proposals.
    function _countProposal(uint64 run, uint32 round, Round storage r, RoundHeader header) private {
        Proposer storage aggregator = _runs[run].aggregators[msg.sender];
        if (aggregator.known) {
            _countProposal(aggregator, round);
            if (_hasRole(msg.sender, AGGREGATOR)) return;
        }
        uint8 member = _memberOrNotAllowed();
        if (!r.eligible.has(member)) revert NotEligible(run, round, member);
        _requireReached(header.graceEnd());
        _countProposal(_runs[run].members[member], round);
    }

    function _countProposal(Proposer storage proposer, uint32 round) private {
        uint8 proposals = proposer.round == round ? proposer.proposals : 0;
        if (proposals == MAX_PROPOSALS) revert TooManyProposals(msg.sender);
        proposer.round = round;
        proposer.proposals = proposals + 1;
    }

    function _requireMayOpen(uint64 run, Run storage r, uint256 eligible) private view {
        if (r.aggregators[msg.sender].known && _hasRole(msg.sender, AGGREGATOR)) return;
        uint8 member = _memberOrNotAllowed();
        if (!eligible.has(member)) revert NotJoined(run, member);
        _requireReached(r.lastEnd + r.grace);
    }

    /// @dev The member for which the sender signs.
    function _signer() private view returns (uint8) {
        _requireSigned();
        return consortium.memberOf(msg.sender);
    }

    /// @dev Refuses a contract between the key and this ledger: who acted is then shown by the transaction's
    /// own signature, to anyone, for good. Not an authorisation: that follows from the sender's standing.
    function _requireSigned() private view {
        // slither-disable-next-line tx-origin : compared with the sender, never taken for it
        if (msg.sender != tx.origin) revert NotSigned(msg.sender);
    }

    function _memberOrNotAllowed() private view returns (uint8) {
        try consortium.memberOf(msg.sender) returns (uint8 member) {
            return member;
        } catch {
            revert NotAllowed(msg.sender);
        }
    }

    function _hasRole(address account, uint8 role) private view returns (bool) {
        // slither-disable-next-line calls-loop : startRun asks for at most 16 accounts
        return consortium.rolesOf(account) & role != 0;
    }

    function _requireRun(uint64 run) private view returns (Run storage r) {
        r = _runs[run];
        if (r.maxRounds == 0) revert UnknownRun(run);
    }

    function _requireRound(uint64 run, uint32 round)
        private
        view
        returns (Round storage r, RoundHeader header)
    {
        r = _rounds[run][round];
        header = r.header;
        if (RoundHeader.unwrap(header) == 0) revert UnknownRound(run, round);
    }

    function _requirePhase(uint64 run, uint32 round, Phase expected)
        private
        view
        returns (Round storage r, RoundHeader header)
    {
        (r, header) = _requireRound(run, round);
        Phase actual = header.phase();
        if (actual != expected) revert WrongPhase(expected, actual);
    }

    function _requireReached(uint40 allowedFrom) private view {
        // slither-disable-next-line timestamp : as for phases
        if (block.timestamp < allowedFrom) revert TooEarly(allowedFrom, uint40(block.timestamp));
    }
}
