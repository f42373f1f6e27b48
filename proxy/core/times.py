"""
Times as people say them, and as documents write them.
"""

from __future__ import annotations

from datetime import datetime


def ago(seconds: float) -> str:
    """Return a length of time as a person says it: `12 s`, `9 min`, `3 h`, `5 d`."""
    for unit_s, most, unit in ((1, 90, "s"), (60, 90, "min"), (3600, 36, "h")):
        if seconds < unit_s * most:
            return f"{max(0, round(seconds / unit_s))} {unit}"
    return f"{round(seconds / 86400)} d"


def seconds_of(at: str) -> float | None:
    """Return an RFC 3339 time in seconds since 1970, None if it is none."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
