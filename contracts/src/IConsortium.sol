// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who belongs to a consortium, and what its members have approved
/// @notice Members are hospitals. Each has an index that is given once and never reused, an account
/// that signs for it, and an X25519 key to which others encrypt. Founders come with the constructor;
/// everything later is decided by votes of the members, and takes effect with the vote that reaches
/// the threshold. Nothing here is upgradable, and no account has a privilege over the votes.
///
/// Roles are bits, so that an account can hold several: OPERATOR (1) may start runs and pause a run's next
/// opening; AGGREGATOR (2) may be named in training terms; AUDITOR (4) has no power here, services read it.
///
/// Every event enters `accumulator`:
/// `accumulator = keccak256(abi.encode(accumulator, kind, actor, value))`, where `kind` is the number
/// beside the event below, `actor` the account that sent the transaction, widened to `uint256`, and
/// `value` is `keccak256(abi.encode(...))` of all the event's arguments in their order. It starts from
/// `keccak256(abi.encode(chainid, this, predecessor, approvalPercent))`; the founders' events follow.
///
/// A ballot is `keccak256(abi.encode(kind, arguments))` with the kind of the event that it leads to and the
/// arguments of its vote; of a vote on terms the argument is `termsDigest(terms)`. It is carried out with
/// the vote that decides it, and then forgotten: the same can be voted on again. Until then a vote stands.
interface IConsortium {
    /// @param account signs for the member
    /// @param encryptionKey X25519 public key (RFC 7748), 32 bytes
    /// @param metadata digest of a document that the members keep; no names on chain
    struct Founder {
        address account;
        bytes32 encryptionKey;
        bytes32 metadata;
    }

    /// @param account the live account; zero once the member was removed
    /// @param admittedEpoch the epoch that began with the admission
    /// @param removedEpoch the epoch that began with the removal; 0 while the member stays
    struct Member {
        address account;
        uint32 admittedEpoch;
        uint32 removedEpoch;
        bytes32 encryptionKey;
        bytes32 metadata;
    }

    /// @notice What a vote on a training plan covers, and what the contract enforces of it.
    /// @param plan digest of the plan document (canonical JSON in the payload store)
    /// @param quorum equal attestations that certify a result
    /// @param minReveals accepted updates below which a result is void
    /// @param commitDuration seconds from opening in which members commit
    /// @param revealDuration seconds from the end of commits in which they reveal
    /// @param proposeDuration seconds from the end of reveals until anyone may abort
    /// @param grace seconds after the end of the previous phase from which any eligible member may
    /// open or propose in the aggregator's place; less than proposeDuration
    /// @param maxRounds openings allowed in one run, whatever becomes of them: it bounds the use of data
    /// @param aggregators up to 16 accounts that may open and propose without waiting for the grace period
    struct Terms {
        bytes32 plan;
        uint16 quorum;
        uint16 minReveals;
        uint32 commitDuration;
        uint32 revealDuration;
        uint32 proposeDuration;
        uint32 grace;
        uint32 maxRounds;
        address[] aggregators;
    }

    /// kind 1
    event MemberAdmitted(
        uint8 indexed member, address indexed account, bytes32 encryptionKey, bytes32 metadata, uint32 epoch
    );
    /// kind 2
    event MemberRemoved(uint8 indexed member, address indexed account, uint32 epoch);
    /// kind 3
    event KeyRotated(
        uint8 indexed member,
        address indexed oldAccount,
        address indexed newAccount,
        bytes32 encryptionKey,
        uint32 epoch
    );
    /// kind 4
    event RolesChanged(address indexed account, uint8 roles);
    /// kind 5; emitted with the first vote for these terms
    event PlanProposed(bytes32 indexed terms, Terms content);
    /// kind 6
    event PlanApproved(bytes32 indexed terms, bytes32 indexed plan);
    /// kind 7
    event VoteCast(bytes32 indexed ballot, uint8 indexed member);
    /// kind 8
    event VoteWithdrawn(bytes32 indexed ballot, uint8 indexed member);

    /// @notice Members act with their own key, not through a contract: the transaction's signature is the
    /// evidence.
    error NotSigned(address sender);
    error NotMember(address account);
    error UnknownMember(uint8 member);
    error AccountInUse(address account);
    error ZeroAccount();
    error ConsortiumFull();
    error NoFounders();
    error LastMember(uint8 member);
    error AlreadyVoted(bytes32 ballot, uint8 member);
    error NotVoted(bytes32 ballot, uint8 member);
    error InvalidRoles(uint8 roles);
    error RolesUnchanged(address account, uint8 roles);
    error InvalidApprovalPercent(uint8 percent);
    error AlreadyApproved(bytes32 terms);
    /// @param field the offending field's position in `Terms`, from 0
    error InvalidTerms(uint8 field);

    /// @notice Votes to admit `account`; the member gets the next index.
    function voteAdmit(address account, bytes32 encryptionKey, bytes32 metadata) external;

    /// @notice Votes to remove `member`. Its key is dead at once; open rounds keep its place.
    function voteRemove(uint8 member) external;

    /// @notice Votes to give `member` another account and encryption key, or the same account and another
    /// encryption key. Effective at once, also in open rounds.
    function voteRotate(uint8 member, address account, bytes32 encryptionKey) external;

    /// @notice Votes to set the roles of `account` to exactly `roles` (0 takes all away).
    function voteRoles(address account, uint8 roles) external;

    /// @notice Votes to approve training terms. The first vote checks them: plan not zero; quorum and
    /// minReveals 1 to 256; durations and maxRounds at least 1; grace shorter than proposeDuration, since no
    /// member could propose otherwise; 1 to 16 distinct aggregators, all of which have that role.
    function voteApprove(Terms calldata terms) external;

    /// @notice Takes the sender's vote back while the ballot is undecided.
    function withdrawVote(bytes32 ballot) external;

    /// @notice Index of the member for which `account` signs now. Reverts with NotMember.
    /// @dev Every step of a round asks this. A contract finds its functions in the order of their selectors,
    /// and this one's comes early, which saves each step some 350 gas.
    function memberOf(address account) external view returns (uint8 member);

    function memberAt(uint8 member) external view returns (Member memory);

    /// @notice Members ever admitted; indices are below it.
    function memberCount() external view returns (uint256);

    function rolesOf(address account) external view returns (uint8);

    /// @notice Whether `terms` were approved.
    function isApproved(bytes32 terms) external view returns (bool);

    /// @notice Equal to keccak256(abi.encode(plan, quorum, minReveals, commitDuration, revealDuration,
    /// proposeDuration, grace, maxRounds, aggregators)).
    function termsDigest(Terms calldata terms) external pure returns (bytes32);

    /// @notice Bit i set: member i votes on `ballot` with yes. Votes of removed members no longer count.
    function votesOf(bytes32 ballot) external view returns (uint256);

    /// @notice Votes that decide now: more than half of the members, and at least `approvalPercent` of them,
    /// rounded up.
    function threshold() external view returns (uint256);

    function approvalPercent() external view returns (uint8);

    /// @notice Final head of the ledger that this one succeeds; zero for a first one. Seeds `accumulator`.
    function predecessor() external view returns (bytes32);

    /// @notice Membership version, accumulator, and the present members as bits, read together at an opening.
    /// The epoch grows by one with each admission, removal and rotation.
    function snapshot() external view returns (uint32 epoch, bytes32 accumulator, uint256 members);
}
