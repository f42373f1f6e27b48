"""
Where one benchmark takes place: its folder, its ports, its CPUs, and the servers that are not measured.

The back end is nginx: 450 bytes of JSON on any path of both sides, 1 MiB on one. It shares a CPU with the load. A
second one, for the job that sends every request to both sides, counts what comes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import NotReady, Running, free_ports

BODY = (
    '{"id":42,"name":"Ada Lovelace","email":"ada@example.org","roles":["admin","editor"],'
    '"created_at":"2025-08-10T12:00:00Z","settings":{"theme":"dark","locale":"en-GB","notifications":'
    '{"email":true,"sms":false,"push":true}},"conversations":[{"id":1,"title":"hello","unread":3},'
    '{"id":2,"title":"world","unread":0},{"id":3,"title":"migration","unread":12}],'
    '"tags":["alpha","beta","gamma","delta"],"score":0.98123,"active":true,"manager":null}'
)
LARGE_BYTES = 1 << 20
LARGE_PATH = "/api/users/large"
STAMPED_PATH = "/api/users/stamped"  # where the two sides say different things in one field, which comes last
STAMPS = {"legacy": "2025-08-10T12:00:00.125Z", "modern": "2025-08-10T12:00:00.750Z"}
COUNT_PATH = "/requests"  # of the second back end: how many came, as text

# Debian keeps servers where an ordinary user's PATH does not look; the peers from packages have a folder of their own.
PEERS_BIN = Path(__file__).parents[2] / ".bench-venv" / "bin"
SEARCH_PATH = os.pathsep.join([str(PEERS_BIN), os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


def find(command: str) -> str | None:
    """Return the path of an installed command, or None."""
    return shutil.which(command, path=SEARCH_PATH)


@dataclass(frozen=True, slots=True)
class Site:
    """What every server of one benchmark has to know of the others."""

    folder: Path
    legacy: int  # ports of the two sides
    modern: int
    store: int  # port of the throw-away Redis
    proxy_cpu: int
    load_cpu: int


def lay_out(folder: Path) -> Site:
    """Choose ports and CPUs: the proxy has the first CPU alone, everything else the last one."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotReady("two CPUs are needed: one for the proxy alone, one for the load and the back end")
    legacy, modern, store = free_ports(3)
    folder.chmod(0o755)  # nginx's worker may be another user
    return Site(folder, legacy, modern, store, cpus[0], cpus[-1])


def nginx_head(site: Site, name: str) -> str:
    """Return what every nginx of a benchmark starts with; all it writes stays in the folder of the site."""
    temporary = " ".join(
        f"{kind}_temp_path {site.folder}/{name}.{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""worker_processes 1; daemon off; pid {site.folder}/{name}.pid;
error_log {site.folder}/{name}.err; worker_rlimit_nofile 20000;
events {{ worker_connections 20000; }}
http {{ {temporary} access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
"""


def nginx_command(site: Site, name: str) -> list[str]:
    return [find("nginx") or "nginx", "-e", f"{site.folder}/{name}.err", "-c", f"{site.folder}/{name}.conf"]


def back_end(site: Site) -> Running:
    """Start both sides; the caller stops them."""
    (site.folder / "large.json").write_text("x" * LARGE_BYTES)
    (site.folder / "sides.conf").write_text(
        nginx_head(site, "sides")
        + f"server {{ listen 127.0.0.1:{site.legacy}; listen 127.0.0.1:{site.modern};\n"
        + f"{_answers(site, 'legacy')} }} }}\n"
    )
    return Running("sides", nginx_command(site, "sides"), site.load_cpu, site.folder)


def second_back_end(site: Site) -> Running:
    """Start a modern side of its own on the port of `site`, which counts its requests; the caller stops it."""
    (site.folder / "second.conf").write_text(
        nginx_head(site, "second")
        + f"server {{ listen 127.0.0.1:{site.modern}; location = {COUNT_PATH} {{ stub_status; }}\n"
        + f"{_answers(site, 'modern')} }} }}\n"
    )
    return Running("second", nginx_command(site, "second"), site.load_cpu, site.folder)


def _answers(site: Site, side: str) -> str:
    return f"""default_type application/json;
 location = {LARGE_PATH} {{ alias {site.folder}/large.json; }}
 location {STAMPED_PATH} {{ return 200 '{stamped(side)}'; }}
 location / {{ return 200 '{BODY}'; }}"""


def stamped(side: str) -> str:
    """Return what a side answers below STAMPED_PATH: as long as the other's, and different in `generated_at`."""
    return f'{BODY[:-1]},"generated_at":"{STAMPS[side]}"}}'


def store(site: Site) -> Running:
    """Start the Redis that holds the rules for the time of the benchmark; the caller stops it."""
    server = find("redis-server") or find("valkey-server")
    if server is None:
        raise NotReady("redis-server is needed: on Debian, apt-get install redis-server")
    words = f"--bind 127.0.0.1 --port {site.store} --save  --appendonly no --loglevel warning".split(" ")
    return Running("store", [server, *words], site.load_cpu, site.folder)
