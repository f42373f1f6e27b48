"""Rule sets and the states of rule files, for tests of what a change makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proxy.core.rules import Component, FileRecord, RuleSet, parse_component


def component(name: str = "users", **values: Any) -> Component:
    """Return a component with one route of its own."""
    return parse_component({"component": name, "routes": {f"GET /api/{name}": {}}, **values}, file=f"{name}.yaml")


def rule_set(*components: Component, **more: Any) -> RuleSet:
    """Return version 41 of the rules."""
    by_name = {each.component: each for each in components}
    return RuleSet(epoch="e1", version=41, who="files", why="", at="2026-01-01T00:00:00Z", components=by_name, **more)


@dataclass(frozen=True)
class File:
    """A state of a rule file; what is parsed of it has no positions."""

    values: dict[str, Any]
    hash: str = "h2"
    positions: dict[Any, Any] = field(default_factory=dict)

    @property
    def rules(self) -> Component:
        return parse_component(self.values, file="file")


def file(name: str = "users", hash: str = "h2", **values: Any) -> File:
    """Return the file of a component."""
    return File({"component": name, "routes": {f"GET /api/{name}": {}}, **values}, hash)


def record(values: dict[str, Any], hash: str, *before: str) -> FileRecord:
    """Return what was last taken of a file, and its states before."""
    return FileRecord(hash=hash, values=values, hashes=(*before, hash))
