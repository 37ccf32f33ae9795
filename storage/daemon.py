"""One IPFS daemon, spoken to through ipfshttpclient and held to what was asked of it.

ipfshttpclient 0.7 knows the daemon's calls, but its transport trusts the other side: it follows redirects,
takes proxies and passwords from the environment, unpacks compressed answers, reads answers and error texts of
any length, and begins to wait anew with every byte. So its calls run here over a transport of our own:

- only the host that was asked answers; redirects and the environment's proxies are refused;
- each answer is cut off at a limit that the caller names, error texts at ``_ANSWER_BYTES``;
- the time limit holds for each mebibyte that is sent or received, and for an answer's head as a whole, so
  that a daemon that sends a byte now and then counts as silent.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipfshttpclient
import requests
import urllib3
from ipfshttpclient import exceptions
from ipfshttpclient.http_requests import ClientSync
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from ledger.cid import CHUNK_BYTES
from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Address", "Daemon", "NoAnswer", "is_loopback"]

_ANSWER_BYTES = 1 << 16  # of JSON; what a daemon says of itself or of one payload is a few kilobytes
# How long a daemon may look for a block that is not pinned.
_LOOK_SECONDS = 0.25
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE)
_PORT = re.compile(r"[1-9][0-9]{0,4}")

# The parameters under which a daemon gives a payload the address that ``ledger.cid`` computes.
_OURS = {
    "cid-version": "1",
    "raw-leaves": "true",
    "chunker": f"size-{CHUNK_BYTES}",
    "pin": "true",
    "cid-base": "base32",
}

# All that ipfshttpclient and what lies below it raise on an answer that is none; the last five when JSON is
# not what the call expects.
_FAILURES = (
    exceptions.Error,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    RecursionError,
)


class NoAnswer(UnavailableError):
    """A daemon did not answer, or not with what can be used.

    Args:
        what: what is wrong, naming the daemon.
        refused: it answered, with an error message of its own.
        silent: the time limit passed; asking again at once would only wait again.
    """

    def __init__(self, what: str, *, refused: bool = False, silent: bool = False) -> None:
        self.refused = refused
        self.silent = silent
        super().__init__(what)


@dataclass(frozen=True)
class Address:
    """Where a daemon's RPC is: a multiaddr with a host, a TCP port, and ``http`` or ``https``."""

    kind: str  # ip4, ip6 or dns
    host: str
    port: int
    scheme: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``/ip4|ip6|dns/HOST/tcp/PORT``, with ``/http`` or ``/https`` at its end or without.

        Raises:
            UsageError: it is anything else.
        """
        parts = text.strip().split("/")
        scheme = parts.pop() if len(parts) == 6 else "http"
        if len(parts) == 5 and parts[0] == "" and parts[3] == "tcp" and scheme in {"http", "https"}:
            kind, host, port = parts[1], parts[2], parts[4]
            if _is_host(kind, host) and _PORT.fullmatch(port) and int(port) < 1 << 16:
                return cls(kind, host, int(port), scheme)
        raise UsageError(
            "address of an IPFS daemon", expected="a multiaddr like /ip4/127.0.0.1/tcp/5001", got=text
        )

    def __str__(self) -> str:
        return f"/{self.kind}/{self.host}/tcp/{self.port}/{self.scheme}"

    @property
    def is_loopback(self) -> bool:
        """Whether the address itself says that it is this machine; what a name leads to is not asked."""
        return is_loopback(f"/{self.kind}/{self.host}")


def is_loopback(multiaddr: str) -> bool:
    """Whether a multiaddr of any kind says that nobody but this machine gets there."""
    _, kind, host, *_ = [*multiaddr.split("/"), "", "", ""]
    if kind not in {"ip4", "ip6"}:
        return kind == "unix"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(kind: str, host: str) -> bool:
    if kind == "dns":
        return len(host) <= 253 and all(map(_LABEL.fullmatch, host.split(".")))
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return False
    return kind == f"ip{version}" and "%" not in host


class Daemon:
    """The calls that a store makes; each opens a connection of its own, so threads do not meet.

    Every method raises ``NoAnswer`` where the daemon gives none that can be used.

    Args:
        address: where the daemon's RPC is.
        timeout: seconds within which each mebibyte moves, or an answer begins.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout

    def __str__(self) -> str:
        return f"the IPFS daemon at {self.address}"

    def add(self, source: Iterable[bytes]) -> str:
        """Store and pin a file's bytes; return the address that the daemon gives them, unchecked."""
        with self._answering():
            return str(self._client().add_bytes(iter(source), opts=_OURS))

    def read(self, cid: str, limit: int, *, offline: bool = False) -> Iterator[bytes]:
        """Read a file's bytes as they arrive, at most ``limit`` of them; the rest is left unread."""
        with self._answering():
            answer = self._client(limit).cat(cid, stream=True, offline=offline)
            try:
                yield from answer
            finally:
                answer.close()

    def keeps(self, cid: str) -> bool:
        """Whether the daemon says that a payload is pinned, so that no garbage collection takes it."""
        return self._agrees("/pin/ls", cid, {"type": "recursive"})

    def holds(self, cid: str) -> bool:
        """Whether the daemon says that it has a payload's first block itself; nobody else is asked.

        What is pinned was there whole. For what is not, Kubo looks and says so at once; js-ipfs waits for its
        network, even when it has none, until the time that it is given has passed.
        """
        look = {"timeout": f"{int(_LOOK_SECONDS * 1000)}ms"}
        return self.keeps(cid) or self._agrees("/block/stat", cid, look)

    def _agrees(self, call: str, cid: str, options: dict[str, str]) -> bool:
        try:
            with self._answering():
                self._client().call(call, [cid], {"offline": "true", **options})
        except NoAnswer as error:
            if error.refused:
                return False
            raise
        return True

    def pin(self, cid: str) -> None:
        """Keep a payload that is there from being collected as garbage."""
        with self._answering():
            self._client().pin.add(cid)

    def discard(self, cids: Sequence[str]) -> None:
        """Unpin the first of these blocks and remove all that are there and that nothing else pins."""
        calls: list[tuple[str, Sequence[str], dict[str, str]]] = [("/pin/rm", [cids[0]], {})]
        calls += [("/block/rm", cids[i : i + 100], {"force": "true"}) for i in range(0, len(cids), 100)]
        for call, arguments, options in calls:
            try:
                with self._answering():
                    self._client().call(call, arguments, options)
            except NoAnswer as error:
                if not error.refused:  # a refusal says that it is not pinned, or pinned by something else
                    raise

    def configuration(self) -> dict[str, Any]:
        """Return what the daemon's configuration file says."""
        with self._answering():
            return dict(self._client().config.get().as_json())

    def peers(self) -> int | None:
        """Return how many daemons this one is connected to; None where it says that it is offline."""
        found = self._listed("/swarm/peers", "Peers")
        return None if found is None else len(found)

    def listeners(self) -> list[str] | None:
        """Return where the daemon listens for others; None where it says that it is offline."""
        announced = self._listed("/swarm/addrs/local", "Strings")
        if announced is None:
            return None
        try:
            bound = self._listed("/swarm/addrs/listen", "Strings")
        except NoAnswer as error:
            if not error.refused:  # js-ipfs does not know this call
                raise
            bound = []
        return sorted({str(address) for address in [*announced, *(bound or [])]})

    def _listed(self, call: str, field: str) -> list[Any] | None:
        try:
            with self._answering():
                (answer,) = self._client().call(call, [], {})
                return list(answer[field] or [])  # Go's empty list may arrive as null
        except NoAnswer as error:
            if error.refused and "online mode" in error.what:  # Kubo's words when started with --offline
                return None
            raise

    def _client(self, limit: int = _ANSWER_BYTES) -> _Client:
        return _Client(self.address, self.timeout, limit)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: Exception) -> NoAnswer:
        if isinstance(error, exceptions.ErrorResponse):
            return NoAnswer(f"{self} refused: {error}", refused=True)
        if _timed_out(error):
            todo = "see whether it is busy, or check [store]"
            return NoAnswer(f"{self} was silent or too slow for {self.timeout:g} s; {todo}", silent=True)
        if isinstance(error, exceptions.ConnectionError) and isinstance(
            error.original, requests.exceptions.SSLError
        ):
            todo = "check [store], or name the certificate in SSL_CERT_FILE"
            return NoAnswer(f"{self} speaks no TLS, or has no certificate that this machine trusts; {todo}")
        if isinstance(error, exceptions.ConnectionError):
            return NoAnswer(f"{self} does not answer; start it, or check [store]")
        if isinstance(error, exceptions.StatusError):
            status = getattr(getattr(error.original, "response", None), "status_code", "an error")
            return NoAnswer(f"{self} answered {status}; is it an IPFS daemon? check [store]")
        reason = f"gave an answer that breaks off or is not an IPFS daemon's ({type(error).__name__})"
        return NoAnswer(f"{self} {reason}; see its log, or check [store]")


