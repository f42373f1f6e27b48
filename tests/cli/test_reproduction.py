"""What is printed to ask the sides again really does: run with sh and pytest against two small servers."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.cli.reproduction import Ends, asked_of, best_of, curl_script, pytest_file
from proxy.core.clusters import sightings
from proxy.core.messages import field
from proxy.store.mismatches import Cluster
from tests.core.pairs import answer, pair

CLUSTER = Cluster("0123456789", "users", "GET /api/users/{id}", "$.a", "value", "a≠b", 3, 2, "F", "L", "open")


class Small:
    """A small HTTP server that says one thing to everybody and remembers what it was asked."""

    def __init__(self) -> None:
        self.says: Any = {}
        self.status = 200
        self.type = "application/json"
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        small = self

        class Page(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                fields = {name.lower(): value for name, value in self.headers.items()}
                small.asked.append((self.command, self.path, fields, body))
                said = small.says(self.path, fields) if callable(small.says) else small.says
                text = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(small.status)
                self.send_header("content-type", small.type)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def sides() -> Iterator[tuple[Small, Small]]:
    made = Small(), Small()
    yield made
    for each in made:
        each.close()


def ends(sides: tuple[Small, Small], through: str | None = None) -> Ends:
    return Ends({"legacy": sides[0].url, "modern": sides[1].url}, through)


def example(first: Any, second: Any, **values: Any) -> dict[str, Any]:
    """Return the first example of a pair as it comes from the store."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(sightings(pair(first, second, **values))[0].example))
    return found


