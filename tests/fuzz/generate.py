"""
Conversations at random: whole ones by their structure, then changed where it hurts. One seed, one conversation.

The case tables of the wire are the seeds beside what is built here. Knows nothing of right and wrong.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from random import Random

from tests.fuzz.conversation import (
    PLAIN,
    TOKEN,
    WHOLE,
    Act,
    Conversation,
    Deaf,
    Drain,
    Hear,
    Leave,
    Pass,
    Reply,
    Send,
    Settle,
    Stray,
)
from tests.wire import test_cases, test_cases_answers

_LONGEST_SEED = 2000
_REQUESTS = [
    *(request for request, _ in test_cases.REFUSED.values() if len(request) < _LONGEST_SEED),
    *(request for request, _ in test_cases.BODY.values()),
    *(test_cases.chunks(body) for body in test_cases.BROKEN_BODIES.values() if len(body) < _LONGEST_SEED),
    *(test_cases.chunks(data, b"Trailer: X-Sum") for data, _ in test_cases.CHUNKED.values()),
    *(test_cases.get(target=path) for path in test_cases.AMBIGUOUS),
]
_ANSWERS = [
    *(data for data in test_cases_answers.BAD.values() if len(data) < _LONGEST_SEED),
    *(answer[0] for answer in test_cases_answers.GOOD_ANSWERS.values()),
]
_TORN = [data for data, _ in test_cases_answers.TORN.values()]

_METHODS = [b"GET"] * 9 + [b"HEAD"] * 4 + [b"POST"] * 6 + [b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND"]
_FIELDS = [
    b"Connection: close", b"Connection: keep-alive", b"Connection: X-Foo", b"X-Foo: 1", b"X-Bar: \xc3\xa4\xff",
    b"TE: trailers", b"Trailer: X-Sum", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Cookie: a=1; b=2",
    b"Cookie: c=3", b"Authorization: Bearer x", b"X-Forwarded-For: 9.9.9.9", b"Forwarded: for=9.9.9.9",
    b"X-Forwarded-Host: evil", b"X-Request-Id: banyan-1", b"X_A: 1", b"Via: 1.1 other", b"Via: 1.1 banyan",
    b"If-None-Match: \"x\"", b"If-Range: \"x\"", b"Range: bytes=0-1", b"X-Banyan-Side: modern", b"Proxy: x",
    b"X-Banyan-Force: modern;x", b"X-HTTP-Method-Override: PUT", b"Max-Forwards: 0", b"Max-Forwards: 7", b"Accept: */*",
    b"Content-Type: text/plain", b"X-Empty:", b"X-Spaced: \t a  b \t", b"Expect: 100-continue", b"HTTP2-Settings: AA",
    b"X-Long: " + b"y" * 900, b"traceparent: 00-1-1-01",
]  # fmt: skip
_ANSWER_FIELDS = [
    b"Connection: close", b"Connection: keep-alive", b"Connection: X-Foo", b"X-Foo: 1", b"Keep-Alive: timeout=5",
    b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"ETag: \"x\"", b"Last-Modified: x", b"Location: http://other/x",
    b"Content-Type: text/plain", b"Content-Type: text/event-stream", b"X-Banyan-Side: evil", b"Trailer: X-Sum",
    b"Via: 1.1 inner", b"Server: x", b"X_A: 1", b"Proxy-Status: inner; error=x", b"Upgrade: h2c", b"Date: now",
]  # fmt: skip
_ODD = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"5", b"f", b"\x0b", b"\x7f", b"\xff",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: b\r\n",
    b"Content-Length: 0\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\n", b"Upgrade: websocket\r\n",
    b" folded\r\n",
    b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"HTTP/1.1 ", b"HTTP/1.0 ",
    b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Expect: 100-continue\r\n",
]  # fmt: skip
_SIZES = (0, 1, 2, 5, 40, 255, 256, 257, 400, 900)  # around what the world keeps of a body
_MUCH = 400_000  # bytes, more than the kernel takes on its way
_SMUGGLED = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"


def conversation(chance: Random) -> Conversation:
    """Return the conversation that `chance` draws."""
    clients = chance.choice((1, 1, 1, 1, 2, 2, 3))
    parts = [_client(chance, number) for number in range(clients)]
    acts = _interleaved(chance, parts)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
        acts.insert(chance.randrange(len(acts) + 1), _pause(chance))
    asked = sum(isinstance(act, Send) for act in acts) + 2
    upgrades = any(isinstance(act, Send) and b"websocket" in act.data for act in acts)
    replies = tuple(reply(chance, upgrades) for _ in range(chance.randrange(min(asked, 8) + 1)))
    made = Conversation(tuple(acts), replies)
    if chance.random() < 0.03:
        made = _heavy(chance, made)
    if chance.random() < 0.3:
        made = made.but(weight=100.0)
    if chance.random() < 0.05:
        made = made.but(exchange_s=10.0)
    if chance.random() < 0.15:
        made = made.but(strict=True)
    if chance.random() < 0.06:
        made = made.but(pool=chance.choice((1, 1, 2)))
    if chance.random() < 0.03:
        made = made.but(down=chance.choice(("legacy", "modern")))
    if chance.random() < 0.03:
        made = made.but(greets=chance.choice(((b"220 hi\r\n",), (b"", b"220 hi\r\n"), (b"HTTP/1.1 ",))))
    return made


def _heavy(chance: Random, made: Conversation) -> Conversation:
    """Let somebody who does not read meet what does not fit into the kernel's buffers."""
    if chance.random() < 0.5:
        head = b"HTTP/1.1 200 OK\r\nX-Token: %b\r\nContent-Length: %d\r\n\r\n" % (TOKEN, _MUCH)
        if chance.random() < 0.5:
            big = Reply(head + b"x" * _MUCH, cuts=(len(head), _MUCH // 2), waits=chance.random() < 0.5)
        else:
            big = Reply(head.replace(b"Content-Length: %d\r\n" % _MUCH, b"") + b"x" * _MUCH, end="close")
        return made.but(acts=(Send(0, b""), Deaf(0), *made.acts), replies=(big, *made.replies))
    framing = chance.choice(
        (b"Content-Length: %d\r\n\r\n" % _MUCH, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % _MUCH)
    )
    upload = b"POST /find/big HTTP/1.1\r\nHost: a\r\n" + framing + b"x" * _MUCH
    if b"chunked" in framing:
        upload += b"\r\n0\r\n\r\n"
    slow = Reply(deaf=True, end=chance.choice(("", "", "reset")), after=chance.choice((WHOLE, WHOLE, 0)))
    return made.but(acts=(Send(0, upload), *made.acts), replies=(slow, *made.replies))


# Clients


def _client(chance: Random, number: int) -> list[list[Act]]:
    """Return a client's acts, in groups that stay together."""
    requests = [request(chance, b"c%dr%d" % (number, n)) for n in range(chance.choice((1, 2, 2, 3, 3, 4, 6)))]
    acts: list[list[Act]] = []
    if chance.random() < 0.5:
        for segment in _segments(chance, b"".join(requests)):
            acts.append([Send(number, segment)])
    else:
        for each in requests:
            acts += [[Send(number, segment)] for segment in _segments(chance, each)]
            if chance.random() < 0.7:
                acts.append([_pause(chance)])
    _leave(chance, number, acts)
    if chance.random() < 0.06:
        at = chance.randrange(len(acts) + 1)
        acts.insert(at, [Deaf(number)])
        if chance.random() < 0.8:
            acts.insert(chance.randrange(at + 1, len(acts) + 1), [Settle(), Hear(number)])
    return acts


def _pause(chance: Random) -> Act:
    draw = chance.random()
    if draw < 0.8:
        return Settle()
    if draw < 0.82:
        return Drain()
    if draw < 0.9:
        return Pass(chance.choice((0.3, 0.3, 1.3, 5.0, 16.0, 31.0, 61.0)))
    return Stray(chance.choice((b"", b"", b"x", PLAIN, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\r\n")))


def _leave(chance: Random, number: int, acts: list[list[Act]]) -> None:
    draw = chance.random()
    if draw < 0.1:
        acts.append([Leave(number, "half")])
    elif draw < 0.28:
        how = chance.choice(("half", "close", "reset"))
        del acts[chance.randrange(len(acts) + 1) :]
        acts.append([Leave(number, how)])


def _interleaved(chance: Random, parts: list[list[list[Act]]]) -> list[Act]:
    acts: list[Act] = []
    while parts := [part for part in parts if part]:
        part = chance.choice(parts)
        for _ in range(chance.choice((1, 1, 2, 5, 50))):
            if part:
                acts += part.pop(0)
    return acts


def _segments(chance: Random, data: bytes) -> list[bytes]:
    draw = chance.random()
    if draw < 0.5 or not data:
        return [data]
    if draw < 0.6 and len(data) < 200:
        return [data[at : at + 1] for at in range(len(data))]
    return pieces(data, cuts(chance, data))


def cuts(chance: Random, data: bytes) -> tuple[int, ...]:
    """Return a few places in `data`, mostly beside line ends."""
    ends = [found.start() + n for found in re.finditer(rb"\r\n", data) for n in (0, 1, 2)] or [0]
    found = {
        chance.choice(ends) if chance.random() < 0.6 else chance.randrange(len(data) + 1)
        for _ in range(chance.randrange(1, 5))
    }
    return tuple(sorted(found))


def pieces(data: bytes, at: tuple[int, ...]) -> list[bytes]:
    """Cut `data`; no piece is empty."""
    edges = [0, *sorted(at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


# Requests


def request(chance: Random, name: bytes) -> bytes:
    """Return the bytes of one request, mostly a good one; `name` makes its target its own."""
    if chance.random() < 0.15:
        data = chance.choice(_REQUESTS).replace(b"/api/users", b"/api/users/" + name, 1)
    else:
        data = _built(chance, name)
    while chance.random() < 0.25:
        data = mutated(chance, data)
    return data


def _built(chance: Random, name: bytes) -> bytes:
    method = chance.choice(_METHODS)
    target = chance.choice(
        (b"/api/users/%b",) * 6 + (b"/api/users?%b", b"http://a/api/users/%b", b"/other/%b", b"/find/%b", b"//%b/..;/x")
    )
    version = chance.choice((b"HTTP/1.1",) * 9 + (b"HTTP/1.0",))
    lines = [b"Host: a", *chance.sample(_FIELDS, chance.choice((0, 0, 0, 1, 1, 2, 4)))]
    if version == b"HTTP/1.0" and chance.random() < 0.5:
        lines = chance.choice(([b"Connection: keep-alive", *lines], lines[1:]))
    body = b""
    if method == b"POST" and chance.random() < 0.3:
        target = b"/find/%b"
    if chance.random() < 0.05:
        lines += [b"Connection: X-Foo", b"X-Foo: 1"]
    if chance.random() < 0.01:
        lines += [b"X-Long: " + b"y" * 900] * 5
    if chance.random() < 0.06:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
        body = chance.choice((b"", b"\x81\x00tunnel", _SMUGGLED))
    elif chance.random() < (0.2 if method in (b"GET", b"HEAD", b"OPTIONS") else 0.85):
        framing, body = _body(chance)
        lines.append(framing)
        if chance.random() < 0.03:
            lines.append(chance.choice((b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: 0")))
    if chance.random() < 0.3:
        chance.shuffle(lines)
    return b"\r\n".join([b"%b %b %b" % (method, target % name, version), *lines, b"", body])


def _content(chance: Random) -> bytes:
    if chance.random() < 0.2:
        return _SMUGGLED
    size = chance.choice(_SIZES)
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def _body(chance: Random) -> tuple[bytes, bytes]:
    content = _content(chance)
    if chance.random() < 0.5:
        return b"Content-Length: %d" % len(content), content
    return b"Transfer-Encoding: chunked", chunked(chance, content)


def chunked(chance: Random, content: bytes) -> bytes:
    """Return `content` in the chunked coding, with extensions and trailers now and then."""
    out = []
    for block in pieces(content, tuple(chance.randrange(len(content) + 1) for _ in range(chance.choice((0, 1, 3, 9))))):
        extension = chance.choice((b"",) * 6 + (b";a", b";a=b", b';a="b;c"'))
        size = chance.choice((b"%x", b"%x", b"%X", b"0%x"))
        out.append(b"%b%b\r\n%b\r\n" % (size % len(block), extension, block))
    out.append(chance.choice((b"0\r\n", b"0\r\n", b"000\r\n", b"0;a\r\n")))
    out.append(chance.choice((b"",) * 5 + (b"X-Sum: 1\r\n", b"X-Sum: 1\r\nX-Foo: 2\r\n", b"Content-Length: 5\r\n")))
    return b"".join([*out, b"\r\n"])


# Replies


def reply(chance: Random, upgrades: bool = False) -> Reply:
    """Return what a side does about one request, mostly something good."""
    end, bare, after = "", chance.random() < 0.8, WHOLE
    draw = chance.random()
    if draw < 0.25:
        data = _switch(chance) if upgrades and draw < 0.15 else PLAIN
    elif draw < 0.75:
        data, end = _answer(chance)
    elif draw < 0.87:
        data = chance.choice(_ANSWERS).replace(b"\r\n", b"\r\nX-Token: %b\r\n" % TOKEN, 1)
    elif draw < 0.93:
        data, end = chance.choice(_TORN), chance.choice(("close", "reset", "half", ""))
    else:
        data = _switch(chance)
    if chance.random() < 0.1:
        data += chance.choice((PLAIN, b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"))
    while chance.random() < 0.15:
        data = mutated(chance, data)
    if chance.random() < 0.06:
        data = data[: chance.randrange(len(data) + 1)]
        end = chance.choice(("", "close", "reset", "half"))
    if chance.random() < 0.06:
        end = chance.choice(("close", "reset", "half"))
    if chance.random() < 0.13:
        after = chance.choice((0, 0, 1, 100, 300))
    segments = cuts(chance, data) if data and chance.random() < 0.4 else ()
    if not bare and chance.random() < 0.5:  # a body that must not follow comes a little later
        segments = tuple(sorted({*segments, data.find(b"\r\n\r\n") + 4}))
    return Reply(data, segments, after, end, bare, waits=chance.random() < 0.15, deaf=chance.random() < 0.03)


def _answer(chance: Random) -> tuple[bytes, str]:
    """Return the bytes of an answer, and how the connection must end behind it."""
    status = chance.choice((200,) * 8 + (201, 204, 205, 206, 304, 404, 404, 500, 503, 599))
    lines = [b"X-Token: " + TOKEN, *chance.sample(_ANSWER_FIELDS, chance.choice((0, 0, 1, 2, 4)))]
    content = b"[%b]" % TOKEN + _content(chance)
    if chance.random() < 0.01:
        lines += [b"X-Long: " + b"y" * 1400] * 3
    end = ""
    draw = chance.random()
    if status in (204, 304):
        body = b""
        if status == 304 and draw < 0.5:
            lines.append(b"Content-Length: %d" % len(content))
    elif draw < 0.5:
        lines.append(b"Content-Length: %d" % len(content))
        body = content
    elif draw < 0.85:
        lines.append(b"Transfer-Encoding: chunked")
        body = chunked(chance, content)
    else:
        body, end = content, chance.choice(("close", "close", "half", "reset"))
    version = chance.choice((b"1.1",) * 9 + (b"1.0",))
    if chance.random() < 0.3:
        chance.shuffle(lines)
    head = b"\r\n".join([b"HTTP/%b %d X" % (version, status), *lines, b"", b""])
    return _interims(chance) + head + body, end


def _interims(chance: Random) -> bytes:
    if chance.random() < 0.85:
        return b""
    early = (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </%b>\r\n\r\n" % TOKEN,
        b"HTTP/1.1 102 Processing\r\n\r\n",
    )
    return b"".join(chance.choice(early) for _ in range(chance.choice((1, 1, 2, 3, 17))))


def _switch(chance: Random) -> bytes:
    protocol = chance.choice((b"websocket",) * 5 + (b"h2c", b"WebSocket", b"x"))
    behind = chance.choice((b"", b"\x81\x00", PLAIN))
    return b"HTTP/1.1 101 X\r\nX-Token: %b\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % (TOKEN, protocol) + behind


# Changes


def mutated(chance: Random, data: bytes) -> bytes:
    """Return `data` with one change."""
    return chance.choice(_CHANGES)(chance, data)


def _at(chance: Random, data: bytes) -> int:
    """Return a place in `data`, mostly where its structure is."""
    places = [found.start() for found in re.finditer(rb"[\r\n:;, ]", data)]
    if places and chance.random() < 0.7:
        return chance.choice(places) + chance.randrange(2)
    return chance.randrange(len(data) + 1)


def _insert(chance: Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + chance.choice(_ODD) + data[at:]


def _delete(chance: Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + data[at + chance.choice((1, 1, 2, 3, 20)) :]


def _replace(chance: Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + chance.choice(_ODD) + data[at + 1 :]


def _line(chance: Random, data: bytes) -> bytes:
    """Double, drop or move one line, or put a field between."""
    lines = data.split(b"\r\n")
    at = chance.randrange(len(lines))
    draw = chance.randrange(4)
    if draw == 0:
        lines.insert(at, lines[at])
    elif draw == 1:
        del lines[at]
    elif draw == 2:
        lines.insert(chance.randrange(len(lines)), lines.pop(at))
    else:
        lines.insert(at, chance.choice(_FIELDS + _ANSWER_FIELDS))
    return b"\r\n".join(lines)


def _number(chance: Random, data: bytes) -> bytes:
    found = list(re.finditer(rb"[0-9]+", data))
    if not found:
        return data
    at = chance.choice(found)
    number = int(at[0][:9])
    other = chance.choice((number + 1, max(0, number - 1), number * 16, 0, 10**19))
    return data[: at.start()] + b"%d" % other + data[at.end() :]


def _case(chance: Random, data: bytes) -> bytes:
    at = _at(chance, data)
    return data[:at] + data[at : at + 12].swapcase() + data[at + 12 :]


_CHANGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    _insert,
    _insert,
    _delete,
    _replace,
    _line,
    _line,
    _number,
    _case,
)
