"""
The plan of faults: which there are, and what several of them have in common.

What must hold whatever happens (nothing torn, nothing twice, no write on the wrong side, …) stands in `play.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.faults.load import Fate, Outcome
from tests.faults.play import Fault, Play, Scene

FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    title: str,
    *,
    proxied: bool = False,
    instances: int = 1,
    rules: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Callable[[Scene], Scene]:
    """Enter a scene into FAULTS; `instances` is how many modern has, `rules` are of the component `users`."""

    def enter(scene: Scene) -> Scene:
        FAULTS[name] = Fault(name, title, scene, proxied, instances, settings, rules or {})
        return scene

    return enter


def of_fate(fate: Fate, outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.fate is fate]


def nothing_lost(play: Play, *, aborted: bool = False) -> None:
    """Hold that every request was answered or refused in so many words; `aborted`: or broke off visibly."""
    play.must_be_none("lost", of_fate(Fate.LOST, play.outcomes))
    if not aborted:
        play.must_be_none("aborted", of_fate(Fate.ABORTED, play.outcomes))


def all_answered(play: Play) -> None:
    """Hold that no reader or writer was turned away or got an error: whoever waited long enough was answered."""
    assert play.account is not None
    play.must_be_none("refused", of_fate(Fate.REFUSED, play.outcomes))
    play.must_be_0("errors of a side passed on", play.account.errors)


def aborted_only_in_flight(play: Play) -> None:
    """Hold that nothing broke off but long answers that were on their way when the fault began."""
    aborted = of_fate(Fate.ABORTED, play.outcomes)
    late = [each for each in aborted if not each.due < play.begun < each.ended]
    play.must_be_none("aborted, other than in flight", late)
