"""What operators and members do with a consortium by commands, and what they are told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from eth_utils.address import to_checksum_address

from aggregator.config import ChainConfig
from aggregator.connection import open_ledger
from cli.ballots import question
from cli.refusals import SENTENCES, explained
from contracts import artifacts
from contracts.endpoints import connect
from contracts.keys import new_keystore, unlock
from ledger.commitments import ConsortiumKind, ballot
from ledger.errors import ContractError
from tests.chains import NOBODY, RICH, anvil, devnet
from tests.cli.conftest import run_apart
from tests.cli.test_bad_input import rows_of, write
from tests.federation import address, fund, key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    from contracts.follower import Follower
    from tests.cli.conftest import Outcome

PASSPHRASE = "marker-of-a-passphrase-7f3a"
MEMBERS = ("north", "south", "east", "west")
ROLES = ("operator", "aggregator")
STRANGER = to_checksum_address(address(key("somebody else")))


@dataclass
class Consortium:
    """Keys and a network file of a consortium on a devnet, and the command of this process."""

    folder: Path
    url: str
    run: Callable[..., Outcome]
    accounts: dict[str, LocalAccount]

    def address(self, who: str) -> str:
        """Spell a role's address as wallets do."""
        return str(self.accounts[who].address)

    def key(self, who: str) -> tuple[str, str]:
        """Options with which a role signs."""
        return ("--key", str(self.folder / f"{who}.json"))

    @property
    def network(self) -> tuple[str, str]:
        """Options of who only looks."""
        return ("--network", str(self.folder / "consortium.toml"))

    @property
    def store(self) -> tuple[str, str]:
        """Where the payloads are."""
        return ("--store", str(self.folder / "shared"))

    def deploy(self, *more: str, members: int = 4, out: str = "consortium.toml") -> Outcome:
        """Run ``fedledger deploy``."""
        founders = [word for who in MEMBERS[:members] for word in ("--member", self.address(who))]
        place = ("--out", str(self.folder / out))
        return self.run("deploy", "--rpc", self.url, *self.key("operator"), *founders, *place, *more)

    def deployed(self, members: int = 4) -> Consortium:
        """Deploy with an operator and an aggregator."""
        roles = ("--operator", self.address("operator"), "--aggregator", self.address("aggregator"))
        done = self.deploy(*roles, members=members)
        assert done.code == 0, done
        return self

    def say(self, *command: str, by: str | None = None) -> Outcome:
        """Run a command on this consortium, signed by a role."""
        return self.run(*command, *self.network, *(() if by is None else self.key(by)))

    def told(self, *command: str, by: str | None = None) -> str:
        """Run a command that succeeds and return what it said."""
        done = self.say(*command, by=by)
        assert done.code == 0, done
        return done.out.strip()

    def refused(self, *command: str, by: str | None = None, code: int = 2) -> str:
        """Run a command that is refused and return the line that says why."""
        done = self.say(*command, by=by)
        assert done.code == code, done
        return done.complaint.removeprefix("fedledger: ")

    def draft(self, *more: str) -> str:
        """Draft a plan and return its file's name."""
        table = write(self.folder / "rows.csv", rows_of({"a": 60}))
        plan = self.folder / f"plan-{len(list(self.folder.iterdir()))}.json"
        command = ("--data", str(table), "--label", "ill", "--exclude", "site", "--out", str(plan))
        done = self.run("plan", "draft", *command, *more)
        assert done.code == 0, done
        return str(plan)

    def propose(self, *more: str) -> str:
        """Propose a plan as north and return the terms' digest."""
        done = self.say("plan", "propose", self.draft(), *self.store, "--format", "json", *more, by="north")
        assert done.code == 0, done
        return str(json.loads(done.out)["terms"])

    def approved(self) -> str:
        """Propose and approve a plan; return the terms' digest."""
        terms = self.propose()
        for who in ("south", "east"):
            self.told("plan", "approve", terms, by=who)
        return terms


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with devnet() as url:
        yield url


