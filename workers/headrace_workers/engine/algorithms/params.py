"""The params that several algorithms have, each under one name with one range and one description."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from headrace.specs.algorithms import Params
from headrace.specs.base import Spec, TaskType

Epochs = Annotated[int, Field(ge=1, le=10_000, description="How often training goes through all rows.")]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="Rows per step of the optimizer.")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="The size of the optimizer's steps.")]
Optimizer = Annotated[Literal["adam", "adamw", "rmsprop", "sgd"], Field(description="Which optimizer.")]
Momentum = Annotated[
    float | None, Field(ge=0, lt=1, description="The momentum of sgd and rmsprop; null: 0.9 and 0.")
]
WeightDecay = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="By how much of themselves weights shrink at each step, times the learning rate; null: "
        "0.004 with adamw, else 0.",
    ),
]
Schedule = Annotated[
    Literal["cosine", "exponential", "linear"] | None,
    Field(
        description="How the learning rate falls over all steps: to 0, with exponential to a hundredth; null "
        "keeps it."
    ),
]
Warmup = Annotated[
    float,
    Field(
        ge=0, le=0.9, description="The share of all steps in which the rate rises from 0, with cosine only."
    ),
]
ClipNorm = Annotated[
    float | None,
    Field(gt=0, le=1e6, description="The largest norm of all gradients together; null: no limit."),
]
Loss = Annotated[
    Literal["crossentropy", "mse", "mae", "huber"] | None,
    Field(description="What training makes small; null: crossentropy for classes, mse for numbers."),
]
ClassWeight = Annotated[
    Literal["balanced"] | None,
    Field(description="balanced: rows weigh so that every class counts the same; null: every row does."),
]
Dropout = Annotated[
    float, Field(ge=0, le=0.95, description="The fraction of a hidden layer's units dropped in each step.")
]
L1 = Annotated[float, Field(ge=0, le=100, description="The penalty on the sizes of the weights.")]
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
BatchNorm = Annotated[bool, Field(description="Normalise what each hidden layer gives, by batch.")]
Dense = Annotated[
    list[Annotated[int, Field(ge=1, le=65_536)]],
    Field(max_length=32, description="Units of each hidden dense layer."),
]

Trees = Annotated[int, Field(ge=1, le=10_000, description="How many trees at most.")]
MaxDepth = Annotated[
    int | None, Field(ge=1, le=1000, description="Levels of a tree at most; null: no limit.")
]
MinSamplesLeaf = Annotated[
    int, Field(ge=1, le=1_000_000, description="Training rows that each leaf holds at least.")
]


def class_weight_misfits(class_weight: str | None, task: TaskType) -> dict[str, str]:
    """Return what `Params.misfits` says where ``class_weight`` is given for what has no classes."""
    if class_weight is None or task == "classification":
        return {}
    return {"class_weight": f"a {task} has no classes: should be null"}


class Augmentation(Spec):
    """How training images are changed at random, each time anew; null changes none."""

    flip: Annotated[
        Literal["horizontal", "vertical", "both"] | None,
        Field(description="Mirror every other image left to right, top to bottom, or each way; null: never."),
    ] = None
    rotation: Annotated[float, Field(ge=0, le=180, description="Turn by up to so many degrees.")] = 0.0
    shift: Annotated[float, Field(ge=0, le=0.9, description="Move by up to this share of the side.")] = 0.0
    zoom: Annotated[float, Field(ge=0, le=0.9, description="Enlarge or shrink by up to this share.")] = 0.0
    brightness: Annotated[
        float, Field(ge=0, le=1, description="Make lighter or darker by up to this share of white.")
    ] = 0.0
    contrast: Annotated[
        float, Field(ge=0, le=0.9, description="Strengthen or weaken contrast by up to this share.")
    ] = 0.0


class NetworkParams(Params):
    """What every network that is trained by gradient descent can be told."""

    epochs: Epochs = 10
    batch_size: BatchSize = 32
    learning_rate: LearningRate = 0.001
    optimizer: Optimizer = "adam"
    momentum: Momentum = None
    weight_decay: WeightDecay = None
    schedule: Schedule = None
    warmup: Warmup = 0.0
    clip_norm: ClipNorm = None
    loss: Loss = None
    class_weight: ClassWeight = None
    l1: L1 = 0.0
    l2: L2 = 0.0
    early_stopping: EarlyStopping = None
    plateau: Plateau = None

    def epochs_of(self, rows: int) -> int:
        """Return how many epochs there are of so many training rows."""
        return self.epochs

    @model_validator(mode="before")
    @classmethod
    def _default_schedule_yields_to_plateau(cls, data: Any) -> Any:
        # One that is asked for does not.
        if isinstance(data, dict) and data.get("plateau") is not None:
            return {"schedule": None, **data}
        return data

    @field_validator("momentum")
    @classmethod
    def _has_momentum(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("optimizer", "sgd") not in ("sgd", "rmsprop"):
            raise ValueError("only sgd and rmsprop have a momentum")
        return value

    @field_validator("warmup")
    @classmethod
    def _warms_up_to_cosine(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("schedule", "cosine") != "cosine":
            raise ValueError("needs the schedule cosine")
        return value

    @field_validator("plateau")
    @classmethod
    def _one_schedule(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("schedule") is not None:
            raise ValueError("cannot be used together with a schedule: both set the learning rate")
        return value

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        found = {}
        if self.loss is not None and (self.loss == "crossentropy") != (task == "classification"):
            fitting = "crossentropy" if task == "classification" else "mse, mae or huber"
            found["loss"] = f"{self.loss} is no loss for a {task}: should be {fitting}"
        return found | class_weight_misfits(self.class_weight, task)


class ScheduledParams(NetworkParams):
    """Params of networks whose learning rate falls to 0 over as many steps as are enough."""

    epochs: Annotated[
        int | None,
        Field(
            ge=1,
            le=10_000,
            description="How often training goes through all rows; null: as often as makes 1,000 steps, 10 "
            "times at least and 100 at most.",
        ),
    ] = None  # type: ignore[assignment]
    schedule: Schedule = "cosine"

    def epochs_of(self, rows: int) -> int:
        """See `NetworkParams.epochs_of`: a few rows are too few steps in a few epochs."""
        if self.epochs is not None:
            return self.epochs
        return min(max(10, math.ceil(1000 / math.ceil(rows / self.batch_size))), 100)
