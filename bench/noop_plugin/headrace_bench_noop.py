"""An algorithm that learns nothing, so that what is left is the time that the platform takes.

Its jobs are whole all the same: rows are read and encoded, predicted, evaluated, and a version is registered.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows


class Noop(Learner):
    """Always predicts the same; reports when its code began to run."""

    params_class = Params

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Report the time, in seconds since 1970."""
        monitor.metric("began_at", 1, time.time())

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return equal probabilities."""
        import numpy as np

        rows = len(next(iter(inputs.values())))
        return np.full((rows, self.problem.outputs), 1 / self.problem.outputs, np.float32)

    def learned(self) -> Arrays:
        """Return the number of classes, which is all there is."""
        import numpy as np

        return {"outputs": np.array(self.problem.outputs)}

    def save(self, folder: Path) -> None:
        """Write an empty file."""
        (folder / "noop").touch()

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Noop:
        """Return an equal one."""
        return cls(params, problem)


ALGORITHM = Algorithm(
    name="noop",
    title="Nothing",
    summary="Learns nothing.",
    source="bench/queue.py",
    tasks=("classification",),
    features=("number", "integer"),
    params=Params,
    code="headrace_bench_noop:Noop",
    runtime="plain",
)
