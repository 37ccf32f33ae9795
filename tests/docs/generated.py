"""Parts of the pages that are made from the code: ``python -m tests.docs.generated`` makes them anew.

Such a part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. ``test_generated`` compares.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from api.access.desk import Desk
from api.access.log import AccessLog
from api.app import create_app
from api.index.database import Database
from api.verifications import Verifications
from cli.main import cli
from contracts import artifacts
from ledger import checks
from storage import MemoryStore
from tests.docs import worked_example
from tests.docs.pages import PAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

PART = re.compile(r"(?<=<!-- generated: )([^>]+)( -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def help_text(*verb: str) -> str:
    """A command's ``--help`` as a terminal of 80 columns shows it."""
    arguments = [*verb, "--help"]
    outcome = CliRunner().invoke(cli, arguments, prog_name="fedledger", terminal_width=80)
    assert outcome.exit_code == 0, outcome.output
    return f"```text\n$ {' '.join(['fedledger', *arguments])}\n{outcome.output}```\n"


def table_of_checks() -> str:
    """Number, name and rule of each check."""
    texts = dict(re.findall(r"^(\d+)\.\s+(.+(?:\n {4}.+)*)", checks.__doc__ or "", re.MULTILINE))
    lines = ["| number | name | holds where |", "|---|---|---|"]
    for check in checks.Check:
        rule = " ".join(texts[str(check.value)].replace("``", "`").split())
        lines.append(f"| {check.value} | {check.label} | {rule} |")
    return "\n".join(lines) + "\n"


def gas() -> str:
    """Gas of each call, from the snapshots that CI compares."""
    lines = ["| contract | call | gas |", "|---|---|---|"]
    for name in ("Consortium", "RoundLedger"):
        snapshot = json.loads((ROOT / "contracts" / "snapshots" / f"{name}.json").read_text())
        lines += [f"| `{name}` | {call} | {int(used):,} |" for call, used in sorted(snapshot.items())]
    return "\n".join(lines) + "\n"


def deployed_code() -> str:
    """Length and hash of each contract's deployed code with immutables set to zero."""
    lines = ["| contract | bytes | keccak256, immutables zero | immutables (first byte, length) |"]
    lines.append("|---|---|---|---|")
    for name in ("Consortium", "RoundLedger"):
        artifact = artifacts.load(name)
        places = ", ".join(f"({start}, {length})" for start, length in artifact.immutables)
        digest = keccak(artifact.runtime).hex()
        lines.append(f"| `{name}` | {len(artifact.runtime):,} | `{digest}` | {places} |")
    return "\n".join(lines) + "\n"


_GETTERS = {
    "Consortium": ("approvalPercent", "predecessor", "snapshot"),
    "RoundLedger": ("consortium", "runCount", "runAt", "roundAt", "entryAt"),
}


def events_and_getters() -> str:
    """Signature and topic of each event; signature, results and selector of the getters that audits call."""
    lines = ["| contract | event | first topic |", "|---|---|---|"]
    for name in _GETTERS:
        for topic, entry in artifacts.load(name).events().items():
            marked = (collapse_if_tuple(i) + (" *i*" if i["indexed"] else "") for i in entry["inputs"])
            lines.append(f"| `{name}` | {entry['name']}({', '.join(marked)}) | `{topic.hex()}` |")
    lines += ["", "| contract | getter | results | selector |", "|---|---|---|---|"]
    for name, getters in _GETTERS.items():
        for getter in getters:
            entry = artifacts.load(name).function(getter)
            taken, given = (", ".join(map(collapse_if_tuple, entry[side])) for side in ("inputs", "outputs"))
            selector = artifacts.selector(entry).hex()
            lines.append(f"| `{name}` | {getter}({taken}) | {given} | `{selector}` |")
    return "\n".join(lines) + "\n"


def example() -> str:
    """The worked example."""
    return f"```text\n{worked_example.build().text()}\n```\n"


def routes() -> str:
    """Method, path, standing and meaning of each route of the ledger API."""
    document = create_app(
        Database("sqlite://"), jobs=_NoJobs(), desk=_NoDesk(), bundle=print, store=MemoryStore()
    ).openapi()
    lines = ["| request | standing | answer |", "|---|---|---|"]
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            asked = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
            filters = [f"`{name}`" for name in asked if name not in {"limit", "after"}]
            meaning = operation["description"] + (f" By {', '.join(filters)}." if filters else "")
            standing = operation["x-least-standing"].replace("nobody", "anybody")
            lines.append(f"| `{method.upper()} {path.removeprefix('/v1')}` | {standing} | {meaning} |")
    return "\n".join(lines) + "\n"


class _NoJobs(Verifications):
    """Stands where replays would be: the routes are to be listed, not used."""

    def __init__(self) -> None:
        pass


class _NoDesk(Desk):
    """Stands where people would sign in, and be recorded."""

    def __init__(self) -> None:
        self.log = AccessLog.__new__(AccessLog)


PARTS: dict[str, Callable[[], str]] = {
    "routes": routes,
    "checks": table_of_checks,
    "gas": gas,
    "deployed code": deployed_code,
    "events and getters": events_and_getters,
    "worked example": example,
}


def made(name: str) -> str:
    """Make the part of that name; a command with ``--help`` is a part, too."""
    words = name.split()
    if words[0] == "fedledger" and words[-1] == "--help":
        return help_text(*words[1:-1])
    return PARTS[name]()


def renewed(text: str) -> str:
    """Return a page's text with all its generated parts made anew."""
    return PART.sub(lambda found: f"{found[1]}{found[2]}{made(found[1])}", text)


def main() -> int:
    """Write the pages whose generated parts have changed."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if renewed(text) != text:
            page.write_text(renewed(text), encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
