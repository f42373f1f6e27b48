"""
The emergency file: what an operator can still say when the store cannot be reached, component → side.

JSON or YAML, maybe a mounted ConfigMap; looked at twice a second, because it is small and must work when nothing else
does. What it means is decided by `core.emergency`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from proxy import yamlfile
from proxy.core.emergency import Emergency, emergency_values, read_emergency
from proxy.core.errors import ConfigError
from proxy.core.problems import in_brief, place, problem, shown

LOOK_S = 0.5


def read_emergency_file(path: Path) -> dict[str, Emergency]:
    """
    Return what the file names by component or `all`; no file says nothing.

    Raises ConfigError with the place when it cannot be understood.
    """
    if not path.exists():
        return {}
    document = yamlfile.load(path, path.name)
    if document.problems:
        raise ConfigError(document.problems)
    values = document.values if document.values is not None else {}
    if not isinstance(values, Mapping):
        what = f"should be `component: side`, line by line, is {shown(values)}"
        raise ConfigError([problem(document.positions, (), path.name, what)])
    return {
        str(name): read_emergency(
            "" if value is None else str(value), at=str(place(document.positions, (name,), path.name))
        )
        for name, value in values.items()
    }


class EmergencyFile:
    """Watches one file and hands on what it says; what cannot be understood leaves what was understood before."""

    def __init__(self, path: Path, log: FilteringBoundLogger, take: Callable[[Mapping[str, Emergency]], None]) -> None:
        self._path = path
        self._log = log
        self._take = take
        self._known: dict[str, Emergency] | None = None
        self.problem = ""  # why the file is not understood at present

    def look(self) -> None:
        """Take the file as it is now."""
        try:
            found = read_emergency_file(self._path)
        except ConfigError as exc:
            why = in_brief(exc.problems)
            if why != self.problem:
                self.problem = why
                self._log.error("emergency_file_refused", problem=self.problem)
            return
        self.problem = ""
        if found != self._known:
            self._known = found
            self._log.info("emergency_file_read", says=emergency_values(found))
            self._take(found)

    async def run(self) -> None:
        """Look again and again."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)
