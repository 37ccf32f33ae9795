// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The cheatcodes of forge that these tests use
/// @dev Declared here because no npm package that holds forge-std comes from Foundry itself.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    struct Gas {
        uint64 gasLimit;
        uint64 gasTotalUsed;
        uint64 gasMemoryUsed;
        int64 gasRefunded;
        uint64 gasRemaining;
    }

    function warp(uint256 timestamp) external;
    function chainId(uint256 id) external;
    function prank(address sender, address origin) external;
    function assume(bool condition) external pure;
    function expectEmit(address emitter) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool);
    function lastCallGas() external view returns (Gas memory);
    function snapshotGasLastCall(string calldata group, string calldata name) external returns (uint256 gas);
    function getCode(string calldata artifact) external view returns (bytes memory);
    function deployCode(string calldata artifact, bytes calldata arguments) external returns (address);

    function assertTrue(bool condition, string calldata claim) external pure;
    function assertEq(uint256 got, uint256 expected, string calldata claim) external pure;
    function assertEq(bytes32 got, bytes32 expected, string calldata claim) external pure;
    function assertEq(address got, address expected, string calldata claim) external pure;
    function assertEq(bytes calldata got, bytes calldata expected, string calldata claim) external pure;
    function assertLe(uint256 got, uint256 limit, string calldata claim) external pure;
}

/// @dev forge answers at the address that the hash of "hevm cheat code" gives.
Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
