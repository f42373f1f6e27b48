"""
Fail static: what a replica does with what the store holds, given what it holds itself.

Missing is not empty, older is not newer, and garbage is not a rule set: what is in force stays in force unless the
store offers its rightful successor. Decides only; reading, writing back and raising the alarm are done elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.emergency import Emergency
from proxy.core.model import RuleSet
from proxy.core.problems import Alarm

_FOREIGN = "ruleset_foreign"
_STEP = 2**32  # from a version to the next that is believed: no replica misses as many publications
_FIRST, _FIRST_UNHELD = 2**48, 2**52  # versions up to here are believed anyhow; MOST_VERSIONS is far beyond either


class Refusal(StrEnum):
    """Why the value in the store is no rule set for this replica."""

    UNREADABLE = "unreadable"  # no JSON object, of another Redis type, or too large
    INVALID = "invalid"  # an object of a schema we know, whose values are no rules
    NEWER = "newer"  # written by a newer build for things this one does not know


@dataclass(frozen=True, slots=True)
class Value:
    """The store holds this rule set."""

    rule_set: RuleSet


@dataclass(frozen=True, slots=True)
class Missing:
    """The store was read and holds no rules."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The store holds something that is refused whole."""

    refusal: Refusal
    why: str


Read = Value | Missing | Refused


@dataclass(frozen=True, slots=True)
class Adopt:
    """The store's rule set comes into force."""

    rule_set: RuleSet
    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """What is held stays in force, and the store stays as it is."""

    alarm: Alarm | None = None


@dataclass(frozen=True, slots=True)
class WriteBack:
    """What is held stays in force and goes back into the store, unless that holds a higher version by then."""

    alarm: Alarm


Decision = Adopt | Keep | WriteBack


class Condition(StrEnum):
    """What one read told about the store as a whole: whether a key that is gone was taken away by somebody."""

    WHOLE = "whole"  # it holds the set in force, or its successor, or there is nothing yet that could be lost
    LOST = "lost"  # it was wiped, went back, or was filled with garbage
    FOREIGN = "foreign"  # it holds the rules of another migration, or of this one rebuilt


def decide(held: RuleSet | None, read: Read, *, same_run: bool = True) -> Decision:
    """
    Decide about one successful read of the store.

    `held` is what came from the store or a snapshot of it, now or before a restart; rules that were only ever read
    from files are not held in this sense. `same_run` says that the server's `run_id` is that of the read before.
    Several replicas may write back at once: the store takes the highest version, and those with a lower one adopt
    it with their next read.
    """
    if isinstance(read, Refused):
        return _on_refused(held, read)
    if isinstance(read, Missing):
        return _on_missing(held, same_run=same_run)
    found = read.rule_set
    held_version = held.version if held is not None else 0
    if is_forged(found.version, held_version):
        return _on_refused(held, Refused(Refusal.INVALID, forged_words(found.version, held_version)))
    if held is None:
        return Adopt(found)
    if found.epoch == held.epoch:
        return _on_same_epoch(held, found)
    return _on_foreign_epoch(held, found)


def condition_of(decision: Decision) -> Condition:
    """Return the condition of the store behind a decision."""
    if isinstance(decision, WriteBack):
        return Condition.LOST
    if isinstance(decision, Keep) and decision.alarm is not None and decision.alarm.kind == _FOREIGN:
        return Condition.FOREIGN
    return Condition.WHOLE


@dataclass(frozen=True, slots=True)
class Emergencies:
    """What is in force, and which of it goes back into the store (with the time that remains)."""

    in_force: dict[str, Emergency]
    restore: dict[str, Emergency]


def decide_emergencies(
    held: Mapping[str, Emergency], found: Mapping[str, Emergency], store: Condition, *, same_run: bool
) -> Emergencies:
    """
    Decide about the emergency keys of one read of the store.

    `held` are those in force, with the time that remains, without those that ran out. What the store says, it says;
    one that is gone was ended by somebody if the store is whole and still the same run of the same server: one that
    was restarted, or replaced, may have come back with older keys beside the right rules. Right after its own start
    a replica takes the store's word (`same_run` true): what its snapshot remembers is older.
    """
    if store is Condition.WHOLE and same_run:
        return Emergencies(dict(found), {})
    lost = {name: emergency for name, emergency in held.items() if name not in found}
    return Emergencies({**found, **lost}, {} if store is Condition.FOREIGN else lost)


