"""
Addresses, networks and header fields as they may stand in `config.yaml`, and how each is worded when it is wrong.

A check takes the text and returns it, or raises ValueError with the sentence for the operator. It looks at one value
only, resolves no name and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from proxy.core.errors import ConfigError
from proxy.store.address import parse_address

EMBEDDED = "embedded"
LOOPBACK_NAMES = frozenset({"localhost", "localhost.", "ip6-localhost"})
NOT_FOR_SIDES = frozenset({
    "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade", "via",
})  # fmt: skip


def host_port(listen: str) -> tuple[str, int]:
    """Take `host:port` or `[v6]:port` apart; raises ValueError with a sentence that says what it should be."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"should be host:port, such as 127.0.0.1:8080, is {listen}")
    if not host:
        raise ValueError(f"should name the host to listen on: 127.0.0.1{listen} or, for all of them, 0.0.0.0{listen}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not _is_address(host, 6):
            raise ValueError(f"should have an IPv6 address between the brackets, is {listen}")
    elif ":" in host:
        raise ValueError(f"should have brackets round an IPv6 address: [{host}]:{port}")
    elif not _is_host(host):
        raise ValueError(f"should name a host or an address, is {listen}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach what listens on `host`."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    return _is_address(host) and ip_address(host.partition("%")[0]).is_loopback


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        return version in (None, ip_address(text.partition("%")[0]).version)
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    """Names as people give them to containers too: with `_`. An address of four numbers must be a right one."""
    if not text.isascii() or not text.replace(".", "").replace("-", "").replace("_", "").isalnum():
        return False
    return _is_address(text) or not text.replace(".", "").isdecimal()


def checked_listen(text: str) -> str:
    """Return `host:port`; port 0 lets the system choose."""
    host_port(text)
    return text


def checked_side_url(text: str) -> str:
    """Return one origin without a slash behind it; paths are forwarded as they came, so a base path has no meaning."""
    should = "should be http(s)://host:port" + ("" if "@" in text else f", is {text!r}")  # no password in a log
    if not text.lower().startswith(("http://", "https://")) or not text.isprintable() or " " in text:
        raise ValueError(should)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("should be http(s)://host:port, with a port from 1 to 65535") from None
    host = parts.hostname or ""
    if "@" in parts.netloc:
        raise ValueError("must not carry a user or password; put an Authorization field under `headers`")
    if "?" in text or "#" in text:
        raise ValueError("must not carry a query or fragment; give http(s)://host:port")
    if parts.path not in ("", "/"):
        raise ValueError(
            f"must not carry a path ({parts.path}): paths are forwarded as they came; give http(s)://host:port"
        )
    if port == 0 or parts.netloc.endswith(":") or not (_is_address(host, 6) or _is_host(host)):
        raise ValueError(should)
    return text.rstrip("/")


@dataclass(frozen=True, slots=True)
class Origin:
    """A url that `checked_side_url` let pass, in its parts."""

    url: str  # `http://host:port` or `https://host:port`, without a slash behind it

    @property
    def host(self) -> str:
        """The name or address, an IPv6 one without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port; if none is given, the one of the scheme."""
        return urlsplit(self.url).port or self._usual_port

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How it is spoken to."""
        return "https" if self.url[:6].lower() == "https:" else "http"

    @property
    def authority(self) -> str:
        """What stands in Host: the port only if it is not the one of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port != self._usual_port else host

    @property
    def _usual_port(self) -> int:
        return 443 if self.scheme == "https" else 80


def checked_server_name(text: str) -> str:
    """Return the name or address for which a side's certificate must have been made."""
    if not (_is_host(text) or _is_address(text)) or text.startswith(".") or "%" in text:
        raise ValueError(f"should be the name in the side's certificate, such as app.example.net, is {text!r}")
    return text


def checked_side_path(text: str) -> str:
    """Return a path that a side is asked for."""
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError(f"should be a path such as /healthz, is {text}")
    return text


def checked_field_name(text: str) -> str:
    """Return the name of a header field that an operator may add to requests."""
    if not text or not text.isascii() or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in text):
        raise ValueError(f"{text!r} is no name of a header field")
    if text.lower() in NOT_FOR_SIDES or text.lower().startswith(("proxy-", "x-banyan-")):
        raise ValueError(f"{text} is written by Banyan itself and cannot be set here")
    return text


def checked_field_value(text: str) -> str:
    """Return the value of a header field."""
    if text != text.strip() or not text.isascii() or not text.replace("\t", " ").isprintable():
        raise ValueError("should be printable ASCII without spaces at either end")
    return text


def checked_network(text: str) -> str:
    """Return an address or network in CIDR notation."""
    try:
        ip_network(text)
    except ValueError:
        try:
            right = ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"should be an address or network such as 10.0.0.0/8, is {text}") from None
        raise ValueError(f"has bits set beyond its prefix; {text} should be {right}") from None
    return text


def checked_store(text: str) -> str:
    """Return `embedded` or the address of a store that this release can talk to; never shows its password."""
    if text == EMBEDDED:
        return text
    if "cluster" in text.partition("://")[0].lower():
        raise ValueError("Redis Cluster is not built yet; give redis://, rediss://, unix:// or redis+sentinel://")
    try:
        parse_address(text)
    except ConfigError as exc:
        what = exc.problems[0].what
        raise ValueError(what.replace("should begin with", f"should be `{EMBEDDED}` or begin with")) from None
    return text


def checked_namespace(text: str) -> str:
    """Return the prefix of every key in Redis; glob characters would widen a search for keys."""
    if not text or not text.isascii() or not text.isprintable() or any(c in text for c in " *?[]\\\"'"):
        raise ValueError(f"should be a word without spaces, quotes and *?[], is {text!r}")
    return text


def checked_via(text: str) -> str:
    """Return a pseudonym for Via (RFC 9110 section 7.6.3)."""
    if not text or not text.isascii() or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~:" for c in text):
        raise ValueError(f"should be one word as in a host's name, is {text!r}")
    return text
