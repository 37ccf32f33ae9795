"""Transactions of accounts whose keys are here, and what became of them.

An account has one transaction under way at a time, and its nonce is the number of its transactions in blocks.
So whatever is sent while it is not known what became of the one before takes that one's nonce, and at most
one of them can ever be mined: a lost reply, a crash or a second start never does a step twice. Where another
transaction was mined in its place, or none within the time allowed, that is a ``ChainError``: the caller
reads the chain anew and decides again.

The order of things, for one transaction:

1. what the account sent before is in a block, or has been stuck for long and its nonce is taken over
2. it is signed for the first nonce that no block holds, and sent; a lost reply and a refusal are
   looked into by its hash
3. while no block holds it, it is sent again from time to time, for higher fees where fees are paid
4. when it is deep enough, its receipt is read once more and held against its block
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from web3.exceptions import TransactionIndexingInProgress, TransactionNotFound, Web3Exception, Web3RPCError

from contracts.ether import shortage
from ledger.errors import ChainError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from web3 import Web3

    from contracts.chain import Signer

__all__ = ["Transactions", "foreign_errors"]

_GWEI = 10**9
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two looks at the chain."""
_TAKE_OVERS = 6
"""How often the fees are doubled to replace a transaction of this account whose fees are not known."""
_SUPERSEDED = 3
"""Looks in a row that must find the nonce taken and no receipt: an endpoint may know one before the other."""

# What web3 raises, besides its own errors, over an answer that is not what it should be.
_SHAPES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextmanager
def foreign_errors(what: str) -> Iterator[None]:
    """Turn what web3, its transport and an answer of an unexpected shape raise into this project's errors."""
    try:
        yield
    except (Web3Exception, OSError, *_SHAPES) as error:
        raise ChainError(f"cannot {what}", got=error) from error


@dataclass(frozen=True, slots=True)
class _Fees:
    """Wei per gas: at most, and for the block's proposer."""

    most: int
    priority: int

    def raised(self, by_one_in: int = 8) -> _Fees:
        """Return fees that replace these in a node's pool; where gas is free it stays so."""
        if not self.most:
            return self
        return _Fees(_more(self.most, by_one_in), _more(self.priority, by_one_in))


