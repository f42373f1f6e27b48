"""What documents are made of."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.core.frozen import Frozen, Items


class Made(Frozen):
    count: int = 0
    names: Items[str] = ()


def test_a_list_becomes_a_tuple():
    assert Made.model_validate({"names": ["a", "b"]}).names == ("a", "b")


@pytest.mark.parametrize("values", [{"cuont": 1}, {"count": "1"}, {"count": True}, {"names": "ab"}, {"names": [1]}])
def test_nothing_is_guessed(values):
    with pytest.raises(ValidationError):
        Made.model_validate(values)


def test_a_value_does_not_change():
    with pytest.raises(ValidationError):
        Made().count = 1
