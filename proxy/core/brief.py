"""
What leaves the process as words, made short: texts are cut, and of very many only the first are told, with a count.

Whatever people, files and other programs write, a line of the log, an event, a heartbeat and an answer of the probes
stay short enough to be read, and cheap enough to be sent every few seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

MOST_CHARACTERS = 1_000  # of one sentence; a reason that people give has as many
NAME_CHARACTERS = 100  # of a name that somebody gave to a key; no component is called longer
_MORE = re.compile(r"… and (\d[\d,]*) more")
MOST_TOLD = 50  # of one kind; nobody reads on, and there can be any number


def brief(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return a text as it is, or its beginning with `…` when it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def and_more(count: int) -> str:
    """Say how many are not told: `… and 2,997 more`."""
    return f"… and {count:,} more"


def told(sentences: Iterable[str], most: int = MOST_TOLD) -> tuple[str, ...]:
    """Return the first `most` sentences, each short, and one more that counts the others."""
    found, more = [], 0
    for each in sentences:
        counted = _MORE.fullmatch(each)  # it was cut before
        if counted is None:
            found.append(each)
        else:
            more += int(counted[1].replace(",", ""))
    more += max(0, len(found) - most)
    first = tuple(brief(each) for each in found[:most])
    return (*first, and_more(more)) if more else first


def bounded(value: Any) -> Any:
    """Return a plain value with its texts, lists and mappings cut."""
    if isinstance(value, str):
        return brief(value)
    if isinstance(value, Mapping):
        return {brief(str(key)): bounded(below) for key, below in islice(value.items(), MOST_TOLD)}
    if isinstance(value, list | tuple):
        first = [bounded(each) for each in value[:MOST_TOLD]]
        return first if len(value) <= MOST_TOLD else [*first, and_more(len(value) - MOST_TOLD)]
    return value
