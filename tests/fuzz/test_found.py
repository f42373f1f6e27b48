"""What the fuzzer found, each as the smallest conversation that showed it. A new finding is pasted in here."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import shows
from tests.fuzz.conversation import Conversation, Leave, Reply, Send

FOUND = {
    "a half-closed 1.0 client took a torn body for a whole one": Conversation(
        acts=(
            Send(1, b"GET / HTTP/1.0\r\n\r\n"),
            Leave(1, "half"),
        ),
        replies=(Reply(data=b"HTTP/1.1 200\r\n\r\n"),),
    ),
    "the body of a request that was refused to a client that had left was served as a request": Conversation(
        acts=(
            Send(
                0,
                b"GET / HTTP/1.1\r\nHost:a\r\n\r\nHEAD / HTTP/1.1\r\nVia:. banyan\r\nContent-Length:1\r\nHost:a\r\n\r\n"
                b"GET / HTTP/1.1\r\nHost:a\r\n\r\n",
            ),
            Leave(0, "close"),
        ),
    ),
    "OPTIONS * was refused as a path that can be read in two ways": Conversation(
        acts=(Send(1, b"OPTIONS * HTTP/1.1\r\nHost:a\r\n\r\n"),),
        strict=True,
    ),
}


@pytest.mark.parametrize("name", FOUND)
async def test_what_was_found_is_found_no_more(name):
    found = await shows(FOUND[name])
    assert found is None, found
