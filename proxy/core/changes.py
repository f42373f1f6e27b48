"""
What an operator wishes, as the rule set that would have to be published for it.

Pure: (rules in force, wish) → `Draft`, or the reason why not. There is one way to change the rules: whatever is
decided here is published by `store.rules`, for which the version that a draft was made from has to be the live one.
Who, why and when are added there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from proxy.core.adopt import accepting, strangers
from proxy.core.errors import ConfigError, GatewayError, NotAllowed
from proxy.core.merge import ABSENT, Edit, differences
from proxy.core.problems import Positions, either, problems_of, shown, suggestion
from proxy.core.rules import (
    Component,
    ComponentKind,
    Origin,
    Phase,
    RuleSet,
    Side,
    check_change,
    check_components,
    warnings_of,
)
from proxy.core.scalars import checked_percent

LiveChanges = Literal["all", "emergency_only"]

FOLLOW = "auto"  # instead of a phase: none of its own, it follows the weight


class BadWish(GatewayError):
    """The wish makes no sense whatever the rules are: a weight of 140, a phase that there is none of."""


class Unknown(BadWish):
    """The wish names a component that there is none of; the text suggests one."""


class FileState(Protocol):
    """A rule file as it was read: its values over `_defaults.yaml`, their hash, the component they make, the places."""

    @property
    def hash(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Any]: ...
    @property
    def rules(self) -> Component: ...
    @property
    def positions(self) -> Positions: ...


@dataclass(frozen=True, slots=True)
class Drift:
    """
    A component that is not live as its file says; `where` it stands: `live` or `file` alone, or `both`.

    `edits` go from live to file; `origins` say who set the live values of those fields, where that is known.
    """

    component: str
    where: Literal["both", "live", "file"]
    edits: tuple[Edit, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def sentences(self) -> tuple[str, ...]:
        """Say each field that differs: `users.weight: live 0 (by bob, 2026-…), file 50`."""
        return tuple(
            f"{self.component}.{edit.field}: live {_word(edit.old)}{self._whose(edit)}, file {_word(edit.new)}"
            for edit in self.edits
        )

    def _whose(self, edit: Edit) -> str:
        origin = self.origins.get(edit.field)
        return f" (by {origin.who}, {origin.at})" if origin is not None else ""


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A change that may be published.

    `edits` are the fields that change, by component; without any there is nothing to publish, unless `always`.
    `warnings` are what the change brings up that is allowed and perhaps not meant.
    """

    rules: RuleSet
    edits: Mapping[str, tuple[Edit, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    always: bool = False

    @property
    def is_change(self) -> bool:
        """Whether there is anything to publish."""
        return self.always or bool(self.edits)

    def sentences(self) -> tuple[str, ...]:
        """Say each field that changes: `users.weight: 5 → 25`."""
        return tuple(f"{name}.{edit}" for name, edits in self.edits.items() for edit in edits)


def set_weight(rules: RuleSet, name: str, weight: object, live_changes: LiveChanges = "all") -> Draft:
    """Give modern another share of a component's reads, in percent."""
    component = component_of(rules, name)
    return _verb(rules, _changed(component, weight=weight_of(weight)), live_changes)


def set_phase(rules: RuleSet, name: str, phase: Phase | None, live_changes: LiveChanges = "all") -> Draft:
    """Move a component to another phase; None: it follows the weight."""
    component = component_of(rules, name)
    return _verb(rules, _changed(component, phase=phase), live_changes)


def rollback(rules: RuleSet, name: str, live_changes: LiveChanges = "all") -> Draft:
    """
    Take a component back: no read goes to modern by weight any more, and what keeps the sides equal goes on.

    A component without a phase of its own is `off` at weight 0. One of kind entity then gets the phase it had by
    its weight, because `off` would end the copying too. From `retired` it goes back to canary.
    """
    component = component_of(rules, name)
    phase = component.effective_phase
    if phase is Phase.CUTOVER:
        raise NotAllowed(f"{name} is in cutover: going back means to swap the write primary, which is not built yet")
    if phase is Phase.RETIRED or (phase is Phase.CANARY and component.kind is ComponentKind.ENTITY):
        target = _changed(component, weight=0, phase=Phase.CANARY)
    else:
        target = _changed(component, weight=0)
    draft = _verb(rules, target, live_changes)
    return Draft(draft.rules, draft.edits, (*draft.warnings, *_still_on_modern(target)))


def undo(rules: RuleSet, components: Mapping[str, Component], live_changes: LiveChanges = "all") -> Draft:
    """Take one publication back; `components` are those in force without what it changed."""
    return _checked(drafted(rules, components), rules, live_changes, "")


def accept(rules: RuleSet, epochs: Iterable[str]) -> Draft:
    """
    Declare the published rules the successor of what replicas hold from other epochs, so that those follow.

    Raises NotAllowed when no replica holds anything else.
    """
    foreign = sorted({epoch for epoch in epochs if epoch and epoch != rules.epoch} - set(rules.accepts))
    if not foreign:
        raise NotAllowed(f"every replica holds rules of epoch {rules.epoch}: there is nothing to accept")
    return Draft(accepting(rules, foreign), always=True)


def check_followed(rules: RuleSet, held: Mapping[str, str]) -> tuple[str, ...]:
    """
    Return a warning when some live replicas keep rules of another epoch, and so would not follow a change of these.

    `held` has the epoch of each replica by its id, empty for one without rules. Raises NotAllowed when no replica
    follows: a change would be published and mean nothing.
    """
    others = strangers(rules, held)
    if not others:
        return ()
    keep = f"{', '.join(others)} keep{'s' * (len(others) == 1)} rules of another epoch than the published ones"
    accept = "`banyan rules accept` has every replica follow the published rules, an emergency works all the same"
    if len(others) == sum(map(bool, held.values())):
        raise NotAllowed(f"no replica would follow: {keep}; {accept}")
    return (f"{keep} and will not follow; {accept}",)


def drift_of(rules: RuleSet, files: Mapping[str, FileState]) -> tuple[Drift, ...]:
    """Return where the rule files say something else than what is live, by component."""
    found = []
    for name in dict.fromkeys((*rules.components, *files)):
        live, file = rules.components.get(name), files.get(name)
        if live is None or file is None:
            found.append(Drift(name, "file" if live is None else "live"))
        elif fields := differences(live, file.rules):
            known = rules.origins.get(name, {})
            origins = {edit.field: known[edit.field] for edit in fields if edit.field in known}
            found.append(Drift(name, "both", fields, origins))
    return tuple(found)


def component_of(rules: RuleSet | None, name: str) -> Component:
    """Return a component by its name; raises Unknown."""
    components = rules.components if rules is not None else {}
    if name not in components:
        raise Unknown(f"no component is called {name!r}{hint_of(name, components)}")
    return components[name]


def hint_of(name: str, known: Iterable[str]) -> str:
    """Suggest the name that was meant, or say which there are."""
    names = tuple(known)
    if not names:
        return ": there are no components yet"
    return suggestion(name, names) or f"; there are {', '.join(sorted(names))}"


def weight_of(weight: object) -> float:
    """Return a weight in percent; raises BadWish."""
    try:
        return checked_percent(weight)
    except ValueError as exc:
        raise BadWish(f"weight {exc}") from None


def phase_of(word: str) -> Phase | None:
    """Return the phase that a word names, None for `auto`; raises BadWish."""
    text = word.strip().lower()
    if text == FOLLOW:
        return None
    try:
        return Phase(text)
    except ValueError:
        raise BadWish(f"phase should be {either((*Phase, FOLLOW))}, is {word!r}{suggestion(text, Phase)}") from None


def side_of(word: str) -> Side | None:
    """Return the side that a word names, None for `off`; raises BadWish."""
    text = word.strip().lower()
    if text == "off":
        return None
    try:
        return Side(text)
    except ValueError:
        hint = suggestion(text, (*Side, "off"))
        raise BadWish(f"an emergency should be legacy, modern or off, is {word!r}{hint}") from None


def drafted(rules: RuleSet, components: Mapping[str, Component], **more: Any) -> Draft:
    """Return the draft in which `components` follow on what is in force; checks nothing."""
    names = (*components, *(name for name in rules.components if name not in components))
    found = {name: differences(rules.components.get(name), components.get(name)) for name in names}
    before = {str(each) for each in warnings_of(rules.components)}
    brought_up = (str(each) for each in warnings_of(components))
    return Draft(
        rules.model_copy(update={"components": dict(components), **more}),
        {name: fields for name, fields in found.items() if fields},
        tuple(each for each in brought_up if each not in before),
    )


def _verb(rules: RuleSet, changed: Component, live_changes: LiveChanges) -> Draft:
    """Return the draft with one component changed by name."""
    draft = drafted(rules, {**rules.components, changed.component: changed})
    return _checked(draft, rules, live_changes, changed.component)


def _checked(draft: Draft, rules: RuleSet, live_changes: LiveChanges, name: str) -> Draft:
    """Return the draft after every check that a publication by verb has to pass."""
    if not draft.is_change:
        return draft
    if live_changes == "emergency_only":
        verb = f"banyan emergency {name or 'COMPONENT'} legacy --why …"
        raise NotAllowed(
            "live changes are switched off (live_changes: emergency_only): edit the rule file; "
            f"`{verb}` takes reads back at once all the same"
        )
    known = set(check_components(rules.components))
    if problems := [each for each in check_components(draft.rules.components) if each not in known]:
        raise ConfigError(problems)
    if problems := list(check_change(rules, draft.rules.components, verb=True)):
        raise NotAllowed("; ".join(f"{each.at}: {each.what}" for each in problems))
    return draft


def _changed(component: Component, **values: Any) -> Component:
    try:
        return component.changed(**values)
    except ValidationError as exc:
        raise ConfigError(problems_of(exc, {}, component.component, Component)) from exc


def _word(value: object) -> str:
    if value is ABSENT:
        return "nothing"
    if isinstance(value, list):
        return f"[{', '.join(map(_word, value))}]"
    return "{}" if value == {} else shown(value).strip("`")


def _still_on_modern(component: Component) -> tuple[str, ...]:
    pinned = [pin for pin in component.pin if pin.side is Side.MODERN]
    if not pinned or component.effective_phase is not Phase.CANARY:
        return ()
    verb = f"`banyan emergency {component.component} legacy --why …`"
    return (f"{component.component}: callers pinned to modern by {pinned[0].header} stay there; {verb} moves them too",)
