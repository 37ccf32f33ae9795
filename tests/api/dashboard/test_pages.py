"""Pages say what the API says, to whoever asks without a browser."""

from __future__ import annotations

import re
import threading
from collections import deque
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import requests
from sqlalchemy import update

from api.app import create_app
from api.dashboard.checks import came_early, made_for
from api.index import tables as t
from api.rest import callers
from api.verifications import Verifications
from audit.findings import AuditReport, RoundAudit
from ledger.records import Status
from tests.api.dashboard.addresses import addresses
from tests.api.index.worlds import ForkingChain, opened, read_all, sqlite
from tests.api.rest.serving import Service, serving

if TYPE_CHECKING:
    from pathlib import Path

    from api.index.database import Database
    from tests.api.dashboard.replaying import Replays

HOSTILE = "<script>alert(1)</script>\u202e{{7*7}}\x1b[31m\u0000'\"--"


def _get(service: Service, path: str, **options: Any) -> requests.Response:
    return service.get(path, allow_redirects=False, **options)


def _order(service: Service, **fields: str) -> requests.Response:
    headers = {"Origin": service.url}
    return requests.post(
        f"{service.url}/verifications", data=fields, headers=headers, allow_redirects=False, timeout=30
    )


def _replayed(service: Service, run: int, round_: int | None = None) -> str:
    answer = _order(service, run=str(run), **({} if round_ is None else {"round": str(round_)}))
    assert answer.status_code == 303
    while True:
        job = service.item("/v1" + answer.headers["Location"])
        if job["state"] == "done":
            return str(answer.headers["Location"])
        threading.Event().wait(0.01)


