"""A consortium whose roles reach the outside only through calls that a test can break, or die in.

A role's outside is the chain, the shared payload store, its own directory and its journal. Each call to one
of them has a name (``shared.put_file``, ``chain.transact.commit``) and can end in four ways: as it should;
lost before it happened; done, with its reply lost; and with the death of the process before or after it.
The calls to the chain can also be those on the wire (``rpc.eth_call``).

A role that dies keeps what its directory holds at that moment, as a copy: nothing is closed, flushed or
cleaned up after it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.providers import BaseProvider

from aggregator.service import AggregatorService
from contracts.chain import Chain
from contracts.follower import Follower
from contracts.local import faucet
from ledger import records
from ledger.cid import PayloadHasher
from ledger.commitments import commitment, leaf
from ledger.errors import ChainError, FedledgerError, UnavailableError
from node.journal import Journal
from node.service import NodeService
from storage import DirectoryStore, LocalFirst
from storage.files import pieces
from tests.consortium import Sandbox, address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    Around = Callable[[str, Callable[[], Any]], Any]
    """Makes a call of a name, or breaks it."""

OUTSIDE = {
    "shared": ("put", "put_file", "get", "fetch", "document", "verify", "has"),
    "local": ("put", "put_file", "adopt", "get", "fetch", "document", "verify", "has", "intact"),
    "chain": ("head", "block", "next_time", "call", "transact", "history"),
    "journal": ("contribution", "intend", "report", "reported", "accepted"),
}
"""Methods that reach the outside, by place."""

_ERRORS: dict[str, type[Exception]] = {"chain": ChainError, "rpc": ConnectionError}
"""What a broken call raises, by place; ``UnavailableError`` elsewhere."""

_ENDLESS = 3000
"""Laps after which a test has gone astray."""


class Killed(BaseException):
    """The process is gone: nobody catches this but the one who starts it anew."""


def plainly(_name: str, call: Callable[[], Any]) -> Any:
    """Make a call as it should be made."""
    return call()


class Broken:
    """Breaks the calls of one name by their number, and passes all others on.

    Args:
        name: which calls.
        lost: numbers, from 1, of those that never happen.
        unanswered: numbers of those that happen and whose reply is lost.

    Attributes:
        calls: how often each call was made, by name.
        broken: how many it broke.
    """

    def __init__(self, name: str, *, lost: tuple[int, ...] = (), unanswered: tuple[int, ...] = ()) -> None:
        self._name = name
        self._lost = lost
        self._unanswered = unanswered
        self.calls: Counter[str] = Counter()
        self.broken = 0

    def __call__(self, name: str, call: Callable[[], Any]) -> Any:
        """Make a call, or break it."""
        self.calls[name] += 1
        if name != self._name:
            return call()
        error = _ERRORS.get(name.partition(".")[0], UnavailableError)
        if self.calls[name] in self._lost:
            self.broken += 1
            raise error(f"a call was lost: {name}")
        answer = call()
        if self.calls[name] in self._unanswered:
            self.broken += 1
            raise error(f"a reply was lost: {name}")
        return answer


class Wrapped:
    """An object whose calls to the outside are made by somebody else.

    Args:
        inner: the object.
        place: what it is to a role, as in ``OUTSIDE``.
        around: makes the calls.
    """

    def __init__(self, inner: Any, place: str, around: Around) -> None:
        self._inner = inner
        self._place = place
        self._around = around

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in OUTSIDE[self._place]:
            return attribute

        def called(*arguments: Any, **options: Any) -> Any:
            # What a chain is asked to do has its function among the arguments.
            function = {"transact": arguments[3:4], "call": arguments[2:3]}.get(name, ())
            full = ".".join([self._place, name, *function])
            return self._around(full, lambda: attribute(*arguments, **options))

        return called


class _Line(BaseProvider):
    """The wire between a role and the sandbox's chain."""

    def __init__(self, inner: Any, around: Around) -> None:
        super().__init__()
        self._inner = inner
        self._around = around

    def request_func(self, w3: Any, middleware_onion: Any) -> Any:
        request = self._inner.request_func(w3, middleware_onion)
        return lambda method, params: self._around(f"rpc.{method}", lambda: request(method, params))


