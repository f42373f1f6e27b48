"""
Live values brought back into rule files: only what differs is touched, comments and order stay.

The only room that knows ruamel.yaml. What it writes is read again with our own reader before it replaces a file, so
that the worst that can happen is that a file stays as it is.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, unified_diff
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from proxy import yamlfile
from proxy.core.errors import ConfigError, NotAllowed
from proxy.core.merge import ABSENT, Edit, apply_edits


class _Writer(RoundTripRepresenter):
    """Writes nothing as `null`, not as the empty text that ruamel takes for it."""


_Writer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null"))


class _Resolver(VersionedResolver):
    """Takes a date for the word that it is for us, so that it stays as it was written."""

    def add_version_implicit_resolver(self, version: Any, tag: Any, regexp: Any, first: Any) -> None:
        if not str(tag).endswith(":timestamp"):
            super().add_version_implicit_resolver(version, tag, regexp, first)


_BOM = "\ufeff"
_LIST_UNDER_KEY = re.compile(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n|\s*\n)*( *)- ", re.MULTILINE)
_KEY_UNDER_KEY = re.compile(r"^[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:\s*#[^\n]*\n|\s*\n)*( +)[^\s#-]", re.MULTILINE)


def write_back(path: Path, edits: Iterable[Edit]) -> bool:
    """
    Write the new values of `edits` into the rule file at `path`, all or nothing; say whether it changed.

    Raises ConfigError when the file is no YAML to begin with, NotAllowed when it cannot be written or cannot be
    edited by machine; it is as it was then.
    """
    target = path.resolve()
    try:
        with target.open(encoding="utf-8", newline="") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as exc:
        raise NotAllowed(f"{path.name} cannot be read: {getattr(exc, 'strerror', None) or 'it is not UTF-8'}") from exc
    after = edited(text, edits, path.name)
    if after == text:
        return False
    _replace(target, after)
    return True


def write_new(path: Path, values: Mapping[str, Any]) -> None:
    """Write a rule file for a component that has none; raises NotAllowed when it cannot be written or is there."""
    if path.exists():
        raise NotAllowed(f"{path.name} is there already")
    _replace(path, _dumped(_as_yaml(values), _round_trip()))


def edited(text: str, edits: Iterable[Edit], file: str) -> str:
    """Return the text of a rule file with the new values of `edits` in it; raises as `write_back` does."""
    document = yamlfile.parse(text, file)
    if document.problems:
        raise ConfigError(document.problems)
    changes = tuple(edits)
    values = document.values if isinstance(document.values, dict) else {}
    expected = apply_edits(values, changes)
    if expected == values:
        return text
    plain = text.removeprefix(_BOM).replace("\r\n", "\n")
    try:
        tries = [_edited(plain, changes, indentation) for indentation in _indentations(plain)]
    except YAMLError:  # it takes less than our own reader does: tags in an anchor, a key of another kind
        tries = []
    right = [each for each in (*tries, *(_kept(plain, each) for each in tries)) if _says(each, expected)]
    if not right:
        raise NotAllowed(f"{file} cannot be edited by machine (it uses anchors, or a form of its own); edit it by hand")
    after = min(right, key=lambda each: _distance(plain, each))
    after = after.replace("\n", "\r\n") if "\r\n" in text else after
    return _BOM + after if text.startswith(_BOM) else after


def _says(text: str, expected: Mapping[str, Any]) -> bool:
    document = yamlfile.parse(text, "")
    return not document.problems and document.values == expected


def _edited(text: str, changes: Iterable[Edit], indentation: tuple[int, int]) -> str:
    yaml = _round_trip(*indentation)
    tree = yaml.load(text)
    before = ""
    if not isinstance(tree, CommentedMap):  # nothing but comments: ruamel would put them behind what comes now
        tree, before = CommentedMap(), text
    for edit in changes:
        _take_out(tree, edit.path) if edit.new is ABSENT else _put_in(tree, edit)
    return before + _dumped(tree, yaml)


def _kept(before: str, after: str) -> str:
    """
    Return `after` with every line as it stood in `before` but for those that say something else.

    ruamel has one indentation for all lists of a file, moves comments at the end of lines, and keeps a comment with
    what stands before it, so that it goes when that goes.
    """
    old, new = before.split("\n"), after.split("\n")
    said_old, said_new = ([" ".join(line.split()) for line in lines] for lines in (old, new))
    kept: list[str] = []
    for kind, from_old, to_old, from_new, to_new in SequenceMatcher(None, said_old, said_new, False).get_opcodes():
        if kind == "equal":
            kept += old[from_old:to_old]
            continue
        lost = [line for line in old[from_old:to_old] if _is_remark(line) and line.strip() not in map(str.strip, new)]
        kept += lost if any(map(str.strip, lost)) else []
        kept += new[from_new:to_new]
    return "\n".join(kept)


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _distance(before: str, after: str) -> int:
    """Return how many lines a diff would show."""
    return sum(line[:1] in "+-" for line in unified_diff(before.split("\n"), after.split("\n"), n=0))


def _indentations(text: str) -> tuple[tuple[int, int], ...]:
    """Return the indentations (of mappings, of the dash of a list) to try: those the text seems to have, and others."""
    below = _KEY_UNDER_KEY.search(text)
    mapping = len(below[1]) if below else 2
    offsets = {len(found[2]) - len(found[1]) for found in _LIST_UNDER_KEY.finditer(text)} | {0, 2}
    return tuple((mapping, offset) for offset in sorted(offsets) if offset >= 0)


def _round_trip(mapping: int = 2, offset: int = 2) -> YAML:
    yaml = YAML()
    yaml.Representer = _Writer
    yaml.Resolver = _Resolver
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    return yaml


def _dumped(tree: Any, yaml: YAML) -> str:
    written = io.StringIO()
    yaml.dump(tree, written)
    return written.getvalue()


def _put_in(tree: CommentedMap, edit: Edit) -> None:
    for key in edit.path[:-1]:
        below = tree.get(key)
        if not isinstance(below, CommentedMap):
            below = tree[_word(key)] = CommentedMap()
        tree = below
    key = edit.path[-1]
    if edit.new == {} and isinstance(tree.get(key), CommentedMap):
        return None
    value = _as_yaml(edit.new)
    before = tree.get(key)
    if isinstance(value, CommentedSeq):
        if isinstance(before, CommentedSeq) and not before.fa.flow_style():
            return _change_items(before, value)
        value.fa.set_flow_style()
    elif isinstance(value, CommentedMap):  # one rule of `compare` with all that it says
        if isinstance(before, CommentedMap):
            return _change_members(before, value)
        value.fa.set_flow_style()
    tree[key if key in tree else _word(key)] = value
    return None


def _change_members(members: CommentedMap, new: CommentedMap) -> None:
    """Make one mapping into another member by member, so that each that stays keeps its comment."""
    for key in [key for key in members if key not in new]:
        del members[key]
    for key, value in new.items():
        if key not in members or members[key] != value:
            members[key] = value


def _change_items(items: CommentedSeq, new: CommentedSeq) -> None:
    """Make one list into another item by item, so that each that stays keeps its comment."""
    rest = _rest_taken(items)
    for index, item in enumerate(new):
        while index < len(items) and items[index] != item and item in items[index:]:
            del items[index]
        if index < len(items) and _is_same_rule(items[index], item):
            _change_members(items[index], item)
        elif index == len(items) or items[index] != item:
            if isinstance(item, CommentedMap):
                item.fa.set_flow_style()
            items.insert(index, item)
    del items[len(new) :]
    if rest and items:
        slots = items.ca.items.setdefault(len(items) - 1, [None, None, None, None])
        value = slots[0].value.rstrip("\n") if slots[0] is not None else ""
        slots[0] = CommentToken(f"{value}\n{rest}", CommentMark(0), None)


def _is_same_rule(old: Any, new: Any) -> bool:
    """Say whether two items are rules for one path, whatever else they say."""
    both = isinstance(old, CommentedMap) and isinstance(new, CommentedMap)
    return both and "path" in old and old["path"] == new.get("path")


def _rest_taken(items: CommentedSeq) -> str:
    """Take the comment lines below a list from its last item, with which ruamel keeps them."""
    slots = items.ca.items.get(len(items) - 1)
    if not slots or slots[0] is None:
        return ""
    own, _, rest = slots[0].value.partition("\n")
    if not rest.strip():
        return ""
    slots[0].value = f"{own}\n"
    return str(rest)


def _take_out(tree: CommentedMap, path: tuple[str, ...]) -> None:
    parents = [tree]
    for key in path[:-1]:
        below = parents[-1].get(key)
        if not isinstance(below, CommentedMap):
            return
        parents.append(below)
    parents[-1].pop(path[-1], None)
    for depth in range(len(parents) - 1, 0, -1):
        if parents[depth] or (depth == 2 and path[0] == "routes"):
            return
        del parents[depth - 1][path[depth - 1]]


def _as_yaml(value: Any) -> Any:
    if isinstance(value, Mapping):
        made = CommentedMap({_word(key): _as_yaml(below) for key, below in value.items()})
        if not made:
            made.fa.set_flow_style()
        return made
    if isinstance(value, list | tuple):
        return CommentedSeq([_as_yaml(each) for each in value])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return _word(value) if isinstance(value, str) else value


def _word(text: str) -> str:
    """Return a word so that it is read as one: quoted if it would be taken for a number, or could be."""
    plain = yamlfile.parse(text, "").values == text and not yamlfile.parse(text, "").problems
    return text if plain else DoubleQuotedScalarString(text)


def _replace(path: Path, text: str) -> None:
    """Put the text in place of the file at once, with the file's own mode; the watcher sees it whole or not at all."""
    temporary = ""
    try:
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        os.replace(temporary, path)
    except OSError as exc:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise NotAllowed(f"{path.name} cannot be written: {exc.strerror or exc}") from exc
