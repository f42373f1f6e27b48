"""
Where the migration stands, as one document: from what the store holds and nothing else, so that it needs no gateway.

Pure: (rules, emergency keys, heartbeats, the time) → what `banyan status`, the admin listener and the page show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from proxy.core.adopt import strangers
from proxy.core.answerer import Standing, plain, reads_of, writes_of
from proxy.core.brief import MOST_TOLD, NAME_CHARACTERS, and_more, bounded, brief, told
from proxy.core.changes import LiveChanges
from proxy.core.compared import compared_document, swallowing
from proxy.core.emergency import ALL, Emergency, Interpretation, interpret
from proxy.core.errors import ConfigError
from proxy.core.evidence import Evidence
from proxy.core.merge import ABSENT, differences
from proxy.core.phases import Outlook, outlook
from proxy.core.problems import Alarm, first_alarms
from proxy.core.rules import Component, Origin, RuleSet, Side, parse_component, warnings_of
from proxy.core.times import ago, seconds_of

MOST_LISTED = 200  # of what is wrong in all replicas together
SKEW_LIMIT = 0.2  # of a component's reads with one and the same sticky value: from here on a weight means little
ALWAYS_SHOWN = ("phase", "weight")
_UNFOLLOWED = ["no replica follows these rules until `banyan rules accept`"]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A rule file that a replica does not take; `problem` is worded as `file:line:col: path: what`."""

    component: str
    file: str
    problem: str


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What the document is made of.

    `rules` is None when there are none, or when `fault` says why they cannot be read; `replicas` are heartbeats as
    mappings, `oddities` what stands in their places and is none; `at_s` is the present, in seconds since 1970.
    `store_lost`: it is one replica that speaks, after a cold start from files alone. `live_changes` is the setting of
    whoever asks. `evidence` by component and route.
    """

    rules: RuleSet | None
    emergencies: Mapping[str, Emergency] = field(default_factory=dict)
    replicas: Sequence[Mapping[str, Any]] = ()
    at_s: float = 0.0
    fault: str | None = None
    store_lost: bool = False
    live_changes: LiveChanges = "all"
    oddities: Sequence[str] = ()
    evidence: Mapping[str, Mapping[str, Evidence]] = field(default_factory=dict)


def heartbeat_facts(
    *,
    connected: bool,
    alarms: Iterable[Alarm] = (),
    refused: Iterable[RefusedFile] = (),
    skew: Mapping[str, float] | None = None,
    unclaimed: Iterable[tuple[str, int]] = (),
    sides: Mapping[str, Side] | None = None,
    down: Iterable[Side] = (),
) -> dict[str, Any]:
    """
    Return what a replica puts into `facts` of its heartbeat for this document and for `banyan routes`.

    `skew` has the share of each component's busiest sticky value, 0 to 1; `unclaimed` (first segments, requests);
    `sides` where an emergency sends all reads of a component, by the store or by the replica's own emergency file;
    `down` the sides without a healthy instance.
    """
    return {
        "connected": connected,
        "alarms": [asdict(alarm) for alarm in first_alarms(tuple(alarms))],
        "refused_files": _first([asdict(each) for each in refused], "problem", MOST_TOLD),
        "skew": {name: round(share, 4) for name, share in (skew or {}).items() if share > SKEW_LIMIT},
        "unclaimed": [list(each) for each in unclaimed],
        "sides": {name: str(side) for name, side in (sides or {}).items()},
        "down": sorted(map(str, down)),
    }


def drift_facts(drifts: Iterable[tuple[str, str | None, str]]) -> dict[str, Any]:
    """Return what a replica adds to `facts` of its heartbeat: (component, its file or None, why it is only shown)."""
    found = [{"component": component, "file": file, "why": why} for component, file, why in drifts]
    return {"drifts": _first(found, "why", MOST_TOLD)}


def open_breakers(name: str, replicas: Sequence[Mapping[str, Any]]) -> dict[Side, tuple[str, ...]]:
    """Return the replicas in which the breaker of a component is open, by side; each replica has its own."""
    found: dict[Side, tuple[str, ...]] = {}
    for each in _breakers(name, replicas):
        if each["side"] in tuple(Side):
            side = Side(each["side"])
            found[side] = (*found.get(side, ()), each["replica"])
    return found


def down_everywhere(replicas: Sequence[Mapping[str, Any]]) -> frozenset[Side]:
    """Return the sides that have no healthy instance for any replica."""
    each = [_names(replica, "down") for replica in replicas]
    return frozenset(side for side in Side if each and all(side in down for down in each))


def status_document(facts: Facts) -> dict[str, Any]:
    """Return the document; everything in it is ready for JSON."""
    rules = facts.rules
    components = rules.components if rules is not None else {}
    meant = interpret(facts.emergencies, components)
    alarms = _first(_alarms(meant, facts.replicas), "why", MOST_LISTED)
    refused = _first(_refused(facts.replicas), "problem", MOST_LISTED)
    because = _because(facts, alarms, refused)
    elsewhere = [each for each in _all_drifts(facts.replicas) if each["component"] not in components]
    return {
        "version": rules.version if rules is not None else 0,
        "epoch": rules.epoch if rules is not None else "",
        "degraded": bool(because),
        "because": because,
        "who": rules.who if rules is not None else "",
        "why": rules.why if rules is not None else "",
        "at": rules.at if rules is not None else "",
        "components": {name: _component(facts, rules, name, meant) for name in components} if rules else {},
        "emergencies": _emergencies(facts, components),
        "alarms": alarms,
        "refused": refused,
        "drifts": _first(elsewhere, "why", MOST_LISTED),
        "replicas": [_replica(rules, each) for each in facts.replicas],
    }


def _component(facts: Facts, rules: RuleSet, name: str, meant: Interpretation) -> dict[str, Any]:
    component = rules.components[name]
    ahead = outlook(rules, name)
    unfollowed = _unfollowed(rules, facts.replicas)
    own = _own_emergencies(name, meant, facts.replicas)
    standing = Standing(meant.sides.get(name) or _same_everywhere(own, facts.replicas), unfollowed, facts.store_lost)
    blocked = _UNFOLLOWED if unfollowed else _blocked(name, ahead, meant, facts.replicas)
    return {
        "kind": component.kind,
        "owner": component.owner,
        "after": list(component.after),
        "phase": component.effective_phase,
        "weight": plain(component.weight),
        "reads": reads_of(component, standing),
        "writes": writes_of(component, standing),
        "emergency": _emergency_of(name, facts.emergencies, meant),
        "own_emergencies": own,
        "values": _values(rules, component, facts.at_s),
        "changed": _changed(rules.origins.get(name, {})),
        "going_back": _UNFOLLOWED[0] if unfollowed else ahead.going_back,
        "next": _next(ahead, blocked, facts.live_changes),
        "warnings": [each.what for each in warnings_of({name: component}, now_s=facts.at_s)],
        "breakers": _breakers(name, facts.replicas),
        "skew": _skew(name, facts.replicas),
        "refused": [each for each in _refused(facts.replicas) if each["component"] == name],
        "drifts": _drifts(name, facts.replicas),
        "compared": compared_document(facts.evidence.get(name, {})),
    }


def _next(ahead: Outlook, blocked: list[str], live_changes: LiveChanges) -> dict[str, Any]:
    """Return the next step; where files alone may change the rules it has no verb."""
    by_file = live_changes == "emergency_only" and bool(ahead.verb)
    step = f"{ahead.next_step}, by its rule file" if by_file else ahead.next_step
    return {"step": step, "verb": "" if by_file else ahead.verb, "blocked": blocked}


def _unfollowed(rules: RuleSet, replicas: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether there are replicas with rules, and all of them keep those of another epoch."""
    sources = {str(each.get("id")): each for each in replicas if each.get("source") != "files"}
    held = {name: epoch for name, each in sources.items() if (epoch := str(each.get("epoch") or ""))}
    return bool(held) and len(strangers(rules, held)) == len(held)


