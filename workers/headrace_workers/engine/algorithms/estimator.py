"""What the algorithms that are scikit-learn estimators share: they differ in what they make, and of what."""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headrace.errors import BadSpec
from headrace.specs.algorithms import Params
from headrace_workers.engine.algorithms.base import Arrays, Learner, Monitor, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows

MODEL_FILE = "model.skops"
MAX_BYTES = 2 * 1024**3
WHITE = 255.0
BLOCK_ROWS = 128
"""Rows of one prediction. Matrix kernels differ in their last bits between sizes, so there is one size."""

CALIBRATION_FOLDS = 5


class Estimator(Learner):
    """An estimator that learns from all rows at once, in memory.

    It cannot be cut, so an interrupted fit restarts whole, to the same bits.
    """

    alternative: ClassVar[str] = "mlp"
    """The algorithm to name where rows are too many for this one."""

    def __init__(self, params: Params, problem: Problem, model: Any = None) -> None:
        super().__init__(params, problem)
        assert isinstance(params, self.params_class)
        self.params: Any = params
        self.model = model

    @abstractmethod
    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Return the fitted estimator. See `Learner.fit`."""

    @abstractmethod
    def learned(self) -> Arrays:
        """See `Learner.learned`."""

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Train on the problem's threads; what the library warns of goes into the job's log."""
        with _threads(self.problem.threads), _warnings_into_the_log():
            self.model = self.train(training, validation, monitor)
        monitor.progress(1.0, "fitted")

    def predict(self, inputs: Arrays) -> NDArray[np.float64]:
        """Return probabilities or values; see `Learner.predict`."""
        import numpy as np

        table = as_table(inputs)
        blocks = []
        with _threads(1):
            for start in range(0, max(len(table), 1), BLOCK_ROWS):
                rows = table[start : start + BLOCK_ROWS]
                block = np.zeros((BLOCK_ROWS, *table.shape[1:]))
                block[: len(rows)] = rows
                blocks.append(self.block(block)[: len(rows)].astype(np.float64, copy=False))
        return np.concatenate(blocks)

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the model makes of one block; every class has training rows."""
        import numpy as np

        if self.problem.task == "regression":
            return np.asarray(self.model.predict(table))
        return np.asarray(self.model.predict_proba(table))

    def save(self, folder: Path) -> None:
        """Write the model as a skops file."""
        from headrace_workers.engine.training.skops_file import save

        save(self.model, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> Estimator:
        """Return the model that `save` wrote."""
        from headrace_workers.engine.training.skops_file import load

        return cls(params, problem, load(folder / MODEL_FILE))

    def all_rows(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return the inputs and targets of all ``rows``. Raises `BadSpec` for too many."""
        import numpy as np

        # A pixel takes one byte of a row, and eight as a number.
        size = rows.count * rows.row_bytes * (8 if "image" in self.problem.inputs else 1)
        if size > MAX_BYTES:
            raise BadSpec(
                f"algorithm: this one holds all training rows in memory; they take {size / 1024**3:.1f} GiB, "
                f"the limit is {MAX_BYTES // 1024**3}; {self.alternative} has no such limit."
            )
        inputs, targets = rows.all()
        return as_table(inputs).astype(np.float64, copy=False), targets


def as_table(inputs: Arrays) -> NDArray[Any]:
    """Return all inputs of rows as one table, pixels from 0 to 1."""
    import numpy as np

    if "image" not in inputs:
        return inputs["table"]
    flat = {name: values.reshape(len(values), -1) for name, values in inputs.items()}
    return np.concatenate(
        [values / WHITE if name == "image" else values for name, values in flat.items()], axis=1
    )


def calibrated(estimator: Any, table: NDArray[np.float64], targets: NDArray[Any], seed: int) -> Any:
    """Return ``estimator``, which only decides, fitted and with probabilities (Platt 1999).

    They are fitted on decisions about training rows that the estimator had not seen, in 5 folds, or as many
    as the rarest class has rows. Where that has one row, they are fitted on the rows that it learned from.
    """
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(targets)
    folds = min(CALIBRATION_FOLDS, int(counts[counts > 0].min()))
    every = np.arange(len(targets))
    splits = StratifiedKFold(folds, shuffle=True, random_state=seed) if folds > 1 else [(every, every)]
    model = CalibratedClassifierCV(estimator, method="sigmoid", cv=splits, ensemble=False)
    model.fit(table, targets)
    # The folds are of no use any more, and would be saved.
    model.cv = None
    return model


def calibration_arrays(model: Any) -> tuple[Any, Arrays]:
    """Return the estimator inside of what `calibrated` made, and the arrays of the calibration."""
    import numpy as np

    (inner,) = model.calibrated_classifiers_
    slopes = np.array([calibrator.a_ for calibrator in inner.calibrators])
    offsets = np.array([calibrator.b_ for calibrator in inner.calibrators])
    return inner.estimator, {"calibration/slope": slopes, "calibration/offset": offsets}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(count):
        yield


@contextmanager
def _warnings_into_the_log() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(text, file=sys.stderr, flush=True)
