"""The beginning of a network: which columns it reads, and the shape of a row."""

from __future__ import annotations

from typing import Literal

from headrace_workers.engine.architecture.core import Embedding
from headrace_workers.engine.architecture.layer import Shape, text
from headrace_workers.engine.architecture.model import Architecture, wrong

MAX_SIDE = 1024
"""Of an image."""

Kind = Literal["table", "image", "text"]


def kind_of(architecture: Architecture) -> Kind:
    """Return what the network reads."""
    name, layer = architecture.first()
    shape = architecture.batch_shape
    if len(shape) == 4 if shape else "2D" in name or name == "Rescaling":
        return "image"
    return "text" if isinstance(layer, Embedding) else "table"


def shape_of(architecture: Architecture) -> Shape:
    """Return the shape of the rows that the network takes, None where it follows from the data.

    Raises pydantic's ValidationError for a shape that no column becomes.
    """
    if architecture.batch_shape is None:
        return (None, None, None) if kind_of(architecture) == "image" else (None,)
    batch, *shape = architecture.batch_shape
    loc = ("config", "layers", 0, "config", "batch_shape") if architecture.offset else ("config",)
    if batch is not None:
        raise wrong("the first axis is that of the batch and should be null", *loc)
    if len(shape) == 2:
        raise wrong("rows have one axis (tables, text) or three (images), not two", *loc)
    if len(shape) == 3 and (shape[2] not in (None, 1, 3) or max(side or 1 for side in shape[:2]) > MAX_SIDE):
        raise wrong(
            f"images are (height, width, 1 or 3) of {MAX_SIDE} a side at most, not {text(tuple(shape))}", *loc
        )
    return tuple(shape)
