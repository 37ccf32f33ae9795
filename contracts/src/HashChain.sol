// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The link by which accumulators grow
library HashChain {
    /// @notice Equal to keccak256(abi.encode(accumulator, kind, actor, value)).
    function link(bytes32 accumulator, uint8 kind, uint256 actor, bytes32 value)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(accumulator, kind, actor, value));
    }
}
