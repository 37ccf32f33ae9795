"""A bundle's file is read in pieces, and only where there is one."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from audit.bundles.document import Bundle, BundleFile, Payload, role_order
from audit.bundles.policy import Policy
from audit.bundles.verification import verify
from ledger.cid import PayloadHasher
from ledger.errors import UsageError, VerificationError
from tests.audit.bundles.case import good

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1 << 20


def test_what_a_first_line_says_is_read_back_as_it_was_written() -> None:
    for round_ in range(1, 7):
        bundle = good(round_, payloads=True).bundle
        assert Bundle.parse(bundle.encode()) == bundle
        assert Bundle.parse(bundle.encode()).encode() == bundle.encode()


def test_memory_does_not_grow_with_payloads(tmp_path: Path) -> None:
    hasher, size = PayloadHasher(), 96 * _MIB
    for _ in range(96):
        hasher.update(bytes(_MIB))
    bundle = good().bundle
    events, plan = bundle.payloads[:2]
    huge = replace(bundle, payloads=(events, plan, Payload("model", hasher.ref())), _by_role={})
    path = tmp_path / "huge.bundle"
    with path.open("wb") as file:
        file.write(huge.encode() + b"\n")
        file.truncate(file.tell() + events.ref.length + plan.ref.length + size)
    tracemalloc.start()
    with BundleFile.open(path) as opened:
        length = sum(map(len, opened.pieces("model")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == size
    assert peak < 8 * _MIB


def test_a_payload_that_is_not_what_is_listed_says_so_at_its_end(tmp_path: Path) -> None:
    data = bytearray(good().data())
    data[-1] ^= 1
    path = tmp_path / "changed.bundle"
    path.write_bytes(data)
    with BundleFile.open(path) as opened:
        last = opened.bundle.payloads[-1].role
        with pytest.raises(VerificationError, match=r"check 61 \(bundle payloads\)"):
            opened.document(last)


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, made: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(UsageError, match="expected a bundle's file"):
        verify(path, Policy.read(made / "members.policy.json"))


def test_a_link_to_a_bundle_is_followed(tmp_path: Path, made: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(made / "holds-members.bundle")
    assert verify(link, Policy.read(made / "members.policy.json")).holds


def test_roles_have_one_order() -> None:
    roles = ["update:10", "model", "events", "update:9", "report:0", "plan", "base", "base-result", "result"]
    expected = [
        "events",
        "plan",
        "result",
        "base-result",
        "report:0",
        "base",
        "model",
        "update:9",
        "update:10",
    ]
    assert sorted(roles, key=role_order) == expected


@pytest.mark.parametrize(
    "role", ["", "update", "update:", "update:256", "update:07", "update:1 ", "plan:1", "é"]
)
def test_there_are_no_other_roles(role: str) -> None:
    with pytest.raises(ValueError, match="no role"):
        role_order(role)
