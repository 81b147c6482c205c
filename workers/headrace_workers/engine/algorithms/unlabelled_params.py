"""The params that the algorithms share that make few numbers of a row, and rows of them again."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Params
from headrace.specs.base import TaskType
from headrace_workers.engine.algorithms.params import Dense, EarlyStopping, Epochs, NetworkParams

Components = Annotated[
    int | None,
    Field(
        ge=1,
        le=1000,
        description="How many numbers a row becomes; null: 2, and where anomalies are to be found as many as "
        "a usual row needs: those that hold 95 % of the variance with pca, with networks a third of the "
        "encoded values, 64 at most.",
    ),
]
EMBEDDED = 2
"""Components of an embedding where nothing is said: those of a picture."""
Contamination = Annotated[
    float | None,
    Field(
        gt=0,
        le=0.5,
        description="The share of the training rows that is above the threshold of an anomaly; null: 0.05.",
    ),
]
CONTAMINATION = 0.05


def contamination_misfits(contamination: float | None, task: TaskType) -> dict[str, str]:
    """Return what `Params.misfits` says where ``contamination`` is given for what has no threshold."""
    if contamination is None or task == "anomaly":
        return {}
    return {"contamination": f"an {task} has no threshold: should be null"}


class ComponentsParams(Params):
    """What those that are no networks can be told."""

    components: Components = None
    contamination: Contamination = None

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        return contamination_misfits(self.contamination, task)


class AutoencoderParams(NetworkParams):
    """What those that are networks can be told."""

    epochs: Epochs = 50
    components: Components = None
    hidden: Dense = [64]
    early_stopping: EarlyStopping = 10
    contamination: Contamination = None

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        found: dict[str, Any] = {}
        for name in ("loss", "class_weight"):
            if getattr(self, name) is not None:
                found[name] = f"an {task} is learned by the error of what is made again: should be null"
        return found | contamination_misfits(self.contamination, task)
