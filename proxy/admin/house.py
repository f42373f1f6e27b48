"""
What the admin and probe listeners need of the running process, as a protocol.

The app is it; tests have a small one of their own. Everything is read when it is asked for and never kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from proxy.core.breaker import Breaker
from proxy.core.plan import Situation, Table
from proxy.core.rules import Side
from proxy.core.stats import Counters
from proxy.gateway.records import Records
from proxy.settings import Settings
from proxy.store.fleet import Heartbeat
from proxy.store.holding import State
from proxy.workers.changes import Changes
from proxy.workers.clusters import Clusters
from proxy.workers.status import Reader


class House(Protocol):
    """The running process."""

    @property
    def settings(self) -> Settings:
        """What it was started with."""

    @property
    def build(self) -> str:
        """The version of Banyan."""

    @property
    def state(self) -> State:
        """What it holds, and what it knows of the store: the follower's state."""

    @property
    def age_s(self) -> float | None:
        """How long ago the store was read last, None if it never was."""

    @property
    def draining(self) -> bool:
        """Whether it was told to end and only finishes what it began."""

    @property
    def table(self) -> Table:
        """The compiled rules in force."""

    @property
    def situations(self) -> Sequence[Situation]:
        """What stands against each component of `table`, in its order."""

    @property
    def records(self) -> Records:
        """The counts of its gateway."""

    @property
    def breakers(self) -> Mapping[tuple[str, Side], Breaker]:
        """Its breakers by component and side."""

    @property
    def trips(self) -> Counters[tuple[str, str, str]]:
        """How often breakers opened, by component, side and cause."""

    @property
    def connections(self) -> int:
        """How many clients are connected."""

    @property
    def loop_lag_s(self) -> float:
        """How late its event loop was at the last turn."""

    @property
    def pending_requests(self) -> Mapping[Side, int]:
        """How many requests wait for a connection to each side."""

    @property
    def instances(self) -> Mapping[tuple[Side, str], tuple[bool, int]]:
        """Whether each instance of each side may be asked, and how many requests it has, by side and host:port."""

    @property
    def turns(self) -> Counters[tuple[str, str]]:
        """How often instances were ejected, returned, became unhealthy or healthy, by side."""

    @property
    def shadow_outcomes(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """What became of its shadow reads by component and route: counts by outcome and by `outcome:reason`."""

    @property
    def shadow_waiting(self) -> Mapping[Side, int]:
        """How many reads wait to be asked of each side behind their answers."""

    @property
    def shadow_share(self) -> Mapping[Side, float]:
        """How much of its shadow reads each side gets, 0 to 1: less while it has trouble."""

    @property
    def second_looks(self) -> int:
        """How many differences wait to be looked at again."""

    @property
    def changes(self) -> Changes:
        """What operators may change."""

    @property
    def reader(self) -> Reader:
        """What the store says of all replicas."""

    @property
    def clusters(self) -> Clusters:
        """The mismatches that all replicas found."""

    def heartbeat(self) -> Heartbeat:
        """What it says of itself to the other replicas."""

    def troubles(self) -> tuple[str, ...]:
        """What is not as it should be while it serves all the same, one sentence each: `degraded`."""
