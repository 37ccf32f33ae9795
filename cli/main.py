"""The ``fedledger`` command.

Exit codes: 0 done, or all holds; 1 something was checked and does not hold; 2 wrong usage or unusable data; 3
it could not be found out, or the machine failed; 130 and 143 stopped by SIGINT and SIGTERM. Whatever goes
wrong is one line on standard error, never a traceback.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING, ClassVar, NoReturn

import click

from ledger.errors import FedledgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["cli", "main"]


class _Commands(click.Group):
    """Loads a verb's file only when that verb is used: an audit needs no torch."""

    _verbs: ClassVar[dict[str, str]] = {
        "aggregator": "cli.aggregator",
        "api": "cli.api",
        "audit": "cli.audit",
        "demo": "cli.demo",
        "deploy": "cli.deploy",
        "devnet": "cli.devnet",
        "keys": "cli.keys",
        "member": "cli.member",
        "node": "cli.node",
        "plan": "cli.plan",
        "preflight": "cli.preflight",
        "run": "cli.run",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._verbs:
            return None
        command: click.Command = getattr(import_module(self._verbs[cmd_name]), cmd_name)
        return command


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(version("fedledger"), prog_name="fedledger")
def cli() -> None:
    """Federated learning for medical consortia, audited by a blockchain."""


def main() -> NoReturn:
    """Run the command line and exit with the documented code."""
    _on_signals(_stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot spell stops nothing
    try:
        code = cli.main(sys.argv[1:] or ["--help"], standalone_mode=False)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fedledger"
        _fail(f"{where}: {' '.join(error.format_message().split())}", 2)
    except FedledgerError as error:
        _fail(f"fedledger: {error}", error.exit_code)
    except OSError as error:  # a full disk, a path that no file system takes
        _fail(f"fedledger: {error.strerror or error}: {error.filename or 'a file'}", 3)
    except _Stopped as stopped:
        _on_signals(signal.SIG_IGN)  # nothing is left to stop
        _fail("fedledger: stopped", stopped.code)
    sys.exit(code if isinstance(code, int) else 0)


class _Stopped(BaseException):
    """A signal asked the process to end; on the way out what was not finished is removed."""

    def __init__(self, number: int) -> None:
        self.code = 128 + number


def _on_signals(handler: signal.Handlers | Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    """Raise ``_Stopped``, unless it is on its way already: impatience must not interrupt the clearing up."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, _Stopped):
            return
        error = error.__context__
    raise _Stopped(number)


def _fail(line: str, code: int) -> NoReturn:
    sys.stderr.write("".join(c if c.isprintable() else "�" for c in line) + "\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
