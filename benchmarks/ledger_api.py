"""(g) The ledger API on an index with a million contributions: how fast it is made, and how fast it answers.

The service is a process of its own, as ``fedledger api serve`` is one, without the indexer; clients are
threads of this one. A latency is the time from a request's first byte to its answer's last, on a connection
that stays open. Throughput is that of one answer, asked for again and again, as of the bare endpoint.
"""

from __future__ import annotations

import http.client
import itertools
import multiprocessing
import resource
import socket
import statistics
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Response

from api.app import create_app
from api.index.database import Database
from api.index.documents import Documents
from api.index.indexer import Indexer
from benchmarks.ledger_rows import (
    DEPLOYMENT,
    MadeUpChain,
    MadeUpLedger,
    account,
    shuffled,
    whole_history,
    word,
)
from ledger.commitments import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive, Scope, Send

__all__ = ["make_index", "measure_ledger_api"]

_CLIENTS = 50
_SECONDS = 60
_PAGES = 10
"""Runs whose blocks the made-up chain holds at a time."""


def make_index(path: Path, runs: int, rounds: int) -> Iterator[str]:
    """Make the index of a made-up ledger of ten members, and say how fast that was.

    Events are handed over as ``Chain.history`` would; what making them up costs is not counted.
    """
    ledger = MadeUpLedger(10)
    chain = MadeUpChain(ledger)
    database = Database(f"sqlite:///{path}")
    database.migrate()
    indexer = Indexer(database, chain, DEPLOYMENT, approval_percent=0, predecessor=ZERO)
    documents = Documents(database.writer, chain, indexer.ledger)
    events, reading, asking = 0, 0.0, 0.0
    for number, _ in enumerate(whole_history(chain, runs, rounds), 1):
        if number % _PAGES and number < runs:
            continue
        events += sum(map(len, chain.events))
        begun = time.perf_counter()
        while indexer.step():
            pass
        read = time.perf_counter()
        while documents.sweep():
            pass
        reading, asking = reading + read - begun, asking + time.perf_counter() - read
        chain.events = [[] for _ in chain.events]
        ledger.documents.clear()
    database.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    yield f"(g) {runs * rounds * 10:,} contributions: {events / reading:,.0f} of {events:,} events a second"
    yield f"(g) their documents: {events / (reading + asking):,.0f} events/s with them; {memory} MB at most"


def measure_ledger_api(path: Path, runs: int, rounds: int, *, soak: float = 600.0) -> Iterator[str]:
    """Measure latency with many clients, throughput against a bare endpoint, proofs, and memory over time.

    Args:
        path: the index.
        runs: how many it holds.
        rounds: of each run.
        soak: seconds for which memory is watched.
    """
    with _served(path) as (url, process):
        paths = _paths(runs, rounds)
        _times(url, paths[-200:])  # each statement is compiled once
        yield from _latencies(url, paths, "requests")
        pages = _pages(runs, rounds)
        _times(url, pages[:10])
        yield from _latencies(url, pages, "pages of the dashboard")
        listing = f"/v1/runs/{runs // 2}/contributions?limit=50"
        with closing(_connection(url)) as connection:
            length = len(_ask(connection, listing)[1])
        own = _throughput(url, listing)
        bare = _throughput(url, f"/bare/{length}")
        yield f"(g) {length:,} bytes: {own:,.0f}/s, a bare endpoint {bare:,.0f}/s, ratio {own / bare:.2f}"
        new = _throughput(url, *(f"/v1/runs/{run}/contributions?limit=50" for run in range(1, runs + 1)))
        yield f"(g) one of {runs:,} such lists after the other: {new:,.0f}/s, ratio {new / bare:.2f}"
        one = f"/v1/runs/{runs // 2}"
        own, bare = _throughput(url, one), _throughput(url, "/bare/900")
        yield f"(g) one run: {own:,.0f}/s, a bare endpoint {bare:,.0f}/s, ratio {own / bare:.2f}"
        proof = f"/v1/runs/{runs // 2}/rounds/{rounds // 2}/proofs/inclusion/3"
        times = _times(url, [proof] * 200)
        yield f"(g) a proof: median {statistics.median(times) * 1e3:.1f} ms, worst {max(times) * 1e3:.1f} ms"
        yield from _soak(url, process, paths, soak)


def _paths(runs: int, rounds: int) -> list[str]:
    """Every list and look-up, each at many places."""
    chance, paths = shuffled(1), []
    for _ in range(500):
        run, round_, member = chance.randint(1, runs), chance.randint(1, rounds), chance.randrange(10)
        place = f"/v1/runs/{run}"
        digest = word("update", run, round_, member).hex()
        paths += [
            "/v1/consortium",
            "/v1/consortium/history?limit=200",
            "/v1/members",
            f"/v1/members/{member}/history",
            "/v1/plans",
            "/v1/runs?limit=200",
            place,
            f"{place}/rounds?limit=200",
            f"{place}/rounds/{round_}",
            f"{place}/contributions?limit=200",
            f"{place}/contributions?member={member}",
            f"{place}/contributions?verdict=rejected",
            f"{place}/contributions?round={round_}",
            f"{place}/rounds/{round_}/contributions/{member}",
            f"{place}/attestations?limit=200",
            f"{place}/proposals",
            f"{place}/models",
            f"{place}/metrics?limit=200",
            f"{place}/shares",
            "/v1/disputes",
            f"/v1/events?run={run}&limit=200",
            f"/v1/search?q={digest}",
            f"/v1/search?q=0x{account(member).hex()}",
            f"/v1/models/{word('model', run, round_).hex()}",
            f"{place}/rounds/{round_}/proofs/inclusion/{member}",
            f"{place}/proofs/consistency",
        ]
    chance.shuffle(paths)
    return paths