@pytest.fixture(scope="module")
def keys(url: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, LocalAccount]]:
    """Keystores of all roles; their accounts have ether."""
    folder = tmp_path_factory.mktemp("keys")
    for who in (*MEMBERS, *ROLES, "poor"):
        new_keystore(folder / f"{who}.json", PASSPHRASE, scrypt_n=1 << 10)
    accounts = {path.stem: unlock(path, PASSPHRASE) for path in folder.glob("*.json")}
    fund(connect([url]), [accounts[who] for who in (*MEMBERS, *ROLES)], RICH)
    return folder, accounts


@pytest.fixture
def new(
    keys: tuple[Path, dict[str, LocalAccount]],
    url: str,
    run: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Consortium:
    """A consortium that is not deployed yet."""
    folder, accounts = keys
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("FEDLEDGER_PASSPHRASE", PASSPHRASE)
    return Consortium(tmp_path, url, run, accounts)


@pytest.fixture
def consortium(new: Consortium) -> Consortium:
    """Four members, an operator and an aggregator; three votes decide."""
    return new.deployed()


# -- deploying --------------------------------------------------------------------------------------------


def test_a_consortium_without_an_aggregator_is_not_deployed_unless_it_is_meant(new: Consortium) -> None:
    refused = new.deploy("--operator", new.address("operator"))
    assert refused.code == 2
    assert refused.complaint == (
        "fedledger: no plan can be proposed without an aggregator: expected --aggregator ADDRESS"
    )
    meant = new.deploy("--no-aggregator")
    assert meant.code == 0
    assert meant.err == "no --operator: nobody can pause a run until the members vote for one\n"
    said = new.refused("plan", "propose", new.draft(), *new.store, by="north")
    assert said.startswith("the consortium has no aggregator: expected members' votes for one: `fedledger")
    assert not (new.folder / "shared").exists()


def test_a_network_file_that_cannot_be_written_is_refused_before_anything_is_paid(new: Consortium) -> None:
    before = connect([new.url]).balance(address(new.accounts["operator"]))
    refused = new.deploy("--aggregator", new.address("aggregator"), out="nowhere/consortium.toml")
    assert refused.code == 2
    assert "nowhere/consortium.toml: expected a folder that is there" in refused.complaint
    assert connect([new.url]).balance(address(new.accounts["operator"])) == before


def test_a_network_file_that_was_lost_is_written_anew_from_the_ledgers_address(
    consortium: Consortium,
) -> None:
    file = consortium.folder / "consortium.toml"
    lost = file.read_text(encoding="utf-8")
    ledger = re.search(r'round_ledger = "(.*)"', lost)
    assert ledger is not None
    file.unlink()
    command = ("network", "--rpc", consortium.url, "--ledger", ledger[1], "--out", file)
    assert consortium.run(*command).code == 0
    assert file.read_text(encoding="utf-8") == lost


def test_an_address_without_a_ledger_is_named_by_all_that_look_for_one(new: Consortium) -> None:
    rpc = ("--rpc", new.url, "--ledger", STRANGER)
    for command in (
        ("network", *rpc, "--out", new.folder / "new.toml"),
        ("audit", *rpc, "--store", new.folder),
    ):
        outcome = new.run(*command)
        assert outcome.code == 2
        assert f"no RoundLedger at {STRANGER}" in outcome.err


# -- ether ------------------------------------------------------------------------------------------------


def test_an_account_without_ether_is_named_with_what_it_needs(consortium: Consortium) -> None:
    poor = consortium.address("poor")
    shortage = rf"{poor} has 0 ether; this needs about 0\.0\d+\. Fund it, then try again"
    for who in ("north", "south", "east"):
        said = consortium.told("member", "add", poor, by=who)
    assert said == f"{poor} is member 4 now"
    assert re.fullmatch(shortage, consortium.refused("member", "remove", "0", by="poor", code=3))
    funded = consortium.run("devnet", "fund", poor, "--rpc", consortium.url)
    assert funded.out == f"{poor} has 10000 ether\n"
    assert consortium.told("member", "remove", "0", by="poor").startswith("1 of 3 votes to remove member 0")


def test_a_deployment_is_not_begun_by_an_account_that_cannot_pay_for_all_of_it(new: Consortium) -> None:
    new_keystore(new.folder / "operator2.json", PASSPHRASE, scrypt_n=1 << 10)
    roles = ("--member", STRANGER, "--operator", STRANGER, "--aggregator", STRANGER)
    rpc = ("--rpc", new.url, "--out", str(new.folder / "new.toml"))
    outcome = new.run("deploy", *rpc, "--key", new.folder / "operator2.json", *roles)
    assert outcome.code == 3
    assert re.search(r"fedledger: 0x\w{40} has 0 ether; this needs about 0\.\d+\. Fund", outcome.complaint)


def test_the_same_is_said_on_anvil_which_has_other_words_for_it(new: Consortium) -> None:
    roles = ("--member", STRANGER, "--operator", STRANGER, "--aggregator", STRANGER)
    with anvil() as rpc:
        command = ("deploy", "--rpc", rpc, "--out", new.folder / "new.toml", *new.key("poor"), *roles)
        assert f"{new.address('poor')} has 0 ether; this needs about" in new.run(*command).complaint
        assert new.run("devnet", "fund", new.address("poor"), "--rpc", rpc).code == 0
        done = new.run(*command)
        assert done.code == 0, done


# -- votes ------------------------------------------------------------------------------------------------


def test_a_vote_says_how_many_there_are_and_how_many_are_needed(consortium: Consortium) -> None:
    add = ("member", "add", STRANGER)
    assert consortium.told(*add, by="north") == f"1 of 3 votes to admit {STRANGER}; 2 more are needed"
    assert consortium.told(*add, by="south") == f"2 of 3 votes to admit {STRANGER}; 1 more is needed"
    assert consortium.told(*add, by="east") == f"{STRANGER} is member 4 now"
    rotate = ("member", "rotate-key", "3", consortium.address("poor"))
    assert consortium.told(*rotate, by="north").startswith("1 of 3 votes to let member 3 sign with 0x")
    for who in ("south", "east"):
        said = consortium.told(*rotate, by=who)
    assert said == f"member 3 signs with {consortium.address('poor')} from now on"
    remove = ("member", "remove", "3")
    assert consortium.told(*remove, by="north").startswith("1 of 3 votes to remove member 3; 2 more")


def test_open_votes_are_listed_with_what_they_are_for_and_can_be_taken_back(consortium: Consortium) -> None:
    poor = consortium.address("poor")
    terms = consortium.propose()
    for command in (
        ("member", "add", STRANGER),
        ("member", "remove", "3"),
        ("member", "rotate-key", "2", poor),
        ("member", "grant", "auditor", poor),
    ):
        consortium.told(*command, by="south")
    consortium.told("member", "add", STRANGER, by="east")
    listed = json.loads(consortium.told("member", "ballots", "--format", "json"))
    assert {each["to"]: each["members"] for each in listed} == {
        f"approve terms {terms[:16]}": [0],
        f"admit {STRANGER}": [1, 2],
        "remove member 3": [1],
        f"let member 2 sign with {poor}": [1],
        f"make {poor} auditor": [1],
    }
    admit = next(each["ballot"] for each in listed if "admit" in each["to"])
    taken_back = consortium.told("member", "withdraw", admit[:8], by="east")
    assert taken_back == f"member 2 no longer votes to admit {STRANGER}"
    refused = consortium.refused("member", "withdraw", admit[:8], by="east")
    assert refused.startswith("member 2 has no vote in ballot")
    consortium.told("member", "withdraw", admit[:8], by="south")
    assert STRANGER not in consortium.told("member", "ballots")


def test_a_transaction_that_is_not_what_was_voted_for_puts_no_question_in_its_place() -> None:
    vote = next(e for e in artifacts.load("Consortium").abi if e.get("name") == "voteRemove")
    other = artifacts.selector(vote) + (3).to_bytes(32, "big")
    for data in (b"", bytes(40), artifacts.selector(vote), artifacts.selector(vote) + b"\xff" * 32, other):
        assert question(bytes(32), data) == "something unknown"
    digest = ballot(ConsortiumKind.MEMBER_REMOVED, ["uint256"], [3])
    assert question(digest, other) == "remove member 3"


def test_a_vote_that_was_decided_is_not_open_and_can_be_held_again(consortium: Consortium) -> None:
    assert consortium.told("member", "ballots") == "Open votes: none is open"
    poor = consortium.address("poor")
    for role in ("grant", "revoke"):
        for who in ("north", "south", "east"):
            assert "is operator now" not in consortium.told("member", "list")
            said = consortium.told("member", role, "operator", poor, by=who)
        assert consortium.told("member", "ballots") == "Open votes: none is open"
    assert said == f"{poor} is nothing but itself now"


def test_a_role_is_granted_by_votes_beside_those_that_an_account_has(consortium: Consortium) -> None:
    aggregator = consortium.address("aggregator")
    for who in ("north", "south", "east"):
        said = consortium.told("member", "grant", "auditor", aggregator, by=who)
    assert said == f"{aggregator} is aggregator, auditor now"
    listed = json.loads(consortium.told("member", "list", "--format", "json"))
    assert {"account": aggregator, "roles": ["aggregator", "auditor"]} in listed["roles"]
    assert listed["votes_needed"] == 3
    assert "3 votes of 4 members decide" in consortium.told("member", "list")
    again = consortium.refused("member", "grant", "auditor", aggregator, by="north")
    assert again == f"{aggregator} is auditor already"
    none = consortium.refused("member", "revoke", "operator", aggregator, by="north")
    assert none == f"{aggregator} is no operator"


def test_what_a_contract_refuses_is_said_in_words_with_what_to_do(consortium: Consortium) -> None:
    consortium.told("member", "remove", "3", by="north")
    assert consortium.refused("member", "remove", "3", by="north") == (
        "member 0 has voted for this already; it takes the votes of other members"
    )
    west = consortium.address("west")
    said = consortium.refused("member", "add", west, by="north")
    assert said == f"{west} signs for a member already; give another address"
    assert consortium.refused("member", "remove", "9", by="north") == (
        "the consortium has no member 9; `fedledger member list` shows those it has"
    )


def test_each_refusal_of_the_contracts_has_its_words() -> None:
    entries = [e for name in ("Consortium", "RoundLedger") for e in artifacts.load(name).errors().values()]
    assert {entry["name"] for entry in entries} == SENTENCES.keys()
    values: dict[str, Any] = {"address": b"\x01" * 20, "bytes32": b"\x02" * 32}
    for entry in entries:
        arguments = {
            re.sub(r"(?<!^)(?=[A-Z])", "_", i["name"]).lower().strip("_"): values.get(i["type"], 1)
            for i in entry["inputs"]
        }
        error = explained(ContractError(entry["name"], arguments, call="a call"))
        assert "{" not in str(error)
        assert not isinstance(error, ContractError)


def test_an_address_with_a_wrong_checksum_is_refused(consortium: Consortium) -> None:
    mistyped = STRANGER[:-1] + ("0" if STRANGER[-1] != "0" else "1")
    assert "its checksum (EIP-55) is not right" in consortium.refused("member", "add", mistyped, by="north")
    for taken in (STRANGER.lower(), "0x" + STRANGER[2:].upper()):
        consortium.say("member", "add", taken, by="north")
    assert STRANGER in consortium.told("member", "ballots")
    file = consortium.folder / "consortium.toml"
    text = file.read_text(encoding="utf-8")
    address_ = text.partition('round_ledger = "')[2][:42]
    file.write_text(text.replace(address_, address_[:2] + address_[2:].swapcase()), encoding="utf-8")
    said = "round_ledger: expected an address whose checksum (EIP-55) is right"
    assert said in consortium.refused("member", "list")


# -- plans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--quorum", "5"), "quorum among 4 members: expected 3 to 4, or --force, got 5"),
        (("--quorum", "2"), "quorum among 4 members: expected 3 to 4, or --force, got 2"),
        (("--min-reveals", "5"), "min-reveals among 4 members: expected 1 to 4, or --force, got 5"),
        (
            ("--propose-seconds", "100", "--grace-seconds", "51"),
            "grace period: expected at most half of the propose phase, 50 s, or --force",
        ),
        (("--max-rounds", "4"), "openings allowed: expected at least the plan's 5 rounds, or --force, got 4"),
        (("--aggregator", STRANGER), f"{STRANGER} is no aggregator of the consortium: expected one of 0x"),
    ],
)
def test_terms_that_can_never_work_are_not_proposed(
    consortium: Consortium, options: tuple[str, ...], said: str
) -> None:
    command = ("plan", "propose", consortium.draft(), *consortium.store, *options)
    assert consortium.refused(*command, by="north").startswith(said)
    assert consortium.told("plan", "list") == "Plans: none yet: `fedledger plan draft`"
    if "--aggregator" not in options:
        consortium.told(*command, "--force", by="north")


