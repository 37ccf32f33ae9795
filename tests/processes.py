"""A consortium whose roles are processes of the command, on a chain behind a URL and payloads in a folder.

What takes operators many commands is done here by calls, so that tests start where processes do.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aggregator.config import ChainConfig
from aggregator.rounds import open_result
from cli.settings import MONITORING, quoted, shared_sections
from contracts.client import Consortium, Founder, RoundLedger, deploy
from contracts.endpoints import connect
from contracts.follower import Follower
from contracts.keys import new_keystore, unlock
from ledger.records import LedgerId, Terms, quorum_of
from node.journal import Journal
from storage import DirectoryStore
from tests.chains import RICH
from tests.consortium import SEED, hospitals, plan_for
from tests.faults.outside import require_every_salt, require_no_step_twice, require_whole_files
from tests.federation import address, fund

if TYPE_CHECKING:
    from collections.abc import Callable

    from eth_account.signers.local import LocalAccount

    from ledger.replay import RunState


def free_port() -> int:
    """Return a loopback port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


FEDLEDGER = str(Path(sys.executable).with_name("fedledger"))
PASSPHRASE = "marker-of-a-passphrase-7f3a"
_READY = " on ledger "
"""In the line with which a service begins."""
PATIENCE = 180
"""Seconds after which a test has gone astray; nothing is measured by it."""


