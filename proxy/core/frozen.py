"""
What every value of a document is made of: frozen, strict about keys and types, with tuples where files have lists.

Ground floor of the models. It knows no rule and no setting.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

_T = TypeVar("_T")


def _items(value: object) -> object:
    """YAML and JSON have lists where the models have tuples."""
    return tuple(value) if isinstance(value, list) else value


Items = Annotated[tuple[_T, ...], BeforeValidator(_items)]


class Frozen(BaseModel):
    """A value of a document: frozen, unknown keys refused, nothing converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
