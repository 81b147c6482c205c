"""The averaged perceptron, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator, calibrated, calibration_arrays
from headrace_workers.engine.algorithms.params import L2, ClassWeight, Epochs

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows


class PerceptronParams(Params):
    """Params of `perceptron`."""

    epochs: Epochs = 100
    average: Annotated[
        bool, Field(description="Use the mean of the weights over all steps, not the last.")
    ] = True
    l2: L2 = 0.0
    class_weight: ClassWeight = None


class Perceptron(Estimator):
    """A weighted sum for each class against the others, moved by its mistakes; calibrated."""

    params_class = PerceptronParams
    params: PerceptronParams
    alternative = "logistic_regression"

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """See `Estimator.train`."""
        from sklearn.linear_model import SGDClassifier

        p = self.params
        estimator = SGDClassifier(
            loss="perceptron",
            learning_rate="constant",
            eta0=1.0,
            penalty="l2" if p.l2 else None,
            alpha=p.l2,
            average=p.average,
            max_iter=p.epochs,
            class_weight=p.class_weight,
            random_state=self.problem.seed,
        )
        return calibrated(estimator, *self.all_rows(training), self.problem.seed)

    def learned(self) -> Arrays:
        """Return the weights and the calibration."""
        inner, arrays = calibration_arrays(self.model)
        return {"coefficients": inner.coef_, "intercept": inner.intercept_, **arrays}


ALGORITHM = Algorithm(
    name="perceptron",
    title="Perceptron",
    summary="Tables to classes by a weighted sum for each class, moved by its mistakes; rows fit in memory.",
    source="Rosenblatt 1958, The perceptron; averaged: Freund, Schapire 1999, Large margin classification",
    tasks=("classification",),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=PerceptronParams,
    code="headrace_workers.engine.algorithms.perceptron:Perceptron",
    runtime="plain",
)
