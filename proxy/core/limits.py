"""How much of anything the wire takes from a peer before it says no: values only, read from the settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """
    Bounds for one connection; what exceeds them gets 413, 414, 431 or 400 on the client's side, 502 on a side's.

    The last two are for all connections of clients: what exceeds them is closed without a word.
    """

    head_bytes: int = 65_536
    line_bytes: int = 16_384  # one field, name and value
    head_fields: int = 100
    target_bytes: int = 16_384
    body_bytes: int = 0  # of a request; 0: no limit
    body_buffer_bytes: int = 65_536  # a body up to here is kept so that a request can be sent again
    connections: int = 8_192
    connections_per_address: int = 0  # 0: no limit


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much one pool asks its address to bear, and how many messages wait for it."""

    connections: int = 1024
    pending_requests: int = 1024  # 0: what finds no connection fails at once


@dataclass(frozen=True, slots=True)
class ClientDeadlines:
    """How long a client may take, in seconds."""

    head_s: float = 10.0  # from the first byte of a head (or the connection) to its end
    body_idle_s: float = 30.0  # between two blocks of a request body
    idle_s: float = 60.0  # between two requests, and for a reader that takes nothing


SECOND_LOOKS = 8  # differences that are looked at again at once; each has a connection to either side at most
