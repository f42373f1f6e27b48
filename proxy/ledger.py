"""
The ledger of one parent's processes: what each has counted, in a folder of its own, so that no sum ever goes back.

A process enters its counts before it tells them to anybody, so that they are not lost with it; the parent adds what
ended processes left to one entry. Plain files on this machine, gone with the parent; nothing is asked of the disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import orjson

from proxy.core.gathering import Family, counted, family, merged

PREFIX = "banyan-ledger-"
PATH_BYTES = 60  # of the folder: a unix socket's path in it may have 107
ENDED = "ended"
_KEPT_NAMES = 4096
_YOUNG_S = 60.0  # what is younger may not be locked yet


class Ledger:
    """The folder; entries are whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls) -> Self:
        """Make one that only this user can enter, and that whoever tidies up temporary files leaves alone."""
        where = Path(tempfile.gettempdir())
        where = where if len(os.fsencode(where)) <= PATH_BYTES else Path("/tmp")
        _tidy(where)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
        _locked(folder, fcntl.LOCK_SH)  # for as long as this process lives: see tmpfiles.d(5), and `_tidy`
        return cls(folder)

    def remove(self) -> None:
        """Take the folder away, with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def door(self, name: str) -> Path:
        """Return where the process `name` is asked."""
        return self.folder / f"{name}.sock"

    def doors(self) -> list[str]:
        """Return the names of the processes that can be asked."""
        return sorted(path.stem for path in self.folder.glob("*.sock"))

    def enter(self, name: str, families: Iterable[Family]) -> None:
        """Write what a process has counted so far."""
        self._write(name, {"families": [each.dumped() for each in families]})

    def entries(self) -> dict[str, list[Family]]:
        """
        Return the counts of each process, and under ENDED those of all that have ended.

        The one of the ended is read last: whom it includes is left out, so that nobody counts twice or not at all.
        """
        found = {path.stem: self._read(path)[1] for path in self.folder.glob("*.json") if path.stem != ENDED}
        names, ended = self._read(self.folder / f"{ENDED}.json")
        return {name: families for name, families in found.items() if name not in names} | {ENDED: ended}

    def fold(self, name: str) -> None:
        """For the parent: add what an ended process left to what the others did."""
        path = self.folder / f"{name}.json"
        names, ended = self._read(self.folder / f"{ENDED}.json")
        if path.exists() and name not in names:
            families = merged([ended, counted(self._read(path)[1])])
            entry = {"names": [*names, name][-_KEPT_NAMES:], "families": [each.dumped() for each in families]}
            self._write(ENDED, entry)
        for left in (path, self.door(name)):
            left.unlink(missing_ok=True)

    def _write(self, name: str, entry: object) -> None:
        new = self.folder / f".{name}-{os.getpid()}.new"
        new.write_bytes(orjson.dumps(entry))
        os.replace(new, self.folder / f"{name}.json")

    def _read(self, path: Path) -> tuple[Sequence[str], list[Family]]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            entry = orjson.loads(path.read_bytes())
            return entry.get("names", ()), [family(said) for said in entry["families"]]
        return (), []


def _tidy(where: Path) -> None:
    """Remove what parents left that were killed together with all their processes."""
    for folder in where.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it is somebody's, or somebody else's
            if folder.stat().st_mtime < time.time() - _YOUNG_S:
                os.close(_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(folder)


def _locked(folder: Path, how: int) -> int:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, how)
    except OSError:
        os.close(lock)
        raise
    return lock
