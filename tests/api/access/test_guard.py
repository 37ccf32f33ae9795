"""What stands before every route."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, StreamingResponse

from api.access.addresses import LOOPBACK_NAMES, client_address, counted_as, host_name
from api.access.guard import Guard, GuardConfig
from api.access.limits import Buckets
from api.config import ListenConfig
from api.rest.answers import problem
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.api.rest.serving import Service

HEADERS = {
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
}


def _tell(_request: Request, status: int, detail: str | None, headers: dict[str, str] | None) -> Any:
    return problem(status, detail, headers)


class Small(FastAPI):
    """An application that says what it reads, behind a guard."""

    config = GuardConfig(bodies={"/large": 1 << 20}, patience=1.0)

    def build_middleware_stack(self) -> Any:
        return Guard(super().build_middleware_stack(), self.config, lambda _scope: None, _tell)


@pytest.fixture(scope="module")
def small() -> Iterator[Service]:
    """A small service."""
    app = Small()

    @app.post("/read")
    @app.post("/large")
    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    @app.post("/unread")
    @app.get("/unread")
    async def unread() -> PlainTextResponse:
        return PlainTextResponse("done")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d\n" % number
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    @app.get("/wrong")
    async def wrong() -> None:
        raise ZeroDivisionError

    with serving(app) as service:
        yield service


def raw(service: Service, head: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send these very bytes, and return the status and all that comes until the connection ends."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        text = head.replace("\n", "\r\n").replace("{host}", f"{host}:{port}") + "\r\n\r\n"
        with suppress(OSError):  # it may be refused before it is sent: the answer says so
            connection.sendall(text.encode("latin-1") + body)
        got = bytearray()
        with suppress(ConnectionResetError):
            while piece := connection.recv(1 << 16):
                got += piece
    return (int(got[9:12]) if got else 0), bytes(got)


def is_problem(got: bytes) -> bool:
    return b"content-type: application/problem+json" in got.lower()


# -- headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/unread", "/stream", "/nothing", "/wrong", "/read"])
def test_every_answer_tells_browsers_to_do_little(small: Service, path: str) -> None:
    answer = small.get(path, headers={"Origin": "https://elsewhere.example"})
    assert {name.lower() for name in answer.headers} >= {name.lower() for name in HEADERS}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert "Strict-Transport-Security" not in answer.headers


def test_under_tls_browsers_are_told_to_stay_with_it() -> None:
    app = Small()
    app.config = GuardConfig(tls=True)
    with serving(app) as service:
        assert "max-age=" in service.get("/").headers["Strict-Transport-Security"]


def test_a_stream_goes_on_behind_the_guard(small: Service) -> None:
    assert small.get("/stream").text == "0\n1\n2\n"


# -- hosts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("{host}", 200),
        ("LOCALHOST:1", 200),
        ("localhost", 200),
        ("[::1]:8600", 200),
        ("ledger.example.org", 400),
        ("localhost.example.org", 400),
        ("127.0.0.1.example.org", 400),
        ("localhost@example.org", 400),
        ("[::1", 400),
        ("127.0.0.1:x", 400),
        ("127.0.0.1:8600.example.org", 400),
        ("127.0.0.1 example.org", 400),
        ("", 400),
    ],
)
def test_who_asks_for_another_host_is_not_answered(small: Service, host: str, status: int) -> None:
    """A name that somebody points at this machine (DNS rebinding) opens nothing."""
    got = raw(small, f"GET /unread HTTP/1.1\nHost: {host}\nConnection: close")
    assert got[0] == status
    assert status == 200 or is_problem(got[1])


def test_two_hosts_are_one_too_many_and_none_too_few(small: Service) -> None:
    assert raw(small, "GET /unread HTTP/1.1\nHost: {host}\nHost: {host}")[0] == 400
    assert raw(small, "GET /unread HTTP/1.1\nConnection: close")[0] == 400
    assert raw(small, "GET /unread HTTP/1.0")[0] == 400


@pytest.mark.parametrize(
    ("listen", "hosts"),
    [
        (ListenConfig(), LOOPBACK_NAMES),
        (ListenConfig(public=True, url="https://a.example"), LOOPBACK_NAMES),
        (ListenConfig("127.0.0.2"), LOOPBACK_NAMES | {"127.0.0.2"}),
        (ListenConfig("::1"), LOOPBACK_NAMES),
        (ListenConfig("10.0.0.5"), {"10.0.0.5"}),
        (ListenConfig("10.0.0.5", url="https://a.example:8600"), {"10.0.0.5", "a.example"}),
        (ListenConfig("0.0.0.0", url="https://a.example"), LOOPBACK_NAMES | {"0.0.0.0", "a.example"}),  # noqa: S104
    ],
)
def test_a_service_is_called_by_its_address_and_where_it_listens(
    listen: ListenConfig, hosts: set[str]
) -> None:
    assert listen.guard.hosts == hosts


def test_only_a_service_over_tls_says_so() -> None:
    files = {"tls_certificate": Path("a.pem"), "tls_key": Path("b.pem")}
    said = [ListenConfig(), ListenConfig(url="https://a.example"), ListenConfig("10.0.0.5", **files)]
    assert [each.guard.tls for each in said] == [False, True, True]


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("A.example:1", "a.example"),
        ("[::1]:8600", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        ("a:", ""),
        ("a:b", ""),
    ],
)
def test_a_host_is_known_by_its_name(host: str, name: str) -> None:
    assert host_name(host) == name


# -- sizes ------------------------------------------------------------------------------------------------


def test_a_url_and_headers_have_an_end(small: Service) -> None:
    assert small.get("/unread?q=" + "x" * 8000).status_code == 200
    assert small.get("/unread?q=" + "x" * 8200).status_code == 414
    assert small.get("/unread", headers={"X": "x" * 15_000}).status_code == 200
    assert small.get("/unread", headers={"X": "x" * 17_000}).status_code == 431
    assert small.get("/unread", headers={f"X{n}": "" for n in range(90)}).status_code == 200
    assert small.get("/unread", headers={f"X{n}": "" for n in range(110)}).status_code == 431


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("path", "most"), [("/read", 8192), ("/large", 1 << 20)])
def test_a_body_has_an_end_by_its_route(small: Service, path: str, most: int, chunked: bool) -> None:
    for length, status in ((most, 200), (most + 1, 413)):
        body = b"x" * length
        data: Any = iter([body[:5000], body[5000:]]) if chunked else body
        answer = requests.post(small.url + path, data=data, timeout=30)
        assert answer.status_code == status
        assert status == 200 or answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/read", "/large"])
@pytest.mark.parametrize("sent", [b"", b"x"])
def test_a_body_that_does_not_come_is_not_waited_for(small: Service, path: str, sent: bytes) -> None:
    status, got = raw(small, f"POST {path} HTTP/1.1\nHost: {{host}}\nContent-Length: 5", sent)
    assert status == 408
    assert is_problem(got)


# -- two spellings of a length ----------------------------------------------------------------------------

_NEXT = b"0\r\n\r\nGET /unread HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 5",
        "Content-Length: 5\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 6",
        "Content-Length: 0x5",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\n chunked\nContent-Length: 5",
    ],
)
def test_no_second_request_is_hidden_in_the_body_of_a_first(small: Service, lengths: str) -> None:
    """A proxy that reads the length the other way would take the rest for somebody else's request."""
    status, got = raw(small, f"POST /read HTTP/1.1\nHost: {{host}}\n{lengths}", _NEXT)
    assert status in {400, 413, 501}
    assert got.count(b"HTTP/1.1 ") == 1, "the connection ends"


