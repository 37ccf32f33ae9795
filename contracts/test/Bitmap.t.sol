// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bitmap} from "../src/Bitmap.sol";
import {vm} from "./Vm.sol";

contract BitmapTest {
    using Bitmap for uint256;

    function test_count_equals_a_walk_over_all_indices(uint256 set) external pure {
        uint256 expected = 0;
        for (uint256 i = 0; i < 256; ++i) {
            if (set.has(uint8(i))) ++expected;
        }
        vm.assertEq(set.count(), expected, "count");
    }

    function test_count_of_no_member_and_of_all_256() external pure {
        vm.assertEq(uint256(0).count(), 0, "none");
        vm.assertEq(type(uint256).max.count(), 256, "all");
    }

    function test_an_index_is_in_a_set_that_was_given_it_and_in_none_that_lost_it(uint256 set, uint8 index)
        external
        pure
    {
        vm.assertTrue(set.with(index).has(index), "with");
        vm.assertTrue(!set.without(index).has(index), "without");
    }

    function test_other_indices_stay_as_they_are(uint256 set, uint8 index, uint8 other) external pure {
        vm.assume(other != index);
        vm.assertTrue(set.with(index).has(other) == set.has(other), "with");
        vm.assertTrue(set.without(index).has(other) == set.has(other), "without");
    }
}
