// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IConsortium} from "../src/IConsortium.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

contract ConsortiumTest is Fixture {
    address private constant NEWCOMER = address(0xF00100);
    bytes32 private constant KEY = keccak256("newcomer's key");
    bytes32 private constant METADATA = keccak256("newcomer's metadata");
    uint256 private constant ALL_FIVE = (1 << MEMBERS) - 1;

    function setUp() public override {
        _deploy(MEMBERS, 0);
    }

    // --- constructor

    function test_founders_have_ascending_indices_and_an_epoch_each() external view {
        for (uint8 i = 0; i < MEMBERS; ++i) {
            IConsortium.Member memory m = consortium.memberAt(i);
            vm.assertEq(m.account, _account(i), "account");
            vm.assertEq(m.admittedEpoch, i + 1, "admitted in the epoch that began with it");
            vm.assertEq(m.removedEpoch, 0, "not removed");
            vm.assertEq(m.encryptionKey, keccak256(abi.encode("key", uint256(i))), "encryption key");
            vm.assertEq(m.metadata, keccak256(abi.encode("metadata", uint256(i))), "metadata");
            vm.assertEq(consortium.memberOf(_account(i)), i, "the account signs for the member");
        }
        vm.assertEq(consortium.memberCount(), MEMBERS, "member count");
    }

    function test_accumulator_starts_from_chain_contract_predecessor_and_percent() external {
        _agrees();
        IConsortium successor = _succeed(keccak256("head"), 75);
        bytes32 genesis = keccak256(abi.encode(block.chainid, successor, keccak256("head"), 75));
        bytes32 founder = keccak256(
            abi.encode(
                uint8(0),
                _account(0),
                keccak256(abi.encode("key", uint256(0))),
                _metadataOfFirst(),
                uint32(1)
            )
        );
        (, bytes32 accumulator,) = successor.snapshot();
        bytes32 expected = keccak256(abi.encode(genesis, 1, address(this), founder));
        vm.assertEq(accumulator, expected, "accumulator");
        vm.assertEq(successor.predecessor(), keccak256("head"), "predecessor");
        vm.assertEq(successor.approvalPercent(), 75, "percent");
    }

    function test_roles_of_the_constructor_are_held_and_can_be_combined() external {
        bytes memory arguments =
            abi.encode(_founders(1), _one(OPERATOR), _one(OPERATOR), _one(_account(0)), 0, bytes32(0));
        IConsortium c = IConsortium(_create("Consortium.sol", arguments));
        vm.assertEq(c.rolesOf(OPERATOR), 3, "operator and aggregator");
        vm.assertEq(c.rolesOf(_account(0)), 4, "a member's account may be an auditor");
        vm.assertEq(c.rolesOf(OUTSIDER), 0, "none");
    }

    function test_constructor_refuses_a_consortium_without_members() external {
        bytes memory expected = abi.encodeWithSelector(IConsortium.NoFounders.selector);
        _refusedToDeploy(_founders(0), _none(), 0, expected);
    }

    function test_constructor_refuses_an_account_that_signs_for_two_founders() external {
        IConsortium.Founder[] memory twice = _founders(3);
        twice[2].account = twice[0].account;
        _refusedToDeploy(
            twice, _none(), 0, abi.encodeWithSelector(IConsortium.AccountInUse.selector, _account(0))
        );
    }

    function test_constructor_refuses_the_zero_account_as_founder_and_in_a_role() external {
        IConsortium.Founder[] memory zero = _founders(2);
        zero[1].account = address(0);
        bytes memory expected = abi.encodeWithSelector(IConsortium.ZeroAccount.selector);
        _refusedToDeploy(zero, _none(), 0, expected);
        _refusedToDeploy(_founders(1), _one(address(0)), 0, expected);
    }

    function test_constructor_refuses_the_same_role_twice() external {
        address[] memory twice = new address[](2);
        (twice[0], twice[1]) = (OPERATOR, OPERATOR);
        bytes memory expected = abi.encodeWithSelector(IConsortium.RolesUnchanged.selector, OPERATOR, 1);
        _refusedToDeploy(_founders(1), twice, 0, expected);
    }

    function test_constructor_refuses_more_than_a_hundred_percent(uint8 percent) external {
        percent = uint8(_bound(percent, 101, 255));
        bytes memory expected = abi.encodeWithSelector(IConsortium.InvalidApprovalPercent.selector, percent);
        _refusedToDeploy(_founders(1), _none(), percent, expected);
    }

    function test_a_consortium_has_up_to_256_members_and_no_more() external {
        _deploy(256, 0);
        (,, uint256 present) = consortium.snapshot();
        vm.assertEq(present, type(uint256).max, "all 256 present");
        vm.assertEq(consortium.memberOf(_account(255)), 255, "the last index");
        vm.assertEq(consortium.threshold(), 129, "majority of 256");
        bytes memory full = abi.encodeWithSelector(IConsortium.ConsortiumFull.selector);
        _refusedToDeploy(_founders(257), _none(), 0, full);
        for (uint8 i = 0; i < 128; ++i) {
            _acts(_account(i), address(consortium), _admitCall());
        }
        _refused(_account(128), address(consortium), _admitCall(), full);
    }

    // --- threshold

    function test_threshold_is_the_least_number_above_half_and_at_least_the_percentage(
        uint8 n,
        uint8 percent
    ) external {
        n = uint8(_bound(n, 1, 24));
        percent = uint8(_bound(percent, 0, 100));
        _deploy(n, percent);
        uint256 t = consortium.threshold();
        vm.assertTrue(_suffices(t, n, percent), "enough");
        vm.assertTrue(!_suffices(t - 1, n, percent), "and one less is not");
        vm.assertLe(t, n, "and it can be reached");
    }

    function test_threshold_follows_the_number_of_members() external {
        vm.assertEq(consortium.threshold(), 3, "of five");
        _vote(_admitCall());
        vm.assertEq(consortium.threshold(), 4, "of six");
        _vote(abi.encodeCall(IConsortium.voteRemove, (5)));
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        vm.assertEq(consortium.threshold(), 3, "of four");
    }

    // --- admission

    function test_admission_takes_effect_with_the_vote_that_reaches_the_threshold() external {
        _acts(_account(0), address(consortium), _admitCall());
        _acts(_account(1), address(consortium), _admitCall());
        vm.assertEq(consortium.votesOf(_admitBallot()), 3, "two votes stand");
        vm.assertEq(consortium.memberCount(), MEMBERS, "nobody admitted");
        vm.expectEmit(address(consortium));
        emit IConsortium.MemberAdmitted(MEMBERS, NEWCOMER, KEY, METADATA, MEMBERS + 1);
        _acts(_account(2), address(consortium), _admitCall());
        vm.assertEq(consortium.memberOf(NEWCOMER), MEMBERS, "the next index");
        vm.assertEq(consortium.memberAt(MEMBERS).metadata, METADATA, "its metadata");
        vm.assertEq(consortium.votesOf(_admitBallot()), 0, "the ballot is forgotten");
        _agrees();
    }

    function test_votes_for_different_keys_are_different_ballots() external {
        bytes memory otherKey =
            abi.encodeCall(IConsortium.voteAdmit, (NEWCOMER, keccak256("other"), METADATA));
        _acts(_account(0), address(consortium), _admitCall());
        _acts(_account(1), address(consortium), _admitCall());
        _acts(_account(2), address(consortium), otherKey);
        vm.assertEq(consortium.memberCount(), MEMBERS, "nobody admitted");
    }

    function test_admission_is_refused_for_an_account_in_use_or_zero() external {
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteAdmit, (_account(1), KEY, METADATA)),
            abi.encodeWithSelector(IConsortium.AccountInUse.selector, _account(1))
        );
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteAdmit, (address(0), KEY, METADATA)),
            abi.encodeWithSelector(IConsortium.ZeroAccount.selector)
        );
    }

    // --- removal

    function test_removed_member_keeps_its_index_and_loses_its_account() external {
        vm.expectEmit(address(consortium));
        emit IConsortium.VoteCast(keccak256(abi.encode(2, 1)), 0);
        _vote(abi.encodeCall(IConsortium.voteRemove, (1)));
        IConsortium.Member memory m = consortium.memberAt(1);
        vm.assertEq(m.account, address(0), "no account");
        vm.assertEq(m.removedEpoch, MEMBERS + 1, "removed in the epoch that began with it");
        (,, uint256 present) = consortium.snapshot();
        vm.assertEq(present, ALL_FIVE - 2, "not present");
        _agrees();
    }

    function test_removed_member_neither_votes_nor_counts_on_ballots_it_voted_on() external {
        _acts(_account(1), address(consortium), _admitCall());
        _acts(_account(2), address(consortium), _admitCall());
        _vote(abi.encodeCall(IConsortium.voteRemove, (1)));
        vm.assertEq(consortium.votesOf(_admitBallot()), 4, "only member 2's vote is left");
        _refused(
            _account(1),
            address(consortium),
            _admitCall(),
            abi.encodeWithSelector(IConsortium.NotMember.selector, _account(1))
        );
        _acts(_account(0), address(consortium), _admitCall());
        vm.assertEq(consortium.memberCount(), MEMBERS, "two of four do not decide");
        _acts(_account(3), address(consortium), _admitCall());
        vm.assertEq(consortium.memberCount(), MEMBERS + 1, "three of four do");
    }

    function test_index_of_a_removed_member_is_never_given_again() external {
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        _vote(abi.encodeCall(IConsortium.voteAdmit, (_account(4), KEY, METADATA)));
        vm.assertEq(consortium.memberOf(_account(4)), 5, "a new index for the same account");
        vm.assertEq(consortium.memberAt(4).account, address(0), "the old one stays empty");
        _agrees();
    }

    function test_removal_is_refused_for_whom_is_not_there() external {
        _vote(abi.encodeCall(IConsortium.voteRemove, (4)));
        for (uint8 i = 4; i < 6; ++i) {
            _refused(
                _account(0),
                address(consortium),
                abi.encodeCall(IConsortium.voteRemove, (i)),
                abi.encodeWithSelector(IConsortium.UnknownMember.selector, i)
            );
        }
    }

    function test_last_member_cannot_be_removed() external {
        _deploy(2, 0);
        _vote(abi.encodeCall(IConsortium.voteRemove, (1)));
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteRemove, (0)),
            abi.encodeWithSelector(IConsortium.LastMember.selector, 0)
        );
    }

    // --- rotation

    function test_rotation_kills_the_old_key_and_the_new_one_signs_for_the_same_index() external {
        _vote(_rotateCall(3, NEWCOMER, KEY));
        vm.assertEq(consortium.memberOf(NEWCOMER), 3, "the new account signs");
        vm.assertEq(consortium.memberAt(3).encryptionKey, KEY, "the new encryption key");
        vm.assertEq(consortium.memberAt(3).admittedEpoch, 4, "since its admission");
        (uint32 epoch,,) = consortium.snapshot();
        vm.assertEq(epoch, MEMBERS + 1, "a new epoch");
        _refused(
            _account(3),
            address(consortium),
            _admitCall(),
            abi.encodeWithSelector(IConsortium.NotMember.selector, _account(3))
        );
        _agrees();
    }

    function test_rotation_may_change_the_encryption_key_alone() external {
        _vote(_rotateCall(3, _account(3), KEY));
        vm.assertEq(consortium.memberOf(_account(3)), 3, "the same account");
        vm.assertEq(consortium.memberAt(3).encryptionKey, KEY, "another encryption key");
        _refused(
            _account(0),
            address(consortium),
            _rotateCall(3, _account(3), KEY),
            abi.encodeWithSelector(IConsortium.AccountInUse.selector, _account(3))
        );
    }

    function test_rotation_is_refused_to_an_account_in_use_or_zero_and_for_whom_is_not_there() external {
        bytes memory inUse = abi.encodeWithSelector(IConsortium.AccountInUse.selector, _account(2));
        _refused(_account(0), address(consortium), _rotateCall(3, _account(2), KEY), inUse);
        bytes memory zero = abi.encodeWithSelector(IConsortium.ZeroAccount.selector);
        _refused(_account(0), address(consortium), _rotateCall(3, address(0), KEY), zero);
        bytes memory unknown = abi.encodeWithSelector(IConsortium.UnknownMember.selector, 7);
        _refused(_account(0), address(consortium), _rotateCall(7, NEWCOMER, KEY), unknown);
    }

    function test_accounts_that_rotation_freed_can_sign_again() external {
        _vote(_rotateCall(3, NEWCOMER, KEY));
        _vote(abi.encodeCall(IConsortium.voteAdmit, (_account(3), KEY, METADATA)));
        vm.assertEq(consortium.memberOf(_account(3)), MEMBERS, "for a new member");
        vm.assertEq(consortium.memberOf(NEWCOMER), 3, "beside the rotated one");
    }

    // --- roles

    function test_roles_are_set_to_exactly_what_was_voted() external {
        _vote(abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 5)));
        vm.assertEq(consortium.rolesOf(AGGREGATOR), 5, "operator and auditor, aggregator no more");
        _vote(abi.encodeCall(IConsortium.voteRoles, (AGGREGATOR, 0)));
        vm.assertEq(consortium.rolesOf(AGGREGATOR), 0, "none");
        _agrees();
    }

    function test_the_same_roles_voted_again_need_all_votes_again() external {
        bytes memory grant = abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 1));
        _vote(grant);
        _vote(abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, 0)));
        _acts(_account(0), address(consortium), grant);
        _acts(_account(1), address(consortium), grant);
        vm.assertEq(consortium.rolesOf(OUTSIDER), 0, "earlier votes are spent");
        _acts(_account(2), address(consortium), grant);
        vm.assertEq(consortium.rolesOf(OUTSIDER), 1, "granted");
    }

    function test_roles_that_do_not_exist_or_change_nothing_are_refused(uint8 roles) external {
        roles = uint8(_bound(roles, 8, 255));
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteRoles, (OUTSIDER, roles)),
            abi.encodeWithSelector(IConsortium.InvalidRoles.selector, roles)
        );
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteRoles, (OPERATOR, 1)),
            abi.encodeWithSelector(IConsortium.RolesUnchanged.selector, OPERATOR, 1)
        );
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteRoles, (address(0), 1)),
            abi.encodeWithSelector(IConsortium.ZeroAccount.selector)
        );
    }

    // --- terms

    function test_terms_are_proposed_with_the_first_vote_and_approved_with_the_last() external {
        bytes32 digest = consortium.termsDigest(_terms(QUORUM));
        vm.expectEmit(address(consortium));
        emit IConsortium.PlanProposed(digest, _terms(QUORUM));
        _acts(_account(4), address(consortium), _approveCall());
        _acts(_account(3), address(consortium), _approveCall());
        vm.assertTrue(!consortium.isApproved(digest), "not yet");
        vm.expectEmit(address(consortium));
        emit IConsortium.PlanApproved(digest, keccak256("plan"));
        _acts(_account(2), address(consortium), _approveCall());
        vm.assertTrue(consortium.isApproved(digest), "approved");
        _agrees();
        _refused(
            _account(0),
            address(consortium),
            _approveCall(),
            abi.encodeWithSelector(IConsortium.AlreadyApproved.selector, digest)
        );
    }

    function test_terms_digest_is_that_of_the_fields_in_order(IConsortium.Terms memory t) external view {
        bytes32 expected = keccak256(
            abi.encode(
                t.plan,
                t.quorum,
                t.minReveals,
                t.commitDuration,
                t.revealDuration,
                t.proposeDuration,
                t.grace,
                t.maxRounds,
                t.aggregators
            )
        );
        vm.assertEq(consortium.termsDigest(t), expected, "digest");
    }

    function test_terms_that_differ_anywhere_are_another_ballot() external {
        _acts(_account(0), address(consortium), _approveCall());
        IConsortium.Terms memory t = _terms(QUORUM);
        t.maxRounds += 1;
        _acts(_account(1), address(consortium), abi.encodeCall(IConsortium.voteApprove, (t)));
        _acts(_account(2), address(consortium), abi.encodeCall(IConsortium.voteApprove, (t)));
        vm.assertTrue(!consortium.isApproved(consortium.termsDigest(t)), "two votes");
        vm.assertTrue(!consortium.isApproved(consortium.termsDigest(_terms(QUORUM))), "one vote");
    }

    function test_terms_that_no_round_could_work_with_are_refused() external {
        IConsortium.Terms memory t = _terms(QUORUM);
        t.plan = 0;
        _refusedTerms(t, 0);
        _refusedTerms(_terms(0), 1);
        _refusedTerms(_terms(257), 1);
        t = _terms(QUORUM);
        t.minReveals = 0;
        _refusedTerms(t, 2);
        t.minReveals = 257;
        _refusedTerms(t, 2);
        t = _terms(QUORUM);
        t.commitDuration = 0;
        _refusedTerms(t, 3);
        t = _terms(QUORUM);
        t.revealDuration = 0;
        _refusedTerms(t, 4);
        t = _terms(QUORUM);
        t.proposeDuration = 0;
        _refusedTerms(t, 5);
        t = _terms(QUORUM);
        t.grace = t.proposeDuration;
        _refusedTerms(t, 6);
        t = _terms(QUORUM);
        t.maxRounds = 0;
        _refusedTerms(t, 7);
    }

    function test_terms_name_1_to_16_distinct_aggregators_that_have_the_role() external {
        IConsortium.Terms memory t = _terms(QUORUM);
        t.aggregators = _none();
        _refusedTerms(t, 8);
        t.aggregators = _one(OPERATOR);
        _refusedTerms(t, 8);
        t.aggregators = new address[](2);
        (t.aggregators[0], t.aggregators[1]) = (AGGREGATOR, AGGREGATOR);
        _refusedTerms(t, 8);
        t.aggregators = new address[](17);
        for (uint256 i = 0; i < 17; ++i) {
            t.aggregators[i] = address(uint160(0xA000 + i));
            _vote(abi.encodeCall(IConsortium.voteRoles, (t.aggregators[i], 2)));
        }
        _refusedTerms(t, 8);
        address[] memory sixteen = new address[](16);
        for (uint256 i = 0; i < 16; ++i) {
            sixteen[i] = t.aggregators[i];
        }
        t.aggregators = sixteen;
        _approve(t);
        vm.assertTrue(consortium.isApproved(consortium.termsDigest(t)), "16 are accepted");
    }

    function test_terms_of_the_widest_durations_are_accepted() external {
        IConsortium.Terms memory t = _terms(256);
        t.commitDuration = type(uint32).max;
        t.revealDuration = type(uint32).max;
        t.proposeDuration = type(uint32).max;
        t.grace = type(uint32).max - 1;
        t.maxRounds = type(uint32).max;
        _approve(t);
        vm.assertTrue(consortium.isApproved(consortium.termsDigest(t)), "approved");
    }

    // --- votes

    function test_a_member_votes_once() external {
        _acts(_account(0), address(consortium), _admitCall());
        _refused(
            _account(0),
            address(consortium),
            _admitCall(),
            abi.encodeWithSelector(IConsortium.AlreadyVoted.selector, _admitBallot(), 0)
        );
    }

    function test_a_withdrawn_vote_no_longer_counts_and_can_be_cast_again() external {
        _acts(_account(0), address(consortium), _admitCall());
        _acts(_account(1), address(consortium), _admitCall());
        vm.expectEmit(address(consortium));
        emit IConsortium.VoteWithdrawn(_admitBallot(), 0);
        _acts(_account(0), address(consortium), abi.encodeCall(IConsortium.withdrawVote, (_admitBallot())));
        _acts(_account(2), address(consortium), _admitCall());
        vm.assertEq(consortium.memberCount(), MEMBERS, "two of five do not decide");
        _acts(_account(0), address(consortium), _admitCall());
        vm.assertEq(consortium.memberCount(), MEMBERS + 1, "three do");
        _agrees();
    }

    function test_only_a_standing_vote_can_be_withdrawn() external {
        bytes memory withdrawal = abi.encodeCall(IConsortium.withdrawVote, (_admitBallot()));
        bytes memory expected = abi.encodeWithSelector(IConsortium.NotVoted.selector, _admitBallot(), 0);
        _refused(_account(0), address(consortium), withdrawal, expected);
        _vote(_admitCall());
        _refused(_account(0), address(consortium), withdrawal, expected);
    }

    function test_nobody_but_members_votes(address account) external {
        vm.assume(uint160(account) < 0xF00000 || uint160(account) >= 0xF00000 + MEMBERS);
        bytes[6] memory calls = [
            _admitCall(),
            abi.encodeCall(IConsortium.voteRemove, (1)),
            _rotateCall(1, NEWCOMER, KEY),
            abi.encodeCall(IConsortium.voteRoles, (account, 7)),
            _approveCall(),
            abi.encodeCall(IConsortium.withdrawVote, (_admitBallot()))
        ];
        bytes memory expected = abi.encodeWithSelector(IConsortium.NotMember.selector, account);
        for (uint256 i = 0; i < calls.length; ++i) {
            _refused(account, address(consortium), calls[i], expected);
        }
    }

    function test_members_never_admitted_are_unknown() external {
        _refused(
            OUTSIDER,
            address(consortium),
            abi.encodeCall(IConsortium.memberAt, (MEMBERS)),
            abi.encodeWithSelector(IConsortium.UnknownMember.selector, MEMBERS)
        );
    }

    // --- helpers

    function _agrees() private view {
        (uint32 epoch, bytes32 accumulator, uint256 present) = consortium.snapshot();
        vm.assertEq(accumulator, replay.consortiumAccumulator(), "accumulator equals the replay of events");
        vm.assertEq(epoch, replay.epoch(), "epoch equals the replay of events");
        vm.assertEq(present, replay.present(), "members equal the replay of events");
    }

    function _refusedTerms(IConsortium.Terms memory t, uint8 field) private {
        _refused(
            _account(0),
            address(consortium),
            abi.encodeCall(IConsortium.voteApprove, (t)),
            abi.encodeWithSelector(IConsortium.InvalidTerms.selector, field)
        );
    }

    function _refusedToDeploy(
        IConsortium.Founder[] memory founders,
        address[] memory operators,
        uint8 percent,
        bytes memory expected
    ) private {
        bytes memory code = bytes.concat(
            vm.getCode("Consortium.sol"), _arguments(founders, operators, percent, 0)
        );
        (address created, bytes memory answer) = _tryToCreate(code);
        vm.assertEq(created, address(0), "the deployment is refused");
        vm.assertEq(answer, expected, "the deployment is refused for the right reason");
    }

    function _tryToCreate(bytes memory code) private returns (address created, bytes memory answer) {
        assembly ("memory-safe") {
            created := create(0, add(code, 32), mload(code))
            answer := mload(0x40)
            mstore(answer, returndatasize())
            returndatacopy(add(answer, 32), 0, returndatasize())
            mstore(0x40, and(add(add(answer, returndatasize()), 63), not(31)))
        }
    }

    function _succeed(bytes32 head, uint8 percent) private returns (IConsortium) {
        address[] memory none = _none();
        bytes memory arguments = abi.encode(_founders(1), none, none, none, percent, head);
        return IConsortium(_create("Consortium.sol", arguments));
    }

    function _suffices(uint256 votes, uint256 n, uint256 percent) private pure returns (bool) {
        return 2 * votes > n && 100 * votes >= percent * n;
    }

    function _admitCall() private view returns (bytes memory) {
        return abi.encodeCall(IConsortium.voteAdmit, (NEWCOMER, KEY, METADATA));
    }

    function _admitBallot() private pure returns (bytes32) {
        return keccak256(abi.encode(1, NEWCOMER, KEY, METADATA));
    }

    function _rotateCall(uint8 member, address account, bytes32 key) private view returns (bytes memory) {
        return abi.encodeCall(IConsortium.voteRotate, (member, account, key));
    }

    function _approveCall() private view returns (bytes memory) {
        return abi.encodeCall(IConsortium.voteApprove, (_terms(QUORUM)));
    }

    function _metadataOfFirst() private pure returns (bytes32) {
        return keccak256(abi.encode("metadata", uint256(0)));
    }

    function _none() private pure returns (address[] memory) {
        return new address[](0);
    }
}
