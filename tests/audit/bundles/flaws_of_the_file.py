"""Bundles that hold, and bundles whose file, fields or ledger are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ledger.canonical import MAX_DOCUMENT_BYTES
from tests.audit.bundles.case import bare, case, good, policies, with_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.audit.bundles.played import Parts

# -- bundles that hold ------------------------------------------------------------------------------------

for _policy in ("members", "block", "everything", "nameless", "recent"):
    case(f"holds-{_policy}", f"a certified round, by a policy of {_policy}", _policy, None)(good)
case("holds-bare", "no proofs of the chain: members' signatures alone", "members", None)(bare)
case("holds-payloads", "with models and updates, recomputed", "everything", None)(lambda: good(payloads=True))
case("holds-silent-members", "one not revealed, one absent, an attestation replaced", "everything", None)(
    lambda: good(2, payloads=True)
)
case("holds-aborted", "an aborted round", "block", None)(lambda: good(3))
case("holds-rejected", "a rejected update", "everything", None)(lambda: good(4, payloads=True))
case("holds-after-changes", "a member removed, a key rotated; the newest round", "everything", None)(
    lambda: good(5, payloads=True)
)
case("holds-void", "a void result", "everything", None)(lambda: good(6, payloads=True))
case("holds-second-run", "a run that is not the first", "run-2", None)(lambda: good(2, run=2, payloads=True))
case("holds-unchecked-lie", "a wrong model that a quorum attested to, and no updates to tell", "run-2", None)(
    lambda: good(1, run=2)
)


# -- the file ---------------------------------------------------------------------------------------------

case("empty-file", "nothing", "block", 60)(lambda: b"")
case("trailing-byte", "one byte behind the last payload", "block", 60)(lambda: good().data() + b"\n")
case("cut-short", "the last byte is missing", "block", 60)(lambda: good().data()[:-1])
case("no-payloads", "the first line alone", "block", 60)(lambda: good().data().partition(b"\n")[0] + b"\n")
case("no-line-end", "no line feed in the file", "block", 60)(lambda: good().data().partition(b"\n")[0])
case("long-first-line", "a first line beyond its limit", "block", 60)(
    lambda: b" " * (MAX_DOCUMENT_BYTES + 1) + good().data()
)
case("spaced-out", "a space in the first line", "block", 60)(
    lambda: good().data().replace(b'"run":', b'"run": ', 1)
)
case("not-utf8", "a byte that is no UTF-8", "block", 60)(
    lambda: good().data().replace(b'"type"', b'"t\xffpe"', 1)
)
case("byte-order-mark", "a byte order mark before the first line", "block", 60)(
    lambda: b"\xef\xbb\xbf" + good().data()
)
case("nested-deeply", "brackets without end", "block", 60)(
    lambda: b'{"type":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
)
case("name-twice", "a field twice, and the first is the right one", "block", 60)(
    lambda: good().data().replace(b'"run":"1"', b'"run":"1","run":"1"', 1)
)


def _line_case(name: str, flaw: str, change: Callable[[dict[str, Any]], object]) -> None:
    case(name, flaw, "block", 60)(lambda: with_line(good(), change))


_line_case("other-version", "a type of the future", lambda d: d.update(type="fedledger/bundle/2"))
_line_case("unknown-field", "a field that there is not", lambda d: d.update(note="trust me"))
_line_case(
    "own-policy", "a policy of its own", lambda d: d.update(policy=json.loads(policies()["members"].text()))
)
_line_case("own-trust", "trust of its own", lambda d: d.update(trust={"members": True}))
_line_case("missing-field", "no lineage", lambda d: d.pop("lineage"))
_line_case("upper-case-hex", "hex in capitals", lambda d: d.update(consortium=d["consortium"].upper()))
_line_case("prefixed-hex", "hex with 0x", lambda d: d.update(consortium="0x" + d["consortium"]))
_line_case("short-address", "an address of 19 bytes", lambda d: d.update(consortium=d["consortium"][2:]))
_line_case("run-as-number", "a big integer as a number", lambda d: d.update(run=1))
_line_case("run-overflow", "a run beyond 64 bits", lambda d: d.update(run=str(1 << 64)))
_line_case("run-zero", "run 0", lambda d: d.update(run="0"))
_line_case("run-negative", "a negative run", lambda d: d.update(run="-1"))
_line_case("round-zero", "round 0", lambda d: d.update(round=0))
_line_case("round-overflow", "a round beyond 32 bits", lambda d: d.update(round=1 << 32))
_line_case("round-as-truth", "true for round 1", lambda d: d.update(round=True))
_line_case("chain-id-overflow", "a chain id beyond 256 bits", lambda d: d.update(chain_id=str(1 << 256)))
_line_case("percent-overflow", "101 percent", lambda d: d.update(approval_percent=101))
_line_case("length-negative", "a negative length", lambda d: d["payloads"][0].update(length=-1))
_line_case("length-huge", "a payload longer than any disk", lambda d: d["payloads"][0].update(length=1 << 52))
_line_case(
    "document-long", "a plan beyond a document's limit", lambda d: d["payloads"][1].update(length=1 << 21)
)
_line_case("role-unknown", "a role that there is not", lambda d: d["payloads"][2].update(role="certificate"))
_line_case("role-as-path", "a path for a role", lambda d: d["payloads"][3].update(role="../../../etc/passwd"))
_line_case(
    "role-of-member-256", "a report of member 256", lambda d: d["payloads"][3].update(role="report:256")
)
_line_case(
    "role-spelled-otherwise", "a report of member 00", lambda d: d["payloads"][3].update(role="report:00")
)
_line_case("role-twice", "the result twice", lambda d: d["payloads"].insert(2, d["payloads"][2]))
_line_case("roles-out-of-order", "the plan first", lambda d: d["payloads"].insert(0, d["payloads"].pop(1)))
_line_case("no-events", "no history", lambda d: d["payloads"].pop(0))
_line_case("nodes-out-of-order", "nodes in another order", lambda d: d["snapshot"]["nodes"].reverse())
_line_case(
    "node-twice", "a node twice", lambda d: d["snapshot"]["nodes"].insert(0, d["snapshot"]["nodes"][0])
)
_line_case("node-long", "a node beyond its limit", lambda d: d["snapshot"]["nodes"].append("00" * 2000))
_line_case("lineage-without-block", "later rounds and no block", lambda d: d.pop("snapshot"))
_line_case(
    "lineage-aborted-with-result",
    "an aborted round that has a result",
    lambda d: d["lineage"][1].update(result="11" * 32),
)


# -- the policy's ledger ----------------------------------------------------------------------------------


def _ledger_case(name: str, flaw: str, **changes: Any) -> None:
    def make() -> Parts:
        parts = good()
        if "consortium" in changes:
            return parts.with_bundle(**changes)
        return parts.with_bundle(ledger=replace(parts.bundle.ledger, **changes))

    case(name, flaw, "members", 62)(make)


_ledger_case("other-chain", "another chain id", chain_id=1)
_ledger_case("other-ledger", "another RoundLedger", contract=bytes(19) + b"\1")
_ledger_case("other-consortium", "another Consortium", consortium=bytes(19) + b"\1")
