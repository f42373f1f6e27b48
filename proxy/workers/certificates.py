"""
The TLS contexts of one process, kept in step with their files: new connections get the new certificate.

Connections that stand go on with what they began with. What cannot be used leaves what was in force, and is told as
an event and shown until it is right. How a context is made is the wire's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from proxy.wire.certificates import BadCertificate

LOOK_S = 1.0


class Files(Protocol):
    """What a context is made of."""

    def context(self) -> ssl.SSLContext: ...
    def contents(self) -> tuple[bytes | None, ...]: ...


class Reports(Protocol):
    """Where events go: the stream that all replicas share, and the log."""

    def append(
        self, kind: str, component: str | None = None, who: str | None = None, why: str = "", **facts: Any
    ) -> None: ...


class Kept:
    """One context, made of files; raises BadCertificate when there is none to begin with."""

    def __init__(self, name: str, files: Files) -> None:
        self.name = name
        self.problem = ""  # why what the files hold now is not in force
        self._files = files
        self._taken = files.contents()
        self._settling: tuple[bytes | None, ...] | None = None
        self._context = files.context()

    def context(self) -> ssl.SSLContext:
        """Return the context in force."""
        return self._context

    def is_changed(self) -> bool:
        """Say whether the files hold something else than what was looked at last."""
        return self._files.contents() != self._taken

    def is_due(self) -> bool:
        """Say whether the files hold something else than before, and have held it at two looks in a row."""
        now = self._files.contents()
        if now == self._taken:
            self._settling = None
            return False
        settled = now == self._settling  # else certificate and key may be of different ages yet
        self._settling = now
        return settled

    def take(self) -> bool:
        """Put what the files hold now in force; False, with the reason in `problem`, when that cannot be."""
        self._taken = self._files.contents()
        try:
            self._context = self._files.context()
        except BadCertificate as exc:
            self.problem = f"{self.name}: {exc}; what was in force stays in force"
            return False
        self.problem = ""
        return True


class Certificates:
    """Follows the files of every context that it was given to keep; `run` until it is cancelled."""

    def __init__(self, reports: Reports, reload: asyncio.Event) -> None:
        self._reports = reports
        self._reload = reload  # a SIGHUP: look at once, and anew at what the system trusts
        self._kept: list[Kept] = []

    @property
    def problems(self) -> tuple[str, ...]:
        """What cannot be used at present, and why."""
        return tuple(each.problem for each in self._kept if each.problem)

    def keep(self, name: str, files: Files) -> Callable[[], ssl.SSLContext]:
        """Return what gives the context in force of `files`. Raises BadCertificate."""
        kept = Kept(name, files)
        self._kept.append(kept)
        return kept.context

    async def run(self) -> None:
        """Look again and again, if there is anything to look at."""
        while self._kept:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._reload.wait()
            asked = self._reload.is_set()
            self._reload.clear()
            for kept in self._kept:
                if asked or kept.is_due():
                    await self._take(kept, asked)

    async def _take(self, kept: Kept, asked: bool) -> None:
        before = kept.problem
        changed = kept.is_changed()
        if await asyncio.to_thread(kept.take):  # reading all that a system trusts takes 20 ms and more
            if changed or before:
                self._reports.append("certificate_taken", why=f"{kept.name}: new connections get what the files hold")
        elif asked or kept.problem != before:
            self._reports.append("certificate_refused", why=kept.problem)
