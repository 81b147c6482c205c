"""Shapes and sizes of an architecture, before Keras sees it."""

from __future__ import annotations

from dataclasses import dataclass

from headrace_workers.engine.architecture.layer import Shape, size, text
from headrace_workers.engine.architecture.model import Architecture, wrong

MAX_PARAMETERS = 100_000_000
"""Weights of a network: with the optimizer's state they take 1.2 GB."""

MAX_VALUES = 20_000_000
"""Values of one row that all layers together give out."""


@dataclass(frozen=True)
class Sizes:
    """``output``: the shape of what comes out; ``parameters``: how many weights there are, at least."""

    output: Shape
    parameters: int


def infer(architecture: Architecture, shape: Shape) -> Sizes:
    """Return the sizes for rows of ``shape``, where None is what only the data will tell.

    Raises pydantic's ValidationError, with the place in the config, for layers that do not fit together and
    for more than the limits.
    """
    shapes: list[Shape] = [shape]
    parameters = values = 0
    counted = set()
    for call in architecture.calls[1:]:
        name, layer = architecture.layers[call.layer]
        loc = ("config", "layers", call.layer + architecture.offset)
        inputs = [shapes[each] for each in call.inputs]
        if any(len(each) < 1 for each in inputs):
            raise wrong(f"{name}: there is no axis left", *loc)
        try:
            shapes.append(layer.output(inputs))
            if call.layer not in counted:
                parameters += layer.parameters(inputs)
                counted.add(call.layer)
        except ValueError as error:
            raise wrong(f"{name} on {' and '.join(map(text, inputs))}: {error}", *loc) from None
        values += size(shapes[-1]) or 0
        if parameters > MAX_PARAMETERS:
            raise wrong(
                f"{name}: the network has {parameters:,} parameters or more, the limit is {MAX_PARAMETERS:,}",
                *loc,
            )
        if values > MAX_VALUES:
            raise wrong(f"{name}: {values:,} values or more for each row, the limit is {MAX_VALUES:,}", *loc)
    return Sizes(shapes[-1], parameters)
