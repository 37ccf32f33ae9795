"""Several endpoints of one chain: the one that answers is used, and none of another chain ever is."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from contracts import endpoints
from contracts.endpoints import connect
from ledger.errors import ChainError, UsageError
from tests.chains import NOBODY, anvil, devnet, endpoint, result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chains import Reply


def chain_of(number: int, balance: int = 0) -> Callable[[dict[str, Any]], Reply]:
    """A node of that chain on which everybody has that balance."""
    return lambda request: result(hex(number) if request["method"] == "eth_chainId" else hex(balance))


def test_an_endpoint_that_is_not_there_is_passed_over() -> None:
    with devnet() as url:
        assert connect([NOBODY, url]).head().number == 1


def test_when_one_endpoint_stops_answering_the_next_one_is_used_and_stays() -> None:
    works = True

    def first(request: dict[str, Any]) -> Reply:
        return chain_of(5, 10)(request) if works else (503, b"")

    with endpoint(first) as (a, asked_a), endpoint(chain_of(5, 20)) as (b, asked_b):
        chain = connect([a, b])
        assert chain.balance(bytes(20)) == 10
        works = False
        assert chain.balance(bytes(20)) == 20
        works = True
        asked_a.clear()
        assert chain.balance(bytes(20)) == 20
        assert asked_a == []
        assert [method for method, *_ in asked_b][-2:] == ["eth_getBalance", "eth_getBalance"]


def test_an_endpoint_of_another_chain_is_refused_by_name() -> None:
    with endpoint(chain_of(5)) as (a, _), endpoint(chain_of(6)) as (b, _):
        with pytest.raises(UsageError, match=rf"^{b}: chain id: expected 5, got 6$"):
            connect([a, b])
        with pytest.raises(UsageError, match=rf"^{a}: chain id: expected 7, got 5$"):
            connect([a], chain_id=7)
        assert connect([a], chain_id=5).chain_id == 5


def test_an_endpoint_that_comes_back_with_another_chain_is_not_used() -> None:
    """A node that was set up anew behind the same address."""
    number, works = 5, True

    def changing(request: dict[str, Any]) -> Reply:
        return chain_of(number)(request) if works else (502, b"<html>bad gateway</html>")

    with endpoint(changing) as (a, _):
        chain = connect([a])
        works = False
        with pytest.raises(ChainError, match="HTTP status 502"):
            chain.balance(bytes(20))
        number, works = 6, True
        with pytest.raises(ChainError, match="chain id: expected 5, got 6"):
            chain.balance(bytes(20))
        number = 5
        assert chain.balance(bytes(20)) == 0


FAILURES: dict[str, tuple[Reply, str]] = {
    "no JSON": ((200, b"<html>"), "its answer is not JSON-RPC"),
    "a list": ((200, b"[]"), "its answer is not JSON-RPC"),
    "nested": ((200, b"[" * 100_000), "its answer is not JSON-RPC"),
    "nothing": ((200, b""), "its answer is not JSON-RPC"),
    "neither result nor error": ((200, b'{"id": 1}'), "its answer is not JSON-RPC"),
    "an error in a text": ((200, b'{"error": "no"}'), "its answer is not JSON-RPC"),
    "not found": ((404, b""), "HTTP status 404"),
    "too many requests": ((429, b'{"error": {"code": -32005, "message": "slow down"}}'), "HTTP status 429"),
    "a redirection": ((302, b""), "HTTP status 302"),
    "no chain id": ((200, b'{"error": {"code": -32601, "message": "no"}}'), "does not say which chain"),
    "a chain id of no kind": ((200, b'{"result": []}'), "does not say which chain"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_an_endpoint_that_makes_no_sense_is_passed_over(failure: tuple[Reply, str]) -> None:
    reply, said = failure
    with endpoint(lambda _: reply) as (a, _):
        with pytest.raises(ChainError, match=said) as caught:
            connect([a])
        assert str(caught.value).startswith(f"no endpoint of the chain answers ({a}: ")
        assert str(caught.value).endswith("; check that its node runs and is reachable")
        with endpoint(chain_of(5, 3)) as (b, _):
            assert connect([a, b]).balance(bytes(20)) == 3


def test_an_endpoint_that_is_silent_is_given_up_after_the_timeout() -> None:
    release = threading.Event()

    def silent(request: dict[str, Any]) -> Reply:
        release.wait(20)
        return chain_of(5)(request)

    with endpoint(silent) as (a, _):
        with pytest.raises(ChainError, match=r"no answer in 0\.2 s"):
            connect([a], timeout=0.2)
        release.set()


DRIPPING = {
    "a header, byte by byte": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "a chunk's length, byte by byte": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"a"),
    "a body, byte by byte": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"a"),
    "interim answers without end": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@contextmanager
def dripping(head: bytes, again: bytes) -> Iterator[str]:
    """An endpoint that goes on answering, a little at a time."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError), closing(server.accept()[0]) as client:
                client.recv(65_536)
                client.sendall(head)
                while not stop.wait(0.05):
                    client.sendall(again)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", DRIPPING)
