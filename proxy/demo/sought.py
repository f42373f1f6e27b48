"""
What comparison has to find out about the demo, and nothing beside it: where each defect shows, and what is noise.

Pure. The readers of the story see single entities, the first page and one search of each component; what no such read
shows cannot be found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.demo.defects import Defect
from proxy.demo.entities import COMPONENTS
from proxy.demo.manner import NOISE

Place = tuple[str, str, str, str]  # component, route, path, kind of the difference


@dataclass(frozen=True, slots=True)
class Sought:
    """One defect as it should be found; `is_listed` if pages show it, too, and not only the entities themselves."""

    component: str
    field: str
    kind: str
    is_listed: bool = True

    @property
    def places(self) -> frozenset[Place]:
        """Where it shows: one cluster each, because every route is compared for itself."""
        top = f"/api/{self.component}"
        pages = (top, f"{top}/search") if self.is_listed else ()
        listed = ((self.component, route, f"$.data[*].{self.field}", self.kind) for route in pages)
        return frozenset(((self.component, f"{top}/{{id}}", f"$.{self.field}", self.kind), *listed))


SOUGHT: Mapping[Defect, Sought] = {
    Defect.UNREAD: Sought("conversations", "unread", "value"),
    Defect.ZONE: Sought("analytics", "at", "value"),
    Defect.MISSING_FIELD: Sought("users", "email", "missing", is_listed=False),  # no page that is read has one
    Defect.ORDER: Sought("users", "roles", "order"),
}
PLACES: frozenset[Place] = frozenset().union(*(each.places for each in SOUGHT.values()))
RULES = frozenset(("ignore", f"$.{name}") for name in NOISE)  # that ought to be proposed for each component
COMPARED = tuple(COMPONENTS)


def place_of(cluster: Mapping[str, Any]) -> Place:
    """Return where a cluster is, as `banyan mismatches -o json` tells it."""
    return cluster["component"], cluster["route"], cluster["path"], cluster["kind"]
