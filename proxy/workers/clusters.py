"""
Clusters of mismatches for those who look at them and close them: the command line and the admin listener.

Which components there are the published rules say. Reads and writes nothing but the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from proxy.core.brief import NAME_CHARACTERS, brief
from proxy.core.changes import Unknown, hint_of
from proxy.core.clusters import NoSuchCluster
from proxy.core.problems import suggestion
from proxy.store.mismatches import Cluster, MismatchStore
from proxy.store.rules import RuleStore

_SHORTEST_BEGINNING = 4


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of the wish to close a cluster; `changed` is false if it was closed before."""

    changed: bool
    cluster: Cluster


class Clusters:
    """The clusters of all components, or of one. Everything raises StoreError."""

    def __init__(self, rules: RuleStore, store: MismatchStore) -> None:
        self._rules = rules
        self._store = store

    async def of(self, component: str | None = None) -> list[Cluster]:
        """Return the clusters of a component, or of all, those seen last first; raises Unknown."""
        if component is None:
            return await self._store.read(await self._components())
        found = await self._store.read([component])
        if not found:
            known = await self._components()
            if component not in known:
                named = brief(component, NAME_CHARACTERS)
                raise Unknown(f"no component is called {named!r}{hint_of(component, known)}")
        return found

    async def one(self, id: str) -> Cluster:
        """Return one cluster; raises NoSuchCluster with the id that was meant, if one is near."""
        components = await self._components()
        found = await self._store.find(id, components)
        if found is None:
            known = [each.id for each in await self._store.read(components)]
            raise NoSuchCluster(f"no mismatch has the id {brief(id, NAME_CHARACTERS)!r}{_meant(id, known)}")
        return found

    async def examples(self, cluster: Cluster) -> list[dict[str, Any]]:
        """Return the examples of a cluster, the newest first."""
        return await self._store.examples(cluster)

    async def close(self, id: str, who: str, why: str) -> Closed:
        """Close a cluster until it is seen again; raises NoSuchCluster."""
        cluster = await self.one(id)
        changed = await self._store.close(cluster, who=who, why=why)
        return Closed(changed, await self.one(id))

    async def _components(self) -> tuple[str, ...]:
        rules = (await self._rules.load()).rule_set
        return tuple(rules.components) if rules is not None else ()


def document_of(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster ready for JSON, with all its fields."""
    return asdict(cluster)


def _meant(id: str, known: Iterable[str]) -> str:
    """Suggest the id that was meant: the only one that begins so, or one that is nearly the same."""
    ids = tuple(known)
    begin_so = [each for each in ids if len(id) >= _SHORTEST_BEGINNING and each.startswith(id.lower())]
    if len(begin_so) == 1:
        return f"; did you mean `{begin_so[0]}`?"
    return suggestion(id, ids) or "; `banyan mismatches` lists those there are"
