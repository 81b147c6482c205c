"""A multilayer perceptron for tables."""

from __future__ import annotations

from typing import Any

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import (
    BatchNorm,
    Dense,
    Dropout,
    EarlyStopping,
    Epochs,
    NetworkParams,
)


class MlpParams(NetworkParams):
    """Params of `mlp`."""

    epochs: Epochs = 50
    hidden: Dense = [64, 32]
    dropout: Dropout = 0.0
    batch_norm: BatchNorm = False
    early_stopping: EarlyStopping = 10


class Mlp(Network):
    """Dense layers with ReLU."""

    params_class = MlpParams
    params: MlpParams

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the last hidden layer."""
        from keras import layers

        x = inputs["table"]
        for i, units in enumerate(self.params.hidden, 1):
            x = self.hidden(layers.Dense, f"dense_{i}", units, batch_norm=self.params.batch_norm)(x)
            if self.params.dropout:
                x = layers.Dropout(self.params.dropout, name=f"dropout_{i}")(x)
        return x


ALGORITHM = Algorithm(
    name="mlp",
    title="Multilayer perceptron",
    summary="Tables to classes or numbers, through hidden layers; rows need not fit in memory.",
    source="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors",
    tasks=("classification", "regression"),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=MlpParams,
    streams=True,
    code="headrace_workers.engine.algorithms.mlp:Mlp",
    gradients=True,
    bases=("mlp",),
)
