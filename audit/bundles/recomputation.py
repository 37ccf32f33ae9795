"""Works a bundle's result out again from the updates that it holds."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aggregator.workspace import Workspace
from audit.differences import differences
from ledger.checks import Check
from ledger.documents import Outcome
from ledger.errors import PayloadMissing, VerificationError
from storage.files import receive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.bundles.document import BundleFile
    from ledger.cid import PayloadRef
    from ledger.documents import Result
    from ledger.replay import Replay

__all__ = ["recompute"]


class _Payloads:
    """A bundle's payloads as files, each taken out, verified, when it is first asked for.

    A file's name is the CID computed here from digest and length; nothing of the bundle becomes a path.
    """

    def __init__(self, file: BundleFile, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._roles = {payload.ref: payload.role for payload in reversed(file.bundle.payloads)}

    def obtain(self, ref: PayloadRef) -> Path:
        path = self._folder / ref.cid
        if ref not in self._roles:
            raise PayloadMissing(f"payload {ref.cid} is not in the bundle")
        if not path.exists():
            receive(self._file.pieces(self._roles[ref]), ref, path)
        return path

    def document(self, digest: bytes) -> bytes:
        for ref, role in self._roles.items():
            if ref.digest == digest:
                return self._file.document(role)
        raise PayloadMissing(f"document {digest.hex()} is not in the bundle")

    def repair(self, refs: Iterable[PayloadRef]) -> None:
        """Do nothing: a bundle is all there is."""


def recompute(
    file: BundleFile, replay: Replay, result: Result, scratch: Path | None, *, threads: int
) -> bytes:
    """Recompute the result of a bundle's round and hold it against the certified one (checks 54 to 57).

    Args:
        file: the bundle.
        replay: its judged history.
        result: the certified result.
        scratch: where a folder for the payloads is made.
        threads: worker threads for aggregation.

    Returns:
        SHA-256 of the model's bytes in the bundle; empty where the result is void.

    Raises:
        VerificationError: something differs.
        UnavailableError: the disk refuses.
    """
    withheld = frozenset(v.member for v in result.verdicts if v.outcome is Outcome.WITHHELD)
    with tempfile.TemporaryDirectory(prefix="fedledger-verify-", dir=scratch) as name:
        payloads = _Payloads(file, Path(name))
        workspace = Workspace(payloads, Path(name), threads=threads)
        try:
            mine = workspace.recompute(replay, file.bundle.run, file.bundle.round, withheld=withheld)
        except PayloadMissing as error:
            raise VerificationError(Check.BUNDLE_PAYLOADS, "what to recompute from", got=error) from error
    for check, member, message in differences(mine, result):
        whose = "" if member is None else f"member {member}: "
        raise VerificationError(check, f"recomputed: {whose}{message}")
    if result.void:
        return b""
    hasher = hashlib.sha256()
    for piece in file.pieces("model"):
        hasher.update(piece)
    return hasher.digest()
