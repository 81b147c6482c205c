"""A checked upload as a Keras model of our own. Runs in a job process with Keras only."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from headrace.errors import BadData
from headrace.specs.algorithms import field_errors
from headrace_workers.engine.architecture.build import build
from headrace_workers.engine.architecture.inputs import Kind, kind_of, shape_of
from headrace_workers.engine.architecture.layer import Shape
from headrace_workers.engine.architecture.model import Architecture, parse
from headrace_workers.engine.architecture.shapes import infer
from headrace_workers.engine.backbones import weights

KEPT = ("class_name", "config")
"""What of a config describes the network; the rest says how it was trained and built."""


class Network(NamedTuple):
    """``config``: what `parse` has read; ``shape`` and ``kind``: those of a row that it takes."""

    config: dict[str, Any]
    architecture: Architecture
    kind: Kind
    shape: Shape


def check(config: dict[str, Any]) -> Network:
    """Return the network that ``config`` describes. Raises `BadData` with the place and the reason."""
    try:
        architecture = parse(config)
        kind, shape = kind_of(architecture), shape_of(architecture)
        infer(architecture, shape)
    except ValidationError as error:
        wrong = field_errors(error)[0]
        place = ".".join(map(str, wrong.loc))
        raise BadData(f"The .keras file's config.json is refused: {place}: {wrong.msg}") from None
    if kind == "text":
        raise BadData(
            "The .keras file reads token numbers (its first layer is an Embedding), and does not say which "
            "tokens they are: only networks that read images or tables can be uploaded."
        )
    return Network({name: config[name] for name in KEPT if name in config}, architecture, kind, shape)


def load(network: Network, arrays: dict[str, NDArray[Any]], folder: Path) -> Any:
    """Return the Keras model of ``network`` with the weights ``arrays``; ``folder`` is for what is temporary.

    Its input is named by its kind, and is what columns become. Raises `BadData` where Keras finds that the
    two do not fit.
    """
    import keras

    file = folder / "checked.weights.h5"
    weights.write(file, arrays)
    try:
        bare = _model(network, keras.Input(network.shape, name="bare"))
        with warnings.catch_warnings():
            # Of containers that it does not find; what matters is looked at below.
            warnings.simplefilter("ignore")
            bare.load_weights(file)
        if network.kind == "image":
            x = entry = keras.Input(network.shape, dtype="uint8", name=network.kind)
            if network.architecture.first()[0] != "Rescaling":
                x = keras.layers.Rescaling(1 / 255, name="rescaling")(x)
        else:
            x = entry = keras.Input(network.shape, name=network.kind)
        model = keras.Model({network.kind: entry}, build(network.architecture, x), name="network")
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise BadData(f"The .keras file's weights do not fit its network: {str(error)[:500]}") from None
    held, wanted = len(arrays), len(bare.weights)
    if held != wanted:
        raise BadData(f"The .keras file holds {held} arrays of weights, its network has {wanted}.")
    learned = {weight.path: weight.numpy() for weight in bare.weights}
    known = {_digest(array) for array in arrays.values()}
    missing = [path for path, array in learned.items() if _digest(array) not in known]
    if missing:
        raise BadData(f"The .keras file's weights do not fit its network: {missing[0]} is not among them.")
    for weight in model.weights:
        weight.assign(learned[weight.path])
    return model


def _digest(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array, np.float32).tobytes()).digest()


def _model(network: Network, entry: Any) -> Any:
    import keras

    return keras.Model(entry, build(network.architecture, entry))
