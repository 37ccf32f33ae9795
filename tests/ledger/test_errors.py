"""The error family: one line, expected and got, and an exit code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import errors
from ledger.checks import Check
from ledger.errors import ContractError, FedledgerError, PayloadCorrupt, UnavailableError, VerificationError


def _family() -> dict[str, type[FedledgerError]]:
    classes = (getattr(errors, name) for name in errors.__all__)
    return {cls.__name__: cls for cls in classes}


def test_the_family_tree_in_the_docstring_is_the_real_one() -> None:
    tree = (errors.__doc__ or "").split("\n\n")[1].splitlines()
    parents: dict[int, str] = {}
    described = {}
    for line in tree:
        name = re.search(r"[A-Za-z]+", line)
        assert name is not None, line
        depth = name.start() // 4
        parents[depth] = name.group()
        code = re.search(r" (\d) ", line)
        described[name.group()] = (parents.get(depth - 1), int(code.group(1)) if code else None)
    real = {
        name: (cls.__base__.__name__, cls.exit_code)
        for name, cls in _family().items()
        if cls is not FedledgerError
    }
    described.pop("FedledgerError")
    assert real == described


def test_an_unnamed_failure_could_not_be_found_out() -> None:
    assert FedledgerError.exit_code == 3


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnavailableError("no answer"), "no answer"),
        (UnavailableError("length", expected=3, got=4), "length: expected 3, got 4"),
        (UnavailableError("length", got=b"\x01\xff"), "length: got 01ff"),
        (UnavailableError("length", expected=0, got=""), "length: expected 0, got "),
        (
            VerificationError(Check.UPDATE_LENGTH, "update of member 2", expected=3, got=4),
            "check 4 (update length): update of member 2: expected 3, got 4",
        ),
        (
            ContractError("TooEarly", {"allowed_from": 5, "now": 3}, call="RoundLedger.open"),
            "RoundLedger.open was refused by the contract with TooEarly(allowed_from=5, now=3)",
        ),
    ],
)
def test_an_error_says_what_is_wrong_and_what_was_expected_and_got(error: FedledgerError, line: str) -> None:
    assert line == str(error)


def test_an_error_keeps_what_it_speaks_of() -> None:
    error = PayloadCorrupt(Check.UPDATE_DIGEST, "payload x", expected=b"a", got=b"b")
    assert (
        error.check,
        error.what.rpartition(": ")[2],
        error.expected,
        error.got,
    ) == (Check.UPDATE_DIGEST, "payload x", b"a", b"b")


hostile = st.one_of(
    st.text(max_size=1_000),
    st.binary(max_size=1_000),
    st.lists(st.text(max_size=40), max_size=40),
    st.text(alphabet="\n\r\t\x00\x1b\x85\u2028\u202e\ud800 x", max_size=50),
)


@given(st.one_of(st.text(max_size=2_000), st.text(alphabet="\x1b\n\u202e[31m")), hostile, hostile)
def test_an_error_is_one_readable_line_whatever_went_wrong(what: str, expected: object, got: object) -> None:
    """Names of tensors, metrics and columns are written by others, and end in a terminal."""
    for error in (
        FedledgerError(what, expected=expected, got=got),
        VerificationError(Check.REPORT, what, expected=expected, got=got),
        ContractError(what, {"argument": got}, call="RoundLedger.open"),
    ):
        line = str(error)
        assert line.isprintable()
        assert len(line) < 1_000
        line.encode("utf-8")


def test_long_values_are_cut_where_they_stop_helping() -> None:
    line = str(UnavailableError("text", expected="a" * 160, got="b" * 161))
    assert line == f"text: expected {'a' * 160}, got {'b' * 157}..."
