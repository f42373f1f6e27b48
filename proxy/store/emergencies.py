"""
Emergency keys in the store: read, set and ended, each change with its event.

What a key means is decided in `core.emergency`; people write these keys by hand as well, and may write anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import time

from proxy.core.emergency import Emergency
from proxy.core.rules import Side
from proxy.store.events import STREAM as EVENTS
from proxy.store.events import happened
from proxy.store.link import Link, text_of
from proxy.store.scripts import load_script
from proxy.store.view import EMERGENCY, View

CHANGE = load_script("emergency", "token")


class Emergencies:
    """The emergency keys of one namespace, by component name or `all`."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time) -> None:
        self._link = link
        self._clock = clock

    async def read(self, components: Iterable[str] = ()) -> dict[str, Emergency]:
        """Return every emergency there is, also one that names no component; raises StoreError."""
        prefix = self._link.key(EMERGENCY)
        view = View(self._link)
        view.expect(name.removeprefix(prefix) for name in await self._link.names(prefix))
        return (await view.look(components)).emergencies

    async def set(self, name: str, side: Side, *, who: str, why: str, for_s: float | None = None) -> str | None:
        """
        Send all reads of a component (or `all`) to one side, for `for_s` or until it is ended; raises StoreError.

        Returns what the key said before, None if there was none.
        """
        life_ms = 0 if for_s is None else max(1, round(for_s * 1000))
        return await self._change(name, side.value, life_ms, "emergency_set", who, why)

    async def clear(self, name: str, *, who: str, why: str) -> str | None:
        """End an emergency; returns what the key said, None if there was none; raises StoreError."""
        return await self._change(name, "", 0, "emergency_ended", who, why)

    async def _change(self, name: str, value: str, life_ms: int, kind: str, who: str, why: str) -> str | None:
        facts = {"to": value} | ({"for_s": life_ms / 1000} if life_ms else {}) if value else {}
        event = happened(self._clock(), kind, name, who, why, **facts)
        keys = [self._link.key(EMERGENCY + name), self._link.key(EVENTS)]
        before = await self._link.run(CHANGE, keys, [value, life_ms, *event.words()])
        return None if before is None else text_of(before)