class Service:
    """A role as a process that its supervisor starts anew when it ends.

    Args:
        home: the directory of all that it keeps.
        start: builds it from that directory; whatever must be closed when it ends enters the stack.
        restart: whether it is started anew after an error, too.

    Attributes:
        errors: what its steps failed with.
        deaths: how often it was killed.
    """

    def __init__(self, home: Path, start: Callable[[Path, ExitStack], Any], *, restart: bool) -> None:
        self.home = home
        self._start = start
        self._restart = restart
        self._role: Any = None
        self._held = ExitStack()
        self._graves = ExitStack()
        self.errors: list[FedledgerError] = []
        self.deaths = 0

    def step(self) -> str | None:
        """Take a turn; a failure or a death is one, too."""
        try:
            if self._role is None:
                self._role = self._start(self.home, self._held)
            done: str | None = self._role.step()
        except FedledgerError as error:
            self.errors.append(error)
            if self._restart:
                self._role = None
            if self._role is None:
                self._held.close()
            return "failed"
        except Killed:
            self._die()
            return "killed"
        return done

    def _die(self) -> None:
        """Go on from a copy of the directory. The old files stay open, so that nothing tidies them up."""
        self._graves.push(self._held.pop_all())
        self._role = None
        self.deaths += 1
        grave = self.home
        self.home = grave.with_name(f"{grave.name.partition('.')[0]}.{self.deaths}")
        shutil.copytree(grave, self.home)

    def close(self) -> None:
        """Close everything, also what the dead left open."""
        self._held.close()
        self._graves.close()


class Consortium:
    """Three hospitals and an aggregator, each a ``Service`` with a breakable outside.

    Args:
        root: an empty directory.
        around: makes each role's calls, by member index or None for the aggregator.
        rounds: certified rounds after which the run is complete.
        confirmations: depth at which all roles read the chain.
        restart: whether a role that fails is started anew.
        members: how many hospitals.
        aggregator_alive: whether the aggregator takes part.
        by_line: whether the calls to the chain are those on the wire, and not those of ``Chain``.
    """

    def __init__(
        self,
        root: Path,
        around: Callable[[int | None], Around],
        *,
        rounds: int = 1,
        confirmations: int = 0,
        restart: bool = False,
        members: int = 3,
        aggregator_alive: bool = True,
        by_line: bool = False,
    ) -> None:
        self.sandbox = Sandbox(root, members=members, rounds=rounds)
        self.rounds = rounds
        self._confirmations = confirmations
        self._by_line = by_line
        # The sandbox's own nodes joined, and own the journals. Ours start from nothing.
        self.sandbox.local._closing.close()
        shutil.rmtree(root / "state")
        (root / "state").mkdir()
        for account in self.sandbox.local.accounts:
            self.sandbox.ledger.leave(account, self.sandbox.local.run)
        self.members = [self._service(member, around(member), restart=restart) for member in range(members)]
        self.services = list(self.members)
        if aggregator_alive:
            self.services.append(self._service(None, around(None), restart=restart))

    def close(self) -> None:
        """Close all journals."""
        for service in self.services:
            service.close()
        self.sandbox.close()

    def _service(self, member: int | None, around: Around, *, restart: bool) -> Service:
        home = self.sandbox.root / "state" / ("aggregator" if member is None else f"member-{member}")
        home.mkdir()

        def start(place: Path, held: ExitStack) -> Any:
            return (
                self._aggregator(place, around) if member is None else self._node(member, place, around, held)
            )

        return Service(home, start, restart=restart)

    def _store(self, place: Path, around: Around) -> LocalFirst:
        local: Any = Wrapped(DirectoryStore(place), "local", around)
        shared: Any = Wrapped(self.sandbox.shared, "shared", around)
        return LocalFirst(local, shared)

    def _follower(self, around: Around) -> Follower:
        chain: Any = Wrapped(self.sandbox.chain, "chain", around)
        if self._by_line:
            chain = Chain(Web3(_Line(self.sandbox.chain._provider, around)))
        return Follower(chain, self.sandbox.local.deployment, confirmations=self._confirmations)

    def _aggregator(self, home: Path, around: Around) -> AggregatorService:
        store = self._store(home / "payloads", around)
        key, run = self.sandbox.aggregator_key, self.sandbox.local.run
        return AggregatorService(self._follower(around), key, store, run)

    def _node(self, member: int, home: Path, around: Around, held: ExitStack) -> NodeService:
        opened = Journal(home / "journal.sqlite", str(self.sandbox.local.ledger_id))
        held.callback(opened.close)
        journal: Any = Wrapped(opened, "journal", around)
        opened.accept(self.sandbox.plan.digest)
        node = NodeService(
            self._follower(around),
            self.sandbox.local.accounts[member],
            self._store(home / "payloads", around),
            journal,
            self.sandbox.local.run,
            data=self.sandbox.hospitals[member].frame,
            seed=self.sandbox.seed,
        )
        node.join()
        return node

    # -- playing ------------------------------------------------------------------------------------------

    def play(self) -> list[str]:
        """Give everyone turns until the run is complete and nobody has anything left to do.

        Returns:
            The certified models' digests.
        """
        self.play_until(lambda: self.is_complete)
        return self.models

    def play_until(self, done: Callable[[], bool]) -> None:
        """Give everyone turns until nobody has anything left to do, and this holds then."""
        for _ in range(_ENDLESS):
            if self._lap():
                continue
            self.mine(self._confirmations)
            if self._lap():
                continue
            if done():
                return
            self.sandbox.chain.skip(self.sandbox.local._wait())
            self.mine(min(self._confirmations, 1))
        raise AssertionError("the run does not come to its end")

    def _lap(self) -> bool:
        acted = [service.step() for service in self.services if service in self.members or self._all_joined]
        return any(acted)

    @property
    def _all_joined(self) -> bool:
        """A round that is opened before would be without some, and not the one to compare with."""
        return self.sandbox.run.joined.bit_count() == len(self.members)

    def mine(self, blocks: int) -> None:
        """Let time pass on chain, with nothing in it."""
        for _ in range(blocks):
            self.sandbox.chain.transfer(faucet(), bytes(19) + b"\xff", 1)

    @property
    def is_complete(self) -> bool:
        """Whether the plan's rounds are certified."""
        return len(self.sandbox.run.certified()) == self.rounds

    @property
    def models(self) -> list[str]:
        """Digests of the certified models, in order."""
        local = self.sandbox.local
        return [local.result(state.result).model.digest.hex() for state in self.sandbox.run.certified()]

    @property
    def deaths(self) -> int:
        """How often somebody was killed."""
        return sum(service.deaths for service in self.services)

    def require_nothing_lost_or_done_twice(self) -> None:
        """Fail unless chain, journals and directories are as they must be after any faults."""
        self.sandbox.local.view.update()
        require_no_step_twice(
            self.sandbox.local.view, [*self.sandbox.local.accounts, self.sandbox.aggregator_key]
        )
        require_every_salt(self.sandbox.local.view, [service.home for service in self.members])
        folders = [service.home / "payloads" for service in self.services]
        require_whole_files([self.sandbox.shared.root, *folders])
        self.sandbox.require_audit_holds()


