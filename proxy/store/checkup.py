"""
The check-up of a store, for `banyan doctor`: may it be relied on, and what would have to be set otherwise.

Changes nothing but a probe key that it removes; what it finds are values, and the caller says them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.errors import StoreError
from proxy.store.link import Link, Refused
from proxy.store.view import RULES

SKEW_S = 1.0
SLOW_S = 0.1
FULL = 0.9  # of maxmemory
OLDEST_SERVER = (7, 0)
AWAY = "reach"  # the topic of the one finding about a store that does not answer


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # works, until the day that it names
    FAULT = "fault"  # does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `what` is a sentence, with what would be right when it is not `ok`."""

    grade: Grade
    topic: str
    what: str


async def examine(link: Link) -> tuple[Finding, ...]:
    """Look at everything about the store that could surprise later; a store that is away is one finding, no error."""
    try:
        began = time.monotonic()
        server = await link.info("server")
        took_s = time.monotonic() - began
        facts = {**server, **await link.info("memory"), **await link.info("persistence"), **await link.info("stats")}
        facts |= await link.info("replication")
        return (
            _reached(link, facts, took_s),
            *judged(facts),
            await _writable(link),
            await _told(link),
            _skew(await link.clock_skew_s()),
        )
    except StoreError as exc:
        return (Finding(Grade.FAULT, AWAY, str(exc)),)


def judged(facts: Mapping[str, str]) -> tuple[Finding, ...]:
    """Judge what INFO says."""
    return (*_role(facts), *_memory(facts), *_persistence(facts))


def _reached(link: Link, facts: Mapping[str, str], took_s: float) -> Finding:
    name = "Valkey" if "valkey_version" in facts else "Redis"
    version = facts.get("valkey_version") or facts.get("redis_version", "?")
    said = f"{name} {version} at {link.address.shown} answers in {took_s * 1000:.1f} ms"
    if facts.get("redis_mode") == "cluster" or facts.get("server_mode") == "cluster":
        return Finding(Grade.FAULT, "server", f"{said}, but is a Cluster, which is not supported")
    if _numbers(version) < OLDEST_SERVER:
        return Finding(Grade.WARNING, "server", f"{said}; 7.0 is the oldest version that Banyan is tested with")
    if took_s > SLOW_S:
        return Finding(Grade.WARNING, "server", f"{said}; requests do not wait for it, changes do")
    return Finding(Grade.OK, "server", said)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _role(facts: Mapping[str, str]) -> Iterator[Finding]:
    if facts.get("role") == "slave":
        master = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
        yield Finding(Grade.FAULT, "role", f"is a read-only replica of {master}; name the master, or the sentinels")
    else:
        yield Finding(Grade.OK, "role", "is a master")


def _memory(facts: Mapping[str, str]) -> Iterator[Finding]:
    limit, used = int(facts.get("maxmemory", 0)), int(facts.get("used_memory", 0))
    policy = facts.get("maxmemory_policy", "noeviction")
    if int(facts.get("evicted_keys", 0)) and policy != "noeviction":
        what = f"has evicted {facts['evicted_keys']} keys; set maxmemory-policy to noeviction"
        yield Finding(Grade.FAULT, "memory", what)
    elif limit and policy != "noeviction":
        what = f"may evict rules or emergencies when it is full (maxmemory-policy {policy}); set it to noeviction"
        yield Finding(Grade.WARNING, "memory", what)
    elif limit and used > FULL * limit:
        yield Finding(Grade.WARNING, "memory", f"uses {used / limit:.0%} of maxmemory; a full one refuses publications")
    else:
        yield Finding(Grade.OK, "memory", f"nothing is evicted (maxmemory-policy {policy})")


def _persistence(facts: Mapping[str, str]) -> Iterator[Finding]:
    failed = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if facts.get(name) == "err"]
    if failed:
        yield Finding(Grade.FAULT, "persistence", f"could not save last time ({', '.join(failed)}); see its log")
    elif facts.get("aof_enabled") == "1":
        yield Finding(Grade.OK, "persistence", "every write is kept (appendonly yes)")
    else:
        what = "may forget recent writes in a restart (appendonly no); replicas write rules and emergencies back"
        yield Finding(Grade.WARNING, "persistence", what)


async def _writable(link: Link) -> Finding:
    key = link.key(f"{RULES}:probe:{uuid.uuid4().hex[:8]}")
    try:
        await link.call("SET", key, "1", "PX", 2000)
        await link.call("DEL", key)
    except Refused as exc:
        return Finding(Grade.FAULT, "writes", str(exc))
    return Finding(Grade.OK, "writes", "are taken")


async def _told(link: Link) -> Finding:
    try:
        async with link.pushes(link.key(RULES)):
            return Finding(Grade.OK, "push", "tells of changes at once (CLIENT TRACKING)")
    except Refused as exc:
        return Finding(Grade.WARNING, "push", f"changes are found within 1.5 s instead of milliseconds: {exc}")


def _skew(skew_s: float) -> Finding:
    said = f"{abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's clock"
    if abs(skew_s) > SKEW_S:
        return Finding(Grade.WARNING, "clock", f"is {said}; times in events and status will not fit")
    return Finding(Grade.OK, "clock", f"is {said}")
