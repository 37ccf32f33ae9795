"""``fedledger access-log``: who looked at what in an auditors' service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.login import api_option, signed_in
from cli.output import Output, format_option

if TYPE_CHECKING:
    from api.access.records import AccessLogEntry

__all__ = ["access_log"]


@click.command(name="access-log")
@api_option
@click.option("--anew", is_flag=True, help="Forget how far you followed it, and begin where it begins now.")
@format_option
@click.pass_context
def access_log(ctx: click.Context, /, url: str, *, anew: bool, format_: str) -> None:
    """Show who looked at what since you last asked, for members.

    Checks that the log goes on from the entry that you saw last, which is kept beside your token: nothing
    that you have seen was changed or taken away since.

    Exit code: 0 it goes on, 1 it does not, 2 wrong usage, 3 it could not be found out.
    """
    from api.access.following import Following  # noqa: PLC0415 - help needs no FastAPI
    from api.access.saved import SavedPlaces  # noqa: PLC0415 - as above

    client, saved, output = signed_in(url), SavedPlaces(), Output(format_)
    following = Following(None if anew else saved.get(url), client.access_log_head())
    first = following.place.number + 1
    shown = []
    for entry in following.entries(client.access_log(after=following.place.number)):
        output.say(_line(entry))
        shown.append(entry.model_dump())
    holds = following.finding is None
    if holds:
        saved.put(url, following.place)
        output.say(f"access log: holds; entries {first} to {following.place.number}")
    else:
        output.say(f"access log: DOES NOT HOLD: {following.finding}")
    output.document({"holds": holds, "finding": following.finding, "entries": shown})
    ctx.exit(0 if holds else 1)


def _line(entry: AccessLogEntry) -> str:
    path = entry.route
    for name, value in entry.resource.items():
        path = path.replace(f"{{{name}}}", value)
    return (
        f"{entry.number} {entry.time} {entry.account} {entry.standing}: {entry.method} {path} {entry.status}"
    )
