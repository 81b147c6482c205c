"""Images changed at random while a network learns.

What happens to a row is a function of the seed, the epoch and the row's number: neither the order of rows,
nor how they are divided into batches and calls, nor where an attempt was cut changes a bit of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.params import Augmentation
from headrace_workers.engine.training import determinism

DRAWS = 9
"""Random numbers per row: two flips, a rotation, two shifts, two zooms, brightness and contrast."""

WHITE = 255.0


def draws(seed: int, epoch: int, count: int) -> NDArray[np.float32]:
    """Return what ``count`` rows are changed by in ``epoch``: shape (count, `DRAWS`), from -1 to 1."""
    generator = determinism.generator(seed, determinism.AUGMENTATION, epoch)
    return generator.random((count, DRAWS), np.float32) * 2 - 1


def augment(images: Any, drawn: Any, how: Augmentation) -> Any:
    """Return the tensor ``images``, shape (n, height, width, channels) of uint8, each changed by its draws.

    What comes in from beyond an edge continues the edge.
    """
    import keras
    import tensorflow as tf

    height, width = images.shape[1:3]
    changed = tf.cast(images, tf.float32)
    if how.flip or how.rotation or how.shift or how.zoom:
        changed = keras.ops.image.affine_transform(
            changed, _transforms(drawn, how, height, width), interpolation="bilinear", fill_mode="nearest"
        )
    if how.contrast:
        mean = tf.reduce_mean(changed, axis=(1, 2, 3), keepdims=True)
        changed = mean + (changed - mean) * (1 + how.contrast * _each(drawn, 7))
    if how.brightness:
        changed += WHITE * how.brightness * _each(drawn, 8)
    return tf.cast(tf.round(tf.clip_by_value(changed, 0.0, WHITE)), images.dtype)


def _each(drawn: Any, number: int) -> Any:
    return drawn[:, number, None, None, None]


def _transforms(drawn: Any, how: Augmentation, height: int, width: int) -> Any:
    """Return the eight numbers per image by which Keras finds the pixel (x, y) that each pixel comes from."""
    import tensorflow as tf

    def flip(number: int, *kinds: str) -> Any:
        return tf.sign(drawn[:, number] + 1e-9) if how.flip in kinds else tf.ones_like(drawn[:, number])

    angle = drawn[:, 2] * math.radians(how.rotation)
    across = flip(0, "horizontal", "both") / (1 + how.zoom * drawn[:, 5])
    down = flip(1, "vertical", "both") / (1 + how.zoom * drawn[:, 6])
    a, b = tf.cos(angle) * across, -tf.sin(angle) * down
    c, d = tf.sin(angle) * across, tf.cos(angle) * down
    x, y = (width - 1) / 2, (height - 1) / 2
    right = x - a * x - b * y + how.shift * width * drawn[:, 3]
    below = y - c * x - d * y + how.shift * height * drawn[:, 4]
    nothing = tf.zeros_like(a)
    return tf.stack([a, b, right, c, d, below, nothing, nothing], axis=1)
