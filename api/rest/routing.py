"""How routes are declared: their answers, the least standing that they demand, parts of their paths."""

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Response

from api.rest.answers import PROBLEMS
from api.rest.callers import Standing, least

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Digest", "MemberIndex", "RoundNumber", "RunNumber", "reads"]

F = TypeVar("F", bound="Callable[..., Any]")

_LARGEST = (1 << 63) - 1

RunNumber = Annotated[int, Path(ge=1, le=_LARGEST, examples=[12])]
RoundNumber = Annotated[int, Path(ge=1, le=_LARGEST, examples=[7])]
MemberIndex = Annotated[int, Path(ge=0, le=255, examples=[3])]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", examples=["5f" * 32])]
OfRound = Annotated[int | None, Query(ge=1, le=_LARGEST, alias="round", description="of this round only")]
OfMember = Annotated[int | None, Query(ge=0, le=255, alias="member", description="of this member only")]


def reads(
    router: APIRouter, path: str, model: Any, standing: Standing = Standing.READER
) -> "Callable[[F], F]":
    """Declare a route that reads.

    Args:
        router: where it belongs.
        path: below ``/v1``.
        model: the answer's shape.
        standing: whom it answers.
    """
    answers: dict[int | str, dict[str, Any]] = {200: {"model": model}, 304: {"description": "Not Modified"}}
    return router.get(
        path,
        response_model=None,
        response_class=Response,
        responses={**answers, **PROBLEMS},
        **least(standing),
    )
