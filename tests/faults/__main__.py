"""
The command behind `make faults`: plays the faults, prints the table, and ends with 1 when something did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import string
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.machine import commit, processor
from tests.faults import gateway_tried, shadows_failing, sides_failing
from tests.faults.plan import FAULTS
from tests.faults.play import Fault, Result, Tempo, play
from tests.faults.report import document, text

OUT = Path(__file__).parent / "out"
SCENES = (sides_failing, gateway_tried, shadows_failing)  # importing them enters their faults


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description="What becomes of requests while things fail.")
    parser.add_argument("fault", nargs="*", help=f"which to play, of {', '.join(FAULTS)}; all without. F2 is F2L too")
    parser.add_argument("--seconds", type=float, default=10.0, help="that each of calm, fault and calm lasts")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON file")
    args = parser.parse_args(words)
    for word in args.fault:
        if not chosen([word]):
            parser.error(f"no fault is called {word}; known are {', '.join(FAULTS)}")
    return args


def chosen(words: Sequence[str]) -> list[Fault]:
    """Return the faults of these names (a letter behind one may be left out), all without, in the order of the plan."""
    asked = [re.compile(re.escape(word) + r"[A-Z]?", re.IGNORECASE) for word in words]
    found = [name for name in FAULTS if not asked or any(pattern.fullmatch(name) for pattern in asked)]
    return [FAULTS[name] for name in sorted(found, key=lambda name: (int(name.strip(string.ascii_letters)), name))]


def machine() -> dict[str, object]:
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "processor": processor(),
        "cpus": f"{os.cpu_count()}; shared by the gateway, both sides, the store and the load",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit(),
        "load_before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def run(faults: Sequence[Fault], tempo: Tempo) -> list[Result]:
    results = []
    for each in faults:
        say(f"{each.name}: {each.title}")
        results.append(await play(each, tempo))
    return results


def main() -> int:
    args = arguments()
    tempo = Tempo(args.seconds, args.seconds, args.rate)
    on = machine()
    try:
        results = asyncio.run(run(chosen(args.fault), tempo))
    except KeyboardInterrupt:
        return 130
    path = args.out / time.strftime("%Y%m%d-%H%M%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(results, tempo, on), indent=1, ensure_ascii=False, default=str) + "\n")
    print(text(results, on))
    say(f"\nwritten to {path}")
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
