"""Node and aggregator as processes: what they say when something is wrong, and that they carry on."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from ledger.cid import PayloadHasher
from tests.chains import RICH, devnet, endpoint, forward
from tests.cli.conftest import run_apart
from tests.processes import FEDLEDGER, PASSPHRASE, Processes, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chains import Reply


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with devnet() as url:
        yield url


@pytest.fixture(scope="module")
def models(url: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The models of an undisturbed run."""
    with Processes(tmp_path_factory.mktemp("undisturbed"), url).ready() as roles:
        roles.start()
        return roles.wait_for_certified(2)


def test_a_node_with_the_same_key_elsewhere_stops_without_harm(
    url: str, models: list[str], tmp_path: Path
) -> None:
    """A copy of settings and key on another machine, with a journal of its own."""
    with Processes(tmp_path, url).ready() as roles:
        roles.start(0, 1)
        roles.start("aggregator")
        roles.wait(
            lambda: bool(roles.state().rounds) and 0 in roles.state().rounds[1].commitments, "a commit"
        )
        roles.kill(0)
        shutil.move(roles.home(0) / "state", roles.root / "first")
        roles.accept(0)
        roles.start(0)
        roles.start(2)
        roles.wait_for_log(0, "journal")
        roles.kill(0)
        shutil.rmtree(roles.home(0) / "state")
        shutil.move(roles.root / "first", roles.home(0) / "state")
        roles.start(0)
        assert roles.wait_for_certified(2) == models
        roles.kill()
        roles.require_nothing_lost_or_done_twice()


def test_a_service_stops_when_it_is_asked_to_and_says_so(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url).ready() as roles:
        roles.start(0, "aggregator")
        for who, said in ((0, "node of member 0"), ("aggregator", "aggregator 0x")):
            roles.wait_for_log(who, said)
            assert roles.stop(who) == 0
            assert json.loads(roles.log(who).splitlines()[-1])["message"] == "stopped"


def _refused(roles: Processes, who: int, said: str) -> None:
    roles.start(who)
    assert roles.ended(who) == 2
    (line,) = roles.log(who).splitlines()
    assert line.startswith("fedledger: ")
    assert said in line
    assert PASSPHRASE not in line


def test_what_is_configured_wrongly_is_one_line_before_anything_is_signed(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url) as roles:
        good = roles.config(0).read_text(encoding="utf-8")
        zero = "0x" + "07" * 20
        consortium = to_checksum_address(roles.network.consortium)
        ledger = to_checksum_address(roles.network.round_ledger)
        before = roles.chain.head().number
        for old, new, said in (
            (f"chain_id = {roles.chain.chain_id}", "chain_id = 9", "chain id: expected 9"),
            (consortium, zero, f"contract at {zero}: expected the code of Consortium"),
            (ledger, consortium, "expected the code of RoundLedger"),
            ("key.json", "missing.json", "expected a keystore file, got no such file"),
            ("\nseed = ", "\nsed = ", "a key is missing: expected seed"),
        ):
            assert old in good
            roles.config(0).write_text(good.replace(old, new), encoding="utf-8")
            (roles.home(0) / "log").unlink(missing_ok=True)
            _refused(roles, 0, said)
        sent = {r.sender for r in roles.chain.history([roles.network.consortium], before + 1, before + 99)}
        assert not sent


def test_a_key_of_no_member_is_refused_and_a_removed_member_is_told(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url, members=4).ready() as roles:
        for voter in (0, 1, 2):
            roles.consortium.vote_remove(roles.keys[voter], 3)
        _refused(roles, 3, "this key signs for no member of the consortium")


def test_a_member_that_is_removed_or_gets_a_new_key_is_told_by_its_running_node(
    url: str, tmp_path: Path
) -> None:
    with Processes(tmp_path, url, members=4).ready() as roles:
        roles.start(2, 3)
        roles.wait_until_ready()
        new = Account.create().address
        for voter in (0, 1, 2):
            roles.consortium.vote_remove(roles.keys[voter], 3)
        for voter in (0, 1):  # most of the three that are left
            roles.consortium.vote_rotate(roles.keys[voter], 2, bytes.fromhex(new[2:]), bytes(32))
        roles.wait_for_log(3, "member 3 was removed from the consortium: its node has nothing more to do")
        roles.wait_for_log(2, f"key of member 2: set [key] keystore and start again: expected {new}, got 0x")
        assert "works again" not in roles.log(2) + roles.log(3)


