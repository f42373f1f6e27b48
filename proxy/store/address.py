"""
What a store address says: redis://, rediss://, unix:// and redis+sentinel:// taken apart; opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit, urlunsplit

from proxy.core.errors import ConfigError, Position, Problem

PLAIN = ("redis", "rediss", "unix")
SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where the store is.

    `url` is what redis-py understands (behind sentinels: database, user and options, the host means nothing);
    `sentinels` and `service` are empty unless sentinels are to be asked (`?sentinel_password=…` is their own);
    `shown` may be printed: it has no password.
    """

    url: str
    shown: str
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""
    sentinel_login: tuple[tuple[str, str], ...] = ()  # username and password of the sentinels themselves


def parse_address(url: str) -> Address:
    """Take a store address apart; raises ConfigError, in words that never repeat its password."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    try:
        if scheme in SENTINEL:
            return _sentinel(url, SENTINEL[scheme])
        if scheme == "unix":
            return _unix(url)
        if scheme in PLAIN:
            return _plain(url)
    except ValueError as exc:
        raise _refused(str(exc)) from exc
    known = "redis://, rediss://, unix:// or redis+sentinel://"
    raise _refused(f"should begin with {known}, is {shown(url)!r}")


def shown(url: str) -> str:
    """Return the address as it may be printed: without its password, and without options, which may hold others."""
    head, slashes, rest = url.partition("://")
    if not slashes:  # no address, but it may well hold a password
        return f"***@{url.rpartition('@')[2].partition('?')[0]}" if "@" in url else url
    login, at, place = rest.rpartition("@")
    user = login.partition(":")[0]
    masked = f"{user}:***@" if ":" in login else login + at
    return head + slashes + masked + place.partition("?")[0]


def _plain(url: str) -> Address:
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"should name a host, is {shown(url)!r}")
    _port(parts, shown(url))
    _database(parts.path.strip("/"))
    return Address(url, shown(url))


def _unix(url: str) -> Address:
    path = unquote(urlsplit(url).path)
    if not path:
        raise ValueError(f"should name the path of a socket, is {shown(url)!r}")
    if len(path.encode()) > 107:
        raise ValueError(f"should name a path of at most 107 bytes, has {len(path.encode())}")
    return Address(url, shown(url))


def _sentinel(url: str, plain_scheme: str) -> Address:
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service or not hosts:
        raise ValueError(f"should be redis+sentinel://host:port,host:port/service/db, is {shown(url)!r}")
    _database(database)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    own = [(word, options.pop(f"sentinel_{word}", "")) for word in ("username", "password")]
    return Address(
        url=urlunsplit((plain_scheme, f"{login}{at}master", f"/{database}", urlencode(options), "")),
        shown=shown(url),
        sentinels=tuple(_host(host) for host in hosts.split(",") if host),
        service=unquote(service),
        sentinel_login=tuple((word, value) for word, value in own if value),
    )


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"should name sentinels as host:port, has {text!r}")
    return parts.hostname, _port(parts, text) or SENTINEL_PORT


def _port(parts: SplitResult, said: str) -> int | None:
    """Return the port, None where there is none; `said` is what may be shown of the address."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"should have a number from 1 to 65535 as its port, as in redis://host:6379/0; is {said!r}")
    return port


def _database(text: str) -> None:
    if text and not text.isdecimal():
        raise ValueError(f"should end with the number of a database, ends with {text!r}")


def _refused(what: str) -> ConfigError:
    return ConfigError([Problem(Position("store"), "", what)])
