"""What forms of pages send."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ledger.errors import UsageError

if TYPE_CHECKING:
    from fastapi import Request

__all__ = ["fields_of", "own_path"]

_MAX_FIELDS = 8


async def fields_of(request: "Request") -> dict[str, str]:
    """Return a form's fields by name.

    Raises:
        UsageError: the request's body is no form.
    """
    body = await request.body()
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except (UnicodeDecodeError, ValueError):
        raise UsageError(
            "the form", expected=f"at most {_MAX_FIELDS} fields, as a browser sends them"
        ) from None
    return dict(pairs)


def own_path(text: str) -> str:
    """Return a path of this service to go on to; the first page for whatever else is asked for."""
    own = (
        text.startswith("/") and not text.startswith(("//", "/\\")) and text.isascii() and text.isprintable()
    )
    return text if own and len(text) <= 500 else "/"
