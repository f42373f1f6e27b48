"""
The wire with one rule taken out at a time, so that it can be shown that the judge sees what is missing then.

Each is a context: inside it the product is broken in one way, behind it whole again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import proxy.core.headers
import proxy.gateway.exchange
import proxy.wire.heads
from proxy.core.failures import Next
from proxy.core.messages import UNKNOWN_LENGTH, AnswerHead
from proxy.gateway.exchange import Exchange
from proxy.wire.chunked import BadChunk, ChunkedDecoder
from proxy.wire.client import Client
from proxy.wire.fields import ANSWER_FIELDS, REQUEST_FIELDS
from proxy.wire.pool import Pool
from proxy.wire.upstream import Upstream


@contextmanager
def instead(owner: Any, name: str, broken: Callable[..., Any]) -> Iterator[None]:
    """Put `broken` in the place of what `owner` has under `name`; it gets the original as its first argument."""
    original = getattr(owner, name)

    def replaced(*args: Any, **how: Any) -> Any:
        return broken(original, *args, **how)

    setattr(owner, name, replaced)
    _forget_lines()
    try:
        yield
    finally:
        setattr(owner, name, original)
        _forget_lines()


def _forget_lines() -> None:
    """What a field line means is kept in a memo: not beyond an ablation."""
    for each in (REQUEST_FIELDS, ANSWER_FIELDS):
        each._plain.clear()
        each._memo.clear()
        each._names.clear()


def length_and_chunked() -> AbstractContextManager[None]:
    """Content-Length beside Transfer-Encoding is ignored (RFC 9112 section 6.3 would allow that)."""
    return instead(proxy.wire.heads, "_frame", lambda real, request, length, coding: real(
        request, None if coding is not None else length, coding
    ))  # fmt: skip


def trailers_forwarded() -> AbstractContextManager[None]:
    """The last trailer of a request goes on to the side."""
    kept: list[bytes] = []

    def trailer(real: Any, self: ChunkedDecoder, data: bytes, at: int) -> int:
        end: int = real(self, data, at)
        if end > at + 2:
            kept[:] = [data[at:end]]
        return end

    def end_body(real: Any, self: Upstream) -> None:
        if self._streaming == UNKNOWN_LENGTH and kept:
            self._streaming = 0
            self.transport.write(b"0\r\n" + kept.pop() + b"\r\n")
        else:
            real(self)

    return _both(instead(ChunkedDecoder, "_trailer", trailer), instead(Upstream, "end_body", end_body))


def behind_head_reused() -> AbstractContextManager[None]:
    """What stands behind an answer is nobody's business, and its connection carries the next request."""

    def leave(real: Any, self: Upstream, head: AnswerHead, rest: bool, bodyless: bool = False) -> None:
        real(self, head, False, bodyless)

    return instead(Upstream, "_leave", leave)


def late_body_trusted() -> AbstractContextManager[None]:
    """A connection whose answer to HEAD spoke of a body is taken again at once, though that body may still come."""
    return instead(Upstream, "_leave", lambda real, self, head, rest, bodyless=False: real(self, head, rest))


def pipelined_swapped() -> AbstractContextManager[None]:
    """The answer to the first of two pipelined requests comes behind that to the second."""

    class Held:
        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.writes: list[bytes] = []

        def write(self, data: bytes) -> None:
            self.writes.append(data)
            if len(self.writes) == 2:
                self.transport.write(self.writes[1] + self.writes[0])
                self.writes.clear()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.transport, name)

    def answer(real: Any, self: Client, *args: Any) -> None:
        complete = args[5]
        if (
            complete
            and self.keep_alive
            and self._pending.endswith(b"\r\n\r\n")
            and not isinstance(self.transport, Held)
        ):
            self.transport = Held(self.transport)  # type: ignore[assignment]
        real(self, *args)

    return instead(Client, "answer", answer)


def torn_as_whole() -> AbstractContextManager[None]:
    """A torn answer gets a last chunk."""

    def abort(real: Any, self: Client) -> None:
        if self._framing == 1:
            self.transport.write(b"0\r\n\r\n")
            self._complete()
        else:
            real(self)

    return instead(Client, "abort", abort)


