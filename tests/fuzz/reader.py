"""
What a conversation means, read a second time: requests as clients sent them, answers as sides sent them.

Straight from RFC 9112 and the contract of the gateway, in its strictest reading, with nothing of the product in it
but the size limits. Pure: bytes in, values out. `tests.wire.grammar` reads the single heads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.wire import grammar

Fields = list[tuple[bytes, bytes]]

HEAD_BYTES, LINE_BYTES, HEAD_FIELDS, TARGET_BYTES = 4096, 1024, 30, 512  # small, so that the limits are met often

KNOWN_METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"}
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?")
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_CHUNK_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*"
    + _TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + _TOKEN
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)'
)
_TRAILER = re.compile(_TOKEN + rb":[\t -~\x80-\xff]*")
_OPTIONS = {b"close", b"keep-alive", b"upgrade"}
_FRAMING = {b"content-length", b"transfer-encoding"}
_NEVER_NAMED = _FRAMING | {b"host", b"authorization", b"cookie", b"via", b"x-forwarded-for", b"x-request-id"}
_DECLARED_READ = re.compile(rb"/find/[^/?]+(?:\?.*)?")  # by the rules of the world
VALIDATORS = {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
OVERRIDES = {b"x-http-method-override", b"x-http-method", b"x-method-override"}

WHOLE, WAITING, BAD = "whole", "waiting", "bad"


@dataclass(slots=True)
class Body:
    """What there is of a body, and how many bytes of the stream that took; `state` is one of the three above."""

    data: bytes
    taken: int
    state: str
    odd: bool = False  # it has trailers, which may be refused


@dataclass(slots=True)
class Planned:
    """One request as a client sent it and as a side must see it: framing settled, what is for one hop gone."""

    method: bytes
    target: bytes
    minor: int
    fields: Fields
    host: bytes = b""
    keep_alive: bool = True
    expects: bool = False
    upgrade: bytes = b""
    length: int = 0  # of the body as declared; -1: chunked
    may_be_refused: bool = False
    ends_here: int = 0  # the status with which the gateway itself answers
    body: Body = field(default_factory=lambda: Body(b"", 0, WHOLE))
    taken: int = 0  # bytes of the stream, head and body

    @property
    def is_ambiguous(self) -> bool:
        """Whether the path may be read in more than one way; more than what the product calls so."""
        path = self.target.partition(b"?")[0]
        return any(odd in path for odd in (b"//", b"/.", b"%", b"\\", b";"))

    @property
    def is_read(self) -> bool:
        overridden = any(name in OVERRIDES for name, _ in self.fields)
        declared = self.method == b"POST" and _DECLARED_READ.fullmatch(self.target)
        return bool((self.method in (b"GET", b"HEAD", b"OPTIONS") or declared) and not overridden and not self.upgrade)

    @property
    def head_only(self) -> bool:
        return self.method == b"HEAD"


@dataclass(slots=True)
class Unplanned:
    """What stands in the stream is no request (yet); `refused`: and must be answered so."""

    refused: bool
    head_only: bool


def next_request(data: bytes) -> Planned | Unplanned:
    """Return the request that `data` begins with, or why there is none."""
    skipped = len(data)
    data = re.sub(rb"\A(?:\r\n)+", b"", data)
    skipped -= len(data)
    end = data.find(b"\r\n\r\n") + 4
    head_only = data.startswith(b"HEAD ")
    if end < 4:
        return Unplanned(False, head_only)
    head = grammar.read(data[:end])
    lines = data[: end - 4].split(b"\r\n")
    if (
        head is None
        or end > HEAD_BYTES
        or len(lines) - 1 > HEAD_FIELDS
        or max(map(len, lines[1:]), default=0) > LINE_BYTES
    ):
        return Unplanned(True, head_only)
    planned = _settle(head)
    if planned is None:
        return Unplanned(True, head_only)
    planned.body = body_of(data[end:], planned.length, of_request=True)
    planned.taken = skipped + end + planned.body.taken
    return planned


def _settle(head: grammar.Head) -> Planned | None:
    method, target, minor = head.first[0], head.first[1], int(head.first[2])
    length = grammar.length_of(head, minor)
    hosts = head.values(b"host")
    if length is None or length >= 10**18 or len(hosts) > 1 or (not hosts and minor):
        return None
    if hosts and not is_host(hosts[0]):
        return None
    planned = Planned(method, target, minor, _end_to_end(head), hosts[0] if hosts else b"", length=length)
    if method in (b"CONNECT", b"TRACE") or len(method) > 64 or len(target) > TARGET_BYTES:
        return None
    planned.may_be_refused = method not in KNOWN_METHODS
    expected = head.values(b"expect")
    if any(value.lower() != b"100-continue" for value in expected):
        return None
    planned.expects = bool(expected) and minor == 1 and length != 0
    if not _place(planned) or not _connect(planned, head):
        return None
    if any(_names_us(value) for value in head.values(b"via")):
        planned.ends_here = 508
    elif method == b"OPTIONS":
        _count_down(planned)
    return planned


def is_host(value: bytes) -> bool:
    found = _HOST.fullmatch(value)
    return found is not None and len(value) < 256 and (not found[1] or int(found[1]) <= 65_535)


def _names_us(via: bytes) -> bool:
    return any(member.split()[1:2] and member.split()[1].lower() == b"banyan" for member in via.split(b","))


def _end_to_end(head: grammar.Head) -> Fields:
    """Return the fields that a side must see as they came, before Connection has its say."""
    return [(name, value) for name, value in head.fields if not _is_dropped(name)]


def _is_dropped(name: bytes) -> bool:
    exact = {
        *(b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"te", b"trailer"),
        *(b"upgrade", b"http2-settings", b"expect", b"forwarded", b"x-request-id", b"proxy"),
    }
    return name in exact or b"_" in name or name.startswith((b"proxy-", b"x-banyan-", b"x-forwarded-"))


def _place(planned: Planned) -> bool:
    """Settle host and target (RFC 9112 section 3.2); False when it must be refused."""
    target = planned.target
    if target == b"*":
        return planned.method == b"OPTIONS"
    if target.startswith(b"/"):
        return True
    found = re.fullmatch(rb"(?i:https?)://([^/?]+)(.*)", target)
    if found is None:
        return False
    if not planned.host and is_host(found[1]):
        planned.host = found[1]
    if found[1].lower() != planned.host.lower():
        return False
    rest = found[2] or (b"*" if planned.method == b"OPTIONS" else b"/")
    planned.target = rest if rest.startswith((b"/", b"*")) else b"/" + rest
    return True


def _connect(planned: Planned, head: grammar.Head) -> bool:
    """Heed Connection and Upgrade (RFC 9110 sections 7.6.1 and 7.8); False when it must be refused."""
    named = set(members(head.values(b"connection")))
    planned.keep_alive = b"close" not in named and (planned.minor == 1 or b"keep-alive" in named)
    if named & _NEVER_NAMED:
        return False
    others = named - _OPTIONS
    if others:
        planned.may_be_refused = True  # when one of them is no field of one hop
        planned.fields = [(name, value) for name, value in planned.fields if name not in others]
    protocols = [each for each in members(head.values(b"upgrade")) if not each.startswith((b"h2c", b"http/"))]
    if b"upgrade" in named and planned.minor and protocols:
        planned.upgrade = b", ".join(protocols)
        return planned.length == 0
    return True


def members(values: list[bytes]) -> list[bytes]:
    """Return the members of comma-separated lists, in lower case."""
    return [each for value in values for member in value.lower().split(b",") if (each := member.strip(b" \t"))]


def _count_down(planned: Planned) -> None:
    """Max-Forwards of OPTIONS (RFC 9110 section 7.6.2)."""
    value = next((value for name, value in planned.fields if name == b"max-forwards"), b"")
    if not re.fullmatch(rb"[0-9]{1,9}", value):
        return
    if not int(value):
        planned.ends_here = 204
    planned.fields = [each for each in planned.fields if each[0] != b"max-forwards"]
    planned.fields.append((b"max-forwards", b"%d" % (int(value) - 1)))


def body_of(data: bytes, length: int, *, of_request: bool) -> Body:
    """Return the body that `data` begins with; `length` -1: chunked, with extensions and trailers."""
    if length >= 0:
        return Body(data[:length], min(length, len(data)), WHOLE if len(data) >= length else WAITING)
    blocks: list[bytes] = []
    at = overhead = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        found = _CHUNK_LINE.fullmatch(data, at, end)
        if found is None:
            return Body(b"".join(blocks), at, BAD)
        size = int(found[1], 16)
        overhead += len(found[2])
        if overhead > 4096 or size >= 1 << 63:
            return Body(b"".join(blocks), at, BAD)
        overhead = max(0, overhead - size // 8)
        at = end + 2
        if not size:
            return _trailers(data, at, b"".join(blocks), of_request)
        blocks.append(data[at : at + size])
        behind = data[at + size : at + size + 2]
        if len(behind) < 2:
            return Body(b"".join(blocks), len(data), BAD if behind not in (b"", b"\r") else WAITING)
        if behind != b"\r\n":
            return Body(b"".join(blocks), at, BAD)
        at += size + 2
    return Body(b"".join(blocks), len(data), WAITING)


def _trailers(data: bytes, at: int, body: bytes, of_request: bool) -> Body:
    started, odd = at, False
    while (end := data.find(b"\r\n", at)) >= 0:
        if end == at:
            return Body(body, at + 2, WHOLE, odd)
        name = data[at:end].partition(b":")[0].lower()
        if _TRAILER.fullmatch(data, at, end) is None or end - started > 8192:
            return Body(body, at, BAD)
        if of_request:
            if name in _FRAMING | {b"host", b"authorization", b"te", b"cookie", b"connection"}:
                return Body(body, at, BAD)
            odd = odd or not name.startswith(b"x-") or name.startswith(b"x-forwarded-")
        at = end + 2
    return Body(body, len(data), WAITING, odd)


# Answers of a side

GOOD, TORN, UNUSABLE, OPEN, SWITCHED = "good", "torn", "unusable", "open", "switched"


@dataclass(slots=True)
class Outcome:
    """
    What a side's bytes say of one request.

    `good`: a whole answer. `torn`: a head, and a body that will never be whole. `unusable`: nothing that may be
    passed on. `open`: more may come. `switched`: a tunnel, with `body` as what came through it.
    """

    kind: str
    interims: list[tuple[int, Fields]] = field(default_factory=list)
    status: int = 0
    fields: Fields = field(default_factory=list)
    length: bytes | None = None  # as declared
    body: bytes = b""
    reusable: bool = False
    upgrade: bytes = b""
    minimum: int = 0  # bytes after which the answer is over
    declares: bool = False  # an answer without a body that speaks of one


def read_reply(data: bytes, ended: str, planned_method: bytes, upgrade: bytes) -> Outcome:
    """Read what a side sent on one connection for one request; `ended`: empty, `eof` or `reset`."""
    interims: list[tuple[int, Fields]] = []
    at = 0
    while True:
        end = data.find(b"\r\n\r\n", at) + 4
        if end < 4:
            begun = data[at : at + 5]
            hopeless = ended or (not b"HTTP/".startswith(begun) and begun != b"HTTP/") or len(data) - at > HEAD_BYTES
            return Outcome(UNUSABLE if hopeless else OPEN, interims)
        head = grammar.read(data[at:end], answer=True)
        if head is None or end - at > HEAD_BYTES or len(head.fields) > HEAD_FIELDS:
            return Outcome(UNUSABLE, interims)
        found = _settle_answer(head)
        if found is None or len(interims) > 16:
            return Outcome(UNUSABLE, interims)
        found.interims = interims
        if found.status == 101:
            asked = members([upgrade])
            if len(head.values(b"upgrade")) != 1 or found.upgrade.lower() not in asked:
                return Outcome(UNUSABLE, interims)
            found.kind, found.body = SWITCHED, data[end:]
            return found
        if found.status >= 200:
            return _answer_body(found, head, data, end, ended, planned_method)
        interims.append((found.status, found.fields))
        at = end


def _settle_answer(head: grammar.Head) -> Outcome | None:
    minor, status = int(head.first[0]), int(head.first[1])
    declared = grammar.length_of(head, minor)
    named = set(members(head.values(b"connection")))
    if declared is None or declared >= 10**18 or named & _FRAMING:
        return None
    gone = {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings"} | _FRAMING
    gone |= named - _OPTIONS
    fields = [
        each
        for each in head.fields
        if each[0] not in gone and not each[0].startswith((b"x-banyan-", b"proxy-connection"))
    ]
    reusable = minor == 1 and b"close" not in named
    upgrade = b"".join(head.values(b"upgrade"))
    length = (head.values(b"content-length") or [None])[0]
    return Outcome(OPEN, status=status, fields=fields, length=length, reusable=reusable, upgrade=upgrade)


def _answer_body(found: Outcome, head: grammar.Head, data: bytes, at: int, ended: str, method: bytes) -> Outcome:
    chunked = bool(head.values(b"transfer-encoding"))
    length = -1 if chunked else None if found.length is None else int(found.length)
    if method == b"HEAD" or found.status in (204, 304):
        found.declares = chunked or bool(length)
        found.reusable = found.reusable and not found.declares  # that body may still come
        found.kind, found.minimum = GOOD, at
        return found
    if length is None:
        found.reusable = False
        found.body, found.minimum = data[at:], len(data)
        found.kind = {"eof": GOOD, "reset": TORN}.get(ended, OPEN)
        return found
    body = body_of(data[at:], length, of_request=False)
    found.body, found.minimum = body.data, at + body.taken
    found.kind = GOOD if body.state == WHOLE else TORN if ended or body.state == BAD else OPEN
    return found
