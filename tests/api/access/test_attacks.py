"""What has been done to services like this one: nothing changes, and the answer says little."""

from __future__ import annotations

import ipaddress
import resource
import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests

from api.access import codes, tokens
from api.access.guard import GuardConfig
from api.app import create_app
from api.config import ListenConfig
from cli.http_server import answering
from tests.api.access.desks import World, signed, world
from tests.api.index.worlds import dump, opened, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SAYS_LITTLE = 700
"""Bytes of an answer that refuses."""
TELLTALES = ("Traceback", "sqlite", "SELECT ", 'File "', "site-packages", "/tmp/")  # noqa: S108 - looked for


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A service that no test of this file changes."""
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


def state(desk: World) -> Any:
    """All that an attack could change: the index, and who is signed in."""
    tokens_held = desk.desk.tokens._database.execute("SELECT * FROM token ORDER BY digest").fetchall()
    return dump(desk.database), tokens_held


def assert_refused(answer: Any, *statuses: int) -> None:
    assert answer.status_code in statuses
    assert len(answer.content) < SAYS_LITTLE
    assert not [word for word in TELLTALES if word in answer.text]


# -- tokens and sign-ins ----------------------------------------------------------------------------------


def test_a_stolen_token_is_worth_nothing_once_it_is_ended_or_over(desk: World) -> None:
    stolen, other = desk.token("auditor"), desk.token("auditor")
    desk.ask("/sign-out", stolen, "POST")
    desk.now += tokens.LIFETIME
    for token in (stolen, other):
        for path, method in (("/runs", "GET"), ("/sign-in/renew", "POST"), ("/sign-in/code", "POST")):
            assert_refused(desk.ask(path, token, method), 401)


def test_a_stolen_token_makes_nobody_else_and_outlives_no_role(desk: World) -> None:
    stolen = desk.token("operator")
    before = desk.ask("/who-am-i", stolen).json()
    assert_refused(desk.ask("/verifications", stolen, "POST", json={"run": "1"}), 403)
    assert desk.ask("/who-am-i", stolen).json() == before


def test_a_sign_in_that_somebody_listened_to_is_good_for_nothing(desk: World) -> None:
    text = str(desk.message("auditor"))
    signature = signed("auditor", text)
    assert desk.send(text, signature).status_code == 200
    before = state(desk)
    assert_refused(desk.send(text, signature), 400)
    assert state(desk) == before


@pytest.mark.parametrize(
    "bend", ["https://{}", "{}.example.org", "example.org", "127.0.0.1", "{}@example.org"]
)
def test_a_message_for_another_service_opens_nothing_here(desk: World, bend: str) -> None:
    """A page elsewhere that has a wallet sign its own text cannot use it here."""
    before = state(desk)
    text = str(desk.message("auditor")).replace(desk.desk.domain, bend.format(desk.desk.domain), 1)
    assert_refused(desk.send(text, signed("auditor", text)), 400)
    assert state(desk) == before


@pytest.mark.parametrize("origin", [None, "https://elsewhere.example", "null"])
@pytest.mark.parametrize("path", ["/v1/verifications", "/v1/sign-out", "/verifications", "/sign-out"])
def test_a_page_elsewhere_changes_nothing_with_somebodys_cookie(
    desk: World, path: str, origin: str | None
) -> None:
    token = desk.token("auditor")
    headers = {"Cookie": f"fedledger={token}"} | ({} if origin is None else {"Origin": origin})
    answer = desk.http.post(desk.desk.url + path, headers=headers, json={"run": "1"}, timeout=30)
    assert answer.status_code == 403
    assert desk.ask("/runs", token).status_code == 200


def test_a_page_elsewhere_lets_nobody_in_as_the_attacker(desk: World) -> None:
    code, _ = desk.desk.codes.make(b"\1" * 20)
    answer = desk.http.post(
        f"{desk.desk.url}/sign-in",
        data={"code": code},
        headers={"Origin": "https://elsewhere.example"},
        timeout=30,
    )
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


def test_a_code_that_was_read_over_a_shoulder_is_used_up_or_over(desk: World) -> None:
    def enter(code: str) -> Any:
        headers = {"Origin": desk.desk.url}
        url = f"{desk.desk.url}/sign-in"
        return desk.http.post(url, data={"code": code}, headers=headers, allow_redirects=False, timeout=30)

    token = desk.token("auditor")
    first = desk.ask("/sign-in/code", token, "POST").json()["code"]
    assert "Set-Cookie" in enter(first).headers
    desk.http.cookies.clear()
    assert "Set-Cookie" not in enter(first).headers
    late = desk.ask("/sign-in/code", token, "POST").json()["code"]
    desk.now += codes.LIFETIME
    assert "Set-Cookie" not in enter(late).headers


# -- paths, headers, bodies -------------------------------------------------------------------------------

PATHS = [
    "/../../etc/passwd",
    "/v1/../../etc/passwd",
    "/static/../pages.py",
    "/static/%2e%2e%2fpages.py",
    "/static/..%5cpages.py",
    "/static/%2e%2e/%2e%2e/app.py",
    "/static//etc/passwd",
    "/static/style.css%00.html",
    "/v1/runs/%2e%2e",
    "/v1/runs/1%00",
    "/v1/runs/1/rounds/1/bundle/../../../../x",
    "/v1/verifications/..%2f..%2faccess",
    "/v1//runs",
    "/v1/runs/",
    "//elsewhere.example/v1/runs",
    "/%5celsewhere.example",
    "http://elsewhere.example/v1/runs",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_with_dots_or_worse_leads_nowhere(shared: World, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: {shared.desk.domain}\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {shared.token('auditor')}\r\n\r\n"
    host, _, port = shared.desk.domain.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode())
        got = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert int(got[9:12]) in {400, 404, 422}
    assert b"root:" not in got
    assert b"import " not in got
    assert b"\r\nlocation:" not in got.lower()


@pytest.mark.parametrize("host", ["elsewhere.example", "{own}.elsewhere.example", "elsewhere.example#{own}"])
def test_a_name_that_was_pointed_here_opens_nothing(shared: World, host: str) -> None:
    headers = {
        "Host": host.format(own=shared.desk.domain),
        "Authorization": f"Bearer {shared.token('auditor')}",
    }
    for path in ("/v1/runs", "/", "/v1/health"):
        answer = shared.http.get(shared.desk.url + path, headers=headers, timeout=30)
        assert_refused(answer, 400)
        assert "elsewhere" not in answer.text


def test_a_header_of_ten_megabytes_is_not_kept(tmp_path: Path) -> None:
    """In the server that the command runs: the connection ends early, and memory does not grow."""
    listen = ListenConfig(port=0, public=True)
    with opened(sqlite(tmp_path / "index")) as database:
        app = create_app(database, guard=listen.guard)
        with answering(app, listen, threading.Event()) as address:
            place = ("127.0.0.1", int(address.rpartition(":")[2]))
            assert _status(place, [b"X: " + b"x" * 1000 + b"\r\n"]) in {200, 503}
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(20):
                assert _status(place, [b"X: "] + [b"x" * (1 << 16)] * 160) in {0, 400, 431}
                assert _status(place, (b"X%d: x\r\n" % n for n in range(500_000))) in {0, 400, 431}
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20 << 10, f"{grown} KiB"


def _status(place: tuple[str, int], pieces: Iterable[bytes]) -> int:
    """Send pieces of a head for as long as they are taken; 0 where the connection ends without an answer."""
    got = b""
    with socket.create_connection(place, timeout=30) as connection:
        with suppress(OSError):
            connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n")
            for piece in pieces:
                connection.sendall(piece)
            connection.sendall(b"\r\n\r\n")
        with suppress(OSError):
            got = connection.recv(1 << 12)
    return int(got[9:12]) if got else 0


@pytest.mark.parametrize("path", ["/sign-in", "/verifications"])
@pytest.mark.parametrize(
    "body", [b"[" * 8000, b'{"run":' * 1000, b'{"run":' + b"[" * 4000 + b"]" * 4000 + b"}",
             b'{"run": 1e99999}', b'{"run": "' + b"9" * 8000 + b'"}', b'{"__proto__": {}}', b"\xff", b"\x00"]
)  # fmt: skip
def test_json_without_a_bottom_is_refused(shared: World, path: str, body: bytes) -> None:
    before = state(shared)[0]
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shared.token('auditor')}"}
    answer = shared.http.post(f"{shared.desk.url}/v1{path}", data=body, headers=headers, timeout=30)
    assert_refused(answer, 400, 413, 422)
    assert state(shared)[0] == before


# -- texts in every field ---------------------------------------------------------------------------------

TEXTS = [
    "' OR 1=1 --",
    "1; DROP TABLE run; --",
    "' UNION SELECT digest, account FROM token --",
    "{{7919*7919}}",
    "{% import os %}{{os}}",
    "${7919*7919}",
    "%s%s%s%n",
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "\x00",
    "\r\nSet-Cookie: fedledger=x",
    "0x" + "g" * 40,
    "９" * 20,
    "9" * 400,
]


def fields(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield method, path, place and name of each text that a request may carry."""
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                yield method, path, parameter["in"], parameter["name"]
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                for name in schemas[body["schema"]["$ref"].rpartition("/")[2]]["properties"]:
                    yield method, path, "body", name


