"""Browsers: cookies, and the codes that let them in."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from fastapi import Request, Response

from api.access import codes, tokens
from api.access.codes import Codes
from api.access.sessions import begin_session, end_session
from tests.api.access.desks import START, World, account, signed


def browse(desk: World, token: str, path: str = "/runs", method: str = "GET", **headers: str) -> Any:
    """Ask as a browser does that has a token in its cookie."""
    sent = {"Cookie": f"other=1; fedledger={token}", **headers}
    return desk.http.request(method, f"{desk.desk.url}/v1{path}", headers=sent, timeout=30)


def test_a_browser_reads_with_its_cookie(desk: World) -> None:
    assert browse(desk, desk.token("auditor"), "/who-am-i").json()["standing"] == "auditor"
    assert browse(desk, "x" * 43).status_code == 401
    assert browse(desk, "").status_code == 401


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, False),
        ({"Origin": "https://elsewhere.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "{own}/"}, False),
        ({"Origin": "{own}0"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://elsewhere.example"}, False),
        ({"Origin": "{own}"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
    ],
)
def test_a_cookie_changes_something_from_the_services_own_pages_alone(
    desk: World, headers: dict[str, str], allowed: bool
) -> None:
    token = desk.token("auditor")
    sent = {name: value.format(own=desk.desk.url) for name, value in headers.items()}
    assert browse(desk, token, "/verifications", "POST", **sent).status_code == (422 if allowed else 403)
    assert browse(desk, token, "/sign-out", "POST", **sent).status_code == (200 if allowed else 403)
    assert browse(desk, token).status_code == (401 if allowed else 200)


def test_where_a_header_says_who_asks_the_cookie_does_not_count(desk: World) -> None:
    member, auditor = desk.token("member"), desk.token("auditor")
    both = browse(desk, auditor, "/who-am-i", Authorization=f"Bearer {member}")
    assert both.json()["standing"] == "member"
    assert browse(desk, auditor, Authorization="Bearer nonsense").status_code == 401
    assert (
        browse(desk, auditor, "/verifications", "POST", Authorization=f"Bearer {member}").status_code == 403
    )


def test_whoever_reads_in_a_browser_stays_in_for_twelve_hours(desk: World) -> None:
    token = desk.token("auditor")
    while desk.now < START + tokens.LONGEST - 600:
        desk.now += 600
        assert browse(desk, token).status_code == 200
    desk.now += 600
    assert browse(desk, token).status_code == 401


def test_a_token_in_a_header_is_not_renewed_by_being_used(desk: World) -> None:
    token = desk.token("auditor")
    for _ in range(2):
        desk.now += 400
        assert desk.ask("/runs", token).status_code == 200
    desk.now += 400
    assert desk.ask("/runs", token).status_code == 401


def test_a_wallet_in_the_browser_signs_in_without_a_page_seeing_the_token(desk: World) -> None:
    text = str(desk.message("auditor"))
    wanted = {"message": text, "signature": "0x" + signed("auditor", text).hex(), "cookie": True}
    url = f"{desk.desk.url}/v1/sign-in"
    for origin in ("https://elsewhere.example", "null"):
        assert desk.http.post(url, json=wanted, headers={"Origin": origin}, timeout=30).status_code == 403
    assert desk.http.post(url, json=wanted, timeout=30).status_code == 403
    answer = desk.http.post(url, json=wanted, headers={"Origin": desk.desk.url}, timeout=30)
    assert set(answer.json()) == {"expires"}
    (morsel,) = SimpleCookie(answer.headers["Set-Cookie"]).values()
    desk.http.cookies.clear()
    assert morsel.value not in answer.text
    assert (morsel.key, morsel["httponly"], morsel["samesite"]) == ("fedledger", True, "strict")
    assert (morsel["path"], morsel["secure"], morsel["max-age"]) == ("/", "", "")
    assert browse(desk, morsel.value).status_code == 200
    ended = browse(desk, morsel.value, "/sign-out", "POST", Origin=desk.desk.url)
    assert "Max-Age=0" in ended.headers["Set-Cookie"]
    assert browse(desk, morsel.value).status_code == 401


def test_a_cookie_of_a_service_with_tls_is_for_its_host_and_for_tls_alone(desk: World) -> None:
    desk.desk.url = "https://ledger.example.org"
    request = Request({"type": "http", "app": desk.app, "headers": []})
    for act in (lambda to: begin_session(request, to, "a" * 43), lambda to: end_session(request, to)):
        response = Response()
        act(response)
        (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
        assert (morsel.key, morsel["secure"], morsel["path"]) == ("__Host-fedledger", True, "/")
        assert (morsel["domain"], morsel["samesite"], morsel["httponly"]) == ("", "strict", True)


# -- codes ------------------------------------------------------------------------------------------------


def test_a_code_lets_in_the_account_that_asked_for_it(desk: World) -> None:
    answer = desk.ask("/sign-in/code", desk.token("operator"), "POST").json()
    assert desk.desk.codes.redeem(answer["code"]) == account("operator")


def test_a_browser_makes_no_codes(desk: World) -> None:
    """Else whoever gets into a page once gets a token that he can carry away."""
    made = browse(desk, desk.token("auditor"), "/sign-in/code", "POST", Origin=desk.desk.url)
    assert made.status_code == 401


def test_a_code_is_good_once_for_two_minutes_and_of_an_account_the_newest() -> None:
    now = [START]
    made = Codes(lambda: now[0])
    first, _ = made.make(b"a")
    code, end = made.make(b"a")
    other, _ = made.make(b"b")
    assert made.redeem(first) is None
    assert end == START + codes.LIFETIME
    assert made.redeem(f" {code.upper().replace('-', ' ')}\n") == b"a"
    assert made.redeem(code) is None
    now[0] += codes.LIFETIME
    assert made.redeem(other) is None


@pytest.mark.parametrize("text", ["", "a", "\ud800", "é" * 40, "x" * 100_000, "\x00", "' OR 1=1 --"])
def test_a_text_that_is_no_code_lets_nobody_in(text: str) -> None:
    made = Codes(lambda: START)
    made.make(b"a")
    assert made.redeem(text) is None
