from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from proxy.admin.api import build_admin, door_of
from proxy.core.errors import ConfigError
from proxy.core.plan import Situation
from proxy.settings import Admin, Token
from tests.admin.small import SmallHouse, file, served, small_house

Ask = Callable[..., Awaitable[tuple[int, Any]]]
WHY = {"why": "a reason"}


@pytest.fixture
async def ask(house: SmallHouse, client: aiohttp.ClientSession):
    """Ask the admin listener of `house`: (method, path, body) → (status, document)."""
    await house.seed(file(weight=5), file("configuration", after=["users"]))

    async with served(build_admin(house)) as server:

        async def ask(method: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any]:
            more = {} if body is None else {"json": body}
            async with client.request(method, server.make_url(f"/api/v1/{path}"), headers=fields, **more) as answer:
                return answer.status, await answer.json(content_type=None)

        yield ask


async def test_status_is_that_of_the_command_line(house, ask):
    status, document = await ask("GET", "status")

    assert status == 200
    assert (document["version"], set(document["components"])) == (1, {"users", "configuration"})
    assert document["components"]["users"]["weight"] == 5
    assert {"version", "epoch", "degraded", "components", "replicas"} <= set(document)


async def test_status_without_the_store_is_what_this_replica_knows(house, ask):
    house.server.kill()

    status, document = await ask("GET", "status")

    assert status == 200
    assert document["degraded"]
    assert "the store is away" in document["because"][0]
    assert document["components"]["users"]["weight"] == 5
    assert [each["id"] for each in document["replicas"]] == ["small"]


async def test_status_of_a_cold_start_without_the_store_says_who_answers_meanwhile(house, ask):
    house.server.kill()
    house.situations = tuple(Situation(store_lost=True) for _ in house.table.components)

    _, document = await ask("GET", "status")

    assert document["components"]["users"]["reads"]["reason"] == "store_lost"
    assert document["components"]["users"]["reads"]["side"] == "legacy"


async def test_rules_are_the_document_as_it_is_published(ask):
    status, document = await ask("GET", "rules")

    assert status == 200
    assert document["schema"] == "1.0"
    assert document["components"]["users"]["weight"] == 5
    assert document["files"]["users"]["hash"] == "h1"


async def test_explain_names_the_rule_the_bucket_and_three_steps(ask):
    status, document = await ask("GET", "explain?method=GET&path=/api/users/42&header=x-user-id:7")

    assert status == 200
    assert (document["component"], document["route"], document["reason"]) == ("users", "GET /api/users/{id}", "weight")
    assert 0 <= document["bucket"] < 10_000
    assert [step["name"] for step in document["steps"]] == ["eligible", "choice", "breaker"]


@pytest.mark.parametrize(
    "query", ["", "?path=users", "?path=/a%20b", "?path=/a&header=nocolon", "?path=/a&method=G%20T", "?path=/%0d%0ax:1"]
)
async def test_explain_of_no_request_is_refused(ask, query):
    status, document = await ask("GET", f"explain{query}")

    assert (status, document["title"]) == (400, "Bad Request")


async def test_routes_list_claims_and_what_nobody_claims(house, ask):
    house.records.unclaimed.add(b"/other/things")

    status, document = await ask("GET", "routes")

    assert status == 200
    assert document["routes"][0]["route"] == "GET /api/users/{id}"
    assert document["unclaimed"] == [{"path": "/other/things", "requests": 1}]


async def test_a_weight_is_published_and_the_answer_names_the_version(house, ask):
    status, document = await ask("POST", "components/users/weight", {"weight": 25, **WHY, "expect": 1})

    assert (status, document) == (
        200,
        {"version": 2, "changed": True, "what": ["users.weight: 5 → 25"], "warnings": []},
    )
    held = (await house.rules.load()).rule_set
    assert (held.version, held.who, held.why) == (2, "admin@127.0.0.1", "a reason")


