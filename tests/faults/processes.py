"""Members and an aggregator as processes that can be killed, over a chain that survives them."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aggregator.config import ChainConfig
from aggregator.rounds import open_result
from contracts.client import Consortium, Founder, RoundLedger, deploy
from contracts.endpoints import connect
from contracts.follower import Follower
from contracts.keys import new_keystore, unlock
from ledger.records import Status, Terms, quorum_of
from node.journal import Journal
from storage import DirectoryStore
from tests.chains import RICH
from tests.cli.conftest import FEDLEDGER
from tests.consortium import SEED, address, hospitals, plan_for
from tests.faults.outside import require_every_salt, require_no_step_twice, require_whole_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

_PASSPHRASE = "in a test"
_ETHER = 10**18
_DAY = 86_400


@dataclass
class Process:
    """A service's process, killed and started again as often as a test likes.

    Attributes:
        said: its last lines.
    """

    command: list[str]
    folder: Path
    ready: str

    def __post_init__(self) -> None:
        self.said: deque[str] = deque(maxlen=50)
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def launch(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            self.command, cwd=self.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    def await_ready(self) -> None:
        """Wait until it says that it is ready."""
        assert self._process is not None
        lines = self._process.stderr
        assert lines is not None
        well = any(self.ready in line for line in map(self._heard, lines))
        self._reader = threading.Thread(target=self.said.extend, args=(lines,))
        self._reader.start()
        assert well, "".join(self.said)

    def _heard(self, line: str) -> str:
        self.said.append(line)
        return line

    def kill(self) -> None:
        """End it as a power cut does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        if self._reader is not None:
            self._reader.join()
        with process:  # waits for it, and closes the pipe
            self._reader = None


class Federation:
    """Three hospitals and an aggregator that are set up as the commands do it, and not yet started.

    Args:
        root: an empty directory.
        url: a chain's endpoint, at which ``RICH`` has ether.
        rounds: certified rounds after which the run is complete.
    """

    def __init__(self, root: Path, url: str, *, rounds: int, members: int = 3) -> None:
        self.root = root
        self.rounds = rounds
        self.shared = DirectoryStore(root / "shared")
        self.hospitals = hospitals(members)
        self.plan = plan_for(self.hospitals, self.shared, root, rounds=rounds)
        self.shared.put(self.plan.encode())
        self.accounts = [self._key(f"member-{index}") for index in range(members)]
        self.aggregator_key = self._key("aggregator")
        chain = connect([url])
        for account in [*self.accounts, self.aggregator_key]:
            chain.transfer(RICH, address(account), _ETHER)
        founders = [Founder(address(account)) for account in self.accounts]
        place = deploy(chain, RICH, founders, aggregators=[address(self.aggregator_key)])
        quorum = quorum_of(members)
        accounts = (address(self.aggregator_key),)
        terms = Terms(self.plan.digest, quorum, quorum, _DAY, _DAY, _DAY, _DAY // 24, 2 * rounds, accounts)
        for account in self.accounts[:quorum]:
            Consortium(chain, place.consortium).vote_approve(account, terms)
        ledger = RoundLedger(chain, place.round_ledger)
        run = ledger.start_run(self.accounts[0], terms)
        for account in self.accounts:
            ledger.join(account, run)
        self.view = Follower(chain, place)
        self._config = ChainConfig.of((url,), chain.chain_id, place, 0).toml()
        self.processes = [self._node(index) for index in range(members)]
        self.processes.append(self._aggregator())

    def _key(self, who: str) -> LocalAccount:
        folder = self.root / who
        folder.mkdir()
        (folder / "passphrase").write_text(_PASSPHRASE, encoding="utf-8")
        new_keystore(folder / "key.json", _PASSPHRASE, scrypt_n=2)
        return unlock(folder / "key.json", _PASSPHRASE)

    def _settings(self, service: str, *more: str) -> str:
        return "\n".join(
            [
                self._config,
                '[key]\nkeystore = "key.json"\npassphrase_file = "passphrase"',
                f'[store]\nshared = "{self.shared.root}"',
                f'[{service}]\nstate = "state"\npoll_seconds = 0.05',
                *more,
            ]
        )

    def _node(self, member: int) -> Process:
        folder = self.root / f"member-{member}"
        self.hospitals[member].frame.to_csv(folder / "rows.csv", index=False)
        settings = self._settings("node", 'data = "rows.csv"', f"seed = {SEED}")
        (folder / "node.toml").write_text(settings, encoding="utf-8")
        (folder / "state").mkdir()
        journal = Journal(folder / "state" / "journal.sqlite", str(self.view.replay.ledger), owner=False)
        journal.accept(self.plan.digest)
        journal.close()
        return Process([FEDLEDGER, "node", "run"], folder, f"node of member {member}")

    def _aggregator(self) -> Process:
        folder = self.root / "aggregator"
        (folder / "aggregator.toml").write_text(self._settings("aggregator"), encoding="utf-8")
        return Process([FEDLEDGER, "aggregator", "run"], folder, "on ledger")

    def __enter__(self) -> Self:
        self._running = ExitStack()
        for process in self.processes:
            self._running.callback(process.kill)
        self.start(self.processes)
        return self

    def start(self, processes: list[Process]) -> None:
        """Start processes at once."""
        for process in processes:
            process.launch()
        for process in processes:
            process.await_ready()

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def wait_until(self, holds: Callable[[int], bool], pause: Callable[[float], object]) -> None:
        """Wait for a number of certified rounds."""
        for _ in range(2400):
            if holds(len(self.models())):
                return
            pause(0.05)
        raise AssertionError("\n".join(line for process in self.processes for line in process.said))

    def models(self) -> list[str]:
        """Digests of the certified models, in order."""
        rounds = self.view.update().runs[1].rounds.values()
        results = [state.result for state in rounds if state.status is Status.CERTIFIED]
        return [open_result(self.shared.document(r), r).model.digest.hex() for r in results]

    def require_nothing_lost_or_done_twice(self) -> None:
        """Fail unless chain, journals and directories are as they must be; all processes have ended."""
        self.view.update()
        require_no_step_twice(self.view, [*self.accounts, self.aggregator_key])
        homes = [self.root / f"member-{index}" / "state" for index in range(len(self.accounts))]
        require_every_salt(self.view, homes)
        folders = [home / "payloads" for home in [*homes, self.root / "aggregator" / "state"]]
        require_whole_files([self.shared.root, *folders])


__all__ = ["Federation", "Process"]
