"""The numbered checks: what has to hold, said once.

Whoever verifies, an aggregator, a member or an auditor, makes these checks; each number stands beside the
line of code that makes the check and in the error that the check raises. Within a group they are made in
ascending order and the first that fails decides, so that all honest verifiers give one and the same reason.

An update (a payload that a member revealed):

1.  its declared length is between 1 byte and the plan's ``max_bytes``
2.  its declared num_examples is between 1 and 2^29 − 1
3.  its payload digest equals its update digest (payloads are not encrypted)
4.  its real length equals the declared one
5.  its bytes have the declared digest
6.  the header's length field is at most the cap and fits the file
7.  the header is a JSON object without duplicate or foreign parts
8.  its metadata bind ledger, run, round, member, base model and num_examples
9.  its tensor names are exactly the plan's trainable ones
10. each has the plan's dtype
11. each has the plan's shape
12. tensors lie one behind the other, without gap or overlap, up to the end of the file
13. each value is finite
14. each value's magnitude is at most the plan's ``max_abs``

A document:

20. it is canonical JSON of its type, complete and with no field too many
21. its bytes have the digest that the chain or another document holds for it

The chain's record:

30. the genesis state is the one that ships with this software
31. each block re-executes to the state root that its header claims
32. the contracts' code and constructor are those that ship with this software
33. the newest block is the expected head
34. each consortium event replays to the consortium's accumulator, epoch and members
35. the terms of a run were approved before it started
36. a round opens from the run's head, with the members that joined and are in the consortium
37. each step of a run or round is made in its phase, by whom it is open to, once, and after the step it rests
    on
38. a reveal opens its commitment
39. the recorded steps replay to the round's accumulator
40. a certified result has a quorum of distinct eligible members behind it
41. a round's end replays to the run's head, and what replays is what the contract holds

A round's result:

50. the plan document is the one that the approved terms name
51. the base model has the digest that the previous certified result, or the plan, gives it
52. the result document binds ledger, run, round, terms, epoch, parent head, sealed accumulator and
    base
53. it holds one verdict for each eligible member, and those that the chain alone decides are as it says
54. each accepted update passes checks 1 to 14, and each rejected one fails the check it was rejected for
55. each update called withheld was revealed; whether it can be had now is noted, not judged
56. a result is void exactly where fewer than ``min_reveals`` updates were accepted or the aggregate is not
    finite
57. the aggregate of the accepted updates, recomputed, is byte for byte the model that the result names
58. the verdicts' Merkle root (RFC 6962) is the one that the result names
59. a member's report is a document of its type that speaks of that member, round and model

A proof bundle, held against the policy that its verifier brings along; these are made in the order that
``docs/reference/bundles.md`` gives, between the checks above:

60. its first line is canonical JSON of its type, and after it come the payloads that it lists, up to the last
    byte
61. each payload has its digest, and is the one that the record or a document names in its place
62. chain and contracts are those of the policy
63. the block's hash is that of its header, and each of its seals is made by another one of its validators
64. the block is the one that the policy names
65. two thirds of the policy's validators, rounded up, sealed the block
66. the block is not older than the policy allows
67. proofs lead from the block's state root to both contracts, and their code is that of the policy
68. proofs lead from the contracts' storage roots to what the history replays to, and prove nothing else
69. the ends of the run's later rounds lead from the round's head to the head that the contract stores
70. each transaction asks for the step that the record says, signed by the account that the record says
71. members that the policy lists signed attestations to the result, a quorum of them
72. the quorum behind the result is at least the policy's, of members that the policy lists if it lists any

A service that answers auditors, by ``fedledger audit --api``:

80. what the service answers follows, byte for byte, from the chain and the payloads that the auditor has
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Check"]


class Check(IntEnum):
    """A check's number. Numbers are never reused: result documents hold them."""

    UPDATE_SIZE = 1
    UPDATE_NUM_EXAMPLES = 2
    UPDATE_PLAIN = 3
    UPDATE_LENGTH = 4
    UPDATE_DIGEST = 5
    UPDATE_HEADER_SIZE = 6
    UPDATE_HEADER = 7
    UPDATE_BINDING = 8
    UPDATE_NAMES = 9
    UPDATE_DTYPES = 10
    UPDATE_SHAPES = 11
    UPDATE_LAYOUT = 12
    UPDATE_FINITE = 13
    UPDATE_MAGNITUDE = 14

    DOCUMENT_FORM = 20
    DOCUMENT_DIGEST = 21

    CHAIN_GENESIS = 30
    CHAIN_EXECUTION = 31
    CHAIN_CODE = 32
    CHAIN_HEAD = 33
    CONSORTIUM_HISTORY = 34
    RUN_TERMS = 35
    ROUND_OPENING = 36
    ROUND_ORDER = 37
    ROUND_COMMITMENT = 38
    ROUND_ACCUMULATOR = 39
    ROUND_QUORUM = 40
    ROUND_HEAD = 41

    RESULT_PLAN = 50
    RESULT_BASE = 51
    RESULT_BINDING = 52
    RESULT_VERDICTS = 53
    RESULT_UPDATES = 54
    RESULT_WITHHELD = 55
    RESULT_VOID = 56
    RESULT_MODEL = 57
    RESULT_ROOT = 58
    REPORT = 59

    BUNDLE_FORM = 60
    BUNDLE_PAYLOADS = 61
    POLICY_BINDING = 62
    BLOCK_HEADER = 63
    TRUSTED_BLOCK = 64
    TRUSTED_VALIDATORS = 65
    BLOCK_AGE = 66
    CONTRACT_ACCOUNTS = 67
    CONTRACT_STORAGE = 68
    RUN_LINEAGE = 69
    SIGNED_STEPS = 70
    TRUSTED_MEMBERS = 71
    POLICY_QUORUM = 72

    SERVICE_ANSWER = 80

    @property
    def label(self) -> str:
        """The name in plain words, e.g. ``update num examples``."""
        return self.name.lower().replace("_", " ")
