"""What arithmetic has to be like, and magnitudes as bits."""

from __future__ import annotations

import math
import platform
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.arithmetic import INFINITY_BITS, magnitude_bits, peak_bits, require_exact_arithmetic

REFUSED = "refused: arithmetic of this process"


def bits_of(value: float) -> int:
    return int.from_bytes(struct.pack("<f", value), "little")


def number(bits: int) -> float:
    return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])


def run(script: str) -> str:
    """Run a script that asks for exact arithmetic, and return what it said."""
    question = (
        "from aggregator.arithmetic import require_exact_arithmetic\n"
        "from ledger.errors import UsageError\n"
        "try:\n    require_exact_arithmetic()\n    print('accepted')\n"
        "except UsageError as error:\n    print('refused:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script + question], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_arithmetic_is_exact_where_nobody_changed_it() -> None:
    require_exact_arithmetic()
    assert run("") == "accepted"


def test_flushed_subnormals_are_refused() -> None:
    said = run_flushed("")
    assert said == f"{REFUSED}: expected subnormal numbers kept, got flushed to zero"


def test_a_thread_that_inherits_flushed_subnormals_is_refused_too() -> None:
    """The switch belongs to the thread, and new threads start as the one that started them."""
    said = run_flushed(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from aggregator.arithmetic import require_exact_arithmetic\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    error = pool.submit(require_exact_arithmetic).exception()\n"
        "print('thread', error)\n"
    )
    assert said.startswith("thread arithmetic of this process: expected subnormal numbers kept")


def run_flushed(script: str) -> str:
    pytest.importorskip("torch")
    said = run("import torch\nprint(torch.set_flush_denormal(True))\n" + script)
    possible, _, rest = said.partition("\n")
    if possible != "True":
        pytest.skip("this processor cannot flush subnormals")
    return rest


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="rounding modes are numbered by processor"
)
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00], ids=["downward", "upward", "towards zero"])
def test_directed_rounding_is_refused(mode: int) -> None:
    said = run(f"import ctypes, numpy\nctypes.CDLL(None).fesetround({mode})\n")
    assert said == f"{REFUSED}: expected round to nearest, ties to even, got another mode"


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_the_peak_is_the_largest_magnitude_whatever_the_signs(bits: list[int]) -> None:
    assert peak_bits(np.array(bits, "<u4")) == max(b & 0x7FFFFFFF for b in bits)


@given(st.floats(0, 3.4028234663852886e38))
def test_the_limit_in_bits_lets_through_exactly_what_is_at_most_the_limit(limit: float) -> None:
    bits = magnitude_bits(limit)
    assert number(bits) <= limit
    assert number(bits + 1) > limit


@pytest.mark.parametrize("limit", [3.4028234663852886e38, 3.5e38, 1e300])
def test_no_limit_lets_an_infinity_through(limit: float) -> None:
    assert magnitude_bits(limit) == INFINITY_BITS - 1


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_lies_above_every_finite_number(value: float) -> None:
    bits = np.array([bits_of(value), bits_of(3.4028234663852886e38)], "<u4")
    assert peak_bits(bits) >= INFINITY_BITS > bits_of(3.4028234663852886e38)
