"""Every command of the pages is run, and what a page shows below it is what it prints."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import TYPE_CHECKING

import click
import pytest

from cli.main import cli
from tests.docs.conftest import SavedDemo, interrupt, run
from tests.docs.pages import BY_NAME, ROOT, Block, Command, blocks, commands

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"python", "csv"}
SHELL = {"console", "bash", "sh", "shell"}
WITH_COMMANDS = [name for name, page in BY_NAME.items() if any(b.language in SHELL for b in blocks(page))]
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

# What differs between machines, clocks and runs: addresses, digests, numbers with a point and long ones.
_VARIES = re.compile(r"bafkrei[a-z2-7]+|0x[0-9a-fA-F]{40}|(?:0x)?[0-9a-f]{8,}|\d+(?:\.\d+)+|\d{3,}|…| +")


def _stands_for(shown: str) -> str:
    if shown == "…":
        return ".*"
    if shown.startswith(" "):
        return r"\s+"
    if shown.startswith("0x"):
        return "0x[0-9a-fA-F]+"
    return "bafkrei[a-z2-7]+" if shown.startswith("bafkrei") else "[0-9a-fx.]+"


def pattern(shown: str) -> re.Pattern[str]:
    """Return what a line of a page stands for; … stands for anything."""
    parts, end = [], 0
    for found in _VARIES.finditer(shown):
        parts += [re.escape(shown[end : found.start()]), _stands_for(found[0])]
        end = found.end()
    return re.compile("".join([*parts, re.escape(shown[end:])]))


def compare(shown: tuple[str, ...], printed: str) -> None:
    """Hold a page's lines against what was printed: the same lines in that order; … leaves some out."""
    rest = iter(line.strip() for line in printed.splitlines() if line.strip())
    gap = False
    for line in shown:
        if line.strip() == "…":
            gap = True
            continue
        wanted = pattern(line.strip())
        for got in rest:
            if wanted.fullmatch(got):
                break
            assert gap, f"expected {line!r}, got {got!r}"
        else:
            pytest.fail(f"not printed: {line!r}\n{printed}")
        gap = False


def write_files(page: Path, folder: Path) -> None:
    """Save the blocks of a page that it tells its reader to save."""
    for block in blocks(page):
        title = block.option("title")
        if title is not None:
            assert block.language in FILES
            (folder / title).write_text(block.text, encoding="utf-8")


def follow(command: Command, folder: Path) -> None:
    """Run a command; of ``make`` only the target is looked for, as it would run these tests again."""
    if command.line.startswith("make "):
        assert command.line.split()[1] in TARGETS
        return
    if command.until_interrupted:
        code, printed = interrupt(command.line, folder, pattern(command.shown[-1]).match)
        assert code == command.exit_code, printed
        compare(command.shown, printed)
        return
    done = run(command.line, folder)
    assert done.returncode == command.exit_code, f"{command.line}\n{done.stdout}{done.stderr}"
    if command.shown:
        compare(command.shown, done.stdout if done.stdout.strip() else done.stderr)


def runnable(page: Path) -> list[Block]:
    """Return the blocks of commands that are to be run; one that is not says why."""
    found = [block for block in blocks(page) if block.language in SHELL]
    for block in found:
        assert block.language == "console", "commands stand in console blocks, each after a $"
        assert "skip" not in block.info or len(block.info) > len('skip=""') + 10, "a skipped block says why"
    return [block for block in found if "skip=" not in block.info]


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_of_a_page_do_what_it_says(name: str, tmp_path: Path, saved_demo: SavedDemo) -> None:
    page = BY_NAME[name]
    if "<!-- folder: first -->" in page.read_text(encoding="utf-8"):
        shutil.copytree(saved_demo.folder, tmp_path / "first")
    write_files(page, tmp_path)
    for block in runnable(page):
        for command in commands(block):
            follow(command, tmp_path)


def _skipped_commands() -> list[str]:
    """Commands that nobody runs; those of the walk, with ``walk=``, run in ``test_walk``."""
    all_ = [block for page in BY_NAME.values() for block in blocks(page)]
    found = [block for block in all_ if "skip=" in block.info and "walk=" not in block.info]
    lines = [command.line for block in found for command in commands(block)]
    return [line for line in lines if line.startswith("fedledger ")]


@pytest.mark.parametrize("line", _skipped_commands())
def test_a_command_that_is_not_run_here_has_options_that_there_are(line: str) -> None:
    """It may need a running consortium; its spelling needs none."""
    command: click.Command = cli
    context = click.Context(cli, info_name="fedledger", **cli.context_settings)
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        assert command is not None, name
    with command.make_context(name, words, parent=context) as made:
        assert made.params is not None


def test_the_readme_shows_what_the_demo_prints(saved_demo: SavedDemo) -> None:
    (block,) = [b for b in blocks(BY_NAME["README.md"]) if b.option("shows") == "demo"]
    head, *shown = block.text.splitlines()
    assert head == "$ make demo"
    elsewhere = ("files:", "check it yourself:", "dashboard:", "audited again:")
    wanted = [line for line in shown if line.strip() and not line.startswith(elsewhere)]
    compare(tuple(wanted), saved_demo.shown)
    for lines in (saved_demo.shown.splitlines(), shown):
        assert [f"{line.partition(':')[0]}:" for line in lines[-4:]] == list(elsewhere)


def test_make_demo_is_the_demo_that_is_run_here() -> None:
    """`make demo` adds nothing but a folder's name and what the caller adds."""
    recipe = re.search(r"^demo:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert re.fullmatch(r"@\$\(BIN\)/fedledger demo --out \S+ (\S+ )?\$\(ARGS\)", recipe[1])


@pytest.mark.parametrize(
    ("shown", "printed", "holds"),
    [
        ("audit: holds; 432 checks in 0.3 s", "audit: holds; 1136 checks in 12.7 s", True),
        ("audit: holds; 432 checks in 0.3 s", "audit: DOES NOT HOLD; 432 checks in 0.3 s", False),
        ("1 certified 3/3", "2 certified 3/3", False),
        ("model 57cbec11fae5 …", "model 0b8aa4661a5f by 3", True),
        ("changed bafkreihybpyx", "changed bafkreia2ks32", True),
        ("changed bafkreihybpyx", "removed bafkreia2ks32", False),
    ],
)
def test_a_line_may_differ_in_measured_numbers_and_digests_alone(
    shown: str, printed: str, *, holds: bool
) -> None:
    assert (pattern(shown).fullmatch(printed) is not None) == holds


def test_lines_are_left_out_only_where_a_page_says_so() -> None:
    compare(("a", "…", "c"), "a\nb\nc\nd")
    with pytest.raises(AssertionError):
        compare(("a", "c"), "a\nb\nc")
    with pytest.raises(pytest.fail.Exception):
        compare(("a", "…", "e"), "a\nb\nc")
