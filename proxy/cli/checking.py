"""
Everything that can be wrong with config.yaml, the rule files and expect.yaml, found at once and offline.

Files are named relative to the working directory, so that an editor or a pull request finds the place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from proxy.cli.output import put, say
from proxy.config import load_settings
from proxy.core.errors import ConfigError, Position, Problem
from proxy.core.expect import check_expectations
from proxy.core.plan import compile_table
from proxy.core.rules import check_change, warnings_of
from proxy.rulefiles import RuleFolder, read_folder
from proxy.settings import Settings
from proxy.workers.edits import rules_of


class Report(StrEnum):
    """How problems are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found; `problems` refuse, `warnings` are allowed and probably not meant."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    looked_at: str

    def put(self, form: Report) -> None:
        """Print it; a clean bill is talk, not data."""
        if form is Report.JSON:
            document = {"problems": listed(self.problems), "warnings": listed(self.warnings)}
            put(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        else:
            line = github_line if form is Report.GITHUB else text_line
            lines = [line(each, "error") for each in self.problems] + [line(each, "warning") for each in self.warnings]
            if lines:
                put("\n".join(lines))
        count = len(self.problems)
        say(f"{self.looked_at}: " + (f"{count} problem{'s' * (count != 1)}" if count else "all is well"))


def check_everything(config: Path | None, env: Mapping[str, str]) -> Checked:
    """Return every problem of settings, rule files and expectations; also what an empty store would refuse of them."""
    problems: tuple[Problem, ...] = ()
    try:
        settings = load_settings(config, env, certificates=True)
    except ConfigError as error:
        problems = error.problems
        settings = Settings(rules=(config.parent if config else Path()) / "rules")
    folder = read_folder(settings.rules)
    problems = (*problems, *_placed(folder.problems, settings.rules))
    warnings: tuple[Problem, ...] = ()
    if not folder.problems:
        seed = check_change(None, folder.components, verb=False, positions=folder.positions)
        problems = (*problems, *_placed((*seed, *_unmet(folder)), settings.rules))
        warnings = _placed(warnings_of(folder.components, folder.positions, now_s=time.time()), settings.rules)
    count = len(folder.files) + len(folder.frozen)
    name = _near(config) if config is not None else "no config.yaml"
    looked_at = f"{name}, {count} rule file{'s' * (count != 1)} in {_near(settings.rules)}"
    return Checked(tuple(sorted(problems)), warnings, looked_at)


def _unmet(folder: RuleFolder) -> tuple[Problem, ...]:
    if folder.expect is None:
        return ()
    rules = rules_of(folder, epoch="files", who="files", why="", at="1970-01-01T00:00:00Z")
    return check_expectations(compile_table(rules), folder.expect.values, positions=folder.expect.positions)


def _placed(problems: Iterable[Problem], folder: Path) -> tuple[Problem, ...]:
    """Name the file of each problem as seen from the working directory."""
    return tuple(replace(each, at=_seen(each.at, folder)) for each in problems)


def _seen(at: Position, folder: Path) -> Position:
    return replace(at, file=_near(Path(at.file) if Path(at.file) == folder else folder / at.file))


def _near(path: Path) -> str:
    """Name a path from the working directory if it is below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def text_line(problem: Problem, level: str) -> str:
    """Word a problem for a terminal: a place that an editor can jump to, then what is wrong."""
    if level != "warning":
        return str(problem)
    return f"{problem.at}: warning: " + (f"{problem.where}: " if problem.where else "") + problem.what


def github_line(problem: Problem, level: str) -> str:
    """Word a problem as a workflow command, so that it stands beside the line in a pull request."""
    at = problem.at
    place = f"file={_escaped(at.file, ',:')}" + (f",line={at.line},col={at.column}" if at.line else "")
    text = f"{problem.where}: {problem.what}" if problem.where else problem.what
    return f"::{level} {place}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    for char in "%\r\n" + more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def listed(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Return problems ready for JSON."""
    return [
        {"file": each.at.file, "line": each.at.line, "column": each.at.column, "where": each.where, "what": each.what}
        for each in problems
    ]
