"""An algorithm that conforms, as one would bring as a plug-in, and some that are broken, each in one way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem, State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows


class SteadyParams(Params):
    epochs: Annotated[int, Field(ge=1, le=1000, description="How often training goes through all rows.")] = 5


class Steady(Learner):
    """Softmax regression, a row at a time in a random order drawn from a running generator."""

    params_class = SteadyParams

    def __init__(self, params: SteadyParams, problem: Problem) -> None:
        import numpy as np

        super().__init__(params, problem)
        self._params = params
        self._epoch = 0
        self._rng = np.random.default_rng(self._seed())
        self._weights = self._rng.normal(0, 0.01, (problem.inputs["table"].shape[0], problem.outputs))

    def _seed(self) -> int:
        return self.problem.seed

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        import numpy as np

        while self._epoch < self._params.epochs:
            for indices in np.array_split(self._rng.permutation(training.count), training.count // 32 + 1):
                inputs, targets = training.take(indices)
                for row, target in zip(inputs["table"].astype(np.float64), targets, strict=True):
                    error = self._softmax(row[None])[0]
                    error[target] -= 1
                    self._weights -= 0.05 * row[:, None] * error
                monitor.progress(self._epoch / self._params.epochs)
            self._epoch += 1
            monitor.cut(self, f"the end of epoch {self._epoch}")

    def predict(self, inputs: Arrays) -> NDArray[np.float64]:
        import numpy as np

        return self._softmax(inputs["table"].astype(np.float64))

    def _softmax(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np

        # Not a product of matrices, whose last bits depend on how many rows there are.
        scores = (rows[:, :, None] * self._weights).sum(axis=1)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def learned(self) -> Arrays:
        return {"weights": self._weights}

    def state(self) -> State:
        return State(self.learned(), {"epoch": self._epoch, "rng": self._rng.bit_generator.state})

    def load_state(self, state: State) -> None:
        self._weights, self._epoch = state.arrays["weights"], state.values["epoch"]
        self._rng.bit_generator.state = state.values["rng"]

    def save(self, folder: Path) -> None:
        import numpy as np

        np.save(folder / "weights.npy", self._weights)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Steady:
        import numpy as np

        assert isinstance(params, SteadyParams)
        learner = cls(params, problem)
        learner._weights = np.load(folder / "weights.npy")
        return learner


class Forgetful(Steady):
    """Its state leaves out where its generator stood."""

    def state(self) -> State:
        return State(self.learned(), {"epoch": self._epoch})

    def load_state(self, state: State) -> None:
        self._weights, self._epoch = state.arrays["weights"], state.values["epoch"]


class Sociable(Steady):
    """It looks at the rows beside a row."""

    def predict(self, inputs: Arrays) -> NDArray[np.float64]:
        table = inputs["table"]
        return super().predict({"table": table + 0.01 * table.mean(axis=0)})


class Unseeded(Steady):
    """It draws from the machine, not from the seed."""

    def _seed(self) -> int:
        return int.from_bytes(os.urandom(4))


class Indifferent(Steady):
    """Its seed makes no difference, and it does not say so."""

    def _seed(self) -> int:
        return 0


class Stubborn(Steady):
    """It learns nothing."""

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        pass


class Lossy(Steady):
    """Its file holds less than it learned."""

    def save(self, folder: Path) -> None:
        import numpy as np

        np.save(folder / "weights.npy", self._weights.astype(np.float32))


class Hoarder(Steady):
    """It says that it streams, and keeps all rows."""

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        self._kept = training.all()
        super().fit(training, validation, monitor)


def _described(code: type[Steady], *, random: bool = True, streams: bool = False) -> Algorithm:
    return Algorithm(
        name=code.__name__.lower(),
        title=code.__name__,
        summary=str(code.__doc__),
        source="tests",
        tasks=("classification",),
        features=("number", "integer", "boolean", "category"),
        params=SteadyParams,
        code=f"{__name__}:{code.__name__}",
        runtime="plain",
        random=random,
        streams=streams,
    )


STEADY = _described(Steady)
FORGETFUL = _described(Forgetful)
SOCIABLE = _described(Sociable)
UNSEEDED = _described(Unseeded)
INDIFFERENT = _described(Indifferent)
STUBBORN = _described(Stubborn, random=False)
LOSSY = _described(Lossy)
HOARDER = _described(Hoarder, streams=True)
