// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "./IConsortium.sol";

/// @title The record of a consortium's training runs
/// @notice A round moves forward only: commit, reveal, propose, then certified or aborted. The phases
/// are disjoint in time; a phase ends at its deadline, or in the block in which the last one who can
/// act in it has acted. A boundary belongs to the later phase. Deadlines are durations from the actual
/// end of the phase before, in block time.
///
/// Every step of a round enters its accumulator:
/// `accumulator = keccak256(abi.encode(accumulator, kind, actor, value))`, with the kinds
/// COMMITTED = 1 (value: commitment), REVEALED = 2 (value: leaf), PROPOSED = 3 (value: result) and
/// ATTESTED = 4 (value: `keccak256(abi.encode(result, report, previous))`). `actor` is the member's
/// index; for PROPOSED it is the proposer's account widened to `uint256`.
/// Runs, and rounds in a run, are numbered from 1.
///
/// The accumulator starts from
/// `keccak256(abi.encode(chainid, this, run, round, terms, parentHead, base, epoch, consortiumAccumulator,
/// lateAccumulator, eligible))`.
/// A round's end advances the run's head:
/// `head = keccak256(abi.encode(head, run, round, status, accumulator, result))`, result zero where aborted.
/// A run's first head is `keccak256(abi.encode(chainid, this, run, terms, consortiumAccumulator))`.
/// An attestation after certification enters the run's late accumulator, at first zero:
/// `late = keccak256(abi.encode(late, round, member, keccak256(abi.encode(result, report, previous))))`
/// with previous zero. The next round's seed binds it.
interface IRoundLedger {
    enum Status {
        None,
        Open,
        Certified,
        Aborted
    }

    enum Phase {
        None,
        Commit,
        Reveal,
        Propose,
        Abortable,
        Certified,
        Aborted
    }

    /// @notice What a member contributes; with chain, contract, run, round and member it makes the leaf.
    /// @param payload SHA-256 multihash digest of the payload's CID
    /// @param update the same of the update inside the payload; equal where the payload is not encrypted
    /// @param byteLength length of the payload in bytes
    /// @param numExamples rows trained on, as claimed; recorded whatever it is, judged off chain
    struct Contribution {
        bytes32 payload;
        bytes32 update;
        uint64 byteLength;
        uint64 numExamples;
    }

    /// @param joined members that joined and have not left, as bits
    /// @param base result document of the newest certified round; zero before the first
    /// @param rounds openings so far
    /// @param lastEnd block time at which the newest round ended, or the run started
    struct RunView {
        bytes32 terms;
        bytes32 plan;
        uint16 quorum;
        uint16 minReveals;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 proposeDuration;
        uint32 grace;
        uint32 maxRounds;
        uint32 rounds;
        uint40 lastEnd;
        bool paused;
        uint256 joined;
        bytes32 head;
        bytes32 base;
        bytes32 late;
    }

    /// @param awaiting eligible members that have not attested, as bits
    /// @param sealedAccumulator the accumulator as it stood when reveals ended; until then, as it stands
    /// @param accumulator the accumulator as it stands
    /// @param commitEnd, revealEnd, proposeEnd block times; of phases to come, as they stand if nobody acts
    /// early. While nobody has committed, revealEnd is commitEnd.
    /// @param result certified result document; zero until then
    struct RoundView {
        Status status;
        Phase phase;
        uint32 epoch;
        uint16 eligibleCount;
        uint16 commits;
        uint16 reveals;
        uint40 commitEnd;
        uint40 revealEnd;
        uint40 proposeEnd;
        uint256 eligible;
        uint256 awaiting;
        bytes32 sealedAccumulator;
        bytes32 accumulator;
        bytes32 result;
    }

    event RunStarted(uint64 indexed run, bytes32 indexed terms, IConsortium.Terms content, bytes32 head);
    event RunJoined(uint64 indexed run, uint8 indexed member);
    event RunLeft(uint64 indexed run, uint8 indexed member);
    event RunPaused(uint64 indexed run, address indexed operator);
    event RunResumed(uint64 indexed run, address indexed operator);
    event RoundOpened(
        uint64 indexed run,
        uint32 indexed round,
        address indexed opener,
        uint32 epoch,
        uint256 eligible,
        bytes32 parentHead,
        bytes32 base,
        bytes32 consortiumAccumulator,
        bytes32 lateAccumulator,
        bytes32 accumulator,
        uint40 commitEnd
    );
    event Committed(uint64 indexed run, uint32 indexed round, uint8 indexed member, bytes32 commitment);
    event Revealed(
        uint64 indexed run,
        uint32 indexed round,
        uint8 indexed member,
        Contribution contribution,
        bytes32 salt
    );
    event Proposed(uint64 indexed run, uint32 indexed round, address indexed proposer, bytes32 result);
    event Attested(
        uint64 indexed run,
        uint32 indexed round,
        uint8 indexed member,
        bytes32 result,
        bytes32 report,
        bytes32 previous
    );
    event AttestedLate(
        uint64 indexed run,
        uint32 indexed round,
        uint8 indexed member,
        bytes32 result,
        bytes32 report,
        bytes32 late
    );
    event RoundCertified(
        uint64 indexed run, uint32 indexed round, bytes32 result, bytes32 accumulator, bytes32 head
    );
    event RoundAborted(uint64 indexed run, uint32 indexed round, bytes32 accumulator, bytes32 head);

