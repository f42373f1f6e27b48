"""
`banyan init`: a first config.yaml and rules folder for the operator's own two addresses.

Writes only what is not there yet, and nothing at all when config.yaml is. Opens no connection: whether the sides
answer is the doctor's question.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from proxy.cli.words import BadWord
from proxy.core.errors import GatewayError

FIRST_PORT = 8080  # then the next two for admin and probes
OTHER_FIRST_PORT = 18080  # where a side of the own machine already has one of those
AUTHORITY = re.compile(r"[A-Za-z0-9._:\[\]-]+")  # without a user, and with nothing that YAML would take for its own

CONFIG = """\
# Banyan stands in front of two sides. `banyan schema settings` knows every key that may stand here.
listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin_port}}}
probes: {{listen: 127.0.0.1:{probes_port}}}
sides:
  legacy: {{url: "{legacy}"}}
  modern: {{url: "{modern}"}}
store: embedded          # or redis://host:6379/0, shared by all replicas
data_dir: .banyan
rules: rules             # one file per component; saved changes take effect at once
"""

RULES = """\
# The first component: rename it, and put the paths here that move together. All other paths go to legacy.
component: users
weight: 0                # % of reads that modern answers; raise it: 1, 5, 25, 100
routes:
  /api/users: {}
  /api/users/{id}: {}
"""

DEFAULTS = """\
# What all components share unless their own file says otherwise, for example:
# fallback: {on: [connect, timeout, reset, 5xx], budget_pct: 20}
# shadow: 10             # % of reads that are asked of the other side, too, and compared; see `banyan mismatches`
"""

NEXT_STEPS = """\
Next:
  1. edit rules/users.yaml: the name and the paths of your first component
  2. banyan check            reads both files and names every mistake
  3. banyan run              http://127.0.0.1:{port} now answers as legacy does
  4. banyan weight users 5   5 % of its reads go to modern; `banyan rollback users --why ...` takes them back"""


class Exists(GatewayError):
    """A file that `init` would write is there already; nothing was written."""


def checked_url(word: str, option: str) -> str:
    """Return the address of a side as it goes into the file: scheme, host and port, nothing behind them."""
    try:
        url = urlsplit(word.strip())
        host, _ = url.hostname, url.port  # the port raises when it is none
    except ValueError as exc:
        raise BadWord(f"{option}: {word!r} is no address: {exc}") from None
    if url.scheme not in ("http", "https") or not host or not AUTHORITY.fullmatch(url.netloc):
        raise BadWord(f"{option}: should be an address such as http://127.0.0.1:9001, is {word!r}")
    if url.query or url.fragment or url.path not in ("", "/"):
        raise BadWord(f"{option}: should end after host and port (paths are forwarded as they are), is {word!r}")
    return f"{url.scheme}://{url.netloc}"


def ports_for(*urls: str) -> tuple[int, int, int]:
    """Return ports for data, admin and probes that no side of the own machine already has."""
    taken = {urlsplit(url).port or 80 for url in urls}
    wanted = range(FIRST_PORT, FIRST_PORT + 3)
    first = OTHER_FIRST_PORT if taken & set(wanted) else FIRST_PORT
    return first, first + 1, first + 2


def write_project(folder: Path, legacy: str, modern: str) -> tuple[tuple[Path, ...], str]:
    """Write what is missing below `folder`; returns the files written and what to do next."""
    legacy, modern = checked_url(legacy, "--legacy"), checked_url(modern, "--modern")
    if legacy == modern:
        raise BadWord(f"--legacy and --modern are both {legacy}; they are two applications")
    config = folder / "config.yaml"
    if config.exists():
        raise Exists(f"{config} is there already; it stays as it is, and nothing was written")
    port, admin_port, probes_port = ports_for(legacy, modern)
    text = CONFIG.format(port=port, admin_port=admin_port, probes_port=probes_port, legacy=legacy, modern=modern)
    written = [_put(config, text)]
    rules = folder / "rules"
    if not rules.exists():
        rules.mkdir(parents=True)
        written += [_put(rules / "_defaults.yaml", DEFAULTS), _put(rules / "users.yaml", RULES)]
    return tuple(written), NEXT_STEPS.format(port=port)


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:  # x: what appeared meanwhile stays as well
        file.write(text)
    return path
