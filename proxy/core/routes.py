"""
Which route a request belongs to: path templates of all components in one trie over bytes.

Ground floor; `find` is hot. Knows templates and methods, and carries any value per route: what a route means is the
business of the table. Paths come in as their normal form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import quote, unquote_to_bytes

import orjson

from proxy.core.jsonpaths import keys_of
from proxy.core.paths import normal_form

T = TypeVar("T")
Params = tuple[bytes, ...]

SEGMENTS_LIMIT = 64  # of a template: compiling and searching go down one call per segment

_ROUTE = re.compile(r"(?:([^\s/]+) +)?(/\S*)")
_METHOD = re.compile(r"[A-Z][A-Z0-9-]*")
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(\.\.\.)?\}")
_PARAMETER = b"{}"  # no literal of a template looks like these: braces are escaped in a literal
_REST = b"{...}"


@dataclass(frozen=True, slots=True)
class Template:
    """One route as it is matched: `text` as it was written, `shape` without the names of its parameters."""

    text: str
    method: bytes | None
    shape: tuple[bytes, ...]  # segments: literals in normal form, _PARAMETER, _REST
    names: tuple[str, ...]  # of the parameters, in the order of the path


@lru_cache(maxsize=16_384)  # all routes of a rule set, which has mostly those of the one before it
def parse_template(text: str) -> Template:
    """
    Return what `GET /api/users/{id}` or `/files/{path...}` matches.

    Raises ValueError, with a sentence that says what would be right.
    """
    split = _ROUTE.fullmatch(text)
    if split is None:
        raise ValueError(
            f"should be a path like `/api/users/{{id}}`, with a method before it if it matters, is `{text}`"
        )
    method, path = split.groups()
    if method is not None and not _METHOD.fullmatch(method):
        raise ValueError(f"a method is written in capitals, as in `{method.upper()} {path}`")
    if "?" in path or "#" in path:
        raise ValueError("a route is a path only: leave out `?` and `#` and what follows them")
    segments = path.split("/")[1:]
    if len(segments) > SEGMENTS_LIMIT:
        raise ValueError(f"should have at most {SEGMENTS_LIMIT} segments, has {len(segments)}")
    shape = tuple(_segment(segment, last=at == len(segments) - 1) for at, segment in enumerate(segments))
    names = tuple(found[1] for segment in segments if (found := _FIELD.fullmatch(segment)))
    if len(set(names)) < len(names):
        raise ValueError("each `{name}` may stand only once in a path")
    _check_literals(shape)
    return Template(text, method.encode() if method else None, shape, names)


def _segment(text: str, *, last: bool) -> bytes:
    field = _FIELD.fullmatch(text)
    if field is None:
        if "{" in text or "}" in text:
            raise ValueError(f"a parameter is a whole segment, `{{name}}` or at the end `{{name...}}`, is `{text}`")
        return quote(text, safe="/%!$&'()*+,;=:@~\\").encode()
    if field[2] and not last:
        raise ValueError(f"`{text}` takes the rest of the path, so it can only be its last segment")
    return _REST if field[2] else _PARAMETER


def _check_literals(shape: tuple[bytes, ...]) -> None:
    """A literal that no normal form contains would never match; say so instead."""
    path = b"/" + b"/".join(b"x" if segment in (_PARAMETER, _REST) else segment for segment in shape)
    normal, ambiguous = normal_form(path)
    if ambiguous or normal != path:
        raise ValueError(f"would never match: paths are matched in their normal form, here `{normal.decode()}`")


@dataclass(frozen=True, slots=True)
class EntityKey:
    """Where the key of the entity stands that a request touches: `{id}` of the path, or `body:$.id`."""

    source: str
    param: int = -1  # index among the parameters of the route; -1: in the body
    keys: tuple[str | int, ...] = ()  # the way to it in the body

    @classmethod
    def of(cls, source: str, template: Template) -> EntityKey:
        """Return the key that `entity:` of a route with this template names; both were found right."""
        if source.startswith("body:"):
            return cls(source, keys=keys_of(source.removeprefix("body:")))
        return cls(source, param=template.names.index(source[1:-1]))

    @property
    def in_body(self) -> bool:
        """Whether the body must be read to know the key."""
        return self.param < 0

    def of_path(self, params: Params) -> bytes | None:
        """Return the key, decoded as applications see it, or None when it stands in the body."""
        if self.param < 0:
            return None
        key = params[self.param]
        return unquote_to_bytes(key) if b"%" in key else key

    def of_body(self, body: bytes) -> bytes | None:
        """Return the key in a JSON body: text or a whole number; None when there is none, or no JSON."""
        try:
            value: Any = orjson.loads(body)
            for key in self.keys:
                value = value[key]
        except (ValueError, LookupError, TypeError):  # orjson.JSONDecodeError is a ValueError
            return None
        if isinstance(value, str):
            return value.encode() or None
        return b"%d" % value if isinstance(value, int) and not isinstance(value, bool) else None


class _Node(Generic[T]):
    __slots__ = ("any_method", "literals", "methods", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.rest: _Node[T] | None = None  # has no children: only what ends here
        self.methods: dict[bytes, T] = {}
        self.any_method: T | None = None

    def grow(self, segment: bytes) -> _Node[T]:
        if segment == _PARAMETER:
            self.parameter = self.parameter or _Node()
            return self.parameter
        if segment == _REST:
            self.rest = self.rest or _Node()
            return self.rest
        return self.literals.setdefault(segment, _Node())


class RouteTrie(Generic[T]):
    """
    Finds the route of a method and a path: literal beats parameter beats rest, segment by segment, with a way back.

    Of the same template one with the method beats one without; a HEAD takes the route of GET unless it has its own.
    A parameter takes one segment that is not empty, a rest one segment or more (the last may be empty).
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    @classmethod
    def compile(cls, routes: Iterable[tuple[Template, T]]) -> RouteTrie[T]:
        """Return the trie of `routes`; of routes that cannot be told apart (see `clashes`) the first wins."""
        trie: RouteTrie[T] = cls()
        for template, value in routes:
            node = trie._root
            for segment in template.shape:
                node = node.grow(segment)
            if template.method is not None:
                node.methods.setdefault(template.method, value)
            elif node.any_method is None:
                node.any_method = value
        _give_head_to_get(trie._root)
        return trie

    def find(self, method: bytes, path: bytes) -> tuple[T, Params] | None:
        """Return the value of the route and the segments of its parameters, or None when no route matches."""
        segments = path.split(b"/")
        del segments[0]
        node = self._root
        params: Params = ()
        # The greedy way down is also the first that a search with a way back would try; nearly all requests end here.
        for segment in segments:
            below = node.literals.get(segment)
            if below is None:
                below = node.parameter
                if below is None or not segment:
                    return _search(self._root, method, segments, 0, ())
                params += (segment,)
            node = below
        value = node.methods.get(method, node.any_method)
        if value is not None:
            return value, params
        return _search(self._root, method, segments, 0, ())


