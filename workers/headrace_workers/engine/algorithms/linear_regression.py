"""Linear least squares by gradient descent."""

from __future__ import annotations

from typing import Any

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import EarlyStopping, Epochs, LearningRate, NetworkParams


class LinearRegressionParams(NetworkParams):
    """Params of `linear_regression`."""

    epochs: Epochs = 50
    learning_rate: LearningRate = 0.005
    early_stopping: EarlyStopping = 10


class LinearRegression(Network):
    """One linear layer."""

    params_class = LinearRegressionParams

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the inputs: there is no hidden layer."""
        return inputs["table"]


ALGORITHM = Algorithm(
    name="linear_regression",
    title="Linear regression",
    summary="Tables to numbers by a weighted sum; rows need not fit in memory.",
    source="Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning, 3.2",
    tasks=("regression",),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=LinearRegressionParams,
    streams=True,
    code="headrace_workers.engine.algorithms.linear_regression:LinearRegression",
    gradients=True,
    bases=("linear_regression",),
)
