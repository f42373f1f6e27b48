"""
The process's own counters as Prometheus families: made when somebody asks, from plain ints, and never before.

Names and labels are those of the design: base units, labels bounded (components, route templates, sides, classes of
status, reasons; never a path, a key or a user).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.admin.house import House
from proxy.admin.readiness import not_ready
from proxy.core.breaker import State
from proxy.core.rules import Side

OTHER = "other"
CLASSES = ("gone", "1xx", "2xx", "3xx", "4xx", "5xx")  # gone: the client left before its answer


class HouseCollector(Collector):
    """Reads one house each time it is asked."""

    def __init__(self, house: House) -> None:
        self._house = house

    def describe(self) -> Iterable[Metric]:
        """Nothing is collected just to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every family, counters of requests first."""
        yield from self._requests()
        yield from self._failures()
        yield from self._shadows()
        yield from self._store()
        yield from self._process()

    def _requests(self) -> Iterator[Metric]:
        by_answer: dict[tuple[str, ...], int] = defaultdict(int)
        by_reason: dict[tuple[str, ...], int] = defaultdict(int)
        for (component, route, kind, reason, side), classes in list(self._house.records.requests.items()):
            by_reason[component, reason] += sum(classes)
            for status, count in zip(CLASSES, classes, strict=True):
                if count:
                    by_answer[component, route, side, kind, status] += count
        labels = ("component", "route", "side", "kind", "status")
        yield _counter("banyan_requests", "Requests answered, by who answered", labels, by_answer.items())
        yield _counter(
            "banyan_plans", "Requests, by why their side was chosen", ("component", "reason"), by_reason.items()
        )
        durations = HistogramMetricFamily(
            "banyan_request_duration_seconds", "From the head of a request to the end of its answer",
            labels=("component", "side"),
        )  # fmt: skip
        for latency_labels, histogram in list(self._house.records.latencies.items()):
            buckets = [
                ("+Inf" if bound == float("inf") else str(bound), count) for bound, count in histogram.cumulative()
            ]
            durations.add_metric(latency_labels, buckets, histogram.sum_s)
        yield durations

    def _failures(self) -> Iterator[Metric]:
        records = self._house.records
        two = ("component", "reason")
        yield _counter("banyan_fallbacks", "Reads answered by the other side, by why", two, records.fallbacks.items())
        spent = (((name,), count) for name, count in records.spent.items())
        yield _counter("banyan_budget_spent", "Reads sent twice, which the budget counts", two[:1], spent)
        refused = (((reason,), count) for reason, count in records.refused.items())
        yield _counter("banyan_refused", "Requests refused before any side was asked, by why", ("reason",), refused)
        unbuffered = (((name,), count) for name, count in records.unbuffered.items())
        yield _counter("banyan_unbuffered", "Bodies too long to be sent twice", two[:1], unbuffered)
        yield _counter(
            "banyan_alarms", "What should not happen, by what it is", ("component", "what"), records.alarms.items()
        )
        trips = self._house.trips.items()
        yield _counter("banyan_breaker_trips", "Breakers that opened, by why", ("component", "side", "cause"), trips)
        is_open = (
            ((name, side), breaker.state is State.OPEN) for (name, side), breaker in self._house.breakers.items()
        )
        yield _gauge("banyan_breaker_open", "1 while a breaker is open", ("component", "side"), is_open)

    def _shadows(self) -> Iterator[Metric]:
        house = self._house
        outcomes: list[tuple[tuple[str, ...], float]] = []
        reasons: dict[tuple[str, ...], float] = defaultdict(float)
        for (component, route), counts in list(house.shadow_outcomes.items()):
            for name, count in list(counts.items()):
                outcome, _, reason = name.partition(":")
                if name == OTHER:
                    outcome = reason = name  # reasons beyond those that are told apart
                if reason:
                    reasons[component, outcome, reason] += count
                else:
                    outcomes.append(((component, route, outcome), count))
        labels = ("component", "route", "outcome")
        yield _counter("banyan_shadow_reads", "Reads to be compared, by what became of them", labels, outcomes)
        labels = ("component", "outcome", "reason")
        yield _counter("banyan_shadow_reasons", "The same, by why", labels, reasons.items())
        waiting = (((side,), count) for side, count in house.shadow_waiting.items())
        yield _gauge("banyan_shadow_waiting", "Reads that wait to be asked behind their answers", ("side",), waiting)
        share = (((side,), part) for side, part in house.shadow_share.items())
        yield _gauge("banyan_shadow_share", "How much of its shadow reads a side gets, 0 to 1", ("side",), share)
        looks = [((), house.second_looks)]
        yield _gauge("banyan_second_looks", "Differences that wait to be looked at again", (), looks)

    def _store(self) -> Iterator[Metric]:
        house = self._house
        state = house.state
        yield _gauge("banyan_rule_version", "Version of the rules in force", (), [((), house.table.version)])
        age = [((), house.age_s)] if house.age_s is not None else []
        yield _gauge("banyan_rules_age_seconds", "Since the store was read last", (), age)
        yield _gauge("banyan_store_connected", "1 while the store answers", (), [((), state.connected)])
        pairs = list(zip(house.table.components, house.situations, strict=False))
        emergencies = [
            ((component.name, side), situation.emergency is side) for component, situation in pairs for side in Side
        ]
        yield _gauge("banyan_emergency", "1 while an emergency sends all reads there", ("component", "to"), emergencies)
        weights = [((component.name,), component.rules.weight) for component in house.table.components]
        yield _gauge("banyan_weight_percent", "Share of the reads that modern answers", ("component",), weights)

    def _process(self) -> Iterator[Metric]:
        house = self._house
        yield _gauge("banyan_connections", "Connections of clients", (), [((), house.connections)])
        yield _gauge("banyan_loop_lag_seconds", "How late the event loop is", (), [((), house.loop_lag_s)])
        pending = [((side,), count) for side, count in house.pending_requests.items()]
        yield _gauge("banyan_pending_requests", "Requests that wait for a connection", ("side",), pending)
        two = ("side", "instance")
        instances = list(house.instances.items())
        healthy = (((side, at), fine) for (side, at), (fine, _) in instances)
        yield _gauge("banyan_instance_healthy", "1 while an instance is asked like the others", two, healthy)
        active = (((side, at), requests) for (side, at), (_, requests) in instances)
        yield _gauge("banyan_instance_requests", "Requests that an instance has in hand", two, active)
        turns = house.turns.items()
        yield _counter("banyan_instance_changes", "Instances left out or asked again", ("side", "turn"), turns)
        yield _gauge("banyan_ready", "1 while /readyz says so", (), [((), not not_ready(house))])
        dropped = [((), house.records.lines_dropped)]
        yield _counter("banyan_access_lines_dropped", "Access lines nobody took in time", (), dropped)
        yield _gauge("banyan_build_info", "Always 1", ("version",), [((house.build,), 1)])


def registry_of(house: House) -> CollectorRegistry:
    """Return a registry of its own for one house: its counters, and what the system says of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HouseCollector(house))
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return (body, content type) in the format that the scraper accepts."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


_Samples = Iterable[tuple[tuple[str, ...], float]]


def _counter(name: str, text: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _gauge(name: str, text: str, labels: tuple[str, ...], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, float(value))
    return family
