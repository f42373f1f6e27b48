"""
The Lua scripts of the store, each a file beside this one; `token.lua` is put before those that compare.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it; `sha` is the name under which the server remembers it."""

    name: str
    text: bytes
    sha: str


def load_script(name: str, *before: str) -> Script:
    """Return the script `<name>.lua`, with the files of `before` in front of it."""
    folder = resources.files("proxy.store")
    text = b"\n".join((folder / f"{part}.lua").read_bytes() for part in (*before, name))
    return Script(name, text, hashlib.sha1(text).hexdigest())
