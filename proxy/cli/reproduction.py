"""
A mismatch to be seen again: a shell script for curl, and a test file for pytest, made of an example of it.

An example says everything but the values; those are taken from variables of the environment, which the text names.
Text only, nothing is run. Examples come from a store where others may write: everything is quoted.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proxy.cli.output import visible
from proxy.core.brief import brief
from proxy.store.mismatches import Cluster

FORCE_VARIABLE = "BANYAN_FORCE_SECRET"
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_OF_THE_SHELL = frozenset(("PATH", "HOME", "USER", "SHELL", "LANG", "IFS", "PWD", "TERM", "ENV", "PS4", "SIDE", "BASE"))


class Tool(StrEnum):
    """What a reproduction is for."""

    CURL = "curl"
    PYTEST = "pytest"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Ends:
    """Whom to ask: the sides themselves, or Banyan at `through`, which sends each read to the side that is named."""

    urls: Mapping[str, str]  # by side
    through: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a target: text, or the value of a variable."""

    text: str
    is_variable: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The request of an example; `fields` are (name, variable)."""

    method: str
    target: tuple[Part, ...]
    fields: tuple[tuple[str, str], ...]
    left_out: int  # parameters of the query whose names may be data
    sides: tuple[str, str]
    kind: str
    path: str
    steps: tuple[str | None, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that have to be set."""
        of_target = [part.text for part in self.target if part.is_variable]
        return tuple(dict.fromkeys([*(variable for _, variable in self.fields), *of_target]))

    @property
    def has_body(self) -> bool:
        """Whether a body belongs to it."""
        return self.method not in ("GET", "HEAD") and any(name == "content-type" for name, _ in self.fields)


def asked_of(example: Mapping[str, Any]) -> Asked:
    """Return the request of an example; what makes no sense in it is left out."""
    parameters = _texts(example.get("query"))
    shown = [each for each in parameters if not each.startswith("*")]
    target = list(_parts(_text(example, "request_path", "/"), "PARAM_"))
    for index, each in enumerate(shown):
        name, equals, value = each.partition("=")
        target.append(Part(("&" if index else "?") + name + equals))
        target += [Part("QUERY_" + _upper(name), True)] if value == f"{{{name}}}" else [Part(value)] if value else []
    steps = example.get("steps")
    sides = _texts(example.get("sides"))
    return Asked(
        method=_text(example, "method", "GET").replace("*", "GET"),
        target=tuple(target),
        fields=tuple((name, _variable(name)) for name in _texts(example.get("fields"))),
        left_out=len(parameters) - len(shown),
        sides=(sides[0], sides[1]) if sorted(sides) == ["legacy", "modern"] else ("legacy", "modern"),
        kind=_text(example, "kind", ""),
        path=_text(example, "path", ""),
        steps=tuple(each if isinstance(each, str) else None for each in steps) if isinstance(steps, list) else (),
    )


