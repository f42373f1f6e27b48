"""
Heads read strictly: bytes in, `RequestHead` or `AnswerHead` out, or a refusal with its status.

Gets exactly one head at a time, up to and including its empty line; bodies never come here. What RFC 9112 leaves to
the recipient is decided here in the strictest way, with its section beside it. Pure: no connection, no clock.
"""

from __future__ import annotations

import re

from proxy.core.headers import (
    CONNECTION,
    EXPECT,
    FORCE,
    FORWARDED,
    HOST,
    LENGTH,
    NEVER_BY_CONNECTION,
    ODD,
    REROUTE,
    TRANSFER,
    UPGRADE,
    is_host,
    tokens,
)
from proxy.core.limits import WireLimits
from proxy.core.messages import UNKNOWN_LENGTH, AnswerHead, RequestHead, Saw, SawAnswer, without
from proxy.wire.fields import ANSWER_FIELDS, REQUEST_FIELDS, BadField, Field

_TARGET_ODD = re.compile(rb"[\x00-\x20#\x7f-\xff]")  # RFC 9112 section 3.2; a fragment is never sent (3.2.1)
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_OURS = (b"x-banyan-", b"x-forwarded-")
_CONNECTION_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
_UNSERVED = frozenset((b"CONNECT", b"TRACE"))
_STATUS_LINES_KEPT = 256

# The registered methods (RFC 9110 section 16.1.2). Of another one nobody knows whether it may be repeated: 501.
METHODS = frozenset(
    (
        b"ACL", b"BASELINE-CONTROL", b"BIND", b"CHECKIN", b"CHECKOUT", b"CONNECT", b"COPY", b"DELETE", b"GET", b"HEAD",
        b"LABEL", b"LINK", b"LOCK", b"M-SEARCH", b"MERGE", b"MKACTIVITY", b"MKCALENDAR", b"MKCOL", b"MKREDIRECTREF",
        b"MKWORKSPACE", b"MOVE", b"NOTIFY", b"OPTIONS", b"ORDERPATCH", b"PATCH", b"POST", b"PROPFIND", b"PROPPATCH",
        b"PURGE", b"PUT", b"QUERY", b"REBIND", b"REPORT", b"SEARCH", b"SUBSCRIBE", b"TRACE", b"UNBIND",
        b"UNCHECKOUT", b"UNLINK", b"UNLOCK", b"UNSUBSCRIBE", b"UPDATE", b"UPDATEREDIRECTREF", b"VERSION-CONTROL",
    )
)  # fmt: skip


class Refused(Exception):
    """A request that is answered by the wire itself: `status`, and why in a sentence for the client."""

    def __init__(self, status: int, why: str, key: str) -> None:
        super().__init__(why)
        self.status = status
        self.key = key  # bounded label for the counter `banyan_refused_total{reason}`


class BadAnswer(Exception):
    """A side's answer that must not be passed on: 502."""


class RequestReader:
    """
    Reads the heads of one connection, by `read_request`.

    A client sends mostly the same fields with each of its requests, so those of its last head are not read again while
    they stay the same bytes (12 fields: 7.5 → 1.5 µs). Kept no longer than the connection, for there are secrets among
    them; what frames a body, asks for another protocol or is for us alone is read each time.
    """

    __slots__ = ("_fields", "_host", "_limits", "_own", "_raw", "_saw")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._own: dict[bytes, Field] = {}
        self._raw = b""  # everything behind the request line
        self._fields = self._host = b""
        self._saw = 0

    def read(self, head: bytes) -> RequestHead:
        """Return the request whose head is exactly `head`; raises Refused."""
        end = head.find(b"\r\n")
        raw = head[end:]
        if raw == self._raw:
            method, target, minor = read_request_line(head[:end])
            if minor:
                request = RequestHead(method, target, self._fields, self._host, self._saw)
                _check_target(request, self._limits)
                return request
        request = read_request(head, self._limits, self._own)
        if request.is_ordinary():
            self._raw = raw
            self._fields = request.fields
            self._host = request.host
            self._saw = request.saw
        return request


