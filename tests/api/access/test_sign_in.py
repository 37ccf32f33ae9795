"""Who is let in, for how long, and who is not."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from api.access import nonces, tokens
from api.access.callers import LONGEST_BEHIND
from api.access.message import spelled_time
from api.access.nonces import Nonces
from api.access.tokens import Tokens
from api.index import tables as t
from ledger import records as r
from ledger.errors import UnavailableError, UsageError
from tests.api.access.desks import KEYS, START, World, account, signed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "standing", "member", "roles"),
    [
        ("member", "member", 0, []),
        ("auditor", "auditor", None, ["auditor"]),
        ("operator", "reader", None, ["operator"]),
        ("aggregator", "reader", None, ["aggregator"]),
    ],
)
def test_a_key_of_the_consortium_gets_in_as_what_the_ledger_says(
    desk: World, name: str, standing: str, member: int | None, roles: list[str]
) -> None:
    who = desk.ask("/who-am-i", desk.token(name)).json()
    expires = spelled_time(START + tokens.LIFETIME)
    expected = {"account": KEYS[name].address.lower(), "standing": standing, "member": member}
    assert who == expected | {"roles": roles, "expires": expires}


def test_a_key_that_the_consortium_does_not_know_gets_no_token(desk: World) -> None:
    assert desk.sign_in("stranger").status_code == 403


def test_a_sign_in_that_is_sent_again_is_refused(desk: World) -> None:
    text = str(desk.message("auditor"))
    signature = signed("auditor", text)
    assert desk.send(text, signature).status_code == 200
    assert desk.send(text, signature).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"domain": "ledger.elsewhere.test"},
        {"uri": "http://ledger.elsewhere.test"},
        {"chain_id": 1},
        {"nonce": "0" * 72},
        {"nonce": "32891756"},
        {"statement": None},
        {"statement": "I give away all that I have."},
        {"resources": ()},
        {"issued_at": spelled_time(START + 120)},
        {"issued_at": spelled_time(START - nonces.LIFETIME - 120)},
        {"expiration_time": None},
        {"expiration_time": spelled_time(START)},
        {"not_before": spelled_time(START + 1)},
    ],
)
def test_a_message_that_is_not_the_one_asked_for_is_refused(desk: World, changes: dict[str, Any]) -> None:
    answer = desk.sign_in("auditor", **changes)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}


def test_a_domain_may_have_the_scheme_of_the_service_and_no_other(desk: World) -> None:
    assert desk.sign_in("auditor", domain=desk.desk.url).status_code == 200
    assert desk.sign_in("auditor", domain=desk.desk.url.replace("http:", "https:")).status_code == 400


def test_a_message_that_was_changed_after_it_was_signed_is_refused(desk: World) -> None:
    message = desk.message("auditor")
    changed = str(message).replace(message.nonce, desk.terms()["nonce"])
    assert desk.send(changed, signed("auditor", str(message))).status_code == 400


def test_nobody_signs_in_as_somebody_else(desk: World) -> None:
    text = str(desk.message("auditor"))
    assert desk.send(text, signed("member", text)).status_code == 400
    assert desk.send(text, signed("auditor", text)).status_code == 200, "the nonce is still there"


def test_a_nonce_of_five_minutes_ago_is_refused(desk: World) -> None:
    message = str(desk.message("auditor", expiration_time=spelled_time(START + 3600)))
    desk.now += nonces.LIFETIME
    assert desk.send(message, signed("auditor", message)).status_code == 400


def test_nonces_of_another_service_or_with_another_end_are_refused() -> None:
    made = Nonces(lambda: START)
    nonce = made.make()
    for other in (Nonces(lambda: START).make(), "f" + nonce[1:], nonce[:-1] + "é", nonce[1:], ""):
        with pytest.raises(UsageError, match="nonce"):
            made.use(other)
    made.use(nonce)


def test_used_nonces_are_few_and_forgotten_when_they_are_over() -> None:
    now = [START]
    made = Nonces(lambda: now[0], most=2)
    for _ in range(2):
        made.use(made.make())
    with pytest.raises(UnavailableError, match="too many sign-ins"):
        made.use(made.make())
    now[0] += nonces.LIFETIME
    made.use(made.make())


# -- tokens -----------------------------------------------------------------------------------------------


def test_a_token_is_over_after_a_quarter_of_an_hour(desk: World) -> None:
    token = desk.token("auditor")
    desk.now += tokens.LIFETIME - 1
    assert desk.ask("/runs", token).status_code == 200
    desk.now += 1
    answer = desk.ask("/runs", token)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert desk.ask("/sign-in/renew", token, "POST").status_code == 401


def test_a_token_can_be_renewed_for_twelve_hours(desk: World) -> None:
    token = desk.token("auditor")
    while desk.now < START + tokens.LONGEST - 600:
        desk.now += 600
        assert desk.ask("/sign-in/renew", token, "POST").status_code == 200
    renewed = desk.ask("/sign-in/renew", token, "POST").json()
    assert renewed == {"token": token, "expires": spelled_time(START + tokens.LONGEST)}
    desk.now += 600
    assert desk.ask("/sign-in/renew", token, "POST").status_code == 401


def test_a_token_that_was_ended_is_over_at_once_and_no_other_with_it(desk: World) -> None:
    token, other = desk.token("auditor"), desk.token("auditor")
    assert desk.ask("/sign-out", token, "POST").json() == {"signed_out": True}
    assert desk.ask("/runs", token).status_code == 401
    assert desk.ask("/runs", other).status_code == 200
    assert desk.ask("/sign-out", token, "POST").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{whole}",
        "Basic {whole}",
        "Bearer {short}",
        "Bearer {whole}A",
        "Bearer {other}",
        "Bearer {whole}, Bearer {whole}",
        "Bearer ' OR 1=1 --",
    ],
)
def test_a_token_that_was_altered_is_none(desk: World, header: str) -> None:
    whole = desk.token("auditor")
    other = ("B" if whole[0] == "A" else "A") + whole[1:]
    headers = {"Authorization": header.format(whole=whole, short=whole[:-1], other=other)}
    assert desk.http.get(f"{desk.desk.url}/v1/runs", headers=headers, timeout=30).status_code == 401


def test_tokens_survive_a_restart_and_the_file_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "access.sqlite"
    made = Tokens(path, lambda: START)
    token, _ = made.issue(account("auditor"))
    made.close()
    assert path.stat().st_mode & 0o077 == 0
    held = sqlite3.connect(path)
    assert token not in "\n".join(held.iterdump())
    held.close()
    again = Tokens(path, lambda: START)
    found = again.get(token)
    assert found is not None
    assert found.account == account("auditor")
    again.close()


def test_of_an_account_the_newest_tokens_are_kept(tmp_path: Path) -> None:
    now = [START]
    made = Tokens(tmp_path / "access.sqlite", lambda: now[0])
    other, _ = made.issue(account("member"))
    issued = []
    for _ in range(25):
        now[0] += 1
        issued.append(made.issue(account("auditor"))[0])
    assert [made.get(token) is not None for token in issued] == [False] * 5 + [True] * 20
    assert made.get(other) is not None
    made.close()


# -- what the ledger says now -----------------------------------------------------------------------------


def test_an_auditor_whose_role_is_taken_away_is_out_once_the_index_has_read_it(desk: World) -> None:
    token = desk.token("auditor")
    desk.happens(r.RolesChanged(account("auditor"), 0))
    desk.read()
    assert desk.ask("/runs", token).status_code == 401
    assert desk.sign_in("auditor").status_code == 403
    desk.happens(r.RolesChanged(account("auditor"), 1))
    desk.read()
    assert desk.ask("/who-am-i", token).json()["standing"] == "reader"


def test_a_removed_member_is_out(desk: World) -> None:
    token = desk.token("member")
    desk.happens(r.MemberRemoved(0, account("member"), 7))
    desk.read()
    assert desk.ask("/runs", token).status_code == 401
    assert desk.sign_in("member").status_code == 403


def test_a_key_that_a_member_no_longer_signs_with_is_out(desk: World) -> None:
    token = desk.token("member")
    desk.happens(r.KeyRotated(0, account("member"), account("stranger"), bytes(32), 7))
    desk.read()
    assert desk.ask("/runs", token).status_code == 401
    assert desk.ask("/who-am-i", desk.token("stranger")).json()["member"] == 0


def test_nobody_is_trusted_while_the_index_is_not_up_to_date(desk: World) -> None:
    token = desk.token("auditor")
    desk.ticks += LONGEST_BEHIND + 1
    for answer in (desk.ask("/runs", token), desk.sign_in("auditor")):
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert desk.ask("/health").status_code == 200
    assert desk.ask("/sign-out", token, "POST").status_code == 200
    desk.read()
    assert desk.ask("/runs", desk.token("auditor")).status_code == 200


def test_nobody_is_trusted_where_the_index_stopped_for_good(desk: World) -> None:
    token = desk.token("auditor")
    with desk.database.writer.begin() as connection:
        connection.execute(t.cursor.update().values(trouble="an event that follows from none"))
    assert desk.ask("/runs", token).status_code == 503


# -- what does not fit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"message": 1, "signature": 2}',
        b'{"message": "", "signature": "0x"}',
        b'{"message": "a", "signature": "0x' + b"0" * 130 + b'", "more": 1}',
        b"\xff\xfe",
        b"[" * 8000,
    ],
)
def test_a_body_that_is_no_sign_in_is_a_problem(desk: World, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = desk.http.post(f"{desk.desk.url}/v1/sign-in", data=body, headers=headers, timeout=30)
    assert answer.status_code in {400, 422}
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert len(answer.content) < 600


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/nonce", "/sign-out", "/verifications"])
def test_a_huge_body_is_not_read(desk: World, path: str) -> None:
    token = desk.token("auditor")
    said = desk.ask(path, token, "POST", data=b"x" * 20_000)
    pieces = desk.ask(path, token, "POST", data=iter([b"x" * 5000] * 4))
    assert said.status_code == 413
    assert pieces.status_code in {200, 413}, "what no route reads is not read"


def test_a_stream_of_events_ends_with_the_role_of_whoever_reads_it(desk: World) -> None:
    with desk.ask("/events/live", desk.token("auditor"), stream=True) as answer:
        lines = answer.iter_lines()
        assert next(lines) == b"retry: 2000"
        desk.happens(r.RolesChanged(account("auditor"), 0))
        desk.read()
        assert sum(line.startswith(b"data") for line in lines) <= 1, "it ends"
