"""Layers that make one tensor of several."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace_workers.engine.architecture.layer import Layer, Shape, text


class Merge(Layer):
    """Tensors of one shape, value by value: Add, Subtract, Multiply, Average, Maximum, Minimum."""

    merges = True

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        if len(inputs) < 2:
            raise ValueError("takes two tensors or more")
        if any(len(shape) != len(inputs[0]) for shape in inputs):
            raise ValueError(f"cannot merge {' and '.join(map(text, inputs))}")
        sides: list[int | None] = []
        for found in zip(*inputs, strict=True):
            # A side of one is spread over the others' side.
            wide = {side for side in found if side not in (1, None)}
            if len(wide) > 1:
                raise ValueError(f"cannot merge {' and '.join(map(text, inputs))}")
            sides.append(wide.pop() if wide else None if None in found else 1)
        return tuple(sides)


class Concatenate(Layer):
    """Tensors one behind the other, along one axis."""

    merges = True

    axis: Annotated[int, Field(ge=-4, le=4)] = -1

    def output(self, inputs: list[Shape]) -> Shape:
        """See `Layer.output`."""
        axes = len(inputs[0])
        # Counted with the axis of the batch, which is 0.
        at = self.axis - 1 if self.axis > 0 else self.axis + axes
        if self.axis == 0 or not 0 <= at < axes or any(len(shape) != axes for shape in inputs):
            raise ValueError(f"cannot join {' and '.join(map(text, inputs))} along axis {self.axis}")
        for i in range(axes):
            known = {shape[i] for shape in inputs} - {None}
            if i != at and len(known) > 1:
                raise ValueError(f"cannot join {' and '.join(map(text, inputs))} along axis {self.axis}")
        joined = [shape[at] for shape in inputs]
        total = None if None in joined else sum(side for side in joined if side is not None)
        return (*inputs[0][:at], total, *inputs[0][at + 1 :])
