"""Rule sets for the store tests, in a line."""

from __future__ import annotations

from proxy.core.rules import Component, RuleSet, parse_component


def component(name: str, weight: float = 0, **values: object) -> Component:
    """A small component: one route named after it."""
    return parse_component({"component": name, "weight": weight, "routes": {f"/api/{name}": {}}, **values}, file=name)


def rules(version: int = 1, epoch: str = "e1", *, seed: bool = False, at: str = "t", **weights: float) -> RuleSet:
    """A rule set of components with these weights; `users` at 5 without any."""
    made = {name: component(name, weight) for name, weight in (weights or {"users": 5}).items()}
    return RuleSet(schema="1.0", epoch=epoch, version=version, seed=seed, who="ana", why="test", at=at, components=made)


def reweighted(rule_set: RuleSet, **weights: float) -> RuleSet:
    """The same rule set with other weights."""
    made = {name: rule_set.components[name].changed(weight=weight) for name, weight in weights.items()}
    return rule_set.model_copy(update={"components": {**rule_set.components, **made}})
