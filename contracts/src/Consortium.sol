// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bitmap} from "./Bitmap.sol";
import {HashChain} from "./HashChain.sol";
import {IConsortium} from "./IConsortium.sol";

/// @title Members of a consortium and their votes
/// @dev A ballot is the digest keccak256(abi.encode(kind, arguments)) of what it decides, `kind` being that
/// of the event which follows; for terms the one argument is their digest. It is executed by the vote that
/// decides it and then forgotten, so the same thing can be voted on again.
contract Consortium is IConsortium {
    using Bitmap for uint256;
    using HashChain for bytes32;

    uint8 private constant MEMBER_ADMITTED = 1;
    uint8 private constant MEMBER_REMOVED = 2;
    uint8 private constant KEY_ROTATED = 3;
    uint8 private constant ROLES_CHANGED = 4;
    uint8 private constant PLAN_PROPOSED = 5;
    uint8 private constant PLAN_APPROVED = 6;
    uint8 private constant VOTE_CAST = 7;
    uint8 private constant VOTE_WITHDRAWN = 8;

    uint8 private constant OPERATOR = 1;
    uint8 private constant AGGREGATOR = 2;
    uint8 private constant AUDITOR = 4;

    uint256 private constant MAX_MEMBERS = 256;
    uint256 private constant MAX_AGGREGATORS = 16;

    /// @inheritdoc IConsortium
    uint8 public immutable approvalPercent;
    /// @inheritdoc IConsortium
    bytes32 public immutable predecessor;

    bytes32 private _accumulator;
    uint256 private _present;
    uint32 private _epoch;
    uint16 private _memberCount;
    mapping(uint8 member => Member) private _members;
    /// @dev Index + 1, so that an account's standing is one slot; 0 for an account that signs for no member.
    mapping(address account => uint16 indexPlusOne) private _signers;
    mapping(address account => uint8 roles) private _roles;
    mapping(bytes32 ballot => uint256 voters) private _votes;
    mapping(bytes32 terms => bool) private _approved;

    /// @param approvalPercent_ 0 to 100; 0 asks for no more than a majority
    /// @param predecessor_ final head of the ledger that this one succeeds; zero for a first one
    constructor(
        Founder[] memory founders,
        address[] memory operators,
        address[] memory aggregators,
        address[] memory auditors,
        uint8 approvalPercent_,
        bytes32 predecessor_
    ) {
        if (approvalPercent_ > 100) revert InvalidApprovalPercent(approvalPercent_);
        if (founders.length == 0) revert NoFounders();
        approvalPercent = approvalPercent_;
        predecessor = predecessor_;
        _accumulator = keccak256(abi.encode(block.chainid, address(this), predecessor_, approvalPercent_));
        for (uint256 i = 0; i < founders.length; ++i) {
            _requireFree(founders[i].account);
            _admit(founders[i].account, founders[i].encryptionKey, founders[i].metadata);
        }
        _grant(operators, OPERATOR);
        _grant(aggregators, AGGREGATOR);
        _grant(auditors, AUDITOR);
    }

    /// @inheritdoc IConsortium
    function voteAdmit(address account, bytes32 encryptionKey, bytes32 metadata) external {
        uint8 voter = _signer();
        _requireFree(account);
        if (_decides(voter, keccak256(abi.encode(MEMBER_ADMITTED, account, encryptionKey, metadata)))) {
            _admit(account, encryptionKey, metadata);
        }
    }

    /// @inheritdoc IConsortium
    function voteRemove(uint8 member) external {
        uint8 voter = _signer();
        _requirePresent(member);
        if (_present.count() == 1) revert LastMember(member);
        if (_decides(voter, keccak256(abi.encode(MEMBER_REMOVED, member)))) _remove(member);
    }

    /// @inheritdoc IConsortium
    function voteRotate(uint8 member, address account, bytes32 encryptionKey) external {
        uint8 voter = _signer();
        _requirePresent(member);
        Member storage m = _members[member];
        // A member may keep its account and change the encryption key alone.
        if (account != m.account || encryptionKey == m.encryptionKey) _requireFree(account);
        if (_decides(voter, keccak256(abi.encode(KEY_ROTATED, member, account, encryptionKey)))) {
            _rotate(member, account, encryptionKey);
        }
    }

    /// @inheritdoc IConsortium
    function voteRoles(address account, uint8 roles) external {
        uint8 voter = _signer();
        if (account == address(0)) revert ZeroAccount();
        if (roles > OPERATOR + AGGREGATOR + AUDITOR) revert InvalidRoles(roles);
        if (roles == _roles[account]) revert RolesUnchanged(account, roles);
        if (_decides(voter, keccak256(abi.encode(ROLES_CHANGED, account, roles)))) {
            _setRoles(account, roles);
        }
    }

    /// @inheritdoc IConsortium
    function voteApprove(Terms calldata terms) external {
        uint8 voter = _signer();
        bytes32 digest = termsDigest(terms);
        if (_approved[digest]) revert AlreadyApproved(digest);
        bytes32 ballot = keccak256(abi.encode(PLAN_APPROVED, digest));
        if (_votes[ballot] == 0) {
            _requireValid(terms);
            _record(PLAN_PROPOSED, keccak256(abi.encode(digest, terms)));
            emit PlanProposed(digest, terms);
        }
        if (_decides(voter, ballot)) {
            _approved[digest] = true;
            _record(PLAN_APPROVED, keccak256(abi.encode(digest, terms.plan)));
            emit PlanApproved(digest, terms.plan);
        }
    }

    /// @inheritdoc IConsortium
    function withdrawVote(bytes32 ballot) external {
        uint8 voter = _signer();
        if (!_votes[ballot].has(voter)) revert NotVoted(ballot, voter);
        _votes[ballot] = _votes[ballot].without(voter);
        _record(VOTE_WITHDRAWN, keccak256(abi.encode(ballot, voter)));
        emit VoteWithdrawn(ballot, voter);
    }

    /// @inheritdoc IConsortium
    function memberAt(uint8 member) external view returns (Member memory) {
        if (member >= _memberCount) revert UnknownMember(member);
        return _members[member];
    }

    /// @inheritdoc IConsortium
    function memberCount() external view returns (uint256) {
        return _memberCount;
    }

    /// @inheritdoc IConsortium
    function rolesOf(address account) external view returns (uint8) {
        return _roles[account];
    }

    /// @inheritdoc IConsortium
    function isApproved(bytes32 terms) external view returns (bool) {
        return _approved[terms];
    }

    /// @inheritdoc IConsortium
    function votesOf(bytes32 ballot) external view returns (uint256) {
        return _votes[ballot] & _present;
    }

    /// @inheritdoc IConsortium
    function snapshot() external view returns (uint32 epoch, bytes32 accumulator, uint256 members) {
        return (_epoch, _accumulator, _present);
    }

    /// @inheritdoc IConsortium
    function memberOf(address account) public view returns (uint8 member) {
        uint16 indexPlusOne = _signers[account];
        if (indexPlusOne == 0) revert NotMember(account);
        return uint8(indexPlusOne - 1);
    }

    /// @inheritdoc IConsortium
    function threshold() public view returns (uint256) {
        uint256 members = _present.count();
        uint256 majority = members / 2 + 1;
        uint256 share = (members * approvalPercent + 99) / 100;
        return share > majority ? share : majority;
    }

    /// @inheritdoc IConsortium
    function termsDigest(Terms calldata terms) public pure returns (bytes32) {
        return keccak256(
            abi.encode(
                terms.plan,
                terms.quorum,
                terms.minReveals,
                terms.commitDuration,
                terms.revealDuration,
                terms.proposeDuration,
                terms.grace,
                terms.maxRounds,
                terms.aggregators
            )
        );
    }

    /// @dev The member for which the sender signs. A contract between the key and this registry is refused:
    /// who voted is then shown by the transaction's own signature.
    function _signer() private view returns (uint8) {
        // slither-disable-next-line tx-origin : compared with the sender, never taken for it
        if (msg.sender != tx.origin) revert NotSigned(msg.sender);
        return memberOf(msg.sender);
    }

    /// @dev Records the vote, and says whether it decides the ballot, which is then closed.
    function _decides(uint8 voter, bytes32 ballot) private returns (bool decided) {
        uint256 voters = _votes[ballot];
        if (voters.has(voter)) revert AlreadyVoted(ballot, voter);
        voters = voters.with(voter);
        decided = (voters & _present).count() >= threshold();
        _votes[ballot] = decided ? 0 : voters;
        _record(VOTE_CAST, keccak256(abi.encode(ballot, voter)));
        emit VoteCast(ballot, voter);
    }

    function _admit(address account, bytes32 encryptionKey, bytes32 metadata) private {
        if (_memberCount == MAX_MEMBERS) revert ConsortiumFull();
        uint8 member = uint8(_memberCount++);
        uint32 epoch = ++_epoch;
        _members[member] = Member(account, epoch, 0, encryptionKey, metadata);
        _signers[account] = uint16(member) + 1;
        _present = _present.with(member);
        _record(MEMBER_ADMITTED, keccak256(abi.encode(member, account, encryptionKey, metadata, epoch)));
        emit MemberAdmitted(member, account, encryptionKey, metadata, epoch);
    }

    function _remove(uint8 member) private {
        Member storage m = _members[member];
        address account = m.account;
        uint32 epoch = ++_epoch;
        m.account = address(0);
        m.removedEpoch = epoch;
        delete _signers[account];
        _present = _present.without(member);
        _record(MEMBER_REMOVED, keccak256(abi.encode(member, account, epoch)));
        emit MemberRemoved(member, account, epoch);
    }

    function _rotate(uint8 member, address account, bytes32 encryptionKey) private {
        Member storage m = _members[member];
        address oldAccount = m.account;
        uint32 epoch = ++_epoch;
        delete _signers[oldAccount];
        _signers[account] = uint16(member) + 1;
        m.account = account;
        m.encryptionKey = encryptionKey;
        _record(KEY_ROTATED, keccak256(abi.encode(member, oldAccount, account, encryptionKey, epoch)));
        emit KeyRotated(member, oldAccount, account, encryptionKey, epoch);
    }

    function _grant(address[] memory accounts, uint8 role) private {
        for (uint256 i = 0; i < accounts.length; ++i) {
            if (accounts[i] == address(0)) revert ZeroAccount();
            uint8 roles = _roles[accounts[i]];
            if (roles & role != 0) revert RolesUnchanged(accounts[i], roles);
            _setRoles(accounts[i], roles | role);
        }
    }

    function _setRoles(address account, uint8 roles) private {
        _roles[account] = roles;
        _record(ROLES_CHANGED, keccak256(abi.encode(account, roles)));
        emit RolesChanged(account, roles);
    }

    function _record(uint8 kind, bytes32 value) private {
        _accumulator = _accumulator.link(kind, uint160(msg.sender), value);
    }

    function _requireFree(address account) private view {
        if (account == address(0)) revert ZeroAccount();
        if (_signers[account] != 0) revert AccountInUse(account);
    }

    function _requirePresent(uint8 member) private view {
        if (!_present.has(member)) revert UnknownMember(member);
    }

    /// @dev Bounds that a round cannot work without. Sums of deadlines need none: a block time and three
    /// uint32 durations stay far below 2^40.
    function _requireValid(Terms calldata terms) private view {
        if (terms.plan == 0) revert InvalidTerms(0);
        if (terms.quorum == 0 || terms.quorum > MAX_MEMBERS) revert InvalidTerms(1);
        if (terms.minReveals == 0 || terms.minReveals > MAX_MEMBERS) revert InvalidTerms(2);
        if (terms.commitDuration == 0) revert InvalidTerms(3);
        if (terms.revealDuration == 0) revert InvalidTerms(4);
        if (terms.proposeDuration == 0) revert InvalidTerms(5);
        // With a longer grace no member could ever propose in the aggregator's place.
        if (terms.grace >= terms.proposeDuration) revert InvalidTerms(6);
        if (terms.maxRounds == 0) revert InvalidTerms(7);
        if (terms.aggregators.length == 0 || terms.aggregators.length > MAX_AGGREGATORS) {
            revert InvalidTerms(8);
        }
        for (uint256 i = 0; i < terms.aggregators.length; ++i) {
            if (_roles[terms.aggregators[i]] & AGGREGATOR == 0) revert InvalidTerms(8);
            for (uint256 j = 0; j < i; ++j) {
                if (terms.aggregators[i] == terms.aggregators[j]) revert InvalidTerms(8);
            }
        }
    }
}
