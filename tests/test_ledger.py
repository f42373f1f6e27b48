from __future__ import annotations

import fcntl
import os
import stat

import pytest

from proxy.core.gathering import Family
from proxy.ledger import ENDED, PATH_BYTES, PREFIX, Ledger


@pytest.fixture
def ledger():
    made = Ledger.create()
    yield made
    made.remove()


def counts(value: float) -> list[Family]:
    gauge = Family("banyan_connections", "gauge", "", (("banyan_connections", {}, value),))
    return [Family("n", "counter", "", (("n_total", {"side": "legacy"}, value),)), gauge]


def total(ledger: Ledger) -> float:
    return sum(
        value
        for families in ledger.entries().values()
        for each in families
        if each.kind == "counter"
        for _, _, value in each.samples
    )


def test_it_is_nobody_else_s_and_left_alone_by_whoever_tidies_up(ledger):
    assert stat.S_IMODE(ledger.folder.stat().st_mode) == 0o700
    other = os.open(ledger.folder, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_what_a_killed_parent_left_is_tidied_up_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("proxy.ledger.PATH_BYTES", 1000)
    living = Ledger.create()
    dead, young, other = (tmp_path / name for name in (f"{PREFIX}dead", f"{PREFIX}young", "banyan-other"))
    for folder in (dead, young, other):
        folder.mkdir()
    for folder in (dead, other, living.folder):
        os.utime(folder, (1, 1))
    another = Ledger.create()

    assert set(tmp_path.iterdir()) == {living.folder, another.folder, young, other}


def test_a_long_temporary_folder_is_not_used(tmp_path, monkeypatch):
    long = tmp_path / ("x" * PATH_BYTES)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    ledger = Ledger.create()
    assert len(os.fsencode(ledger.door("123-255-4194304"))) <= 107
    ledger.remove()


def test_entries_are_read_as_they_were_written(ledger):
    ledger.enter("1-0-7", counts(3))
    ledger.enter("1-1-8", counts(4))
    assert ledger.entries() == {"1-0-7": counts(3), "1-1-8": counts(4), ENDED: []}


def test_a_sum_never_goes_back_when_processes_end(ledger):
    for name, value in (("1-0-7", 3), ("1-1-8", 4), ("1-0-9", 5)):
        ledger.enter(name, counts(value))
    for name in ("1-0-7", "1-1-8", "1-0-9"):
        ledger.fold(name)
        assert total(ledger) == 12
    assert list(ledger.entries()) == [ENDED]
    assert [each.name for each in ledger.entries()[ENDED]] == ["n"]  # no connections are left of them


def test_an_entry_that_was_folded_in_while_all_were_read_counts_once(ledger):
    ledger.enter("1-0-7", counts(3))
    path = ledger.folder / "1-0-7.json"
    entry = path.read_bytes()
    ledger.fold("1-0-7")
    path.write_bytes(entry)  # as somebody sees it who read this one before, and the one of the ended after
    assert total(ledger) == 3
    ledger.fold("1-0-7")
    assert total(ledger) == 3


def test_who_left_nothing_adds_nothing(ledger):
    ledger.fold("1-0-7")
    assert ledger.entries() == {ENDED: []}


def test_an_entry_that_cannot_be_read_is_passed_over(ledger):
    ledger.enter("1-0-7", counts(3))
    (ledger.folder / "1-1-8.json").write_text('{"families": [["n"')
    assert total(ledger) == 3


def test_doors_are_those_of_processes_that_can_be_asked(ledger):
    for name in ("1-1-8", "1-0-7"):
        ledger.door(name).touch()
    assert ledger.doors() == ["1-0-7", "1-1-8"]
    ledger.fold("1-0-7")
    assert ledger.doors() == ["1-1-8"]


def test_it_is_gone_with_its_parent(ledger):
    ledger.enter("1-0-7", counts(3))
    ledger.remove()
    assert not ledger.folder.exists()
    with pytest.raises(OSError):
        ledger.enter("1-0-7", counts(3))
