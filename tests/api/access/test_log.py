"""Who looked at what, and whether anybody can change that afterwards."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import rfc8785
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from api.access import tokens
from api.access.following import Following
from api.access.log import BEGINNING, AccessLog, Look, Place, entry_hash
from api.access.message import spelled_time
from api.access.records import AccessLogEntry, AccessLogHead, AccessLogPlace
from api.access.saved import SavedPlaces, SavedTokens
from cli.main import cli
from ledger import records as r
from ledger.errors import UnavailableError, UsageError
from tests.api.access.desks import KEYS, START, World, account, signed

LOOK = Look(account("auditor"), "auditor", "GET", "/v1/runs/{run}", {"run": "1"}, 200)


def entries(desk: World, token: str, path: str = "/access-log") -> list[dict[str, Any]]:
    """Ask for the log."""
    answer = desk.ask(path, token)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# -- what is recorded -------------------------------------------------------------------------------------


def test_members_see_who_looked_at_what(desk: World) -> None:
    auditor, member = desk.token("auditor"), desk.token("member")
    desk.ask("/runs/7?q=secret", auditor)
    desk.ask("/search?q=secret", auditor)
    desk.ask("/runs/seven", auditor)
    desk.ask("/runs/7/rounds/1/bundle", member)
    found = entries(desk, member)
    assert [
        (e["number"], e["standing"], e["method"], e["route"], e["resource"], e["status"]) for e in found
    ] == [
        (1, "auditor", "POST", "/v1/sign-in", {}, 200),
        (2, "member", "POST", "/v1/sign-in", {}, 200),
        (3, "auditor", "GET", "/v1/runs/{run}", {"run": "7"}, 404),
        (4, "auditor", "GET", "/v1/search", {}, 400),
        (5, "auditor", "GET", "/v1/runs/{run}", {"run": "seven"}, 422),
        (6, "member", "GET", "/v1/runs/{run}/rounds/{round}/bundle", {"run": "7", "round": "1"}, 403),
    ]
    assert {e["account"] for e in found} == {KEYS[name].address.lower() for name in ("auditor", "member")}
    assert {e["time"] for e in found} == {spelled_time(START)}
    assert "secret" not in json.dumps(found)
    assert auditor not in json.dumps(found)
    assert entries(desk, member, "/access-log?after=6")[0]["route"] == "/v1/access-log"


def test_a_sign_in_that_is_refused_is_recorded_where_the_key_is_known(desk: World) -> None:
    text = str(desk.message("auditor"))
    statuses = [desk.send(text, signed("auditor", text)).status_code for _ in range(2)]
    desk.sign_in("stranger")
    found = entries(desk, desk.token("member"))
    assert [e["status"] for e in found[:2]] == statuses == [200, 400]
    assert all(e["account"] != KEYS["stranger"].address.lower() for e in found)


def test_who_is_not_signed_in_has_no_name_to_be_recorded(desk: World) -> None:
    for path in ("/health", "/runs", "/nothing"):
        desk.ask(path)
    assert desk.desk.log is not None
    assert desk.desk.log.head == BEGINNING


def test_an_account_that_is_member_and_auditor_sees_the_log(desk: World) -> None:
    desk.happens(r.RolesChanged(account("member"), 4))
    desk.read()
    token = desk.token("member")
    assert desk.ask("/who-am-i", token).json()["standing"] == "auditor"
    assert entries(desk, token)


def test_what_cannot_be_recorded_is_not_answered(desk: World) -> None:
    token = desk.token("auditor")
    assert desk.desk.log is not None
    desk.desk.log.close()
    answer = desk.ask("/consortium", token)
    assert (answer.status_code, set(answer.json())) == (503, {"type", "title", "status", "detail"})
    assert desk.ask("/health").status_code == 200


def test_a_stream_is_one_look(desk: World) -> None:
    with desk.ask("/events/live", desk.token("auditor"), stream=True) as answer:
        next(answer.iter_lines())
    found = [e for e in entries(desk, desk.token("member")) if e["route"] == "/v1/events/live"]
    assert [e["status"] for e in found] == [200]


# -- the file ---------------------------------------------------------------------------------------------


def chained(log: AccessLog, after: Place) -> Place:
    """Return the place behind the last entry, each hash worked out anew."""
    for document, digest in log.page(after.number, 10_000):
        entry = json.loads(document)
        assert entry["number"] == after.number + 1
        assert entry_hash(after.hash, entry) == digest
        after = Place(entry["number"], digest)
    return after


def test_entries_are_a_chain_that_goes_on_after_a_restart(tmp_path: Path) -> None:
    for turn in range(1, 4):
        log = AccessLog(tmp_path / "log")
        for _ in range(5):
            log.add(LOOK, START)
        assert log.head.number == 5 * turn
        assert chained(log, BEGINNING) == log.head
        log.close()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("table", ["entry", "start"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET number = 9", "UPDATE {} SET hash = x'00'"])
def test_the_file_itself_refuses_what_is_no_addition(tmp_path: Path, table: str, act: str) -> None:
    log = AccessLog(tmp_path / "log")
    log.add(LOOK, START)
    log.close()
    file = sqlite3.connect(tmp_path / "log")
    with pytest.raises(sqlite3.IntegrityError, match="only added to"):
        file.execute(act.format(table))
    file.close()


def test_a_full_file_gives_way_and_the_chain_goes_on(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log", most=10)
    places = {0: BEGINNING}
    for number in range(1, 36):
        log.add(LOOK, START)
        places[number] = log.head
    assert (log.start.number, log.head.number) == (20, 35)
    assert chained(log, log.start) == log.head
    log.close()
    again = AccessLog(tmp_path / "log", most=10)
    assert (again.start, again.head) == (places[20], places[35])
    assert len(again.page(0, 7)) == 7
    assert json.loads(again.page(28, 4)[3][0])["number"] == 32, "across both files"
    again.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kill_while_files_change_places_loses_nothing(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log", most=10)
    for _ in range(9):
        log.add(LOOK, START)
    head = log.head
    log.close()
    (tmp_path / "log").rename(tmp_path / "log.before")  # and no further
    again = AccessLog(tmp_path / "log", most=10)
    assert (again.start, again.head) == (BEGINNING, head)
    again.add(LOOK, START)
    assert chained(again, BEGINNING) == again.head
    again.close()


def _write_on(path: Path, said: Any) -> None:
    log = AccessLog(path, most=50)
    while True:
        log.add(LOOK, START)
        said.send_bytes(log.head.hash)


def test_a_killed_writer_goes_on_from_its_last_entry(tmp_path: Path) -> None:
    hears, says = multiprocessing.Pipe(duplex=False)
    writer = multiprocessing.get_context("spawn").Process(target=_write_on, args=(tmp_path / "log", says))
    writer.start()
    said = [hears.recv_bytes() for _ in range(120)]
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    log = AccessLog(tmp_path / "log", most=50)
    assert log.head.number >= 120
    kept = [digest for _, digest in log.page(log.start.number, 1000)]
    assert said[log.start.number : 120] == kept[: 120 - log.start.number]
    assert chained(log, log.start) == log.head
    log.close()


def test_long_and_odd_parts_of_paths_are_cut_and_spelled(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "log")
    log.add(Look(bytes(20), "reader", "X" * 500, "/v1", {"a": "é" * 500, "b": "\ud800", "c": 7}, 404), START)
    ((document, _),) = log.page(0, 1)
    entry = json.loads(document)
    assert (len(entry["method"]), len(entry["resource"]["a"])) == (80, 80)
    assert (entry["resource"]["b"], entry["resource"]["c"]) == ("?", "7")
    log.close()


@given(st.dictionaries(st.sampled_from(["run", "round", "member", "digest"]), st.text(max_size=100)))
def test_entries_are_canonical_whatever_stands_in_a_path(resource: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        log = AccessLog(Path(folder) / "log")
        log.add(replace(LOOK, resource=resource), START)
        ((document, _),) = log.page(0, 1)
        log.close()
    assert document == rfc8785.dumps(json.loads(document))


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 5000)
    with pytest.raises(UnavailableError, match="access log"):
        AccessLog(tmp_path / "log")


# -- following it -----------------------------------------------------------------------------------------


@pytest.fixture
def grown(tmp_path: Path) -> list[AccessLogEntry]:
    """Twenty entries."""
    log = AccessLog(tmp_path / "log")
    for _ in range(20):
        log.add(LOOK, START)
    found = [AccessLogEntry(**json.loads(doc), hash=digest.hex()) for doc, digest in log.page(0, 20)]
    log.close()
    return found


def stated(head: AccessLogEntry, start: Place = BEGINNING) -> AccessLogHead:
    places = (Place(head.number, bytes.fromhex(head.hash)), start)
    return AccessLogHead(
        **{
            name: AccessLogPlace(number=place.number, hash=place.hash.hex())
            for name, place in zip(("head", "start"), places, strict=True)
        }
    )


def test_a_log_that_grew_is_followed(grown: list[AccessLogEntry]) -> None:
    first = Following(None, stated(grown[11]))
    assert list(first.entries(grown)) == grown[:12], "no further than the head that was stated"
    second = Following(first.place, stated(grown[19]))
    assert list(second.entries(grown[12:])) == grown[12:]
    assert (first.finding, second.finding) == (None, None)
    third = Following(second.place, stated(grown[19]))
    assert (list(third.entries([])), third.finding) == ([], None)


def test_a_log_that_is_kept_from_later_on_is_believed_where_it_begins(grown: list[AccessLogEntry]) -> None:
    start = Place(10, bytes.fromhex(grown[9].hash))
    look = Following(None, stated(grown[19], start))
    assert (list(look.entries(grown[10:])), look.finding) == (grown[10:], None)
    gone = Following(Place(5, bytes.fromhex(grown[4].hash)), stated(grown[19], start))
    assert list(gone.entries(grown[10:])) == []
    assert gone.finding == "expected entries from 6 on, got them from 11 on"


@pytest.mark.parametrize(
    "flaw", ["changed", "left out", "swapped", "twice", "cut", "other head", "rewritten"]
)
def test_a_log_that_was_tampered_with_is_found_out(grown: list[AccessLogEntry], flaw: str) -> None:
    seen, rest, head = Place(10, bytes.fromhex(grown[9].hash)), grown[10:], grown[19]
    if flaw == "changed":
        rest[3] = rest[3].model_copy(update={"account": "0x" + "00" * 20})
    elif flaw == "left out":
        del rest[3]
    elif flaw == "swapped":
        rest[3], rest[4] = rest[4], rest[3]
    elif flaw == "twice":
        rest.insert(3, rest[3])
    elif flaw == "cut":
        rest = rest[:5]
    elif flaw == "other head":
        head = head.model_copy(update={"hash": "00" * 32})
    else:  # the whole of it was made anew, and holds in itself
        seen = Place(10, bytes(32))
    look = Following(seen, stated(head))
    list(look.entries(rest))
    assert look.finding is not None


def test_a_log_that_became_shorter_is_found_out(grown: list[AccessLogEntry]) -> None:
    look = Following(Place(20, bytes.fromhex(grown[19].hash)), stated(grown[18]))
    assert list(look.entries(grown)) == []
    assert look.finding == "expected at least 20 entries, got 19"


# -- the command ------------------------------------------------------------------------------------------


@pytest.fixture
def at(desk: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command's words, for a member who is signed in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    SavedTokens().put(desk.desk.url, desk.token("member"))
    return ["access-log", "--api", desk.desk.url]


def test_the_command_shows_what_is_new_and_notes_how_far(desk: World, at: list[str]) -> None:
    for _ in range(250):
        desk.desk.log.add(LOOK, START)  # type: ignore[union-attr]
    first = CliRunner().invoke(cli, at)
    assert first.exit_code == 0, first.output
    lines = first.output.splitlines()
    assert lines[1] == f"2 2027-01-15T08:00:00Z {KEYS['auditor'].address.lower()} auditor: GET /v1/runs/1 200"
    assert lines[-1] == "access log: holds; entries 1 to 251"
    second = CliRunner().invoke(cli, [*at, "--format", "json"])
    assert [e["number"] for e in json.loads(second.output)["entries"]] == [252, 253, 254]
    assert SavedPlaces().get(desk.desk.url) == Place(
        254, bytes.fromhex(json.loads(second.output)["entries"][-1]["hash"])
    )


def test_the_command_says_that_a_log_was_changed(desk: World, at: list[str]) -> None:
    desk.ask("/consortium", SavedTokens().get(desk.desk.url))
    SavedPlaces().put(desk.desk.url, Place(1, bytes(32)))
    done = CliRunner().invoke(cli, at)
    assert done.exit_code == 1
    assert done.output == "access log: DOES NOT HOLD: entry 2 does not follow from the one before\n"
    assert CliRunner().invoke(cli, at).exit_code == 1, "what was seen is not forgotten"
    assert CliRunner().invoke(cli, [*at, "--anew"]).exit_code == 0
    SavedPlaces().put(desk.desk.url, Place(10_000, bytes(32)))
    assert CliRunner().invoke(cli, at).exit_code == 1


def test_who_is_no_member_is_told(desk: World, at: list[str]) -> None:
    SavedTokens().put(desk.desk.url, desk.token("auditor"))
    done = CliRunner().invoke(cli, at)
    assert isinstance(done.exception, UsageError)
    desk.now += tokens.LIFETIME
    assert isinstance(CliRunner().invoke(cli, at).exception, UsageError)


@pytest.mark.parametrize("held", ['{"number": "1", "hash": "00"}', '{"number": 1, "hash": "x"}', "[]"])
def test_a_note_that_is_none_is_said(tmp_path: Path, held: str) -> None:
    saved = SavedPlaces(tmp_path)
    saved.put("https://a.example", BEGINNING).write_text(held)
    with pytest.raises(UsageError, match="got another file"):
        saved.get("https://a.example")
