"""
Evidence in the store: what all replicas counted of each route, added up; distinct entities as HyperLogLogs.

A batch counts once, however often it is sent. Hashes of entities are all that is sent of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from proxy.core.evidence import Basis, Evidence, Outcome
from proxy.store.link import Link, Refused, text_of
from proxy.store.scripts import load_script

KEPT_S = 90 * 86_400
MOST_ROUTES = 10_000  # of a component; no rule set has more
ADD = load_script("evidence")
LOOK = load_script("evidencelook")
AGAIN, OLD = "again", "old"
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one replica counted of one route since its last batch; `number` grows with each batch of a replica.

    `counts` by outcome and by `outcome:reason`; `entities` and `differing` are 64-bit hashes; `at` is RFC 3339.
    """

    component: str
    route: str
    replica: str
    number: int
    at: str
    epoch: str
    basis: Basis
    counts: Mapping[str, int]
    entities: Iterable[int] = ()
    differing: Iterable[int] = ()


class EvidenceStore:
    """Evidence of one namespace: `evidence` of the sides compared, `noise` of one side compared with itself."""

    def __init__(self, link: Link, kind: Literal["evidence", "noise"] = "evidence") -> None:
        self._link = link
        self._kind = kind

    async def add(self, batch: Batch) -> str:
        """
        Add a batch. Returns what the evidence of the route started anew for, empty if it goes on, AGAIN if the batch
        had been added before, OLD if it rests on rules that were replaced meanwhile; raises StoreError.
        """
        basis = batch.basis
        counts = [part for name, count in batch.counts.items() for part in (name, count)]
        words: list[str | bytes | int] = [batch.number, batch.route, batch.at, KEPT_S, batch.epoch, basis.version]
        words += [basis.rules, basis.phase, basis.legacy, basis.modern, len(counts) // 2, *counts]
        for numbers in (batch.entities, batch.differing):
            hashes = [number.to_bytes(8, "big") for number in numbers]
            words += [len(hashes), *hashes]
        keys = [self._key(batch.component), *self._keys(batch.component, batch.route)]
        keys.append(self._key(batch.component, f"took:{batch.replica}:{batch.route}"))
        return text_of(await self._link.run(ADD, keys, words))

    async def read(self, component: str) -> dict[str, Evidence]:
        """Return the evidence of a component by route; raises StoreError."""
        try:
            members = await self._link.call("SMEMBERS", self._key(component))
        except Refused as exc:
            if exc.code != "WRONGTYPE":
                raise
            return {}
        routes = sorted(map(text_of, members))[:MOST_ROUTES]
        if not routes:
            return {}
        keys = [key for route in routes for key in self._keys(component, route)]
        flat = await self._link.run(LOOK, keys, [])
        parts = zip(routes, flat[::3], flat[1::3], flat[2::3], strict=True)
        return {route: _evidence(words, entities, differing) for route, words, entities, differing in parts if words}

    def _keys(self, component: str, route: str) -> tuple[str, str, str]:
        counts = self._key(component, f"of:{route}")
        return counts, f"{counts}:entities", f"{counts}:differing"

    def _key(self, component: str, rest: str = "") -> str:
        return self._link.key(f"{{{component}}}:{self._kind}" + (f":{rest}" if rest else ""))


def _evidence(words: Sequence[bytes], entities: int, differing: int) -> Evidence:
    fields = {text_of(name): text_of(value) for name, value in zip(words[::2], words[1::2], strict=True)}
    counted = {name.removeprefix("n:"): _number(value) for name, value in fields.items() if name.startswith("n:")}
    counts = {_OUTCOMES[name]: count for name, count in counted.items() if name in _OUTCOMES}
    reasons = {name: count for name, count in counted.items() if name not in _OUTCOMES}
    return Evidence(counts, reasons, entities, differing, fields.get("since", ""), fields.get("why", ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
