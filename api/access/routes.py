"""Routes on signing in and out."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from api.access.desk import Desk
from api.access.records import (
    SessionBegun,
    SignedIn,
    SignedOut,
    SignInCode,
    SignInRequest,
    SignInTerms,
    WhoAmI,
)
from api.access.sessions import bearer, begin_session, end_session, require_own_page, token_of
from api.rest.answers import PROBLEMS
from api.rest.callers import Standing, least, unknown
from api.rest.records import Record
from api.rest.rows import address, text_time
from ledger.records import Role

if TYPE_CHECKING:
    from api.access.callers import KnownCaller

__all__ = ["router"]

router = APIRouter(tags=["sign-in"])


def _route(path: str, model: Any, standing: Standing = Standing.NOBODY) -> dict[str, Any]:
    return {
        "path": path,
        "response_model": None,
        "response_class": Response,
        "responses": {200: {"model": model}, **PROBLEMS},
        **least(standing),
    }


@router.post(**_route("/sign-in/nonce", SignInTerms))
async def nonce(request: Request) -> Response:
    """Return what a sign-in message must say, with a new nonce."""
    return _answer(_desk(request).terms())


@router.post(**_route("/sign-in", SignedIn | SessionBegun))
async def sign_in(request: Request, wanted: SignInRequest) -> Response:
    """Check a signed message, and return a token. Only keys that the consortium knows get one."""
    if wanted.cookie:
        require_own_page(request)  # another site's page would let the browser in as somebody else
    desk = _desk(request)
    message = desk.judge(wanted.message)
    await desk.require_signed(message, bytes.fromhex(wanted.signature[2:]))
    request.state.caller = await desk.known(message.account)  # also for the access log
    desk.nonces.use(message.nonce)
    token, made = desk.tokens.issue(message.account)
    expires = text_time(made.expires)
    if not wanted.cookie:
        return _answer(SignedIn(token=token, expires=expires))
    response = _answer(SessionBegun(expires=expires))
    begin_session(request, response, token)
    return response


@router.post(**_route("/sign-in/code", SignInCode, Standing.READER))
async def code(request: Request) -> Response:
    """Return a code that lets a browser in as the token's owner: within two minutes, once."""
    if bearer(request) is None:  # a browser that is in needs none
        raise unknown()
    caller: KnownCaller = request.state.caller
    made, end = _desk(request).codes.make(caller.account)
    return _answer(SignInCode(code=made, expires=text_time(end)))


@router.post(**_route("/sign-in/renew", SignedIn, Standing.READER))
async def renew(request: Request) -> Response:
    """Let the token be good for longer: for 15 minutes from now, up to 12 hours from the sign-in."""
    token = bearer(request) or ""
    renewed = _desk(request).tokens.renew(token)
    if renewed is None:
        raise unknown()
    return _answer(SignedIn(token=token, expires=text_time(renewed.expires)))


@router.post(**_route("/sign-out", SignedOut))
async def sign_out(request: Request) -> Response:
    """End the token that the request carries."""
    token = token_of(request)
    response = _answer(SignedOut(signed_out=True))
    if token is not None:
        _desk(request).tokens.end(token)
        end_session(request, response)
    return response


@router.get(**_route("/who-am-i", WhoAmI, Standing.READER))
async def who_am_i(request: Request) -> Response:
    """Return what the token's owner is to the consortium now."""
    caller: KnownCaller = request.state.caller
    return _answer(
        WhoAmI.model_validate(
            {
                "account": address(caller.account),
                "standing": caller.standing.name.lower(),
                "member": caller.member,
                "roles": [str(role.name).lower() for role in Role if role in caller.roles],
                "expires": text_time(caller.expires or 0),
            }
        )
    )


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _answer(record: Record) -> Response:
    return Response(
        record.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"}
    )
