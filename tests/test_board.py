from __future__ import annotations

import os

import pytest

from proxy.board import MOST_PLACES, Board, Share, Standing


@pytest.fixture
def board():
    made = Board.create(4)
    yield made
    made.close()


def test_at_first_nobody_is_there(board):
    assert [board.standing(place) for place in range(4)] == [Standing.ENDED] * 4
    assert not board.complete


def test_what_one_writes_the_other_reads(board):
    other = Board(os.dup(board.fd), 4)
    board.set_standing(1, Standing.READY)
    board.set_complete()
    other.hold(1, 42)

    assert other.standing(1) is Standing.READY
    assert other.complete
    assert board.connections(1) == 42
    assert board.count(Standing.READY) == 1
    other.close()
    assert board.connections(1) == 42


def test_there_is_a_place_for_every_process_that_may_be_asked_for():
    board = Board.create(MOST_PLACES)
    board.set_standing(MOST_PLACES - 1, Standing.READY)
    board.hold(MOST_PLACES - 1, 4_000_000_000)
    assert board.connections(MOST_PLACES - 1) == 4_000_000_000
    board.close()


def test_a_process_that_ended_holds_no_connections(board):
    board.set_standing(2, Standing.READY)
    board.hold(2, 9)
    board.set_standing(2, Standing.ENDED)
    assert board.connections(2) == 0


def ready(board: Board, *connections: int) -> None:
    for place, held in enumerate(connections):
        board.set_standing(place, Standing.READY)
        board.hold(place, held)


@pytest.mark.parametrize(
    ("others", "mine", "room"),
    [
        ((0, 0, 0), 0, 4),
        ((0, 0, 0), 4, 0),
        ((0, 0, 0), 5, -1),
        ((100, 100, 80), 90, 4),
        ((100, 100, 80), 94, 0),
        ((1000, 2000, 3000), 1129, 0),
    ],
)
def test_nobody_takes_much_more_than_the_one_with_the_fewest(board, others, mine, room):
    ready(board, mine, *others)
    assert Share(board, 0).room(mine) == room


def test_only_those_that_serve_are_counted_with(board):
    ready(board, 50, 60)
    board.set_standing(2, Standing.STARTING)
    assert Share(board, 0).room(50) == 60 + 7 + 4 - 50


def test_who_is_alone_may_take_what_comes(board):
    board.set_standing(0, Standing.READY)
    assert Share(board, 0).room(10_000) > 0


def test_a_share_tells_the_others(board):
    Share(board, 3).hold(17)
    assert board.connections(3) == 17