def test_a_short_propose_phase_shortens_the_grace_period_that_was_not_given(consortium: Consortium) -> None:
    consortium.propose("--propose-seconds", "100")
    shown = consortium.told("plan", "show", _only(consortium)["terms"], *consortium.store)
    assert "members act in the aggregator's place after 50 s" in shown


def _only(consortium: Consortium) -> dict[str, Any]:
    (entry,) = json.loads(consortium.told("plan", "list", *consortium.store, "--format", "json"))
    assert isinstance(entry, dict)
    return entry


def test_votes_on_a_plan_are_counted_aloud_and_the_next_step_is_named(consortium: Consortium) -> None:
    none = consortium.refused("plan", "approve", "4fc8", by="north")
    assert none == "no plan was proposed yet; see `fedledger plan draft`"
    assert consortium.refused("run", "start", "4fc8", by="operator") == none
    terms = consortium.propose()
    assert (
        consortium.told("plan", "approve", terms, by="south") == f"terms {terms}: vote counted: 2 of 3 needed"
    )
    unapproved = consortium.refused("run", "start", terms, by="operator")
    assert unapproved == f"terms {terms[:16]} have 2 of 3 votes"
    entry = _only(consortium)
    assert (entry["title"], entry["votes"], entry["votes_needed"]) == ("Predicting ill", 2, 3)
    assert "2 of 3 votes" in consortium.told("plan", "list")
    decided = consortium.told("plan", "approve", terms, by="east")
    assert decided == f"terms {terms}: approved; now `fedledger run start {terms[:8]}`"
    again = consortium.refused("plan", "approve", terms, by="west")
    assert again.endswith(f"approved already; now `fedledger run start {terms[:16]}`")
    assert _only(consortium)["status"] == "approved"


