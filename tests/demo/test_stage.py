from __future__ import annotations

import os
import socket

import orjson
import pytest

from proxy.core.errors import ConfigError
from proxy.demo.entities import COMPONENTS
from proxy.demo.stage import RULES, Ports, Stage, StageError, free_ports
from proxy.rulefiles import read_folder


def test_a_taken_port_is_replaced_by_another_and_no_port_comes_twice():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = free_ports(Ports(data=port, admin=port))
        chosen = [getattr(ports, name) for name in Ports.__dataclass_fields__]

    assert port not in chosen
    assert len(set(chosen)) == 5


def test_the_rules_of_the_demo_are_right():
    folder = read_folder(RULES)

    assert folder.problems == ()
    assert sorted(folder.files) == ["analytics", "configuration", "conversations", "users"]


async def test_everything_starts_answers_as_an_operator_expects_and_leaves_nothing():
    async with Stage(free_ports(Ports(0, 0, 0, 0, 0))) as stage:
        answer = await stage.web.ask("GET", f"{stage.origin}/api/users/42", x_user_id="ana")
        assert (answer.status, answer.headers["x-banyan-side"]) == (200, "legacy")
        assert await stage.redis("PING") == "+PONG"
        with pytest.raises(StageError, match="ERR"):
            await stage.redis("NONSENSE")
        with pytest.raises(StageError, match="`banyan weight users 140 --why a test` ended with"):
            await stage.banyan("weight", "users", "140", "--why", "a test")
        await stage.fault("500", 60)
        assert await stage.metric("banyan_requests_total", component="users", side="legacy") == 1
        assert set((await stage.admin("/api/v1/status"))["components"]) == {*COMPONENTS}
        with pytest.raises(StageError, match=r"answers /api/v1/mismatches/0123456789/close with 404: .*no mismatch"):
            await stage.admin("/api/v1/mismatches/0123456789/close", {"why": "a test"})
        with pytest.raises(StageError, match="modern does not do as told"):
            await stage.fault("sulk", 60)
        folder = stage.folder

    assert not folder.exists()


async def test_what_is_planted_shows_in_modern_alone_until_it_is_healed():
    async def found(port):
        return orjson.loads((await stage.web.ask("GET", f"http://127.0.0.1:{port}/api/users/50")).body)

    async with Stage(free_ports(Ports(0, 0, 0, 0, 0))) as stage:
        ports = stage.ports
        right = await found(ports.legacy)
        assert await found(ports.modern) == right
        await stage.plant("missing_field")
        assert await found(ports.modern) == {name: value for name, value in right.items() if name != "email"}
        assert await found(ports.legacy) == right
        await stage.heal("missing_field")
        assert await found(ports.modern) == right
        with pytest.raises(StageError, match="no defect is called luck; known are unread, zone"):
            await stage.plant("luck")
        for port in (ports.legacy, ports.modern):
            page = orjson.loads((await stage.web.ask("GET", f"http://127.0.0.1:{port}/api/users?limit=1")).body)
            assert "generated_at" in page, "both are noisy"


async def test_a_gateway_that_does_not_start_says_why_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free_ports(Ports(0, 0, 0, 0, 0))
        busy = Ports(taken.getsockname()[1], ports.admin, ports.probes, ports.legacy, ports.modern)
        with pytest.raises(StageError, match="gateway has ended"):
            async with Stage(busy):
                pass

    assert os.listdir(tmp_path) == []


def test_the_configuration_of_the_demo_is_right(tmp_path):
    from proxy.config import load_settings

    stage = Stage(Ports())
    stage.folder = tmp_path
    stage._lay_out()
    try:
        settings = load_settings(stage.config, {})
    except ConfigError as refused:
        pytest.fail(str(refused))

    assert (settings.listen, settings.sides.modern.url) == ("127.0.0.1:8080", "http://127.0.0.1:9002")
