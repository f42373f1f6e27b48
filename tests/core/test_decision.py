from __future__ import annotations

from proxy.core.decision import NO_FALLBACK, PlanDefaults, Reason, fallback_on
from proxy.core.errors import Failure
from proxy.core.rules import Timeouts
from tests.core.planning import component, table


def codes(causes: tuple[str | int, ...]) -> list[int]:
    return [code for code, fails in enumerate(fallback_on(causes).statuses) if fails]


def test_fallback_names_failures_and_statuses():
    assert fallback_on(("connect", "reset", "5xx")).failures == {Failure.CONNECT, Failure.RESET}
    assert codes(("5xx",)) == list(range(500, 600))
    assert codes((404, 503)) == [404, 503]
    assert codes(("timeout",)) == []
    assert len(NO_FALLBACK.statuses) == 1000  # three digits is all that a status may have


def test_the_reasons_are_those_that_the_header_the_log_and_the_metric_use():
    assert [str(reason) for reason in Reason] == [
        "unclaimed", "phase", "emergency", "forced", "pin", "weight", "follows_writes", "marked", "pinned_session",
        "breaker", "ambiguous", "store_lost", "write_primary", "tunnel",
    ]  # fmt: skip


def test_plans_are_equal_by_value_and_kept_by_identity():
    one = table(component(weight=5)).unclaimed
    other = table(component(weight=5)).unclaimed
    first, second = one("read"), other("read")

    assert first == second
    assert first is not second
    assert hash(first) != hash(second)


def test_a_plan_is_facts_for_json():
    facts = table(component(weight=5)).unclaimed("read").facts()

    assert (facts["version"], facts["component"], facts["side"], facts["reason"]) == (41, None, "legacy", "unclaimed")
    assert facts["deadlines"] == Timeouts().model_dump(mode="json")


def test_defaults_are_those_of_the_settings():
    assert PlanDefaults() == PlanDefaults(Timeouts(), Timeouts(), "legacy", "primary")
