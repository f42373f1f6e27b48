from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.brief import MOST_CHARACTERS, MOST_TOLD, bounded, brief, told


@pytest.mark.parametrize(("text", "said"), [("", ""), ("abcde", "abcde"), ("abcdef", "abcd…")])
def test_a_long_text_is_cut_and_says_so(text, said):
    assert brief(text, 5) == said


def test_of_many_sentences_the_first_are_told_and_the_others_counted():
    assert told(["a", "b"], 2) == ("a", "b")
    assert told(map(str, range(3_002)), 5) == ("0", "1", "2", "3", "4", "… and 2,997 more")
    assert told(["x" * 100_000]) == ("x" * (MOST_CHARACTERS - 1) + "…",)


def test_what_was_cut_before_is_counted_on():
    first = told(map(str, range(200)))
    assert first[-1] == "… and 150 more"
    assert told(first) == first
    assert told(["it is late", *first, "… and 1,000 more"])[-2:] == ("48", "… and 1,151 more")
    assert told(["… and some more"]) == ("… and some more",)


def test_the_facts_of_an_event_are_cut_at_every_level():
    assert bounded({"n": 1, "some": ["a"], "none": None}) == {"n": 1, "some": ["a"], "none": None}
    assert bounded(["a"] * (MOST_TOLD + 7)) == ["a"] * MOST_TOLD + ["… and 7 more"]
    assert len(bounded({str(n): "x" * 5_000 for n in range(500)})) == MOST_TOLD


@given(st.lists(st.text(max_size=3_000), max_size=200))
def test_however_much_there_is_to_say_it_stays_short(sentences):
    said = told(sentences)
    assert len(said) <= MOST_TOLD + 1
    assert all(len(each) <= MOST_CHARACTERS for each in said)
