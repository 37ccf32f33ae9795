"""Settings of the auditors' service: ``api.toml``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from aggregator.config import ChainConfig, MonitoringConfig, StoreConfig, read_passphrase, read_sections
from api.access.addresses import LOOPBACK_NAMES, host_name
from api.access.guard import GuardConfig
from ledger.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from aggregator.config import Section
    from api.access.addresses import Network

__all__ = ["ApiConfig", "ListenConfig"]


@dataclass(frozen=True)
class ListenConfig:
    """Where the service answers, and whom.

    Args:
        host: an IP address of this machine.
        port: 0 for any free one.
        public: whether it answers everybody without a sign-in; on loopback only.
        tls_certificate: PEM file with the certificate and those that it rests on; None for no TLS.
        tls_key: PEM file with its private key.
        requests_per_minute: of one caller.
        url: where its users find it, if not at host and port: a proxy's address.
        proxies: whose word it takes for where a request comes from (``X-Forwarded-For``).
    """

    host: str = "127.0.0.1"
    port: int = 8600
    public: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    requests_per_minute: int = 600
    url: str | None = None
    proxies: tuple[Network, ...] = ()

    @property
    def guard(self) -> GuardConfig:
        """Whom it answers at all."""
        host = ipaddress.ip_address(self.host)
        own = {f"[{host}]" if host.version == 6 else str(host)}
        if not self.public and self.url is not None:
            own.add(host_name(urlsplit(self.url).netloc))
        return GuardConfig(
            hosts=frozenset(own | LOOPBACK_NAMES if host.is_loopback or host.is_unspecified else own),
            requests_per_minute=self.requests_per_minute,
            proxies=self.proxies,
            tls=(self.address or "").startswith("https://"),
        )

    @property
    def address(self) -> str | None:
        """Where its users find it; None where that is not known, or tokens would travel in the clear."""
        if self.url is not None:
            return self.url
        host = ipaddress.ip_address(self.host)
        safe = host.is_loopback or self.tls_certificate is not None
        if not safe or host.is_unspecified or self.port == 0:
            return None
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://{f'[{host}]' if host.version == 6 else host}:{self.port}"

    @classmethod
    def take(cls, section: Section) -> Self:
        """Take the table ``[listen]``."""
        config = cls(
            host=section.text("host", "127.0.0.1"),
            port=section.integer("port", 0, 65_535, 8600),
            public=section.flag("public"),
            tls_certificate=section.optional_path("tls_certificate"),
            tls_key=section.optional_path("tls_key"),
            requests_per_minute=section.integer("requests_per_minute", 1, 1_000_000, 600),
            url=_service_url(section.text("url", "-")),
            proxies=_networks(section.optional_texts("proxies")),
        )
        section.end()
        config.require_usable()
        return config

    def require_usable(self) -> None:
        """Refuse an address that is none, a public service beyond loopback, and half a TLS set-up.

        Raises:
            UsageError: one of these.
        """
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            raise UsageError("host to listen on", expected="an IP address", got=self.host) from None
        if self.public and not address.is_loopback:
            expected = "a loopback address such as 127.0.0.1"
            raise UsageError("host of a public service", expected=expected, got=self.host)
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError("TLS", expected="tls_certificate and tls_key", got="one of them")


@dataclass(frozen=True)
class ApiConfig:
    """All that the service is told.

    Args:
        chain: which ledger.
        store: the payloads that all roles share.
        listen: where it answers.
        state: its own folder.
        database: URL of the index's database; an SQLite file in ``state`` where None. It holds no password.
        database_password_file: a file whose first line is PostgreSQL's password; None where its own variables
            and files (``PGPASSFILE``) have it.
        poll_seconds: how often it looks at the chain.
        monitoring: what it shows of itself.
    """

    chain: ChainConfig
    store: StoreConfig
    listen: ListenConfig
    state: Path
    database: str | None = None
    database_password_file: Path | None = None
    poll_seconds: float = 2.0
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)

    @property
    def database_url(self) -> str:
        """URL of the index's database."""
        return self.database or f"sqlite:///{self.state.absolute() / 'index.sqlite'}"

    def database_password(self) -> str | None:
        """Return the password in its file; None where there is no such file.

        Raises:
            UsageError: it cannot be read or is empty.
        """
        return None if self.database_password_file is None else read_passphrase(self.database_password_file)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``api.toml``.

        Raises:
            UsageError: something in it cannot be used; file, table and key are named.
        """
        sections = read_sections(path, ("chain", "store", "listen", "api", "monitoring"))
        own = sections["api"]
        config = cls(
            chain=ChainConfig.take(sections["chain"]),
            store=StoreConfig.take(sections["store"]),
            listen=ListenConfig.take(sections["listen"]),
            state=own.path("state"),
            database=_without_password(own.text("database", "-")),
            database_password_file=own.optional_path("database_password_file"),
            poll_seconds=own.number("poll_seconds", 0.05, 3600, 2.0),
            monitoring=MonitoringConfig.take(sections["monitoring"]),
        )
        own.end()
        return config


_URL = re.compile(r"https://[0-9a-z.-]{1,253}(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")


def _service_url(url: str) -> str | None:
    if url == "-":
        return None
    if not _URL.fullmatch(url):
        expected = "https:// and a name in small letters, without a path; http:// on loopback alone"
        raise UsageError("[listen] url", expected=expected, got=url)
    return url


def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError:
        expected = 'addresses or networks such as "172.16.0.0/12"'
        raise UsageError("[listen] proxies", expected=expected, got=", ".join(texts)) from None


def _without_password(url: str) -> str | None:
    if url == "-":
        return None
    try:
        secret = make_url(url).password
    except ArgumentError:
        secret = None  # it is refused, without its text, where it is opened
    if secret:
        expected = "no password in it, but database_password_file"
        raise UsageError("[api] database", expected=expected, got="one")
    return url