def test_what_is_wrong_with_one_run_does_not_keep_the_roles_from_the_others(url: str, tmp_path: Path) -> None:
    """The first run's plan is in no store any more; the second run is of another plan."""
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        lost = roles.plan_ref
        roles.begin_another_run()
        roles.shared.path(lost).unlink()
        roles.start()
        for who in (0, "aggregator"):
            roles.wait_for_log(who, f"payload {lost.cid} is not in shared; trying again")
        roles.wait_for_certified(1)


def test_a_run_that_cannot_go_on_says_why_once_and_when_it_does(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        roles.ledger.pause(RICH, roles.run)
        roles.start()
        for who in (0, "aggregator"):
            roles.wait_for_log(who, "run 1 waits: an operator paused it")
        roles.ledger.resume(RICH, roles.run)
        roles.wait_for_certified(1)
        roles.wait_for_log("aggregator", "run 1 goes on")
        roles.wait_for_log("aggregator", "run 1 waits: it is complete; rounds opened: 1, certified: 1")
        assert roles.log("aggregator").count("run 1 waits") == 2
        roles.wait_for_log(0, "held-out rows of this member: accuracy 0.")


def test_an_aggregator_without_the_role_is_told(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url) as roles:
        shutil.copy(roles.home(0) / "key.json", roles.home("aggregator") / "key.json")
        roles.start("aggregator")
        roles.wait_for_log("aggregator", "has no aggregator's role in the consortium: there is no run for it")


def test_a_shared_folder_that_is_not_there_is_waited_for_and_not_made(url: str, tmp_path: Path) -> None:
    """A disk that is not mounted yet."""
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        roles.shared.root.rename(tmp_path / "elsewhere")
        roles.start()
        for who in (0, "aggregator"):
            roles.wait_for_log(who, "expected a folder that is there, got none; trying again")
        assert not roles.shared.root.exists()
        (tmp_path / "elsewhere").rename(roles.shared.root)
        roles.wait_for_certified(1)


def test_a_plan_that_was_not_accepted_is_named_and_trained_as_soon_as_it_is(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url, rounds=1) as roles:
        for member in range(3):
            roles.join(member)
        roles.start()
        for member in range(3):
            roles.wait_for_log(member, "was not accepted here: `fedledger node accept")
            roles.accept(member)
        roles.wait_for_certified(1)


def test_a_plan_whose_acceptance_was_taken_back_is_not_trained_any_more(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        plan = roles.plan.digest.hex()
        config = ("--config", str(roles.config(2)))
        refused = run_apart("node", "refuse", plan[:8], *config)
        assert refused.out == f"plan {plan} is no longer accepted on this node\n"
        assert run_apart("node", "refuse", plan[:8], *config).complaint.endswith(": there is none yet")
        roles.start()
        roles.wait_for_log(2, "was not accepted here: `fedledger node accept")
        roles.wait(
            lambda: bool(roles.state().rounds) and len(roles.state().rounds[1].commitments) == 2,
            "the others' commitments",
        )
        assert 2 not in roles.state().rounds[1].commitments
        assert run_apart("node", "accept", plan[:8], "--yes", *config).code == 0
        roles.wait_for_certified(1)
        assert roles.state().rounds[1].commitments.keys() == {0, 1, 2}


def test_data_that_do_not_fit_are_named_and_looked_at_again(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        rows = roles.home(1) / "rows.csv"
        good = rows.read_text(encoding="utf-8")
        rows.write_text(good.replace("marker", "marcer"), encoding="utf-8")
        roles.start()
        roles.wait_for_log(1, "expected a column named marker")
        rows.write_text(good, encoding="utf-8")
        roles.wait_for_certified(1)
        roles.wait_for_log(1, "works again")
        assert good.splitlines()[1].split(",")[0] not in roles.log(1)  # no value of a row


def test_no_cell_of_a_table_that_does_not_fit_is_in_a_log_in_health_or_in_preflights_words(
    url: str, tmp_path: Path
) -> None:
    """One column has a text among its numbers; another table has no header, but a patient in its place."""
    marker, port = "Marker of a Cell 4711", free_port()
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        config = roles.config(0).read_text(encoding="utf-8").replace("port = 0", f"port = {port}")
        roles.config(0).write_text(config, encoding="utf-8")
        tables = [roles.home(member) / "rows.csv" for member in (0, 1)]
        good = [table.read_text(encoding="utf-8") for table in tables]
        header, first, *rest = good[0].splitlines()
        broken = ",".join([marker, *first.split(",")[1:]])
        tables[0].write_text("\n".join([header, broken, *rest, ""]), encoding="utf-8")
        tables[1].write_text("\n".join([broken, *good[1].splitlines()[1:], ""]), encoding="utf-8")
        roles.start()
        roles.wait_for_log(0, "row 1: expected a number; trying again")
        roles.wait_for_log(1, "expected a column named")
        with pytest.raises(urllib.error.HTTPError) as unwell:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            metrics = answer.read().decode()
        arguments = ("preflight", "--config", str(roles.config(0)))
        looked = run_apart(*arguments, FEDLEDGER_PASSPHRASE=PASSPHRASE)
        assert "row 1: expected a number" in looked.out
        told = unwell.value.read().decode() + metrics + looked.out + looked.err + roles.log(0) + roles.log(1)
        assert marker not in told
        assert "4711" not in told
        for table, text in zip(tables, good, strict=True):
            table.write_text(text, encoding="utf-8")
        roles.wait_for_certified(1)


def test_a_chain_that_is_away_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """The node is started before its chain answers."""
    port = free_port()
    with devnet() as url, Processes(tmp_path, url, rounds=1).ready() as roles:
        good = roles.config(0).read_text(encoding="utf-8")
        away = good.replace(url, f"http://127.0.0.1:{port}")
        roles.config(0).write_text(away, encoding="utf-8")
        roles.start(0)
        roles.wait_for_log(0, "trying again")
        roles.kill(0)
        roles.config(0).write_text(good, encoding="utf-8")
        roles.start()
        roles.wait_for_certified(1)


def test_metrics_and_health_are_served_on_loopback(url: str, tmp_path: Path) -> None:
    port = free_port()
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        text = roles.config(0).read_text(encoding="utf-8").replace("port = 0", f"port = {port}")
        roles.config(0).write_text(text, encoding="utf-8")
        roles.start()
        roles.wait_for_certified(1)
        roles.wait_for_log(0, '"message": "attest')
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            metrics = answer.read().decode()
        assert 'fedledger_node_steps_total{run="1",step="commit"} 1.0' in metrics
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
            assert json.loads(answer.read()) == {"well": True, "trouble": None}


@pytest.mark.parametrize("wrong", [False, True])
def test_preflight_says_of_each_thing_whether_it_is_well_and_what_to_do(tmp_path: Path, wrong: bool) -> None:
    """On a chain of its own: one that many use runs ahead of the clock, a second a transaction."""
    with devnet() as url, Processes(tmp_path, url).ready() as roles:
        if wrong:
            (roles.home(0) / "rows.csv").write_text("marker,age,ill\n1,2,\n", encoding="utf-8")
        done = subprocess.run(
            [FEDLEDGER, "preflight", "--config", str(roles.config(0)), "--format", "json"],
            env={"FEDLEDGER_PASSPHRASE": PASSPHRASE},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )
        assert done.returncode == (1 if wrong else 0), done.stdout + done.stderr
        outcomes = {outcome["name"]: outcome for outcome in json.loads(done.stdout)}
        assert set(outcomes) == {"chain", "key", "gas", "clock", "store", "data", "disk"}
        assert [name for name, outcome in outcomes.items() if not outcome["well"]] == (
            ["data"] if wrong else []
        )
        assert PASSPHRASE not in done.stdout + done.stderr


def test_preflight_looks_at_an_aggregator_too_and_advises_on_what_is_wrong(url: str, tmp_path: Path) -> None:
    with Processes(tmp_path, url) as roles:

        def outcomes(who: int | str, **environment: str) -> dict[str, dict[str, str]]:
            arguments = ("preflight", "--config", str(roles.config(who)), "--format", "json")
            done = run_apart(*arguments, **({"FEDLEDGER_PASSPHRASE": PASSPHRASE} | environment))
            return {outcome["name"]: outcome for outcome in json.loads(done.out)}

        found = outcomes("aggregator")
        assert found["key"]["found"].endswith(" is an aggregator")
        assert "data" not in found
        wrong = outcomes(0, FEDLEDGER_PASSPHRASE="another")
        assert wrong["key"]["advice"] == (
            "check [key] keystore and passphrase_file, or set FEDLEDGER_PASSPHRASE"
        )
        assert "gas" not in wrong
        (roles.home(0) / "rows.csv").unlink()
        assert outcomes(0)["data"]["found"].endswith("rows.csv: expected a CSV file, got none")
        roles.shared.path(roles.plan_ref).unlink()
        before = list(roles.shared.root.iterdir())
        assert "is it the consortium's?" in outcomes(0)["store"]["found"]
        assert list(roles.shared.root.iterdir()) == before


def test_the_model_of_a_run_comes_out_as_a_file_and_a_mistyped_store_is_no_verdict(
    url: str, models: list[str], tmp_path: Path
) -> None:
    with Processes(tmp_path, url).ready() as roles:
        (tmp_path / "consortium.toml").write_text(roles.network.toml(), encoding="utf-8")
        early = run_apart("model", "1", "--store", roles.shared.root, cwd=tmp_path)
        assert early.complaint.startswith("fedledger: run 1 has no certified round yet")
        roles.start()
        assert roles.wait_for_certified(2) == models
        roles.kill()
        for wanted, digest in ((("--round", 1), models[0]), ((), models[1]), (("--genesis",), None)):
            out = tmp_path / f"model{len(wanted)}{digest}"
            done = run_apart("model", "1", "--store", roles.shared.root, "--out", out, *wanted, cwd=tmp_path)
            assert done.code == 0, done.err
            hasher = PayloadHasher()
            hasher.update(out.read_bytes())
            assert hasher.ref().digest.hex() == (digest or roles.plan.model.digest.hex())
        (tmp_path / "another").mkdir()
        ledger = ("--rpc", url, "--ledger", "0x" + roles.network.round_ledger.hex())
        for store, said in (
            ("mistyped", "expected a folder that is there"),
            ("another", "none of this ledger's plans"),
        ):
            done = run_apart("audit", *ledger, "--store", tmp_path / store)
            assert done.code == 3
            assert said in done.err.splitlines()[-1]
        assert not (tmp_path / "mistyped").exists()


def test_a_chain_that_was_begun_anew_is_not_taken_for_one_that_works_again(tmp_path: Path) -> None:
    with devnet() as first, devnet() as second:
        behind = [first]

        def behave(request: dict[str, Any]) -> Reply:
            return forward(behind[0], request) if behind else (503, b"")

        with endpoint(behave) as (url, _), Processes(tmp_path, url).ready() as roles:
            roles.start(0)
            roles.wait_until_ready()
            behind.clear()
            roles.wait_for_log(0, "no endpoint of the chain answers")
            behind.append(second)
            roles.wait_for_log(0, "was it begun anew?")
            assert "works again" not in roles.log(0)


def test_an_ipfs_daemon_that_is_down_is_named_and_asked_again(url: str, tmp_path: Path) -> None:
    """The folder stands for the daemon that comes back."""
    with Processes(tmp_path, url, rounds=1).ready() as roles:
        good = roles.config(0).read_text(encoding="utf-8")
        down = f"/ip4/127.0.0.1/tcp/{free_port()}"
        roles.config(0).write_text(good.replace(str(roles.shared.root), down), encoding="utf-8")
        roles.start()
        roles.wait_for_log(0, "trying again")
        line = next(line for line in roles.log(0).splitlines() if "trying again" in line)
        assert down in json.loads(line)["message"]
        roles.kill(0)
        roles.config(0).write_text(good, encoding="utf-8")
        roles.start(0)
        roles.wait_for_certified(1)
