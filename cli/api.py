"""``fedledger api``: the auditors' service."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aggregator.config import ChainConfig
from aggregator.connection import open_ledger
from api.access.callers import Freshness, Registry, signed_in
from api.access.desk import Desk
from api.access.log import AccessLog
from api.access.tokens import Tokens
from api.access.wallets import Wallets
from api.app import create_app
from api.config import ApiConfig
from api.index.database import Database
from api.index.documents import Documents
from api.index.indexer import Indexer
from api.rest import callers
from api.verifications import Verifications
from audit.bundles.export import export_bundle, make_policy
from audit.live import audit_live
from cli.access import network_file_option
from cli.http_server import answering
from cli.output import Output
from cli.saved_service import serve_saved
from cli.service import Monitor, log, serve, set_up_logs
from cli.settings import MONITORING, Begun, asked_option, quoted, store_section
from contracts.client import Deployment
from contracts.endpoints import connect
from ledger.errors import UsageError
from storage import DirectoryStore, LocalFirst
from storage.files import owned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from fastapi import Request

    from api.config import ListenConfig
    from api.rest.callers import Caller
    from audit.bundles.policy import Policy
    from contracts.chain import Chain

__all__ = ["api"]

_config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="api.toml",
    show_default=True,
    help="Its settings, which `fedledger api init` writes.",
)


@click.group()
def api() -> None:
    """Answer auditors' questions about a ledger, from an index that anyone can make again."""


@api.command()
@network_file_option
@asked_option("--store", help="The shared payloads: a folder, or multiaddrs of IPFS daemons.")
@click.option(
    "--state", type=click.Path(path_type=Path), default="state", show_default=True, help="Own folder."
)
@click.option("--public", is_flag=True, help="Answer everybody without a sign-in, on loopback only.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="api.toml", show_default=True, help="File to write."
)
def init(network: Path, store: str, state: Path, *, public: bool, out: Path) -> None:
    """Write the service's settings with a comment on each. A terminal is asked for what is missing."""
    begun = Begun("", state, out)
    text = _TEMPLATE.format(
        chain=ChainConfig.read(network).toml(),
        store=store_section(store, out),
        public="true" if public else "false",
        state=quoted(begun.spelled(state)),
        monitoring=MONITORING,
    )
    begun.write(text)
    ApiConfig.read(out)
    Output("text").say(f"{out}: now `fedledger api serve --config {out}`")


_TEMPLATE = """\
# Settings of the auditors' service. Paths that are not absolute start at this file's folder.

{chain}
{store}
[listen]
# An IP address of this machine, and a port; 0 for any free one.
host = "127.0.0.1"
port = 8600
# Answer everybody without a sign-in; on loopback only.
public = {public}
# Certificate and private key (PEM) for TLS, unless a proxy has them.
# tls_certificate = "certificate.pem"
# tls_key = "key.pem"
# Requests of one caller in a minute; a sixth of them may come at once.
requests_per_minute = 600
# Proxies before it: addresses or networks whose X-Forwarded-For says who asks. Otherwise all who come through
# a proxy and are not signed in count as one.
# proxies = ["127.0.0.1"]
# Where users find it, if not at host and port. Beyond loopback and without TLS of its own it must be set, or
# nobody can sign in: the address of the proxy that has TLS.
# url = "https://ledger.example.org"

[api]
# Its own folder: the index, and the outcomes of replays. The index can be made again at any time.
state = {state}
# The index's database, unless it is an SQLite file in that folder. Its password is another file's first line.
# database = "postgresql://fedledger@127.0.0.1/fedledger"
# database_password_file = "database.password"
# Seconds between looks at the chain.
poll_seconds = 2

{monitoring}"""


@api.command(name="serve")
@_config_option
@click.option(
    "--demo",
    "folder",
    type=click.Path(path_type=Path),
    help="Instead: a folder that `fedledger demo` wrote, for everybody on this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="With --demo: port on loopback.  [default: 8600, or any free one]",
)
def serve_(config: Path, folder: Path | None, port: int | None) -> None:
    """Follow the chain and answer over HTTP, until a signal comes."""
    if folder is not None:
        serve_saved(folder, Output("text"), port=port)
        return
    if port is not None:
        raise UsageError("--port", expected="with --demo alone; api.toml has it otherwise")
    settings = ApiConfig.read(config)
    set_up_logs(settings.monitoring.log)
    monitor = Monitor("api")
    settings.state.mkdir(parents=True, exist_ok=True)
    with owned(settings.state / "lock", f"the state in {settings.state}", "api"):
        database = Database(settings.database_url, password=settings.database_password())
        database.migrate()
        jobs = Verifications(settings.state / "verifications", lambda *asked: _replay(settings, *asked))
        ending = threading.Event()
        bundles = settings.state / "bundles"
        shutil.rmtree(bundles, ignore_errors=True)  # what a killed service left unfinished
        bundles.mkdir()
        fresh = Freshness()
        desk = _desk(settings, database, fresh)
        app = create_app(
            database,
            caller=_caller(settings.listen, desk),
            jobs=jobs,
            desk=desk,
            bundle=lambda *asked: _export(settings, *asked),
            bundle_folder=bundles,
            policy=lambda: _policy(settings),
            health_of=monitor.health,
            stopping=ending.is_set,
            guard=settings.listen.guard,
            store=settings.store.open(),
        )
        with answering(app, settings.listen, ending) as address:
            log.info("answers on %s, programs below /v1", address)
            serve(
                monitor, settings.monitoring, settings.poll_seconds, lambda: _open(settings, database, fresh)
            )
        database.close()
        if desk is not None:
            desk.close()


