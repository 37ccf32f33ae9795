"""From a configuration to a ledger that may be signed for.

Nothing is sent to a chain or a contract that is not the one that was named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from contracts.client import Consortium, Deployment, RoundLedger
from contracts.endpoints import connect
from contracts.follower import Follower
from ledger.errors import UsageError

if TYPE_CHECKING:
    from aggregator.config import ChainConfig

__all__ = ["open_ledger"]


def open_ledger(config: ChainConfig, *, patience: float | None = None) -> Follower:
    """Connect to a chain and check that it and the contracts are the expected ones.

    Args:
        config: which.
        patience: see ``Follower``.

    Raises:
        UsageError: another chain, no contract or another contract at an address, or a ledger of another
            consortium.
        ChainError: no endpoint answered.
    """
    chain = connect(
        config.endpoints,
        chain_id=config.chain_id,
        confirmations=config.confirmations,
        priority_fee=config.priority_fee,
    )
    ledger = RoundLedger(chain, config.round_ledger)
    for client in (Consortium(chain, config.consortium), ledger):
        if not client.is_shipped_code():
            raise UsageError(
                f"contract at {to_checksum_address(client.address)}",
                expected=f"the code of {type(client).__name__} that ships with this software",
                got="other code" if chain.code(client.address) else "no contract",
            )
    if ledger.consortium() != config.consortium:
        raise UsageError(
            "consortium of the round ledger",
            expected=to_checksum_address(config.consortium),
            got=to_checksum_address(ledger.consortium()),
        )
    deployment = Deployment(config.consortium, config.round_ledger, config.first_block)
    return Follower(chain, deployment, confirmations=config.confirmations, patience=patience)
