"""Copies keep what an exchange has, up to a length."""

from __future__ import annotations

from proxy.core.messages import AnswerHead, RequestHead
from proxy.core.phases import RequestKind
from proxy.core.plan import Planned
from proxy.core.table import compile_table
from proxy.gateway.copies import Copy


class Watching:
    """A watcher that keeps ten bytes."""

    most_bytes = 10

    def __init__(self) -> None:
        self.told = 0

    def wants(self, request: RequestHead, head: AnswerHead, now_s: float) -> int:
        return 1

    def take(self, copy: Copy) -> None:
        raise AssertionError("nobody hands anything over here")

    def too_long(self) -> None:
        self.told += 1


def copy_of(watcher: Watching) -> Copy:
    planned = Planned(compile_table(None).unclaimed(RequestKind.READ))
    return Copy(watcher, 1, RequestHead(b"GET", b"/"), b"", planned, AnswerHead(200, b"", 3))


def test_a_body_is_kept_block_by_block():
    copy = copy_of(Watching())

    assert copy.add([b"12345"]) and copy.add([]) and copy.add([b"678", b"90"])
    assert (copy.blocks, copy.held_bytes) == ([b"12345", b"678", b"90"], 10)


def test_a_body_that_is_too_long_is_told_of_and_not_kept():
    watcher = Watching()
    copy = copy_of(watcher)

    assert copy.add([b"1234567890"])
    assert not copy.add([b"x"])
    assert watcher.told == 1


def test_a_bare_copy_is_the_same_read_without_its_answer():
    copy = copy_of(Watching())
    copy.add([b"12345"])
    copy.body, copy.started_s = [b"{}"], 7.0
    bare = copy.bare()

    assert (bare.blocks, bare.held_bytes, bare.body, bare.started_s) == ([], 0, [b"{}"], 7.0)
    assert (bare.request, bare.planned, bare.head) == (copy.request, copy.planned, copy.head)
    assert copy.blocks == [b"12345"]