def test_a_plan_is_shown_once_and_each_of_its_terms_in_a_line(consortium: Consortium) -> None:
    terms = consortium.propose("--quorum", "4")
    shown = consortium.told("plan", "show", terms, *consortium.store).splitlines()
    assert shown[0].startswith("Predicting ill (plan ")
    assert shown[-1].startswith(f"terms {terms}: 1 of 3 votes; a result counts when 4 members recomputed it")
    assert len(shown) == len(set(shown))


def test_a_draft_refuses_what_could_not_be_proposed(new: Consortium) -> None:
    table = write(new.folder / "rows.csv", rows_of({"a": 30}))
    plan = ("--data", table, "--label", "ill", "--out", new.folder / "plan.json")
    refused = new.run("plan", "draft", *plan, "--strategy", "mean")
    assert refused.code == 2
    assert "expected one of fedavg, median, trimmed-mean, got mean" in refused.complaint
    assert not (new.folder / "plan.json").exists()


def test_a_draft_says_what_becomes_of_each_column(new: Consortium) -> None:
    rows = [[*row, f"patient {number}", str(number)] for number, row in enumerate(rows_of({"a": 30}))]
    table = write(new.folder / "rows.csv", rows, ("site", "age", "marker", "kind", "ill", "name", ""))
    plan = ("--data", table, "--label", "ill", "--out", new.folder / "plan.json")
    said = new.run("plan", "draft", *plan).out.splitlines()
    assert said[:5] == [
        "predicts ill: 0, 1",
        "2 numeric columns: age, marker",
        "2 categorical columns: site, kind",
        "not used: name (no text in them is on 5 rows or more, as with names and numbers of patients)",
        "not used: a column without a name",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rouds": 5}, "plan.json: unknown key: expected perhaps rounds, got rouds"),
        ({"limits": {"max_abs": "0.05", "max_num_examples": 9}}, 'got the text "0.05"'),
        (
            {"metrics": {"names": "auc", "min_cell": 5}},
            'names: expected a list of texts, ["…"], got the text "auc"',
        ),
    ],
)
def test_a_mistake_in_a_draft_is_named_with_what_was_meant(
    consortium: Consortium, change: dict[str, Any], said: str
) -> None:
    plan = consortium.folder / "plan.json"
    with open(consortium.draft(), encoding="utf-8") as file:  # noqa: PTH123 - its name is a text
        plan.write_text(json.dumps({**json.load(file), **change}), encoding="utf-8")
    assert said in consortium.refused("plan", "propose", str(plan), *consortium.store, by="north")


