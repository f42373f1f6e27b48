from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo.entities import COMPONENTS, instant
from proxy.demo.tables import SCHEMA, TABLES, instant_of, milliseconds


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_comes_back_from_its_number(moment):
    try:
        text = instant(moment)
    except OverflowError:  # outside the calendar in UTC
        return

    assert instant_of(milliseconds(text)) == text


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_query_fits_the_schema(component):
    table = TABLES[component]
    database = sqlite3.connect(":memory:")
    database.create_function("fold", 1, str.casefold, deterministic=True)
    database.executescript(SCHEMA)

    assert database.execute(table.select(table.matches), ("words",)).fetchall() == []
    for part in table.parts:
        assert database.execute(part.sql.format(owners="?, ?"), ("1", "2")).fetchall() == []


def test_only_messages_are_left_out_of_lists():
    assert [part.name for table in TABLES.values() for part in table.parts if not part.in_lists] == ["messages"]
