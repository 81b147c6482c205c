"""What all specs share: the model's settings, names and refs."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, StringConstraints

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,99}$"
REF_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,99}(@[a-z0-9][a-z0-9._-]{0,99})?$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""The name of a dataset, model, project or queue, as people give it."""

RefText = Annotated[str, StringConstraints(pattern=REF_PATTERN)]
"""``name``, ``name@3`` (a version) or ``name@champion`` (an alias, of models only)."""

ColumnType = Literal[
    "number", "integer", "boolean", "category", "text", "image", "audio", "timestamp", "sequence"
]
TaskType = Literal[
    "classification", "regression", "clustering", "embedding", "anomaly", "forecast", "recommendation"
]


class Spec(BaseModel):
    """Base of every model that a user's JSON is read into: unknown fields and wrong types are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class Column(Spec):
    """One column of a dataset version."""

    name: str
    type: ColumnType
    nullable: bool


class Ref(NamedTuple):
    """A parsed ref; ``selector`` is a version number, an alias, or None for the latest ready version."""

    name: str
    selector: int | str | None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Return the parts of ``text``. Raises ValueError when it is no ref."""
        if not re.fullmatch(REF_PATTERN, text):
            raise ValueError(f"{text!r} is not a ref: it should be name, name@3 or name@alias")
        name, _, selector = text.partition("@")
        if not selector:
            return cls(name, None)
        return cls(name, int(selector) if selector.isdecimal() and len(selector) < 10 else selector)

    def __str__(self) -> str:
        return self.name if self.selector is None else f"{self.name}@{self.selector}"
