"""`python -m tests.fuzz --seconds N --seed S`: look for conversations that the wire gets wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
import time

import uvloop

from tests.fuzz.campaign import Campaign, Found, for_seconds, shows
from tests.fuzz.shrink import smallest

ENOUGH = 5  # findings, each of another kind


def main() -> int:
    """Fuzz for a while; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="of a run to repeat; drawn anew when left out")
    parser.add_argument("--only", type=int, default=None, metavar="N", help="only the conversation of this number")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if chosen.seed is None else chosen.seed
    return uvloop.run(_run(seed, chosen.seconds, chosen.only))


async def _run(seed: int, seconds: float, only: int | None) -> int:
    print(f"seed {seed}", flush=True)
    campaign, started = Campaign(seed), time.monotonic()
    if only is not None:
        print(campaign.drawn(only).literal())
        go_on, count = (lambda: not campaign.played), 1
    else:
        go_on, count = for_seconds(seconds), ENOUGH
    kinds: set[str] = set()
    telling_s = 0.0
    async for found in campaign.findings(go_on, only or 0):
        if found.finding.kind not in kinds:
            kinds.add(found.finding.kind)
            told_s = time.monotonic()
            await _tell(found)
            telling_s += time.monotonic() - told_s
        if len(kinds) == count:
            break
    took = time.monotonic() - started - telling_s
    print(f"{campaign.played} conversations in {took:.0f} s, {60 * campaign.played / took:.0f} a minute")
    print(", ".join(f"{count} {what}" for what, count in campaign.tally.most_common()))
    print(f"{len(kinds)} kinds of findings" if kinds else "nothing found")
    return 1 if kinds else 0


async def _tell(found: Found) -> None:
    """Print a finding and the smallest conversation that shows it."""
    print(f"\nFOUND {found.finding}\n  python -m tests.fuzz --seed {found.seed} --only {found.number}")
    kind = found.finding.kind
    again = await shows(found.conversation, kind, tries=5)
    if again is None:
        print("  not seen again in five tries by itself: it depends on what came before, or on timing", flush=True)
        print(found.conversation.literal(), flush=True)
        return
    small = await smallest(found.conversation, kind)
    shown = await shows(small, kind, tries=5)
    print(f"smallest: {shown or again}\n{small.literal()}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
