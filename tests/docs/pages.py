"""The project's pages as tests read them: blocks of code, commands, links, headings and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FRONT = ("README", "SECURITY", "CONTRIBUTING", "CHANGELOG")
PAGES = sorted([*(ROOT / f"{name}.md" for name in _FRONT), *(ROOT / "docs").rglob("*.md")])
BY_NAME = {str(page.relative_to(ROOT)): page for page in PAGES}

_FENCE = re.compile(r"^```(\S*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the rest of the opening line, and its text."""

    language: str
    info: str
    text: str

    def option(self, name: str) -> str | None:
        """Return the value of ``name=value`` in the opening line."""
        found = re.search(rf"\b{name}=(\S+)", self.info)
        return found.group(1) if found else None


@dataclass(frozen=True)
class Command:
    """A command of a ``console`` block and the lines that the page shows below it.

    One that goes on ``until_interrupted`` gets Ctrl-C once it has printed the last of them.
    """

    line: str
    shown: tuple[str, ...]
    exit_code: int
    until_interrupted: bool = False


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(language, info.strip(), body) for language, info, body in _FENCE.findall(text)]


def commands(block: Block) -> list[Command]:
    """Split a ``console`` block: ``$ `` begins a command, ``> `` continues it, all else is output."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> "):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", found[-1][1])
        elif line.strip():
            found[-1][1].append(line)
    code = int(block.option("exit") or 0)
    endless = "until-interrupted" in block.info
    return [
        Command(line, tuple(shown), code if line == found[-1][0] else 0, endless) for line, shown in found
    ]


def prose(page: Path) -> str:
    """Return a page's text without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"[*`]", "", heading).lower())
        found.add(words.strip().replace(" ", "-"))
    return found


def section(page: Path, heading: str) -> str:
    """Return the text below a heading, up to the next of the same level or above."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, f"{page.name} has no heading {heading!r}"
    end = re.search(rf"^#{{1,{len(found.group(1))}}} ", text[found.end() :], re.MULTILINE)
    return text[found.end() :][: end.start() if end else None]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows in a text, heads and rules left out."""
    lines = text.splitlines()
    found = []
    for i, line in enumerate(lines):
        is_head = i + 1 < len(lines) and re.fullmatch(r"[|\-: ]+", lines[i + 1]) and "-" in lines[i + 1]
        if line.startswith("|") and not is_head and not re.fullmatch(r"[|\-: ]+", line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def codes(cell: str) -> list[str]:
    """Return the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)
