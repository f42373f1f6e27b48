from __future__ import annotations

from proxy.demo.names import FAMILIES, READERS


def test_one_reader_is_one_percent():
    assert len(READERS) == len(set(READERS)) == 100


def test_names_can_stand_in_a_header_field_and_in_an_address():
    assert all(name.isascii() and name.isalpha() for name in (*READERS, *FAMILIES))