# -- runs -------------------------------------------------------------------------------------------------


def test_a_second_run_of_the_same_terms_has_to_be_meant(consortium: Consortium) -> None:
    terms = consortium.approved()
    consortium.told("run", "start", terms, by="operator")
    assert consortium.refused("run", "start", terms, by="operator") == (
        "run 1 has these terms, and 0 certified rounds: expected --again to start one more of them"
    )
    assert consortium.told("run", "start", terms, "--again", by="operator").startswith("run 2 started")


def test_the_state_of_a_run_says_what_it_waits_for_and_for_whom(consortium: Consortium) -> None:
    assert consortium.told("run", "status") == "Runs: none yet: `fedledger run start`"
    consortium.told("run", "start", consortium.approved(), by="operator")
    for who in ("north", "south"):
        consortium.told("run", "join", "1", by=who)
    assert "run 1: waits: 2 members can take part, 3 needed; certified: 0 of 5" in consortium.told(
        "run", "status", "1", *consortium.store
    )
    for who in ("east", "west"):
        consortium.told("run", "join", "1", by=who)
    assert "run 1: waits: round 1 is to be opened" in consortium.told("run", "status", "1")
    follower = _follower(consortium)
    follower.ledger.open(consortium.accounts["aggregator"], 1)
    follower.ledger.commit(consortium.accounts["south"], 1, 1, b"\x01" * 32)
    said = consortium.told("run", "status", "1")
    assert "missing: 0, 2, 3\nrun 1: round 1 is in phase commit" in said
    assert " 1/4 " in said
    for who in ("north", "south", "east"):
        consortium.told("member", "remove", "3", by=who)
    document = json.loads(consortium.told("run", "status", "1", "--format", "json"))
    (round_,) = document["rounds"]
    assert (round_["missing"], round_["committed"]) == ([0, 2], [1])
    assert document["members"] == [0, 1, 2]


