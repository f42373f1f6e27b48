"""How an application of the demo answers, whatever its data: its version, its noise, the defects it starts with."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from proxy.demo.defects import Defect

VERSION_FIELD = "x-app-version"
NOISE = ("generated_at", "request_id")  # what differs from one answer to the next, and means nothing


def random_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Manner:
    """
    The manner of one process.

    `is_noisy`: lists and searches say when they were made, and searches which request it was. Entities do not: their
    answers are their state, and can be put back as they are.
    """

    version: str = "1"
    is_noisy: bool = False
    defects: frozenset[Defect] = frozenset()
    new_id: Callable[[], str] = random_id
