"""Makes the test bundles: ``python -m tests.audit.bundles.make FOLDER``; the same bytes every time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.audit.bundles import flaws_of_the_file, flaws_of_the_record
from tests.audit.bundles.case import CASES, policies

__all__ = ["MANIFEST", "files", "write"]

MANIFEST = "manifest.json"
REGISTERING = (flaws_of_the_file, flaws_of_the_record)


def files() -> dict[str, bytes]:
    """Return every file of the folder by its name."""
    made = {f"{name}.policy.json": policy.text().encode() for name, policy in policies().items()}
    listed = []
    for name, case in sorted(CASES.items()):
        made[f"{name}.bundle"] = case.make()
        listed.append(
            {
                "bundle": f"{name}.bundle",
                "policy": f"{case.policy}.policy.json",
                "holds": case.check is None,
                "check": case.check,
                "flaw": case.flaw,
            }
        )
    made[MANIFEST] = (json.dumps(listed, indent=1, ensure_ascii=False) + "\n").encode()
    return made


def write(folder: Path) -> Path:
    """Write them to a folder, which is made."""
    folder.mkdir(parents=True)
    for name, data in files().items():
        (folder / name).write_bytes(data)
    return folder


def main() -> int:
    """Write them to the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.stderr.write("expected a folder to make\n")
        return 2
    write(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
