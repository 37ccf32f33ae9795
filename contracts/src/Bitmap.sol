// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Sets of member indices, one bit each
library Bitmap {
    function has(uint256 set, uint8 index) internal pure returns (bool) {
        return (set >> index) & 1 != 0;
    }

    function with(uint256 set, uint8 index) internal pure returns (uint256) {
        return set | (uint256(1) << index);
    }

    function without(uint256 set, uint8 index) internal pure returns (uint256) {
        return set & ~(uint256(1) << index);
    }

    /// @notice Number of indices in `set`.
    /// @dev Bits are summed in pairs, nibbles, bytes (H. S. Warren, Hacker's Delight, 5-1). Bytes reach 8,
    /// and the sum of 32 of them can be 256, one more than the multiplication's top byte holds; so they are
    /// first added to 16-bit lanes.
    function count(uint256 set) internal pure returns (uint256) {
        unchecked {
            set -= (set >> 1) & (type(uint256).max / 3);
            set = (set & (type(uint256).max / 5)) + ((set >> 2) & (type(uint256).max / 5));
            set = (set + (set >> 4)) & (type(uint256).max / 17);
            set = (set + (set >> 8)) & (type(uint256).max / 257);
            // slither-disable-next-line divide-before-multiply : exactly 0x0001…0001
            return (set * (type(uint256).max / 65535)) >> 240;
        }
    }
}
