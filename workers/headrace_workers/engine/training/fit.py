"""The fit of a network: epochs, learning curves, early stopping, and the state between two calls of steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from headrace.errors import BadSpec
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem, State
from headrace_workers.engine.algorithms.params import Augmentation, NetworkParams
from headrace_workers.engine.training import negatives as sampling
from headrace_workers.engine.training.early_stopping import EarlyStopping
from headrace_workers.engine.training.forward import Forward
from headrace_workers.engine.training.negatives import Negatives
from headrace_workers.engine.training.objective import Objective
from headrace_workers.engine.training.optimizer import make_optimizer
from headrace_workers.engine.training.plateau import Plateau
from headrace_workers.engine.training.rows import Rows
from headrace_workers.engine.training.steps import Epoch, Steps


class Frozen(NamedTuple):
    """In the first ``epochs`` only the layer ``head`` learns; then all do, with ``rate`` times the rate."""

    epochs: int
    rate: float
    head: str


class Fit:
    """Trains ``model`` in place. ``objective`` gives what training rows are to make small."""

    def __init__(
        self,
        model: Any,
        params: NetworkParams,
        problem: Problem,
        forward: Forward,
        objective: Callable[[Rows], Objective],
        augmentation: Augmentation | None = None,
        frozen: Frozen | None = None,
        negatives: Negatives | None = None,
    ) -> None:
        self._model = model
        self._params = params
        self._problem = problem
        self._forward = forward
        self._objective = objective
        self._augmentation = augmentation
        self._frozen = frozen
        self._negatives = negatives
        self._stopping = EarlyStopping(params.early_stopping)
        self._plateau = Plateau(params.plateau)
        self._epoch = self._done = 0
        self._sums = (0.0, 0.0)
        self._optimizer: Any = None
        self._rows = 0

    def run(self, training: Rows, validation: Rows | None, monitor: Monitor, learner: Learner) -> None:
        """Train until the last epoch or until it gets no better; see `Learner.fit`."""
        import keras

        goal = self._objective(training)
        if self._optimizer is None:
            self._build_optimizer(training.count)
        epochs = self._params.epochs_of(training.count)
        steps: Steps | None = None
        while self._epoch < epochs and not self._stopping.stopped:
            if steps is None or self._thaws():
                steps = Steps(
                    self._model,
                    self._learning(),
                    self._optimizer,
                    goal,
                    self._problem,
                    self._augmentation,
                    self._negatives,
                )
            augmented = self._augmentation is not None
            epoch = Epoch.make(self._problem.seed, self._epoch, training.count, augmented)
            position = f"epoch {self._epoch + 1} of {epochs}"
            while self._done < training.count:
                self._done, self._sums = steps.call(
                    training, epoch, self._done, self._params.batch_size, self._sums
                )
                monitor.progress((self._epoch + self._done / training.count) / epochs, position)
                if self._done < training.count:
                    monitor.cut(learner, f"{position}, row {self._done} of {training.count}")
            loss, metric = (total / training.count for total in self._sums)
            self._check(loss)
            curve = {"loss": loss, goal.metric: metric}
            if validation is not None:
                loss, metric = self._validate(validation, goal)
                curve |= {"val_loss": loss, f"val_{goal.metric}": metric}
            self._stopping.update(loss, self._model.variables)
            if self._params.plateau is not None or self._params.schedule is not None:
                curve["learning_rate"] = float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
            if self._params.plateau is not None:
                self._plateau.update(loss, self._optimizer.learning_rate)
            self._epoch, self._done, self._sums = self._epoch + 1, 0, (0.0, 0.0)
            for name, value in curve.items():
                monitor.metric(name, self._epoch, value)
            monitor.cut(learner, f"the end of {position}")
        self._stopping.restore(self._model.variables)

    def _thaws(self) -> bool:
        return self._frozen is not None and self._epoch == self._frozen.epochs

    def _learning(self) -> list[Any]:
        """Return the variables that learn in this epoch, and lower the learning rate where it is due."""
        weights: list[Any] = self._model.trainable_variables
        if self._frozen is None:
            return weights
        if self._epoch < self._frozen.epochs:
            return [weight for weight in weights if weight.path.startswith(f"{self._frozen.head}/")]
        if self._thaws() and not self._done:
            self._optimizer.learning_rate.assign(self._params.learning_rate * self._frozen.rate)
        return weights

    def state(self) -> State:
        """Return everything that the next step depends on."""
        stopping = self._stopping.state()
        arrays = {
            **_numbered("model", self._model.variables),
            **_numbered("optimizer", self._optimizer.variables if self._optimizer else []),
            **{f"best/{name}": value for name, value in stopping.arrays.items()},
        }
        position = {"epoch": self._epoch, "done": self._done, "sums": list(self._sums), "rows": self._rows}
        return State(arrays, position | {"stopping": stopping.values, "plateau": self._plateau.state()})

    def load_state(self, state: State) -> None:
        """Go to where another fit was."""
        _assign(self._model.variables, "model", state.arrays)
        if state.values["rows"]:  # else it had not begun
            self._build_optimizer(state.values["rows"])
            _assign(self._optimizer.variables, "optimizer", state.arrays)
        best = {n.removeprefix("best/"): a for n, a in state.arrays.items() if n.startswith("best/")}
        self._stopping.load_state(State(best, state.values["stopping"]))
        self._plateau.load_state(state.values["plateau"])
        loss, metric = state.values["sums"]
        self._epoch, self._done, self._sums = state.values["epoch"], state.values["done"], (loss, metric)

    def _build_optimizer(self, rows: int) -> None:
        self._rows = rows
        self._optimizer = make_optimizer(self._params, rows)
        self._optimizer.build(self._model.trainable_variables)

    def _validate(self, rows: Rows, goal: Objective) -> tuple[float, float]:
        sums = np.zeros(2)
        done = 0
        for inputs, targets in rows.blocks():
            if self._negatives is not None:
                numbers = np.arange(done, done + len(targets))
                inputs[sampling.INPUT] = self._negatives.draw(sampling.VALIDATION, numbers)
                done += len(targets)
            sums += goal.sums(self._forward(inputs), targets)
        loss, metric = (sums / rows.count).tolist()
        return loss, metric

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise BadSpec(
                f"The loss became {loss} in epoch {self._epoch + 1}: try a learning_rate below "
                f"{self._params.learning_rate:g}."
            )


def _numbered(prefix: str, variables: list[Any]) -> Arrays:
    return {f"{prefix}/{i}": variable.numpy() for i, variable in enumerate(variables)}


def _assign(variables: list[Any], prefix: str, arrays: Arrays) -> None:
    for i, variable in enumerate(variables):
        array = arrays[f"{prefix}/{i}"]
        if array.shape != tuple(variable.shape):
            raise ValueError(f"{prefix}/{i} is of shape {array.shape}, {variable.path} of {variable.shape}")
        variable.assign(array)