class _Links(HTMLParser):
    """The addresses to which a page leads on this service."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, None] = {}
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "action"} and value:
                self.found[value] = None


@pytest.mark.slow
def test_every_link_of_every_page_leads_somewhere(pages: Service) -> None:
    seen, waiting = {"/"}, deque(["/"])
    while waiting and len(seen) < 300:
        path = waiting.popleft()
        answer = _get(pages, path)
        assert answer.status_code == 200, path
        if answer.headers["Content-Type"].startswith("text/html"):
            assert not any("://" in link for link in _Links(answer.text).found), path
            for link in _Links(answer.text).found:
                place = (path.partition("?")[0] if link.startswith("?") else "") + link.partition("#")[0]
                if place.startswith("/") and place != "/search" and place not in seen:
                    seen.add(place)
                    waiting.append(place)
    assert {"/members", "/plans", "/verify", "/verifications"} <= seen


def test_every_page_names_its_block_and_is_not_sent_again(pages: Service) -> None:
    for path in addresses(pages):
        answer = _get(pages, path)
        assert answer.status_code == 200, path
        assert f"Read up to block {pages.get('/v1/runs').json()['index']['block']} of" in answer.text, path
        if "ETag" in answer.headers:
            again = _get(pages, path, headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b""), path


def test_every_page_has_the_policy_that_forbids_foreign_things(pages: Service) -> None:
    for path in addresses(pages):
        answer = _get(pages, path)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r" style=| on[a-z]+=|<style|<script(?! src=\"/static)", answer.text), path


def test_the_first_page_lists_runs_with_what_became_of_them(pages: Service) -> None:
    text = _get(pages, "/").text
    for run in pages.items("/v1/runs")[:5]:
        assert f'<a href="/runs/{run["run"]}">Run {run["run"]}</a>' in text
        assert run["title"] in text
        assert run["ended_at"] in text


def test_a_run_shows_each_verdict_of_its_newest_rounds(pages: Service) -> None:
    text = _get(pages, "/runs/1").text
    newest = max(each["round"] for each in pages.items("/v1/runs/1/rounds"))
    shown = [each for each in pages.items("/v1/runs/1/contributions") if each["round"] > newest - 25]
    for verdict in ("accepted", "absent", "not-revealed"):
        expected = sum(each["verdict"] == verdict for each in shown)
        assert text.count(f'<td class="{verdict}">') == expected, verdict


def test_older_rounds_of_a_run_are_a_page_away(pages: Service) -> None:
    first = _get(pages, "/runs/1?until=1").text
    assert '/runs/1/rounds/1"' in first
    assert _get(pages, "/runs/1?until=999999999").status_code == 200
    assert _get(pages, "/runs/1?until=0").status_code == 422


def test_a_round_shows_its_steps_and_heads(pages: Service) -> None:
    found = next(each for each in pages.items("/v1/runs/1/rounds") if each["phase"] == "certified")
    text = _get(pages, f"/runs/1/rounds/{found['round']}").text
    for name in ("parent_head", "head", "accumulator", "sealed", "result", "verdicts_root"):
        assert found[name] in text, name
    for each in pages.items(f"/v1/runs/1/contributions?round={found['round']}"):
        assert not each["commitment"] or each["commitment"] in text
        assert not each["leaf"] or each["leaf"] in text
    for each in pages.items(f"/v1/runs/1/attestations?round={found['round']}"):
        assert each["result"] in text


def test_an_inclusion_proof_is_shown_whole_and_checked(pages: Service) -> None:
    found = next(each for each in pages.items("/v1/runs/1/rounds") if each["verdicts_root"])
    member = found["eligible"][0]
    proof = pages.item(f"/v1/runs/1/rounds/{found['round']}/proofs/inclusion/{member}")
    text = _get(pages, f"/runs/1/rounds/{found['round']}?proof={member}").text
    assert all(node in text for node in [proof["root"], proof["leaf_hash"], *proof["path"]])
    assert "<strong>Holds.</strong> This verdict is leaf" in text
    assert _get(pages, f"/runs/1/rounds/{found['round']}?proof=200").status_code == 404


def test_before_a_replay_a_round_claims_nothing_of_its_checks(service: Service) -> None:
    found = service.items("/v1/runs/1/rounds")[0]
    text = _get(service, f"/runs/1/rounds/{found['round']}").text
    assert "Nobody has replayed this round here" in text
    assert "check-outcome" not in text


def _outcomes(text: str) -> dict[int, str]:
    found = re.findall(r'<td class="n">(\d+)</td><th scope="row">.*?check-outcome (\w+)">', text, re.DOTALL)
    return {int(number): state for number, state in found}


def test_after_a_replay_each_check_of_a_round_has_its_outcome(pages: Service) -> None:
    _replayed(pages, 1, 1)
    outcomes = _outcomes(_get(pages, "/runs/1/rounds/1").text)
    assert {outcomes[check] for check in (32, 34, 35, 36, 40, 50, 54, 57, 59)} == {"holds"}
    assert outcomes[55] == "none"
    assert not outcomes.keys() & {1, 30, 33, 60, 72}


def test_a_finding_fails_its_check_and_what_rests_on_it_stays_open(pages: Service) -> None:
    _replayed(pages, 2)
    text = _get(pages, "/runs/2/rounds/2").text
    outcomes = _outcomes(text)
    assert outcomes[57] == "fails"
    assert {outcomes[check] for check in (51, 52, 53, 54, 56, 58)} == {"open"}
    assert {outcomes[check] for check in (36, 41)} == {"holds"}
    assert "expected &lt;b&gt;this&lt;/b&gt;, got that" in text
    assert "<strong>Does not hold.</strong>" in _get(pages, "/runs/2").text
    assert _outcomes(_get(pages, "/runs/2/rounds/1").text)[57] == "holds"


def test_a_round_that_the_replay_did_not_reach_is_open(pages: Service) -> None:
    _replayed(pages, 1)
    newest = pages.items("/v1/runs/1/rounds")[0]["round"]
    assert newest > 2
    text = _get(pages, f"/runs/1/rounds/{newest}").text
    assert set(_outcomes(text).values()) == {"open"}
    assert "Not replayed since this round began" in text
    assert "<strong>Holds.</strong>" not in text
    assert "<strong>Holds.</strong>" in _get(pages, "/runs/1/rounds/2").text


def test_a_replay_that_saw_a_round_before_its_end_says_nothing_of_its_result() -> None:
    report = AuditReport(ledger="eip155:1337:0x1e", final_head=bytes(32))
    report.rounds.append(RoundAudit(1, 1, Status.OPEN, bytes(32), checks=[36, 37, 38, 39, 41]))
    then, now = (
        {made.number: made.state for made in made_for(report.document(), 1, 1, head=head)}
        for head in (None, "11" * 32)
    )
    assert (then[57], then[36]) == ("none", "holds")
    assert set(now.values()) == {"open"}
    assert came_early(report.document(), 1, 1, head="11" * 32)
    assert not came_early(report.document(), 1, 1, head=None)


def test_a_replay_of_a_round_that_other_blocks_have_replaced_says_nothing() -> None:
    report = AuditReport(ledger="eip155:1337:0x1e", final_head=bytes(32))
    report.rounds.append(RoundAudit(1, 1, Status.CERTIFIED, b"\x11" * 32, checks=[36, 41, 57]))
    same, other = (
        {made.number: made.state for made in made_for(report.document(), 1, 1, head=head)}
        for head in ("11" * 32, "22" * 32)
    )
    assert same[57] == "holds"
    assert set(other.values()) == {"open"}
    assert came_early(report.document(), 1, 1, head="22" * 32)
    assert not came_early(report.document(), 1, 1, head="11" * 32)


def test_a_replays_page_shows_findings_rounds_and_notes(pages: Service) -> None:
    text = _get(pages, _replayed(pages, 2)).text
    assert "345 checks on 2 rounds, 1 finding" in text
    assert "the chain is believed as its endpoint tells it" in text
    assert '<a href="/runs/2/rounds/2">run 2, round 2</a>' in text


@pytest.mark.parametrize(
    "fields", [{}, {"run": "x"}, {"run": "0"}, {"run": "-1"}, {"run": "9" * 30}, {"run": "1", "round": "0"}]
)
def test_a_replay_of_nothing_is_refused(pages: Service, fields: dict[str, str]) -> None:
    answer = _order(pages, **fields)
    assert answer.status_code == 400
    assert "That cannot be answered" in answer.text


def test_a_replay_of_a_run_that_is_not_there_is_refused(pages: Service) -> None:
    assert _order(pages, run="99999").status_code == 404
    assert _order(pages, run="1", round="99999").status_code == 404


def test_a_page_of_another_site_orders_no_replay(pages: Service) -> None:
    headers = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    answer = requests.post(f"{pages.url}/verifications", data={"run": "1"}, headers=headers, timeout=30)
    assert answer.status_code == 403


def test_members_show_keys_history_and_parts(pages: Service) -> None:
    for member in pages.items("/v1/members"):
        assert member["account"] in _get(pages, "/members").text
        text = _get(pages, f"/members/{member['member']}").text
        assert member["account"] in text
        eligible = sum(
            share["eligible"]
            for run in pages.items("/v1/runs")
            for share in pages.items(f"/v1/runs/{run['run']}/shares")
            if share["member"] == member["member"]
        )
        assert f"<dd>{eligible:,} <span>in " in text
        for event in pages.items(f"/v1/members/{member['member']}/history")[:25]:
            assert event["transaction"] in text


def test_a_plan_shows_its_terms_and_votes(pages: Service) -> None:
    plan = pages.items("/v1/plans")[0]
    text = _get(pages, f"/plans/{plan['terms']}").text
    for digest in (plan["terms"], plan["ballot"], plan["content"]["plan"], plan["model"]["digest"]):
        assert digest in text
    assert "1 minute to commit" in text


def test_a_model_leads_back_to_the_genesis_model(pages: Service) -> None:
    path, seen = f"/models/{pages.items('/v1/runs/1/models')[0]['model']['digest']}", []
    while path:
        text = _get(pages, path).text
        seen += re.findall(r'/runs/1/rounds/(\d+)">Round', text)
        following = re.search(r'href="(\?after=[^"]+)"', text)
        path = path.partition("?")[0] + following[1] if following else ""
    assert [int(number) for number in seen] == [each["round"] for each in pages.items("/v1/runs/1/models")]
    genesis = pages.items("/v1/plans")[0]["model"]["digest"]
    assert genesis in text
    assert "genesis model" in _get(pages, f"/models/{genesis}").text


def test_search_leads_to_pages(pages: Service) -> None:
    contribution = next(each for each in pages.items("/v1/runs/1/contributions") if each["payload"])
    place = f"/runs/1/rounds/{contribution['round']}#member-{contribution['member']}"
    for text in (contribution["payload"]["digest"], contribution["payload"]["cid"], contribution["leaf"]):
        assert f'<a href="{place}">' in _get(pages, f"/search?q={text}").text
    account = pages.items("/v1/members")[0]["account"]
    assert '<a href="/members/0">' in _get(pages, f"/search?q={account}").text
    model = pages.items("/v1/runs/1/models")[0]["model"]["digest"]
    assert f'<a href="/models/{model}">' in _get(pages, f"/search?q={model}").text
    assert "nowhere" in _get(pages, f"/search?q={'ab' * 32}").text
    assert "nothing to search for" in _get(pages, "/search?q=<b>").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/runs/99999", 404),
        ("/runs/x", 422),
        ("/runs/1/rounds/99999", 404),
        ("/members/255", 404),
        ("/members/256", 422),
        (f"/plans/{'00' * 32}", 404),
        (f"/models/{'00' * 31}ff", 404),
        ("/verifications/0000000000009999", 404),
        ("/static/pages.py", 404),
        ("/?after=zz", 400),
        (f"/search?q={'a' * 101}", 422),
    ],
)
def test_an_error_is_a_page_that_says_little(pages: Service, path: str, status: int) -> None:
    answer = _get(pages, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/html")
    assert f"Error {status}" in answer.text
    assert not re.search(r"Traceback|sqlite|/api/|\.py", answer.text)


def test_hostile_texts_are_escaped_and_lose_what_does_not_print(tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(60):
        chain.grow(choice)
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        read_all(database, chain)
        with database.writer.begin() as connection:
            connection.execute(update(t.terms).values(title=HOSTILE, strategy=HOSTILE))
            connection.execute(update(t.metric).where(t.metric.c.name == "accuracy").values(name=HOSTILE))
        with serving(create_app(database)) as service:
            for path in addresses(service):
                text = _get(service, path).text
                assert "<script>alert" not in text, path
                assert not set("\u202e\x1b\x00") & set(text), path
            assert "&lt;script&gt;alert(1)&lt;/script&gt;�{{7*7}}�[31m�" in _get(service, "/runs/1").text


def test_an_empty_ledger_tells_what_to_do(tmp_path: Path) -> None:
    chain = ForkingChain()
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        read_all(database, chain)
        jobs = Verifications(tmp_path / "jobs", lambda _run, _progress: pytest.fail("none was ordered"))
        with serving(create_app(database, jobs=jobs)) as service:
            first = _get(service, "/")
            assert "There is no run yet" in first.text
            assert "<code>fedledger run start</code>" in first.text
            for path in ("/members", "/members/1", "/plans", "/verify", "/verifications"):
                assert _get(service, path).status_code == 200, path


def test_an_index_that_is_being_made_says_so(tmp_path: Path) -> None:
    with opened(sqlite(tmp_path / "index.sqlite")) as database, serving(create_app(database)) as service:
        answer = _get(service, "/")
        assert answer.status_code == 503
        assert "the index is being made" in answer.text


def test_trouble_stands_on_every_page(tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(60):
        chain.grow(choice)
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        read_all(database, chain)
        state: list[tuple[bool, str]] = [(True, "")]
        with serving(create_app(database, health_of=lambda: state[0])) as service:
            assert "banner" not in _get(service, "/").text
            state[0] = (False, "no endpoint <answers>")
            assert "no endpoint &lt;answers&gt;" in _get(service, "/").text
            _stop(database)
            for path in addresses(service):
                assert "Do not rely on this page.</strong> The index has stopped" in _get(service, path).text


def _stop(database: Database) -> None:
    with database.writer.begin() as connection:
        connection.execute(update(t.cursor).values(trouble="a head that does not fit"))


def test_nobody_sees_a_page_where_nobody_can_sign_in(database: Database) -> None:
    with serving(create_app(database, caller=callers.nobody)) as service:
        for path in ("/", "/runs/1", "/members", "/verify", "/search?q=x"):
            answer = _get(service, path)
            assert answer.status_code == 401
            assert "Nobody can sign in here" in answer.text
            assert "/runs" not in answer.text


def test_pages_of_replays_tell_of_progress(pages: Service, replays: Replays) -> None:
    with replays.holding():
        path = _order(pages, run="1").headers["Location"]
        assert replays.stopped.wait(60)
        text = _get(pages, path).text
        assert "1 of 2 rounds replayed" in text
        assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in text
        assert "is under way" in _get(pages, "/runs/1").text
