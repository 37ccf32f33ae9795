"""What the long-running commands share: turns until a signal comes, logs, metrics and health.

A turn does what is due and returns. Whatever goes wrong in one is said once, and tried again later: nothing
is lost between turns, so a service that runs on is worth more than one that gave up.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app

from contracts.follower import Behind
from ledger.errors import ChainError, FedledgerError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aggregator.config import MonitoringConfig

__all__ = ["READING_SECONDS", "Failures", "Monitor", "Standings", "log", "serve", "set_up_logs", "stopping"]

_LONGEST_WAIT = 60.0
_REPEAT_SECONDS = 300.0
_STALE_SECONDS = 300.0
READING_SECONDS = 10.0
"""How long a turn may read the chain before it looks whether a signal came."""
_FIELDS = ("run", "round", "member")

log = logging.getLogger("fedledger")
_LOGGERS = ("fedledger", "aggregator", "api", "contracts", "node", "storage")
"""Ours: libraries may say what no log of ours may hold."""


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        return json.dumps(line, ensure_ascii=False)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        where = ", ".join(f"{name} {getattr(record, name)}" for name in _FIELDS if hasattr(record, name))
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{moment} {level}{record.getMessage()}{f' ({where})' if where else ''}"


class Monitor:
    """Counts what a service does, and says whether it is well.

    Args:
        service: its name, as it stands before each metric.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._steps = Counter(
            f"fedledger_{service}_steps", "Steps done.", ["run", "step"], registry=self.registry
        )
        self._errors = Counter(
            f"fedledger_{service}_errors", "Turns that failed.", ["kind"], registry=self.registry
        )
        self._round = Gauge(
            f"fedledger_{service}_round", "Newest round seen.", ["run"], registry=self.registry
        )
        self._last_turn = Gauge(
            f"fedledger_{service}_last_turn_seconds", "When a turn last went well.", registry=self.registry
        )
        self._well_at = time.monotonic()
        self._trouble = ""

    def done(self, step: str, fields: dict[str, int]) -> None:
        """Count a step."""
        self._steps.labels(str(fields.get("run", "")), step).inc()
        if "round" in fields:
            self._round.labels(str(fields.get("run", ""))).set(fields["round"])

    def well(self) -> None:
        """Note that a turn went well."""
        self._well_at, self._trouble = time.monotonic(), ""
        self._last_turn.set_to_current_time()

    def failed(self, error: FedledgerError) -> None:
        """Note that a turn failed."""
        self._trouble = error.for_logs()
        self._errors.labels(type(error).__name__).inc()

    def health(self) -> tuple[bool, str]:
        """Return whether a turn went well lately, and what is the matter if not."""
        return time.monotonic() - self._well_at < _STALE_SECONDS and not self._trouble, self._trouble


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: whoever asks for metrics every few seconds would fill the log."""


@contextmanager
def _monitored(monitor: Monitor, port: int) -> Iterator[None]:
    """Serve ``/metrics`` and ``/health`` on loopback."""
    if not port:
        yield
        return
    metrics = make_wsgi_app(monitor.registry)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/health":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        well, trouble = monitor.health()
        start_response(
            "200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")]
        )
        return [json.dumps({"well": well, "trouble": trouble or None}).encode()]

    try:
        server = make_server("127.0.0.1", port, app, server_class=WSGIServer, handler_class=_Quiet)
    except OSError as error:
        raise UnavailableError(f"cannot serve metrics on port {port}", got=error.strerror) from error
    thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that is set by the first SIGTERM or SIGINT; a second one ends the process at once."""
    stop = threading.Event()
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(number: int, _frame: object) -> None:
        log.info("stopping after this step; once more stops at once")
        stop.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def set_up_logs(form: str) -> None:
    """Send the log to standard error: ``text``, ``json``, or ``auto``."""
    handler = logging.StreamHandler(sys.stderr)
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler.setFormatter(_Text() if as_text else _Json())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False


def serve(
    monitor: Monitor,
    config: MonitoringConfig,
    poll_seconds: float,
    open_turn: Callable[[], Callable[[], Iterable[tuple[str, dict[str, int]]]]],
) -> None:
    """Take turns until a signal asks to stop.

    Args:
        monitor: told what happens.
        config: where metrics and health are served.
        poll_seconds: pause after a turn in which nothing was due.
        open_turn: makes ready and returns the turn: steps done, each with run, round and member. It is tried
            until it succeeds: a chain or a store may not be there yet.

    Raises:
        UsageError: it cannot be made ready as configured, e.g. another chain, or a key of no member.
    """
    troubles = _Troubles(monitor)
    with _monitored(monitor, config.port), stopping() as stop:
        turn = None
        while not stop.is_set():
            wait = poll_seconds
            try:
                if turn is None:
                    turn = open_turn()
                worked = False
                for step, fields in turn():
                    worked = True
                    monitor.done(step, fields)
                    log.info(step, extra=fields)
                troubles.over()
                wait = 0.0 if worked else poll_seconds
            except UsageError as error:
                if turn is None:
                    raise
                wait = troubles.said(error, poll_seconds)
            except FedledgerError as error:
                wait = troubles.said(error, poll_seconds)
                if isinstance(error, Behind):
                    wait = 0.0
            stop.wait(wait)
        log.info("stopped")


class Failures:
    """What went wrong in a turn's parts, so that one part does not keep the others from theirs."""

    def __init__(self) -> None:
        self._errors: list[FedledgerError] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an error for later; one of the chain's ends the turn, since it would meet every part."""
        try:
            yield
        except ChainError:
            raise
        except FedledgerError as error:
            self._errors.append(error)

    def raise_any(self) -> None:
        """Raise what was kept, several as one."""
        if len(self._errors) == 1:
            raise self._errors[0]
        if self._errors:
            raise UnavailableError("; ".join(error.for_logs() for error in self._errors))


class Standings:
    """Says of each run why it waits, once, and when it goes on."""

    def __init__(self) -> None:
        self._told: dict[int, str] = {}

    def tell(self, run: int, waiting: str | None) -> None:
        """Log what changed.

        Args:
            run: the run.
            waiting: why no round is to be opened in it; None while one is open or may be.
        """
        before = self._told.pop(run, "")
        if waiting is not None:
            self._told[run] = waiting
            if waiting != before:
                log.info("run %d waits: %s", run, waiting, extra={"run": run})
        elif before:
            log.info("run %d goes on", run, extra={"run": run})


class _Troubles:
    """Says each trouble once, and again every few minutes while it lasts."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._last = ""
        self._said_at = 0.0
        self._count = 0

    def said(self, error: FedledgerError, poll_seconds: float) -> float:
        """Log an error if it is news, and return how long to wait before the next try."""
        self._monitor.failed(error)
        self._count += 1
        said = error.for_logs()
        if said != self._last or time.monotonic() - self._said_at > _REPEAT_SECONDS:
            log.warning("%s; trying again", said)
            self._last, self._said_at = said, time.monotonic()
        return float(min(_LONGEST_WAIT, poll_seconds * 2 ** min(self._count - 1, 5)))

    def over(self) -> None:
        self._monitor.well()
        if self._count:
            log.info("works again")
        self._last, self._count = "", 0
