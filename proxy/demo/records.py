"""What the API of the demo asks of whoever keeps its entities; the two applications differ only behind this."""

from __future__ import annotations

from typing import Protocol

from proxy.demo.entities import Document


class Records(Protocol):
    """
    The entities of all components. Documents come back whole, canonical and with their derived fields.

    Changes of one component never overlap: the caller sees to it. A change that returned is on disk.
    """

    async def get(self, component: str, entity_id: str) -> Document | None:
        """Return one entity, or None."""

    async def page(self, component: str, after: str, limit: int, words: str = "") -> list[Document]:
        """Return up to `limit` entities that follow the id `after`, by rank, as lists show them; only with `words`."""

    async def save(self, component: str, document: Document) -> None:
        """Keep a checked entity, instead of any of the same id."""

    async def remove(self, component: str, entity_id: str) -> bool:
        """Forget an entity; False when there was none."""

    async def last_number(self, component: str) -> int:
        """Return the highest number that an id ever was, removed ones too, or 0."""

    async def close(self) -> None:
        """Let go of every file."""
