"""The version of a side, told from its answers."""

from __future__ import annotations

from proxy.core.versions import RUN, Versions


def seen(*named: bytes | None) -> str:
    versions = Versions()
    for each in named:
        versions.see(each)
    return versions.current


def test_the_first_answer_that_names_one_says_it():
    assert seen() == ""
    assert seen(None, b"", b"1") == "1"


def test_a_new_one_counts_when_nothing_else_is_named_any_more():
    assert seen(b"1", *[b"2"] * (RUN - 1)) == "1"
    assert seen(b"1", *[b"2"] * RUN) == "2"


def test_while_both_answer_in_turn_the_old_one_counts():
    assert seen(b"1", *[b"2", b"1", b"2"] * 100) == "1"


def test_an_answer_that_names_none_breaks_no_run():
    assert seen(b"1", *[b"2", None] * RUN) == "2"


def test_going_back_is_a_change_like_any_other():
    assert seen(b"1", *[b"2"] * RUN, *[b"1"] * RUN) == "1"


def test_what_is_shown_is_bounded_and_printable():
    assert seen(b"v\x01\x1b[2J" + b"x" * 100) == "v??[2J" + "x" * 58
