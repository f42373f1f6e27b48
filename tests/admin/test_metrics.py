from __future__ import annotations

import re

from proxy.admin.metrics import exposition, registry_of
from proxy.core.messages import RequestHead
from proxy.core.plan import plan
from proxy.core.rules import Side
from tests.admin.small import SmallHouse


def scraped(house: SmallHouse) -> dict[str, float]:
    body, _ = exposition(registry_of(house), "")
    lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def answered(house: SmallHouse, target: bytes, status: int, side: Side = Side.MODERN) -> None:
    decided = plan(house.table, RequestHead(b"GET", target, host=b"x"), house.situations).plan
    house.records.classes_of(decided, side)[status // 100] += 1
    house.records.latency_of(decided, side).add(0.004)


async def test_requests_are_counted_by_route_template_and_class_of_status(house):
    await house.seed()
    for number in range(3):
        answered(house, b"/api/users/%d" % number, 200)
    answered(house, b"/api/users/1", 404, Side.LEGACY)

    found = scraped(house)

    by_labels = {
        frozenset(re.findall(r'(\w+)="([^"]*)"', name)): value
        for name, value in found.items()
        if name.startswith("banyan_requests_total")
    }
    template = ("route", "GET /api/users/{id}")
    assert by_labels == {
        frozenset({("component", "users"), template, ("kind", "read"), ("side", "modern"), ("status", "2xx")}): 3,
        frozenset({("component", "users"), template, ("kind", "read"), ("side", "legacy"), ("status", "4xx")}): 1,
    }
    assert found['banyan_plans_total{component="users",reason="weight"}'] == 4
    assert found['banyan_request_duration_seconds_count{component="users",side="modern"}'] == 3
    assert found['banyan_request_duration_seconds_bucket{component="users",le="0.005",side="modern"}'] == 3
    assert found['banyan_request_duration_seconds_bucket{component="users",le="0.0025",side="modern"}'] == 0
    assert found['banyan_request_duration_seconds_bucket{component="users",le="+Inf",side="modern"}'] == 3


async def test_ten_thousand_paths_make_no_further_series(house):
    await house.seed()
    answered(house, b"/api/users/1", 200)
    answered(house, b"/other/1", 200, Side.LEGACY)
    before = len(scraped(house))

    for number in range(10_000):
        answered(house, b"/api/users/%d" % number, 200)
        answered(house, b"/other/%d" % number, 200, Side.LEGACY)

    assert len(scraped(house)) == before


async def test_failures_are_counted_by_reason(house):
    await house.seed()
    house.records.fallbacks.add(("users", "timeout"))
    house.records.fallbacks.add(("users", "reset"))
    house.records.spent.add("users", 2)
    house.records.refused.add("version")
    house.trips.add(("users", "modern", "consecutive"))
    house.breakers["users", Side.MODERN].trip(0.0)

    found = scraped(house)

    assert found['banyan_fallbacks_total{component="users",reason="timeout"}'] == 1
    assert found['banyan_budget_spent_total{component="users"}'] == 2
    assert found['banyan_refused_total{reason="version"}'] == 1
    assert found['banyan_breaker_trips_total{cause="consecutive",component="users",side="modern"}'] == 1
    assert found['banyan_breaker_open{component="users",side="modern"}'] == 1
    assert found['banyan_breaker_open{component="users",side="legacy"}'] == 0


async def test_the_store_and_what_it_says_are_gauges(house):
    assert "banyan_rules_age_seconds" not in scraped(house)
    await house.seed()
    await house.emergencies.set("users", Side.LEGACY, who="ana", why="errors")
    await house.look()

    found = scraped(house)

    assert found["banyan_rule_version"] == 1
    assert found["banyan_store_connected"] == 1
    assert 0 <= found["banyan_rules_age_seconds"] < 5
    assert found['banyan_emergency{component="users",to="legacy"}'] == 1
    assert found['banyan_emergency{component="users",to="modern"}'] == 0
    assert found['banyan_weight_percent{component="users"}'] == 25
    assert found["banyan_connections"] == 3
    assert found['banyan_pending_requests{side="legacy"}'] == 0
    assert found['banyan_pending_requests{side="modern"}'] == 4
    assert found["banyan_loop_lag_seconds"] == 0.25
    assert found['banyan_instance_healthy{instance="a:1",side="legacy"}'] == 1
    assert found['banyan_instance_healthy{instance="b:2",side="modern"}'] == 0
    assert found['banyan_instance_requests{instance="a:1",side="legacy"}'] == 2
    assert found['banyan_instance_changes_total{side="modern",turn="ejected"}'] == 1
    assert found["banyan_ready"] == 1
    assert found['banyan_build_info{version="0.0.test"}'] == 1

    house.server.kill()
    await house.look()
    assert scraped(house)["banyan_store_connected"] == 0


async def test_shadow_reads_are_counted_by_what_became_of_them_and_why(house):
    found = scraped(house)

    for outcome, count in (("matched", 7), ("skipped", 2)):
        labels = f'{{component="users",outcome="{outcome}",route="/api/users/{{id}}"}}'
        assert found[f"banyan_shadow_reads_total{labels}"] == count
    assert found['banyan_shadow_reasons_total{component="users",outcome="skipped",reason="range"}'] == 2
    assert found['banyan_shadow_waiting{side="modern"}'] == 3
    assert found['banyan_shadow_share{side="modern"}'] == 0.5
    assert found["banyan_second_looks"] == 4