def _pages(runs: int, rounds: int) -> list[str]:
    """The dashboard's pages as somebody walks them: from the list to a run, to its rounds, to a member."""
    chance, paths = shuffled(2), []
    for _ in range(500):
        run = chance.randint(1, runs)
        paths += ["/", f"/runs/{run}", *(f"/runs/{run}/rounds/{chance.randint(1, rounds)}" for _ in range(3))]
        paths += [f"/members/{chance.randrange(10)}", "/plans"]
    return paths


@contextmanager
def _served(path: Path) -> Iterator[tuple[str, int]]:
    """Serve the index from another process; yields its address and the process's number."""
    # asyncio sends at once (TCP_NODELAY) on sockets alone that say that they are TCP's.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(path, listener), daemon=True)
    process.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with closing(_connection(url)) as connection:
            _ask(connection, "/v1/health")
        yield url, process.pid or 0
    finally:
        process.terminate()
        process.join()
        listener.close()


def _serve(path: Path, listener: socket.socket) -> None:
    bare = FastAPI()
    service = create_app(Database(f"sqlite:///{path}"))

    @bare.get("/bare/{length}")
    async def same_bytes(length: int) -> Response:
        return Response(b"x" * length, media_type="application/json")

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        """Two services in one process; the bare one has nothing before or behind its endpoint."""
        await (bare if scope.get("path", "").startswith("/bare/") else service)(scope, receive, send)

    config = uvicorn.Config(either, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _connection(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ask(connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes]:
    begun = time.perf_counter()
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, body)
    return time.perf_counter() - begun, body


def _times(url: str, paths: list[str]) -> list[float]:
    with closing(_connection(url)) as connection:
        return [_ask(connection, path)[0] for path in paths]


def _latencies(url: str, paths: list[str], what: str) -> Iterator[str]:
    times: dict[str, list[float]] = {}
    lock = threading.Lock()

    def note(path: str, taken: float) -> None:
        with lock:
            times.setdefault(_kind(path), []).append(taken)

    _ask_once_a_second(url, paths, _SECONDS, note)
    everything = sorted(taken for each in times.values() for taken in each)
    yield f"(g) {_CLIENTS} clients, {len(everything)} {what}: {_line(everything)}"
    kind, worst = max(times.items(), key=lambda item: _percentile(sorted(item[1]), 0.99))
    yield f"(g) slowest kind, {kind}: {_line(sorted(worst))}"


def _ask_once_a_second(url: str, paths: list[str], seconds: int, note: Callable[[str, float], None]) -> None:
    """Let each client ask once a second, at a moment of its own in it."""

    def ask(client: int) -> None:
        begun = time.perf_counter() + client / _CLIENTS
        with closing(_connection(url)) as connection:
            for turn in range(seconds):
                time.sleep(max(0.0, begun + turn - time.perf_counter()))
                path = paths[(client * seconds + turn) % len(paths)]
                note(path, _ask(connection, path)[0])

    _together(ask, _CLIENTS)


def _soak(url: str, process: int, paths: list[str], seconds: float) -> Iterator[str]:
    """Watch the service's memory while all clients go on asking."""
    sizes = []
    for _ in range(10):
        _ask_once_a_second(url, paths, max(1, round(seconds / 10)), lambda _path, _taken: None)
        sizes.append(_resident(process))
    shown = ", ".join(str(size) for size in sizes)
    yield f"(g) {seconds:.0f} s with {_CLIENTS} clients: {shown} MB; end to start {sizes[-1] / sizes[1]:.2f}"


def _resident(process: int) -> int:
    """Return a process's memory in MB (Linux)."""
    (line,) = [
        line
        for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines()
        if line[:6] == "VmRSS:"
    ]
    return int(line.split()[1]) >> 10


def _kind(path: str) -> str:
    words = urlsplit(path).path.split("/")
    return "/".join("{}" if part.isdecimal() or len(part) == 64 else part for part in words)


def _line(times: list[float]) -> str:
    shown = [
        f"{name} {_percentile(times, share) * 1e3:.1f} ms" for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    return ", ".join([*shown, f"worst {times[-1] * 1e3:.1f} ms"])


def _percentile(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def _throughput(url: str, *paths: str, seconds: float = 5.0, clients: int = 4) -> float:
    """Return answers a second when a few clients ask one after the other without a pause."""
    counts = [0] * clients
    until = time.perf_counter() + seconds

    def ask(client: int) -> None:
        first = client * len(paths) // clients
        turns = itertools.cycle(paths[first:] + paths[:first])
        with closing(_connection(url)) as connection:
            while time.perf_counter() < until:
                _ask(connection, next(turns))
                counts[client] += 1

    _together(ask, clients)
    return sum(counts) / seconds


def _together(work: Callable[[int], Any], number: int) -> None:
    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