class AnswerReader:
    """
    Reads the heads of one connection to a side, by `read_answer`.

    A head that comes once more, byte for byte, is not read again: lists that are polled, small errors, whatever a side
    answers twice within a second (2.0 → 0.3 µs). So nobody may change what is returned, if it `is_ordinary`.
    """

    __slots__ = ("_head", "_limits", "_raw")

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._raw = b""
        self._head: AnswerHead

    def read(self, raw: bytes) -> AnswerHead:
        """Return the answer whose head is exactly `raw`; raises BadAnswer."""
        if raw == self._raw:
            return self._head
        head = read_answer(raw, self._limits)
        if head.is_ordinary:
            self._raw = raw
            self._head = head
        return head


def read_request(head: bytes, limits: WireLimits, own: dict[bytes, Field] | None = None) -> RequestHead:
    """
    Return the request whose head is exactly `head`, up to and including the empty line.

    `own` is a memo of the connection. Raises Refused: every refusal closes the connection, because where the message
    ends is in doubt.
    """
    lines = head.split(b"\r\n")
    method, target, minor = read_request_line(lines[0])
    if len(lines) - 3 > limits.head_fields:
        raise Refused(431, f"more than {limits.head_fields} header fields", "fields")
    if len(head) > limits.line_bytes and max(map(len, lines[1:])) > limits.line_bytes:
        raise Refused(431, f"a header field is longer than {limits.line_bytes} bytes", "line")
    try:
        fields, saw, special = REQUEST_FIELDS.read_all(lines[1:-2], {} if own is None else own)
    except BadField as exc:
        raise Refused(400, str(exc), "syntax") from None
    request = RequestHead(method, target, fields, b"", saw)
    request.minor = minor
    _settle(request, special)
    if request.length > limits.body_bytes > 0:
        raise Refused(413, f"the body is larger than {limits.body_bytes} bytes", "body_bytes")
    _check_target(request, limits)
    return request


def read_request_line(line: bytes) -> tuple[bytes, bytes, int]:
    """Return method, target and x of HTTP/1.x: one SP between them, nothing else (RFC 9112 section 3)."""
    parts = line.split(b" ")
    if len(parts) == 3:
        method, target, version = parts
        if method in METHODS and target:
            if version == b"HTTP/1.1":
                return method, target, 1
            if version == b"HTTP/1.0":
                return method, target, 0
    raise _why_refused(parts)


def _why_refused(parts: list[bytes]) -> Refused:
    method, version = parts[0], parts[-1]
    if not _METHOD.fullmatch(method):
        return Refused(400, "this is not HTTP", "syntax")
    if not _VERSION.fullmatch(version) or len(parts) < 3:
        return Refused(400, "the request line is not `method SP target SP HTTP/1.1`", "syntax")
    if version < b"HTTP/1.0":
        return Refused(400, "a version before HTTP/1.0 has no such request line", "version")
    if version > b"HTTP/1.1":
        return Refused(505, "only HTTP/1.1 and HTTP/1.0 are served here", "version")
    if len(parts) > 3 or not parts[1]:
        return Refused(400, "the request line is not `method SP target SP HTTP/1.1`", "syntax")
    return Refused(501, "this method is not known here", "method")


def check_early(held: bytes | bytearray, new: bytes) -> None:
    """
    Raise Refused if no head can come of what is held, of which `new` came last; costs no more than what is new.

    The fields are read when the head is complete: this is for peers that speak something else and would wait.
    """
    line_bytes = held.find(b"\n", 0)
    if line_bytes < 0:
        method = bytes(held[:65]).partition(b" ")[0]
        if not _METHOD.fullmatch(method):
            raise Refused(400, "this is not HTTP", "syntax")
    elif line_bytes >= len(held) - len(new):
        read_request_line(bytes(held[:line_bytes]).removesuffix(b"\r"))
    if new.count(b"\n") != held.count(b"\r\n", max(0, len(held) - len(new) - 1)):
        raise Refused(400, "a line of the head ends in a bare LF", "syntax")  # RFC 9112 section 2.2 would allow it
    if b"\x00" in new:
        raise Refused(400, "the head has a NUL", "syntax")


