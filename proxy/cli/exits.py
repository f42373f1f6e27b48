"""
How a command ends: the exit code of each kind of error, and the one clear line that says it.

0 ok, 1 failure, 2 usage, 3 condition not met, 4 invalid rules or config, 5 store or gateway out of reach, 6 conflict.
Nobody sees a traceback; BANYAN_DEBUG=1 shows it to those who want to report one.
"""

from __future__ import annotations

import os
import sys
import traceback

from proxy.cli.output import say
from proxy.cli.words import BadWord
from proxy.config import DEBUG_VARIABLE
from proxy.core.changes import BadWish
from proxy.core.errors import ConfigError, Conflict, NotAllowed, StoreError

OK, FAILURE, USAGE, NOT_MET, INVALID, OUT_OF_REACH, CONFLICT = range(7)
INTERRUPTED = 130

CODES: tuple[tuple[type[BaseException], int], ...] = (
    (BadWord, USAGE),
    (BadWish, USAGE),
    (NotAllowed, NOT_MET),
    (ConfigError, INVALID),
    (StoreError, OUT_OF_REACH),
    (Conflict, CONFLICT),
    (KeyboardInterrupt, INTERRUPTED),
)


def code_of(error: BaseException) -> int:
    """Return the exit code of an error; what has none of its own is a failure."""
    return next((code for kind, code in CODES if isinstance(error, kind)), FAILURE)


def end(error: BaseException) -> int:
    """Tell the operator on stderr what happened, and return the exit code."""
    if os.environ.get(DEBUG_VARIABLE, "") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, BrokenPipeError):  # `banyan status | head`: whoever read has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    if not isinstance(error, KeyboardInterrupt):
        say(f"banyan: {sentence(error)}")
    return code_of(error)


def sentence(error: BaseException) -> str:
    """Say in words what happened; problems of rules and settings stand one to a line, as an editor can jump to."""
    if isinstance(error, ConfigError):
        count = len(error.problems)
        return f"{count} problem{'s' * (count != 1)} found\n" + "\n".join(map(str, error.problems))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if code_of(error) != FAILURE or type(error).__module__.startswith("proxy."):
        return str(error)
    return f"this should not happen: {type(error).__name__}: {error} (BANYAN_DEBUG=1 shows where)"
