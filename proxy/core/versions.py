"""
Which version of a side answers? Told from what its answers say, so that evidence of another one is not added to it.

Ground floor. While instances are replaced one by one both versions answer in turn: the new one counts as soon as a run
of answers names nothing else.
"""

from __future__ import annotations

RUN = 20  # answers in a row: with half of the instances replaced, one in a million runs is as long by chance
MOST_CHARACTERS = 64


class Versions:
    """The version of one side; `current` is empty until an answer names one."""

    __slots__ = ("_other", "_seen", "current")

    def __init__(self) -> None:
        self.current = ""
        self._other = b""
        self._seen = 0

    def see(self, named: bytes | None) -> None:
        """Take what one answer says."""
        if not named:
            return
        if named != self._other:
            self._other, self._seen = named, 0
        self._seen += 1
        if not self.current or self._seen == RUN:
            self.current = _shown(named)


def _shown(named: bytes) -> str:
    text = named[:MOST_CHARACTERS].decode("latin-1")
    return "".join(character if character.isprintable() else "?" for character in text)
