"""
The command `banyan`: what an operator types.

`main` hands `run` to its own room before anything else is imported, so that a gateway starts fast and small; all
other commands are typer's. Every error ends here as one line and an exit code, never as a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from proxy.cli.streams import open_closed_streams


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the entry point of the distribution."""
    open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        from proxy.cli.running import plain_run, run

        plain = plain_run(arguments)
        if plain is not None:
            return run(plain.config)
        from proxy.cli.application import invoke

        return invoke(arguments)
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        from proxy.cli.exits import end

        return end(error)
