"""Work beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.workers.aside import Aside


async def test_work_is_done_in_another_thread_one_piece_after_the_other():
    aside, at_once, most = Aside(), 0, 0

    def work(number: int) -> tuple[int, int]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        at_once -= 1
        return number, threading.get_ident()

    done = await asyncio.gather(*(aside.do(work, number) for number in range(20)))
    aside.close()

    assert [number for number, _ in done] == list(range(20))
    assert most == 1
    assert {thread for _, thread in done} != {threading.get_ident()}
    assert len({thread for _, thread in done}) == 1


async def test_what_it_raises_is_raised():
    aside = Aside()

    with pytest.raises(ZeroDivisionError):
        await aside.do(lambda: 1 // 0)
    aside.close()
