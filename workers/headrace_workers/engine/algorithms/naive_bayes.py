"""Naive Bayes for tables, by scikit-learn: normal numbers, and categories as often as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Encoding, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows

NUMBERS, LEVELS = "numbers", "levels"
PART_ROWS = 4096
"""Rows counted at once: what scikit-learn makes of them on the way takes several times their memory."""


class NaiveBayesParams(Params):
    """Params of `naive_bayes`."""

    alpha: Annotated[
        float, Field(gt=0, le=1000, description="Added to the count of every level in every class.")
    ] = 1.0
    smoothing: Annotated[
        float,
        Field(gt=0, le=1, description="Added to all variances, as a share of the largest one among numbers."),
    ] = 1e-9
    prior: Annotated[
        Literal["learned", "uniform"],
        Field(description="How likely each class is without a row: as in training rows, or all the same."),
    ] = "learned"


class NaiveBayes(Estimator):
    """Gaussian and categorical naive Bayes in one, over the positions that hold numbers and level numbers."""

    params_class = NaiveBayesParams
    params: NaiveBayesParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return level numbers: a level is counted."""
        return Encoding(categories="codes")

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Add up the rows, block by block; see `Estimator.train`."""
        import numpy as np
        from sklearn.naive_bayes import CategoricalNB, GaussianNB

        classes = np.arange(self.problem.outputs)
        uniform = self.params.prior == "uniform"
        numbers, levels = self._positions()
        models: dict[str, Any] = {}
        if len(numbers):
            priors = np.full(len(classes), 1 / len(classes)) if uniform else None
            # What is added to the variances depends on all rows, so it is added when all are counted.
            models[NUMBERS] = GaussianNB(priors=priors, var_smoothing=0.0)
        if len(levels):
            counts = np.array(self.problem.inputs["table"].levels)[levels]
            models[LEVELS] = CategoricalNB(
                alpha=self.params.alpha, fit_prior=not uniform, min_categories=counts
            )
        done = 0
        for inputs, targets in training.blocks():
            for start in range(0, len(targets), PART_ROWS):
                part = slice(start, start + PART_ROWS)
                table = inputs["table"][part].astype(np.float64)
                for name, positions in ((NUMBERS, numbers), (LEVELS, levels)):
                    if name in models:
                        models[name].partial_fit(table[:, positions], targets[part], classes)
            done += len(targets)
            monitor.progress(done / training.count, f"row {done} of {training.count}")
        if NUMBERS in models:
            self._smooth(models[NUMBERS])
        return models

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Estimator.block`."""
        import numpy as np
        from scipy.special import softmax

        numbers, levels = self._positions()
        likely = np.zeros((len(table), self.problem.outputs))
        if NUMBERS in self.model:
            likely += self.model[NUMBERS].predict_joint_log_proba(table[:, numbers])
        if LEVELS in self.model:
            likely += self.model[LEVELS].predict_joint_log_proba(table[:, levels])
        if len(self.model) == 2:
            # Each has counted the prior in.
            likely -= self.model[LEVELS].class_log_prior_
        return np.asarray(softmax(likely, axis=1))

    def learned(self) -> Arrays:
        """Return means, variances and counts."""
        arrays: Arrays = {}
        if NUMBERS in self.model:
            model = self.model[NUMBERS]
            arrays |= {"mean": model.theta_, "variance": model.var_, "prior": model.class_prior_}
        if LEVELS in self.model:
            model = self.model[LEVELS]
            arrays |= {f"count/{i}": count for i, count in enumerate(model.category_count_)}
            arrays |= {"log_prior": model.class_log_prior_}
        return arrays

    def _positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of the table that hold numbers, and those that hold level numbers."""
        import numpy as np

        spec = self.problem.inputs["table"]
        levels = np.array(spec.levels or (0,) * spec.shape[0])
        return np.flatnonzero(levels == 0), np.flatnonzero(levels)

    def _smooth(self, model: Any) -> None:
        import numpy as np

        weights = model.class_count_ / model.class_count_.sum()
        mean = weights @ model.theta_
        variances = weights @ (model.var_ + np.square(model.theta_ - mean))
        model.var_ += self.params.smoothing * max(float(variances.max()), 1e-3)


ALGORITHM = Algorithm(
    name="naive_bayes",
    title="Naive Bayes",
    summary="Tables to classes, as if columns were independent; fast, and rows need not fit in memory.",
    source="Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning, 6.6.3",
    tasks=("classification",),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=NaiveBayesParams,
    code="headrace_workers.engine.algorithms.naive_bayes:NaiveBayes",
    runtime="plain",
    random=False,
    streams=True,
)
