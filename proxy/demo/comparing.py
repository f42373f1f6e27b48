"""
Scenes of the demo in which the two sides are compared before anybody moves: four defects are found, healed and closed.

Nobody who reads is told: what modern says is asked for unseen, and legacy answers everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.demo.defects import Defect
from proxy.demo.pasting import pasted, rules_in
from proxy.demo.play import Play
from proxy.demo.sought import COMPARED, PLACES, RULES, SOUGHT, place_of
from proxy.demo.telling import met

FOUND_S = 30.0  # the claim: all defects are found by then
WAIT_S = 60.0  # for everything that nothing is claimed of: machines differ
EVERY_S = 0.25
QUIET_S = 2.0  # what is found is told each second, what was written to is looked at again after one
EQUAL = 150  # comparisons before anything is planted
KNOWN_PCT = 2.0  # the bound that is waited for: some 150 users
WHY, HEALED = "compare before anybody moves", "healed in modern"

Cluster = Mapping[str, Any]  # as `banyan mismatches -o json` has it
Documents = Mapping[str, Mapping[str, Any]]  # by component, what `banyan status -o json` has at `compared`


async def compare(play: Play) -> None:
    play.teller.scene(
        "Compared, unseen",
        "Nobody moves yet. Modern is asked for every read, too, when its reader has the answer, and both are compared.",
    )
    start_s = play.now()
    await _shadow(play)
    await _equal(play)
    found = await _find(play)
    await _heal(play)
    await _paste(play, await _noise(play))
    await _close(play, found)
    await _bound(play)
    _unseen(play, start_s)
    for component in ("users", "configuration"):
        await _phase(play, component, "canary", "its next step")


async def still_equal(play: Play) -> None:
    play.teller.scene(
        "Compared to the end", "Modern has failed and recovered, readers went to and fro: no false alarm."
    )
    clusters = await _clusters(play)
    wrong = [each for each in clusters if each["status"] != "closed" or place_of(each) not in PLACES]
    compared = _count(await _compared(play))
    play.teller.claim(
        "nothing was found that is not there",
        f"{len(wrong)} mismatches beside the {len(clusters) - len(wrong)} closed ones, {compared:,} comparisons",
        not wrong and compared > 0,
    )


# Before


async def _shadow(play: Play) -> None:
    for component in COMPARED:
        await _phase(play, component, "shadow", WHY)


async def _phase(play: Play, component: str, phase: str, why: str) -> None:
    play.teller.typed(f'banyan phase {component} {phase} --why "{why}"')
    await play.stage.banyan("phase", component, phase, "--why", why)


async def _equal(play: Play) -> None:
    async def enough() -> bool:
        found = await _compared(play)
        return set(found) == set(COMPARED) and _count(found) >= EQUAL

    with play.teller.busy("comparing"):
        await met(enough, WAIT_S, EVERY_S)
    found, clusters = await _compared(play), await _clusters(play)
    play.teller.claim(
        "two sides that are equal are found equal",
        f"{_count(found)} comparisons in {len(found)} components, "
        f"{len(clusters)} mismatches, though every list says when it was made",
        set(found) == set(COMPARED) and not clusters,
    )


# Found


async def _find(play: Play) -> list[Cluster]:
    """Give modern its defects, and wait until all are found; return the clusters."""
    play.teller.line("Modern gets four defects:")
    for defect in SOUGHT:
        play.teller.typed(f"curl -X PUT {_url(play, defect)}")
        await play.stage.plant(defect)
    with play.teller.busy("waiting until they are found"):
        found_s = await met(lambda: _are_found(play), FOUND_S, EVERY_S)
    play.teller.typed(f"curl {_admin(play)}/mismatches    # as a table: banyan mismatches")
    found = await _clusters(play)
    for defect in SOUGHT:
        play.teller.line(await _told(play, defect, found))
    places = {place_of(each) for each in found}
    clusters = f"{len(places & PLACES)} of {len(PLACES)} clusters, one for each route that shows it, and"
    play.teller.claim(
        "four defects are found, and nothing else",
        f"{clusters} {len(places - PLACES)} others, "
        + (f"not within {FOUND_S:g} s" if found_s is None else f"{found_s:.1f} s after the last was planted"),
        found_s is not None and places == PLACES and len(found) == len(PLACES),
    )
    return found


async def _are_found(play: Play) -> bool:
    return {place_of(each) for each in await _clusters(play)} >= PLACES


async def _told(play: Play, defect: Defect, found: Sequence[Cluster]) -> str:
    """Return in a line what is known of a defect: where, of how many entities, and what the product makes of it."""
    sought = SOUGHT[defect]
    here = [each for each in found if place_of(each) in sought.places]
    if not here:
        return f"{defect}: not found"
    of_entities = next((each for each in here if each["route"].endswith("{id}")), here[0])
    examples = (await play.stage.admin(f"/api/v1/mismatches/{of_entities['id']}"))["examples"]
    hints = "".join(f"; hint: {hint}" for hint in (examples[0].get("hints") or () if examples else ()))
    routes, entities = ", ".join(sorted(each["route"] for each in here)), of_entities["entities"]
    what = f"{sought.component} $.{sought.field}, {of_entities['kind']} {of_entities['shape']}"
    seen = f"{entities} {'entity' if entities == 1 else 'entities'} so far"
    return f"{defect}: {what}, {seen}, by {routes}{hints}"


# Healed


async def _heal(play: Play) -> None:
    for defect in SOUGHT:
        play.teller.typed(f"curl -X DELETE {_url(play, defect)}")
        await play.stage.heal(defect)
    with play.teller.busy("waiting until nothing of them is seen any more"):
        await _quiet(play)


async def _quiet(play: Play) -> None:
    """Wait until no cluster has grown for QUIET_S."""
    before, since_s = -1, play.now()

    async def quiet() -> bool:
        nonlocal before, since_s
        count = sum(each["count"] for each in await _clusters(play))
        if count != before:
            before, since_s = count, play.now()
        return play.now() - since_s >= QUIET_S

    await met(quiet, WAIT_S, EVERY_S)


async def _noise(play: Play) -> dict[str, str]:
    """Return what is proposed for each component, and claim that it is the noise that there is."""
    play.teller.typed("for name in " + " ".join(COMPARED) + "; do banyan noise suggest $name; done")
    texts: dict[str, str] = {}

    async def complete() -> bool:
        said = await asyncio.gather(*(play.stage.banyan("noise", "suggest", name) for name in COMPARED))
        texts.update(zip(COMPARED, said, strict=True))
        return all(rules_in(text) >= RULES for text in texts.values())

    with play.teller.busy("asking for proposals"):
        await met(complete, WAIT_S, EVERY_S)
    play.teller.shown(texts["users"])
    others = {rule for text in texts.values() for rule in rules_in(text) - RULES}
    right = sum(rules_in(text) == RULES for text in texts.values())
    paths = " and ".join(sorted(path for _, path in RULES))
    play.teller.claim(
        "what differs by itself is proposed as rules, and nothing else",
        f"{paths} for {right} of {len(COMPARED)} components, {len(others)} other rules",
        right == len(COMPARED),
    )
    return texts


async def _paste(play: Play, proposed: Mapping[str, str]) -> None:
    """Put the proposals into the rule files, and wait until the gateway goes by them."""
    play.teller.line("What is proposed goes into the rule files, by hand:")
    for name, text in proposed.items():
        path = play.stage.rule_file(name)
        play.teller.typed(f"vi {path}")
        before = await asyncio.to_thread(path.read_text)
        await asyncio.to_thread(path.write_text, pasted(before, text))

    async def in_force() -> bool:
        rules = (await play.stage.admin("/api/v1/rules"))["components"]
        return all(rules[name]["compare"]["ignore"] for name in COMPARED)

    with play.teller.busy("waiting until the rules are in force"):
        in_force_s = await met(in_force, WAIT_S, EVERY_S)
    play.teller.claim(
        "the rules are in force without a restart",
        "they are not" if in_force_s is None else f"{1000 * in_force_s:.0f} ms after the files were written",
        in_force_s is not None,
    )


# After


async def _close(play: Play, found: Sequence[Cluster]) -> None:
    """Close the clusters, each with a reason, as `banyan mismatches close` does."""
    ids, body = sorted(each["id"] for each in found), f'{{"why": "{HEALED}"}}'
    url = f"{_admin(play)}/mismatches/$id/close"
    play.teller.typed(f"for id in {' '.join(ids)}; do curl {url} --json '{body}'; done")
    for each in ids:
        await play.stage.admin(f"/api/v1/mismatches/{each}/close", {"why": HEALED})


async def _bound(play: Play) -> None:
    """Wait until much is known of users again, and tell what."""

    async def known() -> bool:
        documents = await _compared(play)
        return documents["users"]["bound_pct"] <= KNOWN_PCT and not _differing(documents)

    with play.teller.busy("comparing again"):
        await met(known, WAIT_S, EVERY_S)
    documents, clusters = await _compared(play), await _clusters(play)
    is_open = [each for each in clusters if each["status"] != "closed"]
    play.teller.claim(
        "what is healed and closed stays closed",
        f"{len(clusters) - len(is_open)} closed, {len(is_open)} open; "
        f"{_differing(documents)} of {_count(documents)} comparisons since then differ",
        not is_open and {place_of(each) for each in clusters} == PLACES and not _differing(documents),
    )
    play.teller.typed("banyan status | grep compared:")
    said = await play.stage.banyan("status")
    play.teller.shown("\n".join(line for line in said.splitlines() if "compared:" in line))
    users = documents["users"]
    play.teller.claim("what is known is a bound", f"users: {users['said']}", users["bound_pct"] <= KNOWN_PCT)


def _unseen(play: Play, start_s: float) -> None:
    reads = play.traffic.tally.since(start_s)
    elsewhere = sum(each.side != "legacy" for each in reads)
    play.teller.claim(
        "no reader was sent to modern for it",
        f"{len(reads) - elsewhere} of {len(reads)} reads were answered by legacy",
        bool(reads) and not elsewhere,
    )


def _count(documents: Documents) -> int:
    return sum(each["compared"] for each in documents.values())


def _differing(documents: Documents) -> int:
    return sum(each["mismatched"] for each in documents.values())


async def _clusters(play: Play) -> list[Cluster]:
    return list(await play.stage.admin("/api/v1/mismatches"))


async def _compared(play: Play) -> Documents:
    """Return what comparison says of each component that was compared."""
    components = (await play.stage.admin("/api/v1/status"))["components"]
    return {name: each["compared"] for name, each in components.items() if each["compared"]}


def _url(play: Play, defect: Defect) -> str:
    return f"http://127.0.0.1:{play.stage.ports.modern}/_demo/defects/{defect}"


def _admin(play: Play) -> str:
    return f"http://127.0.0.1:{play.stage.ports.admin}/api/v1"