def _settle(request: RequestHead, special: list[Field]) -> None:
    """Take in what frames the message, says where it goes, and is for us alone."""
    length = coding = host = None
    for field in special:
        meaning = field.meaning
        if meaning == HOST:
            if host is not None:
                raise Refused(400, "an HTTP/1.1 request has exactly one Host", "host")
            if not field.is_good:
                raise Refused(400, "Host is not `name[:port]`", "host")
            host = request.host = field.value
        elif meaning == LENGTH:
            if length is not None:  # RFC 9112 section 6.3 lets equal ones collapse; we do not
                raise Refused(400, "Content-Length stands twice", "framing")
            length = field
        elif meaning == TRANSFER:
            if coding is not None:
                raise Refused(400, "Transfer-Encoding stands twice", "framing")
            coding = field
        elif meaning != CONNECTION and meaning != UPGRADE:
            _for_us(request, field)
    if length is not None or coding is not None:
        _frame(request, length, coding)
    if host is None and request.minor:  # RFC 9112 section 3.2
        raise Refused(400, "an HTTP/1.1 request has exactly one Host", "host")
    if len(special) > 1 or not request.minor:
        _connection(request, special)


def _for_us(request: RequestHead, field: Field) -> None:
    meaning, value = field.meaning, field.value
    if meaning == FORWARDED:
        request.forwarded += field.line
        request.saw |= Saw.FORWARDED
    elif meaning == EXPECT:
        if value.lower() != b"100-continue":
            raise Refused(417, "the only expectation that can be met is 100-continue", "expect")
        request.expects_continue = request.minor > 0  # RFC 9110 section 10.1.1: ignored from a 1.0 client
    elif meaning == FORCE:
        request.force = value
        request.saw |= Saw.FORCE
    elif meaning == REROUTE:
        request.forwarded += field.line
        request.saw |= Saw.REROUTE
    elif meaning == ODD:
        request.saw |= Saw.ODD


def _connection(request: RequestHead, special: list[Field]) -> None:
    """What Connection says of this hop (RFC 9110 section 7.6.1), and the protocol asked for (section 7.8)."""
    named: set[bytes] = set()
    upgrade: list[bytes] = []
    for field in special:
        if field.meaning == CONNECTION:
            named.update(field.words)
        elif field.meaning == UPGRADE:
            upgrade.append(field.value)
    request.keep_alive = b"close" not in named and (request.minor > 0 or b"keep-alive" in named)
    others = named - _CONNECTION_OPTIONS
    if others:
        wrong = sorted(others & NEVER_BY_CONNECTION) or [name for name in others if name.startswith(_OURS)]
        if wrong:
            raise Refused(400, f"Connection must not name {wrong[0].decode('latin-1')}", "connection")
        request.fields = without(request.fields, frozenset(others))
    if upgrade and b"upgrade" in named and request.minor:
        # HTTP over an upgraded connection would pass here unread: never asked for, the request is served as 1.1.
        protocols = [each for each in tokens(b",".join(upgrade)) if not each.startswith((b"h2c", b"http/"))]
        if protocols:
            if request.length:
                raise Refused(400, "an Upgrade with a body is not served", "framing")
            request.upgrade = b", ".join(protocols)


def _frame(request: RequestHead, length: Field | None, coding: Field | None) -> None:
    """Where the body ends (RFC 9112 section 6.3), in the strictest reading."""
    if coding is None:
        request.length = length.number if length is not None else 0
        if request.length < 0:
            raise Refused(400, "Content-Length is not a number of bytes", "framing")
        return
    if length is not None:
        raise Refused(400, "Content-Length and Transfer-Encoding together", "framing")
    if request.minor == 0:
        raise Refused(400, "Transfer-Encoding in an HTTP/1.0 request", "framing")
    if coding.value.lower() != b"chunked":
        *others, last = coding.words or [b""]
        if last != b"chunked" or last in others or not others:
            raise Refused(400, "chunked is not the last transfer coding, once", "framing")
        raise Refused(501, "the only transfer coding served is chunked", "coding")
    request.length = UNKNOWN_LENGTH


def _check_target(request: RequestHead, limits: WireLimits) -> None:
    target = request.target
    if (
        target[:1] != b"/"
        or _TARGET_ODD.search(target)
        or len(target) > limits.target_bytes
        or request.method in _UNSERVED
    ):
        _check_odd_target(request, limits)


