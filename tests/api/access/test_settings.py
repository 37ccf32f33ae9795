"""Under which address a service lets people sign in."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.config import ListenConfig

_TLS = {"tls_certificate": Path("certificate.pem"), "tls_key": Path("key.pem")}


@pytest.mark.parametrize(
    ("config", "address"),
    [
        (ListenConfig(), "http://127.0.0.1:8600"),
        (ListenConfig("::1", 8601), "http://[::1]:8601"),
        (ListenConfig("10.0.0.5", 443, **_TLS), "https://10.0.0.5:443"),
        (ListenConfig("0.0.0.0", url="https://a.example"), "https://a.example"),  # noqa: S104 - behind a proxy
        (ListenConfig("10.0.0.5"), None),
        (ListenConfig("0.0.0.0", **_TLS), None),  # noqa: S104 - no name
        (ListenConfig(port=0), None),
    ],
)
def test_a_service_knows_its_address_or_lets_nobody_sign_in(
    config: ListenConfig, address: str | None
) -> None:
    """A token must not travel in the clear, and an address that nobody types must not be signed."""
    assert config.address == address