def _desk(settings: ApiConfig, database: Database, fresh: Freshness) -> Desk | None:
    """Return where people sign in; None where everybody is answered, or where users find it is not known."""
    url = settings.listen.address
    if settings.listen.public:
        return None
    if url is None:
        log.warning("nobody can sign in: api.toml: [listen] url is not set")
        return None
    tokens = Tokens(settings.state / "access.sqlite", time.time)
    log_of_looks = AccessLog(settings.state / "access-log.sqlite")
    registry, chain = Registry(database, fresh.lasts), settings.chain
    wallets = Wallets(lambda: connect(chain.endpoints, chain_id=chain.chain_id), registry.block)
    return Desk(url, chain.chain_id, tokens, registry, log=log_of_looks, wallets=wallets)


def _caller(listen: ListenConfig, desk: Desk | None) -> Callable[[Request], Awaitable[Caller]]:
    if listen.public:
        return callers.public
    return callers.nobody if desk is None else signed_in(desk)


def _replay(settings: ApiConfig, run: int, progress: Callable[[int, int], None]) -> Any:
    chain = connect(settings.chain.endpoints, chain_id=settings.chain.chain_id)
    store = settings.store.open()
    return audit_live(chain, settings.chain.round_ledger, store, run=run, progress=progress)


def _ledger(config: ChainConfig) -> tuple[Chain, Deployment]:
    chain = connect(config.endpoints, chain_id=config.chain_id)
    return chain, Deployment(config.consortium, config.round_ledger, config.first_block)


def _policy(settings: ApiConfig) -> Policy:
    config = settings.chain
    return make_policy(*_ledger(config), ["members"], confirmations=config.confirmations)


def _export(settings: ApiConfig, run: int, round_: int, out: Path) -> None:
    config = settings.chain
    chain, deployment = _ledger(config)
    with tempfile.TemporaryDirectory(prefix="fedledger-bundle-") as scratch:
        payloads = LocalFirst(DirectoryStore(Path(scratch)), settings.store.open())
        export_bundle(chain, deployment, payloads, run, round_, out, confirmations=config.confirmations)


def _open(
    settings: ApiConfig, database: Database, fresh: Freshness
) -> Callable[[], Iterator[tuple[str, dict[str, int]]]]:
    indexer, documents = _indexing(settings, database)
    log.info("index of ledger %s", indexer.ledger)

    def turn() -> Iterator[tuple[str, dict[str, int]]]:
        if indexer.step():
            yield "read a page of the chain", {}
        if indexer.up_to_date:
            fresh.note()
        if documents.sweep():  # some at a time: whose role was taken away is not to wait for all
            yield "read documents", {}

    return turn


def _indexing(settings: ApiConfig, database: Database) -> tuple[Indexer, Documents]:
    follower = open_ledger(settings.chain)
    indexer = Indexer.of(
        database, follower.chain, follower.deployment, confirmations=settings.chain.confirmations
    )
    return indexer, Documents(database.writer, settings.store.open(), indexer.ledger)


@api.group()
def index() -> None:
    """Look after the index."""


@index.command()
@_config_option
def rebuild(config: Path) -> None:
    """Throw the index away and make it anew from chain and payloads. The service must not run meanwhile."""
    settings = ApiConfig.read(config)
    set_up_logs(settings.monitoring.log)
    settings.state.mkdir(parents=True, exist_ok=True)
    with owned(settings.state / "lock", f"the state in {settings.state}", "api"):
        database = Database(settings.database_url, password=settings.database_password())
        database.migrate()
        database.clear()
        indexer, documents = _indexing(settings, database)
        log.info("reading ledger %s", indexer.ledger)
        while indexer.step():
            log.info("read up to block %d", indexer.read_up_to)
        while documents.sweep():
            pass
        database.close()
    Output("text").say(f"the index of ledger {indexer.ledger} is made, up to block {indexer.read_up_to}")