async def test_phase_rollback_and_emergency(house, ask):
    assert (await ask("POST", "components/users/phase", {"phase": "canary", **WHY}))[0] == 200
    assert (await ask("POST", "components/users/phase", {"phase": None, **WHY}))[0] == 200
    assert (await ask("POST", "components/users/rollback", WHY))[1]["what"] == ["users.weight: 5 → 0"]
    assert (await ask("POST", "components/users/emergency", {"to": "legacy", "for_s": 600, **WHY}))[0] == 200
    assert await house.server.redis.get("banyan:emergency:users") == "legacy"
    assert (await ask("POST", "components/users/emergency", {"to": "off", **WHY}))[1]["changed"]
    assert (await ask("POST", "components/all/emergency", {"to": "legacy", **WHY}))[0] == 200

    status, events = await ask("GET", "events?count=2")
    assert [(each["kind"], each["component"]) for each in events] == [
        ("emergency_ended", "users"),
        ("emergency_set", "all"),
    ]
    status, history = await ask("GET", "history")
    assert status == 200
    assert [each["version"] for each in history] == [4, 3, 2, 1]
    assert history[0]["changes"] == ["users.weight: 5 → 0"]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("users/weight", {"weight": 140, **WHY}, 400, "weight should be 0 to 100, is 140"),
        ("users/weight", {"weight": 12.345, **WHY}, 400, "in steps of 0.01, is 12.345"),
        ("users/weight", {"weight": "25", **WHY}, 400, "leave out the quotes"),
        ("users/weight", {"weight": True, **WHY}, 400, "is true"),
        ("users/weight", {"weight": None, **WHY}, 400, "is null"),
        ("users/weight", {"weight": 25}, 400, "why: is missing"),
        ("users/weight", {"weight": 25, "why": "  "}, 400, "why"),
        ("users/weight", {**WHY}, 400, "weight: is missing"),
        ("users/weight", {"weigth": 25, **WHY}, 400, "did you mean `weight`?"),
        ("users/weight", {"weight": 25, **WHY, "expect": "1"}, 400, "expect"),
        ("users/weight", [], 400, "body"),
        ("user/weight", {"weight": 25, **WHY}, 404, "did you mean `users`?"),
        ("users/weight", {"weight": 25, **WHY, "expect": 7}, 409, "look again"),
        ("configuration/weight", {"weight": 25, **WHY}, 422, "users should be at least as far first"),
        ("users/phase", {"phase": "canry", **WHY}, 400, "did you mean `canary`?"),
        ("users/phase", {"phase": "backfill", **WHY}, 422, "would not be valid"),
        ("users/rollback", {}, 400, "why: is missing"),
        ("user/rollback", WHY, 404, "did you mean `users`?"),
        ("user/emergency", {"to": "legacy", **WHY}, 404, "did you mean `users`?"),
        ("users/emergency", {"to": "lgacy", **WHY}, 400, "did you mean `legacy`?"),
        ("users/emergency", {"to": "legacy", "for_s": 0, **WHY}, 400, "for_s"),
        ("users/emergency", {"to": "legacy", "for_s": -1, **WHY}, 400, "for_s"),
        ("users/emergency", {"to": "legacy"}, 400, "why: is missing"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(house, ask, path, body, status, says):
    answered, document = await ask("POST", f"components/{path}", body)

    assert answered == status
    assert says in document["detail"]
    assert (await house.rules.load()).rule_set.version == 1
    assert await house.server.redis.keys("banyan:emergency:*") == []


async def test_a_stale_expect_names_the_version_that_is_live(ask):
    await ask("POST", "components/users/weight", {"weight": 6, **WHY})

    status, document = await ask("POST", "components/users/weight", {"weight": 7, **WHY, "expect": 1})

    assert (status, document["expected"], document["version"]) == (409, 1, 2)


async def test_without_the_store_nothing_is_changed_and_nothing_queued(house, ask):
    house.server.kill()

    for path, body in (
        ("users/weight", {"weight": 25, **WHY}),
        ("users/emergency", {"to": "legacy", **WHY}),
        ("users/rollback", WHY),
    ):
        status, document = await ask("POST", f"components/{path}", body)
        assert status == 503
        assert "nothing was changed" in document["detail"]
    for page in ("history", "events"):
        assert (await ask("GET", page))[0] == 503


@pytest.mark.parametrize("count", ["0", "-1", "x", "1001", "1e3", "²"])
async def test_a_count_that_makes_no_sense_is_refused(ask, count):
    assert (await ask("GET", f"history?count={count}"))[0] == 400


@pytest.mark.parametrize("verb", ["weight", "phase", "rollback", "emergency"])
async def test_no_change_is_made_by_get_from_another_site_or_without_json(house, ask, client, verb):
    path = f"components/users/{verb}"

    assert (await ask("GET", path))[0] == 405
    assert (await ask("POST", path, WHY, Origin="http://evil.example"))[0] == 403
    assert (await ask("POST", path, WHY, Host="evil.example"))[0] == 421
    assert (await house.rules.load()).rule_set.version == 1


@pytest.mark.parametrize("body", [b"", b"{half", b"\xff", b'{"why": NaN}'])
async def test_a_body_that_is_no_json_is_refused(house, client, body):
    async with served(build_admin(house)) as server:
        url = server.make_url("/api/v1/components/users/rollback")
        async with client.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
            assert answer.status == 400


async def test_files_alone_means_no_change_but_emergencies(client):
    async with small_house(live_changes="emergency_only") as house:
        await house.seed()
        async with served(build_admin(house)) as server:
            url = server.make_url("/api/v1/components/users/weight")
            async with client.post(url, json={"weight": 5, **WHY}) as answer:
                assert answer.status == 422
                assert "emergency_only" in (await answer.json())["detail"]
            async with client.get(server.make_url("/api/v1/status")) as answer:
                assert (await answer.json())["components"]["users"]["next"]["verb"] == ""
            url = server.make_url("/api/v1/components/users/emergency")
            async with client.post(url, json={"to": "legacy", **WHY}) as answer:
                assert answer.status == 200


def token(name: str, role: str, secret: str) -> Token:
    made = Token(name=name, role=role, env="X")
    made.take(secret)
    return made


async def test_tokens_of_the_settings_are_asked_for_beyond_the_loopback_and_on_it(client):
    admin = Admin(listen="0.0.0.0:8081", tokens=(token("ana", "operator", "o" * 32), token("eve", "viewer", "v" * 32)))
    async with small_house(admin=admin) as house:
        await house.seed()
        async with served(build_admin(house)) as server:
            url = server.make_url("/api/v1/components/users/rollback")
            for secret, status in ((None, 401), ("v" * 32, 403), ("o" * 32, 200)):
                fields = {} if secret is None else {"Authorization": f"Bearer {secret}"}
                async with client.post(url, json=WHY, headers=fields) as answer:
                    assert answer.status == status
            assert (await house.rules.load()).rule_set.who == "ana"
            async with client.get(server.make_url("/metrics")) as answer:
                assert answer.status == 401
            async with client.get(server.make_url("/readyz")) as answer:
                assert answer.status == 200


def test_a_listener_that_others_reach_takes_tokens_or_is_not_built():
    with pytest.raises(ConfigError, match="open to others"):
        door_of(Admin(listen="0.0.0.0:8081"))


def test_the_hosts_of_the_settings_are_answered():
    door = door_of(Admin(listen="127.0.0.1:8081", hosts=("Banyan.internal",)))

    assert "banyan.internal" in door.hosts
    assert not door.any_address


async def test_without_rules_there_are_none_to_show(house, client):
    async with served(build_admin(house)) as server, client.get(server.make_url("/api/v1/rules")) as answer:
        assert answer.status == 404
