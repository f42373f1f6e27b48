"""
Heads read strictly: bytes in, `RequestHead` or `AnswerHead` out, or a refusal with its status.

llhttp (httptools) gets exactly one head at a time, in strict mode; bodies never pass through it. So none of its
habits matters that come after a head: bodies of HEAD, trailers as fields, upgrades, messages behind messages.
What it tolerates and we do not is decided here, with the RFC section beside it. Pure: no connection, no clock.
"""

from __future__ import annotations

import re
from typing import Any

import httptools

from proxy.core.headers import (
    CONNECTION,
    EXPECT,
    FORCE,
    FORWARDED,
    HOST,
    LENGTH,
    NEVER_BY_CONNECTION,
    ODD,
    TRANSFER,
    UPGRADE,
    answer_known,
    classify_answer,
    classify_request,
    is_host,
    request_known,
    tokens,
)
from proxy.core.limits import WireLimits
from proxy.core.messages import COLON, CRLF, UNKNOWN_LENGTH, AnswerHead, RequestHead, Saw, SawAnswer, without

_TARGET_ODD = re.compile(rb"[\x00-\x20#\x7f-\xff]")  # RFC 9112 section 3.2; a fragment is never sent (3.2.1)
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")
_REQUEST_LINE = re.compile(_METHOD.pattern + rb" [!-\xff]+ (HTTP/[0-9]\.[0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9][0-9](?: [\t -~\x80-\xff]*)?\r\n")
_CONNECTION_OPTIONS = frozenset((b"close", b"keep-alive", b"upgrade"))
_UNSERVED = frozenset((b"CONNECT", b"TRACE"))
_GOOD_HOSTS: set[bytes] = set()  # hosts that passed, so that a Host costs one look-up; bounded
_GOOD_HOSTS_LIMIT = 1024


class Refused(Exception):
    """A request that is answered by the wire itself: `status`, and why in a sentence for the client."""

    def __init__(self, status: int, why: str, key: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.key = key  # bounded label for the counter `banyan_refused_total{reason}`


class BadAnswer(Exception):
    """A side's answer that must not be passed on: 502."""


class _RequestFields:
    """
    Takes a request's fields from llhttp, one by one: those to pass on joined, the others apart.

    One for all requests: reading a head never waits.
    """

    __slots__ = ("count", "fields", "saw", "special", "target")

    def begin(self) -> None:
        self.target = b""
        self.fields: list[bytes] = []
        self.special: list[tuple[int, bytes, bytes]] = []
        self.saw = 0
        self.count = 0

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, raw: bytes, value: bytes) -> None:
        name, meaning = request_known(raw) or classify_request(raw)
        self.count += 1
        if meaning >= 0:
            self.fields += (name, COLON, value, CRLF)
            self.saw |= meaning
        else:
            self.special.append((meaning, name, value))


class _AnswerFields:
    """The same for answers."""

    __slots__ = ("count", "fields", "saw", "special")

    def begin(self) -> None:
        self.fields: list[bytes] = []
        self.special: list[tuple[int, bytes, bytes]] = []
        self.saw = 0
        self.count = 0

    def on_header(self, raw: bytes, value: bytes) -> None:
        name, meaning = answer_known(raw) or classify_answer(raw)
        self.count += 1
        if meaning >= 0:
            self.fields += (name, COLON, value, CRLF)
            self.saw |= meaning
        else:
            self.special.append((meaning, name, value))


_request_fields = _RequestFields()
_answer_fields = _AnswerFields()


def _trimmed(fields: list[bytes]) -> list[bytes]:
    """Without the white space that llhttp leaves behind values (RFC 9110 section 5.5)."""
    return [item if item is CRLF or item is COLON else item.rstrip(b" \t") for item in fields]


def early_check() -> Any:
    """Return a parser that raises as soon as a head that comes in pieces cannot become one any more."""
    return httptools.HttpRequestParser(_Ignore())


class _Ignore:
    """A protocol without callbacks."""


