"""Evaluation of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.data.target import UNKNOWN, ClassTarget
from headrace_workers.engine.evaluation import scores
from headrace_workers.engine.evaluation.classifier_report import ClassifierReport
from headrace_workers.engine.evaluation.worst import Worst

JSON = dict[str, Any]

MAX_ROWS, MAX_VALUES = 250_000, 10_000_000
"""Rows whose probabilities are kept at most, and probabilities; of more rows a uniform sample is."""

MAX_UNSEEN = 50
"""Classes that training did not see have a line of their own up to here, the others one together."""

OTHERS = "(other classes that training did not see)"


class Classification:
    """What is kept of the rows of a classifier's evaluation.

    Counts are those of all rows. A class that training did not see is one of its own with probability 0, in
    the order in which they come.
    """

    def __init__(self, target: ClassTarget, slice_columns: Sequence[str], seed: int) -> None:
        self._target = target
        self._slices = list(slice_columns)
        self._rng = np.random.default_rng([seed, 1])
        self._sample = RowSample(min(MAX_ROWS, MAX_VALUES // target.outputs), seed)
        self._unseen: dict[Any, int] = {}
        self._counts: NDArray[np.int64] = np.zeros(
            (target.outputs + MAX_UNSEEN + 1, target.outputs), np.int64
        )
        self._worst = Worst()

    def add(
        self, values: NDArray[np.floating], truth: pa.Array, numbers: NDArray[np.int64], batch: pa.RecordBatch
    ) -> None:
        """Take the next rows: probabilities (n, classes), true labels, row numbers from 0, and the rows."""
        actual = self._number(truth)
        predicted = values.argmax(axis=1)
        np.add.at(self._counts, (actual, predicted), 1)
        p = values / values.sum(axis=1, keepdims=True, dtype=np.float64)
        of_truth = scores.of_truth(p, actual)
        wrong = (predicted != actual) & (actual < self._target.outputs)
        labels = self._target.classes
        self._worst.update(
            np.where(wrong, 1 - of_truth, 0.0),
            numbers,
            batch,
            lambda row: {
                "truth": truth[row].as_py(),
                "prediction": labels[predicted[row]],
                "probability": float(p[row, predicted[row]]),
                "probability_of_truth": float(of_truth[row]),
            },
        )
        flat = pa.array(p.astype(np.float32).ravel())
        kept = {
            "truth": pa.array(actual),
            "predicted": pa.array(predicted),
            "p": pa.FixedSizeListArray.from_arrays(flat, self._target.outputs),
        }
        kept |= {f"slice {i}": batch.column(name) for i, name in enumerate(self._slices)}
        self._sample.update(pa.record_batch(kept))

    def report(self) -> JSON:
        """Return the parts of an evaluation. There was at least one row."""
        labels = [*self._target.classes, *self._unseen]
        classes = len(labels)
        matrix = np.zeros((classes, classes), np.int64)
        matrix[:, : self._target.outputs] = self._counts[:classes]
        rows = self._sample.rows()
        assert rows is not None, "there was at least one row"
        total = int(matrix.sum())
        found = ClassifierReport(self._target, labels, matrix, rows, self._rng)
        parts = found.report()
        if len(rows) < total:
            parts["sample"] = {
                "rows": len(rows),
                "of": total,
                "note": "Counts are of all rows; log_loss, brier_score, roc_auc, pr_auc, curves, calibration "
                "and slices are of a uniform sample.",
            }
        if self._unseen:
            unseen = int(matrix[self._target.outputs :].sum())
            parts["unseen_classes"] = {
                "labels": list(self._unseen),
                "rows": unseen,
                "note": f"{unseen} of {total} rows are of classes that training did not see: all of them "
                "count as wrong.",
            }
        parts["worst"] = self._worst.as_json()
        parts["slices"] = [
            {"column": name, **found.slice(rows.column(f"slice {i}"))} for i, name in enumerate(self._slices)
        ]
        return parts

    def _number(self, truth: pa.Array) -> NDArray[np.int64]:
        """Return the number of each label's class; those that training did not see come after the others."""
        actual = self._target.encode(truth).astype(np.int64)
        unseen = actual == UNKNOWN
        if unseen.any():
            strange = truth.filter(pa.array(unseen))
            found = pc.unique(strange)
            numbers = np.array([self._number_unseen(label) for label in found.to_pylist()])
            actual[unseen] = numbers[pc.index_in(strange, found).to_numpy(zero_copy_only=False)]
        return actual

    def _number_unseen(self, label: Any) -> int:
        if label not in self._unseen and len(self._unseen) >= MAX_UNSEEN:
            label = OTHERS
        return self._target.outputs + self._unseen.setdefault(label, len(self._unseen))
