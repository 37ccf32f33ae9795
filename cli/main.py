"""The ``fedledger`` command.

Exit codes: 0 done, or all holds; 1 something was checked and does not hold; 2 wrong usage or unusable data; 3
it could not be found out, or the machine failed; 130 and 143 stopped by SIGINT and SIGTERM. Whatever goes
wrong is one line on standard error, never a traceback.
"""

from __future__ import annotations

import difflib
import signal
import sys
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING, ClassVar, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from cli.refusals import explained
from ledger.errors import ContractError, FedledgerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["cli", "main"]


class _Commands(click.Group):
    """Loads a verb's file only when that verb is used: an audit needs no torch, and help needs nothing.

    Of each verb: its file, and the line that the list of all shows.
    """

    _verbs: ClassVar[dict[str, tuple[str, str]]] = {
        "access-log": ("cli.access_log", "Show who looked at what in an auditors' service."),
        "aggregator": ("cli.aggregator", "Run an aggregator."),
        "api": ("cli.api", "Answer questions about a ledger from an index, over HTTP."),
        "audit": ("cli.audit", "Replay a federation from its chain and payloads, byte for byte."),
        "bundle": ("cli.bundle", "Make proof bundles, policies, and signed statements."),
        "demo": ("cli.demo", "Train a model among hospitals on this machine, and audit it."),
        "deploy": ("cli.deploy", "Create the contracts of a new consortium."),
        "devnet": ("cli.devnet", "Serve a chain on this machine, for trying things out."),
        "keys": ("cli.keys", "Make and look at keys in Ethereum keystore files."),
        "login": ("cli.login", "Sign in to an auditors' service."),
        "logout": ("cli.login", "End the sign-in to an auditors' service."),
        "member": ("cli.member", "List the members, and vote on members and roles."),
        "model": ("cli.model", "Fetch the model of a certified round."),
        "network": ("cli.network", "Write the network file of a consortium that is there."),
        "node": ("cli.node", "Set up and run a member's node."),
        "plan": ("cli.plan", "Draft a training plan, propose it, and vote on it."),
        "preflight": ("cli.preflight", "Check everything that a node needs."),
        "run": ("cli.run", "Start, join and watch runs."),
        "verify": ("cli.verify", "Judge a proof bundle, with no network."),
        "whoami": ("cli.login", "Say as whom you are signed in to an auditors' service."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._verbs:
            return None
        file, _ = self._verbs[cmd_name]
        command: click.Command = getattr(import_module(file), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a verb; of one that is not there the nearest is named, as click does for those it knows."""
        near = difflib.get_close_matches(args[0], self._verbs, 1)
        if args[0] not in self._verbs and near:
            ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, self._verbs[verb][1]) for verb in self.list_commands(ctx)])


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
    except NoArgsIsHelpError as error:  # a group without a verb, like the command without anything
        click.echo(error.ctx.get_help())
        code = 0
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "fedledger"
        _fail(f"{where}: {' '.join(error.format_message().split())}", 2)
    except ContractError as error:
        _fail(f"fedledger: {explained(error)}", explained(error).exit_code)
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
