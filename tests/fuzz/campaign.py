"""
Campaigns: conversation after conversation for a while, and for each finding the smallest one that still shows it.

A conversation is drawn from (seed, number) alone, so that any one can be had again without those before it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random

from tests.fuzz.answers import Finding
from tests.fuzz.conversation import Conversation
from tests.fuzz.generate import conversation
from tests.fuzz.judge import judge
from tests.fuzz.world import World, world


@dataclass
class Found:
    """A finding, and the conversation that shows it."""

    seed: int
    number: int
    finding: Finding
    conversation: Conversation


@dataclass
class Campaign:
    """What was played so far; `tally` counts what became of the requests."""

    seed: int
    played: int = 0
    tally: Counter[str] = field(default_factory=Counter)

    def drawn(self, number: int) -> Conversation:
        return conversation(Random(f"{self.seed}/{number}"))

    async def findings(self, go_on: Callable[[], bool], first: int = 0) -> AsyncIterator[Found]:
        """Yield what is found, as long as `go_on` says so; each finding is followed by a new world."""
        number = first
        while go_on():
            async with world() as made:
                while go_on():
                    drawn = self.drawn(number)
                    number += 1
                    found = await shown(made, drawn, self.tally)
                    self.played += 1
                    if found is not None:
                        yield Found(self.seed, number - 1, found, drawn)
                        break


async def shown(made: World, played: Conversation, tally: Counter[str] | None = None) -> Finding | None:
    """Play a conversation and return what is wrong with it, if anything."""
    try:
        await made.play(played, lambda world, released: judge(world, released, tally))
    except Finding as finding:
        return finding
    return None


async def shows(played: Conversation, kind: str = "", tries: int = 1) -> Finding | None:
    """Play a conversation in a world of its own, at most `tries` times; return the first finding of this kind."""
    for _ in range(tries):
        async with world() as made:
            found = await shown(made, played)
        if found is not None and kind in ("", found.kind):
            return found
    return None


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Say yes for so long."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until
