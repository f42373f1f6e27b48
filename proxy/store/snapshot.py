"""
The snapshot: the last good rules and emergencies on this machine's disk, for a start without the store.

Written whole or not at all (temporary file, fsync, rename, fsync of the folder), each with its own checksum, the
last three kept. A snapshot that cannot be read is passed over; one that cannot be written is a warning, no outage.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from proxy.core.brief import brief
from proxy.core.emergency import Emergency, read_emergency
from proxy.core.errors import ConfigError, StoreError
from proxy.core.rules import RuleSet, dump_rule_set, parse_rule_set

KEPT = 3
MAGIC = b"banyan-snapshot-1"
PREFIX, SUFFIX = "snapshot-", ".json"


@dataclass(frozen=True, slots=True)
class Saved:
    """What was read back: `emergencies` with the time that remains, `warnings` about snapshots passed over."""

    rule_set: RuleSet | None = None
    emergencies: dict[str, Emergency] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Snapshot:
    """The snapshots in `data_dir`; blocking calls, to be made in a thread while requests are served."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir

    def save(self, rule_set: RuleSet, emergencies: Mapping[str, Emergency], now: float) -> None:
        """Write a snapshot, `now` in seconds since 1970; raises StoreError and leaves the older ones as they are."""
        body = _body(rule_set, emergencies, now)
        data = MAGIC + b" " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = max((_number(path) for path in self._files()), default=0) + 1
            self._write(self._folder / f"{PREFIX}{number:08d}{SUFFIX}", data)
            self._prune()
        except OSError as exc:
            raise StoreError(f"cannot write a snapshot in {self._folder}: {exc}") from exc

    def load(self, now: float) -> Saved:
        """Return the newest snapshot that is whole; without any, nothing but the warnings. Raises nothing."""
        warnings: list[str] = []
        for path in self._files():
            try:
                rule_set, emergencies = _read(path.read_bytes(), path.name, now)
                return Saved(rule_set, emergencies, tuple(warnings))
            except (OSError, StoreError, ConfigError, ValueError, KeyError, TypeError, AttributeError) as exc:
                warnings.append(f"{path}: passed over: {brief(str(exc))}")
        return Saved(warnings=tuple(warnings))

    def _files(self) -> list[Path]:
        """Return the snapshots, the newest first."""
        with contextlib.suppress(OSError):
            found = [path for path in self._folder.iterdir() if _number(path) >= 0]
            return sorted(found, key=_number, reverse=True)
        return []

    def _write(self, path: Path, data: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=".snapshot-", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        _sync_folder(self._folder)

    def _prune(self) -> None:
        for path in self._files()[KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink()


def _body(rule_set: RuleSet, emergencies: Mapping[str, Emergency], now: float) -> bytes:
    until = {
        name: {"raw": each.raw, "until": None if each.pttl_ms is None else now + each.pttl_ms / 1000}
        for name, each in emergencies.items()
    }
    document = orjson.Fragment(dump_rule_set(rule_set))
    return orjson.dumps({"saved": now, "rules": document, "emergencies": until})


def _read(data: bytes, source: str, now: float) -> tuple[RuleSet, dict[str, Emergency]]:
    head, _, body = data.partition(b"\n")
    magic, _, checksum = head.partition(b" ")
    if magic != MAGIC:
        raise ValueError("is no snapshot of this version")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise ValueError("its checksum does not fit: it is damaged")
    document = orjson.loads(body)
    emergencies = {name: _emergency(said, now) for name, said in document["emergencies"].items()}
    live = {name: each for name, each in emergencies.items() if each.pttl_ms is None or each.pttl_ms > 0}
    return parse_rule_set(orjson.dumps(document["rules"]), source), live


def _emergency(said: Mapping[str, Any], now: float) -> Emergency:
    until = said["until"]
    return read_emergency(said["raw"], None if until is None else round((until - now) * 1000))


def _number(path: Path) -> int:
    """Return the number of a snapshot, -1 for any other file."""
    text = path.name.removeprefix(PREFIX).removesuffix(SUFFIX)
    ours = path.name == f"{PREFIX}{text}{SUFFIX}" and text.isdecimal()
    return int(text) if ours else -1


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