def test_code_in_any_text_is_a_text(shared: World) -> None:
    """SQL, templates, paths and headers, in each field of each route, as whoever may use it."""
    document = shared.app.openapi()
    held = {name: shared.token(name) for name in ("auditor", "member")}
    before, asked = state(shared), 0
    for method, path, place, name in fields(document):
        if path.endswith(("/sign-out", "/live")):
            continue
        for text in TEXTS:
            for token in held.values():
                answer = _with(shared, document, method, path, place, name, text, token)
                asked += 1
                assert answer.status_code < 500, (method, path, place, name, text)
                assert not [word for word in TELLTALES if word in answer.text], (path, name, text)
                assert str(7919 * 7919) not in answer.text
                assert "Set-Cookie" not in answer.headers
                assert answer.status_code == 200 or len(answer.content) < SAYS_LITTLE
    assert asked > 1000
    assert state(shared) == before


def _with(
    desk: World,
    document: dict[str, Any],
    method: str,
    path: str,
    place: str,
    name: str,
    text: str,
    token: str,
) -> Any:
    """Send a request that is good but for one text."""
    operation = document["paths"][path][method]
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            value = text if (place, name) == ("path", parameter["name"]) else "1"
            path = path.replace(f"{{{parameter['name']}}}", quote(value, safe=""))
    headers = {"Authorization": f"Bearer {token}"}
    if place == "header":
        headers[name] = quote(text)
    query = {name: text} if place == "query" else None
    json = None
    if "requestBody" in operation:
        json = dict(operation["requestBody"]["content"]["application/json"]["example"]) | {"run": "999"}
        if "message" in json:
            del json["run"]
        if place == "body":
            json[name] = text
    return desk.http.request(
        method, desk.desk.url + path, headers=headers, params=query, json=json, timeout=30
    )