def check_early(parser: Any, held: bytes | bytearray, new: bytes) -> None:
    """Raise Refused if no head can come of what is held, of which `new` came last."""
    try:
        parser.feed_data(new)
    except httptools.HttpParserUpgrade:
        return
    except httptools.HttpParserError as exc:
        raise why_refused(bytes(held), str(exc)) from None


def read_request(head: bytes, limits: WireLimits) -> RequestHead:
    """
    Return the request whose head is exactly `head`, up to and including the empty line.

    Raises Refused: every refusal closes the connection, because where the message ends is in doubt.
    """
    found = _request_fields
    found.begin()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as exc:
        raise why_refused(head, str(exc)) from None
    method = parser.get_method()
    target = found.target
    line_bytes = head.find(b"\r\n")
    # One SP on either side of the target (RFC 9112 section 3); llhttp takes several, and other protocols' names.
    if line_bytes != len(method) + len(target) + 10 or head[line_bytes - 9 : line_bytes - 1] != b" HTTP/1.":
        raise why_refused(head, "the request line is not `method SP target SP HTTP/1.1`")
    if head[line_bytes - 1] > 49:
        raise Refused(505, "only HTTP/1.1 and HTTP/1.0 are served here", "version")
    if found.count > limits.head_fields:
        raise Refused(431, f"more than {limits.head_fields} header fields", "fields")
    if len(head) > limits.line_bytes:
        _check_lines(head, limits)
    if b" \r\n" in head or b"\t\r\n" in head:
        found.fields = _trimmed(found.fields)
        found.special = [(meaning, name, value.rstrip(b" \t")) for meaning, name, value in found.special]
    request = RequestHead(method, target, found.fields)
    request.saw = found.saw
    request.minor = head[line_bytes - 1] - 48
    _settle(request, found.special)
    if target[:1] != b"/" or _TARGET_ODD.search(target) or len(target) > limits.target_bytes or method in _UNSERVED:
        _check_target(request, limits)
    return request


def _settle(request: RequestHead, special: list[tuple[int, bytes, bytes]]) -> None:
    """Take in what frames the message, says where it goes, and is for us alone."""
    length = coding = host = None
    for meaning, name, value in special:
        if meaning == HOST:
            if host is not None:
                raise Refused(400, "an HTTP/1.1 request has exactly one Host", "host")
            host = value
        elif meaning == LENGTH:
            if length is not None:  # RFC 9112 section 6.3 lets equal ones collapse; we do not
                raise Refused(400, "Content-Length stands twice", "framing")
            length = value
        elif meaning == TRANSFER:
            if coding is not None:
                raise Refused(400, "Transfer-Encoding stands twice", "framing")
            coding = value
        elif meaning != CONNECTION and meaning != UPGRADE:
            _for_us(request, meaning, name, value)
    if length is not None or coding is not None:
        _frame(request, length, coding)
    if host is not None:
        if host not in _GOOD_HOSTS:
            _check_host(host)
        request.host = host
    elif request.minor:  # RFC 9112 section 3.2
        raise Refused(400, "an HTTP/1.1 request has exactly one Host", "host")
    if len(special) > 1 or not request.minor:
        _connection(request, special)


def _for_us(request: RequestHead, meaning: int, name: bytes, value: bytes) -> None:
    if meaning == FORWARDED:
        request.forwarded += (name, COLON, value, CRLF)
        request.saw |= Saw.FORWARDED
    elif meaning == EXPECT:
        if value.lower() != b"100-continue":
            raise Refused(417, "the only expectation that can be met is 100-continue", "expect")
        request.expects_continue = request.minor > 0  # RFC 9110 section 10.1.1: ignored from a 1.0 client
    elif meaning == FORCE:
        request.force = value
        request.saw |= Saw.FORCE
    elif meaning == ODD:
        request.saw |= Saw.ODD


