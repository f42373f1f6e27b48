"""What is strange and still says something, and what says nothing."""

from __future__ import annotations

from proxy.core.oddities import Oddity


def test_what_cannot_be_read_is_told_from_what_is_only_strange():
    unreadable = {each for each in Oddity if not each.is_readable}

    assert unreadable == {Oddity.UNDECODABLE, Oddity.TOO_LONG, Oddity.TOO_MANY, Oddity.TOO_DEEP}
