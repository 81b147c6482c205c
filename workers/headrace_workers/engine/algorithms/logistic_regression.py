"""Multinomial logistic regression by gradient descent."""

from __future__ import annotations

from typing import Any

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.network import Network
from headrace_workers.engine.algorithms.params import L2, Epochs, LearningRate, NetworkParams


class LogisticRegressionParams(NetworkParams):
    """Params of `logistic_regression`."""

    epochs: Epochs = 100
    learning_rate: LearningRate = 0.03
    l2: L2 = 0.001


class LogisticRegression(Network):
    """One linear layer and a softmax."""

    params_class = LogisticRegressionParams

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the inputs: there is no hidden layer."""
        return inputs["table"]


ALGORITHM = Algorithm(
    name="logistic_regression",
    title="Logistic regression",
    summary="Tables to classes by a weighted sum for each class; rows need not fit in memory.",
    source="Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning, 4.4",
    tasks=("classification",),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=LogisticRegressionParams,
    streams=True,
    code="headrace_workers.engine.algorithms.logistic_regression:LogisticRegression",
    gradients=True,
    bases=("logistic_regression",),
)
