"""The folder of rule files: every file for itself, every problem at once, and each edit seen within a second."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.core.expect import check_expectations
from proxy.core.plan import compile_table
from proxy.core.rules import overlay, warnings_of
from proxy.rulefiles import RuleFolder, hash_of, is_rule_file, read_folder, watch
from proxy.workers.edits import rules_of
from tests.waiting import until

EXAMPLE = Path(__file__).parent.parent / "rules"
USERS = "component: users\nweight: 25\nroutes:\n  /api/users: {}\n  /api/users/{id}: {}\n"
ANALYTICS = "component: analytics\nafter: [users]\nroutes:\n  /api/analytics: {}\n"


def folder_with(folder: Path, **files: str) -> RuleFolder:
    for stem, text in files.items():
        (folder / f"{stem}.yaml").write_text(text)
    return read_folder(folder)


def problems(found: RuleFolder) -> list[str]:
    return [str(problem) for problem in found.problems]


def only_hash(folder: Path, text: str, defaults: str = "") -> str:
    return folder_with(folder, users=text, _defaults=defaults).files["users"].hash


# The example.


def test_the_example_is_right_and_says_nothing_doubtful():
    found = read_folder(EXAMPLE)

    assert found.problems == ()
    assert warnings_of(found.components, found.positions) == ()


def test_the_example_moves_one_component_after_the_other():
    components = read_folder(EXAMPLE).components

    assert {name: each.after for name, each in components.items()} == {
        "users": (),
        "configuration": ("users",),
        "conversations": ("configuration",),
        "analytics": ("conversations",),
    }
    assert all(each.weight == 0 for each in components.values())


def test_the_example_meets_its_own_expectations():
    found = read_folder(EXAMPLE)
    assert found.expect is not None
    table = compile_table(rules_of(found, epoch="e", who="w", why="y", at="2026-01-01T00:00:00Z"))

    assert check_expectations(table, found.expect.values, positions=found.expect.positions) == ()


# Reading.


def test_an_empty_folder_is_fine(tmp_path):
    assert read_folder(tmp_path) == RuleFolder(tmp_path)


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    what = "the folder of rule files cannot be read: No such file or directory"

    assert problems(read_folder(tmp_path / "rules")) == [f"{tmp_path}/rules: {what}"]


def test_a_file_in_place_of_the_folder_is_a_problem(tmp_path):
    (tmp_path / "rules").touch()

    assert problems(read_folder(tmp_path / "rules"))[0].endswith("cannot be read: Not a directory")


def test_files_are_found_by_component(tmp_path):
    found = folder_with(tmp_path, people=USERS, analytics=ANALYTICS)

    assert found.problems == ()
    assert {name: file.name for name, file in found.files.items()} == {
        "analytics": "analytics.yaml",
        "users": "people.yaml",
    }
    assert found.files["users"].rules.weight == 25
    assert found.files["users"].values == {
        "component": "users",
        "weight": 25,
        "routes": {"/api/users": {}, "/api/users/{id}": {}},
    }


EVERYTHING = """\
component: users
shadow: 25
shadow_headers: {drop: [X-Trace]}
noise: {sample: 2}
compare:
  ignore:
    - $.updated_at
    - {path: "$.items[*].etag", why: made anew each time, until: 2027-01-31}
  unordered:
    $.roles: null
    $.items: {by: $.id, why: no order by, until: 2027-01-31T12:00:00+01:00}
  tolerance:
    $.score: 1e-9
    $.share: 1%
    $.sum: {absolute: 0.1, relative: 0.5 %}
  equal_if:
    $.created_at: same-instant
    $.owner: {as: uuid, why: with and without dashes}
  headers: [content-type, Location]
  status: class
  reveal: [$.kind]
routes:
  /api/users: {}
  GET /api/users/{id}: {shadow: 100, compare: {ignore: [], status: exact}}