def _connection(request: RequestHead, special: list[tuple[int, bytes, bytes]]) -> None:
    """What Connection says of this hop (RFC 9110 section 7.6.1), and the protocol asked for (section 7.8)."""
    named: set[bytes] = set()
    upgrade: list[bytes] = []
    for meaning, _, value in special:
        if meaning == CONNECTION:
            named.update(tokens(value))
        elif meaning == UPGRADE:
            upgrade.append(value)
    request.keep_alive = b"close" not in named and (request.minor > 0 or b"keep-alive" in named)
    others = named - _CONNECTION_OPTIONS
    if others:
        wrong = sorted(others & NEVER_BY_CONNECTION) or [name for name in others if name.startswith(b"x-banyan-")]
        if wrong:
            raise Refused(400, f"Connection must not name {wrong[0].decode('latin-1')}", "connection")
        request.fields = without(request.fields, frozenset(others))
    if upgrade and b"upgrade" in named and request.minor:
        # HTTP over an upgraded connection would pass here unread: it is never asked for, the request served as 1.1.
        protocols = [each for each in tokens(b",".join(upgrade)) if not each.startswith((b"h2c", b"http/"))]
        if protocols:
            if request.length:
                raise Refused(400, "an Upgrade with a body is not served", "framing")
            request.upgrade = b", ".join(protocols)


def _frame(request: RequestHead, length: bytes | None, coding: bytes | None) -> None:
    """Where the body ends (RFC 9112 section 6.3), in the strictest reading."""
    if coding is None:
        request.length = body_length(length or b"")
        if request.length < 0:
            raise Refused(400, "Content-Length is not a number of bytes", "framing")
        return
    if length is not None:
        raise Refused(400, "Content-Length and Transfer-Encoding together", "framing")
    if request.minor == 0:
        raise Refused(400, "Transfer-Encoding in an HTTP/1.0 request", "framing")
    if coding.lower() != b"chunked":
        if tokens(coding)[-1:] != [b"chunked"]:
            raise Refused(400, "chunked is not the last transfer coding", "framing")
        raise Refused(501, "the only transfer coding served is chunked", "coding")
    request.length = UNKNOWN_LENGTH


def _check_host(host: bytes) -> None:
    if not is_host(host):
        raise Refused(400, "Host is not `name[:port]`", "host")
    if len(_GOOD_HOSTS) >= _GOOD_HOSTS_LIMIT:
        _GOOD_HOSTS.clear()
    _GOOD_HOSTS.add(host)


def _check_lines(head: bytes | bytearray, limits: WireLimits) -> None:
    """One field may not be longer than its limit, however short the head is."""
    if max(map(len, head.split(b"\r\n")[1:])) > limits.line_bytes:
        raise Refused(431, f"a header field is longer than {limits.line_bytes} bytes", "line")


def body_length(value: bytes) -> int:
    """Return a Content-Length as bytes, or -1 when it is not 1*DIGIT or larger than any body (RFC 9110 section 8.6)."""
    if not value.isdigit() or len(value) > 18:
        value = value.lstrip(b"0") or value[:1]
        if not value.isdigit() or len(value) > 18:
            return -1
    return int(value)


def _check_target(request: RequestHead, limits: WireLimits) -> None:
    target = request.target
    if len(target) > limits.target_bytes:
        raise Refused(414, f"the target is longer than {limits.target_bytes} bytes", "target")
    if request.method == b"CONNECT":
        raise Refused(501, "a gateway opens no tunnels by CONNECT", "method")
    if request.method == b"TRACE":
        raise Refused(405, "TRACE is not served: it would echo credentials", "method")
    if _TARGET_ODD.search(target):
        raise Refused(400, "the target has a character that no URI may hold", "target")
    if target[:1] == b"/":
        return
    if target == b"*":
        if request.method != b"OPTIONS":  # RFC 9112 section 3.2.4
            raise Refused(400, "only OPTIONS may ask for `*`", "target")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(400, "the target is neither a path nor an http URI", "target")
    if not request.host:  # HTTP/1.0
        _check_host(absolute[1])
        request.host = absolute[1]
    elif absolute[1].lower() != request.host.lower():  # RFC 9112 section 3.2.2 would let the target win
        raise Refused(400, "Host differs from the authority of the target", "host")
    rest = absolute[2]
    if not rest and request.method == b"OPTIONS":  # RFC 9112 section 3.2.4
        rest = b"*"
    request.target = rest if rest[:1] in (b"/", b"*") else b"/" + rest
    request.path = request.target.partition(b"?")[0]


