"""A logger with a memory."""

from __future__ import annotations

from typing import Any


class Lines:
    """Takes what a structlog logger takes and keeps it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.warned: list[str] = []

    def info(self, event: str, **facts: Any) -> None:
        self.lines.append((event, facts))

    def warning(self, event: str, **facts: Any) -> None:
        self.warned.append(event)
        self.info(event, **facts)

    error = exception = debug = info

    def kinds(self) -> list[str]:
        """The events, in order."""
        return [event for event, _ in self.lines]
