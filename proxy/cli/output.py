"""
What a command prints: data to stdout as a table, JSON or YAML; talk to stderr.

Data goes out whole and once. Tables are drawn by `proxy.cli.tables`, which alone imports rich.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

import orjson

from proxy.yamlfile import parse_scalar

PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*( [A-Za-z0-9_./@(-][A-Za-z0-9_./@)(-]*)*")


# C0 but LF, DEL and C1, and what turns or breaks a line unseen: it would steer the terminal that shows it.
UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def emit(document: object, form: Format, table: Callable[[], None]) -> None:
    """Print `document` in the form asked for; `table` draws it for people."""
    if form is Format.TABLE:
        table()
    elif form is Format.JSON:
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
        put(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
    else:
        put("\n".join(yaml_lines(orjson.loads(orjson.dumps(document)))))


def put(text: str) -> None:
    """Print one piece of data."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the operator something that is not data."""
    sys.stderr.write(visible(text if text.endswith("\n") else text + "\n"))
    sys.stderr.flush()


def visible(text: str) -> str:
    """Show what would steer a terminal: names and reasons come from a store where others may write."""
    return UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def yaml_lines(value: object, indent: str = "") -> Iterator[str]:
    """Write JSON values as block YAML; what is not plainly a word is quoted as in JSON, which YAML 1.2 reads alike."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _under(f"{indent}{scalar(key)}:", child, indent)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for child in value:
            lines = list(yaml_lines(child, indent + "  "))
            yield f"{indent}- {lines[0].lstrip(' ')}"
            yield from lines[1:]
    else:
        yield indent + scalar(value)


def _under(key: str, child: object, indent: str) -> Iterator[str]:
    if isinstance(child, (Mapping, list)) and child:
        yield key
        yield from yaml_lines(child, indent + "  ")
    else:
        yield f"{key} {scalar(child)}"


def scalar(value: object) -> str:
    """Write one value on one line."""
    if isinstance(value, str) and PLAIN.fullmatch(value) and parse_scalar(value) == value:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
