"""
The command behind `make bench`: sets the table, runs the jobs, prints the report, and ends with 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import banyan
from tests.bench.chart import svg
from tests.bench.figures import Figures, document, verdicts
from tests.bench.jobs import JOBS, Bench
from tests.bench.machine import describe
from tests.bench.peers import PEERS, Command, version
from tests.bench.processes import NotReady
from tests.bench.report import text
from tests.bench.site import Site, back_end, find, lay_out, store

OUT = Path(__file__).parent / "out"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="What Banyan costs, beside its peers.")
    parser.add_argument("job", nargs="*", help=f"which to run, of {', '.join(JOBS)}; all without")
    parser.add_argument("--peers", default=",".join(PEERS), help="which to measure, by name; '' for none")
    parser.add_argument("--only-peers", action="store_true", help="leave Banyan out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="of load for each figure of a round")
    parser.add_argument("--instead", metavar="COMMAND", help="measure this in Banyan's place; {port} {legacy} {modern}")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the figures (JSON) and the chart (SVG)")
    args = parser.parse_args(words)
    for name in args.job:
        if name not in JOBS:
            parser.error(f"no job is called {name}; known are {', '.join(JOBS)}")
    for name in named(args.peers):
        if name not in PEERS:
            parser.error(f"no peer is called {name}; known are {', '.join(PEERS)}")
    return args


def named(peers: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name for name in peers.split(",") if name]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen(args: argparse.Namespace) -> dict[str, Command]:
    """Return the proxies to measure, Banyan first; peers that are not installed are named and left out."""
    proxies: dict[str, Command] = {}
    if not args.only_peers:
        proxies[banyan.NAME] = banyan.instead(args.instead) if args.instead else banyan.Gateway()
    for name in named(args.peers):
        if find(name):
            proxies[name] = PEERS[name]
        else:
            say(f"{name} is not installed: left out")
    return proxies


def measure(site: Site, args: argparse.Namespace) -> int:
    proxies = chosen(args)
    own = banyan.NAME in proxies
    versions = {name: version(name) for name in proxies if name in PEERS}
    machine = describe(site, versions)
    bench = Bench(site, proxies, args.rounds, args.seconds, Figures(), say)
    with ExitStack() as servers:
        servers.enter_context(back_end(site)).ready(site.legacy, "/")
        if own:
            servers.enter_context(store(site))
        for name in args.job or JOBS:
            if own or name not in ("start", "routes"):
                JOBS[name](bench)
    judged = verdicts(bench.figures, named(args.peers))
    path = args.out / time.strftime("%Y%m%d-%H%M%S.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(bench.figures, judged, machine), indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".svg").write_text(svg(bench.figures, machine))
    print("\n" + text(bench.figures, judged, machine))
    say(f"\nwritten to {path}, drawn in {path.with_suffix('.svg')}")
    all_hold = all(verdict.holds for verdict in judged)
    return 0 if all_hold and not bench.figures.failed.get(banyan.NAME) and not bench.figures.refused else 1


def main() -> int:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    with tempfile.TemporaryDirectory(prefix="banyan-bench-") as folder:
        try:
            for tool in ("nginx", "wrk", "taskset"):
                if find(tool) is None:
                    raise NotReady(f"{tool} is needed: on Debian, apt-get install nginx wrk util-linux")
            return measure(lay_out(Path(folder)), args)
        except NotReady as exc:
            say(str(exc))
            return 1
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