"""


def test_a_file_may_say_everything_about_shadow_reads(tmp_path):
    found = folder_with(tmp_path, users=EVERYTHING)
    users = found.files["users"].rules
    route = users.routes["GET /api/users/{id}"]

    assert found.problems == ()
    assert (users.shadow, users.noise.sample, users.shadow_headers.drop) == (25, 2, ("x-trace",))
    assert [(each.path, each.why, each.until) for each in users.compare.ignore] == [
        ("$.updated_at", None, None),
        ("$.items[*].etag", "made anew each time", "2027-01-31"),
    ]
    assert users.compare.unordered["$.roles"].by is None
    assert users.compare.unordered["$.items"].until_s == 1_801_393_200
    assert [tuple(map(str, each.apart)) for each in users.compare.tolerance.values()] == [
        ("1E-9", "0"), ("0", "0.01"), ("0.1", "0.005"),
    ]  # fmt: skip
    assert [each.word for each in users.compare.equal_if.values()] == ["same-instant", "uuid"]
    assert (users.compare.headers, users.compare.status) == (("content-type", "location"), "class")
    assert route.shadow == 100
    assert overlay(users.compare, route.compare) == users.compare.model_copy(update={"ignore": (), "status": "exact"})


def test_a_path_that_is_none_is_shown_with_a_caret_where_it_stands(tmp_path):
    text = (
        "component: users\n"
        "compare:\n"
        "  ignore:\n"
        "    - $.a\n"
        "    - $.items[*.etag\n"
        "    - {path: '$.b[', until: 2027-02-30}\n"
        "  tolerance: {$.c: 1, '$.d[?@.x>].y': 1}\n"
        "  unordered:\n"
        "    $.e: $.id[\n"
        "routes: {/api/users: {compare: {reveal: ['$.f g']}}}\n"
    )

    assert problems(folder_with(tmp_path, users=text)) == [
        "users.yaml:5:7: compare.ignore.1: should be a JSONPath: expected comma, found dot\n"
        "    $.items[*.etag\n"
        "             ^",
        "users.yaml:6:14: compare.ignore.2.path: should be a JSONPath: unexpected end of query\n    $.b[\n        ^",
        "users.yaml:6:29: compare.ignore.2.until: should be a date like 2027-01-31 (its end in UTC)"
        " or an instant like 2027-01-31T12:00:00Z, is `2027-02-30`",
        "users.yaml:7:23: compare.tolerance.$.d[?@.x>].y: should be a JSONPath: unexpected end of expression\n"
        "    $.d[?@.x>].y\n"
        "             ^",
        "users.yaml:9:10: compare.unordered.$.e: should be a JSONPath: unexpected end of query\n    $.id[\n         ^",
        "users.yaml:10:42: routes./api/users.compare.reveal.0: should be a JSONPath: unexpected token 'g'\n"
        "    $.f g\n"
        "        ^",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *(".users.yaml.swp", "users.yaml~", ".#users.yaml", "#users.yaml#", "users.yaml.bak"),
        *("4913", "..data", ".users.yaml", "README.md"),
    ],
)
def test_what_editors_and_mounts_leave_behind_is_no_rule_file(tmp_path, name):
    (tmp_path / name).write_text("garbage: [")

    assert not is_rule_file(name)
    assert read_folder(tmp_path).problems == ()


def test_both_suffixes_are_read(tmp_path):
    (tmp_path / "users.yml").write_text(USERS)

    assert list(read_folder(tmp_path).files) == ["users"]


def test_a_wrong_value_hides_nothing_else_that_is_wrong(tmp_path):
    """Neither in its own file nor between the files: one `check` is enough, however many edits it takes."""
    found = folder_with(
        tmp_path,
        billing="component: billing\nafter: [usrs, users]\nweight: 140\nsticky: [client, client]\n"
        "routes:\n  /api/bills: {}\n  /api/users: {kind: raed}\n  /api/bill/{id}: {entity: '{key}'}\n",
        users="component: users\nafter: [billing]\nphaze: off\nroutes:\n  /api/users: {}\n",
    )

    assert problems(found) == [
        "billing.yaml:2:8: after: goes in a circle: billing → users → billing",
        "billing.yaml:2:9: after.0: no component is called `usrs`; did you mean `users`?",
        "billing.yaml:3:9: weight: should be 0 to 100, is 140",
        "billing.yaml:4:18: sticky.1: `client` stands here twice",
        "billing.yaml:7:22: routes./api/users.kind: should be read, is `raed`; did you mean `read`?",
        "billing.yaml:8:28: routes./api/bill/{id}.entity: should name a parameter of the path, is `{key}`; "
        "the path has `{id}`",
        "users.yaml:3:1: phaze: unknown key; did you mean `phase`?",
        "users.yaml:5:3: routes./api/users: cannot be told apart from `/api/users` of billing (billing.yaml:7:3)",
    ]


def test_what_may_only_follow_from_a_refused_value_is_not_told(tmp_path):
    found = folder_with(
        tmp_path,
        users="component: users\nkind: entitty\nphase: backfill\nroutes:\n  /api/users: {}\n",
        bills="component: bills\nafter: [users]\nweight: 50\nroutes:\n  /api/bills: {}\n",
    )

    assert problems(found) == [
        "users.yaml:2:7: kind: should be plain, readonly or entity, is `entitty`; did you mean `entity`?"
    ]


def test_every_problem_of_every_file_is_told_at_once(tmp_path):
    found = folder_with(
        tmp_path,
        users="component: users\nweight: 140\nphaze: canary\nroutes:\n  /api/users: {wieght: 5}\n",
        analytics="component: analytics\nafter: [usres]\nroutes:\n  /api/analytics: {}\n",
        broken="a: [",
        empty="",
        listed="- component: x\n",
        twice="component: twice\nweight: 1\nweight: 012\n",
    )

    assert problems(found) == [
        "analytics.yaml:2:9: after.0: no component is called `usres`; did you mean `users`?",
        "broken.yaml:2:1: no YAML: while parsing a flow node: did not find expected node content",
        "empty.yaml: has no rules",
        "listed.yaml:1:1: should be a mapping, is a list",
        "twice.yaml:3:1: weight: stands here twice; the first is in line 2",
        "twice.yaml:3:9: weight: 012 is octal in old YAML, decimal in new; leave out the leading zero, or quote it",
        "users.yaml:2:9: weight: should be 0 to 100, is 140",
        "users.yaml:3:1: phaze: unknown key; did you mean `phase`?",
        "users.yaml:5:16: routes./api/users.wieght: unknown key; did you mean `weight`?",
    ]
    assert found.broken == {"users", "broken", "empty", "listed", "twice"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe", "users.yaml:1:1: is not UTF-8: byte 0xff; save it as UTF-8"),
        (b"", "users.yaml: has no rules"),
        (b"# only this\n", "users.yaml: has no rules"),
        (b"weight: 1\n", "users.yaml:1:1: component: is missing"),
        (b"component: [a]\n", "users.yaml:1:12: component: should be text (quote it), is a list"),
        (b"component: 12\n", "users.yaml:1:12: component: should be text (quote it), is 12"),
    ],
)
def test_a_file_that_is_no_rules_freezes_what_it_is_named_after(tmp_path, content, problem):
    (tmp_path / "users.yaml").write_bytes(content)
    (tmp_path / "analytics.yaml").write_text("component: analytics\n")

    found = read_folder(tmp_path)

    assert problems(found) == [problem]
    assert (set(found.files), found.broken) == ({"analytics"}, {"users"})
    assert [str(each) for each in found.frozen["users"].problems] == [problem]


def test_what_cannot_be_opened_freezes_its_own_component(tmp_path):
    (tmp_path / "users.yaml").mkdir()
    (tmp_path / "other.yaml").symlink_to("nowhere")
    (tmp_path / "analytics.yaml").write_text("component: analytics\n")

    found = read_folder(tmp_path)

    assert problems(found) == [
        "other.yaml: cannot be read: No such file or directory",
        "users.yaml: cannot be read: Is a directory",
    ]
    assert set(found.files) == {"analytics"}


def test_a_component_stands_in_one_file(tmp_path):
    found = folder_with(tmp_path, users=USERS, people=USERS, persons=USERS, analytics="component: analytics\n")

    assert problems(found) == [
        "persons.yaml:1:12: component: `users` has a file already: people.yaml; a component stands in one file",
        "users.yaml:1:12: component: `users` has a file already: persons.yaml; a component stands in one file",
    ]
    assert (set(found.files), found.broken) == ({"analytics"}, {"users"})


def test_problems_between_files_freeze_neither(tmp_path):
    found = folder_with(tmp_path, users=USERS, people="component: people\nroutes:\n  /api/users: {}\n")

    assert len(found.problems) == 1
    assert "people.yaml:3:3" in str(found.problems[0])
    assert found.broken == frozenset()


def test_a_frozen_component_may_be_referred_to(tmp_path):
    assert problems(folder_with(tmp_path, users="component: users\nweight: x\n", analytics=ANALYTICS)) == [
        "users.yaml:2:9: weight: should be 0 to 100, is `x`"
    ]


# Defaults.


def test_defaults_stand_under_every_component(tmp_path):
    found = folder_with(
        tmp_path,
        _defaults="breaker: {open_s: 9, slow_ms: 100}\nsticky: [client]\n",
        users="component: users\nbreaker: {slow_ms: 200}\nsticky: [entity]\n",
    )
    rules = found.files["users"].rules

    assert (rules.breaker.open_s, rules.breaker.slow_ms, rules.sticky) == (9, 200, ("entity",))
    assert found.files["users"].values["breaker"] == {"open_s": 9, "slow_ms": 200}


def test_a_problem_of_the_defaults_is_told_once_and_freezes_all(tmp_path):
    found = folder_with(tmp_path, _defaults="weigth: 5\nowner: 012\n", users=USERS, analytics=ANALYTICS)

    assert problems(found) == [
        "_defaults.yaml:1:1: weigth: unknown key; did you mean `weight`?",
        "_defaults.yaml:2:8: owner: 012 is octal in old YAML, decimal in new; leave out the leading zero, or quote it",
    ]
    assert (found.files, found.broken) == ({}, {"users", "analytics"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("weigth: 5\n", "1:1: weigth: unknown key; did you mean `weight`?"),
        ("- a\n", "1:1: should be a mapping of defaults"),
        ("component: users\n", "1:1: component: cannot be a default: each component has its own"),
        ("routes: {/a: {}}\n", "1:1: routes: cannot be a default: each component has its own"),
        ("weight: 200\n", "1:9: weight: should be 0 to 100, is 200"),
    ],
)
def test_defaults_are_checked_even_without_components(tmp_path, text, problem):
    assert problems(folder_with(tmp_path, _defaults=text)) == [f"_defaults.yaml:{problem}"]


def test_a_default_and_what_stands_over_it_are_told_where_each_stands(tmp_path):
    found = folder_with(
        tmp_path, _defaults="breaker: {open_s: -1}\n", users="component: users\nbreaker: {slow_ms: 0}\n"
    )

    assert problems(found) == [
        "_defaults.yaml:1:19: breaker.open_s: should be more than 0, is -1",
        "users.yaml:2:20: breaker.slow_ms: should be at least 1, is 0",
    ]


def test_there_is_one_file_of_defaults(tmp_path):
    (tmp_path / "_defaults.yml").write_text("owner: ana\n")

    assert problems(folder_with(tmp_path, _defaults="owner: bob\n", users=USERS)) == [
        "_defaults.yml: stands beside _defaults.yaml; one of them must go"
    ]


def test_empty_defaults_are_fine(tmp_path):
    assert folder_with(tmp_path, _defaults="# nothing\n", users=USERS).problems == ()


def test_expectations_are_no_component(tmp_path):
    found = folder_with(tmp_path, expect="- {request: GET /, component: unclaimed}\n")

    assert found.expect is not None
    assert found.expect.values == [{"request": "GET /", "component": "unclaimed"}]
    assert problems(folder_with(tmp_path, expect="- {")) != []


# The state of a file.


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + USERS,
        USERS.replace("25", "25.0"),
        USERS.replace("25", "2.5e1"),
        USERS.replace("{}", ""),
        USERS.replace("\n", "\r\n"),
        "\ufeff" + USERS,
        "routes: {/api/users/{id}: {}, /api/users: {}}\nweight: 25\ncomponent: 'users'\n".replace("/{id}", "/{id}"),
    ],
)
def test_how_a_file_is_written_is_no_edit(tmp_path, text):
    text = text.replace("/api/users/{id}: {}, ", "'/api/users/{id}': {}, ")

    assert only_hash(tmp_path, text) == only_hash(tmp_path, USERS)


@pytest.mark.parametrize("old_new", [("25", "26"), ("users\nw", "people\nw"), ("{}\n  ", "{weight: 1}\n  ")])
def test_what_a_file_says_is_its_state(tmp_path, old_new):
    before = only_hash(tmp_path, USERS)
    (file,) = folder_with(tmp_path, users=USERS.replace(*old_new)).files.values()

    assert file.hash != before


def test_an_edit_of_the_defaults_is_an_edit_of_every_component(tmp_path):
    assert only_hash(tmp_path, USERS, "owner: ana\n") != only_hash(tmp_path, USERS)
    assert only_hash(tmp_path, USERS, "weight: 3\n") == only_hash(tmp_path, USERS)


def test_the_order_of_a_list_counts():
    assert hash_of({"sticky": ["a", "b"]}) != hash_of({"sticky": ["b", "a"]})
    assert len(hash_of({})) == 16


def test_the_state_has_the_same_name_in_every_release():
    """Golden value: changing it would make every replica take every file for an edited one."""
    assert hash_of({"component": "users", "weight": 25, "routes": {"/api/users": {}}}) == "77311d83f655f7e4"


# Watching.


class Seen:
    """What the watcher yielded, the last one at hand."""

    def __init__(self) -> None:
        self.all: list[RuleFolder] = []

    @property
    def last(self) -> RuleFolder:
        return self.all[-1]

    def weight(self) -> float | None:
        file = self.last.files.get("users") if self.all else None
        return file.rules.weight if file is not None else None


@asynccontextmanager
async def watching(folder: Path, poll_s: float = 60, reload: asyncio.Event | None = None) -> AsyncIterator[Seen]:
    seen = Seen()

    async def collect() -> None:
        async for found in watch(folder, poll_s=poll_s, reload=reload):
            seen.all.append(found)

    task = asyncio.create_task(collect())
    await until(lambda: seen.all)
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def weighing(weight: float) -> str:
    return USERS.replace("25", str(weight))


def in_place(folder: Path, text: str) -> None:
    (folder / "users.yaml").write_text(text)


def by_rename(folder: Path, text: str) -> None:
    (folder / ".users.yaml.tmp").write_text(text)
    os.replace(folder / ".users.yaml.tmp", folder / "users.yaml")


def like_vim(folder: Path, text: str) -> None:
    os.rename(folder / "users.yaml", folder / "users.yaml~")
    (folder / "users.yaml").write_text(text)
    os.unlink(folder / "users.yaml~")


@pytest.mark.parametrize("save", [in_place, by_rename, like_vim])
async def test_an_edit_is_seen_long_before_the_poll(tmp_path, save: Callable[[Path, str], None]):
    in_place(tmp_path, weighing(1))
    async with watching(tmp_path) as seen:
        for weight in (10, 20, 30):
            save(tmp_path, weighing(weight))
            await until(lambda weight=weight: seen.weight() == weight)


async def test_a_new_file_and_one_that_goes_are_seen(tmp_path):
    async with watching(tmp_path) as seen:
        assert seen.last.files == {}
        in_place(tmp_path, USERS)
        await until(lambda: seen.weight() == 25)
        os.unlink(tmp_path / "users.yaml")
        await until(lambda: seen.weight() is None)


async def test_a_file_that_is_written_in_pieces_is_seen_whole(tmp_path):
    in_place(tmp_path, weighing(1))
    async with watching(tmp_path) as seen:
        with (tmp_path / "users.yaml").open("w") as file:
            for line in weighing(50).splitlines(keepends=True):
                file.write(line)
                file.flush()
                await asyncio.sleep(0)
        await until(lambda: seen.weight() == 50)

    assert [found.files["users"].values for found in seen.all if "users" in found.files][1:] == [
        {"component": "users", "weight": 50, "routes": {"/api/users": {}, "/api/users/{id}": {}}}
    ]


async def test_the_swap_of_a_config_map_is_seen(tmp_path):
    """As a kubelet does it: files are links into ..data, and that is a link which is replaced."""

    def mount(name: str, weight: float) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "users.yaml").write_text(weighing(weight))
        (tmp_path / "..data_tmp").symlink_to(name)
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")

    mount("..2026_01", 10)
    (tmp_path / "users.yaml").symlink_to("..data/users.yaml")
    async with watching(tmp_path) as seen:
        for number, weight in enumerate((20, 30, 40)):
            mount(f"..2026_02_{number}", weight)
            await until(lambda weight=weight: seen.weight() == weight)
            shutil.rmtree(tmp_path / ("..2026_01" if not number else f"..2026_02_{number - 1}"))


async def test_the_folder_itself_may_be_a_link_that_is_swapped(tmp_path):
    for name, weight in (("one", 10), ("two", 20)):
        (tmp_path / name).mkdir()
        in_place(tmp_path / name, weighing(weight))
    (tmp_path / "rules").symlink_to("one")
    async with watching(tmp_path / "rules") as seen:
        (tmp_path / "next").symlink_to("two")
        os.replace(tmp_path / "next", tmp_path / "rules")
        await until(lambda: seen.weight() == 20)
        in_place(tmp_path / "two", weighing(30))
        await until(lambda: seen.weight() == 30)


async def test_a_file_may_be_a_link_to_elsewhere(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "elsewhere").mkdir()
    in_place(tmp_path / "elsewhere", weighing(10))
    (tmp_path / "rules" / "users.yaml").symlink_to("../elsewhere/users.yaml")
    async with watching(tmp_path / "rules") as seen:
        in_place(tmp_path / "elsewhere", weighing(20))
        await until(lambda: seen.weight() == 20)


async def test_a_folder_that_goes_and_comes_back_is_watched_again(tmp_path):
    folder = tmp_path / "rules"
    folder.mkdir()
    in_place(folder, weighing(10))
    async with watching(folder, poll_s=0.05) as seen:
        shutil.rmtree(folder)
        await until(lambda: seen.last.problems)
        folder.mkdir()
        in_place(folder, weighing(20))
        await until(lambda: seen.weight() == 20)
        in_place(folder, weighing(30))
        await until(lambda: seen.weight() == 30)


async def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path):
    async with watching(tmp_path / "rules", poll_s=0.05) as seen:
        assert len(seen.last.problems) == 1
        (tmp_path / "rules").mkdir()
        in_place(tmp_path / "rules", USERS)
        await until(lambda: seen.weight() == 25)


async def test_asking_for_a_look_yields_even_if_nothing_changed(tmp_path):
    reload = asyncio.Event()
    async with watching(tmp_path, reload=reload) as seen:
        reload.set()
        await until(lambda: len(seen.all) == 2)
        reload.set()
        await until(lambda: len(seen.all) == 3)

    assert seen.all[0] == seen.all[1] == seen.all[2]


async def test_what_does_not_change_what_is_said_is_not_yielded(tmp_path):
    in_place(tmp_path, USERS)
    async with watching(tmp_path, poll_s=0.05) as seen:
        in_place(tmp_path, USERS)
        (tmp_path / ".users.yaml.swp").touch()
        (tmp_path / "notes.txt").touch()
        in_place(tmp_path, weighing(30))
        await until(lambda: seen.weight() == 30)

    assert len(seen.all) == 2


async def test_the_watch_ends_with_its_reader(tmp_path):
    before = len(asyncio.all_tasks())
    async with watching(tmp_path):
        pass

    await until(lambda: len(asyncio.all_tasks()) == before)
