from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from proxy.board import Board, Standing
from proxy.ledger import Ledger
from proxy.process import LEAVE, READY, VARIABLE, Handover, Process, name_of
from proxy.settings import Settings


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger.create()
    yield made
    made.remove()


@pytest.fixture
def cord() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()


def handover(ledger: Ledger, cord: socket.socket, **more: object) -> Handover:
    board = Board.create(2)
    fd = os.dup(board.fd)
    board.close()
    values = {"parent": "p", "generation": 3, "place": 1, "places": 2, "ledger": str(ledger.folder)} | more
    return Handover(cord=cord.detach(), board=fd, **values)  # type: ignore[arg-type]


def test_what_is_handed_over_arrives_and_leaves_nothing_behind():
    given = Handover("p", 3, 1, 2, 7, 8, {"data": 9}, "/l", "/c.yaml", "a: 1\n" * 100_000, "unix:///s", True)
    fd = given.put()
    env = {VARIABLE: str(fd), "HOME": "/"}

    assert Handover.taken(env) == given
    assert env == {"HOME": "/"}
    with pytest.raises(OSError):
        os.fstat(fd)


def test_without_a_parent_nothing_was_handed_over():
    assert Handover.taken({}) is None


def test_words_of_another_version_are_left_out_and_missing_ones_filled_in():
    fd = os.memfd_create("test")
    said = {"parent": "p", "generation": 1, "place": 0, "places": 1, "cord": 5, "board": 6, "from_the_future": [1]}
    os.write(fd, orjson.dumps(said))
    assert Handover.taken({VARIABLE: str(fd)}) == Handover("p", 1, 0, 1, 5, 6)


async def test_its_name_its_share_and_its_word_to_the_parent(ledger, cord):
    ours, theirs = cord
    process = Process(handover(ledger, theirs))
    process.say_ready()
    process.board.set_standing(1, Standing.READY)
    process.share.hold(5)

    assert process.name == name_of(3, 1, os.getpid()) == f"3-1-{os.getpid()}"
    assert ours.recv(1) == READY
    assert process.board.connections(1) == 5
    process.board.close()


async def test_others_take_over(ledger, cord):
    ours, theirs = cord
    process = Process(handover(ledger, theirs))
    told = asyncio.ensure_future(process.until_told())
    await asyncio.sleep(0)
    assert not told.done()
    ours.send(LEAVE)
    await asyncio.wait_for(told, 5)
    process.close()

    assert not process.is_orphan
    assert ledger.folder.exists()
    process.board.close()


async def test_the_parent_has_gone(ledger, cord):
    ours, theirs = cord
    process = Process(handover(ledger, theirs))
    ours.close()
    await asyncio.wait_for(process.until_told(), 5)
    process.say_ready()  # to nobody
    process.close()

    assert process.is_orphan
    assert not ledger.folder.exists()
    process.board.close()


def test_settings_are_those_of_its_place(ledger, cord):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        process = Process(handover(ledger, cord[1], sockets={"data": os.dup(sock.fileno())}, store="unix:///s"))

    placed = process.placed(Settings(data_dir=Path("/d")))
    assert (placed.listen, placed.store) == (f"127.0.0.1:{port}", "unix:///s")
    assert process.placed(Settings(store="redis://r")).store == "redis://r"  # only the parent's own is embedded
    assert not process.sockets["data"].getblocking()
    process.sockets["data"].close()
    process.board.close()
