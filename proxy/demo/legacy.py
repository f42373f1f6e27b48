"""
The legacy application of the demo: one JSON file per entity, as it has grown over the years.

A folder per component, `users/42.json`, read once at start and written through. A file is replaced whole:
temporary file, fsync, rename, fsync of the folder; a crash leaves the one or the other, never half of one.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
from aiohttp import web

from proxy.demo import process
from proxy.demo.api import Clock, build_application
from proxy.demo.entities import COMPONENTS, Document, number_of, rank
from proxy.demo.manner import Manner
from proxy.demo.seed import Seed, everything

PORT = 9001
_LAST = "last.number"  # the highest number that an id ever was


async def build(data: Path, clock: Clock, seed: Seed | None = None, manner: Manner | None = None) -> web.Application:
    """Return the application over the folder `data`; components that have no folder there are seeded."""
    records = await asyncio.to_thread(JsonFiles, data, seed or everything())
    return build_application("legacy", records, clock, manner or Manner())


class JsonFiles:
    """Keeps entities as JSON files below `data`; a second process must not write there."""

    def __init__(self, data: Path, seed: Seed) -> None:
        self._data = data
        self._entities: dict[str, dict[str, Document]] = {}
        self._order: dict[str, list[tuple[str, str]]] = {}  # rank and id, sorted
        self._last: dict[str, int] = {}
        for component in COMPONENTS:
            if not (data / component).is_dir():
                _sow(data, component, [_with_derived(component, document) for document in seed[component]])
            self._load(component)

    def _load(self, component: str) -> None:
        folder = self._data / component
        kept = {document["id"]: document for document in map(_read, sorted(folder.glob("*.json")))}
        self._entities[component] = kept
        self._order[component] = sorted((rank(entity_id), entity_id) for entity_id in kept)
        self._last[component] = int((folder / _LAST).read_text())

    async def get(self, component: str, entity_id: str) -> Document | None:
        return self._entities[component].get(entity_id)

    async def page(self, component: str, after: str, limit: int, words: str = "") -> list[Document]:
        entities, order = self._entities[component], self._order[component]
        start = bisect.bisect_right(order, (rank(after), after)) if after else 0
        found: list[Document] = []
        for _, entity_id in order[start:]:
            document = entities[entity_id]
            if not words or _mentions(component, document, words.casefold()):
                found.append({key: value for key, value in document.items() if key != "messages"})
            if len(found) == limit:
                break
        return found

    async def save(self, component: str, document: Document) -> None:
        entity_id, folder = document["id"], self._data / component
        if (number := number_of(entity_id)) > self._last[component]:
            await asyncio.to_thread(_write, folder / _LAST, str(number).encode())
            self._last[component] = number
        document = _with_derived(component, document)
        await asyncio.to_thread(
            _write, folder / f"{entity_id}.json", orjson.dumps(document, option=orjson.OPT_INDENT_2)
        )
        if entity_id not in self._entities[component]:
            bisect.insort(self._order[component], (rank(entity_id), entity_id))
        self._entities[component][entity_id] = document

    async def remove(self, component: str, entity_id: str) -> bool:
        if entity_id not in self._entities[component]:
            return False
        await asyncio.to_thread(_unlink, self._data / component / f"{entity_id}.json")
        self._order[component].remove((rank(entity_id), entity_id))
        del self._entities[component][entity_id]
        return True

    async def last_number(self, component: str) -> int:
        return self._last[component]

    async def close(self) -> None:
        """Nothing is open between two changes."""


def _with_derived(component: str, document: Document) -> Document:
    if component != "conversations":
        return document
    messages = document["messages"]
    return {
        **document,
        "message_count": len(messages),
        "unread": sum(not message["read"] for message in messages),
        "last_message_at": max((message["at"] for message in messages), default=None),
    }


def _mentions(component: str, document: Document, folded: str) -> bool:
    return any(folded in text.casefold() for text in _texts(component, document))


def _texts(component: str, document: Document) -> Iterator[str]:
    match component:
        case "users":
            yield from (document["name"], document["email"], *document["roles"])
        case "configuration":
            yield from (document["id"], document["description"])
        case "conversations":
            yield document["title"]
            yield from (message["text"] for message in document["messages"])
        case _:
            yield from (document["name"], document["user"], *document["tags"])


def _read(path: Path) -> Document:
    document: Document = orjson.loads(path.read_bytes())
    return document


def _sow(data: Path, component: str, documents: list[Document]) -> None:
    """Make a component's folder appear at once with all its files."""
    growing = data / f".{component}.growing"
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    for document in documents:
        (growing / f"{document['id']}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    (growing / _LAST).write_text(str(max((number_of(document["id"]) for document in documents), default=0)))
    growing.rename(data / component)


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.fresh")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    return process.run("legacy", PORT, build)


if __name__ == "__main__":
    raise SystemExit(main())