class Processes:
    """Members, an aggregator and their state, ready to be started, killed and started again.

    Args:
        root: an empty directory.
        url: the chain's endpoint; ``tests.chains.RICH`` has ether there.
        members: how many.
        rounds: certified rounds after which the run is complete.
        settings: of the chain in all settings files, e.g. ``confirmations=2``.
        terms: changes to the run's terms.
    """

    def __init__(
        self,
        root: Path,
        url: str,
        *,
        members: int = 3,
        rounds: int = 2,
        settings: dict[str, Any] | None = None,
        terms: dict[str, Any] | None = None,
    ) -> None:
        self.root = root
        self.members = members
        self.shared = DirectoryStore(root / "shared")
        self.keys = {who: self._key(who) for who in (*range(members), "aggregator")}
        self.chain = connect([url])
        fund(self.chain, self.keys.values(), RICH)
        founders = [Founder(address(self.keys[member])) for member in range(members)]
        aggregators = [address(self.keys["aggregator"])]
        deployment = deploy(self.chain, RICH, founders, operators=[address(RICH)], aggregators=aggregators)
        self.network = replace(ChainConfig.of((url,), self.chain.chain_id, deployment, 0), **(settings or {}))
        self.consortium = Consortium(self.chain, deployment.consortium)
        self.ledger = RoundLedger(self.chain, deployment.round_ledger)
        self.follower = Follower(self.chain, deployment)
        self.ledger_id = LedgerId(self.chain.chain_id, deployment.round_ledger)
        self.tables = hospitals(members)
        self.plan = plan_for(self.tables, self.shared, root, rounds=rounds)
        self.plan_ref = self.shared.put(self.plan.encode())
        self.terms = Terms(
            plan=self.plan.digest,
            quorum=quorum_of(members),
            min_reveals=quorum_of(members),
            commit_duration=3600,
            reveal_duration=3600,
            propose_duration=3600,
            grace=600,
            max_rounds=4 * rounds,
            aggregators=tuple(aggregators),
        )
        self.terms = replace(self.terms, **(terms or {}))
        self.run = self._begin_run()
        self._running: dict[int | str, subprocess.Popen[str]] = {}
        self._ready_before: dict[int | str, int] = {}
        self._write_settings()

    def _begin_run(self) -> int:
        for member in range(self.terms.quorum):
            self.consortium.vote_approve(self.keys[member], self.terms)
        return self.ledger.start_run(RICH, self.terms)

    def begin_another_run(self) -> None:
        """Start a run of another plan, which all accept and join; from here on ``run`` is that one."""
        self.plan = replace(self.plan, title="another")
        self.plan_ref = self.shared.put(self.plan.encode())
        self.terms = replace(self.terms, plan=self.plan.digest)
        self.run = self._begin_run()
        self.ready()

    def _key(self, who: int | str) -> LocalAccount:
        self.home(who).mkdir()
        path = self.home(who) / "key.json"
        new_keystore(path, PASSPHRASE, scrypt_n=1 << 10)
        return unlock(path, PASSPHRASE)

    def home(self, who: int | str) -> Path:
        """The folder of a member, by its index, or of the ``aggregator``."""
        return self.root / str(who)

    def config(self, who: int | str) -> Path:
        """A role's settings file."""
        return self.home(who) / "settings.toml"

    def _write_settings(self) -> None:
        for who in self.keys:
            home, shared = (
                self.home(who),
                shared_sections(self.home(who) / "key.json", None, str(self.shared.root), self.config(who)),
            )
            text = f"{self.network.toml()}\n{shared}\n"
            own = f"state = {quoted(home / 'state')}\npoll_seconds = 0.2\n"
            if who == "aggregator":
                text += f"[aggregator]\n{own}"
            else:
                text += f'[node]\n{own}data = "rows.csv"\nseed = {SEED}\nstagger_seconds = 1\n'
            self.config(who).write_text(f"{text}\n{MONITORING}", encoding="utf-8")
        for member, table in enumerate(self.tables):
            table.frame.to_csv(self.home(member) / "rows.csv", index=False)

    def accept(self, member: int) -> None:
        """Accept the plan on a member's node, as ``fedledger node accept`` does."""
        (self.home(member) / "state").mkdir(exist_ok=True)
        path = self.home(member) / "state" / "journal.sqlite"
        with closing(Journal(path, str(self.ledger_id), owner=False)) as journal:
            journal.accept(self.plan.digest)

    def join(self, member: int) -> None:
        """Join the run with a member's key."""
        self.ledger.join(self.keys[member], self.run)

    def ready(self) -> Processes:
        """Let all members accept and join."""
        for member in range(self.members):
            self.accept(member)
            self.join(member)
        return self

    # -- processes ----------------------------------------------------------------------------------------

    def start(self, *who: int | str) -> None:
        """Start roles, all by default, each with the very same command as before."""
        for role in who or tuple(self.keys):
            service = "aggregator" if role == "aggregator" else "node"
            self._ready_before[role] = self.log(role).count(_READY)
            with (self.home(role) / "log").open("a", encoding="utf-8") as log:
                self._running[role] = subprocess.Popen(
                    [FEDLEDGER, service, "run", "--config", str(self.config(role))],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    text=True,
                    env={**os.environ, "FEDLEDGER_PASSPHRASE": PASSPHRASE, "OMP_NUM_THREADS": "1"},
                )

    def wait_until_ready(self, *who: int | str) -> None:
        """Wait until roles, all by default, have said what they are."""
        for role in who or tuple(self._running):
            self.wait(
                lambda role=role: self.log(role).count(_READY) > self._ready_before[role], f"{role} ready"
            )

    def kill(self, *who: int | str) -> None:
        """End roles, all by default, by SIGKILL."""
        for role in who or tuple(self._running):
            process = self._running.pop(role)
            process.kill()
            process.wait()

    def stop(self, who: int | str) -> int:
        """Ask a role to stop and return its exit code."""
        process = self._running.pop(who)
        process.terminate()
        return process.wait(PATIENCE)

    def ended(self, who: int | str) -> int:
        """Wait until a role ends by itself and return its exit code."""
        return self._running.pop(who).wait(PATIENCE)

    def log(self, who: int | str) -> str:
        """What a role has logged."""
        path = self.home(who) / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- what is true -------------------------------------------------------------------------------------

    def state(self) -> RunState:
        """The run as the chain's record makes it."""
        return self.follower.update().runs[self.run]

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Wait until something is true."""
        last = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < last, f"never came: {what}\n" + "\n".join(
                f"== {who}\n{self.log(who)[-1500:]}" for who in self.keys
            )
            time.sleep(0.05)

    def wait_for_log(self, who: int | str, text: str) -> None:
        """Wait until a role has logged something."""
        self.wait(lambda: text in self.log(who), f"{text!r} in the log of {who}")

    def wait_for_certified(self, rounds: int) -> list[str]:
        """Wait for certified rounds and return the digests of their models."""
        self.wait(lambda: len(self.state().certified()) >= rounds, f"{rounds} certified rounds")
        results = [state.result for state in self.state().certified()[:rounds]]
        return [open_result(self.shared.document(r), r).model.digest.hex() for r in results]

    def require_nothing_lost_or_done_twice(self) -> None:
        """Fail unless chain, journals and directories are as they must be; all processes have ended."""
        self.follower.update()
        require_no_step_twice(self.follower, list(self.keys.values()))
        require_every_salt(self.follower, [self.home(member) / "state" for member in range(self.members)])
        folders = [self.home(who) / "state" / "payloads" for who in self.keys]
        require_whole_files([self.shared.root, *folders])
