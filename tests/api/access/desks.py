"""A service at which keys sign in, on a small consortium whose ledger and clocks tests move."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests
from eth_account import Account
from eth_account.messages import encode_defunct

from api.access.callers import Freshness, Registry, signed_in
from api.access.desk import Desk
from api.access.log import AccessLog
from api.access.message import SignInMessage
from api.access.tokens import Tokens
from api.app import create_app
from api.index.indexer import Indexer
from api.verifications import Verifications
from audit.findings import AuditReport
from benchmarks.ledger_rows import DEPLOYMENT
from ledger import records as r
from ledger.commitments import ZERO
from storage import MemoryStore
from tests.api.index.worlds import ForkingChain, opened, sqlite
from tests.api.rest.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    from api.access.guard import GuardConfig

START = 1_800_000_000.0
KEYS: dict[str, LocalAccount] = {
    name: Account.from_key(bytes(31) + bytes([number]))
    for number, name in enumerate(("member", "auditor", "operator", "aggregator", "stranger"), start=1)
}


def account(name: str) -> bytes:
    """Return the address of a key."""
    return bytes.fromhex(KEYS[name].address[2:])


class World:
    """A consortium with a member, an auditor, an operator and an aggregator, and the service on its index.

    Attributes:
        now: the service's clock.
        ticks: its clock that never goes back.
        store: payloads.
    """

    def __init__(self, folder: Path, database: Any, guard: GuardConfig | None = None) -> None:
        self.now, self.ticks = START, 0.0
        self.chain, self.database = ForkingChain(5), database
        self._indexer = Indexer(database, self.chain, DEPLOYMENT, approval_percent=0, predecessor=ZERO)
        self.fresh = Freshness(lambda: self.ticks)
        self.store = MemoryStore()
        tokens = Tokens(folder / "access.sqlite", lambda: self.now)
        registry = Registry(database, self.fresh.lasts)
        chain_id = self.chain.chain_id
        log = AccessLog(folder / "access-log.sqlite")
        self.desk = Desk("", chain_id, tokens, registry, clock=lambda: self.now, log=log)
        jobs = Verifications(folder / "jobs", lambda _run, _progress: AuditReport())
        self.app = create_app(
            database,
            caller=signed_in(self.desk),
            jobs=jobs,
            desk=self.desk,
            bundle=lambda _run, _round, path: path.write_bytes(b"a bundle"),
            store=self.store,
            guard=guard,
        )
        self.http = requests.Session()
        self.happens(r.KeyRotated(0, self.chain.ledger.account_of(0), account("member"), bytes(32), 6))
        for name, role in (("auditor", 4), ("operator", 1), ("aggregator", 2)):
            self.happens(r.RolesChanged(account(name), role))
        self.read()

    def happens(self, event: Any) -> None:
        """Let an event of the consortium happen, in a block of its own."""
        self.chain.ledger._emit(self.chain.ledger.account_of(0), event)
        self.chain.mine()

    def read(self) -> None:
        """Bring the index up to date."""
        while self._indexer.step():
            pass
        self.fresh.note()

    def terms(self) -> dict[str, Any]:
        """Ask for what a message must say."""
        answer = self.ask("/sign-in/nonce", method="POST")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def message(self, name: str, **changes: Any) -> SignInMessage:
        """Return a good message of a key, or one with other fields."""
        terms = self.terms()
        fields = terms | {"chain_id": int(terms["chain_id"]), "address": KEYS[name].address}
        return SignInMessage(**(fields | changes))

    def send(self, text: str, signature: bytes) -> Any:
        """Sign in with a text and a signature."""
        wanted = {"message": text, "signature": "0x" + signature.hex()}
        return self.ask("/sign-in", method="POST", json=wanted)

    def sign_in(self, name: str, **changes: Any) -> Any:
        """Sign in with a key."""
        text = str(self.message(name, **changes))
        return self.send(text, signed(name, text))

    def token(self, name: str) -> str:
        """Sign in with a key, and return the token."""
        answer = self.sign_in(name)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def ask(self, path: str, token: str | None = None, method: str = "GET", **options: Any) -> Any:
        """Ask with a token."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.request(method, f"{self.desk.url}/v1{path}", headers=headers, timeout=30, **options)


def signed(name: str, text: str) -> bytes:
    """Return the signature of a text by a key."""
    return bytes(KEYS[name].sign_message(encode_defunct(text=text)).signature)


@contextmanager
def world(folder: Path, guard: GuardConfig | None = None) -> Iterator[World]:
    """Make a consortium and its service."""
    with opened(sqlite(folder / "index.sqlite")) as database:
        made = World(folder, database, guard)
        with serving(made.app) as service, made.http:
            made.desk.url = service.url
            yield made
        made.desk.close()
