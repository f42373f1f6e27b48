"""
What a parent does when one of its processes has ended: start another, after how long, or end as well.

Ground floor: the time and the dice come in as arguments.
"""

from __future__ import annotations

FIRST_S = 0.2
MOST_S = 10.0
CALM_S = 30.0  # a process that lived this long begins again with the shortest pause
HOPELESS = frozenset({1, 4, 5})  # what `banyan run` exits with when no further try would help


def failures_after(failures: int, lived_s: float) -> int:
    """Return how many processes in a row ended too soon, now that another one has, `lived_s` after its start."""
    return 1 if lived_s >= CALM_S else failures + 1


def pause_s(failures: int, chance: float) -> float:
    """
    Return how long to wait before the next start: 0 to FIRST_S, doubled with each failure, never above MOST_S.

    `chance` is 0 to 1: full jitter, so that processes that died together do not come back together.
    """
    return chance * float(min(MOST_S, FIRST_S * 2 ** min(failures - 1, 30)))


def hopeless(status: int, served: bool) -> int | None:
    """
    Return the exit code that the parent ends with as well, None when the process is to be started again.

    `status` is the exit code, or minus the signal that ended it; `served` says whether all processes were ready once:
    from then on nothing that happens to one of them ends the others.
    """
    return status if not served and status in HOPELESS else None