def run(folder: Path, name: str, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script, or a test file, with nothing but these variables."""
    (folder / name).write_text(text)
    return run_again(folder, name, **variables)


def run_again(folder: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = ["sh"] if names[0].endswith(".sh") else [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    return subprocess.run([*words, *names], cwd=folder, env=env, capture_output=True, text=True, timeout=120)


BUGS = [
    ({"a": 1}, {"a": 2}),
    ({"a": 1}, {"a": "1"}),
    ({"a": True}, {"a": 1}),
    ({"a": {"b": 1}}, {"a": {}}),
    ({}, {"a": None}),
    ({"items": [{"a": 1}, {"a": 2}]}, {"items": [{"a": 1}, {"a": 3}]}),
    ({"a": [1, 2]}, {"a": [2, 1]}),
    ({"a": [1, 2]}, {"a": [1]}),
    ({"by_key": {"1234": 1}}, {"by_key": {"1234": 2}}),
    ([1], [2]),
    (1, 2),
    (b"<p>", {"a": 1}),
    (b"a", b"b"),
]


def test_a_test_file_fails_as_long_as_the_sides_differ(tmp_path, sides):
    names = [f"test_{number}.py" for number in range(len(BUGS))]
    for number, (name, (first, second)) in enumerate(zip(names, BUGS, strict=True)):
        told = example(first, second, target=b"/api/users/%d" % number)
        (tmp_path / name).write_text(pytest_file(CLUSTER, told, ends(sides)))
    sides[0].says = lambda path, _: BUGS[int(path.rpartition("/")[2])][0]
    sides[1].says = lambda path, _: BUGS[int(path.rpartition("/")[2])][1]

    failed = run_again(tmp_path, *names, ACCEPT="application/json")
    assert f"{len(BUGS)} failed" in failed.stdout, failed.stdout + failed.stderr
    assert failed.stdout.count("AssertionError") >= len(BUGS), "they fail by what they claim, not by an error of theirs"

    sides[1].says = sides[0].says
    passed = run_again(tmp_path, *names, ACCEPT="application/json")
    assert (passed.returncode, f"{len(BUGS)} passed" in passed.stdout) == (0, True), passed.stdout + passed.stderr


def test_a_test_file_looks_at_its_place_alone(tmp_path, sides):
    text = pytest_file(CLUSTER, example({"a": 1, "b": 1}, {"a": 2, "b": 1}), ends(sides))
    sides[0].says, sides[1].says = {"a": 1, "b": 1}, {"a": 1, "b": 2}

    assert run(tmp_path, "test_it.py", text, ACCEPT="x").returncode == 0


def test_a_status_and_a_header_have_tests_of_their_own(tmp_path, sides):
    status = pytest_file(CLUSTER, example(answer({}, 200), answer({}, 500)), ends(sides))
    html = answer({}, fields=field(b"content-type", b"text/html"))
    header = pytest_file(CLUSTER, example(answer({}), html), ends(sides))
    for text in (status, header):
        assert run(tmp_path, "test_it.py", text, ACCEPT="x").returncode == 0

    sides[1].type = "text/html"
    assert run(tmp_path, "test_it.py", status, ACCEPT="x").returncode == 0
    assert run(tmp_path, "test_it.py", header, ACCEPT="x").returncode == 1
    sides[1].status = 500
    assert run(tmp_path, "test_it.py", status, ACCEPT="x").returncode == 1


REQUEST = {
    "route": "GET /api/{tenant}/users/{path}",
    "target": b"/api/acme/users/tok_51HqXtYbZ?page=2&q=ana&tok_51HqXtYbZ=1&filter[status]=open",
    "request_fields": field(b"authorization", b"Bearer x") + field(b"x-user-id", b"7") + field(b"path", b"y"),
}
VARIABLES = {
    "AUTHORIZATION": "Bearer s3 cr'3t",
    "X_USER_ID": "$(touch gone)`touch gone`",
    "FIELD_PATH": "z",
    "PARAM_PATH": "4711",
    "QUERY_Q": "ana",
    "QUERY_FILTER_STATUS": "open",
}
ASKED = "/api/acme/users/4711?page=2&q=ana&filter[status]=open"


def test_secrets_come_from_variables_and_go_where_they_were(tmp_path, sides):
    told = example({"a": 1}, {"a": 2}, **REQUEST)
    assert asked_of(told).variables == tuple(VARIABLES)

    done = run(tmp_path, "ask.sh", curl_script(CLUSTER, told, ends(sides)), **VARIABLES)
    assert done.returncode == 0, done.stderr
    assert run(tmp_path, "test_it.py", pytest_file(CLUSTER, told, ends(sides)), **VARIABLES).returncode == 0
    for side in sides:
        for method, target, fields, _ in side.asked:
            assert (method, target.replace("%5B", "[").replace("%5D", "]")) == ("GET", ASKED)
            assert (fields["authorization"], fields["x-user-id"]) == (
                VARIABLES["AUTHORIZATION"],
                VARIABLES["X_USER_ID"],
            )
            assert fields["path"] == "z"
        assert len(side.asked) == 2
    assert not (tmp_path / "gone").exists()


def test_a_script_prints_both_answers(tmp_path, sides):
    sides[0].says, sides[1].says = {"a": "one"}, {"a": "two"}

    done = run(
        tmp_path, "ask.sh", curl_script(CLUSTER, example({"a": 1}, {"a": 2}), ends(sides)), ACCEPT="application/json"
    )
    assert done.returncode == 0, done.stderr
    legacy, _, modern = done.stdout.partition("== modern")
    assert "== legacy" in legacy and "200 OK" in legacy and '{"a": "one"}' in legacy
    assert '{"a": "two"}' in modern


def test_what_is_not_set_is_named(tmp_path, sides):
    text = curl_script(CLUSTER, example({"a": 1}, {"a": 2}, **REQUEST), ends(sides))
    assert f"# Set and export before: {', '.join(VARIABLES)}" in text.splitlines()
    assert "# 1 parameters of the query are left out: their names may be data" in text.splitlines()

    done = run(tmp_path, "ask.sh", text)
    assert done.returncode != 0
    assert "AUTHORIZATION" in done.stderr
    assert sides[0].asked == []


def test_a_read_with_a_body_takes_it_from_a_file(tmp_path, sides):
    told = example(
        {"a": 1}, {"a": 2}, method=b"POST", route="POST /rpc/find", target=b"/rpc/find",
        request_fields=field(b"content-type", b"application/json"),
    )  # fmt: skip
    (tmp_path / "body.json").write_text('{"id": 1}')
    variables = {"CONTENT_TYPE": "application/json", "BODY_FILE": "body.json"}

    assert run(tmp_path, "ask.sh", curl_script(CLUSTER, told, ends(sides)), **variables).returncode == 0
    assert run(tmp_path, "test_it.py", pytest_file(CLUSTER, told, ends(sides)), **variables).returncode == 0
    assert [(each[0], each[1], each[3]) for each in sides[0].asked] == [("POST", "/rpc/find", b'{"id": 1}')] * 2


def test_head_is_asked_as_head(tmp_path, sides):
    told = example(answer(b"", 200), answer(b"", 404), method=b"HEAD")

    assert run(tmp_path, "ask.sh", curl_script(CLUSTER, told, ends(sides)), ACCEPT="x").returncode == 0
    assert sides[1].asked[0][0] == "HEAD"


def test_through_banyan_the_side_is_forced(tmp_path, sides):
    banyan = sides[0]
    banyan.says = lambda _, fields: {"a": fields["x-banyan-force"]}
    told = example({"a": 1}, {"a": 2})
    variables = {"ACCEPT": "x", "BANYAN_FORCE_SECRET": "hush"}

    assert run(tmp_path, "ask.sh", curl_script(CLUSTER, told, ends(sides, banyan.url)), **variables).returncode == 0
    assert run(tmp_path, "test_it.py", pytest_file(CLUSTER, told, ends(sides, banyan.url)), **variables).returncode == 1
    assert [each[2]["x-banyan-force"] for each in banyan.asked] == ["legacy;hush", "modern;hush"] * 2
    assert sides[1].asked == []


def test_the_example_that_needs_least_is_taken():
    plain, token = example({"a": 1}, {"a": 2}), example({"a": 1}, {"a": 2}, **REQUEST)

    assert best_of([token, plain]) == plain
    assert best_of([plain, {**plain, "at": "later"}]) == plain


EVIL = ("$(touch gone)", "`touch gone`", "x; touch gone; '", "'; touch gone; '", '"; touch gone; "', "x\n touch gone\n")
EVIL_PYTHON = (
    '"""\nopen("gone", "w")\n"""',
    "'+str(open('gone', 'w'))+'",
    '"+str(open("gone", "w"))+"',
    "x\nopen('gone', 'w')",
)


@pytest.mark.parametrize("evil", [*EVIL, *EVIL_PYTHON])
def test_what_others_wrote_into_an_example_is_not_run(tmp_path, sides, evil):
    told = {
        "method": evil, "request_path": f"/{evil}{{{evil}}}", "query": [f"{evil}={evil}", f"a={evil}"],
        "fields": [evil], "kind": evil, "path": evil, "steps": [evil, 1], "sides": [evil, evil], "statuses": 1,
    }  # fmt: skip
    cluster = Cluster("0123456789", evil, evil, evil, evil, evil, 1, 1, evil, evil, "open")
    variables = dict.fromkeys(asked_of(told).variables, "x")

    for odd in (told, {**told, "kind": "header"}):
        if evil in EVIL:
            assert "curl" in run(tmp_path, "ask.sh", curl_script(cluster, odd, ends(sides)), **variables).stderr
        else:
            run(tmp_path, "test_it.py", pytest_file(cluster, odd, ends(sides)), **variables)
        ast.parse(pytest_file(cluster, odd, ends(sides)))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("odd", [{}, dict.fromkeys(("method", "query", "fields", "steps", "sides", "request_path"), 1)])
def test_an_example_that_makes_no_sense_asks_for_the_root(tmp_path, sides, odd):
    assert run(tmp_path, "ask.sh", curl_script(CLUSTER, odd, ends(sides))).returncode == 0
    assert [each[:2] for side in sides for each in side.asked] == [("GET", "/")] * 2
    ast.parse(pytest_file(CLUSTER, odd, ends(sides)))
