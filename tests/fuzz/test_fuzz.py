"""A short run of the fuzzer, always over the same conversations."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz.ablations import torn_as_whole
from tests.fuzz.campaign import Campaign, shows
from tests.fuzz.conversation import Conversation, Pass, Reply, Send
from tests.fuzz.shrink import smallest

CONVERSATIONS = 300


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_is_said_everybody_gets_what_is_theirs(seed):
    campaign = Campaign(seed)
    async for found in campaign.findings(lambda: campaign.played < CONVERSATIONS):
        again = f"python -m tests.fuzz --seed {seed} --only {found.number}"
        pytest.fail(f"{found.finding}\n  {again}\n{found.conversation.literal()}")
    assert campaign.played == CONVERSATIONS
    _was_no_waste(campaign.tally)


def _was_no_waste(tally: Counter[str]) -> None:
    """Most requests are served, and each other end is met too: what is refused at the door tests nothing behind it."""
    assert tally["served"] > tally["requests"] / 2
    for what in ("refused", "cut off", "answered here", "problem 400", "problem 502", "problem 504", "tunnels"):
        assert tally[what], what


def test_a_conversation_is_drawn_from_its_seed_and_number_alone_and_prints_as_a_literal():
    for number in range(50):
        drawn = Campaign(7).drawn(number)
        assert drawn == Campaign(7).drawn(number) != Campaign(8).drawn(number)
        assert eval(drawn.literal(), vars(__import__("tests.fuzz.conversation", fromlist=["*"]))) == drawn


async def test_what_is_found_is_made_small():
    request = Send(0, b"GET /api/users/1 HTTP/1.1\r\nHost: a\r\nX-Foo: 1\r\n\r\n")
    torn = b"HTTP/1.1 200 OK\r\nX-Foo: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    long = Conversation(
        (request, Pass(1.3), Send(1, b"x")), (Reply(torn, (3, 5), end="close"), Reply()), exchange_s=10.0
    )
    with torn_as_whole():
        found = await shows(long)
        assert found is not None
        small = await smallest(long, found.kind)
    assert small == Conversation((Send(0, b"GET / HTTP/1.1\r\nHost:a\r\n\r\n"),), (Reply(b"HTTP/1.1 200\r\n\r\n"),))
