"""
The smallest conversation that still shows a finding: acts, replies and bytes are left out as long as it does.

Greedy and bounded; every step is a play in a world of its own.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace

from tests.fuzz.campaign import shows
from tests.fuzz.conversation import WHOLE, Conversation, Reply, Send

WITHIN_S = 40.0
TRIES = 2  # what is seen only now and then is not lost at once


async def smallest(conversation: Conversation, kind: str, within_s: float = WITHIN_S) -> Conversation:
    """Return the smallest conversation with a finding of this kind that can be reached from `conversation` in time."""
    until = time.monotonic() + within_s
    changed = True
    while changed:
        changed = False
        for step in (_fewer_acts, _plainer, _fewer_bytes):
            # A step that succeeds is gone on with: the simpler conversation offers the next ones.
            at = 0
            while time.monotonic() < until:
                candidate = next((each for n, each in enumerate(step(conversation)) if n == at), None)
                if candidate is None:
                    break
                if candidate != conversation and await shows(candidate, kind, TRIES):
                    conversation, changed = candidate, True
                else:
                    at += 1
    return conversation


def _fewer_acts(conversation: Conversation) -> Iterator[Conversation]:
    """Leave out acts, many at first, then join neighbouring segments."""
    acts = conversation.acts
    size = len(acts) // 2
    while size:
        for at in range(0, len(acts), size):
            yield conversation.but(acts=acts[:at] + acts[at + size :])
        size //= 2
    for at, (one, other) in enumerate(itertools.pairwise(acts)):
        if isinstance(one, Send) and isinstance(other, Send) and one.client == other.client:
            yield conversation.but(acts=(*acts[:at], Send(one.client, one.data + other.data), *acts[at + 2 :]))


def _plainer(conversation: Conversation) -> Iterator[Conversation]:
    """Make replies plain, and the house an ordinary one."""
    replies = conversation.replies
    for at in range(len(replies)):
        yield conversation.but(replies=replies[:at])
        yield conversation.but(replies=(*replies[:at], *replies[at + 1 :]))
        for plain in (
            Reply(),
            replace(replies[at], cuts=()),
            replace(replies[at], after=WHOLE),
            replace(replies[at], end=""),
            replace(replies[at], bare=True),
            replace(replies[at], waits=False),
            replace(replies[at], deaf=False),
        ):
            if plain != replies[at]:
                yield conversation.but(replies=(*replies[:at], plain, *replies[at + 1 :]))
    for change in (
        {"weight": 0.0},
        {"pool": 1024},
        {"down": ""},
        {"greets": ()},
        {"exchange_s": 0.0},
        {"strict": False},
    ):
        yield conversation.but(**change)


def _fewer_bytes(conversation: Conversation) -> Iterator[Conversation]:
    """Leave out bytes of what is sent and replied, many at first."""
    for at, act in enumerate(conversation.acts):
        if isinstance(act, Send):
            for data in _shorter(act.data):
                if data:
                    yield conversation.but(
                        acts=(*conversation.acts[:at], Send(act.client, data), *conversation.acts[at + 1 :])
                    )
    for at, reply in enumerate(conversation.replies):
        for data in _shorter(reply.data):
            shorter = replace(reply, data=data, cuts=tuple(cut for cut in reply.cuts if cut < len(data)))
            yield conversation.but(replies=(*conversation.replies[:at], shorter, *conversation.replies[at + 1 :]))


def _shorter(data: bytes) -> Iterator[bytes]:
    lines = data.split(b"\r\n")
    for at in range(len(lines)):
        yield b"\r\n".join(lines[:at] + lines[at + 1 :])
    size = len(data) // 2
    while size:
        for at in range(0, len(data), size):
            yield data[:at] + data[at + size :]
        size //= 2
