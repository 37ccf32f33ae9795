"""Answers that are files: made in a folder of their own, and gone as soon as they are sent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from anyio.to_thread import run_sync
from fastapi.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["file_answer"]

_PIECE = 1 << 18


async def file_answer(make: Callable[[Path], object], name: str, folder: Path | None) -> StreamingResponse:
    """Return an answer with the bytes of a file.

    Args:
        make: writes the file; what it raises is raised.
        name: under which a browser saves it.
        folder: where it lies until it is sent; the system's temporary folder where None.
    """
    with tempfile.TemporaryDirectory(prefix="answer-", dir=folder) as scratch:
        path = Path(scratch) / "file"
        await run_sync(make, path)
        # Once it is open its name is not needed: nothing stays, however the answer ends.
        file = path.open("rb")
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_pieces(file), media_type="application/octet-stream", headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece
