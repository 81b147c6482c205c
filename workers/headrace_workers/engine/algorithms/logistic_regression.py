"""Multinomial logistic regression by gradient descent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.base import Monitor
from headrace_workers.engine.algorithms.network import OUTPUT, Network
from headrace_workers.engine.algorithms.params import LearningRate, ScheduledParams

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows


class LogisticRegressionParams(ScheduledParams):
    """Params of `logistic_regression`."""

    learning_rate: LearningRate = 0.03
    l2: Annotated[
        float | None,
        Field(
            ge=0,
            le=100,
            description="The penalty on the squares of the weights; null: 1 / (2 * training rows), as if "
            "weights were normally distributed with variance 1.",
        ),
    ] = None  # type: ignore[assignment]


class LogisticRegression(Network):
    """One linear layer and a softmax."""

    params_class = LogisticRegressionParams

    def build(self, inputs: dict[str, Any]) -> Any:
        """Return the inputs: there is no hidden layer."""
        return inputs["table"]

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """See `Learner.fit`."""
        import keras

        if self.params.l2 is None:
            # How many rows there are is not known where the layer is made.
            penalty = keras.regularizers.L1L2(self.params.l1, 1 / (2 * training.count))
            self.model.get_layer(OUTPUT).kernel.regularizer = penalty
        super().fit(training, validation, monitor)


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
