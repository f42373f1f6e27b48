"""Scenes of the demo in which an operator steers without Banyan's verbs: an edited file, and a plain Redis command."""

from __future__ import annotations

import asyncio

from proxy.demo.names import READERS
from proxy.demo.play import Play
from proxy.demo.tally import Answer, readers
from proxy.demo.telling import met

FILE_S = 2.0  # an edit is in force by then
EDITED_PCT = 40
NEAR_PCT = 3.0
EMERGENCY_S = 1.5  # the bound when a push is lost; with it, some milliseconds
EMERGENCY_KEY = "banyan:emergency:users"
WATCHED = 200  # reads, and seconds, that the emergency is watched for
WATCHED_S = 1.0


async def edit_file(play: Play) -> None:
    teller, path = play.teller, play.stage.rule_file("configuration")
    teller.scene("A rule file is edited", "configuration follows users. No verb, no restart: the folder is watched.")
    teller.typed(f"sed -i 's/^weight: 0/weight: {EDITED_PCT}/' {path}")
    before_pct, text = await _weight_of_users(play), await asyncio.to_thread(path.read_text)
    await asyncio.to_thread(path.write_text, text.replace("weight: 0", f"weight: {EDITED_PCT}"))
    with teller.busy("waiting until the edit is in force"):
        in_force_s = await play.weight_in_force("configuration", EDITED_PCT)
    teller.claim(
        "the edit takes effect",
        "it did not" if in_force_s is None else f"{1000 * in_force_s:.0f} ms after the file was written",
        in_force_s is not None and in_force_s <= FILE_S,
    )
    async with play.burst("configuration", READERS):
        found = await play.panel("configuration", play.now())
    moved, everyone = readers(found, "modern"), readers(found, "modern") | readers(found, "legacy")
    share, users_pct = 100 * len(moved) / len(everyone or READERS), await _weight_of_users(play)
    teller.claim(
        f"set {EDITED_PCT} %",
        f"{share:.1f} % of {len(everyone)} readers of configuration are on modern; users is still at {users_pct:g} %",
        abs(share - EDITED_PCT) <= NEAR_PCT and len(everyone) == len(READERS) and users_pct == before_pct,
    )


async def _weight_of_users(play: Play) -> float:
    return await play.stage.metric("banyan_weight_percent", component="users")


async def emergency(play: Play) -> None:
    teller = play.teller
    teller.scene("Emergency", "One plain Redis command takes all reads of users back; no Banyan command is needed.")
    async with play.burst("users", READERS):
        on_modern = sorted(readers(await play.panel("users", play.now()), "modern"))
    async with play.burst("users", on_modern or READERS):
        with teller.busy("watching the reads of users"):
            await _flip(play)
            await _lift(play)


async def _flip(play: Play) -> None:
    sent_s, replied_s = await _plain(play, "SET", EMERGENCY_KEY, "legacy")
    await asyncio.sleep(WATCHED_S)
    found = await play.collect("users", replied_s, lambda answers: len(answers) >= WATCHED)
    late_s = [answer.started_s - replied_s for answer in found if answer.side != "legacy"]
    last_s = max((answer.started_s - sent_s for answer in _on_modern(play, sent_s)), default=0.0)
    last = f"the last one on modern was sent {1000 * last_s:.1f} ms after the command"
    took = f"its reply took {1000 * (replied_s - sent_s):.1f} ms"
    play.teller.claim(
        "reads of users leave modern at once",
        f"{last}; {took}; then {len(found) - len(late_s)} reads on legacy",
        len(found) >= WATCHED and max(late_s, default=0.0) <= EMERGENCY_S,
    )


async def _lift(play: Play) -> None:
    _, lifted_s = await _plain(play, "DEL", EMERGENCY_KEY)
    await met(lambda: bool(_on_modern(play, lifted_s)), EMERGENCY_S)
    back = _on_modern(play, lifted_s)
    first_ms = 1000 * (back[0].started_s - lifted_s) if back else 0.0
    play.teller.claim(
        "and come back when it is lifted",
        f"the first one on modern was sent {first_ms:.1f} ms after the reply" if back else "none did",
        bool(back),
    )


def _on_modern(play: Play, since_s: float) -> list[Answer]:
    found = (answer for answer in play.traffic.tally.since(since_s, "users") if answer.side == "modern")
    return sorted(found, key=lambda answer: answer.started_s)


async def _plain(play: Play, *words: str) -> tuple[float, float]:
    """Send a plain command to the store; return when it was sent and when its reply was there."""
    play.teller.typed(f"redis-cli -s {play.stage.store_socket} {' '.join(words)}")
    sent_s = play.now()
    await play.stage.redis(*words)
    return sent_s, play.now()
