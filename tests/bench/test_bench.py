"""The benchmark itself: what it concludes from its figures, and that its rig runs at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import yaml

from tests.bench.banyan import COMPONENTS, Gateway
from tests.bench.chart import LEFT, svg
from tests.bench.figures import LIMITS, Figures, Limit, Outcome, document, verdicts
from tests.bench.jobs import JOBS, MANY_ROUTES
from tests.bench.load import BROWSER, LARGE, PLAIN, is_complete, script
from tests.bench.report import number, text
from tests.bench.site import Site, find

JOB, PEER = "plain, 1 field", "nginx"


def figures(ours: list[float], theirs: list[float]) -> Figures:
    found = Figures()
    for proxy, values in (("banyan", ours), (PEER, theirs)):
        for value in values:
            found.add(JOB, "µs", proxy, value)
    return found


@pytest.mark.parametrize(
    ("ours", "outcome"),
    [(24.9, Outcome.ON_TARGET), (25.1, Outcome.WITHIN), (35.0, Outcome.WITHIN), (35.1, Outcome.ABOVE)],
)
def test_a_ratio_is_judged_by_target_and_limit(ours, outcome):
    (verdict,) = verdicts(figures([ours], [20.0]), [PEER])

    assert (verdict.outcome, verdict.holds) == (outcome, outcome is not Outcome.ABOVE)


def test_the_ratio_is_the_median_over_rounds_not_the_ratio_of_medians():
    """One slow minute that hits both alike changes nothing."""
    (verdict,) = verdicts(figures([20.0, 80.0, 22.0], [20.0, 80.0, 20.0]), [PEER])

    assert verdict.value == 1.0


def test_the_chart_has_a_bar_for_each_proxy_in_proportion_and_the_limit():
    found = figures([30.0, 31.0, 29.0], [20.0])
    found.add("start to ready", "s", "banyan", 0.5)  # which no peer has: not drawn

    drawn = xml.fromstring(svg(found, {"versions": {PEER: "1.0"}, "when": "today <&"}))

    shapes = [each for each in drawn if each.tag.endswith("rect")][1:]
    ours, theirs = (float(each.attrib["width"]) for each in shapes)
    assert ours / theirs == pytest.approx(1.5, rel=0.01)
    dashed = [each for each in drawn if "stroke-dasharray" in each.attrib]
    assert [float(each.attrib["x1"]) for each in dashed] == [pytest.approx(LEFT + theirs * 1.75, rel=0.01)]
    words = " ".join(each.text or "" for each in drawn)
    assert all(word in words for word in ("nginx 1.0", "30", "today <&"))
    assert "start" not in words


def test_a_limit_whose_peer_is_missing_does_not_hold():
    found = figures([20.0], [])

    assert [(v.limit.peer, v.outcome, v.holds) for v in verdicts(found, ["nginx", "envoy"])] == [
        ("nginx", Outcome.UNKNOWN, False),
        ("envoy", Outcome.UNKNOWN, False),
    ]


def test_nothing_is_said_of_peers_and_jobs_that_nobody_asked_for():
    assert verdicts(figures([20.0], []), []) == []
    assert verdicts(figures([], [20.0]), [PEER]) == []


def test_an_absolute_limit_needs_no_peer():
    found = Figures()
    found.add("start to ready", "s", "banyan", 0.9)

    assert [v.outcome for v in verdicts(found, [])] == [Outcome.ABOVE]


def test_the_limits_are_those_that_were_promised():
    assert [limit for limit in LIMITS if limit.peer is None] == [
        Limit("start to ready", 0.8, 0.8),
        Limit("memory, idle", 70, 70),
        Limit("memory per idle connection", 10, 10),
    ]
    assert [(limit.job, limit.never_above, limit.peer) for limit in LIMITS if limit.peer] == [
        ("plain, 1 field", 1.75, "nginx"),
        ("plain, 1 field", 0.65, "envoy"),
        ("plain, 12 fields", 2.0, "nginx"),
        ("plain, 12 fields", 0.7, "envoy"),
        ("1 MiB", 0.8, "nginx"),
        ("1 MiB", 1.1, "envoy"),
    ]


def test_the_report_shows_figures_ratios_and_failures():
    found = figures([20.0, 30.0, 40.0], [20.0, 20.0, 20.0])
    found.failed["banyan"] = 3
    machine = {"processor": "Some CPU", "versions": {PEER: "1.22.1"}}

    shown = text(found, verdicts(found, [PEER]), machine)

    assert "Some CPU" in shown
    assert "nginx 1.22.1" in shown
    assert "30 (20-40)" in shown
    assert "1.50 × nginx" in shown
    assert "banyan: 3 requests failed" in shown


def test_the_document_is_json_with_every_round():
    found = figures([20.0, 30.0], [20.0, 20.0])
    written = json.loads(json.dumps(document(found, verdicts(found, [PEER]), {"processor": "x"})))

    assert written["figures"][JOB]["rounds"] == {"banyan": [20.0, 30.0], "nginx": [20.0, 20.0]}
    assert written["limits"][0] == {
        "job": JOB,
        "peer": PEER,
        "value": 1.25,
        "target": 1.25,
        "never_above": 1.75,
        "outcome": "on target",
    }


@pytest.mark.parametrize(("value", "shown"), [(0.4123, "0.412"), (21.34, "21.3"), (748.2, "748"), (1850.0, "1850")])
def test_three_digits_count(value, shown):
    assert number(value) == shown


def test_loads_differ_in_their_header_fields():
    assert [(load.name, load.fields) for load in (PLAIN, BROWSER, LARGE)] == [
        ("plain, 1 field", 1),
        ("plain, 12 fields", 12),
        ("1 MiB", 1),
    ]
    assert "X-User-Id" in script(BROWSER)
    assert "X-User-Id" not in script(PLAIN)


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nxy", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_read_to_its_end(answer, complete):
    assert is_complete(answer) is complete


def test_the_rules_under_measurement_have_four_components_and_as_many_routes_as_asked_for(tmp_path: Path):
    site = Site(tmp_path, legacy=1, modern=2, store=3, proxy_cpu=0, load_cpu=1)
    Gateway("many", MANY_ROUTES).command(site, 4, 5, 6)

    files = {path.stem: yaml.safe_load(path.read_text()) for path in (tmp_path / "many/rules").iterdir()}

    assert set(files) == {*COMPONENTS, "further"}
    assert files["users"]["weight"] == 50
    assert sum(len(file["routes"]) for file in files.values()) == MANY_ROUTES


def test_every_job_says_what_it_measures():
    assert all(job.__doc__ for job in JOBS.values())


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and None in (find("nginx"), find("wrk")), reason="nginx and wrk are not installed"
)
def test_the_rig_measures_a_peer(tmp_path: Path):
    """The real thing, as short as it goes: nginx in front of nginx, loaded by wrk."""
    words = ["plain", "--only-peers", "--peers", "nginx", "--rounds", "1", "--seconds", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    (written,) = tmp_path.glob("*.json")
    found = json.loads(written.read_text())["figures"]
    assert [(job, list(row["rounds"])) for job, row in found.items()] == [
        ("plain, 1 field", ["nginx"]),
        ("plain, 12 fields", ["nginx"]),
    ]
    assert all(row["median"]["nginx"] > 1 for row in found.values())