def _timed_out(error: BaseException | None) -> bool:
    """Whether a time limit that passed is behind an error, under whichever name a library gave it."""
    while error is not None and not isinstance(error, TimeoutError):
        error = error.__context__
    return error is not None


# -- the transport -------------------------------------------------------------------------------------------


class _Client(ipfshttpclient.Client):  # type: ignore[misc]  # the library has no types that hold
    """ipfshttpclient over the guarded transport; ``connect()`` would refuse every daemon of today."""

    def __init__(self, address: Address, timeout: float, limit: int) -> None:
        super().__init__(str(address), chunk_size=CHUNK_BYTES)
        self._client = _Transport(address, timeout, limit)

    def call(self, path: str, arguments: Sequence[str], options: dict[str, str]) -> list[dict[str, Any]]:
        """Make a call that the library has no method for, or none that fits."""
        answers: list[dict[str, Any]] = self._client.request(path, arguments, opts=options, decoder="json")
        return answers


class _Transport(ClientSync):  # type: ignore[misc]
    """Where ipfshttpclient makes its sessions."""

    def __init__(self, address: Address, timeout: float, limit: int) -> None:
        self._limit = limit
        self._scheme = address.scheme
        super().__init__(str(address), "api/v0", timeout=timeout)

    def _make_session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # no proxies, no .netrc
        session.headers["Accept-Encoding"] = "identity"
        session.adapters.clear()
        session.mount(f"{self._scheme}://", _Adapter(self._limit, tls=self._scheme == "https"))
        return session


