"""
What comparing answers costs, and how late the event loop gets while a thread compares large ones.

    python -m tests.bench.comparison

CPU time, the best of several, so that other work on the machine counts as little as it can; how late the loop gets is
wall-clock time, the worst of each of several runs, of which the best and the worst are shown.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

from proxy.app import SWITCH_S
from proxy.core.compare import Answer, compare
from proxy.core.comparerules import CompareRules
from proxy.core.messages import field
from proxy.core.model import Compare
from proxy.core.planted import detect, plant_in
from proxy.workers.aside import Aside
from proxy.workers.asked import INLINE_BYTES

TICK_S = 0.001
RUNS = 7
FIELDS = field(b"content-type", b"application/json")
RULES = {
    "no rules": CompareRules(),
    "four rules": CompareRules(
        Compare.model_validate(
            {
                "ignore": ["$.items[*].updated_at", "$..etag"],
                "tolerance": {"$.items[*].score": 1e-6},
                "equal_if": {"$.items[*].created_at": "same-instant"},
            }
        )
    ),
}
SIZES = {"1 KB": 4, "10 KB": 40, "100 KB": 400, "1 MB": 4_100}


def document(count: int) -> dict[str, Any]:
    items = [
        {
            "id": number,
            "name": f"Ana number {number}",
            "email": f"user{number}@example.com",
            "roles": ["reader", "writer"],
            "active": number % 2 == 0,
            "score": number / 7,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-02T00:00:00Z",
            "address": {"street": "Main street 1", "city": "Berlin", "zip": None},
        }
        for number in range(count)
    ]
    return {"items": items, "total": count, "next": None}


def pairs(count: int) -> dict[str, tuple[bytes, bytes]]:
    """Return two bodies for each way in which answers are alike."""
    whole = document(count)
    text = orjson.dumps(whole)
    other = document(count)
    other["items"][-1]["name"] = "Eva"
    moved = {name: whole[name] for name in reversed(whole)}
    moved["items"] = [{name: item[name] for name in reversed(item)} for item in whole["items"]]
    return {
        "same bytes": (text, bytes(bytearray(text))),
        "reformatted": (text, json.dumps(whole, indent=1).encode()),
        "members in another order": (text, orjson.dumps(moved)),
        "one field differs": (text, orjson.dumps(other)),
    }


ODD = {
    "numbers": (b"[" + b"1," * 500_000 + b"1]", b"[" + b"1," * 500_000 + b"2]"),
    "empty lists": (b"[" + b"[]," * 340_000 + b"1]", b"[" + b"[]," * 340_000 + b"2]"),
    "empty objects": (b"[" + b"{}," * 340_000 + b"1]", b"[" + b"{}," * 340_000 + b"2]"),
    "long numbers": (b"[" + b"0.12345678901234567," * 50_000 + b"1]", b"[" + b"0.12345678901234568," * 50_000 + b"2]"),
    "short names": tuple(
        b"{" + b",".join(b'"%x":%d' % (n, n) for n in range(80_000)) + b',"z":%d}' % last for last in (1, 2)
    ),
    "spaces": (b'["' + b'" , "' * 200_000 + b'"]', b'["' + b'" , "' * 200_000 + b'" ]'),
    "no JSON": (b"<p>" * 350_000, b"<p>" * 349_999 + b"<b>"),
}


def cost_s(work: Callable[[], object], size: int) -> float:
    """Return the CPU time of one call, the best of several runs."""
    count = max(1, 200_000 // max(size, 1))
    best = float("inf")
    if 2 * size > INLINE_BYTES:
        gc.disable()  # as in the thread that compares what is long
    for _ in range(RUNS):
        begin = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - begin) / count)
    gc.enable()
    return best


async def lateness_s(work: Callable[[], object]) -> float:
    """Return by how much the loop was late at most while a thread did the work."""
    loop = asyncio.get_running_loop()
    worst, due = 0.0, loop.time() + TICK_S

    def tick() -> None:
        nonlocal worst, due, timer
        worst = max(worst, loop.time() - due)
        due = loop.time() + TICK_S
        timer = loop.call_at(due, tick)

    timer = loop.call_at(due, tick)
    aside = Aside()
    await aside.do(work)
    aside.close()
    timer.cancel()
    return worst


def main() -> None:
    sys.setswitchinterval(SWITCH_S)
    print("CPU time of one comparison; a KB is one of the first body")
    for size, count in SIZES.items():
        for kind, bodies in pairs(count).items():
            first, second = (Answer(200, FIELDS, body) for body in bodies)
            for name, rules in RULES.items():
                cost = cost_s(lambda: compare(first, second, rules), len(first.body))  # noqa: B023
                per_kb = cost * 1e6 / (len(first.body) / 1024)
                print(f"{size:>6}  {kind:26} {name:10} {cost * 1e6:10.1f} µs {per_kb:7.2f} µs/KB")
        rules = RULES["four rules"]
        cost = cost_s(lambda: detect(plant_in(first, rules, 0.5), rules), len(first.body))  # type: ignore  # noqa: B023
        print(f"{size:>6}  {'planted and detected':26} {'four rules':10} {cost * 1e6:10.1f} µs")
    print("How late the loop is while a thread compares bodies of 1 MB: best and worst of several runs")
    for kind, bodies in {**pairs(SIZES["1 MB"]), **ODD}.items():
        first, second = (Answer(200, FIELDS, body) for body in bodies)
        found = [asyncio.run(lateness_s(lambda: compare(first, second, RULES["no rules"]))) for _ in range(RUNS)]  # noqa: B023
        print(f"        {kind:26} {min(found) * 1e3:6.1f} to {max(found) * 1e3:6.1f} ms")


if __name__ == "__main__":
    main()
