"""Support vector machines for tables, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import TaskType
from headrace_workers.engine.algorithms.base import Arrays, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator, calibrated, calibration_arrays
from headrace_workers.engine.algorithms.params import ClassWeight, class_weight_misfits

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows

MAX_ROWS = 50_000
"""Time grows with the square of the rows, or faster."""


class SvmParams(Params):
    """Params of `svm`."""

    cost: Annotated[
        float, Field(gt=0, le=1e6, description="What a row on the wrong side costs; more fits more closely.")
    ] = 1.0
    kernel: Annotated[
        Literal["rbf", "linear", "poly", "sigmoid"], Field(description="How alike two rows are.")
    ] = "rbf"
    gamma: Annotated[
        float | None,
        Field(
            gt=0,
            le=1e6,
            description="How fast likeness falls with distance; null: 1 / (3 times the encoded columns).",
        ),
    ] = None
    degree: Annotated[int, Field(ge=1, le=10, description="Of the kernel poly.")] = 3
    tube: Annotated[
        float,
        Field(
            ge=0, le=10, description="Errors of a regression that cost nothing, in deviations of the target."
        ),
    ] = 0.1
    class_weight: ClassWeight = None

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        return class_weight_misfits(self.class_weight, task)


class Svm(Estimator):
    """The widest margin between classes, one against one, calibrated; or the flattest tube around values."""

    params_class = SvmParams
    params: SvmParams
    alternative = "logistic_regression"

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """See `Estimator.train`. Raises `BadSpec` for more rows than can be done in hours."""
        from sklearn.svm import SVC, SVR

        if training.count > MAX_ROWS:
            raise BadSpec(
                f"algorithm: svm takes time with the square of the rows; there are {training.count:,} for "
                f"training, the limit is {MAX_ROWS:,}; gradient_boosting has no such limit."
            )
        p = self.params
        table, targets = self.all_rows(training)
        # A third of what scikit-learn takes for columns of variance 1: smoother, and better on small tables.
        gamma = p.gamma or 1 / (3 * table.shape[1])
        shape = {"C": p.cost, "kernel": p.kernel, "gamma": gamma, "degree": p.degree}
        if self.problem.task == "regression":
            return SVR(**shape, epsilon=p.tube).fit(table, targets)
        return calibrated(SVC(**shape, class_weight=p.class_weight), table, targets, self.problem.seed)

    def learned(self) -> Arrays:
        """Return the support vectors, their weights and the calibration."""
        import numpy as np

        inner, arrays = self.model, dict[str, Any]()
        if self.problem.task == "classification":
            inner, arrays = calibration_arrays(self.model)
        return {
            "support_vectors": inner.support_vectors_,
            "weights": inner.dual_coef_,
            "intercept": inner.intercept_,
            "support_per_class": inner.n_support_,
            "gamma": np.array(inner._gamma),
            **arrays,
        }


ALGORITHM = Algorithm(
    name="svm",
    title="Support vector machine",
    summary="Tables to classes or numbers, by the rows at the border; at most 50,000 training rows.",
    source="Cortes, Vapnik 1995, Support-vector networks; probabilities: Platt 1999",
    tasks=("classification", "regression"),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=SvmParams,
    code="headrace_workers.engine.algorithms.svm:Svm",
    runtime="plain",
)
