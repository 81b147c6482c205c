"""A network cut open where what it reads has become numbers, so that gradients with respect to them exist."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import BadSpec
from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.data.preprocessing import IMAGE, SPECTROGRAM, TABLE, TEXT
from headrace_workers.engine.data.text import PADDING

POINTS = 25
"""Points of one call. Kernels differ in their last bits between sizes, so there is only this one."""


class Opened:
    """A network as a function of one array of numbers; a row's other inputs stand still.

    ``kind``: the input that is explained. ``embed`` makes numbers of it, ``baseline`` is where the way to a
    row begins. Raises `BadSpec` for a network that cannot be opened.
    """

    def __init__(self, network: Network) -> None:
        if len(network.problem.inputs) != 1:
            names = " and ".join(network.problem.inputs)
            raise BadSpec(f"method: integrated_gradients explains one input, this network reads {names}.")
        (self.kind,) = network.problem.inputs
        self._network = network
        self._embedding = _embedding(network.model) if self.kind == TEXT else None
        self._vectors: NDArray[np.float32] | None = None
        if self._embedding is not None:
            self._vectors = self._embedding.embeddings.numpy()
        self._head = self._open()
        self._functions: tuple[Any, Any] | None = None

    def embed(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return rows of the input as numbers, shape (n, …)."""
        found: NDArray[np.float32]
        found = values.astype(np.float32) if self._vectors is None else self._vectors[values]
        return found

    def baseline(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return one row of numbers: the mean of a table's, a black image, silence, or a text of padding."""
        values = inputs[self.kind]
        if self.kind == TABLE:
            return np.asarray(values.mean(axis=0, dtype=np.float64), np.float32)
        if self.kind in (IMAGE, SPECTROGRAM):
            return np.zeros(values.shape[1:], np.float32)
        return self.embed(np.full(values.shape[1:], PADDING, np.int32))

    def values(self, points: NDArray[np.float32], row: NDArray[Any], output: int) -> NDArray[np.float64]:
        """Return the ``output`` of `POINTS` points at most; ``row`` is the input of the row that is meant."""
        measure, _ = self._traced()
        found = measure(_filled(points), self._still(row), np.int32(output)).numpy()
        return np.asarray(found[: len(points)], np.float64)

    def slope(
        self, points: NDArray[np.float32], weights: NDArray[np.float32], row: NDArray[Any], output: int
    ) -> NDArray[np.float64]:
        """Return the weighted sum of the gradients of ``output`` at `POINTS` points at most."""
        _, differentiate = self._traced()
        padded = np.zeros(POINTS, np.float32)
        padded[: len(weights)] = weights
        return np.asarray(
            differentiate(_filled(points), self._still(row), np.int32(output), padded).numpy(), np.float64
        )

    def _still(self, row: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(row[None], POINTS, axis=0)

    def _open(self) -> Any:
        """Return a function of points and of the rows that they belong to."""
        model = self._network.model
        if self._embedding is None:
            floating = _floating(model)
            return lambda points, rows: floating({self.kind: points}, training=False)
        import keras

        # The tokens come along, since masks are made of them.
        (tokens,) = model.inputs
        tail = keras.Model([self._embedding.output, tokens], model.output)
        return lambda points, rows: tail([points, rows], training=False)

    def _traced(self) -> tuple[Any, Any]:
        if self._functions is None:
            import tensorflow as tf

            spec = self._network.problem.inputs[self.kind]
            shape = self.embed(np.zeros((1, *spec.shape), spec.dtype)).shape[1:]
            points = tf.TensorSpec([POINTS, *shape], tf.float32)
            rows = tf.TensorSpec([POINTS, *spec.shape], spec.dtype)
            number = tf.TensorSpec([], tf.int32)
            weights = tf.TensorSpec([POINTS], tf.float32)

            def measure(points: Any, rows: Any, output: Any) -> Any:
                return tf.gather(self._head(points, rows), output, axis=1)

            def differentiate(points: Any, rows: Any, output: Any, weights: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch(points)
                    found = measure(points, rows, output)
                slopes = tape.gradient(found, points)
                if slopes is None:
                    raise BadSpec("method: no gradient of this network reaches what it reads.")
                return tf.tensordot(weights, slopes, 1)

            self._functions = (
                tf.function(measure, input_signature=[points, rows, number], autograph=False),
                tf.function(differentiate, input_signature=[points, rows, number, weights], autograph=False),
            )
        return self._functions


def _floating(model: Any) -> Any:
    """Return ``model``, of the same layers, on an input that is not cut to whole numbers on its way in."""
    import keras

    def floats(tensor: Any) -> Any:
        return keras.Input(tensor.shape[1:], dtype="float32", name=tensor.name)

    def shared(layer: Any) -> Any:
        return _floating(layer) if isinstance(layer, keras.Model) else layer

    made = keras.tree.map_structure(floats, model.input)
    return keras.models.clone_model(model, input_tensors=made, clone_function=shared)


def _embedding(model: Any) -> Any:
    """Return the layer that turns tokens into vectors. Raises `BadSpec` where it is not one."""
    import keras

    found = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
    if len(found) != 1:
        raise BadSpec(
            f"method: integrated_gradients explains a text through one Embedding, here are {len(found)}."
        )
    return found[0]


def _filled(points: NDArray[np.float32]) -> NDArray[np.float32]:
    block = np.zeros((POINTS, *points.shape[1:]), np.float32)
    block[: len(points)] = points
    return block
