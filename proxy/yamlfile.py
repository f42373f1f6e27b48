"""
YAML as operators mean it: values with the place of every node; the only room that knows PyYAML.

Scalars follow the core schema of YAML 1.2 (section 10.3.2), so `on` and `off` are words and `1e-9` is a number.
What old and new YAML read differently (`012`, `12:30`, `1_000`) is refused rather than guessed. This room knows
nothing of settings and rules, and never raises for what it finds in a file: problems are part of what it returns.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from proxy.core.errors import Position, Problem
from proxy.core.problems import KEY, Location, dotted

_Event = Any  # an event of PyYAML: its stubs do not tell which of them have a tag, an anchor or a mark

NODES_LIMIT = 50_000  # after aliases are written out: an anchor bomb stops here
DEPTH_LIMIT = 40
BYTES_LIMIT = 1 << 20  # as much as a ConfigMap holds

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: ten times faster

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_NUMBERS = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda text: float("nan")),
)
_DIGITS_LIMIT = 400  # int() of more is refused by Python itself, and no key of ours needs them
_TWO_MEANINGS = (  # how old YAML (1.1) and new (1.2) read it, and what to write
    (re.compile(r"[-+]?0[0-9]+"), "octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"), "base 60 in old YAML, a word in new; quote it"),
    (re.compile(r"[-+]?[0-9]+_[0-9_.]*"), "a number in old YAML, a word in new; leave out the `_`, or quote it"),
    (re.compile(r"[-+]?0b[01_]+"), "a number in old YAML, a word in new; quote it"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """
    One parsed file.

    With `problems` the values are a best guess, good for looking for further problems and for nothing else;
    after a syntax error they are None. `positions` maps the path of each node to its line and column.
    """

    values: object
    positions: Mapping[Location, Position]
    problems: tuple[Problem, ...]


def parse(text: str, file: str) -> Document:
    """Read one document; an empty one has the value None."""
    return _Reading(file).read(text.removeprefix("\ufeff"))


def load(path: Path, file: str, *, pipes: bool = False) -> Document:
    """
    Read the file at `path`, called `file` in problems; what cannot be read is a problem of the whole file.

    Only a regular file is read, or a link to one: a pipe could make its reader wait for ever. `pipes`: whoever named
    it means to wait (`-c <(sops -d config.yaml)`).
    """
    try:
        with open(path, "rb", opener=None if pipes else _without_waiting) as opened:
            if not pipes and not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                return _refused(Position(file), "is no regular file")
            raw = opened.read(BYTES_LIMIT + 1)
        if len(raw) > BYTES_LIMIT:
            return _refused(Position(file), f"is larger than {BYTES_LIMIT >> 10} KiB")
        return parse(raw.decode(), file)
    except OSError as exc:
        return _refused(Position(file), f"cannot be read: {exc.strerror or exc}")
    except UnicodeDecodeError as exc:
        before = raw[: exc.start]
        at = Position(file, before.count(b"\n") + 1, exc.start - before.rfind(b"\n"))
        return _refused(at, f"is not UTF-8: byte 0x{raw[exc.start]:02x}; save it as UTF-8")


def _without_waiting(path: str, flags: int) -> int:
    """Open without waiting for a writer at the other end of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _refused(at: Position, what: str) -> Document:
    return Document(None, {}, (Problem(at, "", what),))


