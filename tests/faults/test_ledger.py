"""The accounts, by value: each thing that must never happen is seen when it does."""

from __future__ import annotations

import pytest

from tests.faults.ledger import Account, fell_back_s, is_back, latency_of, percentile, recovered_s, settle
from tests.faults.load import Fate, Outcome
from tests.faults.side import Deed
from tests.faults.tokens import Request


def read(number: int, due: float = 0.0, late_s: float = 0.001, fate: Fate = Fate.ANSWERED, **more: object) -> Outcome:
    return Outcome(Request(number, "GET", "", b""), due, due + late_s, fate, **{"status": 200, **more})


def write(number: int, method: str = "POST", fate: Fate = Fate.ANSWERED, status: int = 200) -> Outcome:
    return Outcome(Request(number, method, "abc", b""), 0.0, 0.001, fate, status)


def done(number: int, method: str = "POST", digest: str | None = "abc") -> Deed:
    return Deed(number, method, digest, 0.0)


WELL = dict.fromkeys(Account.__dataclass_fields__, 0) | {"sent": 1, "answered": 1}


@pytest.mark.parametrize(
    ("outcomes", "legacy", "modern", "found"),
    [
        ([write(1)], [done(1)], [], {}),
        ([write(1)], [done(1), done(1)], [], {"duplicated": 1}),
        ([write(1, "PUT")], [done(1, "PUT"), done(1, "PUT")], [], {"repeated_puts": 1}),
        ([write(1)], [done(1, digest=None), done(1)], [], {}),  # begun and torn, then done: once
        ([write(1)], [], [], {"phantom": 1}),
        ([write(1)], [done(1)], [done(1)], {"wrong_side": 1}),
        ([write(1)], [done(1)], [done(1, digest=None)], {"wrong_side": 1}),  # its beginning is bad enough
        ([write(1)], [done(1, digest="xyz")], [], {"altered": 1}),
        ([write(1, fate=Fate.REFUSED)], [done(1)], [], {"answered": 0, "refused": 1, "unsettled": 1}),
        ([write(1, fate=Fate.REFUSED)], [], [], {"answered": 0, "refused": 1}),
        ([read(1)], [done(1, "GET", "")], [done(1, "GET", "")], {}),  # a read may be done twice
        ([read(1, fallback="modern;reset")], [], [], {"resent_reads": 1}),
        ([read(1, status=503)], [], [], {"errors": 1}),
        ([read(1, fate=Fate.TORN)], [], [], {"answered": 0, "torn": 1}),
        ([read(1, fate=Fate.CROSSED)], [], [], {"answered": 0, "crossed": 1}),
        ([read(1, fate=Fate.LOST)], [], [], {"answered": 0, "lost": 1}),
        ([read(1, fate=Fate.ABORTED)], [], [], {"answered": 0, "aborted": 1}),
    ],
)
def test_what_happened_is_what_is_counted(outcomes, legacy, modern, found):
    account = settle(1, outcomes, legacy, modern)

    assert account == Account(**{**WELL, **found})
    assert account.unaccounted == 0


def test_a_request_without_a_fate_is_missed():
    assert settle(3, [read(1), read(2)], [], []).unaccounted == 1


def test_what_others_write_to_modern_is_not_the_load_s():
    assert settle(1, [read(1)], [], [done(-5)]).wrong_side == 0


def test_latencies_are_nearest_ranks():
    assert [percentile(range(1, 101), share) for share in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7], 99) == 7
    taken = latency_of([read(number, late_s=number / 1000) for number in range(1, 101)])
    assert (round(taken.p50_s, 6), round(taken.p99_s, 6), round(taken.max_s, 6)) == (0.05, 0.099, 0.1)
    assert latency_of([]).max_s == 0


def every(step_s: float, begin: float, end: float, **more: object) -> list[Outcome]:
    return [read(1, due=begin + at * step_s, **more) for at in range(round((end - begin) / step_s))]


def test_the_time_to_fall_back_ends_with_the_first_second_that_nobody_noticed():
    bad = every(0.1, 10, 12, late_s=3.0)
    assert fell_back_s(every(0.1, 0, 10) + every(0.1, 10, 20), 10, 20) == 0
    assert fell_back_s(bad + every(0.1, 12, 20), 10, 20) == pytest.approx(1.9)
    assert fell_back_s(bad, 10, 12.5) is None


def test_it_has_recovered_when_modern_has_its_share_again_and_nobody_notices_anything():
    calm = every(0.1, 0, 5, side="modern") + every(0.1, 0, 5, side="legacy")
    without = every(0.1, 10, 12, side="legacy")
    with_errors = every(0.1, 12, 13, side="modern", status=500)
    back = every(0.1, 13, 20, side="modern")
    assert recovered_s(calm + without + with_errors + back, 10, (0, 5)) == pytest.approx(2.95, abs=0.06)
    assert recovered_s(calm + without, 10, (0, 5)) is None
    assert is_back(back, 0.5) and is_back(every(0.1, 0, 1, side="modern", late_s=9.0), 0.5)
    assert not is_back(with_errors, 0.5) and not is_back(without, 0.5) and not is_back([], 0.5)
