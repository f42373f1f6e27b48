"""
What `banyan noise suggest` prints: which rules it proposes, and a rule file into which somebody has pasted them.

Pure: texts in, texts out. Knows rule files as the demo has them, each route on a line of its own and no `compare` yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.yamlfile import parse

REMARK = "remark"  # instead of a rule: what is proposed where no rule helps

_BELOW = "routes:\n"
_ROUTE = re.compile(r'^  (?P<key>"[^"]+"|[^\s:]+):\n', re.MULTILINE)


def rules_in(proposed: str) -> frozenset[tuple[str, str]]:
    """Return all that is proposed, wherever it should stand: the kind of each rule, and its path."""
    said = parse(proposed, "noise suggest").values
    top: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    found = [top.get("compare", {}), *(each["compare"] for each in top.get("routes", {}).values())]
    remarks = (line for line in proposed.splitlines()[1:] if line.startswith("# "))
    return frozenset((*(rule for each in found for rule in _rules(each)), *((REMARK, line) for line in remarks)))


def _rules(compare: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for how, rules in compare.items():
        yield from ((how, each["path"] if isinstance(each, Mapping) else each) for each in rules)


def pasted(rules: str, proposed: str) -> str:
    """Return a rule file with what is proposed: what is for one route at its line, the rest at the end."""
    if not rules_in(proposed):
        return rules
    lines = (line for line in proposed.splitlines(keepends=True) if not line.startswith("#"))
    wide, _, below = "".join(lines).partition(_BELOW)
    starts = [*_ROUTE.finditer(below)]
    for at, start in enumerate(starts):
        end = starts[at + 1].start() if at + 1 < len(starts) else len(below)
        line = re.compile(rf"^  {re.escape(start['key'])}: \{{\}}.*\n", re.MULTILINE)
        if not line.search(rules):
            raise ValueError(f"no line of its own has the route {start['key']}")
        block = below[start.start() : end]
        rules = line.sub(lambda _, block=block: block, rules)  # type: ignore[misc]
    return rules + wide
