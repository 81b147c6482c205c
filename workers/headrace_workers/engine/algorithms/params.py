"""The params that several algorithms have, each under one name with one range and one description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from headrace.specs.algorithms import Params

Epochs = Annotated[int, Field(ge=1, le=10_000, description="How often training goes through all rows.")]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="Rows per step of the optimizer.")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="The size of the optimizer's steps.")]
Optimizer = Annotated[
    Literal["adam", "adamw", "rmsprop", "sgd"],
    Field(description="Which optimizer; sgd has a momentum of 0.9."),
]
Dropout = Annotated[
    float, Field(ge=0, le=0.95, description="The fraction of a hidden layer's units dropped in each step.")
]
L2 = Annotated[float, Field(ge=0, le=100, description="The penalty on the squares of the weights.")]
EarlyStopping = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Stop after so many epochs in which the loss on validation rows (on training rows where "
        "there are none) did not fall, and keep the best weights; null never stops early.",
    ),
]
Plateau = Annotated[
    int | None,
    Field(
        ge=1,
        le=10_000,
        description="Halve the learning rate after so many epochs in which that same loss did not fall; null "
        "never does.",
    ),
]
Dense = Annotated[
    list[Annotated[int, Field(ge=1, le=65_536)]],
    Field(max_length=32, description="Units of each hidden dense layer."),
]


class NetworkParams(Params):
    """What every network that is trained by gradient descent can be told."""

    epochs: Epochs = 10
    batch_size: BatchSize = 32
    learning_rate: LearningRate = 0.001
    optimizer: Optimizer = "adam"
    l2: L2 = 0.0
    early_stopping: EarlyStopping = None
    plateau: Plateau = None
