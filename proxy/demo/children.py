"""The processes that the demo starts: each with a log of its own, none that outlives it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from proxy.store.embedded import LAUNCH

STOP_S = 6.0
_TAIL_LINES = 12


class Child:
    """A Python process with output to a file; it is sent SIGTERM when its parent dies, however that happens."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], folder: Path) -> Self:
        """Start `python *arguments` in `folder`, with its log there. Call it in the main thread."""
        log = folder / f"{name}.log"
        launch = ("-I", "-S", "-c", LAUNCH, str(os.getpid()), sys.executable)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *launch,
                *arguments,
                cwd=folder,
                env=clean_environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops its children in order
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])

    async def stop(self) -> int:
        """End it, by SIGTERM and at last by SIGKILL; return its exit code."""
        if not self.ended:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without BANYAN_* variables, which would win over the demo's own configuration."""
    return {name: value for name, value in environment.items() if not name.startswith("BANYAN_")}
