"""The optimizer that params ask for."""

from __future__ import annotations

import math
from typing import Any

from headrace_workers.engine.algorithms.params import NetworkParams

LAST_SHARE = 0.01
"""What is left of the learning rate at the end of an exponential schedule."""

ADAMW_DECAY = 0.004
SGD_MOMENTUM = 0.9


def make_optimizer(params: NetworkParams, rows: int) -> Any:
    """Return the Keras optimizer for training on so many ``rows``, which a schedule counts its steps by."""
    import keras

    decay = params.weight_decay
    shared = {
        "learning_rate": _learning_rate(params, rows),
        "weight_decay": ADAMW_DECAY if decay is None and params.optimizer == "adamw" else decay or None,
        "global_clipnorm": params.clip_norm,
    }
    optimizers = keras.optimizers
    if params.optimizer == "sgd":
        return optimizers.SGD(momentum=SGD_MOMENTUM if params.momentum is None else params.momentum, **shared)
    if params.optimizer == "rmsprop":
        return optimizers.RMSprop(momentum=params.momentum or 0.0, **shared)
    return {"adam": optimizers.Adam, "adamw": optimizers.AdamW}[params.optimizer](**shared)


def _learning_rate(params: NetworkParams, rows: int) -> Any:
    import keras

    rate, schedules = params.learning_rate, keras.optimizers.schedules
    steps = params.epochs_of(rows) * math.ceil(rows / params.batch_size)
    if params.schedule == "cosine":
        rising = int(steps * params.warmup)
        start = 0.0 if rising else rate
        return schedules.CosineDecay(
            start, max(steps - rising, 1), warmup_target=rate if rising else None, warmup_steps=rising
        )
    if params.schedule == "exponential":
        return schedules.ExponentialDecay(rate, steps, LAST_SHARE)
    if params.schedule == "linear":
        return schedules.PolynomialDecay(rate, steps, end_learning_rate=0.0)
    return rate
