"""Reference pages say what the code says: checks, contracts, variables, options, modules, names of tests."""

from __future__ import annotations

import importlib
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click
import pytest

from aggregator import strategies
from cli.main import cli
from contracts import artifacts
from ledger.checks import Check
from ledger.commitments import ConsortiumKind, RoundKind
from ledger.documents import Outcome
from ledger.records import Phase, Role, Status
from node.tabular import MISSING
from tests.docs.generated import PART, PARTS, renewed
from tests.docs.pages import BY_NAME, PAGES, ROOT, codes, rows, section

if TYPE_CHECKING:
    from collections.abc import Iterable

REFERENCE = {path.rpartition("/")[2][:-3]: page for path, page in BY_NAME.items() if "reference/" in path}


def _all_commands(command: click.Command, name: str) -> dict[str, click.Command]:
    """Every command below one, by the words that a user types."""
    if not isinstance(command, click.Group):
        return {name: command}
    context = click.Context(command, **command.context_settings)
    found: dict[str, click.Command] = {name: command} if command.invoke_without_command else {}
    for verb in command.list_commands(context):
        below = command.get_command(context, verb)
        assert below is not None
        found |= _all_commands(below, f"{name} {verb}")
    return found


COMMANDS = _all_commands(cli, "fedledger")


@pytest.mark.parametrize("name", BY_NAME)
def test_parts_that_come_from_the_code_are_up_to_date(name: str) -> None:
    """`python -m tests.docs.generated` makes them anew."""
    text = BY_NAME[name].read_text(encoding="utf-8")
    assert renewed(text) == text


def test_every_part_that_can_be_made_stands_in_one_page() -> None:
    found = [part[1] for page in PAGES for part in PART.finditer(page.read_text(encoding="utf-8"))]
    helps = {f"{name} --help" for name in ("fedledger", *COMMANDS)}
    assert sorted(found) == sorted({*PARTS, *helps})


def test_each_check_has_a_row_on_what_to_do() -> None:
    page = BY_NAME["docs/how-to/read-a-failed-audit.md"]
    numbers = [int(row[0]) for row in rows(page.read_text(encoding="utf-8"))]
    assert numbers == [check.value for check in Check]


def test_free_numbers_of_checks_are_the_ones_named() -> None:
    text = REFERENCE["checks"].read_text(encoding="utf-8")
    stated = [
        (int(low), int(high)) for low, high in re.findall(r"(\d+) to (\d+)", text.rpartition("*Numbers")[2])
    ]
    used = [check.value for check in Check]
    assert stated == [(low + 1, high - 1) for low, high in pairwise(used) if high - low > 1]


# -- contracts --------------------------------------------------------------------------------------------


def _type(entry: dict[str, Any]) -> str:
    if entry["type"].startswith("tuple"):
        return str(entry["internalType"].split()[-1].rpartition(".")[2])
    return str(entry["type"])


def _signature(entry: dict[str, Any]) -> str:
    arguments = [f"{_type(i)} {'indexed ' if i.get('indexed') else ''}{i['name']}" for i in entry["inputs"]]
    return f"{entry.get('name', 'constructor')}({', '.join(arguments)})"


@pytest.mark.parametrize("contract", ["Consortium", "RoundLedger"])
def test_the_contracts_page_has_every_function_event_and_error_and_no_other(contract: str) -> None:
    text = section(REFERENCE["contracts"], contract)
    stated = [code for row in rows(text) for code in codes(row[0])]
    stated += re.findall(r"Constructor: `([^`]+)`", " ".join(text.split()))
    assert sorted(stated) == sorted(_signature(e) for e in artifacts.load(contract).abi)


def test_kinds_of_events_are_those_of_the_accumulators() -> None:
    for contract, kinds in (("Consortium", ConsortiumKind), ("RoundLedger", RoundKind)):
        text = section(REFERENCE["contracts"], contract)
        stated = {
            codes(row[0])[0].partition("(")[0]: int(row[1]) for row in rows(text) if row[-1].isdecimal()
        }
        expected = {kind.name.title().replace("_", ""): kind.value for kind in kinds}
        assert stated == expected


def test_numbers_of_status_phase_and_role_are_those_of_the_code() -> None:
    text = " ".join(section(REFERENCE["contracts"], "RoundLedger").split())
    for word, enum in (("Status", Status), ("Phase", Phase)):
        assert f"{word}: {', '.join(f'{e.value} {e.name.lower()}' for e in enum)}." in text
    text = " ".join(section(REFERENCE["contracts"], "Consortium").split())
    assert all(f"{role.name.lower()} {role.value} (" in text for role in Role if role.name)


def test_slots_are_those_of_the_compiler() -> None:
    stated = {
        (codes(row[0])[0], int(row[1])): row[2] for row in rows(section(REFERENCE["contracts"], "Storage"))
    }
    for contract in ("Consortium", "RoundLedger"):
        path = ROOT / "contracts" / "artifacts" / f"{contract}.json"
        layout = json.loads(path.read_text(encoding="utf-8"))["storageLayout"]
        for variable in layout["storage"]:
            assert f"`{variable['label']}`" in stated.pop(
                (contract, int(variable["slot"])), variable["label"]
            ) or (int(variable["offset"]) > 0)
    assert not stated