def _check_odd_target(request: RequestHead, limits: WireLimits) -> None:
    target = request.target
    if len(target) > limits.target_bytes:
        raise Refused(414, f"the target is longer than {limits.target_bytes} bytes", "target")
    if request.method == b"CONNECT":
        raise Refused(501, "a gateway opens no tunnels by CONNECT", "method")
    if request.method == b"TRACE":
        raise Refused(405, "TRACE is not served: it would echo credentials", "method")
    if _TARGET_ODD.search(target):
        raise Refused(400, "the target has a character that no URI may hold", "target")
    if target == b"*":
        if request.method != b"OPTIONS":  # RFC 9112 section 3.2.4
            raise Refused(400, "only OPTIONS may ask for `*`", "target")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(400, "the target is neither a path nor an http URI", "target")
    if not request.host and is_host(absolute[1]):  # HTTP/1.0 may leave Host out
        request.host = absolute[1]
    if absolute[1].lower() != request.host.lower():  # RFC 9112 section 3.2.2 would let the target win
        raise Refused(400, "Host differs from the authority of the target", "host")
    rest = absolute[2]
    if not rest and request.method == b"OPTIONS":  # RFC 9112 section 3.2.4
        rest = b"*"
    request.target = rest if rest[:1] in (b"/", b"*") else b"/" + rest
    request.path = request.target.partition(b"?")[0]


_status_lines: dict[bytes, tuple[int, int]] = {}


def read_answer(head: bytes, limits: WireLimits) -> AnswerHead:
    """
    Return the answer whose head is exactly `head`, up to and including the empty line.

    `length` is the declared Content-Length, or UNKNOWN_LENGTH; `saw` tells with CHUNKED how a body is framed.
    Raises BadAnswer: the connection must go.
    """
    lines = head.split(b"\r\n")
    status, minor = _status_lines.get(lines[0]) or _read_status_line(lines[0])
    if len(lines) - 3 > limits.head_fields:
        raise BadAnswer(f"more than {limits.head_fields} header fields")
    try:
        fields, saw, special = ANSWER_FIELDS.read_all(lines[1:-2], {})
    except BadField:
        raise BadAnswer("a line of its head is no header field") from None  # a side's bytes are not for clients
    answer = AnswerHead(status, fields, UNKNOWN_LENGTH)
    if not minor:
        answer.minor = 0
        answer.keep_alive = False
    answer.saw = saw
    for field in special:
        _answer_special(answer, field)
    if answer.named:
        answer.fields = without(fields, answer.named)
    if b"text/event-stream" in head:
        answer.saw |= SawAnswer.STREAM
    return answer.settle()


def _read_status_line(line: bytes) -> tuple[int, int]:
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        raise BadAnswer("the status line is not `HTTP/1.1 SP status SP reason`")
    read = int(found[2]), int(found[1])
    if len(_status_lines) < _STATUS_LINES_KEPT:
        _status_lines[line] = read
    return read


def _answer_special(answer: AnswerHead, field: Field) -> None:
    meaning = field.meaning
    if meaning in (LENGTH, TRANSFER):
        if answer.length != UNKNOWN_LENGTH or answer.saw & SawAnswer.CHUNKED:
            raise BadAnswer("more than one of Content-Length and Transfer-Encoding")
        if meaning == LENGTH:
            answer.length = field.number
            if answer.length < 0:
                raise BadAnswer("Content-Length is not a number of bytes")
        elif field.value.lower() != b"chunked" or not answer.minor:  # RFC 9112 section 6.1: faulty in HTTP/1.0
            raise BadAnswer("a transfer coding that is not chunked, or in an HTTP/1.0 answer")
        else:
            answer.saw |= SawAnswer.CHUNKED
    elif meaning == CONNECTION:
        for word in field.words:
            if word == b"close":
                answer.keep_alive = False
            elif word not in _CONNECTION_OPTIONS:
                if word in (b"content-length", b"transfer-encoding"):
                    raise BadAnswer("Connection must not name what frames the message")
                answer.named |= {word}
    elif meaning == UPGRADE:
        answer.upgrade += field.value  # a second one makes it no protocol that anybody asked for