class _Adapter(HTTPAdapter):
    """Hands on an answer of the host that was asked, cut off at a limit; asks once."""

    def __init__(self, limit: int, *, tls: bool) -> None:
        self._limit = limit
        self._tls: dict[str, Any] = {"ssl_context": ssl.create_default_context()} if tls else {}
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        response = super().send(request, *args, **options)
        if response.status_code != 200 and response.status_code < 400:
            response.close()
            raise requests.HTTPError(f"status {response.status_code}", response=response)
        if not response.headers.keys() & {"content-length", "transfer-encoding"}:
            response.close()  # nobody could tell its end from a connection that broke
            raise requests.HTTPError("an answer without length", response=response)
        response.raw = _Body(response.raw, self._limit if response.status_code == 200 else _ANSWER_BYTES)
        return response


class _Body:
    """An answer's body as requests reads it: piece by piece, each within the time limit, up to a limit."""

    def __init__(self, raw: Any, limit: int) -> None:
        self._raw = raw
        self._left = limit

    def read(self, _: int | None = None) -> bytes:
        self._raw._original_response.paced.renew()  # noqa: SLF001 - as requests itself does
        piece: bytes = (
            self._raw.read(min(CHUNK_BYTES, self._left), decode_content=False) if self._left else b""
        )
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._raw.close()

    release_conn = close  # a connection serves one answer, of which something may be left unread


class _Paced(io.RawIOBase):
    """A socket's bytes, as long as they come before a deadline that only ``renew`` moves."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock
        self._bytes = sock.makefile("rb", buffering=0)
        self._patience = sock.gettimeout() or 0.0
        self.renew()

    def renew(self) -> None:
        self._deadline = time.monotonic() + self._patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._bytes.readinto(buffer)

    def close(self) -> None:
        self._bytes.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.paced = _Paced(sock)
        self.fp = io.BufferedReader(self.paced)


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