def test_fields_of_stored_structs_are_in_the_order_of_the_page() -> None:
    text = " ".join(section(REFERENCE["contracts"], "Storage").split())
    path = ROOT / "contracts" / "artifacts" / "RoundLedger.json"
    types = json.loads(path.read_text(encoding="utf-8"))["storageLayout"]["types"]
    for struct, first in (("Run", "lastEnd"), ("Round", "header")):
        members = types[f"t_struct({struct})_storage"]["members"]
        later = members[[m["label"] for m in members].index(first) :]
        places = [text.index(f"{m['slot']} {m['label']}") for m in later]
        assert places == sorted(places)


# -- command line, environment, Python --------------------------------------------------------------------


def _options(command: click.Command) -> set[str]:
    options = [p for p in command.params if isinstance(p, click.Option)]
    return {name for p in options for name in (*p.opts, *p.secondary_opts) if name[:2] == "--"}


def test_options_named_in_any_page_exist() -> None:
    known = set().union(*map(_options, COMMANDS.values())) | {"--help", "--version"}
    known |= {"--cid-version", "--raw-leaves", "--chunker", "--json"}  # of ipfs
    known |= {
        "--permissions-nodes-config-file-enabled",
        "--rpc-http-enabled",
        "--rpc-http-api",
        "--min-gas-price",
    }  # of Besu
    for page in PAGES:
        for code in re.findall(r"`([^`\n]*)`", page.read_text(encoding="utf-8")):
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", code)) <= known, f"{page.name}: {code}"


def test_every_option_of_the_demo_is_explained_or_in_its_help() -> None:
    page = REFERENCE["command-line"].read_text(encoding="utf-8")
    for verb in ("demo", "audit"):
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        assert all(option in page for option in _options(command))


def test_variables_are_those_that_the_code_reads() -> None:
    stated = {
        code for row in rows(REFERENCE["environment"].read_text(encoding="utf-8")) for code in codes(row[0])
    }
    rooms = ["aggregator", "audit", "benchmarks", "cli", "contracts", "ledger", "node", "storage", "tests"]
    sources = [p for room in rooms for p in (ROOT / room).rglob("*.py") if "node_modules" not in p.parts]
    text = "".join(p.read_text(encoding="utf-8") for p in [*sources, ROOT / "Makefile"])
    assert {name for name in stated if name.startswith("FEDLEDGER_")} == set(
        re.findall(r"FEDLEDGER_[A-Z_]+\b", text)
    )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {name for name in stated if not name.startswith("FEDLEDGER_")} == set(
        re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE)
    )


def test_modules_and_names_of_the_python_page_exist() -> None:
    table = rows(REFERENCE["python-api"].read_text(encoding="utf-8"))
    modules = [importlib.import_module(codes(row[0])[0]) for row in table]
    public = {name for module in modules for name in module.__all__}
    for module, row in zip(modules, table, strict=True):
        methods = {name for owner in module.__all__ for name in dir(getattr(module, owner))}
        assert {name for name in codes(row[1]) if name.isidentifier()} <= public | methods, module.__name__


def test_strategies_named_are_those_that_plans_can_name() -> None:
    named = set(re.findall(r"^`([a-z-]+)`", section(REFERENCE["formats"], "13. Aggregation"), re.MULTILINE))
    assert named == {"fedavg", "median", "trimmed-mean"}
    for name in sorted(named):
        assert strategies.strategy(name, {}).name == name


def test_texts_for_a_missing_cell_are_those_of_the_code() -> None:
    expected = {text for text in MISSING if text}
    for name in ("docs/reference/tabular-task.md", "docs/how-to/use-your-own-table.md"):
        text = " ".join(BY_NAME[name].read_text(encoding="utf-8").split())
        (stated,) = re.findall(r"empty(?: or one of|,)((?: `[^`]+`,?)+)", text)
        assert set(codes(stated)) == expected


def test_verdicts_of_the_glossary_are_the_outcomes() -> None:
    stated = {
        row[0]
        for row in rows(REFERENCE["glossary"].read_text(encoding="utf-8"))
        if row[1].startswith("verdict:")
    }
    assert stated == {str(outcome) for outcome in Outcome} - {"revealed"}


# -- tests and decisions that pages name ------------------------------------------------------------------


def _defined() -> Iterable[str]:
    for path in (ROOT / "tests").rglob("*.py"):
        yield from re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    for path in (ROOT / "contracts" / "test").glob("*.sol"):
        yield from re.findall(r"function (test_\w+)", path.read_text(encoding="utf-8"))


def test_tests_that_pages_name_exist() -> None:
    defined = set(_defined())
    named = {
        n for page in PAGES for n in re.findall(r"`(test_\w+_\w+_\w+_\w+)`", page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= defined, named - defined


def test_the_list_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "explanation" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(page.name for page in folder.glob("0*.md"))


@pytest.mark.parametrize("name", [name for name in BY_NAME if re.search(r"decisions/0", name)])
def test_a_decision_names_options_and_what_it_costs(name: str) -> None:
    text = BY_NAME[name].read_text(encoding="utf-8")
    heads = ["**Question.**", "**Options.**", "**Decision.**", "**Negative consequences.**"]
    assert [text.count(head) for head in heads] == [1, 1, 1, 1]
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)
