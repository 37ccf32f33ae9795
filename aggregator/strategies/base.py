"""What an aggregation rule is, and the register of those known by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Scratch", "Strategy", "Tile", "WideTile", "add_to_base", "register", "strategy"]

Tile: TypeAlias = NDArray[np.float32]
"""Consecutive elements of all tensors in plan order, shape ``(n,)``, dtype binary32."""

WideTile: TypeAlias = NDArray[np.float64]
"""The same in binary64."""

T = TypeVar("T", bound="type[Strategy]")


class Scratch:
    """Arrays for intermediate values, kept from tile to tile so that no tile pays for fresh memory."""

    def __init__(self) -> None:
        self._narrow: Tile = np.empty(0, np.float32)
        self._wide: WideTile = np.empty(0, np.float64)

    def float32(self, size: int) -> Tile:
        """Return an array of shape ``(size,)`` of any content; the next call returns the same one."""
        if self._narrow.size < size:
            self._narrow = np.empty(size, np.float32)
        return self._narrow[:size]

    def float64(self, count: int, size: int) -> list[WideTile]:
        """Return ``count`` arrays of shape ``(size,)`` of any content; the next call returns the same."""
        if self._wide.size < count * size:
            self._wide = np.empty(count * size, np.float64)
        return [self._wide[i * size : (i + 1) * size] for i in range(count)]


class Strategy(ABC):
    """An aggregation rule: how members' deltas of one element become the change of that element.

    A rule is a frozen dataclass; its fields are its parameters, checked in ``__post_init__``. It is called
    tile by tile, from several threads at once, with tiles of any size, and its result must not depend on how
    the elements were cut: each output element follows from the base and the deltas of that element alone, in
    ascending order of members, by operations whose every bit IEEE 754 fixes.
    """

    name: ClassVar[str]
    """What plans call it."""

    streams: ClassVar[bool]
    """True: members' tiles are taken one at a time, and each is overwritten when the next is taken. False:
    all are in memory together, may be overwritten by the rule, and are smaller the more members there are."""

    def weight(self, num_examples: int, cap: int) -> int:  # noqa: ARG002 - rules without weights ignore both
        """Return what one update counts for, as its verdict records it: an integer from 1 to 2^29 − 1.

        Args:
            num_examples: as the member declared it, from 1 to 2^29 − 1.
            cap: the plan's ``max_num_examples``.
        """
        return 1

    @abstractmethod
    def combine(self, base: Tile, updates: Iterable[tuple[Tile, int]], out: Tile, scratch: Scratch) -> None:
        """Write the new model's elements to ``out``.

        Values may be anything, NaN and infinities too: where one is not allowed the result is thrown away.

        Args:
            base: the base model's elements.
            updates: delta and weight of each accepted member, ascending; at least one.
            out: where the result goes; same shape as ``base``.
            scratch: memory for intermediate values.
        """


def add_to_base(base: Tile, delta: WideTile, out: Tile) -> None:
    """Write ``float32(base + delta)``, added in binary64, then rounded; ``delta`` is overwritten."""
    np.add(base, delta, out=delta)
    np.copyto(out, delta, casting="same_kind")


_REGISTER: dict[str, type[Strategy]] = {}


def register(cls: T) -> T:
    """Make a rule known under its name.

    Raises:
        UsageError: the name is taken, or the class is no dataclass.
    """
    if cls.name in _REGISTER:
        raise UsageError("name of a strategy", expected="one that is not taken", got=cls.name)
    if not is_dataclass(cls):
        raise UsageError(f"strategy {cls.name}", expected="a dataclass", got=cls.__name__)
    _REGISTER[cls.name] = cls
    return cls


def strategy(name: str, parameters: Mapping[str, Any]) -> Strategy:
    """Return the rule that a plan names, with its parameters.

    Raises:
        UsageError: there is no such rule, it does not know a parameter, or one is missing or unusable.
    """
    cls = _REGISTER.get(name)
    if cls is None:
        raise UsageError("unknown strategy", expected="one of " + ", ".join(sorted(_REGISTER)), got=name)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type] # register saw to it
    for unknown in sorted(parameters.keys() - known.keys()):
        raise UsageError(f"parameters of strategy {name}", expected=", ".join(known) or "none", got=unknown)
    for field in known.values():
        if field.default is MISSING and field.name not in parameters:
            raise UsageError(f"parameters of strategy {name}", expected=field.name)
    return cls(**parameters)
