"""
Banyan under measurement: `banyan run` with the rules of four components, `users` at 50 % so that both sides are hit.

The rules stand here and not in `rules/`, so that a benchmark of today and one of next year measure the same.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.load import READ_PATH, USERS
from tests.bench.processes import NotReady, free_ports, request
from tests.bench.site import STAMPED_PATH, Site

NAME = "banyan"
COMPONENTS = {"users": 50, "configuration": 0, "conversations": 0, "analytics": 0}  # weights
ROUTES_EACH = 2

CONFIG_HEAD = """\
listen: 127.0.0.1:{port}
probes: {{listen: 127.0.0.1:{probes}}}
admin: {{listen: 127.0.0.1:{admin}}}
store: redis://127.0.0.1:{store}/0
namespace: {name}
data_dir: data
access_log: false
rules: rules
"""

SIDES_CONFIG = """\
sides:
  legacy: {{url: http://127.0.0.1:{legacy}}}
  modern: {{url: http://127.0.0.1:{modern}}}
"""

RULES = """\
component: {component}
weight: {weight}
shadow: 0
sticky: [header:x-user-id, entity, client]
routes:
  /api/{component}: {{}}
  /api/{component}/{{id}}: {{entity: "{{id}}"}}
"""

# Every read is asked of the other side, too, and compared. The caps are those of a side that bears it.
MIRROR_CONFIG = """\
shadow: {{pending: 4096}}
sides:
  legacy: {{url: http://127.0.0.1:{legacy}}}
  modern: {{url: http://127.0.0.1:{modern}, shadow: {{requests_per_s: 0, concurrency: 256}}}}
"""
MIRROR_RULES = f"""\
component: users
phase: shadow
shadow: 100
sticky: [header:x-user-id, entity, client]
routes:
  /api/users: {{}}
  /api/users/{{id}}: {{entity: "{{id}}"}}
  {STAMPED_PATH}/{{id}}: {{compare: {{ignore: [$.generated_at]}}}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One way to run Banyan; calling it writes the configuration for a port and returns what starts it."""

    name: str = NAME
    routes: int = len(COMPONENTS) * ROUTES_EACH  # over all components
    is_mirroring: bool = False  # every read of users is sent to both sides, and the answers compared

    def __call__(self, site: Site, port: int) -> list[str]:
        probes, admin = free_ports(2)
        return self.command(site, port, probes, admin)

    def command(self, site: Site, port: int, probes: int, admin: int) -> list[str]:
        """Write config.yaml and the rules into a folder of their own, and return the command that serves them."""
        folder = site.folder / self.name.replace(" ", "-")
        rules = folder / "rules"
        rules.mkdir(parents=True, exist_ok=True)
        values = {"port": port, "probes": probes, "admin": admin, "name": folder.name}
        sides = {"legacy": site.legacy, "modern": site.modern, "store": site.store}
        (folder / "config.yaml").write_text(self._config().format(**values, **sides))
        for component, weight in COMPONENTS.items():
            text = RULES.format(component=component, weight=weight)
            (rules / f"{component}.yaml").write_text(
                MIRROR_RULES if self.is_mirroring and component == "users" else text
            )
        further = self.routes - len(COMPONENTS) * ROUTES_EACH
        if further > 0:
            (rules / "further.yaml").write_text(further_rules(further))
        return [str(Path(sys.executable).with_name("banyan")), "run", "-c", str(folder / "config.yaml")]

    def _config(self) -> str:
        return CONFIG_HEAD + (MIRROR_CONFIG if self.is_mirroring else SIDES_CONFIG)


def further_rules(count: int) -> str:
    """Return a component of `count` routes that no request of the load asks for, beside the ones it does."""
    routes = "".join(f"  /api/further/{{id}}/part{number}/{{part}}: {{}}\n" for number in range(count))
    return f"component: further\nshadow: 0\nroutes:\n{routes}"


def instead(words: str) -> Callable[[Site, int], list[str]]:
    """Return how to start another command in Banyan's place; {port}, {legacy} and {modern} are filled in."""

    def command(site: Site, port: int) -> list[str]:
        return shlex.split(words.format(port=port, legacy=site.legacy, modern=site.modern))

    return command


def environment() -> dict[str, str]:
    """Return this process's environment without settings that would win over the configuration of the benchmark."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BANYAN_")}


def check_both_sides(port: int) -> None:
    """NotReady unless reads of the load's users are answered by both sides, about half by each."""
    answers = [request(port, READ_PATH.format(user=user)).lower() for user in range(1, USERS + 1)]
    modern = sum(b"\r\nx-banyan-side: modern\r\n" in answer for answer in answers)
    if not USERS // 4 <= modern <= USERS * 3 // 4:
        raise NotReady(f"modern answers {modern} of {USERS} users; about half was asked for")
