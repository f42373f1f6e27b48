"""Scenes of the demo in which readers are moved by weight: pass-through, one step after the other, and back again."""

from __future__ import annotations

from proxy.demo.entities import COMPONENTS
from proxy.demo.names import READERS
from proxy.demo.play import Play
from proxy.demo.tally import quantile_ms, readers, share_pct

STEPS_PCT = (5, 25, 50)
NEAR_PCT = 3.0  # how far the measured share may be off, in points: a reader may be seen once more than the others
FIRST_READS = 150


async def pass_through(play: Play) -> None:
    teller = play.teller
    teller.scene("Pass-through", "Every component is off: all requests go to legacy, through a gateway nobody notices.")
    with teller.busy("reading and writing through the gateway"):
        found = await play.collect("", play.now(), lambda answers: len(answers) >= FIRST_READS)
    components = {answer.component for answer in found}
    by_modern = sum(answer.side != "legacy" for answer in found)
    latency = f"half of them within {quantile_ms(found, 0.5):.1f} ms"
    teller.claim(
        "legacy answers every read",
        f"{len(found) - by_modern} of {len(found)} reads of {len(components)} components, {latency}",
        len(found) >= FIRST_READS and not by_modern and components == set(COMPONENTS),
    )


async def shift(play: Play) -> None:
    teller = play.teller
    teller.scene(
        "A component moves", "users goes to modern step by step. Who is moved stays moved; the others notice nothing."
    )
    moved: frozenset[str] = frozenset()
    for weight_pct in STEPS_PCT:
        moved = await _step(play, weight_pct, moved)


async def _step(play: Play, weight_pct: int, before: frozenset[str]) -> frozenset[str]:
    teller, why = play.teller, "the demo's next step"
    teller.typed(f'banyan weight users {weight_pct} --why "{why}"')
    with teller.busy("waiting until every reader has been seen"):
        await play.stage.banyan("weight", "users", str(weight_pct), "--why", why)
        in_force_s = await play.weight_in_force("users", weight_pct)
        found = await play.panel("users", play.now())
    moved, stayed = readers(found, "modern"), readers(found, "legacy")
    share = share_pct(found, "modern")
    teller.claim(
        f"set {weight_pct} %",
        f"measured {share:.1f} % of {len(found)} reads; {len(moved)} of {len(moved | stayed)} readers are on modern",
        in_force_s is not None and abs(share - weight_pct) <= NEAR_PCT and len(moved | stayed) == len(READERS),
    )
    torn, back = len(moved & stayed), len(before - moved)
    teller.claim(
        "readers stay where they are",
        f"{torn} seen on both sides, {back} taken back",
        not torn and not back and bool(moved),
    )
    return moved


async def roll_back(play: Play) -> None:
    teller, why = play.teller, "enough for today"
    teller.scene("Rollback", "A published change for all replicas, with a reason: users is back where it came from.")
    teller.typed(f'banyan rollback users --why "{why}"')
    with teller.busy("waiting until every reader has been seen"):
        await play.stage.banyan("rollback", "users", "--why", why)
        in_force_s = await play.weight_in_force("users", 0)
        async with play.burst("users", READERS):
            found = await play.panel("users", play.now())
    back, left = len(readers(found, "legacy")), len(readers(found, "modern"))
    teller.claim(
        "every reader is back on legacy",
        f"{back} of {len(READERS)} readers on legacy, {left} on modern, {len(found)} reads",
        in_force_s is not None and not left and back == len(READERS),
    )
