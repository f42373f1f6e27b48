"""
In what a side differs from itself, and which rules of comparison would say so: proposed, never put in force.

Ground floor. Counts come in, rules and a text to paste go out; no value of an answer is kept or shown. What differs
seldom may be a write between two reads, and is not proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import orjson

from proxy.core.comparerules import How
from proxy.core.documents import ABSENT, Kind
from proxy.core.evidence import Evidence
from proxy.core.jsonpaths import fault_of
from proxy.core.likeness import NORMAL_FORMS, is_within
from proxy.core.model import Compare, Component, overlay
from proxy.core.pairing import NULL_IS_MISSING
from proxy.core.times import seconds_of

COMPARED = "compared"  # how often a side was compared with itself, among the names of its differences
AS = " as "  # between such a name and a way to mean the same
NEAR = "near"  # numbers that differ by no more than what adding them up in another order does
NEAR_SHARE = Decimal("0.000001")
LEAST_SEEN = 3  # disagreements: once or twice may have been a write between the two reads
_NEAR_TEXT = "0.0001%"  # as a rule says it
_PREFERRED = ("same-instant", "same-number", "uuid", "url-path", "case", NULL_IS_MISSING)  # the narrow ones first
_PLAIN = re.compile(
    r"\$[A-Za-z0-9_.]*|[0-9.]+%|[a-z]+(?:-[a-z]+)+|(?:[A-Z]+ )?/[A-Za-z0-9_/{}.-]*[A-Za-z0-9_/}]", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """
    How often a side differed from itself in one way at one place: `count` times in `compared` pairs of answers.

    `forms` counts, for each way to mean the same (`forms_of`), how many of them meant the same.
    """

    route: str
    path: str  # a template, as in `Difference`
    kind: Kind
    count: int
    compared: int
    first_s: float
    last_s: float
    forms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule for a place of some routes; `how` is None where no rule of comparison helps, and `remark` says why."""

    routes: tuple[str, ...]
    path: str
    how: How | None
    argument: str | None
    count: int
    compared: int
    first_s: float
    last_s: float
    remark: str = ""

    @property
    def why(self) -> str:
        """The reason as it stands in the rule."""
        since = datetime.fromtimestamp(self.first_s, UTC).date().isoformat()
        return f"differed from itself in {self.count} of {self.compared} reads since {since}"

    @property
    def rule(self) -> dict[str, Any]:
        """What the rule says beside its path."""
        said = {How.TOLERANCE: {"relative": self.argument}, How.EQUAL_IF: {"as": self.argument}}
        return {**(said.get(self.how, {}) if self.how else {}), "why": self.why}


def name_of(kind: Kind, path: str) -> str:
    """Return under which name a difference of a side from itself is counted."""
    return f"{kind} {path}"


def disagreements(routes: Mapping[str, Evidence], at_s: float) -> list[Disagreement]:
    """Return what was counted of each route, by `name_of`, as it is known at `at_s`."""
    found = []
    for route, evidence in routes.items():
        reasons = evidence.reasons
        for name, count in reasons.items():
            kind, _, path = name.partition(" ")
            if kind in tuple(Kind) and AS not in path:
                forms = {each.removeprefix(name + AS): seen for each, seen in reasons.items() if name + AS in each}
                first_s = seconds_of(evidence.since)
                since_s = at_s if first_s is None else first_s
                compared = reasons.get(COMPARED, 0)
                found.append(Disagreement(route, path, Kind(kind), count, compared, since_s, at_s, forms))
    return found


def forms_of(first: Any, second: Any) -> tuple[str, ...]:
    """Return the ways in which two values that differ mean the same; ABSENT is what is not there."""
    if first is ABSENT or second is ABSENT:
        return (NULL_IS_MISSING,) if first is None or second is None else ()
    found = []
    for word, form in NORMAL_FORMS.items():
        one = form(first)
        if one is not None and one == form(second):
            found.append(word)
    return (*found, NEAR) if is_within(first, second, Decimal(0), NEAR_SHARE) else tuple(found)


def proposals(found: Iterable[Disagreement], least: int = LEAST_SEEN) -> tuple[Proposal, ...]:
    """
    Return the rules that would explain what was found, by path.

    A place that differs in several routes, in one way, gets one rule for all of them. Nothing is proposed for what
    was seen less than `least` times, nor for what lies below a place that is to be ignored anyway.
    """
    rows = sorted(found, key=lambda each: (each.path, each.route))
    single = [_proposal(list(group)) for _, group in groupby(rows, key=lambda each: (each.path, each.route))]
    seen = [each for each in single if each.count >= least]
    ignored = {(each.routes[0], each.path) for each in seen if each.how is How.IGNORE}
    kept = [each for each in seen if not any(_is_below(each, *place) for place in ignored)]
    kept.sort(key=lambda each: (each.path, str(each.how), str(each.argument), each.remark, each.routes))
    alike = groupby(kept, key=lambda each: (each.path, each.how, each.argument, each.remark))
    return tuple(_together(list(group)) for _, group in alike)


