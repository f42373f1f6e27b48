"""What a benchmark ran on: a figure without its machine is none."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from tests.bench.site import Site


def describe(site: Site, versions: dict[str, str]) -> dict[str, object]:
    """Return the facts that a reader of the figures needs, in the order in which they are printed."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "processor": processor(),
        "cpus": f"{os.cpu_count()}; the proxy alone on {site.proxy_cpu}, load and back end on {site.load_cpu}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit(),
        "load_before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": versions,
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Processor"):
            return value.strip()
    return platform.machine()


def commit() -> str:
    """Return the commit of this checkout, with `+` when something is changed; empty where there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