def half_body_as_whole() -> AbstractContextManager[None]:
    """A chunked body that breaks off is ended for the side."""

    def torn(real: Any, self: Exchange, status: int, why: str) -> None:
        if self._line is not None:
            self._line.end_body()
        real(self, status, why)

    return instead(Exchange, "torn", torn)


def writes_repeated() -> AbstractContextManager[None]:
    """Whatever failed is tried again."""

    def again(real: Any, error: Any, **how: Any) -> Next:
        following: Next = real(error, **how)
        return Next.AGAIN if following is Next.GIVE_UP and not how["tried_again"] else following

    return instead(proxy.gateway.exchange, "after_failure", again)


def named_fields_kept() -> AbstractContextManager[None]:
    """What Connection names is forwarded all the same."""
    return instead(proxy.wire.heads, "without", lambda real, fields, names: fields)


def hop_by_hop_kept() -> AbstractContextManager[None]:
    """Hop-by-hop fields are fields like any other."""

    def meaning(real: Any, name: bytes) -> int:
        found: int = real(name)
        return proxy.core.headers.PLAIN if found == proxy.core.headers.HOP else found

    return instead(REQUEST_FIELDS, "_meaning_of", meaning)


def extensions_lax() -> AbstractContextManager[None]:
    """A bare LF ends a chunk line."""

    def feed(real: Any, self: ChunkedDecoder, data: bytes, lines: int) -> list[bytes]:
        return real(self, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), lines)  # type: ignore[no-any-return]

    return instead(ChunkedDecoder, "feed", feed)


def bad_chunks_ignored() -> AbstractContextManager[None]:
    """What breaks the chunked coding of a request is passed over."""

    def feed(real: Any, self: ChunkedDecoder, data: bytes, lines: int) -> list[bytes]:
        try:
            return real(self, data, lines)  # type: ignore[no-any-return]
        except BadChunk:
            self.done = True
            return []

    return instead(ChunkedDecoder, "feed", feed)


def stray_bytes_kept() -> AbstractContextManager[None]:
    """An idle connection is taken without a look at it."""

    def send(real: Any, self: Pool, *args: Any, **how: Any) -> Any:
        for instance in self.instances:
            for line in instance.idle:
                line.stirs = lambda _: False
        return real(self, *args, **how)

    return instead(Pool, "send", send)


def deadlines_forgotten() -> AbstractContextManager[None]:
    """A client may take as long as it likes."""
    return instead(Client, "on_deadline", lambda real, self: None)


def sides_wait_for_ever() -> AbstractContextManager[None]:
    """A side may take as long as it likes."""
    return instead(Upstream, "on_deadline", lambda real, self: None)


def connections_not_closed() -> AbstractContextManager[None]:
    """Behind an answer with `Connection: close` the next request is served all the same."""

    def linger(real: Any, self: Client) -> None:
        self._body_left = 0
        self.keep_alive = True
        self._go_on()

    return instead(Client, "_linger", linger)


def raising() -> AbstractContextManager[None]:
    """A callback of the wire raises now and then: at early hints."""

    def interim(real: Any, self: Client, status: int, fields: list[bytes]) -> None:
        raise KeyError(status)

    return instead(Client, "interim", interim)


def unrecorded() -> AbstractContextManager[None]:
    """An exchange whose client left is forgotten."""
    return instead(Exchange, "gone", lambda real, self: None)


@contextmanager
def _both(one: AbstractContextManager[None], other: AbstractContextManager[None]) -> Iterator[None]:
    with one, other:
        yield


ABLATIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    each.__name__: each
    for each in (
        length_and_chunked, trailers_forwarded, behind_head_reused, late_body_trusted, pipelined_swapped,
        torn_as_whole, half_body_as_whole, writes_repeated, named_fields_kept, hop_by_hop_kept, extensions_lax,
        bad_chunks_ignored, stray_bytes_kept, deadlines_forgotten, sides_wait_for_ever, connections_not_closed,
        raising, unrecorded,
    )
}  # fmt: skip