    /// @notice Members and aggregators act with their own key, not through a contract: the transaction's
    /// signature is the evidence. Revealing and aborting are open to everyone.
    error NotSigned(address sender);
    error UnknownRun(uint64 run);
    error UnknownRound(uint64 run, uint32 round);
    error NotApproved(bytes32 terms);
    /// @notice The account holds none of the roles that may do this. Where members alone may act, the error
    /// is the consortium's NotMember instead.
    error NotAllowed(address account);
    error NotEligible(uint64 run, uint32 round, uint8 member);
    error AlreadyJoined(uint64 run, uint8 member);
    error NotJoined(uint64 run, uint8 member);
    /// @notice The quorum must stay above half of the members that take part.
    error QuorumTooSmall(uint16 quorum, uint256 members);
    error TooFewMembers(uint256 needed, uint256 joined);
    error Paused(uint64 run);
    error NotPaused(uint64 run);
    error RoundStillOpen(uint64 run, uint32 round);
    error RunFinished(uint64 run, uint32 maxRounds);
    error WrongPhase(Phase expected, Phase actual);
    error TooEarly(uint40 allowedFrom, uint40 now_);
    error AlreadyCommitted(uint64 run, uint32 round, uint8 member);
    error ZeroCommitment();
    /// @notice The contribution and salt do not open the member's commitment, or it made none.
    error NotCommitted(uint64 run, uint32 round, uint8 member);
    error ZeroResult();
    error TooManyProposals(address proposer);
    error NothingProposed(uint64 run, uint32 round);
    error AlreadyAttested(uint64 run, uint32 round, uint8 member);
    error NotAttested(uint64 run, uint32 round, uint8 member, bytes32 result);

    function consortium() external view returns (IConsortium);

    /// @notice Starts a run of approved terms. Operators, members, and the terms' aggregators may. All of
    /// the aggregators must still have that role, here and whenever they open or propose as such.
    function startRun(IConsortium.Terms calldata terms) external returns (uint64 run);

    /// @notice The sender's member takes part from the next opening on. Refused where the quorum would
    /// no longer be more than half of those who take part.
    function join(uint64 run) external;

    /// @notice The sender's member takes no part from the next opening on.
    function leave(uint64 run) external;

    /// @notice Stops the next opening, nothing else. Operators only.
    function pause(uint64 run) external;

    function resume(uint64 run) external;

    /// @notice Opens the next round: the run's aggregators at any time after the last one ended, any
    /// member that takes part after the grace period.
    function open(uint64 run) external returns (uint32 round);

    function commit(uint64 run, uint32 round, bytes32 commitment) external;

    /// @notice Opens a commitment. The stored commitment proves who made it, so anyone who knows the
    /// salt may send this.
    function reveal(uint64 run, uint32 round, uint8 member, Contribution calldata contribution, bytes32 salt)
        external;

    /// @notice Proposes a result document: the run's aggregators from the end of reveals on, any eligible
    /// member after the grace period. At most 3 an account and round, and 3 a member, whatever its account.
    function propose(uint64 run, uint32 round, bytes32 result) external;

    /// @notice States that the sender's member recomputed exactly `result`. The attestation that makes
    /// a quorum certifies the round. After certification it is recorded as late, once a member.
    /// @param report digest of the member's salted report; zero for none
    function attest(uint64 run, uint32 round, bytes32 result, bytes32 report) external;

    /// @notice Replaces the sender's standing attestation to `previous` while the round is undecided.
    function replaceAttestation(uint64 run, uint32 round, bytes32 previous, bytes32 result, bytes32 report)
        external;

    /// @notice Ends an undecided round after its last deadline. Anyone may.
    function abort(uint64 run, uint32 round) external;

    function runCount() external view returns (uint64);

    function runAt(uint64 run) external view returns (RunView memory);

    function roundAt(uint64 run, uint32 round) external view returns (RoundView memory);

    /// @notice The member's commitment, from its reveal on the leaf; zero where it committed to nothing.
    function entryAt(uint64 run, uint32 round, uint8 member) external view returns (bytes32);

    /// @notice Members that stand by `result` in this round, as bits; late attestations are not among them.
    function attestersOf(uint64 run, uint32 round, bytes32 result) external view returns (uint256);

    /// @notice Equal to keccak256(abi.encode(chainid, this, run, round, member, payload, update, byteLength,
    /// numExamples)).
    function leafOf(uint64 run, uint32 round, uint8 member, Contribution calldata contribution)
        external
        view
        returns (bytes32);
}
