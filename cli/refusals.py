"""What a contract's refusal means to whoever asked for it, and what to do about it.

The contracts' custom errors are terse, as each byte of them costs gas; here is a sentence for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import FedledgerError, UnavailableError, UsageError
from ledger.records import Phase

if TYPE_CHECKING:
    from ledger.errors import ContractError

__all__ = ["SENTENCES", "explained"]

SENTENCES = {
    # members and votes
    "AccountInUse": "{account} signs for a member already; give another address",
    "AlreadyApproved": "terms {terms} are approved already; now `fedledger run start {terms}`",
    "AlreadyVoted": "member {member} has voted for this already; it takes the votes of other members",
    "ConsortiumFull": "the consortium has had 256 members, and takes no more",
    "InvalidApprovalPercent": "the approval percent must be 0 to 100, got {percent}",
    "InvalidRoles": "no such roles: {roles}",
    "InvalidTerms": "the contract takes no such terms: {field}",
    "LastMember": "member {member} is the only one; the last member cannot be removed",
    "NoFounders": "a consortium needs a member: `--member`",
    "NotMember": "{account} signs for no member; `fedledger member list` shows who does",
    "NotSigned": "{sender} is a contract; members and aggregators sign with a key of their own",
    "NotVoted": "member {member} has no vote in ballot {ballot}; `fedledger member ballots` shows those open",
    "RolesUnchanged": "{account} has exactly these roles already; `fedledger member list` shows them",
    "UnknownMember": "the consortium has no member {member}; `fedledger member list` shows those it has",
    "ZeroAccount": "the address of zeros is nobody's; give another one",
    # runs
    "AlreadyJoined": "member {member} takes part in run {run} already",
    "NotAllowed": "{account} has no role that may do this; `fedledger member list` shows who has which",
    "NotApproved": "terms {terms} are not approved; members vote with `fedledger plan approve {terms}`",
    "NotJoined": "member {member} takes no part in run {run}; `fedledger run join {run}` changes that",
    "NotPaused": "run {run} is not paused",
    "Paused": "run {run} is paused; an operator lifts it with `fedledger run resume {run}`",
    "QuorumTooSmall": (
        "{members} members would take part, and a quorum of {quorum} is not more than half of them; another"
        " has to leave the run, or terms with a larger quorum to be approved"
    ),
    "RoundStillOpen": "round {round} of run {run} is still open; the next one opens after it has ended",
    "RunFinished": "run {run} has had all of its {max_rounds} openings; start another one",
    "TooFewMembers": "{joined} members take part, {needed} are needed; others have to join the run",
    "UnknownRun": "there is no run {run}; `fedledger run status` shows those that there are",
    # rounds
    "AlreadyAttested": "member {member} has attested in round {round} of run {run} already",
    "AlreadyCommitted": "member {member} has committed in round {round} of run {run} already",
    "NotAttested": "member {member} does not stand by result {result} in round {round} of run {run}",
    "NotCommitted": "this opens no commitment of member {member} in round {round} of run {run}",
    "NotEligible": "member {member} is not among those of round {round} of run {run}",
    "NothingProposed": "nothing was proposed yet in round {round} of run {run}",
    "TooEarly": "too early; it is allowed {seconds} s from now",
    "TooManyProposals": "{proposer} has made all its proposals in this round",
    "UnknownRound": "run {run} has no round {round}; `fedledger run status {run}` shows those it has",
    "WrongPhase": "the round is in phase {actual}; this is for phase {expected}",
    "ZeroCommitment": "a commitment of zeros stands for none",
    "ZeroResult": "a result's digest of zeros stands for none",
}
"""A sentence for each custom error, with the error's arguments in it."""

_LATER = frozenset({"RoundStillOpen", "TooEarly", "TooFewMembers", "WrongPhase"})
"""Refusals that may pass by themselves: to ask again later is no mistake."""

_FIELDS = (
    "their plan is zero",
    "quorum: expected 1 to 256",
    "min-reveals: expected 1 to 256",
    "commit-seconds: expected at least 1",
    "reveal-seconds: expected at least 1",
    "propose-seconds: expected at least 1",
    "grace-seconds: expected less than propose-seconds",
    "max-rounds: expected at least 1",
    "aggregators: expected 1 to 16, each once, which all have that role (`fedledger member grant`)",
)


def explained(error: ContractError) -> FedledgerError:
    """Return a refusal in words; a ``UsageError`` where it does not pass by itself."""
    sentence = SENTENCES.get(error.name)
    if sentence is None:
        return error
    kind = UnavailableError if error.name in _LATER else UsageError
    return kind(sentence.format_map(_words(error.arguments)))


def _words(arguments: dict[str, object]) -> dict[str, object]:
    words = {name: _word(value) for name, value in arguments.items()}
    if "allowed_from" in arguments:
        words["seconds"] = int(str(arguments["allowed_from"])) - int(str(arguments["now"]))
    if "field" in arguments:
        words["field"] = _FIELDS[int(str(arguments["field"]))]
    for name in {"expected", "actual"} & arguments.keys():
        words[name] = Phase(int(str(arguments[name]))).name.lower()
    return words


def _word(value: object) -> object:
    """Spell an address as wallets do, and a digest by the digits that name it."""
    if not isinstance(value, bytes):
        return value
    if len(value) == 20:
        from eth_utils.address import to_checksum_address  # noqa: PLC0415 - help needs none of it

        return to_checksum_address(value)
    return value.hex()[:16]
