"""The benchmark itself: what it concludes from its figures, and that its rig runs at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from proxy.config import load_settings
from proxy.rulefiles import read_folder
from tests.bench.banyan import COMPONENTS, Gateway
from tests.bench.chart import LEFT, svg
from tests.bench.figures import LIMITS, Figures, Limit, Outcome, document, verdicts
from tests.bench.jobs import JOBS, MANY_ROUTES, Bench
from tests.bench.load import BROWSER, LARGE, PLAIN, Traffic, is_complete, script
from tests.bench.peers import PEERS, nginx_mirror
from tests.bench.processes import NotReady, free_ports, request
from tests.bench.report import number, text
from tests.bench.second import Second, shortfall
from tests.bench.site import COUNT_PATH, STAMPED_PATH, Site, back_end, find, lay_out, second_back_end, stamped

JOB, PEER = "plain, 1 field", "nginx"

needs_nginx = pytest.mark.skipif(
    os.environ.get("CI") != "true" and None in (find("nginx"), find("wrk")), reason="nginx and wrk are not installed"
)


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


@pytest.mark.parametrize("who", ["banyan", PEER])
def test_a_limit_does_not_hold_when_one_of_the_two_did_not_do_the_job(who):
    found = figures([20.0, 20.0], [20.0, 20.0])
    found.refuse(JOB, who, "sent 12.0 % of its requests to the second back end")

    assert [(v.value, v.outcome) for v in verdicts(found, [PEER])] == [(None, Outcome.UNKNOWN)]


def test_what_was_not_done_at_all_is_judged_too_and_shown_everywhere():
    found = Figures()
    found.add("mirror", "µs", PEER, 20.0)
    for share in ("12.0", "0.0"):
        found.refuse("mirror", "banyan", f"sent {share} % of its requests to the second back end")
    judged = verdicts(found, [PEER])
    why = "banyan sent 0.0 % of its requests to the second back end (in 2 rounds)"

    assert [(v.limit.job, v.holds) for v in judged] == [("mirror", False)]
    assert f"mirror, equal answers: NOT MEASURED: {why}" in text(found, judged, {})
    assert "- × nginx" in text(found, judged, {})
    assert document(found, judged, {})["not_done"] == found.refused
    words = [each.text for each in xml.fromstring(svg(found, {})) if each.text]
    assert why.replace("banyan", "not measured:") in words


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
        ("mirror", 0.85, "nginx"),
        ("mirror_parsed", 1.0, "nginx"),
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


def test_banyan_is_told_to_send_every_read_of_users_to_both_sides(tmp_path: Path):
    """By what the product itself reads from the files that the job writes."""
    site = Site(tmp_path, legacy=1, modern=2, store=3, proxy_cpu=0, load_cpu=1)
    Gateway("banyan mirror", is_mirroring=True).command(site, 4, 5, 6)
    settings = load_settings(tmp_path / "banyan-mirror/config.yaml", {})
    folder = read_folder(tmp_path / "banyan-mirror/rules")

    assert folder.problems == ()
    users = folder.files["users"].values
    assert set(folder.files) == set(COMPONENTS)
    assert (users["phase"], users["shadow"]) == ("shadow", 100)
    assert users["routes"][f"{STAMPED_PATH}/{{id}}"] == {"compare": {"ignore": ["$.generated_at"]}}
    assert settings.shadow.pending == 4096
    assert (settings.sides.modern.shadow.requests_per_s, settings.sides.modern.shadow.concurrency) == (0, 256)


def test_the_two_sides_differ_in_one_field_and_not_in_length():
    first, second = (json.loads(stamped(side)) for side in ("legacy", "modern"))

    assert len(stamped("legacy")) == len(stamped("modern"))
    assert first != second
    assert [name for name in first if first[name] != second[name]] == ["generated_at"]


@pytest.mark.parametrize(
    ("came", "wrong"),
    [(98_999, "99.0"), (99_000, ""), (100_032, ""), (102_000, ""), (102_100, "102.1"), (0, "0.0"), (200_000, "200.0")],
)
def test_the_second_back_end_must_get_every_request_once(came, wrong):
    traffic = Traffic(100_000, 3.0, 1, 1.0, 1.0, 0)
    said = f"sent {wrong} % of its requests to the second back end" if wrong else ""

    assert shortfall(traffic, came) == said


@pytest.fixture
def site() -> Iterator[Site]:
    """Where both sides are there; not in a folder of pytest, which a worker of nginx may not enter."""
    with tempfile.TemporaryDirectory(prefix="banyan-bench-") as folder:
        there = lay_out(Path(folder))
        with back_end(there) as running:
            running.ready(there.legacy, "/")
            yield there


@needs_nginx
def test_the_second_back_end_counts_what_comes_and_not_who_asks_for_the_number(site: Site):
    alone = replace(site, modern=free_ports(1)[0])
    with second_back_end(alone) as running:
        running.ready(alone.modern, COUNT_PATH)
        second = Second(running, alone.modern)
        before = second.count()
        for _ in range(7):
            request(alone.modern, "/api/users/1")

        assert [second.count() - before for _ in range(3)] == [7, 7, 7]


@needs_nginx
def test_a_second_back_end_that_does_not_count_is_no_witness(site: Site):
    alone = replace(site, modern=free_ports(1)[0])
    with second_back_end(alone) as running, pytest.raises(NotReady, match="does not say how many"):
        Second(running, site.modern).count()


def in_part(site: Site, port: int) -> list[str]:
    """Start an nginx that sends only those requests to both sides to which they answer differently."""
    command = nginx_mirror(site, port)
    path = Path(command[-1])
    everywhere = "location / { mirror /second;"
    some = f"location {STAMPED_PATH} {{ mirror /second; proxy_pass http://legacy; }} location / {{"
    assert everywhere in path.read_text()
    path.write_text(path.read_text().replace(everywhere, some))
    return command


@needs_nginx
def test_a_proxy_that_does_not_send_every_request_twice_is_not_measured(site: Site):
    said: list[str] = []
    bench = Bench(site, {"banyan": in_part, "haproxy": nginx_mirror}, 1, 1, Figures(), said.append)

    JOBS["mirror"](bench)

    assert bench.figures.refused == {
        "mirror": {"banyan": ["sent 0.0 % of its requests to the second back end"]},
    }
    assert list(bench.figures.values) == ["mirror_parsed"]
    assert "mirror: haproxy does not send a request to two sides: left out" in said
    assert any("mirror: banyan NOT MEASURED" in line for line in said)


@needs_nginx
def test_a_proxy_that_answers_from_the_second_side_is_not_measured(site: Site):
    def swapped(site: Site, port: int) -> list[str]:
        return nginx_mirror(replace(site, legacy=site.modern, modern=site.legacy), port)

    bench = Bench(site, {"banyan": swapped}, 1, 1, Figures(), str)

    with pytest.raises(NotReady, match="does not answer as legacy does"):
        JOBS["mirror"](bench)


@needs_nginx
def test_a_peer_sends_every_request_to_both_sides(site: Site):
    """Of the others the benchmark itself holds it against them where they are installed."""
    bench = Bench(site, {"nginx": PEERS["nginx"]}, 1, 1, Figures(), str)

    JOBS["mirror"](bench)

    assert bench.figures.refused == {}
    assert [(job, list(row)) for job, row in bench.figures.values.items()] == [
        ("mirror", ["nginx"]),
        ("mirror_parsed", ["nginx"]),
    ]


def test_every_job_says_what_it_measures():
    assert all(job.__doc__ for job in JOBS.values())


@needs_nginx
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
