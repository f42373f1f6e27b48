"""
What a process of Banyan says of itself: JSON lines on stderr. Access lines are another matter and go to stdout.

Sets up the one logger and decides nothing about what is said.
"""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.typing import FilteringBoundLogger

from proxy.lines import Lines


def start_logging() -> FilteringBoundLogger:
    """Have events and what goes wrong written to stderr as JSON lines; return the logger."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(Lines(sys.stderr)),  # type: ignore[arg-type]  # all that it needs
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    log: FilteringBoundLogger = structlog.get_logger("banyan")
    return log
