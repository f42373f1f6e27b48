from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.admin.bodies import Emergency, Phase, Reason, Weight


def test_a_reason_is_trimmed_and_never_empty():
    assert Reason(why="  errors ").why == "errors"
    for why in ("", "   ", "x" * 1001):
        with pytest.raises(ValidationError):
            Reason(why=why)


def test_every_change_needs_a_reason():
    for model, values in ((Weight, {"weight": 5}), (Phase, {"phase": "off"}), (Emergency, {"to": "off"}), (Reason, {})):
        with pytest.raises(ValidationError):
            model.model_validate(values)


def test_what_nobody_knows_is_refused():
    with pytest.raises(ValidationError):
        Weight.model_validate({"weight": 5, "why": "x", "force": True})
