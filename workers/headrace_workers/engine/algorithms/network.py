"""What the algorithms that are Keras networks share: they differ only in `Network.build`."""

from __future__ import annotations

import sys
from abc import abstractmethod
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.errors import BadSpec
from headrace.specs.algorithms import Params
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem, State
from headrace_workers.engine.algorithms.params import Augmentation, NetworkParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.objective import Objective
    from headrace_workers.engine.training.rows import Rows

MODEL_FILE = "model.keras"
OUTPUT = "output"
"""The name of the output layer."""


class Network(Learner):
    """A Keras model from named inputs to probabilities or one value, trained by `training.fit.Fit`."""

    params_class = NetworkParams

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        from headrace_workers.engine.training import determinism

        super().__init__(params, problem)
        assert isinstance(params, NetworkParams)
        self.params = params
        determinism.configure(problem.threads, deterministic=problem.deterministic)
        determinism.seed(problem.seed)
        self.use(self.assemble() if model is None else model)

    def use(self, model: Any) -> None:
        """Be the network ``model`` from now on, before the fit."""
        from headrace_workers.engine.training.fit import Fit, Frozen
        from headrace_workers.engine.training.forward import Forward

        self.model = model
        self._forward = Forward(model, self.problem)
        epochs, rate = self.frozen()
        frozen = Frozen(epochs, rate, OUTPUT) if epochs else None
        self._fit = Fit(
            model, self.params, self.problem, self._forward, self.objective, self.augmentation(), frozen
        )

    @abstractmethod
    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the Keras tensor before the output layer, made of the Keras tensors ``inputs``."""

    def objective(self, training: Rows) -> Objective:
        """Return what training makes small."""
        from headrace_workers.engine.training.objective import objective

        return objective(self.params, self.problem, training)

    def augmentation(self) -> Augmentation | None:
        """Return how images or spectrograms are to be changed at random while training."""
        return None

    def frozen(self) -> tuple[int, float]:
        """Return in how many epochs, the first, only the output layer learns, and what the learning rate is
        multiplied by after that.
        """
        return 0, 1.0

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Train by mini-batches; see `Learner.fit`."""
        self._fit.run(training, validation, monitor, self)

    def predict(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return probabilities or values; see `Learner.predict`."""
        return self._forward(inputs)

    def learned(self) -> Arrays:
        """Return the weights by their path in the model."""
        return {weight.path: weight.numpy() for weight in self.model.weights}

    def save(self, folder: Path) -> None:
        """Write the model as a ``.keras`` file, inference only."""
        from headrace_workers.engine.training.keras_file import save

        save(self.model, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Network:
        """Return the network that `save` wrote, able to predict."""
        from headrace_workers.engine.training import determinism
        from headrace_workers.engine.training.keras_file import load

        # Loading runs operations, after which the number of threads can no longer be set.
        determinism.configure(problem.threads, deterministic=problem.deterministic)
        return cls(params, problem, load(folder / MODEL_FILE))

    def start_from(self, base: Learner) -> None:
        """Take over each layer that ``base`` has by the same name, in the same shape; see `Learner`."""
        assert isinstance(base, Network)
        self.adopt(base.model)

    def adopt(self, backbone: Any) -> None:
        """Take over each layer that ``backbone`` has by the same name, in the same shape; see `Learner`."""
        learned = {weight.path: weight.numpy() for weight in backbone.weights}
        layers: dict[str, list[Any]] = {}
        for weight in self.model.weights:
            layers.setdefault(weight.path.rpartition("/")[0], []).append(weight)
        shapes = {path: array.shape for path, array in learned.items()}
        new = {
            name
            for name, weights in layers.items()
            if any(shapes.get(weight.path) != tuple(weight.shape) for weight in weights)
        }
        if len(new) == len(layers):
            raise BadSpec("base: none of its layers has the shape of one here; leave out params that differ.")
        for name in layers.keys() - new:
            for weight in layers[name]:
                weight.assign(learned[weight.path])
        missing = ", ".join(sorted(new)) or "nothing"
        print(f"taken over from base: all layers but {missing}", file=sys.stderr, flush=True)

    def state(self) -> State:
        """Return weights, random states, optimizer, epoch and callbacks."""
        return self._fit.state()

    def load_state(self, state: State) -> None:
        """Go to where another network of the same params and problem was."""
        self._fit.load_state(state)

    def kernel(self) -> dict[str, Any]:
        """Return the arguments by which every layer with a kernel is penalised."""
        import keras

        l1, l2 = self.params.l1, self.params.l2
        return {"kernel_regularizer": keras.regularizers.L1L2(l1, l2) if l1 or l2 else None}

    def hidden(self, layer: Any, name: str, *args: Any, batch_norm: bool = False, **kwargs: Any) -> Any:
        """Return a function of a tensor: ``layer`` (a class of Keras), normalised if asked, then ReLU."""
        from keras import layers

        if not batch_norm:
            return layer(*args, activation="relu", name=name, **self.kernel(), **kwargs)
        # The normalisation has a bias of its own.
        parts = [
            layer(*args, use_bias=False, name=name, **self.kernel(), **kwargs),
            layers.BatchNormalization(name=f"{name}_norm"),
            layers.Activation("relu", name=f"{name}_relu"),
        ]
        return lambda x: reduce(lambda tensor, part: part(tensor), parts, x)

    def assemble(self) -> Any:
        """Return the Keras model of the problem's inputs: `build`, then `output`."""
        import keras

        inputs = {
            name: keras.Input(spec.shape, dtype=spec.dtype, name=name)
            for name, spec in self.problem.inputs.items()
        }
        return keras.Model(inputs, self.output(self.build(inputs)), name="network")

    def output(self, tensor: Any) -> Any:
        """Return what the network gives of what `build` returned: that behind an output layer."""
        from keras import layers

        classify = self.problem.task == "classification"
        # Named, because automatic names count up over the life of a process and would reach the file.
        return layers.Dense(
            self.problem.outputs, activation="softmax" if classify else None, name=OUTPUT, **self.kernel()
        )(tensor)