def _more(fee: int, by_one_in: int) -> int:
    return fee + max(1, -(-fee // by_one_in))


class Transactions:
    """Sends transactions, one after the other for each account.

    Args:
        w3: the connection.
        chain_id: the chain for which to sign.
        timeout: seconds to wait until a transaction is mined, and again until it is deep enough.
        stuck_after: seconds in which a transaction should be mined; then it is sent again, for higher fees.
        confirmations: blocks that must stand on top of its block.
        priority_fee: wei per gas for the block's proposer; None for 1 gwei, or 0 where gas is free.
    """

    def __init__(
        self,
        w3: Web3,
        chain_id: int,
        *,
        timeout: float,
        stuck_after: float,
        confirmations: int,
        priority_fee: int | None,
    ) -> None:
        self.w3 = w3
        self.chain_id = chain_id
        self.timeout = timeout
        self.stuck_after = stuck_after
        self.confirmations = confirmations
        self._priority_fee = priority_fee
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, signer: Signer) -> Iterator[None]:
        """Keep an account's other transactions waiting; begins when none of them is under way any more.

        What is decided inside, such as by simulating a call, is decided in sight of all that it sent before.
        """
        account = self._account(signer)
        with account.lock:
            if not account.in_turn:
                self._settle(signer)
            account.in_turn += 1
            try:
                yield
            finally:
                account.in_turn -= 1

    def send(self, signer: Signer, request: dict[str, Any]) -> Any:
        """Send a transaction, wait, and return its receipt as web3 gives it.

        Raises:
            ChainError: it was refused, or is not known to be mined; the message says which.
        """
        with self.turn(signer):
            account = self._account(signer)
            with foreign_errors("send a transaction"):
                nonce = self._next_nonce(signer, account)
                receipt = _Sending(self, signer, request, nonce, self.fees()).run()
                account.mined = (nonce, int(receipt["blockNumber"]))
                return receipt

    def fees(self) -> _Fees:
        """Return fees that suffice for the next blocks: the base fee may double in six."""
        base = int(self.w3.eth.get_block("latest").get("baseFeePerGas", 0))
        priority = (_GWEI if base else 0) if self._priority_fee is None else self._priority_fee
        return _Fees(2 * base + priority, priority)

    def require_funds(self, signer: Signer, request: dict[str, Any], fees: _Fees | None = None) -> None:
        """Say so where an account cannot pay for a transaction, whatever a node's own words for that are.

        Raises:
            ChainError: it cannot; address, balance and what is needed are named.
        """
        with foreign_errors("read a balance"):
            most = (fees or self.fees()).most
            balance = int(self.w3.eth.get_balance(signer.address))
        needed = request.get("value", 0) + request["gas"] * most
        if balance < needed:
            raise shortage(signer.address, balance, needed)

    def count(self, signer: Signer, block: Any = "latest") -> int:
        """Return how many transactions of the account are in blocks; with ``pending``, also in the pool."""
        return int(self.w3.eth.get_transaction_count(signer.address, block))

    def _account(self, signer: Signer) -> _Account:
        with self._lock:
            return self._accounts.setdefault(signer.address, _Account())

    def _settle(self, signer: Signer) -> None:
        """Wait for what the account sent before, here or in a former life, as long as it is not stuck."""
        pauses = _Pauses(self.stuck_after)
        with foreign_errors("count an account's transactions"):
            while self.count(signer, "pending") > self.count(signer) and not pauses.over():
                pauses.pause()

    def _next_nonce(self, signer: Signer, account: _Account) -> int:
        nonce = self.count(signer)
        if account.mined is not None and nonce <= account.mined[0]:
            # Either a reorganisation took it back, or this endpoint has not seen its block yet.
            head = int(self.w3.eth.block_number)
            if head < account.mined[1]:
                raise ChainError(
                    "the endpoint is behind",
                    expected=f"block {account.mined[1]} or later",
                    got=f"block {head}",
                )
        return nonce


@dataclass
class _Account:
    """What is remembered of an account.

    Attributes:
        lock: held by whoever sends.
        in_turn: how often its holder has entered ``turn``.
        mined: nonce and block of its newest transaction that was seen in a block.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    in_turn: int = 0
    mined: tuple[int, int] | None = None


class _Pauses:
    """Waits that grow, up to a deadline."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._next = _FIRST_PAUSE

    def over(self) -> bool:
        return time.monotonic() >= self._end

    def pause(self) -> None:
        time.sleep(min(self._next, max(0.0, self._end - time.monotonic())))
        self._next = min(1.5 * self._next, _LONGEST_PAUSE)


@dataclass(frozen=True)
class _Look:
    """What an endpoint said of a transaction.

    Attributes:
        receipt: of whichever version is in a block.
        deep: whether enough blocks stand on top of it.
        taken: whether there is no receipt, and its nonce is taken all the same.
        answered: whether there was an answer.
    """

    receipt: Any = None
    deep: bool = False
    taken: bool = False
    answered: bool = True


class _Sending:
    """One transaction, from its signature until it is deep enough; all its versions have one nonce."""

    def __init__(
        self, owner: Transactions, signer: Signer, request: dict[str, Any], nonce: int, fees: _Fees
    ) -> None:
        self._owner = owner
        self._w3 = owner.w3
        self._signer = signer
        self._request = request
        self._nonce = nonce
        self._fees = fees
        self._versions: list[bytes] = []
        self._raw = b""

    def run(self) -> Any:
        """Send it and return its receipt."""
        self._submit_first()
        seen, superseded = False, 0
        patience, pauses = _Pauses(self._owner.stuck_after), _Pauses(self._owner.timeout)
        while True:
            look = self._look()
            if look.deep:
                self._check_block(look.receipt)
                return look.receipt
            if look.receipt is not None and not seen:
                seen, pauses = True, _Pauses(self._owner.timeout)
            elif look.receipt is None and look.answered and (seen or patience.over()):
                # A reorganisation took it back, or nobody wants it for these fees.
                seen, patience = False, _Pauses(self._owner.stuck_after)
                self._submit_again()
            superseded = superseded + 1 if look.taken else 0
            if superseded >= _SUPERSEDED:
                raise ChainError(
                    f"another transaction has nonce {self._nonce} of {self._signer.address} on chain;"
                    f" {self._shown()} will not be mined"
                )
            if pauses.over():
                depth = self._owner.confirmations
                place = f"{depth} blocks deep" if depth else "in a block"
                waited = f"after {self._owner.timeout:g} s"
                raise ChainError(f"{self._shown()} is not {place} {waited}; it may still be mined")
            pauses.pause()

    # -- sending -------------------------------------------------------------------------------------------

    def _submit_first(self) -> None:
        """Send it; one that is stuck at its nonce is outbid."""
        for _ in range(_TAKE_OVERS):
            self._sign()
            try:
                return self._submit()
            except Web3RPCError as refusal:
                self._owner.require_funds(self._signer, self._request, self._fees)
                raised = self._fees.raised(by_one_in=1)
                if not _is_underpriced(refusal) or raised == self._fees:
                    raise
                self._fees = raised
        raise ChainError(
            f"a transaction of {self._signer.address} with nonce {self._nonce} is stuck, and pays more than"
            f" {self._fees.most} wei per gas; wait for it, or replace it by hand"
        )

    def _submit_again(self) -> None:
        suggested, raised = self._owner.fees(), self._fees.raised()
        self._fees = _Fees(max(suggested.most, raised.most), max(suggested.priority, raised.priority))
        self._sign()
        with suppress(
            Web3RPCError, ChainError
        ):  # an older version is better than none, and may be in a block
            self._submit()

    def _sign(self) -> None:
        signed = self._signer.sign_transaction(
            {
                "value": 0,
                **self._request,
                "type": 2,
                "chainId": self._owner.chain_id,
                "nonce": self._nonce,
                "maxFeePerGas": self._fees.most,
                "maxPriorityFeePerGas": self._fees.priority,
            }
        )
        self._raw = bytes(signed.raw_transaction)
        if bytes(signed.hash) not in self._versions:
            self._versions.append(bytes(signed.hash))

    def _submit(self) -> None:
        """Send the newest version.

        Raises:
            Web3RPCError: it was refused, and no node that was asked knows it.
            ChainError: whether it arrived is not known.
        """
        for last in (False, True):
            try:
                self._w3.eth.send_raw_transaction(self._raw)
            except Web3RPCError:
                if not self._is_known():  # else it came twice: the first reply was lost
                    raise
            except (ChainError, OSError) as lost:
                # The reply is lost, perhaps not the transaction. Sent once more it is still the same one.
                if not self._is_known():
                    if not last:
                        continue
                    raise ChainError(f"{self._shown()} was sent, and may still be mined", got=lost) from lost
            return

    def _is_known(self) -> bool:
        """Whether the endpoint has the newest version, in its pool or in a block."""
        try:
            self._w3.eth.get_transaction(self._versions[-1])  # type: ignore[arg-type]
        except TransactionNotFound:
            return False
        except (ChainError, OSError) as lost:
            raise ChainError(f"{self._shown()} was sent, and may still be mined", got=lost) from lost
        return True

    # -- looking -------------------------------------------------------------------------------------------

    def _look(self) -> _Look:
        """Look once. An endpoint that does not answer now may do so later."""
        try:
            # First the head: what is read after it is then at least as deep as it seems.
            head = int(self._w3.eth.block_number) if self._owner.confirmations else 0
            receipt = self._receipt()
            if receipt is None:
                return _Look(taken=self._owner.count(self._signer) > self._nonce)
        except (ChainError, OSError):
            return _Look(answered=False)
        depth = self._owner.confirmations
        return _Look(receipt, deep=not depth or head >= receipt["blockNumber"] + depth)

    def _receipt(self) -> Any:
        for version in reversed(self._versions):
            with suppress(TransactionNotFound, TransactionIndexingInProgress):
                return self._w3.eth.get_transaction_receipt(version)  # type: ignore[arg-type]
        return None

    def _check_block(self, receipt: Any) -> None:
        """Hold a receipt against its block, as it is now: an endpoint that makes one up must make up both."""
        if not self._owner.confirmations:
            return
        block = self._w3.eth.get_block(receipt["blockNumber"])
        held = {bytes(t) for t in block["transactions"]}  # type: ignore[arg-type]
        if (
            bytes(block["hash"]) != bytes(receipt["blockHash"])
            or bytes(receipt["transactionHash"]) not in held
        ):
            raise ChainError(
                f"an endpoint has a receipt of {self._shown()}, and block {receipt['blockNumber']} without it"
            )

    def _shown(self) -> str:
        return f"transaction 0x{self._versions[-1].hex()}"


def _is_underpriced(refusal: Web3RPCError) -> bool:
    message = str(refusal).lower()
    return "underpriced" in message or "replacement" in message
