"""Digests of the models that all rules give for one round; as a program, one line a rule and thread count.

The values are such that any other order of operations, any fused operation and any lost subnormal would show.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.aggregator.made_up import Delta, Round, Values, make_round, vectors

RULES = {
    "fedavg": {},
    "median": {},
    "trimmed-mean": {"fraction": 0.2},
}
SPECS = vectors(70_001, 250_000, 13)


def values(seed: int) -> Values:
    """Return values of all magnitudes, with zeros of both signs and subnormal numbers among them."""
    random = np.random.default_rng(seed)
    drawn: Values = {}
    for spec in SPECS:
        mantissa, exponent = random.standard_normal(spec.elements), random.integers(-30, 10, spec.elements)
        tensor = np.ldexp(mantissa, exponent).astype(np.float32)
        kind = random.integers(0, 12, spec.elements)
        tensor[kind == 0] = 0.0
        tensor[kind == 1] = -0.0
        tensor[kind == 2] *= np.float32(2.0**-110)
        drawn[spec.name] = tensor.tolist()
    return drawn


def write_round(folder: Path) -> Round:
    """Write the round: 9 members, arriving in no order."""
    deltas = [Delta(m, 137 + 991 * m, values(m)) for m in (8, 3, 0, 1, 7, 2, 5, 6, 4)]
    return make_round(folder, SPECS, values(99), deltas)


def digests() -> list[str]:
    """Return one line a rule and thread count."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        made = write_round(Path(folder))
        for rule, parameters in RULES.items():
            for threads in (1, 2, 3):
                model = made.with_rule(rule, **parameters).run(threads=threads).model
                lines.append(f"{rule} {threads} {model.digest.hex() if model else None}")
    return lines


if __name__ == "__main__":
    print(*digests(), sep="\n")  # noqa: T201 - a program's answer
