"""
JSONPath (RFC 9535) in rule files: is it one, does it name one place, and which keys lead there.

The only room that knows python-jsonpath, which is imported only once a path is not of the plainest form:
a replica whose rules say `$.id` never loads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_TOKEN = re.compile(r"'?TOKEN_([A-Z_]+)'?")  # the parser's own names: `TOKEN_COMMA`
_CHARACTERS_LIMIT = 500
_PIECES = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\[\?|\[|\]|\.\.|\b(?:match|search)\s*\(""", re.DOTALL)


class TooDeep(Exception):
    """A path cannot be followed in a document of so many levels."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step down a document: to these members and items, or to all of them (None); `deep` from any depth below."""

    keys: tuple[str | int, ...] | None
    deep: bool = False


def fault_of(path: str, *, singular: bool = False) -> str | None:
    """
    Return what is wrong with a JSONPath, with a caret under the character, or None when it is right.

    `singular` asks for a path that names at most one place: names and indexes only.
    """
    if len(path) > _CHARACTERS_LIMIT:
        return f"should be a JSONPath of at most {_CHARACTERS_LIMIT} characters, has {len(path)}"
    if _PLAIN.fullmatch(path):
        return None
    if not path.startswith("$"):
        meant = f"$.{path.lstrip('.')}" if path else "$"
        hint = f"; did you mean `{meant}`?" if not path or fault_of(meant) is None else ""
        return f"should be a JSONPath that begins with $, is {f'`{path}`' if path else 'empty'}{hint}"
    compiled = _compiled(path)
    found = compiled if isinstance(compiled, tuple) else _endless(path)
    if found is not None:
        at, why = found
        line = "".join(" " if character.isspace() else character for character in path)
        return f"should be a JSONPath: {why}\n    {line}\n    {' ' * at}^"
    if singular and not compiled.singular_query():
        return f"should name one place (names and indexes only), is `{path}`"
    return None


def keys_of(path: str) -> tuple[str | int, ...]:
    """Return the names and indexes of a singular path that was found right: `$.data[0].id` → data, 0, id."""
    if _PLAIN.fullmatch(path):
        return tuple(path.split(".")[1:])
    compiled = _compiled(path)
    return tuple(_key_of(selector) for segment in compiled.segments for selector in segment.selectors)


def steps_of(path: str) -> tuple[Step, ...] | None:
    """
    Return the steps of a path that was found right, or None if it takes more than names, indexes and wildcards.

    `$.items[*].id` has three: to `items`, to any item, to `id`.
    """
    if _PLAIN.fullmatch(path):
        return tuple(Step((name,)) for name in path.split(".")[1:])
    found = []
    for segment in _compiled(path).segments:
        kinds = {type(selector).__name__ for selector in segment.selectors}
        if not kinds <= {"NameSelector", "IndexSelector", "WildcardSelector"}:
            return None
        keys = None if "WildcardSelector" in kinds else tuple(map(_key_of, segment.selectors))
        found.append(Step(keys, deep=type(segment).__name__ == "JSONPathRecursiveDescentSegment"))
    return tuple(found)


def query_of(path: str) -> Callable[[Any], list[tuple[str | int, ...]]]:
    """Return what finds the places in a document that a path names, whatever the path takes; it may raise TooDeep."""
    from jsonpath import JSONPathError

    compiled = _compiled(path)

    def places_in(document: Any) -> list[tuple[str | int, ...]]:
        if isinstance(document, str):  # it would be taken for a text of JSON; nothing is below it, either
            document = None
        try:
            return [match.parts for match in compiled.finditer(document)]
        except JSONPathError as exc:
            raise TooDeep(path) from exc

    return places_in


def _key_of(selector: Any) -> str | int:
    key: str | int = selector.name if hasattr(selector, "name") else selector.index
    return key


def _endless(path: str) -> tuple[int, str] | None:
    """
    Return where a path asks for more than can be answered in a time that grows with the document, and why.

    What an answer says must not decide how long it takes to compare it: patterns may take years for a short text, and
    what descends within a filter goes through the whole document for each of its parts.
    """
    filters = descents = 0
    opened: list[bool] = []  # whether each bracket that is open is that of a filter
    for found in _PIECES.finditer(path):
        piece, at = found[0], found.start()
        if piece == "[?" and any(opened):
            return at, "a filter within a filter is not taken"
        if piece in ("[", "[?"):
            opened.append(piece == "[?")
            filters += piece == "[?"
        elif piece == "]" and opened:
            opened.pop()
        elif piece == ".." and any(opened):
            return at, "a filter may look at the members of what it filters, and not descend"
        elif piece == "..":
            descents += 1
            if descents > 1 and (filters or "[?" in path[at:]):
                return at, "beside a filter one `..` is enough"
        elif piece.endswith("(") and any(opened):
            return at, "match() and search() are not taken: one value could keep the process busy for years"
    return None


def _compiled(path: str) -> Any:
    """Return the compiled path, or (place of the offending character, why it is none)."""
    from jsonpath import JSONPathEnvironment, JSONPathError

    try:
        return JSONPathEnvironment(strict=True).compile(path)
    except JSONPathError as exc:
        at = getattr(exc.token, "index", -1)
        why = _TOKEN.sub(lambda found: found[1].lower().replace("_", " "), str(exc.args[0]))
        return (at if 0 <= at < len(path) else len(path), why)
