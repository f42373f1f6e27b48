"""How the story of the demo is told: scenes, what was typed, and claims with the numbers that bear them out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence about the migration, what was measured, and whether that bears it out."""

    scene: str
    what: str
    measured: str
    held: bool


class Teller:
    """Tells the story on a console and remembers every claim."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.claims: list[Claim] = []
        self._scene = ""

    def scene(self, name: str, about: str) -> None:
        self._scene = name
        self.console.print()
        self.console.rule(f"[bold]{escape(name)}", align="left")
        self.console.print(escape(about), style="dim", highlight=False, soft_wrap=True)

    def typed(self, command: str) -> None:
        """Show a command as somebody would type it; never broken, so that it can be copied."""
        self.console.print(f"  [cyan]$ {escape(command)}", soft_wrap=True, highlight=False)

    def line(self, text: str) -> None:
        """Say something that is no claim."""
        self.console.print(f"  {escape(text)}", highlight=False, soft_wrap=True)

    def shown(self, text: str) -> None:
        """Show what a command printed."""
        for line in text.splitlines():
            self.console.print(f"    {escape(line)}", style="dim", highlight=False, soft_wrap=True)

    def claim(self, what: str, measured: str, held: bool) -> bool:
        """Put down a claim with its measurement; returns whether it holds."""
        self.claims.append(Claim(self._scene, what, measured, held))
        line = f"  {_verdict(held)} {escape(what)}: [bold]{escape(measured)}"
        self.console.print(line, highlight=False, soft_wrap=True)
        return held

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show on a terminal that something goes on."""
        return self.console.status(escape(what))

    @property
    def all_held(self) -> bool:
        return all(claim.held for claim in self.claims)

    def table(self) -> Table:
        """Return all claims as a table."""
        table = Table(title="What was claimed, and what was measured", title_justify="left")
        for name in ("scene", "claim", "measured", ""):
            table.add_column(name, overflow="fold")
        for claim in self.claims:
            table.add_row(escape(claim.scene), escape(claim.what), escape(claim.measured), _verdict(claim.held))
        return table


def _verdict(held: bool) -> str:
    return "[green]✓[/]" if held else "[bold red]✗[/]"


async def met(
    condition: Callable[[], bool | Awaitable[bool]], within_s: float, every_s: float = POLL_S
) -> float | None:
    """Wait until `condition` is true; return after how many seconds it was, or None when it was not `within_s`."""
    start_s = time.monotonic()
    while True:
        value = condition()
        if await value if isinstance(value, Awaitable) else value:
            return time.monotonic() - start_s
        if time.monotonic() - start_s > within_s:
            return None
        await asyncio.sleep(every_s)