def parse_scalar(text: str) -> object:
    """Return what a plain scalar means: None, bool, int, float, or the word itself."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] in "+-.0123456789" and len(text) <= _DIGITS_LIMIT:
        for pattern, number in _NUMBERS:
            if pattern.fullmatch(text):
                return number(text)
    return text


class _Node(NamedTuple):
    """One value as it stands in the text; the children of an alias are those of its anchor."""

    at: Position
    value: object
    items: tuple[tuple[str | int, Position | None, _Node], ...] = ()


@dataclass(slots=True)
class _Reading:
    """One pass over the events of a text: first into nodes, then written out into values and positions."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    anchors: dict[str, _Node | None] = field(default_factory=dict)  # None: still open, an alias to it would be a circle
    positions: dict[Location, Position] = field(default_factory=dict)

    def read(self, text: str) -> Document:
        try:
            root = self._documents(yaml.parse(text, Loader=_Loader))
            values = None if root is None else self._write_out(root, ())
        except _Stop:
            values = None
        except yaml.MarkedYAMLError as exc:
            values = None
            self._syntax(exc, text)
        except yaml.reader.ReaderError as exc:
            values = None
            before = text[: exc.position]
            at = Position(self.file, before.count("\n") + 1, exc.position - (before.rfind("\n") + 1) + 1)
            self._report(at, (), f"the character U+{ord(text[exc.position]):04X} may not stand in YAML")
        except UnicodeEncodeError:
            values = None
            self._report(Position(self.file), (), "is not UTF-8")
        return Document(values, self.positions, tuple(sorted(self.problems, key=lambda problem: problem.at)))

    def _syntax(self, exc: yaml.MarkedYAMLError, text: str) -> None:
        mark = exc.problem_mark or exc.context_mark
        if mark is None:
            return self._report(Position(self.file), (), f"no YAML: {exc}")
        line = (text.splitlines() or [""])[mark.line : mark.line + 1]
        rest = line[0][mark.column :] if line else ""
        what = f"{exc.context}: {exc.problem}" if exc.context else str(exc.problem)
        if rest.startswith("\t") or (line and line[0][: mark.column].strip(" ") == "\t"):
            what = "a tab cannot indent YAML; use spaces"
        elif rest[:1] in ("@", "`", "%"):
            what = f"a word cannot begin with {rest[0]}; quote it"
        elif "mapping values are not allowed" in what:
            what = "no `key: value` can stand here; quote the text before the colon, or look at the indentation"
        return self._report(self._at(mark), (), f"no YAML: {what}")

    def _documents(self, events: Iterator[_Event]) -> _Node | None:
        root: _Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._report(self._at(event.start_mark), (), "a second document; one file holds one")
                raise _Stop
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, ())
        return root

    def _node(self, event: _Event, events: Iterator[_Event], path: Location) -> _Node:
        at = self._at(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, at, path)
        self._bound(at, path)
        if getattr(event, "tag", None):
            self._report(at, path, f"tags ({_shown(event.tag)}) are not used here; quote a text instead")
        if event.anchor:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(at, self._scalar(event, at, path))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = _Node(at, list, tuple(self._sequence(events, path)))
        else:
            node = _Node(at, dict, tuple(self._mapping(events, path)))
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, name: Any, at: Position, path: Location) -> _Node:
        node = self.anchors.get(name)
        if node is not None:
            return node
        inside = name in self.anchors
        self._report(at, path, f"*{name} stands inside itself" if inside else f"no anchor &{name} stands before it")
        return _Node(at, None)

    def _scalar(self, event: _Event, at: Position, path: Location) -> object:
        text: str = event.value
        if not event.implicit[0]:
            return text
        for pattern, why in _TWO_MEANINGS:
            if pattern.fullmatch(text):
                self._report(at, path, f"{text} is {why}")
        return parse_scalar(text)

    def _sequence(self, events: Iterator[_Event], path: Location) -> Iterator[tuple[int, None, _Node]]:
        for index, event in enumerate(events):
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield index, None, self._node(event, events, (*path, index))

    def _mapping(self, events: Iterator[_Event], path: Location) -> Iterator[tuple[str, Position, _Node]]:
        first: dict[str, int] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            at = self._at(event.start_mark)
            name = self._key(event, events, path)
            node = self._node(next(events), events, path if name is None else (*path, name))
            if name is None:
                continue
            if name in first:
                self._report(at, (*path, name), f"stands here twice; the first is in line {first[name]}")
                continue
            first[name] = at.line
            yield name, at, node

    def _key(self, event: _Event, events: Iterator[_Event], path: Location) -> str | None:
        key = self._node(event, events, path)
        at = self._at(event.start_mark)
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            why = "merge keys are not YAML 1.2; write the keys out, or put them into _defaults.yaml"
            self._report(at, (*path, "<<"), why)
            return None
        if isinstance(key.value, str):
            return key.value
        shown = "a list or mapping" if isinstance(key.value, type) else getattr(event, "value", "") or "empty"
        self._report(at, path, f"a key must be a word, is {shown}; quote it")
        return None

    def _write_out(self, node: _Node, path: Location) -> object:
        self._bound(node.at, path)
        self.positions.setdefault(path, node.at)
        if node.value is list:
            return [self._write_out(child, (*path, index)) for index, _, child in node.items]
        if node.value is dict:
            written: dict[str | int, object] = {}
            for name, at, child in node.items:
                if at is not None:
                    self.positions[*path, name, KEY] = at
                written[name] = self._write_out(child, (*path, name))
            return written
        return node.value

    def _bound(self, at: Position, path: Location) -> None:
        if len(self.positions) > NODES_LIMIT:
            self._report(at, path[:1], f"more than {NODES_LIMIT} values once all aliases are written out")
            raise _Stop
        if len(path) > DEPTH_LIMIT:
            self._report(at, path[:1], f"nested deeper than {DEPTH_LIMIT} levels")
            raise _Stop

    def _at(self, mark: Any) -> Position:
        return Position(self.file, mark.line + 1, mark.column + 1)

    def _report(self, at: Position, path: Location, what: str) -> None:
        self.problems.append(Problem(at, dotted(path), what))


class _Stop(Exception):
    """Nothing after this can be read; the reason is among the problems."""


def _shown(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
