// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {vm} from "./Vm.sol";

contract ArtifactsTest {
    function test_these_tests_run_the_bytes_that_are_committed_and_shipped() external view {
        _same("Consortium");
        _same("RoundLedger");
    }

    function _same(string memory name) private view {
        bytes memory tested = vm.getCode(string.concat(name, ".sol"));
        vm.assertTrue(tested.length > 0, "there is code");
        bytes memory shipped = vm.getCode(string.concat("artifacts/", name, ".json"));
        vm.assertEq(keccak256(tested), keccak256(shipped), "`make contracts` is due");
    }
}
