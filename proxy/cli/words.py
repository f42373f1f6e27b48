"""
What an operator types, turned into values: durations, percentages, and who it was.

Everything here is checked before anything is opened. A word that makes no sense raises `BadWord` with what would
be right; the command line says it and ends with exit 2. No I/O beyond asking the system for user and host.
"""

from __future__ import annotations

import getpass
import math
import re
import socket

from proxy.core.errors import GatewayError

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_S = 366 * 86400
LONGEST_WHO = 128


class BadWord(GatewayError):
    """An argument makes no sense; the text says what would be right."""


def duration_s(word: str) -> float:
    """Return the seconds of `90s`, `10m`, `2h`, `1h30m`; more than none, at most a year."""
    text = word.strip().lower()
    parts = list(DURATION.finditer(text))
    if not parts or "".join(part.group() for part in parts) != text:
        raise BadWord(f"time should be like 90s, 10m or 2h, is {word!r}")
    total = sum(float(part[1]) * SECONDS[part[2]] for part in parts)
    if not 0 < total <= LONGEST_S:
        raise BadWord(f"time should be more than 0s and at most a year, is {word!r}")
    return total


def percent(word: str) -> float:
    """Return the number of `25` or `0.5%`, in steps of 0.01."""
    try:
        number = float(word.strip().removesuffix("%"))
    except ValueError:
        raise BadWord(f"weight should be 0 to 100 in steps of 0.01, is {word!r}") from None
    if not math.isfinite(number) or not 0 <= number <= 100:
        raise BadWord(f"weight should be 0 to 100, is {word.strip()}")
    if abs(number * 100 - round(number * 100)) > 1e-9:
        raise BadWord(f"weight should be 0 to 100 in steps of 0.01, is {word.strip()}")
    return number


def who_am_i(said: str | None) -> str:
    """Return who changes something: what `--who` says, else user@host."""
    if said is not None:
        return " ".join(said.split())[:LONGEST_WHO] or who_am_i(None)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
