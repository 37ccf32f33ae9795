"""Aggregation rules, one file each; every module in this folder is loaded and registers its own.

A rule of your own is one more file here, or ``register`` called from a module that your task imports:

    @register
    @dataclass(frozen=True)
    class Sum(Strategy):
        name: ClassVar[str] = "sum"
        streams: ClassVar[bool] = True

        def combine(self, base, updates, out, scratch):
            (total,) = scratch.float64(1, out.size)
            total.fill(0.0)
            for delta, _ in updates:
                np.add(total, delta, out=total)
            add_to_base(base, total, out)

Example:
    >>> from aggregator.strategies import strategy
    >>> strategy("trimmed-mean", {"fraction": 0.1})
    TrimmedMean(fraction=0.1)
"""

import importlib
import pkgutil

from aggregator.strategies.base import Scratch, Strategy, Tile, WideTile, add_to_base, register, strategy

__all__ = ["Scratch", "Strategy", "Tile", "WideTile", "add_to_base", "register", "strategy"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
