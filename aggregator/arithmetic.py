"""What the arithmetic of this process must be like for an aggregate to be exact.

The reference is IEEE 754 with round to nearest, ties to even, and gradual underflow. Programs can switch the
floating-point unit of a thread to something else (``torch.set_flush_denormal``, libraries built with
``-ffast-math``); then sums would differ in bits from those of other members, so nothing is aggregated there.
"""

from __future__ import annotations

import numpy as np

from ledger.errors import UsageError

__all__ = ["INFINITY_BITS", "magnitude_bits", "peak_bits", "require_exact_arithmetic"]

_LANES = 64  # more than any vector register holds, so that vector and scalar loops both run
INFINITY_BITS = 0x7F800000


def require_exact_arithmetic() -> None:
    """Refuse a thread whose arithmetic flushes subnormal numbers or does not round to nearest even.

    The switches belong to the thread, so each thread that aggregates asks for itself.

    Raises:
        UsageError: naming what differs.
    """
    with np.errstate(all="ignore"):
        if not _keeps_subnormals():
            raise UsageError(
                "arithmetic of this process", expected="subnormal numbers kept", got="flushed to zero"
            )
        if not _rounds_to_nearest_even():
            raise UsageError(
                "arithmetic of this process", expected="round to nearest, ties to even", got="another mode"
            )


def _keeps_subnormals() -> bool:
    # Bits are compared, not numbers: where subnormals are flushed they also compare equal to zero.
    smallest = np.full(_LANES, 1, np.uint32).view(np.float32)
    wide = smallest.astype(np.float64)
    kept = wide.view(np.uint64) == np.uint64(0x36A0000000000000)  # 2^-149
    kept &= wide.astype(np.float32).view(np.uint32) == 1
    kept &= (smallest + np.float32(0.0)).view(np.uint32) == 1
    kept &= (np.full(_LANES, 1, np.uint64).view(np.float64) + 0.0).view(np.uint64) == 1
    return bool(kept.all())


def _rounds_to_nearest_even() -> bool:
    tie, above = np.full(_LANES, 2.0**-53), np.full(_LANES, 3 * 2.0**-53)
    nearest = (tie + 1.0 == 1.0) & (-tie - 1.0 == -1.0) & (above + 1.0 == 1.0 + 2.0**-51)
    narrow_tie = (tie * 2.0**29 + 1.0).astype(np.float32) == np.float32(1.0)
    return bool((nearest & narrow_tie).all())


def peak_bits(bits: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> int:
    """Return the bits, without the sign, of the largest magnitude among binary32 values.

    Magnitudes in IEEE 754 are ordered as their bits are, with infinities above all numbers and NaNs above
    those, so one integer answers whether all values are finite and whether all are small enough.

    Args:
        bits: the values' bits, shape ``(n,)`` with n ≥ 1, dtype uint32.
    """
    top = int(bits.max())
    if top >> 31 == 0:
        return top
    # As unsigned integers negative values are the largest; as signed ones the positive values are.
    return max(top & 0x7FFFFFFF, int(bits.view("<i4").max()))


def magnitude_bits(limit: float) -> int:
    """Return the bits of the largest finite binary32 that is at most ``limit`` ≥ 0."""
    with np.errstate(over="ignore"):
        value = np.float32(limit)
    bits = int(value.view(np.uint32))
    return bits - 1 if float(value) > limit else bits
