"""Answers that are files: made in a folder of their own, and gone as soon as they are sent."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from anyio.to_thread import run_sync
from fastapi.responses import StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["file_answer"]

_PIECE = 1 << 18


class _FileAnswer(StreamingResponse):
    """An answer that says when its file is not needed any more, however it ends."""

    def __init__(self, file: IO[bytes], size: int, read: Callable[[], object], **options: Any) -> None:
        super().__init__(self._pieces(file, size), **options)
        self._file = file
        self._read = read

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()

    def _pieces(self, file: IO[bytes], size: int) -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            size -= len(piece)
            if size <= 0:  # before it is sent: whoever has the last byte may ask for the next file
                self._end()
            yield piece
            if size <= 0:
                return

    def _end(self) -> None:
        self._file.close()
        self._read()


async def file_answer(
    make: Callable[[Path], object],
    name: str,
    folder: Path | None,
    read: Callable[[], object] = lambda: None,
) -> StreamingResponse:
    """Return an answer with the bytes of a file.

    Args:
        make: writes the file; what it raises is raised.
        name: under which a browser saves it.
        folder: where it lies until it is sent; the system's temporary folder where None.
        read: called, once or twice, when all of it is on its way, or whoever asked has gone.
    """
    with tempfile.TemporaryDirectory(prefix="answer-", dir=folder) as scratch:
        path = Path(scratch) / "file"
        await run_sync(make, path)
        # Once it is open its name is not needed: nothing stays, however the answer ends.
        file = path.open("rb")
    size = os.fstat(file.fileno()).st_size
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Cache-Control": "no-store",
    }
    return _FileAnswer(file, size, read, media_type="application/octet-stream", headers=headers)
