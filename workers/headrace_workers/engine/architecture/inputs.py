"""The beginning of a network: which columns it reads, and the shape of a row."""

from __future__ import annotations

from typing import Literal

from headrace_workers.engine.architecture.core import Embedding, Masking
from headrace_workers.engine.architecture.layer import Shape, text
from headrace_workers.engine.architecture.model import Architecture, wrong
from headrace_workers.engine.architecture.sequence import Bidirectional, SimpleRNN

MAX_SIDE = 1024
"""Of an image."""

MAX_STEPS = 4096
"""Of a sequence."""

Kind = Literal["table", "image", "text", "sequence"]


def kind_of(architecture: Architecture) -> Kind:
    """Return what the network reads."""
    name, layer = architecture.first()
    shape = architecture.batch_shape or ()
    if len(shape) == 4 if shape else "2D" in name or name == "Rescaling":
        return "image"
    if isinstance(layer, Embedding):
        return "text"
    steps = isinstance(layer, SimpleRNN | Bidirectional | Masking) or "1D" in name
    return "sequence" if len(shape) == 3 or (not shape and steps) else "table"


def shape_of(architecture: Architecture) -> Shape:
    """Return the shape of the rows that the network takes, None where it follows from the data.

    Raises pydantic's ValidationError for a shape that no column becomes.
    """
    if architecture.batch_shape is None:
        axes = {"image": 3, "sequence": 2}.get(kind_of(architecture), 1)
        return (None,) * axes
    batch, *shape = architecture.batch_shape
    loc = ("config", "layers", 0, "config", "batch_shape") if architecture.offset else ("config",)
    if batch is not None:
        raise wrong("the first axis is that of the batch and should be null", *loc)
    name, layer = architecture.first()
    if len(shape) == 2 and ("2D" in name or isinstance(layer, Embedding)):
        raise wrong("rows have one axis (text) or three (images), not two", *loc)
    if len(shape) == 2 and (shape[0] or 1) > MAX_STEPS:
        raise wrong(f"a sequence has {MAX_STEPS} values at most, not {shape[0]}", *loc)
    if len(shape) == 3 and (shape[2] not in (None, 1, 3) or max(side or 1 for side in shape[:2]) > MAX_SIDE):
        raise wrong(
            f"images are (height, width, 1 or 3) of {MAX_SIDE} a side at most, not {text(tuple(shape))}", *loc
        )
    return tuple(shape)