def suggestion_yaml(component: Component, proposed: Sequence[Proposal]) -> str:
    """
    Return what to put into the component's rule file in place of the same keys; empty if there is nothing to propose.

    Rules for one route alone stand at that route. The rules that are there already stand in it again, because a key
    of a route counts instead of the component's.
    """
    wide = [each for each in proposed if len(each.routes) > 1 or set(component.routes) == {*each.routes}]
    narrow: dict[str, list[Proposal]] = {}
    for each in proposed:
        if each not in wide and each.routes[0] in component.routes:
            narrow.setdefault(each.routes[0], []).append(each)
    lines = _compare(component.compare, wide, "")
    below: list[str] = []
    for key, rules in narrow.items():
        effective = overlay(component.compare, component.routes[key].compare)
        own = _compare(_with(effective, wide), rules, "    ")
        below += [f"  {_word(key)}:", *own] if own else []
    lines += ["routes:", *below] if below else []
    remarks = [f"# {_seen(each)}: {each.remark}" for each in proposed if each.how is None]
    if lines:
        lines.insert(0, f"# {component.component}: to be put in place of the same keys in its rule file")
    return "".join(f"{line}\n" for line in [*lines, *remarks])


def _proposal(rows: list[Disagreement]) -> Proposal:
    """Return the rule for one place of one route, given all ways in which it differed."""
    how, argument, remark = _rule_for(rows)
    return Proposal(
        (rows[0].route,), rows[0].path, how, argument,
        count=sum(each.count for each in rows),
        compared=max(max(each.compared for each in rows), sum(each.count for each in rows)),
        first_s=min(each.first_s for each in rows),
        last_s=max(each.last_s for each in rows),
        remark=remark,
    )  # fmt: skip


def _rule_for(rows: list[Disagreement]) -> tuple[How | None, str | None, str]:
    kinds = {each.kind for each in rows}
    if Kind.STATUS in kinds:
        return None, None, "no rule helps; `shadow: 0` leaves this route alone"
    if Kind.HEADER in kinds:
        return None, None, "leave it out of `headers`"
    if fault_of(rows[0].path):
        return None, None, "no path can name it; ignore what it stands in"
    if kinds == {Kind.ORDER}:
        return How.UNORDERED, None, ""
    for word in _PREFERRED:
        if all(each.forms.get(word, 0) >= each.count for each in rows):
            return How.EQUAL_IF, word, ""
    if all(each.forms.get(NEAR, 0) >= each.count for each in rows):
        return How.TOLERANCE, _NEAR_TEXT, ""
    if rows[0].path == "$":  # a rule would have nothing left to compare
        return None, None, "the whole body differs; `shadow: 0` leaves this route alone"
    return How.IGNORE, None, ""


def _is_below(each: Proposal, route: str, path: str) -> bool:
    """Say whether a proposal is for a place inside an ignored one, which needs no rule of its own."""
    return each.routes[0] == route and each.path.startswith((f"{path}.", f"{path}["))


def _together(group: list[Proposal]) -> Proposal:
    first = group[0]
    return Proposal(
        tuple(route for each in group for route in each.routes), first.path, first.how, first.argument,
        count=sum(each.count for each in group),
        compared=sum(each.compared for each in group),
        first_s=min(each.first_s for each in group),
        last_s=max(each.last_s for each in group),
        remark=first.remark,
    )  # fmt: skip


def _with(compare: Compare, proposed: Iterable[Proposal]) -> Compare:
    """Return the rules with those that are proposed, too."""
    said = compare.model_dump(by_alias=True)
    for each in proposed:
        if each.how is How.IGNORE:
            said["ignore"] = [*said["ignore"], {"path": each.path, **each.rule}]
        elif each.how is not None:
            said[each.how] = {**said[each.how], each.path: each.rule}
    return Compare.model_validate(said)


def _compare(compare: Compare, proposed: Sequence[Proposal], indent: str) -> list[str]:
    """Return the lines of `compare` with the keys that get new rules, each whole."""
    ignored = {each.path for each in compare.ignore}
    new = [each for each in proposed if each.how is not None and each.path not in ignored]
    said = compare.model_dump(by_alias=True)
    lines: list[str] = []
    for how in How:
        rules = [each for each in new if each.how is how]
        if rules:
            lines += [f"{indent}  {how}:", *_rules(said[how], rules, f"{indent}    ")]
    return [f"{indent}compare:", *lines] if lines else []


def _rules(there: Any, new: Sequence[Proposal], indent: str) -> Iterator[str]:
    if isinstance(there, Mapping):
        paths = {each.path for each in new}
        yield from (f"{indent}{_word(path)}: {_flow(rule)}" for path, rule in there.items() if path not in paths)
    else:
        yield from (f"{indent}- {_flow(rule)}" for rule in there)
    for each in new:
        yield f"{indent}# {_seen(each)}"
        if each.how is How.IGNORE:
            yield f"{indent}- {_flow({'path': each.path, **each.rule})}"
        else:
            yield f"{indent}{_word(each.path)}: {_flow(each.rule)}"


def _seen(each: Proposal) -> str:
    first, last = (datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ") for at in (each.first_s, each.last_s))
    where = _printable(f"{each.path} in {', '.join(each.routes)}")
    return f"{where}: {each.count} of {each.compared} reads, {first} to {last}"


def _flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_word(str(key))}: {_flow(each)}' for key, each in value.items())}}}"
    return _word(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _word(text: str) -> str:
    """Return a text as YAML: plain where that is surely read as the same text, else in quotes."""
    if _PLAIN.fullmatch(text) or text in ("path", "by", "as", "absolute", "relative", "why", "until"):
        return text
    return _printable(orjson.dumps(text).decode())


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in text)
