"""
What each request of the load is, and the one answer to it that is right: known to the client and to the sides alike.

Values only. Every request has an id of its own, and the body of its answer follows from that id, the side, the method
and the digest of the body that the side received: so a torn answer, another's answer and a lost byte are all seen.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

READ_SHARE = 0.8
ID_FIELD = b"x-fault-id"
LONG_BYTES, MIDDLE_BYTES, SHORT_BYTES = 100_000, 20_000, 300  # of answers: beyond what is held for a fallback, below it
NOTHING = ""  # the digest of no body


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `message` is all of its bytes."""

    number: int
    method: str
    digest: str
    message: bytes

    @property
    def is_read(self) -> bool:
        return self.method == "GET"

    @property
    def repeats_harm(self) -> bool:
        """Whether doing it twice may differ from doing it once."""
        return self.method == "POST"


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16] if body else NOTHING


def request_of(number: int, seed: int = 0) -> Request:
    """Return the request with this number: 80 % GET, the others POST and PUT with bodies of any size and framing."""
    chance = random.Random(seed << 32 | number)
    user = b"x-user-id: %d\r\n%b: %d\r\n" % (chance.randrange(1 << 30), ID_FIELD, number)
    if chance.random() < READ_SHARE:
        head = b"GET /api/users/%d?n=%d HTTP/1.1\r\nhost: faults.example\r\n%b\r\n" % (number, number, user)
        return Request(number, "GET", NOTHING, head)
    method, path = ("POST", b"/api/users") if chance.random() < 0.5 else ("PUT", b"/api/users/%d" % number)
    body = chance.randbytes(chance.choice((1, 200, 200, 200, 5_000, 90_000)))
    chunked = chance.random() < 0.3
    framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
    head = b"%b %b HTTP/1.1\r\nhost: faults.example\r\n%b%b\r\n\r\n" % (method.encode(), path, user, framing)
    return Request(number, method, digest_of(body), head + (in_chunks(body) if chunked else body))


def in_chunks(body: bytes, size: int = 7_000) -> bytes:
    blocks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"


def answer_body(number: int, side: str, method: str, digest: str) -> bytes:
    """Return the body that `side` has to answer with; its first line is the token."""
    token = f"{number} {side} {method} {digest}\n".encode()
    size = LONG_BYTES if number % 20 == 0 else MIDDLE_BYTES if number % 5 == 0 else SHORT_BYTES
    block = hashlib.sha256(token).hexdigest().encode()
    return (token + block * (size // len(block) + 1))[:size]


def answer_message(number: int, side: str, method: str, digest: str, status: int = 200) -> bytes:
    """Return the whole answer of a side; every other one of middle size comes in chunks."""
    body = answer_body(number, side, method, digest)
    head = b"HTTP/1.1 %d X\r\ncontent-type: text/plain\r\n" % status
    if number % 10 == 5:
        return head + b"transfer-encoding: chunked\r\n\r\n" + in_chunks(body)
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def owner_of(body: bytes) -> int | None:
    """Return whose answer a body begins as, if it is one of ours at all."""
    number, _, rest = body.partition(b" ")
    return int(number) if number.isdigit() and len(number) < 12 and rest else None
