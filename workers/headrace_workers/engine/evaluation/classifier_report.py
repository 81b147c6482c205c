"""The metrics of a classifier, a trivial baseline beside them, and what is behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.evaluation import (
    counts,
    curves,
    fairness,
    intervals,
    ranking,
    scores,
    slices,
    verdict,
)
from headrace_workers.engine.evaluation.counts import Counts
from headrace_workers.engine.evaluation.intervals import Interval, Resamples

JSON = dict[str, Any]

SLICED = ("accuracy", "balanced_accuracy", "f1_macro")
UPPER = {"log_loss": float("inf"), "brier_score": 2.0}
"""Upper bounds of the metrics that do not end at 1."""


class ClassifierReport:
    """What counts of all rows and a sample of them tell of a classifier.

    ``labels`` are those of all classes; ``matrix`` counts rows by true and predicted class. ``rows`` have the
    columns ``truth`` and ``predicted``, class numbers, and ``p``, probabilities of the classes of ``target``.
    """

    def __init__(
        self,
        target: ClassTarget,
        labels: list[Any],
        matrix: NDArray[np.int64],
        rows: pa.RecordBatch,
        rng: np.random.Generator,
    ) -> None:
        self._target = target
        self._labels = labels
        self._matrix = matrix
        self._rng = rng
        self._truth = rows.column("truth").to_numpy()
        self._predicted = rows.column("predicted").to_numpy()
        self._p = rows.column("p").flatten().to_numpy().reshape(len(rows), target.outputs)
        self._counts = Counts.of(matrix)

    def report(self) -> JSON:
        """Return metrics, intervals, baseline, verdict, confusion matrix and curves."""
        majority = int(np.argmax(self._target.counts))
        prior = np.array(self._target.counts) / sum(self._target.counts)
        always = self._counts.always(majority)
        metrics = {name: float(value) for name, value in self._counts.metrics().items()}
        trivial = {name: float(value) for name, value in always.metrics().items()}
        truth, predicted = np.nonzero(self._matrix)
        again = counts.resample_cells(
            truth, predicted, self._matrix[truth, predicted], len(self._labels), self._rng
        )
        resampled = again.metrics()
        found: dict[str, Interval | None] = counts.intervals(resampled)
        found["accuracy"] = counts.accuracy_interval(int(self._counts.right.sum()), int(self._matrix.sum()))
        accuracies = again.always(majority).metrics()["accuracy"]
        gains = {"accuracy": intervals.percentiles(resampled["accuracy"] - accuracies)}

        for name, (own, theirs) in self._losses(prior).items():
            weighted = Resamples(len(own), intervals.RESAMPLES, self._rng)
            metrics[name], trivial[name] = float(own.mean()), float(theirs.mean())
            centre = float(own[weighted.rows].mean())
            found[name] = weighted.interval(metrics[name], weighted.means(own), centre)
            gain = theirs - own
            gains[name] = weighted.interval(
                float(gain.mean()), weighted.means(gain), float(gain[weighted.rows].mean())
            )

        present = np.unique(self._truth)
        areas = ranking.measure(self._p, self._truth, present, self._rng)
        metrics |= areas.metrics
        found |= areas.intervals
        if areas.metrics:
            trivial |= {"roc_auc": 0.5, "pr_auc": 1 / len(present)}
        between = intervals.bounded(found, UPPER)
        baseline = {"predicts": self._labels[majority], "metrics": trivial}
        notes = (
            [] if (self._counts.right.sum() < self._matrix.sum()) else [_nothing_wrong(self._matrix.sum())]
        )
        return {
            "metrics": metrics,
            "intervals": intervals.as_json(
                between,
                resamples={
                    "counts": len(resampled["accuracy"]),
                    "losses": intervals.RESAMPLES,
                    "areas": areas.resamples,
                },
                most_rows_resampled=intervals.MAX_ROWS,
                other_methods={"accuracy": "wilson"},
                notes=notes,
            ),
            "baseline": baseline,
            "verdict": verdict.of_classifier(metrics, between, baseline, gains),
            "confusion_matrix": {"labels": self._labels, "counts": self._matrix.tolist()},
            "per_class": self._per_class(areas),
            **self._curves(areas),
        }

    def slice(self, values: pa.Array) -> JSON:
        """Return the metrics of the rows of each group of ``values``, and how alike groups are treated."""
        entries = []
        overall = float((self._truth == self._predicted).mean())
        found_groups = list(slices.groups(values))
        for group in found_groups:
            truth, predicted = self._truth[group.rows], self._predicted[group.rows]
            found = Counts.of_rows(truth, predicted, len(self._labels)).metrics()
            again = counts.resample(
                truth, predicted, len(self._labels), self._rng, most=slices.RESAMPLES
            ).metrics()
            between = counts.intervals({name: again[name] for name in SLICED})
            right = int((truth == predicted).sum())
            between["accuracy"] = counts.accuracy_interval(right, len(truth))
            metrics = {name: float(found[name]) for name in SLICED}
            entry = slices.described(group, metrics, intervals.bounded(between, UPPER))
            entries.append(slices.compare(entry, "accuracy", overall, higher_is_better=True))
        known = self._labels[: self._target.outputs]
        fair = fairness.measure(found_groups, self._truth, self._predicted, known, self._rng)
        return {"groups": entries, "fairness": fair}

    def _losses(
        self, prior: NDArray[np.float64]
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Return what each row costs the model, and what it costs who knows the classes' shares only."""
        two = len(self._labels) == 2
        own = scores.of_truth(self._p, self._truth)
        theirs = np.append(prior, 0.0)[np.minimum(self._truth, len(prior))]
        return {
            "log_loss": (scores.log_losses(own), scores.log_losses(theirs)),
            "brier_score": (
                scores.brier_scores(self._p, own, two_classes=two),
                scores.brier_scores(prior, theirs, two_classes=two),
            ),
        }

    def _per_class(self, areas: ranking.Ranking) -> list[JSON]:
        found = self._counts.per_class()
        return [
            {
                "label": label,
                **{name: float(values[i]) for name, values in found.items()},
                "rows": int(self._counts.rows[i]),
                **areas.per_class.get(i, {}),
            }
            for i, label in enumerate(self._labels)
        ]

    def _curves(self, areas: ranking.Ranking) -> JSON:
        seen = [k for k in areas.per_class if k < self._target.outputs]
        shown = sorted(sorted(seen, key=lambda k: -self._counts.rows[k])[: curves.MAX_CURVES])
        found: JSON = {"roc": [], "pr": []}
        for k in shown:
            column, positive = self._p[:, k], self._truth == k
            found["roc"].append(curves.roc(self._labels[k], column, positive))
            found["pr"].append(curves.precision_recall(self._labels[k], column, positive))
        if len(self._labels) == 2:
            return found | {
                "calibration": {
                    "of": self._labels[1],
                    "bins": curves.calibration(self._p[:, 1], self._truth == 1),
                }
            }
        best = self._p[np.arange(len(self._p)), self._predicted]
        right = self._truth == self._predicted
        return found | {"calibration": {"of": None, "bins": curves.calibration(best, right)}}


def _nothing_wrong(rows: int) -> str:
    return (
        f"All {rows} rows are predicted right. Resamples of them are, too: but for accuracy, intervals know "
        f"of no error. Up to {3 / rows:.2g} of all rows may still be wrong (the rule of three)."
    )
