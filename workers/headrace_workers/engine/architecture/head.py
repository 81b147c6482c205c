"""The end of a network: what its last layer gives, and the probabilities or the value that it becomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.specs.base import TaskType
from headrace_workers.engine.architecture.model import Architecture


def misfit(
    architecture: Architecture, task: TaskType, units: int | None, classes: int | None = None
) -> str | None:
    """Return why a network whose output has ``units`` values is not for ``task``, None where it is.

    ``classes``: how many the target has, None when that is not known.
    """
    function = _activation(architecture)
    last = f"the network ends in {units} units and {function}"
    if task == "regression":
        return None if units == 1 and function == "linear" else f"{last}; a number needs one unit and linear"
    if function not in ("softmax", "linear", "sigmoid"):
        return f"{last}; classes need softmax or linear, two classes may have one unit and sigmoid"
    if units == 1 and function == "softmax":
        return f"{last}, which is always 1; classes need a unit each, two may have one unit and sigmoid"
    if units != 1 and function == "sigmoid":
        return f"{last}; classes that exclude each other need softmax"
    if classes is not None and units != classes and not (units == 1 and classes == 2):
        return f"{last}; the target has {classes} classes, which need a unit each"
    return None


def opened(architecture: Architecture) -> Architecture:
    """Return ``architecture`` without a sigmoid at its end."""
    last = architecture.calls[-1].layer
    kind, layer = architecture.layers[last]
    if _activation(architecture) != "sigmoid":
        return architecture
    layers = list(architecture.layers)
    layers[last] = (kind, layer.model_copy(update={"activation": "linear"}))
    return replace(architecture, layers=layers)


def closed(architecture: Architecture, x: Any, task: TaskType) -> Any:
    """Return probabilities, shape (n, classes), or the value, shape (n, 1), of what `opened` gives."""
    from keras import layers

    if task == "regression" or _activation(architecture) == "softmax":
        return x
    if x.shape[-1] == 1:
        # A softmax of 0 and z is a sigmoid of z, and keeps its precision near 0 and 1.
        x = layers.Concatenate(name="logits")([layers.Rescaling(0.0, name="zero")(x), x])
    return layers.Softmax(name="probabilities")(x)


def _activation(architecture: Architecture) -> str:
    kind, layer = architecture.layers[architecture.calls[-1].layer]
    return "softmax" if kind == "Softmax" else str(getattr(layer, "activation", "linear"))