def _blocked(name: str, ahead: Outlook, meant: Interpretation, replicas: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what stands against the next step: rules that would refuse it, and what makes it a bad moment."""
    blocked = list(ahead.blocked)
    if not ahead.verb:
        return blocked
    if name in meant.sides:
        blocked.append(f"an emergency sends all reads to {meant.sides[name]}")
    modern = open_breakers(name, replicas).get(Side.MODERN)
    blocked += [f"the breaker of modern is open in {', '.join(modern)}"] if modern else []
    down = [str(replica.get("id")) for replica in replicas if Side.MODERN in _names(replica, "down")]
    return blocked + ([f"modern has no healthy instance for {', '.join(down)}"] if down else [])


def _values(rules: RuleSet, component: Component, now: float) -> dict[str, dict[str, Any]]:
    """Return each value that somebody set or that differs from its file, with who, when and what the file says."""
    name = component.component
    origins = rules.origins.get(name, {})
    in_file = _said_by_file(rules, component)
    shown = component.model_dump(mode="json", by_alias=True)
    values: dict[str, dict[str, Any]] = {}
    for dotted_field in dict.fromkeys((*ALWAYS_SHOWN, *origins, *in_file)):
        value, file_value = in_file.get(dotted_field, (None, None))
        if dotted_field not in in_file:
            value = shown.get(dotted_field, _leaf(shown, dotted_field))
        entry: dict[str, Any] = {"value": value}
        origin = origins.get(dotted_field)
        if origin is not None:
            entry |= origin.model_dump(mode="json")
        if dotted_field in in_file:
            entry["file"] = file_value
        values[dotted_field] = entry | {"said": _said(entry, now)}
    return values


def _leaf(document: Mapping[str, Any], dotted_field: str) -> Any:
    """Find a value by its dotted field; a route's template contains dots and slashes of its own."""
    for key, below in document.items():
        if dotted_field == key:
            return below
        if dotted_field.startswith(f"{key}.") and isinstance(below, Mapping):
            found = _leaf(below, dotted_field[len(key) + 1 :])
            if found is not None:
                return found
    return None


def _said_by_file(rules: RuleSet, component: Component) -> dict[str, tuple[Any, Any]]:
    """Return (live, file) for each field in which the component differs from what its file said last."""
    record = rules.files.get(component.component)
    if record is None or not record.values:
        return {}
    try:
        taken = parse_component(record.values, file=component.component)
    except ConfigError:  # written by a newer build: what its file means is not known here
        return {}
    return {
        edit.field: (None if edit.old is ABSENT else edit.old, None if edit.new is ABSENT else edit.new)
        for edit in differences(component, taken)
    }


def _said(entry: Mapping[str, Any], now: float) -> str:
    """Say a value as in `50 (ana, 12 min ago; file says 25)`."""
    notes = []
    if "who" in entry:
        at = seconds_of(str(entry["at"]))
        notes.append(f"{entry['who']}, {ago(now - at)} ago" if at is not None else str(entry["who"]))
    if "file" in entry:
        notes.append(f"file says {_shown(entry['file'])}")
    return f"{_shown(entry['value'])} ({'; '.join(notes)})" if notes else _shown(entry["value"])


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value) if isinstance(value, str | int | float) else "a mapping"


