from __future__ import annotations

import pytest

from proxy.cli.words import BadWord, duration_s, percent, who_am_i


@pytest.mark.parametrize(
    ("word", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("2h", 7200),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 10M ", 600),
        ("1d", 86400),
    ],
)
def test_durations_are_typed_as_people_write_them(word, seconds):
    assert duration_s(word) == seconds


@pytest.mark.parametrize("word", ["", "10", "0s", "-5m", "ten", "10m!", "m10", "9999999h", "1h 30m", "NaNs", "inf"])
def test_a_duration_that_makes_no_sense_is_refused(word):
    with pytest.raises(BadWord):
        duration_s(word)


@pytest.mark.parametrize(("word", "number"), [("25", 25), ("0.5%", 0.5), ("12.34", 12.34), ("0", 0), ("100", 100)])
def test_percentages_may_carry_their_sign(word, number):
    assert percent(word) == number


@pytest.mark.parametrize(
    ("word", "what"),
    [
        ("140", "weight should be 0 to 100, is 140"),
        ("-1", "weight should be 0 to 100, is -1"),
        ("nan", "weight should be 0 to 100, is nan"),
        ("inf", "weight should be 0 to 100, is inf"),
        ("12.345", "weight should be 0 to 100 in steps of 0.01, is 12.345"),
        ("half", "weight should be 0 to 100 in steps of 0.01, is 'half'"),
    ],
)
def test_a_percentage_that_makes_no_sense_is_refused(word, what):
    with pytest.raises(BadWord) as refused:
        percent(word)

    assert str(refused.value) == what


def test_who_is_user_at_host_unless_said():
    assert who_am_i(" ana \n lee ") == "ana lee"
    assert "@" in who_am_i(None)
    assert who_am_i("  ") == who_am_i(None)
