"""A chain behind JSON-RPC endpoints: HTTP, several of them, each taken for what it turns out to be.

Requests go to one endpoint as long as it answers. When it does not, the next one is asked, and stays. Each
endpoint is asked for its chain id before anything else is, and again after each of its failures: one that
belongs to another chain is never used. An endpoint's answer is read up to a limit, and no longer than the
timeout allows.

URLs often carry a key, in the path as well as before the host. Messages name scheme, host and port only.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import requests
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError, ReadTimeoutError
from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.base import JSONBaseProvider

from contracts.chain import Chain
from contracts.transport import timed_session
from ledger.canonical import read_json
from ledger.errors import ChainError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["connect"]

_MAX_ANSWER = 64 * 2**20
"""Bytes of an answer. Pages of history that would be longer are asked for again in smaller ones."""
_TOO_LONG = -32005
"""The code with which nodes refuse an answer because of its size (EIP-1474, "limit exceeded")."""
_OVERLOADED = 429


def connect(
    endpoints: Sequence[str],
    *,
    chain_id: int | None = None,
    timeout: float = 20.0,
    wait: float = 120.0,
    stuck_after: float = 30.0,
    confirmations: int = 0,
    priority_fee: int | None = None,
) -> Chain:
    """Return the chain behind JSON-RPC endpoints.

    Args:
        endpoints: URLs, the preferred one first.
        chain_id: the chain that they must belong to; that of the first one that answers where None.
        timeout: seconds that an endpoint may take over one answer.
        wait: seconds to wait until a transaction is mined, and again until it is deep enough.
        stuck_after: seconds in which a transaction should be mined; then it is sent again, for higher fees.
        confirmations: blocks that must stand on top of a transaction's block; 0 where blocks are final.
        priority_fee: wei per gas for the block's proposer; None for 1 gwei, or 0 where gas is free.

    Raises:
        UsageError: a URL is none, or an endpoint that answers belongs to another chain.
        ChainError: no endpoint answers.
    """
    provider = _Endpoints([_Endpoint(url, timeout) for url in _distinct(endpoints)], chain_id)
    provider.connect()
    return Chain(
        _web3(provider),
        timeout=wait,
        stuck_after=stuck_after,
        confirmations=confirmations,
        priority_fee=priority_fee,
    )


def _web3(provider: JSONBaseProvider) -> Web3:
    w3 = Web3(provider)
    # Validators' seals make a block's extra data longer than web3 would let pass (QBFT, Clique).
    w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return w3


def _distinct(endpoints: Sequence[str]) -> list[str]:
    if isinstance(endpoints, str) or not endpoints:
        raise UsageError("endpoints of the chain", expected="at least one URL", got=f"{len(endpoints)}")
    return list(dict.fromkeys(endpoints))


class _NoAnswer(Exception):
    """An endpoint did not answer; says why in words that hold no secret."""


class _Endpoint:
    """One URL."""

    def __init__(self, url: str, timeout: float) -> None:
        parts = _checked(url)
        self.name = _name(parts)
        self.belongs = False  # whether it was asked for its chain id since it last failed
        self._url = url
        self._timeout = timeout
        self._session = timed_session()
        self._session.trust_env = not _is_loopback(parts.hostname or "")  # proxies are for other machines

    def ask(self, body: bytes) -> Any:
        """Post a request and return the JSON-RPC answer.

        Raises:
            _NoAnswer: there is none.
        """
        try:
            status, data = self._post(body)
        except (requests.exceptions.Timeout, ReadTimeoutError, TimeoutError):
            raise _NoAnswer(f"no answer in {self._timeout:g} s") from None
        except requests.exceptions.SSLError:
            raise _NoAnswer("its TLS certificate is not trusted") from None
        except (RequestException, HTTPError, OSError, ValueError):
            raise _NoAnswer("no connection") from None
        if data is None:
            return _failed(f"the answer is longer than {_MAX_ANSWER} bytes")
        try:
            answer = read_json(data)
        except ValueError:
            answer = None
        answers = isinstance(answer, dict) and ("result" in answer or isinstance(answer.get("error"), dict))
        # Besu sends some of its refusals with status 400; a gateway's 5xx says nothing about the chain.
        if status == _OVERLOADED or status >= 500 or not answers:
            raise _NoAnswer(f"HTTP status {status}" if status != 200 else "its answer is not JSON-RPC")
        return answer

    def _post(self, body: bytes) -> tuple[int, bytes | None]:
        """Return the status and the body; None for one beyond the limit."""
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        with self._session.post(
            self._url,
            data=body,
            headers=headers,
            timeout=self._timeout,
            stream=True,
            allow_redirects=False,
        ) as response:
            parts, length = [], 0
            while part := response.raw.read1(1 << 16, decode_content=False):
                length += len(part)
                if length > _MAX_ANSWER:
                    return response.status_code, None
                parts.append(part)
            return response.status_code, b"".join(parts)


def _failed(message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": None, "error": {"code": _TOO_LONG, "message": message}}


class _Endpoints(JSONBaseProvider):
    """What web3 asks; it asks the endpoint that works.

    Args:
        endpoints: in the order of preference.
        chain_id: that of the chain; learnt from the first endpoint that answers where None.
    """

    # A contract's revert data could otherwise send web3 to any URL (EIP-3668).
    global_ccip_read_enabled = False

    def __init__(self, endpoints: Sequence[_Endpoint], chain_id: int | None) -> None:
        super().__init__()
        # At its debug level urllib3 writes paths, which may hold keys.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        self._endpoints = list(endpoints)
        self._chain_id = chain_id
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Ask every endpoint for its chain id.

        Raises:
            UsageError: one belongs to another chain.
            ChainError: none answers.
        """
        failures = {}
        for endpoint in self._endpoints:
            try:
                self._identify(endpoint)
            except _NoAnswer as failure:
                failures[endpoint.name] = failure
        if len(failures) == len(self._endpoints):
            raise _unavailable(failures)

    def make_request(self, method: Any, params: Any) -> Any:
        body = self.encode_rpc_request(method, params)
        with self._lock:
            candidates = list(self._endpoints)
        failures: dict[str, Exception] = {}
        for endpoint in candidates:
            try:
                if not endpoint.belongs:
                    self._identify(endpoint)
                return endpoint.ask(body)
            except (_NoAnswer, UsageError) as failure:
                endpoint.belongs = False
                failures[endpoint.name] = failure
                self._put_last(endpoint)
        raise _unavailable(failures)

    def _identify(self, endpoint: _Endpoint) -> None:
        """Refuse an endpoint of another chain."""
        answer = endpoint.ask(self.encode_rpc_request("eth_chainId", []))  # type: ignore[arg-type]
        try:
            found = int(answer["result"], 16)
        except (KeyError, TypeError, ValueError):
            found = 0
        if not 0 < found < 1 << 63:
            raise _NoAnswer("it does not say which chain it belongs to")
        with self._lock:
            if self._chain_id is None:
                self._chain_id = found
        if found != self._chain_id:
            raise UsageError(f"{endpoint.name}: chain id", expected=self._chain_id, got=found)
        endpoint.belongs = True

    def _put_last(self, endpoint: _Endpoint) -> None:
        with self._lock:
            self._endpoints.remove(endpoint)
            self._endpoints.append(endpoint)


def _unavailable(failures: Mapping[str, Exception]) -> ChainError:
    each = "; ".join(f"{name}: {failure}" for name, failure in failures.items())
    return ChainError(f"no endpoint of the chain answers ({each}); check that its node runs and is reachable")


def _checked(url: str) -> SplitResult:
    """Split a URL; what is wrong with it is said without its text, which may hold a password."""
    expected = "http:// or https://, a host, and maybe a port and a path"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise UsageError("an endpoint's URL", expected=expected, got="something else") from None
    if not usable or not url.isprintable() or " " in url or parts.fragment:
        got = f"{parts.scheme}://" if parts.scheme and "://" in url else "something else"
        raise UsageError("an endpoint's URL", expected=expected, got=got)
    return parts


def _name(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
