"""What every run of one spec must share: threads and seeds."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

EPOCH_ORDER, AUGMENTATION, NEGATIVES = 0, 1, 2
"""The purposes of random streams, so that no two purposes draw the same numbers."""


def threads(asked: int | None, *, deterministic: bool) -> int:
    """Return the number of threads within one operation: 1 unless asked, since it changes the bits."""
    return asked or (1 if deterministic else os.cpu_count() or 1)


def configure(count: int, *, deterministic: bool) -> None:
    """Give TensorFlow ``count`` threads within one operation.

    Call it before the first operation of the process: raises RuntimeError when it is too late to change.
    """
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != count:
        threading.set_intra_op_parallelism_threads(count)
        # The operations of a training step form a chain: handing them from thread to thread costs a
        # fifth of the step and wins nothing.
        threading.set_inter_op_parallelism_threads(1)
    # On the CPU the operations used here give the same bits without this, which would cost 40 %.
    if deterministic and tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def seed(value: int) -> None:
    """Seed every generator that a library may draw from by itself."""
    import keras

    random.seed(value)
    np.random.seed(value)
    keras.utils.set_random_seed(value)


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.integer[Any]]:
    """Return the order of ``count`` rows in ``epoch`` (from 0): a function of its arguments alone.

    A streamed fit keeps it in memory, so its numbers are no wider than they must be.
    """
    order = np.arange(count, dtype=np.min_scalar_type(count))
    generator(seed, EPOCH_ORDER, epoch).shuffle(order)
    return order


def generator(seed: int, purpose: int, epoch: int) -> np.random.Generator:
    """Return the random stream of one ``purpose`` in one ``epoch``."""
    return np.random.default_rng([seed, purpose, epoch])
