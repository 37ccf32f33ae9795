"""All pages that a service has."""

from fastapi import APIRouter

from api.dashboard import (
    access_log,
    bundles,
    members,
    plans,
    rounds,
    runs,
    search,
    sign_in,
    static_files,
    verifications,
)

__all__ = ["routers"]


def routers(*, replays: bool, signs_in: bool) -> list[APIRouter]:
    """Return the routers of all pages.

    Args:
        replays: whether the service replays runs on demand.
        signs_in: whether people can sign in.
    """
    rooms = [static_files, runs, rounds, members, plans, search, bundles]
    rooms += [verifications] if replays else []
    rooms += [sign_in, access_log] if signs_in else []
    return [room.router for room in rooms]