def _changed(origins: Mapping[str, Origin]) -> dict[str, Any] | None:
    """Return what changed last in a component: the newest of its values' origins, and the fields it set."""
    if not origins:
        return None
    last = max(origins.values(), key=lambda origin: origin.version)
    fields = [name for name, origin in origins.items() if origin.version == last.version]
    return {**last.model_dump(mode="json"), "fields": fields}


def _emergencies(facts: Facts, components: Mapping[str, Component]) -> dict[str, dict[str, Any]]:
    """Return the emergencies that concern a component, and the first of very many others."""
    others = [name for name in facts.emergencies if name != ALL and name not in components]
    unlisted = frozenset(others[MOST_LISTED:])
    listed = {name: each for name, each in facts.emergencies.items() if name not in unlisted}
    return {brief(name, NAME_CHARACTERS): _emergency(name, each) for name, each in listed.items()}


def _emergency(name: str, emergency: Emergency) -> dict[str, Any]:
    left = None if emergency.pttl_ms is None else round(emergency.pttl_ms / 1000, 1)
    key, raw = f"emergency:{brief(name, NAME_CHARACTERS)}", brief(emergency.raw)
    return {"key": key, "side": emergency.side, "raw": raw, "ends_in_s": left}


def _emergency_of(name: str, keys: Mapping[str, Emergency], meant: Interpretation) -> dict[str, Any] | None:
    key = name if name in keys else ALL
    if key not in keys or (key == ALL and name not in meant.sides):
        return None
    return {**_emergency(key, keys[key]), "side": meant.sides.get(name), "heeded": name in meant.sides}


