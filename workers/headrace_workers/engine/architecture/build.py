"""An architecture as Keras layers. Runs in a job process only."""

from __future__ import annotations

from typing import Any

from headrace_workers.engine.architecture.layer import Layer
from headrace_workers.engine.architecture.model import Architecture
from headrace_workers.engine.architecture.objects import snake
from headrace_workers.engine.architecture.sequence import Bidirectional


def build(architecture: Architecture, tensor: Any, regularizer: Any = None) -> Any:
    """Return the Keras tensor that comes out when ``tensor`` goes in.

    ``regularizer`` is that of kernels whose layer has none. Raises what Keras raises for settings that it
    refuses: ValueError, TypeError.
    """
    made: dict[int, Any] = {}
    tensors = [tensor]
    for call in architecture.calls[1:]:
        kind, layer = architecture.layers[call.layer]
        if call.layer not in made:
            # By kind and place, so that weights are called the same wherever the config comes from.
            made[call.layer] = _make(kind, layer, f"{snake(kind)}_{call.layer + 1}", regularizer)
        given = [tensors[each] for each in call.inputs]
        split = len(given) - len(call.keywords)
        named = dict(zip(call.keywords, given[split:], strict=True))
        args = [given] if layer.merges else given[:split]
        tensors.append(made[call.layer](*args, **named))
    return tensors[-1]


def _make(kind: str, layer: Layer, name: str, regularizer: Any) -> Any:
    from keras import layers

    arguments = layer.arguments()
    if isinstance(layer, Bidirectional):
        inner = layer.layer
        arguments["layer"] = _make(inner.class_name, inner.config, snake(inner.class_name), regularizer)
    objects = {key: _object(value) for key, value in arguments.items() if isinstance(value, dict)}
    if "kernel_regularizer" in type(layer).model_fields and arguments.get("kernel_regularizer") is None:
        objects["kernel_regularizer"] = regularizer
    return getattr(layers, kind)(name=name, **arguments | objects)


def _object(value: dict[str, Any]) -> Any:
    """Return the initializer, regularizer or constraint that `objects` has read."""
    import keras

    name = value["class_name"]
    module = next(
        each for each in (keras.initializers, keras.regularizers, keras.constraints) if hasattr(each, name)
    )
    return getattr(module, name)(**value["config"])
