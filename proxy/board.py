"""
The board: a page of memory that a parent and its processes share, with a place for each process.

The parent writes how each stands, each process how many connections it holds. Plain numbers, each written by one
process only, so that nobody waits for anybody. Nothing else is shared but Redis.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import Self

MOST_PLACES = 256
_BYTES = 4096
_COMPLETE = 0  # whether all were ready once
_FIRST = 2  # then two numbers for each place: standing, connections


class Standing(IntEnum):
    """How a process stands, as its parent sees it."""

    ENDED = 0
    STARTING = 1
    READY = 2


class Board:
    """The page; `fd` is what children inherit."""

    def __init__(self, fd: int, places: int) -> None:
        self.fd = fd
        self.places = places
        self._page = mmap.mmap(fd, _BYTES)
        self._numbers = memoryview(self._page).cast("I")  # whole words: nobody reads half of one

    @classmethod
    def create(cls, places: int) -> Self:
        """Make a board on which all places have ended."""
        fd = os.memfd_create("banyan-board")
        os.ftruncate(fd, _BYTES)
        return cls(fd, places)

    def close(self) -> None:
        """Let the page go; the others keep theirs."""
        self._numbers.release()
        self._page.close()
        os.close(self.fd)

    @property
    def complete(self) -> bool:
        """Whether all processes were ready at least once."""
        return bool(self._numbers[_COMPLETE])

    def set_complete(self) -> None:
        """All processes are ready for the first time."""
        self._numbers[_COMPLETE] = 1

    def standing(self, place: int) -> Standing:
        """Return how the process at `place` stands."""
        return Standing(self._numbers[_FIRST + 2 * place])

    def set_standing(self, place: int, standing: Standing) -> None:
        """For the parent: what becomes of a process; one that is not ready holds no connections."""
        if standing is not Standing.READY:
            self._numbers[_FIRST + 2 * place + 1] = 0
        self._numbers[_FIRST + 2 * place] = standing

    def count(self, standing: Standing) -> int:
        """Return how many processes stand like that."""
        return sum(self.standing(place) is standing for place in range(self.places))

    def connections(self, place: int) -> int:
        """Return how many connections the process at `place` holds."""
        return self._numbers[_FIRST + 2 * place + 1]

    def hold(self, place: int, connections: int) -> None:
        """For the process at `place`: how many connections it holds."""
        self._numbers[_FIRST + 2 * place + 1] = connections


class Share:
    """One process's share of the connections, as the wire asks for it."""

    SLACK = 4  # connections that a process may be ahead of the one with the fewest; and an eighth of what that has

    def __init__(self, board: Board, place: int) -> None:
        self._board = board
        self._place = place
        self._others = [other for other in range(board.places) if other != place]

    def hold(self, connections: int) -> None:
        """Tell the others how many connections this process holds."""
        self._board.hold(self._place, connections)

    def room(self, connections: int) -> int:
        """Return how many more this process may take before it is too far ahead of the others; 0 or less: none."""
        board = self._board
        ready = [board.connections(other) for other in self._others if board.standing(other) is Standing.READY]
        least = min(ready, default=connections)
        return least + (least >> 3) + self.SLACK - connections