def _follower(consortium: Consortium) -> Follower:
    return open_ledger(ChainConfig.read(consortium.folder / "consortium.toml"))


def test_a_pause_that_changes_nothing_or_is_nobodys_to_make_is_no_success(consortium: Consortium) -> None:
    consortium.told("run", "start", consortium.approved(), by="operator")
    stranger = consortium.refused("run", "pause", "1", by="north")
    assert stranger.startswith(f"{consortium.address('north')} has no role that may do this; `fedledger")
    assert consortium.refused("run", "resume", "1", by="operator") == "run 1 is not paused"
    assert consortium.told("run", "pause", "1", by="operator").startswith("run 1 is paused")
    assert consortium.refused("run", "pause", "1", by="operator").startswith("run 1 is paused; an operator")
    assert "paused" in consortium.told("run", "status")


@pytest.mark.parametrize("command", [("run", "status", "x"), ("member", "remove", "x")])
def test_a_number_that_is_none_is_called_so(run: Callable[..., Outcome], command: tuple[str, ...]) -> None:
    assert "'x' is not a valid number" in run(*command).complaint


# -- the command ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["keys", "node", "member", "plan", "run", "aggregator"])
def test_a_group_without_a_verb_says_how_it_is_used(run: Callable[..., Outcome], group: str) -> None:
    bare = run(group)
    assert bare == run(group, "--help")
    assert bare.code == 0
    assert len(bare.out.splitlines()) > 5


