"""The auditors' service on a saved federation: dashboard and API on loopback, for whoever has the folder.

The chain is executed again and its index made anew in a temporary folder, so nothing is shown that chain and
payloads do not hold; the folder is only read.
"""

from __future__ import annotations

import tempfile
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from api.app import create_app
from api.config import ListenConfig
from api.index.database import Database
from api.index.filling import fill
from api.verifications import Verifications
from audit.bundles.export import export_bundle, make_policy
from audit.demo import PAYLOADS, audit_demo, saved_ledger
from cli.http_server import answering
from cli.service import stopping
from contracts.client import RoundLedger
from ledger.errors import UsageError
from storage import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from cli.output import Output

__all__ = ["saved_service", "serve_saved"]

_PORT = 8600


def serve_saved(folder: Path, output: Output, *, port: int | None = None) -> None:
    """Serve a folder that ``fedledger demo`` wrote, until a signal comes.

    Args:
        folder: the folder.
        output: where the addresses are said.
        port: see ``saved_service``.

    Raises:
        UsageError, VerificationError: see there.
    """
    with stopping() as stop, saved_service(folder, output, port=port):
        stop.wait()


@contextmanager
def saved_service(folder: Path, output: Output, *, port: int | None = None) -> Iterator[str]:
    """Serve a saved federation while the block runs; yields the address.

    Its newest run is replayed at once, so that the outcome is there for whoever looks.

    Args:
        folder: the folder.
        output: where the addresses are said.
        port: on loopback, 0 for any free one; 8600, or any free one where that is taken, if None.

    Raises:
        UsageError: the folder holds no saved federation, or the port is taken.
        VerificationError: its chain does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="fedledger-api-") as scratch:
        chain, deployment = saved_ledger(folder)
        state = Path(scratch)
        database = Database(f"sqlite:///{state / 'index.sqlite'}")
        fill(database, chain, deployment, Archive(folder / PAYLOADS))
        jobs = Verifications(
            state / "verifications", lambda _run, progress: audit_demo(folder, progress=progress)
        )
        ending = threading.Event()
        with _on_loopback(_app(database, jobs, folder, state, ending), port, ending) as address:
            output.say(f"dashboard: {address}/ (on this machine alone, until Ctrl-C)")
            runs = RoundLedger(chain, deployment.round_ledger).run_count()
            if runs:
                output.say(f"audited again: {address}/verifications/{jobs.submit(runs, None).id}")
            yield address
        jobs.close()
        database.close()


def _app(
    database: Database, jobs: Verifications, folder: Path, state: Path, ending: threading.Event
) -> FastAPI:
    def bundle(run: int, round_: int, out: Path) -> None:
        export_bundle(*saved_ledger(folder), Archive(folder / PAYLOADS), run, round_, out)

    return create_app(
        database,
        jobs=jobs,
        bundle=bundle,
        bundle_folder=state,
        policy=lambda: make_policy(*saved_ledger(folder), ["block"]),
        stopping=ending.is_set,
    )


@contextmanager
def _on_loopback(app: FastAPI, port: int | None, ending: threading.Event) -> Iterator[str]:
    """Answer on a port, or on any free one where none is asked for and the usual one is taken."""
    with ExitStack() as stack:
        try:
            listen = ListenConfig(port=_PORT if port is None else port, public=True)
            address = stack.enter_context(answering(app, listen, ending))
        except UsageError:
            if port is not None:
                raise
            address = stack.enter_context(answering(app, ListenConfig(port=0, public=True), ending))
        yield address
