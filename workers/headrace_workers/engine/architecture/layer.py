"""What all layers of a config have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from headrace_workers.engine.architecture.objects import DType

Shape = tuple[int | None, ...]
"""The shape of one row, without the axis of the batch; None where only the data will tell."""

Units = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Ignored = Annotated[Any, Field(exclude=True)]
"""A setting that is read and not kept."""

Null = Annotated[None, Field(exclude=True)]
"""A setting of Keras that has to keep its default."""


class Layer(BaseModel, ABC):
    """The config of one layer: the settings of its constructor, under the names that Keras gives them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    merges: ClassVar[bool] = False
    """Whether it takes a list of tensors rather than one."""

    name: Annotated[str | None, Field(max_length=200, exclude=True)] = None
    trainable: bool = True
    dtype: Annotated[DType, Field(exclude=True)] = "float32"
    seed: Ignored = None
    activity_regularizer: Null = None
    quantization_config: Null = None

    @abstractmethod
    def output(self, inputs: list[Shape]) -> Shape:
        """Return the shape that it gives for ``inputs``. Raises ValueError when it does not take them."""

    def parameters(self, inputs: list[Shape]) -> int:
        """Return how many weights it has, at least: what depends on an unknown shape counts as none."""
        return 0

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the Keras layer's constructor, but for its name."""
        return self.model_dump(exclude_unset=True)


class Same(Layer):
    """A layer that keeps the shape."""

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        return inputs[0]


def size(shape: Shape) -> int | None:
    """Return how many values a row of ``shape`` has, None when that is not known."""
    known = [side for side in shape if side is not None]
    return prod(known) if len(known) == len(shape) else None


def rank(shape: Shape, *wanted: int) -> None:
    """Raise ValueError unless ``shape`` has one of the ``wanted`` numbers of axes."""
    if len(shape) not in wanted:
        axes = " or ".join(str(each) for each in wanted)
        raise ValueError(f"takes rows of {axes} axes, not of {len(shape)}: {text(shape)}")


def text(shape: Shape) -> str:
    """Return ``shape`` for people."""
    return "(" + ", ".join("?" if side is None else str(side) for side in shape) + ")"
