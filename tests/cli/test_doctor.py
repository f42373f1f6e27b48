from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proxy.core.status import heartbeat_facts
from tests import pki
from tests.cli.place import Place
from tests.cli.test_cli import typed
from tests.store.servers import free_port


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = {"/healthz": 200, "/moved": 302, "/private": 200 if self.headers["X-Key"] == "1" else 401}
        self.send_response(found.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def side(tls: ssl.SSLContext | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def sides() -> Iterator[dict[str, dict[str, str]]]:
    with side() as legacy, side() as modern:
        yield {"legacy": {"url": legacy}, "modern": {"url": modern}}


def found(place: Place, code: int = 0) -> dict[str, tuple[str, str]]:
    said = place.say("doctor", "-o", "json")
    assert said.code == code, said
    return {each["what"]: (each["state"], each["says"]) for each in json.loads(said.out)}


def test_a_house_in_order(place, sides):
    place.configure(sides=sides)
    place.beat("a", version=1, epoch=place.say("status", "-o", "json").data["epoch"], at="2026-01-01T00:00:00Z")

    all_of_it = found(place)

    assert all_of_it["side legacy"][0] == "ok"
    assert all_of_it["store memory"] == ("ok", "nothing is evicted (maxmemory-policy noeviction)")
    assert all_of_it["store clock"][0] == "ok"
    assert all_of_it["published rules"] == ("ok", "version 1, 2 components")
    assert all_of_it["sticky skew"][0] == "ok"
    assert all_of_it["store persistence"][0] == "warning"  # the store of the tests keeps nothing
    assert all_of_it["replica a"][0] == "warning"  # its clock is months behind


def test_a_store_that_may_forget_keys_is_warned_of(place, sides):
    place.configure(sides=sides)
    place.redis.config_set("maxmemory-policy", "allkeys-lru")
    place.redis.config_set("maxmemory", "1gb")
    try:
        assert found(place)["store memory"][0] == "warning"
    finally:
        place.redis.config_set("maxmemory", "0")
        place.redis.config_set("maxmemory-policy", "noeviction")


def test_sticky_skew_is_told(place, sides):
    place.configure(sides=sides)
    place.beat("a", version=1, facts=heartbeat_facts(connected=True, skew={"users": 0.4}))

    assert "one sticky value makes 40% of its reads" in place.say("doctor").out


def test_a_side_that_does_not_answer_ends_with_5(place, sides):
    place.configure(sides=sides | {"modern": {"url": f"http://127.0.0.1:{free_port()}"}})

    state, says = found(place, 5)["side modern"]

    assert state == "failure"
    assert "/healthz" in says


def test_an_instance_that_does_not_answer_is_a_warning_as_long_as_another_does(place, sides):
    gone = f"http://127.0.0.1:{free_port()}"
    place.configure(sides=sides | {"modern": {"urls": [gone, sides["modern"]["url"]]}})

    modern = {what: state for what, (state, _) in found(place).items() if what.startswith("side modern")}
    assert modern == {
        f"side modern {gone[7:]}": "warning",
        f"side modern {sides['modern']['url'][7:]}": "ok",
    }

    place.configure(sides=sides | {"modern": {"urls": [gone, f"http://127.0.0.1:{free_port()}"]}})
    assert [state for what, (state, _) in found(place, 5).items() if what.startswith("side modern")] == ["failure"] * 2


def test_a_side_is_asked_with_the_fields_that_every_request_to_it_gets(place, sides):
    place.configure(sides=sides | {"modern": {**sides["modern"], "health": "/private"}})
    assert found(place)["side modern"][0] == "warning"
    place.configure(sides=sides | {"modern": {**sides["modern"], "health": "/private", "headers": {"x-key": "1"}}})
    assert found(place)["side modern"][0] == "ok"


def test_a_side_whose_checks_would_fail_is_a_warning(place, sides):
    """A redirect is an answer of somebody; a health check takes none."""
    modern = {**sides["modern"], "health": "/moved"}
    place.configure(sides=sides | {"modern": modern})
    assert found(place)["side modern"][0] == "ok"

    place.configure(sides=sides | {"modern": {**modern, "health_check": {"interval_s": 1}}})
    assert found(place)["side modern"][0] == "warning"


def test_a_side_that_says_it_is_not_well_is_a_warning(place, sides):
    place.configure(sides=sides | {"modern": {**sides["modern"], "health": "/sick"}})

    assert found(place)["side modern"][0] == "warning"


def test_a_store_that_does_not_answer_ends_with_5(bare, sides):
    bare.configure(sides=sides)

    state, says = found(bare, 5)["store"]

    assert state == "failure"
    assert "out of reach" in says


def test_an_embedded_store_starts_with_the_gateway(bare, sides):
    bare.store = "embedded"
    bare.configure(sides=sides, data_dir="d")

    assert found(bare)["store"] == ("ok", "embedded; it starts with the gateway")


@pytest.mark.parametrize("left", [False, True])
def test_an_embedded_store_that_run_could_not_start_is_a_failure(bare, sides, left):
    bare.store = "embedded"
    bare.configure(sides=sides, data_dir="d")
    if left:  # by a gateway that has ended
        bare.write("d/store/address", "unix:///tmp/there-is-no-store-here\n")
        (bare.folder / "d/store/lock").mkdir()
    else:
        bare.write("d", "a file where a folder should be")

    state, says = found(bare, 5)["store"]
    run = typed(bare, "run")

    assert (state, run.returncode) == ("failure", 5)
    assert says.startswith(f"the embedded store cannot use {bare.folder}/d/store: ")
    assert run.stderr.endswith(f"{says}\n")


def test_a_port_that_something_else_has_ends_with_1(place, sides):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.configure(sides=sides, listen=f"127.0.0.1:{taken.getsockname()[1]}")

        state, says = found(place, 1)["port listen"]

    assert (state, "something else" in says) == ("failure", True)


def test_bad_rules_end_with_4_and_bad_published_ones_too(place, sides):
    place.configure(sides=sides)
    place.redis.set("banyan:rules", "garbage")
    assert found(place, 4)["published rules"][0] == "failure"

    place.redis.delete("banyan:rules")
    place.write("rules/users.yaml", "component: users\nweight: 140\n")
    assert "should be 0 to 100, is 140" in found(place, 4)["rules"][1]


def test_bad_settings_end_with_4(bare):
    bare.write("config.yaml", "lsten: 1\n")

    assert bare.say("doctor").code == 4


def test_as_a_table_each_finding_has_a_mark(place, sides):
    place.configure(sides=sides)

    lines = place.say("doctor").out.splitlines()

    assert all(line[0] in "✓!✗" for line in lines)


def test_sides_over_tls_are_judged_as_the_gateway_judges_them(place, sides):
    root = str(pki.authority().root)
    with side(pki.serving()) as url:
        place.configure(sides=sides | {"modern": {"url": url, "tls": {"ca": root}}})
        assert found(place)["side modern"][0] == "ok"

        place.configure(sides=sides | {"modern": {"url": url, "tls": {"verify": False}}})
        state, says = found(place)["side modern"]
        assert (state, says.endswith("its certificate is not verified")) == ("warning", True)

        place.configure(sides=sides | {"modern": {"url": url}})
        state, says = found(place, 5)["side modern"]
        assert (state, "certificate verify failed" in says) == ("failure", True)

        place.configure(sides=sides | {"modern": {"url": url, "tls": {"ca": "missing.pem"}}})
        state, says = found(place, 4)["side modern"]
        assert (state, says.startswith("tls.ca: ")) == ("failure", True)


def test_the_certificate_for_clients_is_looked_at(place, sides):
    cert = pki.server_cert()
    place.configure(sides=sides, tls={"cert": str(cert), "key": str(pki.key_of(cert))})
    assert found(place)["tls"] == ("ok", f"{cert} can be served; client certificates: none")

    place.configure(sides=sides, tls={"cert": str(cert)})
    state, says = found(place, 4)["tls"]
    assert (state, says.startswith("cert: ")) == ("failure", True)