def why_refused(head: bytes, why: str) -> Refused:
    """Return the refusal of a head that llhttp or the request line check turned down, from its first line."""
    line = head.partition(b"\n")[0].removesuffix(b"\r")
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        if not _METHOD.fullmatch(line.partition(b" ")[0]):
            return Refused(400, "this is not HTTP", "syntax")
        return Refused(400, "the request line is not `method SP target SP HTTP/1.1`", "syntax")
    if found[1] < b"HTTP/1.0":
        return Refused(400, "a version before HTTP/1.0 has no such request line", "version")
    if found[1] > b"HTTP/1.1":
        return Refused(505, "only HTTP/1.1 and HTTP/1.0 are served here", "version")
    if "method" in why.lower():
        return Refused(501, "this method is not known here", "method")
    return Refused(400, why, "framing" if "Length" in why or "Encoding" in why else "syntax")


def read_answer(head: bytes, limits: WireLimits) -> AnswerHead:
    """
    Return the answer whose head is exactly `head`, up to and including the empty line.

    `length` is the declared Content-Length, or UNKNOWN_LENGTH; `saw` tells with CHUNKED and UPGRADE how a body is
    framed. Raises BadAnswer: the connection must go.
    """
    found = _answer_fields
    found.begin()
    parser = httptools.HttpResponseParser(found)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as exc:
        raise BadAnswer(str(exc)) from None
    if head[:7] != b"HTTP/1." or head[7] not in b"01" or not _STATUS_LINE.match(head):
        raise BadAnswer("the status line is not `HTTP/1.1 SP status SP reason`")
    status = parser.get_status_code()
    if not 100 <= status <= 599:
        raise BadAnswer(f"{status} is not a status code")
    if found.count > limits.head_fields:
        raise BadAnswer(f"more than {limits.head_fields} header fields")
    if b" \r\n" in head or b"\t\r\n" in head:
        found.fields = _trimmed(found.fields)
        found.special = [(meaning, name, value.rstrip(b" \t")) for meaning, name, value in found.special]
    answer = AnswerHead(status, found.fields, UNKNOWN_LENGTH)
    answer.saw = found.saw
    if head[7] == 48:
        answer.minor = 0
        answer.keep_alive = False
    for meaning, _, value in found.special:
        if meaning == LENGTH:
            _answer_length(answer, value)
        elif meaning == CONNECTION:
            if value != b"keep-alive":
                _answer_connection(answer, value)
        elif meaning == TRANSFER:
            _answer_coding(answer, value)
        elif meaning == UPGRADE:
            answer.saw |= SawAnswer.UPGRADE
            answer.upgrade = value
    if answer.named:
        answer.fields = without(answer.fields, answer.named)
    if b"text/event-stream" in head:
        answer.saw |= SawAnswer.STREAM
    return answer


def _answer_length(answer: AnswerHead, value: bytes) -> None:
    if answer.length != UNKNOWN_LENGTH or answer.saw & SawAnswer.CHUNKED:
        raise BadAnswer("more than one of Content-Length and Transfer-Encoding")
    answer.length = body_length(value)
    if answer.length < 0:
        raise BadAnswer("Content-Length is not a number of bytes")


def _answer_coding(answer: AnswerHead, value: bytes) -> None:
    if answer.length != UNKNOWN_LENGTH or answer.saw & SawAnswer.CHUNKED:
        raise BadAnswer("more than one of Content-Length and Transfer-Encoding")
    if value.lower() != b"chunked" or not answer.minor:  # RFC 9112 section 6.1: faulty framing in HTTP/1.0
        raise BadAnswer("a transfer coding that is not chunked, or in an HTTP/1.0 answer")
    answer.saw |= SawAnswer.CHUNKED


def _answer_connection(answer: AnswerHead, value: bytes) -> None:
    for token in tokens(value):
        if token == b"close":
            answer.keep_alive = False
        elif token not in _CONNECTION_OPTIONS:
            if token in (b"content-length", b"transfer-encoding"):
                raise BadAnswer("Connection must not name what frames the message")
            answer.named |= {token}
