"""Snapshots: whole or passed over, the last three kept, a disk that is full is a warning."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.emergency import Emergency, read_emergency
from proxy.core.errors import StoreError
from proxy.core.rules import Side
from proxy.store.snapshot import Saved, Snapshot
from tests.store.documents import rules

LEGACY = Emergency(Side.LEGACY, "legacy")
NOW = 1_700_000_000.0


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back(tmp_path: Path):
    snapshot = Snapshot(tmp_path / "new" / "folder")
    snapshot.save(rules(7), {"users": LEGACY, "all": read_emergency("Modern ", 10_000)}, NOW)

    back = Snapshot(tmp_path / "new" / "folder").load(NOW + 4)
    assert back == Saved(rules(7), {"users": LEGACY, "all": Emergency(Side.MODERN, "Modern ", 6_000)})


def test_an_emergency_whose_time_ran_out_meanwhile_does_not_come_back(tmp_path: Path):
    Snapshot(tmp_path).save(rules(), {"users": read_emergency("legacy", 1_000)}, NOW)

    assert Snapshot(tmp_path).load(NOW + 2).emergencies == {}


def test_without_a_snapshot_there_is_nothing_and_no_warning(tmp_path: Path):
    assert Snapshot(tmp_path).load(NOW) == Snapshot(tmp_path / "none").load(NOW) == Saved()


def test_three_are_kept_and_the_newest_wins(tmp_path: Path):
    for version in range(1, 6):
        Snapshot(tmp_path).save(rules(version), {}, NOW)

    assert files(tmp_path) == [f"snapshot-0000000{n}.json" for n in (3, 4, 5)]
    assert Snapshot(tmp_path).load(NOW).rule_set == rules(5)


def flip_a_bit(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (flip_a_bit, "checksum does not fit"),
        (lambda data: data[: len(data) // 2], "checksum does not fit"),
        (lambda data: b"", "no snapshot of this version"),
        (lambda data: b"{}", "no snapshot of this version"),
        (lambda data: data.replace(b"snapshot-1", b"snapshot-9"), "no snapshot of this version"),
    ],
)
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path: Path, damage, why: str):
    snapshot = Snapshot(tmp_path)
    snapshot.save(rules(1), {}, NOW)
    snapshot.save(rules(2), {"users": LEGACY}, NOW)
    newest = tmp_path / "snapshot-00000002.json"
    newest.write_bytes(damage(newest.read_bytes()))

    back = snapshot.load(NOW)
    assert (back.rule_set, back.emergencies) == (rules(1), {})
    assert len(back.warnings) == 1
    assert why in back.warnings[0]


def test_one_of_a_newer_build_is_passed_over(tmp_path: Path):
    snapshot = Snapshot(tmp_path)
    snapshot.save(rules(1), {}, NOW)
    snapshot.save(rules(2).model_copy(update={"schema_version": "2.0"}), {}, NOW)

    back = snapshot.load(NOW)
    assert back.rule_set == rules(1)
    assert "schema 2.0" in back.warnings[0]


def test_when_all_are_damaged_there_is_a_warning_for_each(tmp_path: Path):
    for number in (1, 2):
        (tmp_path / f"snapshot-0000000{number}.json").write_bytes(os.urandom(2000))
    (tmp_path / "snapshot-00000003.json").mkdir()

    back = Snapshot(tmp_path).load(NOW)
    assert back.rule_set is None
    assert len(back.warnings) == 3


def test_other_files_are_left_alone(tmp_path: Path):
    for name in ("snapshot-x.json", "snapshot-1.txt", "notes"):
        (tmp_path / name).write_text("mine")
    for version in range(1, 6):
        Snapshot(tmp_path).save(rules(version), {}, NOW)

    assert {"snapshot-x.json", "snapshot-1.txt", "notes"} <= set(files(tmp_path))


def test_a_folder_that_cannot_be_used_is_a_store_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write a snapshot"):
        Snapshot(tmp_path / "file").save(rules(), {}, NOW)
    assert Snapshot(tmp_path / "file").load(NOW) == Saved()


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A file system of 64 KiB; for those who may not mount one, a plain folder."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = os.getuid() == 0 and _mount(folder)
        try:
            yield Path(folder)
        finally:
            if mounted:
                subprocess.run(["umount", folder], check=True)


def _mount(folder: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    return subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_on_a_full_disk_the_older_ones_stay_whole_and_nothing_is_left_behind(tiny_disk: Path):
    snapshot = Snapshot(tiny_disk)
    snapshot.save(rules(1), {}, NOW)
    big = rules(2, **{f"component{n}": 1.0 for n in range(400)})
    limited = os.statvfs(tiny_disk).f_blocks * os.statvfs(tiny_disk).f_frsize < 1_000_000
    if not limited:  # no right to mount: then the folder takes no new file
        tiny_disk.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot write a snapshot"):
            snapshot.save(big, {}, NOW)
    finally:
        tiny_disk.chmod(0o700)

    assert files(tiny_disk) == ["snapshot-00000001.json"]
    assert snapshot.load(NOW).rule_set == rules(1)
