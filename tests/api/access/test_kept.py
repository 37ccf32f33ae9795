"""An answer that was given once is given again only to whom it may be, while it is true, and not unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from api.rest.kept import Kept, KeptAnswer
from ledger import records as r
from ledger.errors import UnavailableError
from tests.api.access.desks import account

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.access.desks import World

PATH = "/consortium/roles"


@pytest.fixture
def worked(desk: World) -> Iterator[list[str]]:
    """Paths that the application itself was asked for, behind the shortcut."""
    asked: list[str] = []
    stack = desk.app.middleware_stack
    assert stack is not None
    place: Any = stack
    while type(place).__name__ != "Shortcut":
        place = place._app
    inner = place._app

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        asked.append(Request(scope).url.path.removeprefix("/v1"))
        await inner(scope, receive, send)

    place._app = counting
    yield asked
    place._app = inner


def test_the_same_question_is_worked_on_once(desk: World, worked: list[str]) -> None:
    auditor, operator = desk.token("auditor"), desk.token("operator")
    answers = [desk.ask(PATH, token) for token in (auditor, operator, auditor)]
    assert worked.count(PATH) == 1
    assert (
        len({(a.status_code, a.content, a.headers["ETag"], a.headers["Cache-Control"]) for a in answers}) == 1
    )
    known = desk.http.get(
        f"{desk.desk.url}/v1{PATH}",
        headers={"Authorization": f"Bearer {auditor}", "If-None-Match": answers[0].headers["ETag"]},
        timeout=30,
    )
    assert (known.status_code, known.content) == (304, b"")
    assert worked.count(PATH) == 1
    assert desk.ask(f"{PATH}?limit=7", auditor).json()["items"] == answers[0].json()["items"]
    assert worked.count(PATH) == 2  # another question


def test_whoever_may_not_ask_gets_nothing_that_is_kept(desk: World) -> None:
    auditor = desk.token("auditor")
    assert desk.ask(PATH, auditor).status_code == 200
    assert desk.ask(PATH).status_code == 401
    assert desk.ask(PATH, "A" * 43).status_code == 401
    desk.happens(r.RolesChanged(account("auditor"), 0))
    desk.read()
    assert desk.ask(PATH, auditor).status_code == 401


def test_a_role_that_nobody_can_look_up_is_not_believed_for_a_kept_answer(desk: World) -> None:
    auditor = desk.token("auditor")
    assert desk.ask(PATH, auditor).status_code == 200
    desk.ticks += 61
    assert desk.ask(PATH, auditor).status_code == 503


def test_an_answer_is_not_given_again_once_the_index_has_read_on(desk: World) -> None:
    operator = desk.token("operator")
    before = desk.ask(PATH, operator).json()
    desk.happens(r.RolesChanged(account("stranger"), 4))
    desk.read()
    after = desk.ask(PATH, operator).json()
    assert int(after["index"]["block"]) == int(before["index"]["block"]) + 1
    assert len(after["items"]) == len(before["items"]) + 1


def test_a_kept_answer_stands_in_the_access_log_like_any_other(desk: World, worked: list[str]) -> None:
    member = desk.token("member")
    for _ in range(3):
        desk.ask("/members/0", member)
    assert worked.count("/members/0") == 1
    assert desk.desk.log is not None
    seen = [document for document, _ in desk.desk.log.page(0, 100) if b"/v1/members/{member}" in document]
    assert len(seen) == 3
    assert all(b'"resource":{"member":"0"}' in document for document in seen)


def test_an_index_that_cannot_be_read_gives_nothing(desk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    auditor = desk.token("auditor")
    assert desk.ask(PATH, auditor).status_code == 200

    def unreadable() -> None:
        raise UnavailableError("cannot read the index")

    monkeypatch.setattr(desk.database, "state", unreadable)
    monkeypatch.setattr(desk.desk.registry, "_fresh", lambda: False)
    assert desk.ask(PATH, auditor).status_code == 503


def test_long_questions_with_short_answers_fill_no_more_than_there_is_room_for() -> None:
    kept = Kept(1 << 20)
    short = KeptAnswer((), None, None, {}, b"{}", {}, "application/json")
    questions = [("/v1/runs", b"%d=" % i + bytes(8000)) for i in range(1000)]
    for question in questions:
        kept.put(question, short)
    held = [question for question in questions if kept.get(question)]
    assert held == questions[-len(held) :]
    assert 0 < sum(len(query) for _, query in held) < 1 << 20
