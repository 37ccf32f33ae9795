// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRoundLedger} from "./IRoundLedger.sol";

/// @title The word that every step of a round reads, and most steps write
/// @dev Packed by hand, since each step then loads and stores it once, which the compiler does not manage
/// for a struct. From the lowest bit: status 8, epoch 32, commitEnd 40, revealEnd 40, proposeDuration 32,
/// grace 32, eligibleCount 16, commits 16, reveals 16, quorum 16. Sums cannot cross a field's border: counts
/// stay at or below 256, and block times with three uint32 durations far below 2^40.
type RoundHeader is uint256;

using RoundHeaders for RoundHeader global;

/// @title What a header says, and how it changes
library RoundHeaders {
    uint256 private constant EPOCH = 8;
    uint256 private constant COMMIT_END = 40;
    uint256 private constant REVEAL_END = 80;
    uint256 private constant PROPOSE_DURATION = 120;
    uint256 private constant GRACE = 152;
    uint256 private constant ELIGIBLE_COUNT = 184;
    uint256 private constant COMMITS = 200;
    uint256 private constant REVEALS = 216;
    uint256 private constant QUORUM = 232;

    /// @notice The header of a round that opens now.
    function opened(
        uint32 epoch_,
        uint32 commitDuration,
        uint32 revealDuration,
        uint32 proposeDuration,
        uint32 grace,
        uint256 eligibleCount_,
        uint16 quorum_
    ) internal view returns (RoundHeader) {
        uint256 end = block.timestamp + commitDuration;
        return RoundHeader.wrap(
            uint256(IRoundLedger.Status.Open) | (uint256(epoch_) << EPOCH) | (end << COMMIT_END)
                | ((end + revealDuration) << REVEAL_END) | (uint256(proposeDuration) << PROPOSE_DURATION)
                | (uint256(grace) << GRACE) | (eligibleCount_ << ELIGIBLE_COUNT)
                | (uint256(quorum_) << QUORUM)
        );
    }

    /// @notice One more commitment. The last one that can come brings both deadlines forward.
    /// @dev For the commit phase only: its end lies ahead, so nothing is borrowed from a neighbouring field.
    function withCommit(RoundHeader header) internal view returns (RoundHeader) {
        unchecked {
            uint256 word = RoundHeader.unwrap(header) + (1 << COMMITS);
            if (uint16(word >> COMMITS) == uint16(word >> ELIGIBLE_COUNT)) {
                word -= (header.commitEnd() - block.timestamp) * ((1 << COMMIT_END) + (1 << REVEAL_END));
            }
            return RoundHeader.wrap(word);
        }
    }

    /// @notice One more reveal. The last one that can come brings the deadline forward.
    /// @dev For the reveal phase only, for the same reason.
    function withReveal(RoundHeader header) internal view returns (RoundHeader) {
        unchecked {
            uint256 word = RoundHeader.unwrap(header) + (1 << REVEALS);
            if (uint16(word >> REVEALS) == uint16(word >> COMMITS)) {
                word -= (header.revealEnd() - block.timestamp) << REVEAL_END;
            }
            return RoundHeader.wrap(word);
        }
    }

    /// @notice The header of a round that ends as `outcome`.
    function ended(RoundHeader header, IRoundLedger.Status outcome) internal pure returns (RoundHeader) {
        return RoundHeader.wrap((RoundHeader.unwrap(header) & ~uint256(type(uint8).max)) | uint256(outcome));
    }

    // slither-disable-start timestamp : durations exceed what validators can move a block's time by
    function phase(RoundHeader header) internal view returns (IRoundLedger.Phase) {
        // Compared as numbers, since every step comes by here and comparing enums costs more.
        if (uint8(RoundHeader.unwrap(header)) != uint8(IRoundLedger.Status.Open)) {
            return _phaseOutside(header.status());
        }
        if (block.timestamp < header.commitEnd()) return IRoundLedger.Phase.Commit;
        if (block.timestamp < header.revealEnd()) return IRoundLedger.Phase.Reveal;
        if (block.timestamp < header.proposeEnd()) return IRoundLedger.Phase.Propose;
        return IRoundLedger.Phase.Abortable;
    }
    // slither-disable-end timestamp

    function _phaseOutside(IRoundLedger.Status status_) private pure returns (IRoundLedger.Phase) {
        if (status_ == IRoundLedger.Status.Certified) return IRoundLedger.Phase.Certified;
        return status_ == IRoundLedger.Status.Aborted ? IRoundLedger.Phase.Aborted : IRoundLedger.Phase.None;
    }

    function status(RoundHeader header) internal pure returns (IRoundLedger.Status) {
        return IRoundLedger.Status(uint8(RoundHeader.unwrap(header)));
    }

    function epoch(RoundHeader header) internal pure returns (uint32) {
        return uint32(RoundHeader.unwrap(header) >> EPOCH);
    }

    function commitEnd(RoundHeader header) internal pure returns (uint40) {
        return uint40(RoundHeader.unwrap(header) >> COMMIT_END);
    }

    /// @dev Where nobody committed there is nothing to wait for.
    function revealEnd(RoundHeader header) internal pure returns (uint40) {
        return header.commits() == 0 ? header.commitEnd() : uint40(RoundHeader.unwrap(header) >> REVEAL_END);
    }

    function proposeEnd(RoundHeader header) internal pure returns (uint40) {
        return header.revealEnd() + uint32(RoundHeader.unwrap(header) >> PROPOSE_DURATION);
    }

    /// @notice Block time from which eligible members may propose in the aggregator's place.
    function graceEnd(RoundHeader header) internal pure returns (uint40) {
        return header.revealEnd() + uint32(RoundHeader.unwrap(header) >> GRACE);
    }

    function eligibleCount(RoundHeader header) internal pure returns (uint16) {
        return uint16(RoundHeader.unwrap(header) >> ELIGIBLE_COUNT);
    }

    function commits(RoundHeader header) internal pure returns (uint16) {
        return uint16(RoundHeader.unwrap(header) >> COMMITS);
    }

    function reveals(RoundHeader header) internal pure returns (uint16) {
        return uint16(RoundHeader.unwrap(header) >> REVEALS);
    }

    function quorum(RoundHeader header) internal pure returns (uint16) {
        return uint16(RoundHeader.unwrap(header) >> QUORUM);
    }
}
