"""What a cell of a table says, the same whether it came from a CSV file or a DataFrame.

- *Missing*: None, NaN, NaT and ``pandas.NA``, and the texts in ``MISSING``. The word "None" is a text.
- *Number*: a decimal number in ASCII, with or without sign, fraction and exponent, or an infinity. Booleans
  are not numbers.
- *Text*: everything, for labels and categories: surrounding white space is dropped, each spelling of a number
  becomes the shortest decimal of its binary64 value (1, 1.0, "1.00" and "01" are all "1"), each spelling of a
  boolean "True" or "False". So codes that differ only in leading or trailing zeros are one: write them with a
  letter where that would be wrong.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MISSING", "cell_number", "cell_text", "cell_texts"]

MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>"})
"""Texts that stand for a missing value."""

# No two repetitions may match the same digits, or a long cell would take quadratic time to refuse.
_NUMBER = re.compile(r"[+-]?((\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)


def cell_number(value: object) -> float | None:
    """Return the number that a cell holds, NaN where it is missing, and None where it holds anything else."""
    if isinstance(value, float):  # numpy.float64 is one
        return float(value)
    text = _stripped(value)
    if text in MISSING:
        return math.nan
    return float(text) if _NUMBER.fullmatch(text) else None


def cell_text(value: object) -> str | None:
    """Return a cell's text in its canonical spelling, None where it is missing."""
    text = _stripped(value)
    if text in MISSING:
        return None
    if text.lower() in {"true", "false"}:
        return text.capitalize()
    if not _NUMBER.fullmatch(text) or math.isinf(number := float(text)):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


def cell_texts(values: Iterable[object]) -> list[str | None]:
    """Return the texts of many cells, each distinct one worked out once."""
    known: dict[tuple[type, object], str | None] = {}
    texts = []
    for value in values:
        plain = value if isinstance(value, str | int | float) else _stripped(value)
        key = (type(plain), plain)  # 1, 1.0 and True are equal keys, but not equal cells
        if key not in known:
            known[key] = cell_text(plain)
        texts.append(known[key])
    return texts


def _stripped(value: object) -> str:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    return str(value).strip()
