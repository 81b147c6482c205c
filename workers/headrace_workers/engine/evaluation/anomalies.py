"""Evaluation of anomaly scores: how they spread and, where labels exist, how well they find anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.evaluation import curves, scores
from headrace_workers.engine.evaluation.figures import Figures, between_text, explained, mean_of, told
from headrace_workers.engine.evaluation.intervals import Interval, Resamples
from headrace_workers.engine.evaluation.worst import Worst
from headrace_workers.engine.tasks.anomaly import ANOMALY, SCORE, AnomalyTarget
from headrace_workers.engine.tasks.embedding import ERROR

JSON = dict[str, Any]
RESAMPLES = 400
BINS = 30


class Anomalies:
    """Takes scores and distances from the mean; see `engine.tasks.anomaly`."""

    def __init__(self, target: AnomalyTarget, slice_columns: Sequence[str], seed: int) -> None:
        self._target = target
        self._rng = np.random.default_rng([seed, 1])
        self._figures = Figures(slice_columns, seed)
        self._worst = Worst()

    def add(
        self,
        values: NDArray[np.floating],
        truth: pa.Array | None,
        numbers: NDArray[np.int64],
        batch: pa.RecordBatch,
    ) -> None:
        """See `engine.tasks.base.Evaluation`."""
        score, whole = values[:, 0], values[:, 1]
        labels: JSON = {}
        if truth is not None and self._target.normal is not None:
            labels["label"] = pc.not_equal(truth, pa.scalar(self._target.normal, truth.type))
        known = labels.get("label")

        def describe(row: int) -> JSON:
            told = {"truth": known[row].as_py()} if known is not None else {}
            return {**told, SCORE: float(score[row]), ANOMALY: bool(score[row] > self._target.threshold)}

        self._worst.update(score, numbers, batch, describe)
        self._figures.add(batch, score=score, whole=whole, **labels)

    def report(self) -> JSON:
        """Return the parts of an evaluation. There was at least one row."""
        rows = self._figures.rows()
        score, whole = rows.column("score").to_numpy(), rows.column("whole").to_numpy()
        flagged = score > self._target.threshold
        weighted = Resamples(len(score), RESAMPLES, self._rng)
        found: dict[str, float] = {}
        between: dict[str, Interval | None] = {}
        found["anomaly_rate"], between["anomaly_rate"] = mean_of(flagged, weighted)
        found[ERROR], between[ERROR] = mean_of(score, weighted)
        found["explained_variance"], between["explained_variance"] = explained(score, whole, weighted)
        parts: JSON = {"scores": _spread(score, self._target.threshold)}
        actual = None
        if "label" in rows.schema.names:
            actual = rows.column("label").to_numpy(zero_copy_only=False).astype(np.bool_)
        if actual is not None and 0 < actual.sum() < len(actual):
            parts |= self._against(actual, score, whole, weighted, found, between)
        else:
            parts |= _without_labels(whole, score, weighted, found, between)
        return {
            "metrics": found,
            "intervals": told(between, weighted),
            **parts,
            "worst": self._worst.as_json(),
            "slices": self._figures.slices(ERROR, score, self._rng),
            **self._figures.sampled(),
        }

    def _against(
        self,
        actual: NDArray[np.bool_],
        score: NDArray[np.float64],
        whole: NDArray[np.float64],
        weighted: Resamples,
        found: dict[str, float],
        between: dict[str, Interval | None],
    ) -> JSON:
        """Add to the metrics those of the labels ``actual``; return the parts that they make."""
        flagged = score > self._target.threshold
        for name, areas in zip(("roc_auc", "pr_auc"), _areas(actual, score, weighted), strict=True):
            found[name], between[name] = areas
        for name, of in (("precision", flagged), ("recall", actual)):
            value, ends = _share(actual & flagged, of, weighted)
            if np.isfinite(value):
                found[name], between[name] = value, ends
        rate = float(actual.mean())
        (_, _), (far, _) = _areas(actual, whole, weighted)
        ends = between["pr_auc"]
        beats = ends is not None and ends[0] > rate
        text = (
            f"The scores find anomalies {'better' if beats else 'no better'} than chance: their PR AUC is "
            f"{between_text(found['pr_auc'], ends)}, chance has {rate:.3g}, and the plain distance from the "
            f"mean row {far:.3g}."
        )
        return {
            "baseline": {"predicts": "one score for all", "metrics": {"roc_auc": 0.5, "pr_auc": rate}},
            "verdict": {"beats_baseline": beats, "text": text},
            "distance_from_mean": {"pr_auc": far},
            "roc": [curves.roc(ANOMALY, score, actual)],
            "pr": [curves.precision_recall(ANOMALY, score, actual)],
        }


def _without_labels(
    whole: NDArray[np.float64],
    score: NDArray[np.float64],
    weighted: Resamples,
    found: dict[str, float],
    between: dict[str, Interval | None],
) -> JSON:
    _, gain = mean_of(whole - score, weighted)
    trivial = float(whole.mean())
    beats = gain is not None and gain[0] > 0
    text = (
        f"There are no labels to tell whether the anomalies are any. What the model makes again of the rows "
        f"{'is nearer' if beats else 'is no nearer'} to them than their mean: its error is "
        f"{between_text(found[ERROR], between[ERROR])}, the mean's {trivial:.3g}."
    )
    return {
        "baseline": {"predicts": "the mean row", "metrics": {ERROR: trivial, "explained_variance": 0.0}},
        "verdict": {"beats_baseline": beats, "text": text},
    }


def _areas(
    actual: NDArray[np.bool_], score: NDArray[np.float64], weighted: Resamples
) -> list[tuple[float, Interval | None]]:
    """Return the areas under the ROC and the PR curve, each with its interval."""
    chosen = weighted.rows
    found = scores.areas(score, actual, np.ones((1, len(score))))
    centres = scores.areas(score[chosen], actual[chosen], np.ones((1, len(chosen))))
    again = scores.areas(score[chosen], actual[chosen], weighted.weights)
    return [
        (float(value[0]), weighted.interval(float(value[0]), resampled, float(centre[0])))
        for value, centre, resampled in zip(found, centres, again, strict=True)
    ]


def _share(
    part: NDArray[np.bool_], of: NDArray[np.bool_], weighted: Resamples
) -> tuple[float, Interval | None]:
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(np.divide(part.sum(), of.sum()))
        centre = float(np.divide(part[weighted.rows].sum(), of[weighted.rows].sum()))
        resampled = weighted.means(part.astype(np.float64)) / weighted.means(of.astype(np.float64))
        return value, weighted.interval(value, resampled, centre)


def _spread(score: NDArray[np.float64], threshold: float) -> JSON:
    """Return a histogram of the scores up to twice the threshold or so, and how many are above."""
    end = float(max(np.quantile(score, 0.99), 2 * threshold)) or 1.0
    counts, edges = np.histogram(score, bins=BINS, range=(0.0, end))
    return {
        "threshold": threshold,
        "above": int((score > end).sum()),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }
