"""
The sockets of a replica's three listeners, by name: held before anything slow begins, or given by somebody else.

Knows the settings that name them, and nothing of what is said over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import socket

from proxy.addresses import host_port
from proxy.settings import Settings
from proxy.wire.listener import PortTaken, bound


def addresses_of(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return (setting, address) by listener."""
    return {
        "data": ("listen", settings.listen),
        "probes": ("probes.listen", settings.probes.listen),
        "admin": ("admin.listen", settings.admin.listen),
    }


def held(settings: Settings, given: Mapping[str, socket] | None = None) -> dict[str, socket]:
    """
    Return a socket for each listener: those `given`, and the others bound to the ports that the settings name.

    Raises PortTaken, with the setting, for a port that cannot be had.
    """
    found = dict(given or {})
    for name, (key, listen) in addresses_of(settings).items():
        if name not in found:
            found[name] = _held(key, listen)
    return found


def _held(key: str, listen: str) -> socket:
    try:
        return bound(*host_port(listen))
    except PortTaken as exc:
        raise PortTaken(f"{key}: {exc}") from exc
    except OSError as exc:  # a name that does not resolve
        raise PortTaken(f"{key}: cannot listen on {listen}: {exc.strerror or exc}") from exc


def listening_on(settings: Settings, sockets: Mapping[str, socket]) -> Settings:
    """Return settings that name the addresses of these sockets, by listener, instead of their own."""
    at = {name: _address(sock) for name, sock in sockets.items()}
    changes: dict[str, object] = {"listen": at["data"]} if "data" in at else {}
    for name in ("probes", "admin"):
        if name in at:
            changes[name] = getattr(settings, name).model_copy(update={"listen": at[name]})
    return settings.model_copy(update=changes)


def _address(sock: socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