def is_forged(version: int, held: int) -> bool:
    """
    Say whether a version cannot come from publications; `held` is the highest that is known otherwise, 0 for none.

    Once adopted it would leave no room below MOST_VERSIONS for those that follow: nothing could be taken back.
    """
    return version > (max(_FIRST, held + _STEP) if held else _FIRST_UNHELD)


def forged_words(version: int, held: int) -> str:
    """Say in a sentence what is wrong with a forged version."""
    return f"the store holds version {version}, which no publication led to" + (f" from {held}" if held else "")


def next_version(held: Iterable[int]) -> int:
    """Return the version of the next publication: above every version that the store or any replica holds."""
    return max(held, default=0) + 1


def accepting(rule_set: RuleSet, epochs: Iterable[str]) -> RuleSet:
    """Return the set that replicas holding one of `epochs` will adopt: an operator says that it supersedes theirs."""
    named = (*rule_set.accepts, *(epoch for epoch in epochs if epoch != rule_set.epoch))
    return rule_set.model_copy(update={"accepts": tuple(dict.fromkeys(named)), "seed": False})


def strangers(rule_set: RuleSet, held: Mapping[str, str]) -> tuple[str, ...]:
    """Return the replicas that keep rules of another epoch; `held` has the epoch of each by its id, empty for none."""
    followed = ("", rule_set.epoch, *rule_set.accepts)
    return tuple(replica for replica, epoch in held.items() if epoch not in followed)


def _on_refused(held: RuleSet | None, read: Refused) -> Decision:
    if read.refusal is Refusal.NEWER:
        return Keep(Alarm("ruleset_newer", f"the store's rules are for a newer build and not followed: {read.why}"))
    kind = f"ruleset_{read.refusal}"
    if held is None:
        return Keep(Alarm(kind, f"the store's rules are refused: {read.why}"))
    return WriteBack(Alarm(kind, f"the store's rules are refused, version {held.version} is written back: {read.why}"))


def _on_missing(held: RuleSet | None, *, same_run: bool) -> Decision:
    if held is None:
        return Keep()
    how = "somebody deleted the rules" if same_run else "the store came back without the rules"
    return WriteBack(Alarm("ruleset_missing", f"{how}; version {held.version} is written back"))


def _on_same_epoch(held: RuleSet, found: RuleSet) -> Decision:
    if found.version > held.version:
        return Adopt(found)
    if found.version < held.version:
        went = f"from {held.version} to {found.version}"
        return WriteBack(Alarm("ruleset_regressed", f"the store went back {went}; {held.version} is written back"))
    if found == held:
        return Keep()
    why = f"the store holds another version {found.version} (by {found.who}) than was published; it is followed"
    return Adopt(found, Alarm("ruleset_diverged", why))


def _on_foreign_epoch(held: RuleSet, found: RuleSet) -> Decision:
    if held.epoch in found.accepts:
        return Adopt(found)
    if held.seed and found.seed:
        return _between_seeds(held, found)
    if held.seed:
        return Adopt(found)  # ours was only ever the files' first word
    if found.seed:
        what = f"somebody seeded an emptied store from files; version {held.version} is written back"
        return WriteBack(Alarm("ruleset_seeded_over", what))
    what = (
        f"the store holds rules of another epoch ({found.epoch}, version {found.version}, by {found.who}); version "
        f"{held.version} of {held.epoch} stays in force until `banyan rules accept`"
    )
    return Keep(Alarm(_FOREIGN, what))


def _between_seeds(held: RuleSet, found: RuleSet) -> Decision:
    """Of two seeds the older one stays, so that all replicas agree which."""
    if (held.at, held.epoch) < (found.at, found.epoch):
        return WriteBack(Alarm("ruleset_seeded_over", "somebody seeded the store anew; the first seed is written back"))
    return Adopt(found)
