"""
Emergencies: what the keys that people set by hand mean, component by component, and what is wrong with them.

An emergency sends all reads of a component to one side at once. It moves no write, and nobody checked the key
before it was set: whatever stands there gets a meaning, the safe one, and an alarm where it cannot be what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from proxy.core.brief import MOST_TOLD, NAME_CHARACTERS, brief
from proxy.core.model import Component, Phase, Side
from proxy.core.problems import Alarm, first_alarms, shown, suggestion

ALL = "all"
HINTS = 3  # more unknown keys than these are no slips, and looking for what was meant takes long
_SIDES = {side.value: side for side in Side}
_ENDED = frozenset({"", "off", "none", "no", "false", "0", "null"})  # what somebody sets who wants to end one


@dataclass(frozen=True, slots=True)
class Emergency:
    """
    One key as it was found: `side` None when it names neither; `pttl_ms` None when it stays until it is deleted.

    `at` is its place, `file:line:col`, when it stands in the emergency file.
    """

    side: Side | None
    raw: str
    pttl_ms: int | None = None
    at: str = ""

    def named(self, key: str) -> str:
        """Return what people find it by: the key in the store, or the place in the file."""
        name = brief(key, NAME_CHARACTERS)
        return f"{self.at}: {name}" if self.at else f"emergency:{name}"


@dataclass(frozen=True, slots=True)
class Interpretation:
    """`sides` has every component that is under an emergency, and nothing else; `alarms` what people must see."""

    sides: dict[str, Side]
    alarms: tuple[Alarm, ...]


def read_emergency(raw: str | bytes, pttl_ms: int | None = None, at: str = "") -> Emergency:
    """Return what one value says: surrounding space and case count for nothing."""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    word = text.strip().lower()
    return Emergency(_SIDES.get(word), text, pttl_ms, at)


def emergency_values(keys: Mapping[str, Emergency]) -> dict[str, str]:
    """Return what the first keys say, as a heartbeat tells of them."""
    first = islice(keys.items(), MOST_TOLD)
    return {brief(key, NAME_CHARACTERS): brief(each.raw, NAME_CHARACTERS) for key, each in first}


def interpret(
    store: Mapping[str, Emergency], components: Mapping[str, Component], file: Mapping[str, Emergency] | None = None
) -> Interpretation:
    """
    Return which components are under an emergency, from the keys in the store and in `emergency_file`.

    Both are given by component name or `all`. A component's own key beats `all`; anything in the store that
    concerns a component beats the file. Of very many alarms the first are told, those of components before all others.
    """
    sides: dict[str, Side] = {}
    keys = (store, file or {})
    alarms = [alarm for each in keys for alarm in _unreadable_keys(each, components)]
    for name, component in components.items():
        found = _of(name, store) or _of(name, file or {})
        if found is None:
            continue
        side, why = _heeded(component, *found)
        if side is not None:
            sides[name] = side
        if why is not None:
            alarms.append(Alarm("emergency_ignored", why, name))
    alarms += [alarm for each in keys for alarm in _unknown_keys(each, components)]
    return Interpretation(sides, first_alarms(alarms))


def still_heeded(name: str, keys: Mapping[str, Emergency], components: Mapping[str, Component]) -> tuple[str, ...]:
    """Say what still holds once the emergency `name` is ended; `keys` are those that are left."""
    sides = interpret(keys, components).sides
    if name == ALL:
        held = [f"{each} still goes to {side} by emergency:{each}" for each, side in sides.items() if each in keys]
        return tuple(held)
    if name in sides and ALL in keys:
        return (f"{name} still goes to {sides[name]} by emergency:{ALL}; `banyan emergency {ALL} off` ends that",)
    return ()


def _of(name: str, keys: Mapping[str, Emergency]) -> tuple[str, Emergency] | None:
    """Return the key that concerns a component: its own, else `all`."""
    for key in (name, ALL):
        if key in keys:
            return key, keys[key]
    return None


def _heeded(component: Component, key: str, emergency: Emergency) -> tuple[Side | None, str | None]:
    """Return the side that an emergency sends a component's reads to, and why it does not when it does not."""
    phase = component.effective_phase
    own = key == component.component
    said = f"{emergency.named(key)} = {emergency.side or 'unreadable'} is ignored"
    if phase is Phase.RETIRED:
        return None, f"{said}: {component.component} is retired, legacy gets no request of it any more"
    if emergency.side is None:
        if phase is Phase.CUTOVER:
            return None, f"{said}: {component.component} is in cutover, where legacy need not be the safe side"
        return Side.LEGACY, None
    if emergency.side is Side.MODERN and phase.rank < Phase.CANARY.rank:
        # for `all` this is as it should be: it means the components that are there already
        return None, f"{said}: {component.component} is in {phase}, modern is heeded from canary on" if own else None
    return emergency.side, None


def _unreadable_keys(keys: Mapping[str, Emergency], components: Mapping[str, Component]) -> Iterator[Alarm]:
    for key, emergency in keys.items():
        if emergency.side is None and (key == ALL or key in components):
            yield Alarm("emergency_unreadable", _unreadable(key, emergency), key)


def _unknown_keys(keys: Mapping[str, Emergency], components: Mapping[str, Component]) -> Iterator[Alarm]:
    unknown = 0
    for key, emergency in keys.items():
        if key != ALL and key not in components:
            unknown += 1
            hint = suggestion(key, (*components, ALL)) if unknown <= HINTS else ""
            yield Alarm("emergency_unknown_component", f"{emergency.named(key)}: no component is called so{hint}", key)


def _unreadable(key: str, emergency: Emergency) -> str:
    raw, should = emergency.raw, "should be legacy or modern"
    if raw.strip().lower() not in _ENDED:
        hint = suggestion(raw, Side)
    elif emergency.at:
        hint = "; to end it, take the line out"
    else:
        hint = f"; to end it, delete the key (`banyan emergency {key} off`)"
    what = f"{should}, is {shown(raw)}: it counts as legacy before cutover{hint}"
    return f"{emergency.named(key)}: {what}" if emergency.at else f"{emergency.named(key)} {what}"
