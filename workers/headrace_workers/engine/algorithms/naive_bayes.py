"""Naive Bayes for tables: normal numbers, and categories as often as they are (by scikit-learn)."""

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

PRIOR, NUMBERS, LEVELS = "prior", "numbers", "levels"
NORMAL = ("mean", "variance", "present", "missing")
PART_ROWS = 4096
"""Rows counted at once: what scikit-learn makes of them on the way takes several times their memory."""


class NaiveBayesParams(Params):
    """Params of `naive_bayes`."""

    alpha: Annotated[
        float,
        Field(gt=0, le=1000, description="Added to the count of every level in every class; missing is one."),
    ] = 1.0
    smoothing: Annotated[
        float,
        Field(gt=0, le=1, description="Added to all variances, as a share of the largest one among numbers."),
    ] = 0.05
    prior: Annotated[
        Literal["learned", "uniform"],
        Field(description="How likely each class is without a row: as in training rows, or all the same."),
    ] = "learned"


class NaiveBayes(Estimator):
    """Gaussian and categorical naive Bayes in one, over the positions that hold numbers and level numbers.

    A missing number says only that it is missing, as often as that is so in each class: scikit-learn's would
    need some value in its place, of which the class would then be the surer.
    """

    params_class = NaiveBayesParams
    params: NaiveBayesParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return level numbers, which are counted, and missing numbers as such."""
        return Encoding(categories="codes", missing="nan")

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Add up the rows, block by block; see `Estimator.train`."""
        import numpy as np
        from sklearn.naive_bayes import CategoricalNB

        classes = np.arange(self.problem.outputs)
        numbers, levels = self._positions()
        counts = np.array(self.problem.inputs["table"].levels, int)[levels]
        categories = CategoricalNB(alpha=self.params.alpha, min_categories=counts)
        # By class: rows, and of each number how many there are, their sum, and the sum of their squares.
        rows = np.zeros(len(classes))
        sums = np.zeros((3, len(classes), len(numbers)))
        done = 0
        for inputs, targets in training.blocks():
            for start in range(0, len(targets), PART_ROWS):
                part = slice(start, start + PART_ROWS)
                table = inputs["table"][part].astype(np.float64)
                is_of = (targets[part] == classes[:, None]).astype(np.float64)
                known, values = ~np.isnan(table[:, numbers]), np.nan_to_num(table[:, numbers])
                rows += is_of.sum(axis=1)
                sums += [is_of @ known, is_of @ values, is_of @ np.square(values)]
                if len(levels):
                    categories.partial_fit(table[:, levels], targets[part], classes)
            done += len(targets)
            monitor.progress(done / training.count, f"row {done} of {training.count}")
        prior = (
            np.log(rows / rows.sum()) if self.params.prior == "learned" else -np.log(len(classes) + 0 * rows)
        )
        return {PRIOR: prior, NUMBERS: self._normal(rows, *sums), LEVELS: categories if len(levels) else None}

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Estimator.block`."""
        import numpy as np
        from scipy.special import softmax

        numbers, levels = self._positions()
        likely = np.tile(self.model[PRIOR], (len(table), 1))
        values, normal = table[:, numbers], self.model[NUMBERS]
        for k in range(likely.shape[1]):
            mean, variance, present, missing = (normal[name][k] for name in NORMAL)
            density = present - (np.log(2 * np.pi * variance) + np.square(values - mean) / variance) / 2
            likely[:, k] += np.where(np.isnan(values), missing, density).sum(axis=1)
        if len(levels):
            categories = self.model[LEVELS]
            likely += categories.predict_joint_log_proba(table[:, levels]) - categories.class_log_prior_
        return np.asarray(softmax(likely, axis=1))

    def learned(self) -> Arrays:
        """Return means, variances and counts."""
        arrays: Arrays = {PRIOR: self.model[PRIOR], **self.model[NUMBERS]}
        if self.model[LEVELS] is not None:
            arrays |= {f"count/{i}": count for i, count in enumerate(self.model[LEVELS].category_count_)}
        return arrays

    def _positions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions of the table that hold numbers, and those that hold level numbers."""
        import numpy as np

        spec = self.problem.inputs["table"]
        levels = np.array(spec.levels or (0,) * spec.shape[0])
        return np.flatnonzero(levels == 0), np.flatnonzero(levels)

    def _normal(
        self,
        rows: NDArray[np.float64],
        count: NDArray[np.float64],
        total: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> Arrays:
        """Return mean and variance of each number in each class, and the logarithms of how often it is there.

        Columns are standardised, so that sums of squares lose nothing that matters.
        """
        import numpy as np

        every = np.maximum(count.sum(axis=0), 1)
        mean = total.sum(axis=0) / every
        variance = squares.sum(axis=0) / every - np.square(mean)
        # A class in which a number is never there says nothing of it: there it is as in all classes.
        size = np.maximum(count, 1)
        means = np.where(count > 0, total / size, mean)
        variances = np.where(count > 0, np.maximum(squares / size - np.square(means), 0), variance)
        variances += self.params.smoothing * max(float(variance.max(initial=0)), 1e-3)
        alpha, of = self.params.alpha, rows[:, None] + 2 * self.params.alpha
        incomplete = count.sum(axis=0) < rows.sum()
        present = np.where(incomplete, np.log((count + alpha) / of), 0)
        missing = np.where(incomplete, np.log((rows[:, None] - count + alpha) / of), 0)
        return dict(zip(NORMAL, (means, variances, present, missing), strict=True))


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