def _own_emergencies(name: str, meant: Interpretation, replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the replicas that send all reads to one side though the store does not say so: by `emergency_file`."""
    if name in meant.sides:
        return []
    own = ((replica, _fact(replica, "sides").get(name)) for replica in replicas)
    return [{"replica": str(replica.get("id")), "side": side} for replica, side in own if isinstance(side, str)]


def _same_everywhere(own: Sequence[Mapping[str, str]], replicas: Sequence[Mapping[str, Any]]) -> Side | None:
    """Return the side that every replica sends all reads to by its own emergency file, None if they differ."""
    sides = {each["side"] for each in own}
    return next((side for side in Side if sides == {side}), None) if len(own) == len(replicas) else None


def _alarms(meant: Interpretation, replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every alarm once, with the replicas that raise it."""
    found: dict[tuple[Any, ...], list[str]] = {(alarm.kind, alarm.why, alarm.component): [] for alarm in meant.alarms}
    for replica in replicas:
        for alarm in _list(replica, "alarms"):
            key = tuple(_word(alarm.get(name)) for name in ("kind", "why", "component"))
            found.setdefault(key, []).append(str(replica.get("id")))
    return [
        {"kind": kind, "why": why, "component": component, "replicas": ids}
        for (kind, why, component), ids in found.items()
    ]


def _refused(replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every refused file's problem once, with the replicas that have the file."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for replica in replicas:
        for each in _list(replica, "refused_files"):
            key = tuple(_word(each.get(name)) for name in ("component", "file", "problem"))
            found.setdefault(key, []).append(str(replica.get("id")))
    return [
        {"component": component, "file": file, "problem": problem, "replicas": ids}
        for (component, file, problem), ids in found.items()
    ]


def _drifts(name: str, replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the replicas whose file of a component is not what is live, though nobody edited it just now."""
    found = (each for each in _all_drifts(replicas) if each["component"] == name)
    return [{"replica": each["replica"], "file": each["file"], "why": each["why"]} for each in found]


def _all_drifts(replicas: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every drift of every replica, also of a component that is not live."""
    for replica in replicas:
        for each in _list(replica, "drifts"):
            words = {name: _word(each.get(name)) for name in ("component", "file", "why")}
            yield {"replica": str(replica.get("id")), **words}


def _list(replica: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield what a replica lists in its facts; another build may say anything there."""
    facts = replica.get("facts")
    listed = facts.get(name) if isinstance(facts, Mapping) else None
    yield from (each for each in listed if isinstance(each, Mapping)) if isinstance(listed, Sequence) else ()


def _names(replica: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the words that a replica lists in its facts; another build may say anything there."""
    facts = replica.get("facts")
    listed = facts.get(name) if isinstance(facts, Mapping) else None
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()


def _word(value: object) -> str | None:
    return None if value is None else brief(str(value))


def _first(found: Sequence[dict[str, Any]], text: str, most: int) -> list[dict[str, Any]]:
    """Return the first entries of very many, their texts cut, and one more whose `text` counts the others."""
    first = [{name: bounded(word) for name, word in each.items()} for each in found[:most]]
    more = len(found) - len(first)
    if more:
        empty = {name: [] if isinstance(word, list) else "" for name, word in found[0].items()}
        first.append({**empty, text: and_more(more)})
    return first


def _fact(replica: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a mapping that a replica has in its facts, an empty one for whatever else another build says there."""
    facts = replica.get("facts")
    found = facts.get(name) if isinstance(facts, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _breakers(name: str, replicas: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the open breakers of a component: (replica, side)."""
    return [
        {"replica": str(replica.get("id")), "side": side}
        for replica in replicas
        for component, _, side in (str(each).partition("/") for each in replica.get("breakers", ()))
        if component == name
    ]


def _skew(name: str, replicas: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the largest share of a component's reads that one sticky value has in any replica, None if all is well."""
    shares = (_fact(replica, "skew").get(name) for replica in replicas)
    return max((float(share) for share in shares if isinstance(share, int | float)), default=None)


def _replica(rules: RuleSet | None, replica: Mapping[str, Any]) -> dict[str, Any]:
    current = rules is not None and (replica.get("epoch"), replica.get("version")) == (rules.epoch, rules.version)
    return {**replica, "current": current}


def _because(facts: Facts, alarms: Sequence[Mapping[str, Any]], refused: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every reason why things are not as they should be, one sentence each."""
    found = [facts.fault] if facts.fault else []
    if facts.rules is None and not facts.fault:
        found.append("no rules were ever published: everything goes to legacy")
    if not facts.replicas:
        found.append("no replica is running")
    for replica in facts.replicas:
        said = replica.get("facts")
        if isinstance(said, Mapping) and said.get("connected") is False:
            found.append(f"replica {replica.get('id')} does not reach the store")
        if facts.rules is not None and not _replica(facts.rules, replica)["current"]:
            found.append(f"replica {replica.get('id')} applies version {replica.get('version')}")
    known = [str(alarm["why"]) for alarm in alarms] + [str(each["problem"]) for each in refused]
    found += known
    for replica in facts.replicas:
        said_more = map(str, replica.get("refusals", ()))
        found += (each for each in said_more if not any(each.endswith(why) for why in known))
    found += facts.oddities
    found += (f"{name}: {why}" for name, routes in facts.evidence.items() if (why := swallowing(routes)))
    if facts.rules is not None:
        found += [
            f"{name}: one sticky value makes {share:.0%} of its reads in a replica; its weight means little"
            for name in facts.rules.components
            if (share := _skew(name, facts.replicas)) is not None
        ]
    return list(told(dict.fromkeys(found), MOST_LISTED))
