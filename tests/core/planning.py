"""Rule sets, tables and heads for tests of plans: made from models, for phases too that no file may ask for."""

from __future__ import annotations

from typing import Any

from proxy.core.decision import PlanDefaults
from proxy.core.messages import RequestHead, field
from proxy.core.rules import Component, RuleSet
from proxy.core.table import Table, compile_table


def component(name: str = "users", **values: Any) -> Component:
    """Return a component; by default with the routes that a newcomer writes."""
    routes = {f"/api/{name}": {}, f"/api/{name}/{{id}}": {}}
    return Component.model_validate({"component": name, "routes": routes, **values})


def rule_set(*components: Component, version: int = 41) -> RuleSet:
    """Return a published rule set of these components."""
    return RuleSet(
        epoch="e1",
        version=version,
        who="ana",
        why="test",
        at="2025-01-01T00:00:00Z",
        components={each.component: each for each in components},
    )


def table(*components: Component, version: int = 41, **defaults: Any) -> Table:
    """Return the table of these components; the rest are fields of PlanDefaults."""
    return compile_table(rule_set(*components, version=version), PlanDefaults(**defaults))


def head(
    method: str, path: str, *, upgrade: str = "", saw: int = 0, peer: str = "10.0.0.1", **fields: str
) -> RequestHead:
    """Return the head of a request; `x_user_id="7"` is the field `x-user-id: 7`."""
    flat = b"".join(field(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items())
    made = RequestHead(method.encode(), path.encode(), flat, host=b"shop.test", peer=peer.encode())
    made.upgrade = upgrade.encode()
    made.saw = saw
    return made
