"""
What is wrong with a document, said so that one edit is enough: the place, the fault, what would be right.

The only room that words the errors of pydantic. It reads no file: positions come from whoever parsed the text.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from proxy.core.brief import MOST_TOLD, NAME_CHARACTERS, and_more, brief
from proxy.core.errors import Position, Problem

Location = tuple[str | int, ...]
Positions = Mapping[Location, Position]

KEY = "(key)"  # positions[(*path, KEY)] is where the key of `path` stands; positions[path] where its value does
_PYDANTIC_KEY = "[key]"  # how pydantic marks that the key of a mapping is what is wrong
MOST_PROBLEMS = 200  # of one document that are worded; nobody reads on, and a document can have any number
_TOLD, _TOLD_CHARACTERS = 5, 160  # of a document's problems, where one sentence is all there is room for
_SHOWN_CHARACTERS = 60
_TYPED_CHARACTERS = 100  # what is longer was not typed, and comparing it costs the square of its length


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that an operator must see: `kind` is one word for metrics and events, `why` one sentence."""

    kind: str
    why: str
    component: str | None = None


def in_short(alarm: Alarm) -> Alarm:
    """Return an alarm with its texts cut, to be logged, stored and sent."""
    name = None if alarm.component is None else brief(alarm.component, NAME_CHARACTERS)
    return Alarm(alarm.kind, brief(alarm.why), name)


