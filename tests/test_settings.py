"""The settings as values: what follows from them, and which of them contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.core.model import Side
from proxy.settings import Settings, contradictions
from proxy.wire.certificates import DialingFiles, ServingFiles


def made(**values: Any) -> Settings:
    return Settings.model_validate(values)


def test_the_defaults_contradict_nothing():
    assert list(contradictions(Settings())) == []


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"probes": {"listen": "127.0.0.1:8080"}}, ("probes", "listen")),
        ({"listen": "127.0.0.1:8081"}, ("admin", "listen")),
        ({"admin": {"listen": "0.0.0.0:8081"}}, ("admin", "listen")),
        ({"admin": {"listen": "[::]:8081"}}, ("admin", "listen")),
        ({"sides": {"modern": {"url": "http://127.0.0.1:8080"}}}, ("sides", "modern", "url")),
        ({"listen": "0.0.0.0:9001"}, ("sides", "legacy", "url")),
        ({"sides": {"modern": {"tls": {"verify": False}}}}, ("sides", "modern", "tls")),
    ],
)
def test_what_contradicts_is_said_at_its_path(values, path):
    ((found, sentence),) = contradictions(made(**values))

    assert found == path
    assert sentence


@pytest.mark.parametrize(
    "values",
    [
        {"listen": "127.0.0.1:0", "probes": {"listen": "127.0.0.1:0"}, "admin": {"listen": "127.0.0.1:0"}},
        {"listen": "127.0.0.1:8080", "probes": {"listen": "127.0.0.2:8080"}},
        {"listen": "0.0.0.0:8080", "sides": {"legacy": {"url": "http://10.0.0.1:8080"}}},
        {"admin": {"listen": "0.0.0.0:8081", "tokens": [{"name": "a", "role": "viewer", "env": "T"}]}},
        {"sides": {"legacy": {"url": "http://app:1"}, "modern": {"url": "http://app:1"}}},
        {"sides": {"legacy": {"url": "https://app", "tls": {"verify": False}}, "modern": {"tls": None}}},
        {"tls": None},
    ],
)
def test_what_does_not_contradict(values):
    assert list(contradictions(made(**values))) == []


def test_the_deadlines_of_a_side_lie_over_the_general_ones():
    values = made(timeouts={"connect_s": 2, "idle_s": 7}, sides={"legacy": {"timeouts": {"connect_s": 3}}})

    assert values.timeouts_of(Side.LEGACY).model_dump() == {
        "connect_s": 3, "head_s": 15, "head_with_fallback_s": 3, "idle_s": 7, "exchange_s": 0,
    }  # fmt: skip
    assert values.timeouts_of(Side.MODERN).connect_s == 2


def test_a_side_is_where_its_address_says():
    sides = made(sides={"legacy": {"urls": ["http://[::1]:9001"]}})

    places = [[(each.host, each.port) for each in sides.side(side).origins] for side in Side]
    assert places == [[("::1", 9001)], [("127.0.0.1", 9002)]]


def test_how_tls_is_spoken_is_said_to_the_wire_only_where_it_is_spoken():
    plain = made()
    assert (plain.tls.files, plain.side(Side.LEGACY).files, plain.side(Side.LEGACY).scheme) == (None, None, "http")

    tls = {"cert": "c", "client_ca": "a", "client_certificates": "optional"}
    settings = made(tls=tls, sides={"legacy": {"url": "HTTPS://App", "tls": {"ca": "b"}}})
    side = settings.side(Side.LEGACY)

    assert settings.tls.files == ServingFiles(Path("c"), None, Path("a"), "optional")
    assert side.files == DialingFiles(ca=Path("b"))
    (origin,) = side.origins
    assert (side.scheme, origin.port, side.server_name(origin)) == ("https", 443, "app")


def test_what_shadow_reads_may_cost():
    settings = made(
        shadow={"body_bytes": 4_096},
        sides={"modern": {"version_header": "X-App-Version", "shadow": {"requests_per_s": 0}}},
    )

    assert settings.shadow.buffer_bytes == 67_108_864
    assert settings.side(Side.MODERN).version_header == "x-app-version"
    assert settings.side(Side.MODERN).shadow.requests_per_s == 0
    assert settings.side(Side.LEGACY) == made().side(Side.LEGACY)


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Settings().listen = "127.0.0.1:1"  # type: ignore[misc]


@pytest.mark.parametrize(
    "values",
    [
        {"processes": 0},
        {"processes": True},
        {"drain_s": "30"},
        {"expose": 1},
        {"nothing": 1},
        {"sides": {"legacy": {"tls": {"verify": "no"}}}},
        {"shadow": {"pending": 1.5}},
        {"shadow": {"rereads_per_s": True}},
        {"sides": {"modern": {"shadow": {"requests_per_s": "100"}}}},
        {"sides": {"modern": {"version_header": 1}}},
        {"tls": {"key": "a"}},
        {"tls": {"cert": "a", "client_ca": "b"}},
        {"tls": {"cert": "a", "client_certificates": "required"}},
        {"tls": {"client_certificates": "optional", "client_ca": "b"}},
        {"sides": {"legacy": {"urls": [f"http://a:{port}" for port in range(1, 258)]}}},
        {"admin": {"tokens": [{"name": "a", "role": "viewer", "env": "A", "token_file": "b"}]}},
    ],
)
def test_what_is_not_built_or_not_of_its_type_is_refused(values):
    with pytest.raises(ValidationError):
        made(**values)


def test_a_token_is_known_once_it_was_taken():
    (token,) = made(admin={"tokens": [{"name": "a", "role": "viewer", "env": "A"}]}).admin.tokens
    assert token.secret == ""

    token.take("t0ken")

    assert token.secret == "t0ken"
    assert "t0ken" not in repr(token)