# -- what must be true, whatever happened -----------------------------------------------------------------


_KIND = {
    records.RoundOpened: "open",
    records.Committed: "commit",
    records.Revealed: "reveal",
    records.Proposed: "propose",
    records.Attested: "attest",
    records.AttestedLate: "attest",
    records.RoundAborted: "abort",
}


def require_no_step_twice(view: Follower, accounts: list[LocalAccount]) -> None:
    """Fail where a step is on chain twice, or was sent once more and refused on chain."""
    steps: Counter[tuple[object, ...]] = Counter()
    mined: dict[bytes, set[bytes]] = {}
    for recorded in view.history:
        event = recorded.event
        mined.setdefault(recorded.sender, set()).add(recorded.transaction)
        kind = _KIND.get(type(event))
        if kind is not None:
            # Another result may be proposed and attested to than at first; the same one only once.
            result = getattr(event, "result", None)
            steps[kind, getattr(event, "round", None), recorded.sender, result] += 1
    assert {step: number for step, number in steps.items() if number > 1} == {}
    for account in accounts:
        # One that was refused has no event, and has cost a nonce.
        nonce = view.chain._w3.eth.get_transaction_count(to_checksum_address(address(account)))
        assert nonce == len(mined.get(address(account), ()))


def require_every_salt(view: Follower, homes: list[Path]) -> None:
    """Fail unless the journal of each member opens each of its commitments."""
    ledger = view.replay.ledger
    for member, home in enumerate(homes):
        with closing(Journal(home / "journal.sqlite", str(ledger), owner=False)) as journal:
            for number, state in view.replay.runs[1].rounds.items():
                entry, committed = journal.contribution(1, number), state.commitments.get(member)
                if committed is not None:
                    assert entry is not None
                    opened = leaf(ledger, 1, number, member, entry.contribution)
                    assert commitment(opened, entry.salt) == committed


def require_whole_files(folders: list[Path]) -> None:
    """Fail where something stands under a payload's name that is not that payload."""
    for path in (path for folder in folders for path in folder.iterdir()):
        if path.name.startswith("."):
            continue  # what was being written under no payload's name
        hasher = PayloadHasher()
        for piece in pieces(path):
            hasher.update(piece)
        assert hasher.ref().cid == path.name


__all__ = [
    "OUTSIDE",
    "Broken",
    "Consortium",
    "Killed",
    "Service",
    "Wrapped",
    "plainly",
    "require_every_salt",
    "require_no_step_twice",
    "require_whole_files",
]