def best_of(examples: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the example that is asked again with the fewest variables, of several the newest; there has to be one."""
    return min(examples, key=lambda example: (asked_of(example).left_out, len(asked_of(example).variables)))


def curl_script(cluster: Cluster, example: Mapping[str, Any], ends: Ends) -> str:
    """Return a shell script that asks both sides the same and prints the answers."""
    asked = asked_of(example)
    needed = [*asked.variables, *(["BODY_FILE"] if asked.has_body else []), *([FORCE_VARIABLE] if ends.through else [])]
    words = ["curl", "-sS", "-g", "--path-as-is", "-I" if asked.method == "HEAD" else "-i"]
    if asked.method not in ("GET", "HEAD"):
        words += ["-X", shlex.quote(asked.method)]
    for name, variable in asked.fields:
        words += ["-H", f'{shlex.quote(f"{name}: ")}"${variable}"']
    if ends.through:
        words += ["-H", f'"x-banyan-force: $side;${FORCE_VARIABLE}"']
    if asked.has_body:
        words += ["--data-binary", '"@$BODY_FILE"']
    target = "".join(f'"${part.text}"' if part.is_variable else shlex.quote(part.text) for part in asked.target)
    lines = ["#!/bin/sh", *_comments(cluster, asked, needed), "set -eu"]
    lines += [f': "${{{name}?should be set}}"' for name in needed]
    if ends.through:
        lines += [f"base={shlex.quote(ends.through)}", f"for side in {' '.join(asked.sides)}; do"]
    else:
        lines += [f"for side in {' '.join(asked.sides)}; do", "  case $side in"]
        lines += [f"    {side}) base={shlex.quote(ends.urls[side])} ;;" for side in asked.sides]
        lines += ["  esac"]
    lines += ['  echo "== $side"', f'  {" ".join(words)} "$base"{target}', "  echo", "done"]
    return "\n".join(lines) + "\n"


def pytest_file(cluster: Cluster, example: Mapping[str, Any], ends: Ends) -> str:
    """Return a test file that asks both sides the same, and fails as long as they differ in this place."""
    asked = asked_of(example)
    needed = [*asked.variables, *(["BODY_FILE"] if asked.has_body else []), *([FORCE_VARIABLE] if ends.through else [])]
    fields = ", ".join(f"{name!r}: os.environ[{variable!r}]" for name, variable in asked.fields)
    target = [
        f'quote(os.environ[{each.text!r}], safe="/%")' if each.is_variable else repr(each.text) for each in asked.target
    ]
    urls = {side: ends.through or ends.urls[side] for side in asked.sides}
    force = f', **{{"x-banyan-force": f"{{side}};{{os.environ[{FORCE_VARIABLE!r}]}}"}}' if ends.through else ""
    body = ', content=pathlib.Path(os.environ["BODY_FILE"]).read_bytes()' if asked.has_body else ""
    return _PYTEST.format(
        comments="\n".join(_comments(cluster, asked, needed)),
        imports=("import pathlib\n" if asked.has_body else "")
        + (_QUOTE if any(each.is_variable for each in asked.target) else ""),
        urls=urls,
        sides=asked.sides,
        method=asked.method,
        target=" + ".join(target),
        fields=fields,
        force=force,
        body=body,
        looked_at=_looked_at(asked),
    )


_QUOTE = "from urllib.parse import quote\n"
_PYTEST = '''\
{comments}
# Fails as long as the sides differ in this place; the rules of comparison are not applied.

import json
import os
{imports}
import httpx

URLS = {urls!r}
TARGET = {target}
FIELDS = {{{fields}}}


def ask(side):
    """Ask one side."""
    fields = {{**FIELDS{force}}}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.request({method!r}, URLS[side] + TARGET, headers=fields{body})


def document(answer):
    """Return the body of an answer: as JSON if it is."""
    try:
        return answer.json()
    except ValueError:
        return answer.text


def found(value, steps, place=()):
    """Return all that stands at `steps` of a document, by where it is; None is every item or member."""
    if not steps:
        return {{place: json.dumps(value, sort_keys=True)}}
    step, below = steps[0], steps[1:]
    if isinstance(value, dict):
        keys = list(value) if step is None else [step] if step in value else []
    else:
        keys = range(len(value)) if isinstance(value, list) and step is None else []
    return {{where: text for key in keys for where, text in found(value[key], below, (*place, key)).items()}}


def test_the_sides_agree():
    first, second = (ask(side) for side in {sides!r})
    {looked_at}
'''


def _looked_at(asked: Asked) -> str:
    if asked.kind == "status":
        return "assert first.status_code == second.status_code"
    same_status = "assert first.status_code == second.status_code\n    "
    if asked.kind == "header":
        return f"{same_status}assert first.headers.get({asked.path!r}) == second.headers.get({asked.path!r})"
    steps = f"steps = {asked.steps!r}  # {_one_line(asked.path)}\n    "
    return f"{same_status}{steps}assert found(document(first), steps) == found(document(second), steps)"


def _comments(cluster: Cluster, asked: Asked, needed: Iterable[str]) -> list[str]:
    what = f"{asked.kind} at {asked.path}" if asked.path else asked.kind
    seen = f"seen {cluster.count} times, last {cluster.last_seen}"
    said = [f"{cluster.component}, {cluster.route or 'several routes'}: {what} ({cluster.shape}), {seen}"]
    names = ", ".join(needed)
    said += [f"Set and export before: {names}"] if names else []
    if asked.left_out:
        said.append(f"{asked.left_out} parameters of the query are left out: their names may be data")
    return [f"# {_one_line(each)}" for each in said]


def _one_line(text: str) -> str:
    return visible(" ".join(text.split("\n")))


def _parts(path: str, prefix: str) -> Iterable[Part]:
    for index, piece in enumerate(_PLACEHOLDER.split(path)):
        if piece:
            yield Part(prefix + _upper(piece), True) if index % 2 else Part(piece)


def _variable(name: str) -> str:
    upper = _upper(name)
    return f"FIELD_{upper}" if upper in _OF_THE_SHELL or not upper[0].isalpha() else upper


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "NAMELESS"


def _text(example: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = example.get(name)
    return brief(value) if isinstance(value, str) and value else otherwise


def _texts(values: Any) -> list[str]:
    return [brief(each) for each in values if isinstance(each, str) and each] if isinstance(values, list) else []
