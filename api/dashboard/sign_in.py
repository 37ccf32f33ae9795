"""Pages on signing in and out: with a wallet in the browser, or with a code from the command line."""

from http import HTTPStatus
from typing import Annotated, Any

from eth_utils.address import to_checksum_address
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from api.access.desk import Desk
from api.access.message import SignInMessage
from api.access.sessions import begin_session, end_session, require_own_page, token_of
from api.dashboard.forms import fields_of, own_path
from api.dashboard.pages import render, serves, submits
from api.rest.callers import Standing
from ledger.errors import UsageError

__all__ = ["router"]

router = APIRouter()

Next = Annotated[str, Query(max_length=500, alias="next")]


@serves(router, "/sign-in", Standing.NOBODY)
async def ask(request: Request, wanted: Next = "/") -> Response:
    """Explain how to sign in, and ask for a code."""
    return _page(request, own_path(wanted))


@submits(router, "/sign-in", Standing.NOBODY)
async def redeem(request: Request) -> Response:
    """Let a browser in with a code."""
    require_own_page(request)  # another site's page would let the browser in as somebody else
    fields, desk = await fields_of(request), _desk(request)
    wanted = own_path(fields.get("next", "/"))
    account = desk.codes.redeem(fields.get("code", ""))
    if account is None:
        return _page(request, wanted, HTTPStatus.UNPROCESSABLE_ENTITY)
    request.state.caller = await desk.known(account)  # also for the access log
    token, _ = desk.tokens.issue(account)
    response = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
    begin_session(request, response, token)
    return response


@submits(router, "/sign-in/message", Standing.NOBODY)
async def message(request: Request) -> Response:
    """Return what a wallet is to sign for the address that it names."""
    require_own_page(request)
    address, terms = (await fields_of(request)).get("address", ""), _desk(request).terms()
    try:
        spelled = to_checksum_address(address)
    except (TypeError, ValueError):
        raise UsageError("address", expected="20 bytes in hex, with 0x") from None
    text = SignInMessage(
        domain=terms.domain,
        address=spelled,
        uri=terms.uri,
        chain_id=int(terms.chain_id),
        nonce=terms.nonce,
        issued_at=terms.issued_at,
        statement=terms.statement,
        expiration_time=terms.expiration_time,
    )
    return PlainTextResponse(str(text), headers={"Cache-Control": "no-store"})


@submits(router, "/sign-out", Standing.NOBODY)
async def leave(request: Request) -> Response:
    """End the session."""
    token = token_of(request)
    response = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    if token is not None:
        _desk(request).tokens.end(token)
        end_session(request, response)
    return response


def _page(request: Request, wanted: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    values: dict[str, Any] = {"wanted": wanted, "url": _desk(request).url, "refused": status != HTTPStatus.OK}
    text = render(request, "sign_in", **values)
    return Response(text, status, {"Cache-Control": "no-store"}, "text/html; charset=utf-8")


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk
