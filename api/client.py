"""A client of the ledger API, with the names of its records.

It believes nothing but shapes: what an answer says of the ledger is checked with ``fedledger audit``, with a
bundle, or with the proofs that the answers carry.

Example:
    >>> client = Client("http://127.0.0.1:8600")
    >>> for run in client.runs():  # doctest: +SKIP
    ...     print(run.run, run.title)
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import urllib3
from eth_account.messages import encode_defunct
from pydantic import TypeAdapter, ValidationError

from api.access import records as a
from api.access.desk import STATEMENT
from api.access.message import SignInMessage
from api.rest import records as r
from ledger.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eth_account.signers.local import LocalAccount

__all__ = ["Client"]

T = TypeVar("T")

_MAX_ANSWER = 64 << 20
"""Bytes of an answer."""
_PIECE = 1 << 16
_MOST_WAITS = 5
_SOON = re.compile("[1-5]?[0-9]")
"""Seconds for which the client waits where the service says that it asks too often."""


class _Bearer(requests.auth.AuthBase):
    """Sends a token, also where a ``.netrc`` names a password for the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Client:
    """Asks a ledger API.

    Args:
        url: its address, without ``/v1``.
        token: of a sign-in; None where the service is public.
        timeout: seconds that an answer may take; a second more for each 64 KiB that have come.

    Raises:
        UsageError: from each method, where the service refuses the request.
        UnavailableError: where it does not answer, or with something else than documented.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        if token is not None:
            self._carry(token)

    # -- sign-in ------------------------------------------------------------------------------------------

    def sign_in(self, signer: LocalAccount) -> a.SignedIn:
        """Sign in with a key, and send the token from now on.

        A service cannot have a message signed that lets it in elsewhere: domain and URI must be those under
        which it was asked, and the statement is ours.
        """
        terms = self._parsed(a.SignInTerms, self._sent("POST", "/sign-in/nonce"))
        said = (terms.domain, terms.uri, terms.statement)
        wanted = (self._url.partition("://")[2], self._url, STATEMENT)
        if said != wanted:
            expected = f"the address under which it is asked, {self._url}"
            raise UsageError("the service's own address ([listen] url)", expected=expected, got=terms.uri)
        fields = terms.model_dump() | {"chain_id": int(terms.chain_id), "address": signer.address}
        text = str(SignInMessage(**fields))
        SignInMessage.parse(text)  # no field of the service's can make it say something else
        signature = "0x" + signer.sign_message(encode_defunct(text=text)).signature.hex().removeprefix("0x")
        body = {"message": text, "signature": signature}
        signed_in = self._parsed(a.SignedIn, self._sent("POST", "/sign-in", json=body))
        self._carry(signed_in.token)
        return signed_in

    def renew(self) -> a.SignedIn:
        """Let the token be good for longer."""
        return self._parsed(a.SignedIn, self._sent("POST", "/sign-in/renew"))

    def browser_code(self) -> a.SignInCode:
        """Return a code that lets a browser in, once."""
        return self._parsed(a.SignInCode, self._sent("POST", "/sign-in/code"))

    def sign_out(self) -> None:
        """End the token."""
        self._parsed(a.SignedOut, self._sent("POST", "/sign-out"))

    def who_am_i(self) -> a.WhoAmI:
        """Return what the token's owner is to the consortium now."""
        return self._parsed(a.WhoAmI, self._sent("GET", "/who-am-i"))

    def access_log_head(self) -> a.AccessLogHead:
        """Return where the access log ends, and behind which entry it is kept."""
        return self._parsed(a.AccessLogHead, self._get("/access-log/head", {}))

    def access_log(self, after: int = 0) -> Iterator[a.AccessLogEntry]:
        """Yield who looked at what, behind an entry. Asking for it adds entries: it has no end."""
        while True:
            asked = {"after": after, "limit": 200}
            items = self._parsed(a.AccessLogPage, self._get("/access-log", asked)).items
            yield from items
            if not items:
                return
            after = items[-1].number

    def _carry(self, token: str) -> None:
        self._session.auth = _Bearer(token)

    # -- single things ------------------------------------------------------------------------------------

    def health(self) -> r.Health:
        """Return whether the service is well."""
        return self._parsed(r.Health, self._get("/health", {}))

    def consortium(self) -> r.Consortium:
        """Return the consortium as its events made it."""
        return self._one(r.Consortium, "/consortium")

    def member(self, member: int) -> r.Member:
        """Return a member."""
        return self._one(r.Member, f"/members/{member}")

    def plan(self, terms: str) -> r.PlanWithVotes:
        """Return terms by their digest, with the votes on them."""
        return self._one(r.PlanWithVotes, f"/plans/{terms}")

    def run(self, run: int | str) -> r.Run:
        """Return a run."""
        return self._one(r.Run, f"/runs/{run}")

    def round(self, run: int | str, round_: int) -> r.Round:
        """Return a round."""
        return self._one(r.Round, f"/runs/{run}/rounds/{round_}")

    def contribution(self, run: int | str, round_: int, member: int) -> r.Contribution:
        """Return what an eligible member did in a round."""
        return self._one(r.Contribution, f"/runs/{run}/rounds/{round_}/contributions/{member}")

    def inclusion(self, run: int | str, round_: int, member: int) -> r.Inclusion:
        """Return the proof that a member's verdict is part of a certified result."""
        return self._one(r.Inclusion, f"/runs/{run}/rounds/{round_}/proofs/inclusion/{member}")

    def consistency(self, run: int | str, first: int = 0, last: int | None = None) -> r.Consistency:
        """Return the proof that the head after one round leads to the head after another."""
        return self._one(r.Consistency, f"/runs/{run}/proofs/consistency", first=first, last=last)

    # -- lists --------------------------------------------------------------------------------------------

    def members(self) -> Iterator[r.Member]:
        """Yield members, removed ones included."""
        return self._pages(r.Member, "/members")

    def history(self, member: int | None = None) -> Iterator[r.ConsortiumEvent]:
        """Yield the consortium's events, or those of a member."""
        path = "/consortium/history" if member is None else f"/members/{member}/history"
        return self._pages(r.ConsortiumEvent, path)

    def roles(self) -> Iterator[r.RoleHolder]:
        """Yield accounts that have, or had, a role."""
        return self._pages(r.RoleHolder, "/consortium/roles")

    def plans(self) -> Iterator[r.Plan]:
        """Yield terms that were put to the vote, the newest first."""
        return self._pages(r.Plan, "/plans")

    def runs(self, terms: str | None = None) -> Iterator[r.Run]:
        """Yield runs, the newest first."""
        return self._pages(r.Run, "/runs", terms=terms)

    def rounds(self, run: int | str) -> Iterator[r.Round]:
        """Yield a run's rounds, the newest first."""
        return self._pages(r.Round, f"/runs/{run}/rounds")

    def contributions(
        self,
        run: int | str,
        *,
        round_: int | None = None,
        member: int | None = None,
        verdict: str | None = None,
    ) -> Iterator[r.Contribution]:
        """Yield what eligible members did in a run's rounds, by round and member."""
        filters = {"round": round_, "member": member, "verdict": verdict}
        return self._pages(r.Contribution, f"/runs/{run}/contributions", **filters)

    def proposals(self, run: int | str, *, round_: int | None = None) -> Iterator[r.Proposal]:
        """Yield proposed results."""
        return self._pages(r.Proposal, f"/runs/{run}/proposals", round=round_)

    def attestations(
        self,
        run: int | str,
        *,
        round_: int | None = None,
        member: int | None = None,
        dispute: bool | None = None,
    ) -> Iterator[r.Attestation]:
        """Yield attestations, replaced and late ones included."""
        said = None if dispute is None else str(dispute).lower()
        filters = {"round": round_, "member": member, "dispute": said}
        return self._pages(r.Attestation, f"/runs/{run}/attestations", **filters)

    def disputes(self) -> Iterator[r.Attestation]:
        """Yield attestations to another result than the certified one, in all runs."""
        return self._pages(r.Attestation, "/disputes")

    def models(self, run: int | str) -> Iterator[r.Model]:
        """Yield a run's models, the newest first, down to the genesis model."""
        return self._pages(r.Model, f"/runs/{run}/models")

    def metrics(
        self,
        run: int | str,
        *,
        round_: int | None = None,
        member: int | None = None,
        name: str | None = None,
    ) -> Iterator[r.Metric]:
        """Yield what members reported of the certified models."""
        filters = {"round": round_, "member": member, "name": name}
        return self._pages(r.Metric, f"/runs/{run}/metrics", **filters)

    def shares(self, run: int | str) -> Iterator[r.Share]:
        """Yield each member's part in a run."""
        return self._pages(r.Share, f"/runs/{run}/shares")

    def events(self, run: int | str | None = None) -> Iterator[r.Event]:
        """Yield all events, or those of a run."""
        return self._pages(r.Event, "/events", run=run)

    def search(self, text: str) -> list[r.Found]:
        """Return where a digest, a CID or an address occurs."""
        return self._parsed(r.Page[r.Found], self._get("/search", {"q": text})).items

    # -- replays ------------------------------------------------------------------------------------------

    def verify(self, run: int | str, round_: int | None = None) -> r.Verification:
        """Ask for a replay of a run, or of one of its rounds."""
        wanted = r.VerificationRequest(run=str(run), round=round_).model_dump()
        return self._parsed(r.Verification, self._sent("POST", "/verifications", json=wanted))

    def verification(self, number: str) -> r.Verification:
        """Return a replay: its progress, and its report once it is done."""
        return self._one(r.Verification, f"/verifications/{number}")

    def answer(self, path: str) -> bytes:
        """Return the answer at a path below ``/v1``, as it came."""
        return self._get(path, {})

    # -- requests -----------------------------------------------------------------------------------------

    def _one(self, kind: type[T], path: str, **asked: Any) -> T:
        return self._parsed(r.One[kind], self._get(path, asked)).item  # type: ignore[valid-type]

    def _pages(self, kind: type[T], path: str, **asked: Any) -> Iterator[T]:
        after = None
        while True:
            page = self._parsed(r.Page[kind], self._get(path, {**asked, "limit": 200, "after": after}))  # type: ignore[valid-type]
            yield from page.items
            after = page.next
            if after is None:
                return

    def _get(self, path: str, asked: dict[str, Any]) -> bytes:
        return self._sent(
            "GET", path, params={name: value for name, value in asked.items() if value is not None}
        )

    def _sent(self, method: str, path: str, **options: Any) -> bytes:
        for _ in range(_MOST_WAITS):
            response, body = self._exchange(method, path, **options)
            wait = response.headers.get("Retry-After", "")
            if response.status_code != HTTPStatus.TOO_MANY_REQUESTS or not _SOON.fullmatch(wait):
                break
            time.sleep(int(wait))
        if response.is_redirect:  # a token is for the service that it was asked of
            raise UsageError("address of the ledger API", expected="the service's own", got="a redirection")
        if response.ok:
            return body
        detail = self._parsed(r.Problem, body).detail
        kind = UnavailableError if response.status_code >= 500 or response.status_code == 429 else UsageError
        raise kind(f"the ledger API refuses {path}: {detail}")

    def _exchange(self, method: str, path: str, **options: Any) -> tuple[requests.Response, bytes]:
        begun = time.monotonic()
        try:
            with self._session.request(
                method,
                f"{self._url}/v1{path}",
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
                **options,
            ) as response:
                return response, self._body(response, begun)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UnavailableError("the ledger API does not answer", got=type(error).__name__) from error

    def _body(self, response: requests.Response, begun: float) -> bytes:
        """Read an answer piece by piece: one that drips would otherwise be waited for without end."""
        body = bytearray()
        while piece := response.raw.read1(_PIECE, decode_content=True):
            body += piece
            if len(body) > _MAX_ANSWER:
                raise UnavailableError("an answer", expected=f"at most {_MAX_ANSWER} bytes", got="more")
            if time.monotonic() - begun > self._timeout + len(body) / _PIECE:
                raise UnavailableError(
                    "the ledger API does not answer", got="an answer that comes too slowly"
                )
        return bytes(body)

    def _parsed(self, kind: type[T], body: bytes) -> T:
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValidationError as error:
            raise UnavailableError(
                "an answer of the ledger API is not as documented", got=error.errors()[0]["msg"]
            ) from error