def _search(node: _Node[T], method: bytes, segments: list[bytes], at: int, params: Params) -> tuple[T, Params] | None:
    """Search below `node` with a way back; never visits a node twice, so it is bounded by the size of the trie."""
    if at == len(segments):
        value = node.methods.get(method, node.any_method)
        return None if value is None else (value, params)
    segment = segments[at]
    below = node.literals.get(segment)
    found = None if below is None else _search(below, method, segments, at + 1, params)
    if found is None and node.parameter is not None and segment:
        found = _search(node.parameter, method, segments, at + 1, (*params, segment))
    if found is None and node.rest is not None:
        found = _search(node.rest, method, [], 0, (*params, b"/".join(segments[at:])))
    return found


def _give_head_to_get(node: _Node[T]) -> None:
    if b"GET" in node.methods:
        node.methods.setdefault(b"HEAD", node.methods[b"GET"])
    for below in (*node.literals.values(), node.parameter, node.rest):
        if below is not None:
            _give_head_to_get(below)


def clashes(routes: Iterable[tuple[Template, T]]) -> list[tuple[T, T]]:
    """Return the pairs (earlier, later) of routes that cannot be told apart: same shape, same method."""
    seen: dict[tuple[tuple[bytes, ...], bytes | None], T] = {}
    found: list[tuple[T, T]] = []
    for template, value in routes:
        key = template.shape, template.method
        if key in seen:
            found.append((seen[key], value))
        else:
            seen[key] = value
    return found