def test_an_endpoint_that_does_not_come_to_an_end_is_passed_over(kind: str) -> None:
    """A socket's own time limit would begin anew with each byte."""
    with dripping(*DRIPPING[kind]) as slow, endpoint(chain_of(5, 20)) as (good, _):
        assert connect([slow, good], timeout=0.5).balance(bytes(20)) == 20


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "-0x5", "0x0", hex(1 << 63)])
def test_a_chain_id_that_is_none_is_no_answer(number: str) -> None:
    with (
        endpoint(lambda _: result(number)) as (a, _),
        pytest.raises(ChainError, match="does not say which chain"),
    ):
        connect([a])


def test_an_endless_answer_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr(endpoints, "_MAX_ANSWER", 1_000)

    def endless(request: dict[str, Any]) -> Reply:
        return chain_of(5)(request) if request["method"] == "eth_chainId" else result("0x" + "00" * 1_000)

    with endpoint(endless) as (a, _), pytest.raises(ChainError, match="longer than 1000 bytes"):
        connect([a]).code(bytes(20))


SECRET = "s3cret"
SECRETS = ("http://user:{}@127.0.0.1:1/", "http://127.0.0.1:1/v3/{}", "http://127.0.0.1:1/?key={}")


@pytest.mark.parametrize("url", SECRETS)
def test_no_message_holds_what_a_url_keeps_secret(url: str) -> None:
    with pytest.raises(ChainError, match=r"http://127\.0\.0\.1:1: no connection") as caught:
        connect([url.format(SECRET)])
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_password_in_a_url_is_sent_to_its_endpoint() -> None:
    with endpoint(chain_of(5)) as (a, asked):
        connect([a.replace("http://", "http://user:word@") + "/path"])
        assert asked[0] == ("eth_chainId", "/path", "Basic dXNlcjp3b3Jk")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cret",
        "ftp://s3cret",
        "file:///s3cret",
        "http://",
        "http://a:s3cret",
        "http://[s3cret",
        "http://h/#s3cret",
        "http://h/s3 cret",
    ],
)
def test_what_is_no_url_of_an_endpoint_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(UsageError, match="an endpoint's URL: expected http:// or https://") as caught:
        connect([url])
    assert SECRET not in str(caught.value)


def test_a_chain_without_endpoints_is_refused() -> None:
    for none in ([], "http://127.0.0.1:1"):
        with pytest.raises(UsageError, match="expected at least one URL"):
            connect(none)


def test_two_nodes_of_one_chain_are_told_from_two_chains() -> None:
    with devnet() as a, devnet() as b, anvil() as c:
        assert connect([a, b]).chain_id == connect([b]).chain_id
        with pytest.raises(UsageError, match="chain id"):
            connect([a, b, c])