# -- limits -----------------------------------------------------------------------------------------------


def test_a_forged_sender_does_not_escape_the_limit(tmp_path: Path) -> None:
    """In the server that the command runs: uvicorn by itself believes whoever asks from this machine."""
    forged = [{"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"} for n in range(2)]
    listen = ListenConfig(port=0, public=True, requests_per_minute=1)
    with opened(sqlite(tmp_path / "index")) as database:
        app = create_app(database, guard=listen.guard)
        with answering(app, listen, threading.Event()) as address:
            answers = [requests.get(f"{address}/v1/health", headers=each, timeout=30) for each in forged]
    assert [answer.status_code for answer in answers] == [503, 429], (
        "there is no index yet; and no more to be had"
    )
    assert answers[1].headers["Content-Type"] == "application/problem+json"
    assert 0 < int(answers[1].headers["Retry-After"]) <= 60


def test_a_proxys_word_is_taken_for_its_clients(tmp_path: Path) -> None:
    proxies = (ipaddress.ip_network("127.0.0.1"),)
    with world(tmp_path, GuardConfig(requests_per_minute=1, proxies=proxies)) as desk:

        def ask(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return int(desk.http.get(f"{desk.desk.url}/v1/health", headers=headers, timeout=30).status_code)

        assert [ask("192.0.2.1"), ask("192.0.2.2"), ask("192.0.2.1")] == [200, 200, 429]
        assert ask("198.51.100.7, 192.0.2.2") == 429, "what the client itself had put before"


def test_an_account_has_its_own_limit_and_a_made_up_token_has_none(tmp_path: Path) -> None:
    with world(
        tmp_path, GuardConfig(requests_per_minute=24)
    ) as desk:  # four at once, then one each 2.5 seconds
        token = desk.token("auditor")
        made_up = [desk.ask("/health", f"{n:043d}").status_code for n in range(40)]
        assert 429 in made_up, "each made-up token counts as its address"
        assert desk.ask("/runs", token).status_code == 200


def test_sign_ins_from_one_address_are_few(tmp_path: Path) -> None:
    with world(tmp_path, GuardConfig(requests_per_minute=100_000)) as desk:
        answers = [desk.ask("/sign-in/nonce", method="POST").status_code for _ in range(60)]
        assert answers[:20] == [200] * 20
        assert 429 in answers
        assert desk.ask("/health").status_code == 200


def test_who_holds_streams_open_leaves_some_to_others(desk: World) -> None:
    auditor, member = desk.token("auditor"), desk.token("member")
    with ExitStack() as held:
        lines = [
            held.enter_context(desk.ask("/events/live", auditor, stream=True)).iter_lines(chunk_size=1)
            for _ in range(10)
        ]
        assert {next(each) for each in lines} == {b"retry: 2000"}
        refused, another = (
            held.enter_context(desk.ask("/events/live", token, stream=True)).status_code
            for token in (auditor, member)
        )
        assert (refused, another) == (429, 200)
