"""Where a request comes from, and for which host it is.

A browser that was lured to a name which somebody else points at this machine (DNS rebinding) says that name
in ``Host``; so whoever names a host that is not the service's own is not answered.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LOOPBACK_NAMES", "Network", "client_address", "counted_as", "host_name"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""As ``Host`` says them."""
_HOST = re.compile(r"([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_MAX_HOPS = 32


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, or in a URL's authority: small letters; empty for none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else ""


def client_address(peer: str, forwarded: Iterable[str], proxies: tuple[Network, ...]) -> str:
    """Return who sent a request: the last one in the row whose word is not believed.

    Args:
        peer: the address at the other end of the connection.
        forwarded: the values of ``X-Forwarded-For``, in order.
        proxies: whose word is believed.
    """
    if not proxies or not _within(_parsed(peer), proxies):
        return peer
    for hop in reversed(",".join(forwarded).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
        address = _parsed(hop.strip())
        if address is None:
            break  # who said that is as far as can be seen
        peer = str(address)
        if not _within(address, proxies):
            break
    return peer


def counted_as(address: str) -> str:
    """Return what an address's requests are counted under: of IPv6 its /64, as one customer has all of it."""
    parsed = _parsed(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address


def _within(address: _Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(address in network for network in networks)
