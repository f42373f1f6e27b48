"""
What can be strange about an answer that is to be compared: each ends in an outcome of its own, which is counted.

Ground floor: words only. Two that cannot be read are no evidence, neither that the sides agree nor that they do not.
"""

from __future__ import annotations

from enum import StrEnum


class Oddity(StrEnum):
    """What was strange; of several the one that decided how the answers were compared."""

    UNDECODABLE = "undecodable"  # a content coding that is torn, broken or unknown
    TOO_LONG = "too_long"  # without its coding
    TOO_MANY = "too_many"  # arrays and objects, to be read beside what else is to be done
    TOO_DEEP = "too_deep"  # for the path of a rule, which could not be followed, or for the stack
    NOT_JSON = "not_json"  # though its content type says so
    NESTED = "nested"  # in more levels than are read
    REPEATED_NAMES = "repeated_names"  # in one object: readers may take either member
    NUMBERS = "numbers"  # that no reader keeps

    @property
    def is_readable(self) -> bool:
        """Whether the answers could be compared all the same: byte by byte, as a rule."""
        return self not in _UNREADABLE


_UNREADABLE = (Oddity.UNDECODABLE, Oddity.TOO_LONG, Oddity.TOO_MANY, Oddity.TOO_DEEP)