@pytest.mark.parametrize(("mistyped", "meant"), [(("nod",), "node"), (("plan", "lst"), "list")])
def test_the_nearest_verb_is_named(
    run: Callable[..., Outcome], mistyped: tuple[str, ...], meant: str
) -> None:
    outcome = run(*mistyped)
    assert outcome.code == 2
    assert f"Did you mean '{meant}'?" in outcome.complaint


def test_a_new_key_says_what_its_address_is_for(tmp_path: Path) -> None:
    outcome = run_apart("keys", "new", tmp_path / "key.json", FEDLEDGER_PASSPHRASE=PASSPHRASE)
    assert outcome.code == 0
    assert to_checksum_address(outcome.out.strip()) == outcome.out.strip()
    assert "give it to the consortium" in outcome.err


_HEAVY = {"torch", "sklearn", "pandas"}
_NETWORK = f"""
[chain]
endpoints = ["{NOBODY}"]
chain_id = 5
consortium = "0x{"01" * 20}"
round_ledger = "0x{"02" * 20}"
"""


@pytest.mark.parametrize(
    ("command", "not_loaded"),
    [
        (["--help"], _HEAVY | {"web3", "cli.node", "eth_account"}),
        (["nod"], _HEAVY | {"web3", "cli.node"}),
        (["node", "--help"], _HEAVY | {"web3"}),
        (["node", "nod"], _HEAVY | {"web3"}),
        (["node", "init", "--key", "k", "--store", "shared", "--data", "rows.csv"], _HEAVY | {"web3"}),
        (["keys", "--help"], _HEAVY | {"web3", "eth_account"}),
        (["keys", "show", "k"], _HEAVY | {"web3"}),
        (["member", "--help"], _HEAVY | {"web3"}),
        (["run", "start", "--no-such-option"], _HEAVY | {"web3"}),
        (["member", "list"], _HEAVY),
        (["run", "status"], _HEAVY),
        (["plan", "list"], _HEAVY),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_a_command_loads_nothing_that_it_does_not_need(
    tmp_path: Path, command: list[str], not_loaded: set[str]
) -> None:
    (tmp_path / "consortium.toml").write_text(_NETWORK, encoding="utf-8")
    program = (
        "import sys; from cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print('loaded:', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    loaded = set(done.stdout.rpartition("loaded:")[2].split())
    assert "cli.main" in loaded
    assert not loaded & not_loaded