def first_alarms(alarms: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Return the first of very many alarms, each short, and one more that counts the others."""
    first = tuple(in_short(alarm) for alarm in alarms[:MOST_TOLD])
    more = len(alarms) - len(first)
    return (*first, Alarm("more_alarms", and_more(more))) if more else first


def in_brief(problems: Sequence[Problem]) -> str:
    """Say in one short text what is wrong with a document: its first problems, and how many more it has."""
    unworded = _counted(problems[-1]) if problems else 0
    worded = problems[:-1] if unworded else problems
    first = [brief(str(each), _TOLD_CHARACTERS) for each in worded[:_TOLD]]
    more = len(worded) - len(first) + unworded
    return "\n".join([*first, and_more(more)] if more else first)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None when nothing is close."""
    if len(word) > _TYPED_CHARACTERS:
        return None
    by_folded = {_folded(name): name for name in known}
    close = difflib.get_close_matches(_folded(word), by_folded, n=1, cutoff=0.6)
    return by_folded[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean `users`?", or nothing when no known word is close: to be put behind a sentence."""
    meant = did_you_mean(word, known)
    return f"; did you mean `{meant}`?" if meant else ""


def either(words: Iterable[str]) -> str:
    """Join the words that are right: `off, shadow or canary`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def shown(value: object) -> str:
    """Show a value as it stands in a file, shortened."""
    if isinstance(value, str):
        return f"`{_shortened(value)}`" if value.strip() else "empty"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, float) and value.is_integer():
        return _shortened(str(int(value)))
    return _shortened(str(value))


def place(positions: Positions, path: Location, file: str) -> Position:
    """Return where `path` stands, or its nearest parent that has a place: there the operator has to type."""
    while path:
        if path in positions:
            return positions[path]
        path = path[:-1]
    return positions.get((), Position(file))


def problem(positions: Positions, path: Location, file: str, what: str) -> Problem:
    """Return the problem `what` of the value at `path`."""
    return Problem(place(positions, path, file), dotted(path), what)


def dotted(path: Location) -> str:
    """Show a path as operators write it: `breaker.error_pct`."""
    return ".".join(map(str, path))


def joined(*words: str) -> str:
    """Join dotted paths, any of which may be empty."""
    return ".".join(word for word in words if word)


def problems_of(
    error: ValidationError, positions: Positions, file: str, model: type[BaseModel] | None = None
) -> tuple[Problem, ...]:
    """
    Say where each error of a refused document stands, in the order of the file.

    A missing key is reported at its parent, an unknown one at the key itself, everything else at the value.
    With `model`, the class that refused, an unknown key gets a suggestion. Of very many only the first are worded,
    and one more problem counts the others.
    """
    errors = error.errors(include_url=False)
    found = sorted(
        (_problem_of(dict(each), positions, file, model) for each in errors[:MOST_PROBLEMS]), key=lambda each: each.at
    )
    return (*found, *_others(len(errors) - MOST_PROBLEMS, found[-1].at))


def first_of(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the first problems of very many, and one more that counts the others."""
    found = problems[:MOST_PROBLEMS]
    return (*found, *_others(len(problems) - len(found), found[-1].at)) if found else ()


def _others(count: int, at: Position) -> tuple[Problem, ...]:
    return (Problem(at, "", f"and {count:,} more problem{'s' * (count > 1)}"),) if count > 0 else ()


def _counted(problem: Problem) -> int:
    """Return how many problems stand behind one that `_others` made, 0 for any other."""
    said = re.fullmatch(r"and ([0-9,]+) more problems?", problem.what) if not problem.where else None
    return int(said[1].replace(",", "")) if said else 0


def known_keys(model: type[BaseModel], path: Location) -> frozenset[str]:
    """Return the keys that may stand in the mapping at `path` of a document of `model`; empty when any may."""
    nodes: tuple[Any, ...] = (model,)
    for step in path:
        nodes = tuple(below for node in nodes for below in _below(node, step))
    return frozenset(
        field.alias or name for node in nodes if _is_model(node) for name, field in node.model_fields.items()
    )


def _problem_of(error: Mapping[str, Any], positions: Positions, file: str, model: type[BaseModel] | None) -> Problem:
    path: Location = tuple(error["loc"])
    at = path
    if path and path[-1] == _PYDANTIC_KEY:
        path = path[:-1]
        at = (*path, KEY)
    what = _sentence(error)
    if error["type"] == "extra_forbidden":
        at = (*path, KEY)
        known = known_keys(model, path[:-1]) if model else frozenset()
        what = f"unknown key{suggestion(str(path[-1]), sorted(known))}"
    return Problem(place(positions, at, file), dotted(path), what)


def _sentence(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    kind = error["type"]
    value = error["input"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing"
    if kind == "too_short":
        return f"should be a list of at least {context['min_length']}, has {context['actual_length']}"
    if kind == "too_long":
        return f"should be a list of at most {context['max_length']}, has {context['actual_length']}"
    if kind in ("enum", "literal_error"):
        return _not_one_of(value, str(context["expected"]))
    should = _SHOULD.get(kind)
    if should is not None:
        return f"should be {should(context)}, is {shown(value)}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, is {shown(value)}"


def _not_one_of(value: object, expected: str) -> str:
    words = tuple(word.strip().strip("'") for word in expected.replace(" or ", ", ").split(","))
    should = f"should be {either(words)}, is {shown(value)}"
    return should + suggestion(value, words) if isinstance(value, str) else should


_Should = Callable[[Mapping[str, Any]], str]
_SHOULD: dict[str, _Should] = {
    "greater_than": lambda ctx: f"more than {shown(ctx['gt'])}",
    "greater_than_equal": lambda ctx: f"at least {shown(ctx['ge'])}",
    "less_than": lambda ctx: f"less than {shown(ctx['lt'])}",
    "less_than_equal": lambda ctx: f"at most {shown(ctx['le'])}",
    "finite_number": lambda ctx: "a finite number",
    "float_type": lambda ctx: "a number",
    "int_type": lambda ctx: "a whole number",
    "int_from_float": lambda ctx: "a whole number",
    "bool_type": lambda ctx: "true or false",
    "string_type": lambda ctx: "text (quote it)",
    "path_type": lambda ctx: "a path (quote it)",
    "string_too_short": lambda ctx: "some text",
    "dict_type": lambda ctx: "a mapping",
    "model_type": lambda ctx: "a mapping",
    "mapping_type": lambda ctx: "a mapping",
    "tuple_type": lambda ctx: "a list",
    "list_type": lambda ctx: "a list",
    "string_too_long": lambda ctx: f"at most {ctx['max_length']} characters",
}


def _below(node: Any, step: str | int) -> Iterator[Any]:
    """Yield what may stand at `step` below an annotation, with unions and annotations taken apart."""
    if isinstance(node, type) and issubclass(node, RootModel):
        for each in _flat(node.model_fields["root"].annotation):
            yield from _below(each, step)
    elif _is_model(node):
        for name, field in node.model_fields.items():
            if step == (field.alias or name):
                yield from _flat(field.annotation)
    elif get_origin(node) is dict:
        yield from _flat(get_args(node)[1])
    elif get_origin(node) in (tuple, list):
        yield from _flat(get_args(node)[0])


def _flat(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _flat(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _flat(each)
    else:
        yield annotation


def _is_model(node: Any) -> bool:
    return isinstance(node, type) and issubclass(node, BaseModel)


def _folded(word: str) -> str:
    return word.strip().lower().replace("-", "_")


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