def test_where_no_body_is_looked_for_there_is_none(small: Service) -> None:
    for body in ("Content-Length: 3", "Transfer-Encoding: chunked"):
        status, got = raw(small, f"GET /unread HTTP/1.1\nHost: {{host}}\n{body}", _NEXT)
        assert (status, got.count(b"HTTP/1.1 ")) == (400, 1)
    assert raw(small, "GET /unread HTTP/1.1\nHost: {host}\nContent-Length: 0\nConnection: close")[0] == 200


def test_a_body_of_unsaid_length_that_no_route_reads_ends_the_connection(small: Service) -> None:
    head = "POST /unread HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked"
    assert raw(small, head, b"5\r\nxxxxx\r\n")[0] == 200


# -- pages of other sites ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://{host}", 200), ("https://{host}", 200), ("null", 403), ("http://elsewhere.example", 403),
     ("http://{host}.example", 403), ("http://127.0.0.1", 403)],
)  # fmt: skip
def test_a_page_of_another_site_changes_nothing(small: Service, origin: str, status: int) -> None:
    """Also where nobody signs in: no page that somebody visits starts replays on his own machine."""
    head = f"POST /unread HTTP/1.1\nHost: {{host}}\nOrigin: {origin}\nContent-Length: 0\nConnection: close"
    assert raw(small, head)[0] == status


# -- limits -----------------------------------------------------------------------------------------------


def test_a_bucket_holds_a_burst_and_fills_evenly() -> None:
    now = [0.0]
    buckets = Buckets(60, 10, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(12)] == [0] * 10 + [1, 1]
    assert buckets.take("b") == 0
    now[0] += 2.5
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]
    now[0] += 1000
    assert [buckets.take("a") for _ in range(11)] == [0] * 10 + [1]


def test_a_slow_bucket_says_when_it_is_worth_asking() -> None:
    now = [0.0]
    buckets = Buckets(1, 1, clock=lambda: now[0])
    assert (buckets.take("a"), buckets.take("a")) == (0, 60)
    now[0] += 45
    assert buckets.take("a") == 15
    now[0] += 15
    assert buckets.take("a") == 0


def test_buckets_do_not_grow_with_callers() -> None:
    buckets = Buckets(60, 1, most=100)
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets._buckets) == 100
    assert buckets.take("999") == 1, "the last ones are remembered"


PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "::1/128")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["192.0.2.9"], "192.0.2.1"),
        ("10.0.0.1", ["192.0.2.9"], "192.0.2.9"),
        ("::ffff:10.0.0.1", ["192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["203.0.113.7, 192.0.2.9"], "192.0.2.9"),
        ("10.0.0.1", ["203.0.113.7", "192.0.2.9, 10.0.0.2"], "192.0.2.9"),
        ("10.0.0.1", ["192.0.2.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [", ".join(["10.0.0.2"] * 1000)], "10.0.0.2"),
        ("", ["192.0.2.9"], ""),
    ],
)
def test_the_last_one_in_the_row_who_is_no_proxy_is_the_sender(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_by_default_nobodys_word_is_taken() -> None:
    assert client_address("127.0.0.1", ["192.0.2.9"], ()) == "127.0.0.1"
    assert ListenConfig().guard.proxies == ()


def test_all_addresses_of_one_customer_count_as_one() -> None:
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:1")
    assert counted_as("2001:db8::1") != counted_as("2001:db8:0:1::1")
    assert counted_as("192.0.2.1") != counted_as("192.0.2.2")
