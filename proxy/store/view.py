"""
A look at the store: the rules and all emergencies as they are at one moment, in one call.

Tells apart what is missing, what is refused and what is newer; never hands out half a rule set. Writes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from proxy.core.adopt import Missing, Read, Refusal, Refused, Value
from proxy.core.brief import brief
from proxy.core.emergency import Emergency, read_emergency
from proxy.core.errors import ConfigError, NewerSchema, Unreadable
from proxy.core.problems import in_brief
from proxy.core.rules import RuleSet, parse_rule_set
from proxy.store.link import Link, any_after, text_of
from proxy.store.scripts import load_script

RULES = "rules"
EMERGENCY = "emergency:"
LOOK = load_script("look", "token")
NAMES_KEPT = 1_000  # emergencies that are looked at each time; more than any fleet has components
SCAN_STEP = 1_000
ABSENT = "absent"
WHY = 800  # characters of why a document is refused: an alarm says more around it


@dataclass(frozen=True, slots=True)
class Found:
    """What the key `rules` held; `token` names exactly that, for a compare-and-set."""

    token: str
    read: Read

    @property
    def rule_set(self) -> RuleSet | None:
        """The rule set, if it is one."""
        return self.read.rule_set if isinstance(self.read, Value) else None


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of the store; `run_id` and `role` are empty where the server does not say."""

    run_id: str
    role: str
    found: Found
    emergencies: dict[str, Emergency] = field(default_factory=dict)


class View:
    """
    Looks at one store again and again: what it knows already is neither sent nor parsed a second time.

    Emergencies are found by name: those of `components`, those seen before, and those that one step of SCAN a look
    comes across, so that a mistyped one is found in a store of any size and no look is ever expensive.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known = Found("", Missing())
        self._names: dict[str, None] = {}
        self._cursor = "0"

    def expect(self, names: Iterable[str]) -> None:
        """Look for these emergencies by name from now on: as pushed, or of new components."""
        for name in names:
            if len(self._names) < NAMES_KEPT:
                self._names[name] = None

    async def look(self, components: Iterable[str] = ()) -> Look:
        """Return the store as it is now; raises StoreError and then knows no more than before."""
        asked, self._names = self._names, {}  # what is pushed while the look is under way comes on top
        names = dict.fromkeys(("all", *components, *asked))
        prefix = self._link.key(EMERGENCY)
        known = self._known
        args: list[str | int] = [
            known.token,
            self._cursor,
            any_after(prefix),
            SCAN_STEP,
            *(prefix + name for name in names),
        ]
        try:
            answer = await self._link.run(LOOK, [self._link.key(RULES)], args)
        except BaseException:
            self.expect(asked)
            raise
        run_id, role, token, document, cursor, flat = answer
        self._cursor = text_of(cursor)
        emergencies = _emergencies(flat, prefix)
        pushed, self._names = self._names, {}
        self.expect([*emergencies, *pushed])  # in this order: of very many the same ones are looked at each time
        return Look(text_of(run_id), text_of(role), await self._noted(known, text_of(token), document), emergencies)

    async def rules(self) -> Found:
        """Return what the key `rules` holds now, and nothing else; raises StoreError."""
        known = self._known
        answer = await self._link.run(LOOK, [self._link.key(RULES)], [known.token, "0", "", 0])
        return await self._noted(known, text_of(answer[2]), answer[3])

    async def _noted(self, known: Found, token: str, document: bytes | None) -> Found:
        """Return what an answer found; without a document it is what was `known` when it was asked for."""
        if token == known.token:
            return known  # not `self._known`: an answer on another connection may have come first
        # in a thread: a document of any size holds up nobody but who asked for it
        found = Found(token, await asyncio.to_thread(judged, token, document, self._link.key(RULES)))
        self._known = found
        return found


def judged(token: str, document: bytes | None, source: str) -> Read:
    """Say what a value of the key `source` is to us."""
    if token == ABSENT:
        return Missing()
    if document is None:
        kind, _, what = token.partition(":")
        why = f"is a {what}, should be a string" if kind == "type" else f"has {what} bytes, more than any rule set"
        return Refused(Refusal.UNREADABLE, f"{source} {why}")
    try:
        return Value(parse_rule_set(document, source))
    except NewerSchema as exc:
        return Refused(Refusal.NEWER, brief(str(exc), WHY))
    except Unreadable as exc:
        return Refused(Refusal.UNREADABLE, brief(str(exc), WHY))
    except ConfigError as exc:
        return Refused(Refusal.INVALID, in_brief(exc.problems))
    except Exception as exc:  # a document that trips our own parser must not end the following of emergencies
        return Refused(Refusal.INVALID, brief(f"{source}: {type(exc).__name__}: {exc}", WHY))


def _emergencies(flat: list[Any], prefix: str) -> dict[str, Emergency]:
    rows = zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)
    return {
        text_of(name).removeprefix(prefix): read_emergency(
            value if kind == b"string" else f"({text_of(kind)})", pttl if pttl >= 0 else None
        )
        for name, kind, value, pttl in rows
    }
