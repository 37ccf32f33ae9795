"""``fedledger login``, ``logout`` and ``whoami``: sign-in to an auditors' service."""

from __future__ import annotations

import ipaddress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from aggregator.config import KeyConfig
from cli.access import passphrase_option, signer_of
from cli.output import Output, format_option
from ledger.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.access.records import WhoAmI
    from api.client import Client

__all__ = ["api_option", "login", "logout", "signed_in", "whoami"]

F = TypeVar("F", bound="Callable[..., Any]")


def api_option(command: F) -> F:
    """Add ``--api`` and hand the command the service's ``url``, checked."""

    @click.option("--api", required=True, help="The service's address, e.g. https://ledger.example.org.")
    @wraps(command)
    def with_url(*args: Any, api: str, **kwargs: Any) -> Any:
        return command(*args, url=_checked(api), **kwargs)

    return with_url  # type: ignore[return-value]


@click.command()
@api_option
@click.option(
    "--key", type=click.Path(path_type=Path), help="Keystore file of the key that signs; none to renew."
)
@passphrase_option
@click.option("--browser", is_flag=True, help="Print a code, too, that lets a browser in.")
def login(url: str, key: Path | None, passphrase_file: Path | None, *, browser: bool) -> None:
    """Sign in to an auditors' service with a key of the consortium.

    The token lies in a file of yours and is good for 15 minutes. Without --key it is renewed, up to 12 hours
    after the sign-in. A browser is let in with a code, good once within two minutes, and has a token of its
    own.
    """
    from api.access.saved import SavedTokens  # noqa: PLC0415 - help needs no FastAPI
    from api.client import Client  # noqa: PLC0415 - as above

    if key is None:
        client = signed_in(url)
        client.renew()
    else:
        client = Client(url)
        made = client.sign_in(signer_of(KeyConfig(key, passphrase_file)))
        SavedTokens().put(url, made.token)
    output = Output("text")
    output.say(f"{url}: {_said(client.who_am_i())}")
    if browser:
        code = client.browser_code()
        output.say(f"open {url}/sign-in and enter this code, once, until {code.expires}:")
        output.say(code.code)


@click.command()
@api_option
def logout(url: str) -> None:
    """End the sign-in to an auditors' service."""
    from api.access.saved import SavedTokens  # noqa: PLC0415 - as above
    from api.client import Client  # noqa: PLC0415 - as above

    saved = SavedTokens()
    token = saved.get(url)
    if token is not None:
        Client(url, token=token).sign_out()
        saved.forget(url)
    Output("text").say(f"{url}: signed out")


@click.command()
@api_option
@format_option
def whoami(url: str, format_: str) -> None:
    """Say as whom you are signed in, and what you are to the consortium now."""
    who = signed_in(url).who_am_i()
    output = Output(format_)
    output.say(_said(who))
    output.document(who.model_dump())


def signed_in(url: str) -> Client:
    """Return a client with the token of ``login``.

    Raises:
        UsageError: there is none.
    """
    from api.access.saved import SavedTokens  # noqa: PLC0415 - as above
    from api.client import Client  # noqa: PLC0415 - as above

    token = SavedTokens().get(url)
    if token is None:
        raise UsageError(f"not signed in to {url}", expected="`fedledger login --key` first")
    return Client(url, token=token)


def _said(who: WhoAmI) -> str:
    what = [*([] if who.member is None else [f"member {who.member}"]), *who.roles]
    return f"{who.account}, {', '.join(what)}, until {who.expires}"


def _checked(api: str) -> str:
    """Return an address without a slash at its end.

    Raises:
        UsageError: it is none, or a token for it would go over the network in the clear.
    """
    url = api.rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = bool(parts.path or parts.query or parts.fragment or "@" in parts.netloc or not host)
    except ValueError:
        raise UsageError("--api", expected="an address such as https://ledger.example.org") from None
    if plain or parts.scheme not in {"http", "https"}:
        raise UsageError("--api", expected="an address such as https://ledger.example.org")
    if parts.scheme == "http" and not _of_this_machine(host):
        raise UsageError("--api", expected="https, or an address of this machine", got=f"http://{host}")
    return url


def _of_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
