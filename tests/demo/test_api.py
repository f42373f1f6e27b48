"""The two applications of the demo cannot be told apart by their answers, whatever is asked of them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.demo.entities import COMPONENTS
from tests.demo.twins import Twins, few, twins

USER = {"name": "Ida Berg", "email": "ida@example.org", "roles": ["editor"], "settings": {"theme": "dark"}}
EVENT = {"name": "sign_in", "user": "ana", "at": "2024-05-01T10:00:00+02:00", "value": 3}


async def test_a_create_names_the_new_entity_and_its_place(tmp_path):
    async with twins(tmp_path) as both:
        answer = await both.ask("POST", "/api/users", json=USER)

        assert (answer.status, answer.location) == (201, "/api/users/201")
        assert orjson.loads(answer.body)["id"] == "201"
        assert (await both.ask("GET", "/api/users/201")).body == answer.body


async def test_a_put_creates_once_and_replaces_from_then_on(tmp_path):
    async with twins(tmp_path, few()) as both:
        first = await both.ask("PUT", "/api/analytics/77", json=EVENT)
        second = await both.ask("PUT", "/api/analytics/77", json={**EVENT, "value": 4.5, "tags": ["web"]})

        assert (first.status, first.location) == (201, "/api/analytics/77")
        assert (second.status, second.location) == (200, None)
        before, after = orjson.loads(first.body), orjson.loads(second.body)
        assert before["at"] == "2024-05-01T08:00:00.000Z"
        assert (after["value"], after["tags"], after["created_at"]) == (4.5, ["web"], before["created_at"])
        assert after["updated_at"] > before["updated_at"]


@pytest.mark.parametrize("component", COMPONENTS)
async def test_what_one_side_answers_can_be_put_on_the_other_as_it_is(tmp_path, component):
    async with twins(tmp_path, few()) as both:
        some = orjson.loads((await both.ask("GET", f"/api/{component}")).body)["data"][1]["id"]
        state = await both.ask("GET", f"/api/{component}/{some}")
        await both.clients["modern"].delete(f"/api/{component}/{some}")

        headers = {"Content-Type": "application/json"}
        put = await both.clients["modern"].put(f"/api/{component}/{some}", data=state.body, headers=headers)

        assert (put.status, await put.read()) == (201, state.body)
        assert await both.ask("GET", f"/api/{component}/{some}") == state


async def test_pages_follow_one_another_to_the_end_in_the_order_of_numbers(tmp_path):
    async with twins(tmp_path) as both:
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = orjson.loads((await both.ask("GET", f"/api/users?limit=70&cursor={cursor}")).body)
            seen += [user["id"] for user in page["data"]]
            cursor = page["next"]

        assert seen == [str(number) for number in range(1, 201)]


async def test_lists_of_conversations_count_messages_but_do_not_carry_them(tmp_path):
    async with twins(tmp_path) as both:
        page = orjson.loads((await both.ask("GET", "/api/conversations?limit=200")).body)["data"]
        whole = orjson.loads((await both.ask("GET", "/api/conversations/3")).body)

        messages = whole.pop("messages")
        assert whole == page[2]
        assert whole["message_count"] == len(messages) > whole["unread"] == sum(not m["read"] for m in messages) > 0
        assert whole["last_message_at"] == messages[-1]["at"]


async def test_a_search_looks_through_everything_that_belongs_to_an_entity(tmp_path):
    async with twins(tmp_path) as both:
        for path in ("users/search?q=AUDITOR", "conversations/search?q=GROSSARTIG", "analytics/search?q=campaign"):
            assert orjson.loads((await both.ask("GET", f"/api/{path}&limit=5")).body)["next"]


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/api/users/999", {}, 404),
    ("GET", "/api/users/no%00thing", {}, 404),
    ("GET", "/api/people", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("POST", "/api/users/1", {"json": USER}, 405),
    ("DELETE", "/api/users", {}, 405),
    ("GET", "/api/users?limit=0", {}, 400),
    ("GET", "/api/users?limit=0000000005", {}, 400),
    ("GET", "/api/users?limit=five", {}, 400),
    ("GET", "/api/users?cursor=%2F", {}, 400),
    ("GET", "/api/users/search", {}, 400),
    ("POST", "/api/users", {"json": {**USER, "id": "1"}}, 409),
    ("POST", "/api/users", {"json": {**USER, "id": 7}}, 400),
    ("POST", "/api/users", {"json": {**USER, "id": "a/b"}}, 400),
    ("PUT", "/api/users/search", {"json": USER}, 400),
    ("PUT", "/api/users/5", {"json": {**USER, "id": "6"}}, 400),
    ("PUT", "/api/users/5", {"json": {**USER, "rolls": []}}, 400),
    ("PUT", "/api/users/5", {"json": {**USER, "roles": ["a", "a"]}}, 400),
    ("PUT", "/api/users/5", {"json": {**USER, "created_at": None}}, 400),
    ("PUT", "/api/users/5", {"json": []}, 400),
    ("PUT", "/api/users/5", {"data": b"{half", "headers": {"Content-Type": "application/json"}}, 400),
    ("PUT", "/api/users/5", {"data": b'{"name": NaN}', "headers": {"Content-Type": "application/json"}}, 400),
    ("PUT", "/api/users/5", {"data": b"name=Ida", "headers": {"Content-Type": "text/plain"}}, 415),
    ("PUT", "/api/users/5", {"data": b"x" * (2 << 20), "headers": {"Content-Type": "application/json"}}, 413),
    ("PUT", "/api/users/5", {"json": {}, "headers": {"Content-Type": "application/merge-patch+json"}}, 415),
    ("PATCH", "/api/users/1", {"json": {"name": None}}, 400),
    ("PATCH", "/api/users/999", {"json": {"name": "Ida"}}, 404),
    ("PATCH", "/api/users/1", {"data": b'{"a":' * 900 + b"1" + b"}" * 900}, 415),
    ("PATCH", "/api/users/1", {"json": orjson.loads(b'{"a":' * 90 + b"1" + b"}" * 90)}, 400),
    ("DELETE", "/api/users/999", {}, 404),
    ("PUT", "/api/analytics/5", {"json": {**EVENT, "at": "yesterday"}}, 400),
    ("PUT", "/api/analytics/5", {"json": {**EVENT, "at": "2024-02-30T00:00:00Z"}}, 400),
    ("PUT", "/api/analytics/5", {"json": {**EVENT, "at": "0001-01-01T00:00:00+05:00"}}, 400),
    ("PUT", "/api/configuration/a", {"json": {"value": 2**53 + 1}}, 400),
    ("PUT", "/api/configuration/a", {"json": {"value": [1]}}, 400),
    ("PUT", "/api/conversations/1", {"json": {"title": "nul\0"}}, 400),
]


async def test_what_cannot_be_is_refused_in_json_and_changes_nothing(tmp_path):
    async with twins(tmp_path) as both:
        before = await both.ask("GET", "/api/users?limit=200")
        for method, path, options, status in REFUSED:
            answer = await both.ask(method, path, **options)

            assert (answer.status, path) == (status, path)
            assert orjson.loads(answer.body)["error"]["status"] == status
        assert await both.ask("GET", "/api/users?limit=200") == before


async def test_every_problem_of_a_body_is_named_at_its_place(tmp_path):
    async with twins(tmp_path, few()) as both:
        answer = await both.ask("PUT", "/api/users/9", json={"email": "nobody", "roles": ["x", "x"], "nmae": "Ida"})

        problems = orjson.loads(answer.body)["error"]["problems"]
        assert [problem["at"] for problem in problems] == ["name", "email", "roles", "nmae"]


async def test_changes_that_come_at_once_happen_one_after_the_other(tmp_path):
    async with twins(tmp_path, few()) as both:
        for client in both.clients.values():
            answers = await asyncio.gather(*(client.post("/api/users", json=USER) for _ in range(20)))
            assert {answer.status for answer in answers} == {201}
            assert {(await answer.json())["id"] for answer in answers} == {str(number) for number in range(4, 24)}


async def test_health_names_the_application(tmp_path):
    async with twins(tmp_path, few()) as both:
        for name, client in both.clients.items():
            answer = await client.get("/healthz")
            assert await answer.json() == {"status": "ok", "application": name}


# Any sequence of calls: few ids, so that they meet; fields mostly good; both sides must agree on all of it.

IDS = st.sampled_from(["1", "2", "3", "12", "007", "mail.limit", "zz-top"])
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
WORDS = st.sampled_from(["ana", "ben", "web", "mobile", "a.b-c"])
LISTS = st.lists(WORDS, max_size=4, unique=True)
TIMES = st.sampled_from(["2024-03-01T09:30:00Z", "2023-12-31T23:59:59.9999+05:30", "1960-01-01T00:00:00.001Z"])
MESSAGE = st.fixed_dictionaries({"author": WORDS, "text": TEXTS, "at": TIMES}, optional={"read": st.booleans()})
FIELDS: dict[str, dict[str, Any]] = {
    "users": {
        "name": TEXTS,
        "email": st.sampled_from(["ida@example.org", "ÜBER@example.org"]),
        "active": st.booleans(),
        "roles": LISTS,
        "settings": st.dictionaries(WORDS, TEXTS, max_size=3),
    },
    "configuration": {
        "scope": st.sampled_from(["system", "tenant"]),
        "description": TEXTS,
        "value": SCALARS,
        "overrides": st.dictionaries(WORDS, SCALARS, max_size=3),
    },
    "conversations": {
        "title": TEXTS,
        "status": st.sampled_from(["open", "closed"]),
        "participants": LISTS,
        "messages": st.lists(MESSAGE, max_size=4),
        "unread": st.integers(0, 9),
    },
    "analytics": {"name": WORDS, "user": WORDS, "at": TIMES, "value": NUMBERS, "tags": LISTS},
}
JUNK = st.sampled_from(["", "\0", "now", "Bad", -1, 2**60, 0.5, True, None, [], {}, ["a", "a"], {"theme": None}])
WHOLE: dict[str, dict[str, Any]] = {
    "users": USER,
    "configuration": {"value": 12.0},
    "conversations": {"title": "Übergabe", "participants": ["ben", "ana"]},
    "analytics": EVENT,
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, dict[str, Any] | None]:
    component = draw(st.sampled_from(COMPONENTS))
    fields = {**FIELDS[component], "created_at": TIMES, "updated_at": TIMES}
    changes = draw(st.fixed_dictionaries({}, optional=fields))
    if draw(st.integers(0, 7)) == 0:
        changes[draw(st.sampled_from([*fields, "nmae"]))] = draw(JUNK)
    whole = {**WHOLE[component], **changes}
    one, all_of_them = f"/api/{component}/{draw(IDS)}", f"/api/{component}"
    page = f"?limit={draw(st.sampled_from([1, 2, 50]))}&cursor={draw(IDS | st.just(''))}"
    words = draw(st.sampled_from(["a", "ÜBER", "WEB", "ß", "%25"]))
    return draw(
        st.sampled_from([
            ("PUT", one, whole),
            ("PUT", one, whole),
            ("POST", all_of_them, whole),
            ("POST", all_of_them, {**whole, "id": draw(IDS)}),
            ("PATCH", one, changes),
            ("PATCH", one, changes),
            ("DELETE", one, None),
            ("GET", one, None),
            ("GET", all_of_them + page, None),
            ("GET", f"{all_of_them}/search{page}&q={words}", None),
        ])
    )  # fmt: skip


async def whole_state(both: Twins) -> list[bytes]:
    """Return every entity of every component, asked for one by one."""
    state = []
    for component in COMPONENTS:
        page = await both.ask("GET", f"/api/{component}?limit=200")
        for summary in orjson.loads(page.body)["data"]:
            state.append((await both.ask("GET", f"/api/{component}/{summary['id']}")).body)
    return state


async def play(sequence: list[tuple[str, str, dict[str, Any] | None]], folder: Path) -> None:
    async with twins(folder, few()) as both:
        for method, path, body in sequence:
            answer = await both.ask(method, path, json=body)
            assert answer.status < 500
        state = await whole_state(both)
    async with twins(folder, few(0)) as again:
        assert await whole_state(again) == state, "what was answered is not what is on disk"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(calls(), min_size=5, max_size=30))
def test_equal_calls_give_equal_answers_and_survive_a_restart(sequence):
    with tempfile.TemporaryDirectory(prefix="bn") as folder:
        asyncio.run(play(sequence, Path(folder)))
